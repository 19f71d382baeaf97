/* The container: a file header, then self-contained blocks, each with its kind, length and checksum.
 * FORMAT.md is the specification; this header is its C form. Both sides of the project link it.
 * Nothing here allocates, prints or makes a system call: the shim uses it inside a host program. */
#ifndef TVG_TRACE_BLOCK_H
#define TVG_TRACE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "op.h"

#define TVG_FILE_MAGIC "TVGTRACE"      /* 8 bytes at offset 0 */
#define TVG_RINGS_MAGIC "TVGRINGS"     /* 8 bytes at offset 0 of the side file that holds the rings */
#define TVG_BLOCK_MAGIC 0x4b4c4254u    /* "TBLK" little-endian: the resynchronisation mark */
enum { TVG_FORMAT_VERSION = 1 };

/* Block kinds: append only. A reader skips kinds it does not know. */
enum tvg_block_kind {
    TVG_BLOCK_OPS = 1,      /* columns of recorded ops of one ring */
    TVG_BLOCK_DICT = 2,     /* dictionary entries: op id -> struct tvg_op */
    TVG_BLOCK_MANIFEST = 3, /* machine, process, libraries, environment */
    TVG_BLOCK_COVERAGE = 4, /* what was seen, caught, refused, lost: one note */
    TVG_BLOCK_ENERGY = 5,   /* meter samples */
    TVG_BLOCK_COUNTERS = 6, /* hardware or software counters, per op id */
    TVG_BLOCK_STACKS = 7,   /* call stacks per op id */
    TVG_BLOCK_MARK = 8,     /* units (tvg_tokens), pause, resume, phases, steps */
    TVG_BLOCK_THREAD = 9,   /* a ring changed hands */
    TVG_BLOCK_LOST = 10,    /* ops that could not be written, counted */
    TVG_BLOCK_KERNELS = 11, /* GPU activity records, columns */
    TVG_BLOCK_END = 12,     /* clean end: totals, own cost */
};

/* On-disk prefix of every block, little-endian, 24 bytes, no padding. */
struct tvg_block_header {
    uint32_t magic;
    uint16_t kind;
    uint16_t flags;        /* 0 in version 1 */
    uint32_t length;       /* bytes of the payload that follows */
    uint32_t header_check; /* low 32 bits of XXH3_64 over the header with this field zero */
    uint64_t payload_check;/* XXH3_64 over the payload */
};

/* A clock anchor: one moment in three clocks. Ticks turn into time by interpolating between anchors. */
struct tvg_anchor {
    uint64_t ticks;
    uint64_t mono_ns; /* CLOCK_MONOTONIC */
    uint64_t wall_ns; /* CLOCK_REALTIME since the epoch */
};

/* One finished op as it lies in a ring: 40 bytes, written once on the hot path. */
struct tvg_record {
    uint64_t start;    /* ticks */
    uint32_t duration; /* ticks in grid units; 0xffffffff: see the following extension record (TVG_OP_ID_LONG) */
    uint32_t op_id;
    uint64_t a, b, c;  /* operand addresses */
};

/* Reserved op ids: records that are not plain ops. Real ids count up from 0 and stay below TVG_OP_ID_FIRST_RESERVED. */
enum tvg_reserved_id {
    TVG_OP_ID_FIRST_RESERVED = 0xfffffff0u,
    TVG_OP_ID_WIDE = 0xfffffff1u, /* the dictionary was full: this op's key follows inline in the next records; see FORMAT.md */
    TVG_OP_ID_LONG = 0xfffffff2u, /* precedes an op whose duration needs 64 bits: a holds the full duration in ticks */
    TVG_OP_ID_NONE = 0xffffffffu,
};

/* What an OPS block says of itself beside its columns. */
struct tvg_ops_info {
    uint32_t ring, tid;
    uint64_t first_sequence; /* sequence number of the first record in this ring */
    uint32_t count;
    struct tvg_anchor anchor; /* taken when the block was encoded */
    uint64_t cpu_process_ns, cpu_thread_ns; /* CPU time used so far by the process and by the ring's thread */
    uint64_t encode_ticks;    /* what encoding the previous block of this ring took: the tool's own cost */
};

