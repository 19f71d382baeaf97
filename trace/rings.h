/* The side file `<trace>.rings`: the per-thread rings of a live process, mapped shared, so that a killed process loses no finished op.
 * Page 0 is the file header; ring i lies at TVG_RINGS_PAGE + i * ring_bytes: one header page, then its slots.
 * The record with sequence number s of a ring lies in slot s % slots. FORMAT.md, "Rings", is the specification. */
#ifndef TVG_TRACE_RINGS_H
#define TVG_TRACE_RINGS_H

#include <stddef.h>
#include <stdint.h>

#include "block.h"

enum { TVG_RINGS_VERSION = 1, TVG_RINGS_PAGE = 4096 };
enum { TVG_RING_SLOTS = 4096 };        /* what the recorder uses by default: 40 whole pages of 40-byte records */
enum { TVG_RINGS_MAX = 65536 };        /* rings in one file at most; a reader believes no more */

/* Page 0 of the side file. Written once, before the first ring exists; the number of rings is (file size - one page) / ring_bytes. */
struct tvg_rings_header {
    char magic[8];          /* TVG_RINGS_MAGIC, no NUL */
    uint32_t version;       /* TVG_RINGS_VERSION */
    uint32_t pid;           /* equals the trace header's, else the file belongs to another trace */
    uint32_t slots;         /* records in each ring, at most TVG_OPS_MAX */
    uint32_t ring_bytes;    /* TVG_RINGS_PAGE + slots * 40, rounded up to whole pages */
    uint64_t start_mono_ns; /* equals the trace header's process_start_mono_ns (a process id may come again) */
    uint64_t check;         /* XXH3_64 over the 32 bytes before it: tvg_rings_header_seal */
};

enum tvg_ring_state {
    TVG_RING_UNUSED = 0,
    TVG_RING_OWNED = 1,     /* a live thread writes to it */
    TVG_RING_ORPHAN = 2,    /* its thread has gone; it may still hold records that no block has */
};

/* Start of each ring's header page. committed and encoded only grow. Only the owner writes; use __atomic builtins. */
struct tvg_ring {
    uint64_t committed;     /* records finished: release store after the record's last byte */
    uint64_t encoded;       /* records that a written block (or a LOST block) accounts for: store after write() returned */
    uint32_t number;        /* the ring's number, as in OPS blocks */
    uint32_t tid;           /* the thread that owns or last owned it */
    uint32_t state;         /* enum tvg_ring_state */
    uint32_t slots;         /* as in the file header */
    struct tvg_anchor anchor; /* taken when the present owner took the ring */
};

_Static_assert(sizeof(struct tvg_rings_header) == 40, "layout of the rings file");
_Static_assert(sizeof(struct tvg_ring) == 56, "layout of the rings file");
_Static_assert(sizeof(struct tvg_record) == 40, "layout of the rings file");

static inline uint32_t tvg_ring_bytes(uint32_t slots)
{
    return (uint32_t)(TVG_RINGS_PAGE + ((uint64_t)slots * sizeof(struct tvg_record) + TVG_RINGS_PAGE - 1) / TVG_RINGS_PAGE * TVG_RINGS_PAGE);
}
static inline struct tvg_record *tvg_ring_slots(struct tvg_ring *ring)
{
    return (struct tvg_record *)((char *)ring + TVG_RINGS_PAGE);
}

/* Fills magic, version, ring_bytes and check; the caller has set pid, slots and start_mono_ns. */
void tvg_rings_header_seal(struct tvg_rings_header *header);
/* 0 when the header (from outside) holds: magic, version, check, slots within 1..TVG_OPS_MAX, ring_bytes as tvg_ring_bytes says. */
int tvg_rings_header_check(const struct tvg_rings_header *header);

#endif
