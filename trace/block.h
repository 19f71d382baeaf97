/* The container: a file header, then self-contained blocks, each with its kind, length and checksum.
 * FORMAT.md is the specification; this header is its C form. Both sides of the project link it.
 * Nothing here allocates, prints or makes a system call: the shim uses it inside a host program. */
#ifndef TVG_TRACE_BLOCK_H
#define TVG_TRACE_BLOCK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
    TVG_BLOCK_SAMPLES = 13, /* where CPU time went, sampled, columns */
    TVG_BLOCK_SYNC = 14,    /* GPU: waits of the host, events between streams, columns */
    TVG_BLOCK_KINDS         /* one past the last */
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

/* What the file starts with: the 32-byte prefix (struct tvg_file_prefix), then a msgpack map with the rest. Strings are borrowed. */
struct tvg_file_header {
    uint32_t version;             /* set by the encoder; the decoder gives what the file says */
    uint32_t pid, ppid, tid;      /* tid: the thread that opened the trace */
    uint32_t grid_shift;          /* times in OPS blocks are multiples of 2^grid_shift ticks */
    bool ticks_are_tsc;           /* false: ticks are ns of CLOCK_MONOTONIC */
    double ticks_per_ns;          /* first estimate; the anchors of the blocks refine it */
    struct tvg_anchor anchor;
    uint64_t process_start_mono_ns; /* when the process began */
    uint64_t cpu_process_ns;        /* CPU time that it had used at the anchor; 0 unknown */
    const char *command;          /* the command line, arguments joined by spaces; may be cut */
    const char *host;
    const char *rings;            /* path of the rings side file, "" when there is none */
    const char *tool;             /* version of the recorder */
};
struct tvg_file_prefix {
    char magic[8];
    uint32_t version;
    uint32_t length;        /* bytes of the msgpack map that follows the prefix */
    uint64_t payload_check; /* XXH3_64 over the map */
    uint64_t prefix_check;  /* XXH3_64 over the 24 bytes before it */
};
/* Encodes prefix and map. Returns bytes written, 0 when `capacity` is too small (2048 plus the strings' lengths is enough). */
size_t tvg_encode_file_header(void *out, size_t capacity, const struct tvg_file_header *header);
/* Result of tvg_decode_file_header. */
enum tvg_header_result { TVG_HEADER_OK = 0, TVG_HEADER_NOT_A_TRACE = -1, TVG_HEADER_NEWER = -2, TVG_HEADER_DAMAGED = -3, TVG_HEADER_CUT = -4 };
/* Decodes the header at `data`; *size receives its whole length. Strings are copied into `strings` (capacity bytes), cut when too long.
 * Returns an enum tvg_header_result; header->version is set for TVG_HEADER_NEWER too. */
int tvg_decode_file_header(const void *data, size_t length, struct tvg_file_header *header, size_t *size, char *strings, size_t capacity);

/* One finished op as it lies in a ring: 40 bytes, written once on the hot path. */
struct tvg_record {
    uint64_t start;    /* ticks */
    uint32_t duration; /* ticks; TVG_DURATION_LONG: the TVG_OP_ID_LONG record just before holds the full duration */
    uint32_t op_id;
    uint64_t a, b, c;  /* operand addresses */
};
#define TVG_DURATION_LONG 0xffffffffu

/* Reserved op ids: records that are not plain ops. Real ids count up from 0 and stay below TVG_OP_ID_LIMIT. */
enum { TVG_OP_ID_LIMIT = 1 << 20 };
#define TVG_OP_ID_FIRST_RESERVED 0xfffffff0u
#define TVG_OP_ID_WIDE 0xfffffff1u   /* the dictionary was full: this op's msgpack map follows inline in raw slots, see tvg_record_put */
#define TVG_OP_ID_LONG 0xfffffff2u   /* precedes an op whose duration needs 64 bits: a holds the full duration in ticks */
#define TVG_OP_ID_THREAD 0xfffffff3u /* the ring changed hands: records from here on are of thread `a`; also a ring's very first record */
#define TVG_OP_ID_NONE 0xffffffffu   /* padding: a slot to skip */