enum { TVG_OPS_MAX = 16384 }; /* records in one block at most */
/* Bytes that hold the encoding of any block of `n` records: all columns incompressible. */
#define TVG_OPS_ENCODED_MAX(n) (1024u + (size_t)(n) * 64u)
/* Bytes of scratch that tvg_encode_ops needs for `n` records. */
#define TVG_OPS_SCRATCH(n) (32768u + (size_t)(n) * 64u)

/* Encodes records into a whole block, header included, at `out` (TVG_OPS_ENCODED_MAX(n) bytes). Rounds absolute starts and ends to
 * 2^grid_shift ticks, so that sums over a stream stay exact. `scratch` (TVG_OPS_SCRATCH(n) bytes) is the caller's. Returns bytes written. */
size_t tvg_encode_ops(void *out, const struct tvg_ops_info *info, unsigned grid_shift, const struct tvg_record *records, void *scratch);

/* Decoded columns of one OPS block, count entries each, in the caller's memory. */
struct tvg_ops_columns {
    uint64_t start[TVG_OPS_MAX];    /* ticks */
    uint64_t duration[TVG_OPS_MAX]; /* ticks */
    uint32_t op_id[TVG_OPS_MAX];
    uint64_t a[TVG_OPS_MAX], b[TVG_OPS_MAX], c[TVG_OPS_MAX];
};

/* Decodes the payload of an OPS block. Returns 0, or -1 when the payload contradicts itself (nothing outside `columns` and `info` is touched). */
int tvg_decode_ops(const void *payload, size_t length, struct tvg_ops_info *info, struct tvg_ops_columns *columns, void *scratch);

/* Completes a block in place: `payload_length` bytes lie at block + sizeof(struct tvg_block_header). Returns the whole length. */
size_t tvg_block_seal(void *block, enum tvg_block_kind kind, size_t payload_length);
/* Checks a header (24 bytes) read from outside: 0 when its own checksum and magic hold. */
int tvg_block_header_check(const struct tvg_block_header *header);
/* Checks a payload against its header: 0 when it holds. */
int tvg_block_payload_check(const struct tvg_block_header *header, const void *payload);

/* Encodes one dictionary entry as a whole DICT block. Returns bytes written, 0 when `capacity` is too small. */
size_t tvg_encode_dict(void *out, size_t capacity, uint32_t op_id, const struct tvg_op *op);
/* The bare msgpack map of an op (for DICT blocks and wide records); decode copies strings into `strings` (capacity bytes) and points there. */
size_t tvg_encode_op(void *out, size_t capacity, const struct tvg_op *op);
int tvg_decode_op(const void *data, size_t length, struct tvg_op *op, char *strings, size_t capacity);

/* A small msgpack map writer for every other block kind: no allocation, fails by returning 0 from tvg_map_end when it ran out of room.
 * Keys are short literals listed in FORMAT.md. Maps and arrays may nest through tvg_map_map/_array with a given number of members. */
struct tvg_map {
    uint8_t *out;
    size_t used, capacity;
    uint32_t members; /* of the outermost map, patched in at the end */
    int depth, failed;
};
void tvg_map_begin(struct tvg_map *map, void *out, size_t capacity); /* leaves room for the block header */
void tvg_map_uint(struct tvg_map *map, const char *key, uint64_t value);
void tvg_map_int(struct tvg_map *map, const char *key, int64_t value);
void tvg_map_double(struct tvg_map *map, const char *key, double value);
void tvg_map_string(struct tvg_map *map, const char *key, const char *value); /* NULL writes nil */
void tvg_map_binary(struct tvg_map *map, const char *key, const void *data, size_t length);
void tvg_map_map(struct tvg_map *map, const char *key, uint32_t members);   /* the next `members` key/value calls go inside */
void tvg_map_array(struct tvg_map *map, const char *key, uint32_t members); /* the next `members` value calls (key NULL) go inside */
size_t tvg_map_end(struct tvg_map *map, enum tvg_block_kind kind); /* seals the block; whole length, or 0 */

#endif