/* How one op lies in consecutive slots of a ring: [LONG] op [raw slots]. All of an op's slots are contiguous (no wrap) and are committed
 * together. Raw slots follow a WIDE record: a 32-bit length, then that many bytes of tvg_encode_op's map, zero-filled to whole slots.
 * When an op does not fit before the ring's last slot, fill the rest with tvg_record_pad and start at slot 0. */
enum { TVG_WIDE_MAX = 4096 }; /* bytes of an inline map at most */
static inline unsigned tvg_record_slots(uint64_t duration, size_t wide_length)
{
    return 1u + (duration >= TVG_DURATION_LONG) +
           (wide_length ? (unsigned)((sizeof(uint32_t) + wide_length + sizeof(struct tvg_record) - 1) / sizeof(struct tvg_record)) : 0u);
}
/* Writes an op that needs more than one slot; the plain case is written by the hot path itself. `wide` is NULL unless op_id is TVG_OP_ID_WIDE. */
static inline void tvg_record_put(struct tvg_record *slot, uint64_t start, uint64_t duration, uint32_t op_id, uint64_t a, uint64_t b, uint64_t c,
                                  const void *wide, uint32_t wide_length)
{
    if (duration >= TVG_DURATION_LONG) {
        *slot++ = (struct tvg_record){.start = start, .op_id = TVG_OP_ID_LONG, .a = duration};
        duration = TVG_DURATION_LONG;
    }
    *slot++ = (struct tvg_record){.start = start, .duration = (uint32_t)duration, .op_id = op_id, .a = a, .b = b, .c = c};
    if (wide_length) {
        memset(slot, 0, (size_t)(tvg_record_slots(0, wide_length) - 1) * sizeof *slot);
        memcpy(slot, &wide_length, sizeof wide_length);
        memcpy((char *)slot + sizeof wide_length, wide, wide_length);
    }
}
static inline void tvg_record_pad(struct tvg_record *slot)
{
    *slot = (struct tvg_record){.op_id = TVG_OP_ID_NONE};
}
static inline void tvg_record_thread(struct tvg_record *slot, uint64_t ticks, uint32_t tid)
{
    *slot = (struct tvg_record){.start = ticks, .op_id = TVG_OP_ID_THREAD, .a = tid};
}

/* What an OPS block says of itself beside its columns. */
struct tvg_ops_info {
    uint32_t ring, tid;      /* tid: the thread of the block's first record; TVG_OP_ID_THREAD records change it */
    uint64_t first_sequence; /* sequence number of the first record (slot) in this ring */
    uint32_t count;          /* encoder: records (slots) given; decoder: ops in the columns */
    uint32_t slots;          /* decoder: records of the ring that the block accounts for: the next sequence is first_sequence + slots */
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

/* Decoded columns of one OPS block, count entries each, in the caller's memory. Only ops are rows: padding, LONG and THREAD records are
 * resolved by the codec; the row of a wide op has op_id TVG_OP_ID_WIDE, and its map lies in `wide`. */
struct tvg_ops_columns {
    uint64_t start[TVG_OPS_MAX];    /* ticks */
    uint64_t duration[TVG_OPS_MAX]; /* ticks */
    uint32_t op_id[TVG_OPS_MAX];
    uint64_t a[TVG_OPS_MAX], b[TVG_OPS_MAX], c[TVG_OPS_MAX];
};
/* What decoding finds beside the columns; points into the payload. */
struct tvg_ops_extra {
    const uint8_t *wide;      /* per WIDE row, in order: 32-bit little-endian length, then the map */
    size_t wide_length;
    const uint8_t *handovers; /* pairs of 32-bit little-endian: row from which on, tid */
    uint32_t handover_count;
};

/* Decodes the payload of an OPS block. Returns 0, or -1 when the payload contradicts itself (nothing outside `columns`, `info`, `extra`
 * is touched). `scratch`: TVG_OPS_DECODE_SCRATCH bytes. */
#define TVG_OPS_DECODE_SCRATCH ((size_t)TVG_OPS_MAX * 64u)
int tvg_decode_ops(const void *payload, size_t length, unsigned grid_shift, struct tvg_ops_info *info, struct tvg_ops_columns *columns,
                   struct tvg_ops_extra *extra, void *scratch);

/* Completes a block in place: `payload_length` bytes lie at block + sizeof(struct tvg_block_header). Returns the whole length. */
size_t tvg_block_seal(void *block, enum tvg_block_kind kind, size_t payload_length);
/* Checks a header (24 bytes) read from outside: 0 when its own checksum and magic hold. */
int tvg_block_header_check(const struct tvg_block_header *header);
/* Checks a payload against its header: 0 when it holds. */
int tvg_block_payload_check(const struct tvg_block_header *header, const void *payload);

/* Encodes one dictionary entry as a whole DICT block. Returns bytes written, 0 when `capacity` is too small. */
size_t tvg_encode_dict(void *out, size_t capacity, uint32_t op_id, const struct tvg_op *op);
/* Decodes the payload of a DICT block as tvg_decode_op does, and its op id. */
int tvg_decode_dict(const void *payload, size_t length, uint32_t *op_id, struct tvg_op *op, char *strings, size_t capacity);
/* The bare msgpack map of an op (for wide records). Encode returns bytes written, 0 when `capacity` is too small. Decode returns 0, or -1
 * when it is not a whole map; strings are copied into `strings` (capacity bytes, cut when too small); library and function are never NULL;
 * types and kinds that this build does not know become none and other. */
size_t tvg_encode_op(void *out, size_t capacity, const struct tvg_op *op);
int tvg_decode_op(const void *data, size_t length, struct tvg_op *op, char *strings, size_t capacity);

/* Walks one msgpack value from outside: 0 when it is whole, exactly `length` bytes, a map, at most 16 deep, and no count promises more than
 * the bytes can hold. What passes is safe for msgpack-c's unpacker. The reader does this for every block before it yields it. */
int tvg_msgpack_check(const void *data, size_t length);

/* A small msgpack map writer for every other block kind: no allocation, fails by returning 0 from tvg_map_end when it ran out of room.
 * Keys are short literals listed in FORMAT.md. Maps and arrays may nest through tvg_map_map/_array with a given number of members. */
struct tvg_map {
    uint8_t *out;
    size_t start, used, capacity; /* start: where the outermost map begins */
    uint32_t members; /* of the outermost map, patched in at the end */
    int depth, failed;
    struct { uint32_t left, is_map; } open[8]; /* containers being filled, outermost first */
};
/* Bytes of a block's payload at most; a reader takes a longer length for damage. */
enum { TVG_BLOCK_LENGTH_MAX = 16 << 20 };
void tvg_map_begin(struct tvg_map *map, void *out, size_t capacity);      /* leaves room for the block header */
void tvg_map_begin_bare(struct tvg_map *map, void *out, size_t capacity); /* no block: ends with tvg_map_finish */
void tvg_map_uint(struct tvg_map *map, const char *key, uint64_t value);
void tvg_map_int(struct tvg_map *map, const char *key, int64_t value);
void tvg_map_double(struct tvg_map *map, const char *key, double value);
void tvg_map_string(struct tvg_map *map, const char *key, const char *value); /* NULL writes nil */
void tvg_map_binary(struct tvg_map *map, const char *key, const void *data, size_t length);
void tvg_map_map(struct tvg_map *map, const char *key, uint32_t members);   /* the next `members` key/value calls go inside */
void tvg_map_array(struct tvg_map *map, const char *key, uint32_t members); /* the next `members` value calls (key NULL) go inside */
size_t tvg_map_finish(struct tvg_map *map);                        /* length of the map alone, or 0 */
size_t tvg_map_end(struct tvg_map *map, enum tvg_block_kind kind); /* seals the block; whole length, or 0 */

#endif
