/* The streaming reader: a bounded window over the file, whole blocks out of it, the rings of a killed process after its end.
 * Nothing in the file is believed before its checksum holds, and lengths, counts and ids not even then. */
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../trace/check.h"
#include "../trace/cursor.h"
#include "../trace/rings.h"

enum {
    WINDOW = 256 * 1024,       /* bytes read at once; grows for a longer block */
    ANCHORS_MAX = 8192,        /* thinned to half when full */
    OP_STRINGS = 64 * 1024,    /* strings of one dictionary entry */
    ARENA_CHUNK = 256 * 1024,
    NO_OP = -1,
};

/* --- memory that lives as long as the reader --- */

struct chunk {
    struct chunk *next;
    size_t used, capacity;
};

static void *arena_take(struct chunk **arena, size_t size)
{
    struct chunk *chunk = *arena;
    size = (size + 15) & ~(size_t)15;
    if (!chunk || chunk->capacity - chunk->used < size) {
        size_t capacity = size > ARENA_CHUNK ? size : ARENA_CHUNK;
        chunk = malloc(sizeof *chunk + 16 + capacity);
        if (!chunk)
            return NULL;
        *chunk = (struct chunk){.next = *arena, .capacity = capacity};
        *arena = chunk;
    }
    void *taken = (char *)(chunk + 1) + chunk->used;
    chunk->used += size;
    return taken;
}

static void arena_free(struct chunk *arena)
{
    while (arena) {
        struct chunk *next = arena->next;
        free(arena);
        arena = next;
    }
}

/* An open-addressed set of 64-bit hashes with a value each; hash 0 is stored as 1. */
struct hash_set {
    struct hash_slot { uint64_t hash; void *value; } *slots;
    size_t used, size; /* size: 0 or a power of two */
};

static struct hash_slot *hash_find(struct hash_set *set, uint64_t hash)
{
    size_t at = hash & (set->size - 1);
    while (set->slots[at].hash && set->slots[at].hash != hash)
        at = (at + 1) & (set->size - 1);
    return &set->slots[at];
}

/* The slot for `hash`, empty (value NULL) when it is new; NULL without memory. */
static struct hash_slot *hash_slot(struct hash_set *set, uint64_t hash)
{
    hash |= hash == 0;
    if (set->used * 2 >= set->size) {
        struct hash_set bigger = {.size = set->size ? set->size * 2 : 256, .used = set->used};
        bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
        if (!bigger.slots)
            return NULL;
        for (size_t i = 0; i < set->size; i++)
            if (set->slots[i].hash)
                *hash_find(&bigger, set->slots[i].hash) = set->slots[i];
        free(set->slots);
        *set = bigger;
    }
    struct hash_slot *slot = hash_find(set, hash);
    if (!slot->hash) {
        slot->hash = hash;
        set->used++;
    }
    return slot;
}

/* --- the reader --- */

struct ring_state {
    uint64_t end;  /* sequence number after the last block */
    uint32_t tid;  /* owner at that place */
    bool seen;
};

struct tvg_reader {
    int fd, rings_fd;
    char *path;
    uint64_t size, offset;     /* of the file; of the next block */
    uint8_t *window;
    size_t window_capacity, window_length;
    uint64_t window_offset;

    struct tvg_trace_header header;
    uint64_t header_began;
    struct tvg_damage damage;
    bool in_damage, damage_runs_past;  /* the place being stepped over; its block claims bytes past the end */

    struct tvg_op **ops;       /* by id; NULL: not explained */
    uint32_t op_count, op_capacity;
    uint32_t *remap;           /* file id -> id, for ids whose place a wide op took first; NULL until needed */
    uint8_t *own_id;           /* by id: given by this reader (wide ops), not by the file */
    int64_t unknown_id;        /* stands for ids out of range */
    struct hash_set strings, wides;
    struct chunk *arena;
    char *op_strings;
    struct tvg_op unknown;

    struct ring_state *rings;
    uint32_t ring_capacity;

    struct point { uint64_t ticks, mono_ns; } *anchors;
    uint32_t anchor_count, *hint;
    uint64_t anchor_gap;       /* ticks that two kept anchors are apart at least */

    struct tvg_ops_info info;
    struct tvg_ops_columns *columns;
    struct tvg_ops_extra extra;
    void *scratch;
    uint32_t rows, row, handover; /* what is still to be yielded of the decoded block, and where its next owner begins */
    uint64_t block_offset, block_sequence;
    bool yielding;

    bool recovering;
    struct tvg_rings_header rings_header;
    uint32_t ring_next, ring_total;
    uint64_t recover_at, recover_end;  /* sequence numbers of the ring in work */
    struct tvg_ring ring;
    struct tvg_record *records;
    uint8_t *encoded;
};

/* --- clock --- */

static void clock_add(struct tvg_reader *reader, uint64_t ticks, uint64_t mono_ns)
{
    if (mono_ns == 0)
        return;
    if (reader->anchor_count > 0) {
        struct point *last = &reader->anchors[reader->anchor_count - 1];
        /* Blocks of several rings come a little out of order, and anchors that are close say more about their own noise than the clock's. */
        if (ticks <= last->ticks || mono_ns <= last->mono_ns || ticks - last->ticks < reader->anchor_gap)
            return;
        double rate = (double)(ticks - last->ticks) / (double)(mono_ns - last->mono_ns), usual = tvg_reader_ticks_per_ns(reader);
        if (reader->anchor_count >= 2 && mono_ns - last->mono_ns > 50000000 && (rate > usual * 1.0001 || rate < usual * 0.9999))
            reader->damage.clock_irregular++;
    }
    if (reader->anchor_count == ANCHORS_MAX) {
        for (uint32_t i = 0; i < ANCHORS_MAX / 2; i++)
            reader->anchors[i] = reader->anchors[2 * i];
        reader->anchor_count = ANCHORS_MAX / 2;
        reader->anchor_gap *= 2;
        *reader->hint = 0;
    }
    reader->anchors[reader->anchor_count++] = (struct point){ticks, mono_ns};
}

double tvg_reader_ticks_per_ns(const struct tvg_reader *reader)
{
    if (reader->anchor_count >= 2) {
        const struct point *first = &reader->anchors[0], *last = &reader->anchors[reader->anchor_count - 1];
        if (last->mono_ns - first->mono_ns >= 10000000)
            return (double)(last->ticks - first->ticks) / (double)(last->mono_ns - first->mono_ns);
    }
    return reader->header.ticks_per_ns;
}

/* Signed distance in ticks; exact for any two moments of one run. */
static double distance(uint64_t from, uint64_t to)
{
    return to >= from ? (double)(to - from) : -(double)(from - to);
}

double tvg_reader_mono_ns(const struct tvg_reader *reader, uint64_t ticks)
{
    const struct point *anchors = reader->anchors;
    uint32_t count = reader->anchor_count, at = *reader->hint;
    if (count == 0)
        return distance(reader->header.anchor.ticks, ticks) / reader->header.ticks_per_ns + (double)reader->header.anchor.mono_ns;
    if (count == 1)
        return distance(anchors[0].ticks, ticks) / reader->header.ticks_per_ns + (double)anchors[0].mono_ns;
    /* The segment at..at+1 that holds `ticks`; the first and the last go on beyond their ends. */
    if (at + 2 > count)
        at = count - 2;
    if (!((at == 0 || ticks >= anchors[at].ticks) && (at + 2 == count || ticks < anchors[at + 1].ticks))) {
        uint32_t low = 0, high = count - 1;
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            if (ticks >= anchors[middle].ticks)
                low = middle;
            else
                high = middle;
        }
        at = low;
        *reader->hint = at;
    }
    double rate = (double)(anchors[at + 1].mono_ns - anchors[at].mono_ns) / (double)(anchors[at + 1].ticks - anchors[at].ticks);
    return (double)anchors[at].mono_ns + distance(anchors[at].ticks, ticks) * rate;
}

/* --- dictionary --- */

/* Makes ids below `count` exist. */
static bool ops_reach(struct tvg_reader *reader, uint32_t count)
{
    if (count > reader->op_capacity) {
        uint32_t capacity = reader->op_capacity ? reader->op_capacity : 256;
        while (capacity < count)
            capacity *= 2;
        /* Not grown and cleared: an id far out would have all memory up to it touched. */
        struct tvg_op **ops = calloc(capacity, sizeof *ops);
        uint8_t *own = calloc(capacity, 1);
        if (!ops || !own) {
            free(ops);
            free(own);
            return false;
        }
        if (reader->op_capacity) {
            memcpy(ops, reader->ops, reader->op_capacity * sizeof *ops);
            memcpy(own, reader->own_id, reader->op_capacity);
        }
        free(reader->ops);
        free(reader->own_id);
        reader->ops = ops;
        reader->own_id = own;
        reader->op_capacity = capacity;
    }
    if (count > reader->op_count)
        reader->op_count = count;
    return true;
}

/* A lasting copy of a string, one for all equal ones; NULL for NULL. */
static const char *keep_string(struct tvg_reader *reader, const char *text)
{
    if (!text)
        return NULL;
    size_t length = strlen(text) + 1;
    struct hash_slot *slot = hash_slot(&reader->strings, tvg_checksum(text, length));
    if (slot && slot->value && strcmp(slot->value, text) == 0)
        return slot->value;
    char *copy = arena_take(&reader->arena, length);
    if (!copy)
        return "?";
    memcpy(copy, text, length);
    if (slot && !slot->value)
        slot->value = copy;
    return copy;
}

static struct tvg_op *keep_op(struct tvg_reader *reader, const struct tvg_op *op)
{
    struct tvg_op *copy = arena_take(&reader->arena, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *op;
    copy->library = keep_string(reader, op->library);
    copy->function = keep_string(reader, op->function);
    copy->name = keep_string(reader, op->name);
    copy->caller_library = keep_string(reader, op->caller_library);
    return copy;
}

static bool dict_block(struct tvg_reader *reader, const void *payload, size_t length)
{
    struct tvg_op op;
    uint32_t id;
    if (tvg_decode_dict(payload, length, &id, &op, reader->op_strings, OP_STRINGS) != 0 || id >= TVG_OP_ID_LIMIT)
        return false;
    uint32_t place = id;
    if (id < reader->op_count && reader->own_id[id]) {
        if (!reader->remap && !(reader->remap = calloc(TVG_OP_ID_LIMIT, sizeof *reader->remap)))
            return false;
        if (reader->remap[id])
            return true;
        place = reader->op_count;
        reader->remap[id] = place + 1;
    }
    if (!ops_reach(reader, place + 1))
        return false;
    if (!reader->ops[place]) /* the first meaning holds: ops already yielded had it */
        reader->ops[place] = keep_op(reader, &op);
    return reader->ops[place] != NULL;
}

/* The id of an op that came inline: equal maps share one. NO_OP when the map is not whole or there are too many. */
static int64_t wide_op(struct tvg_reader *reader, const uint8_t *map, uint32_t length)
{
    struct hash_slot *slot = hash_slot(&reader->wides, tvg_checksum(map, length));
    struct tvg_op op;
    if (!slot)
        return NO_OP;
    if (slot->value)
        return (int64_t)((uintptr_t)slot->value - 1);
    uint32_t id = reader->op_count;
    if (id >= 2 * TVG_OP_ID_LIMIT || tvg_decode_op(map, length, &op, reader->op_strings, OP_STRINGS) != 0 || !ops_reach(reader, id + 1))
        return NO_OP;
    reader->ops[id] = keep_op(reader, &op);
    reader->own_id[id] = 1;
    slot->value = (void *)((uintptr_t)id + 1);
    return id;
}

static uint32_t unknown_id(struct tvg_reader *reader)
{
    if (reader->unknown_id < 0 && ops_reach(reader, reader->op_count + 1)) {
        reader->unknown_id = reader->op_count - 1;
        reader->own_id[reader->unknown_id] = 1;
    }
    return reader->unknown_id < 0 ? 0 : (uint32_t)reader->unknown_id;
}

/* Turns the file's ids into the reader's: wide ops get theirs, ids out of range are folded into one. */
static void resolve_ids(struct tvg_reader *reader, uint32_t *id, uint32_t count)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < count; i++)
        largest = id[i] > largest ? id[i] : largest;
    if (largest < reader->op_count && !reader->remap && !reader->wides.used && reader->unknown_id < 0)
        return;
    if (largest < TVG_OP_ID_LIMIT && !reader->remap && !reader->wides.used && reader->unknown_id < 0) {
        ops_reach(reader, largest + 1);
        return;
    }
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (id[i] == TVG_OP_ID_WIDE && at < reader->extra.wide_length) {
            uint32_t length;
            memcpy(&length, reader->extra.wide + at, sizeof length);
            int64_t own = wide_op(reader, reader->extra.wide + at + sizeof length, length);
            at += sizeof length + length;
            id[i] = own >= 0 ? (uint32_t)own : unknown_id(reader);
        } else if (id[i] >= TVG_OP_ID_LIMIT) {
            id[i] = unknown_id(reader);
        } else if (reader->remap && reader->remap[id[i]]) {
            id[i] = reader->remap[id[i]] - 1;
        } else if (id[i] >= reader->op_count) {
            ops_reach(reader, id[i] + 1);
        } else if (reader->own_id[id[i]]) {
            id[i] = unknown_id(reader); /* the file uses an id that it has not explained and that a wide op holds */
        }
        if (id[i] >= reader->op_count) /* no memory for more */
            id[i] = 0;
    }
}

const struct tvg_op *tvg_reader_op(const struct tvg_reader *reader, uint32_t op_id)
{
    return op_id < reader->op_count && reader->ops[op_id] ? reader->ops[op_id] : &reader->unknown;
}

uint32_t tvg_reader_op_count(const struct tvg_reader *reader)
{
    return reader->op_count;
}

/* --- the window over the file --- */

static ssize_t read_fully(int fd, void *out, size_t length, uint64_t offset)
{
    size_t done = 0;
    while (done < length) {
        ssize_t got = pread(fd, (char *)out + done, length - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

/* `length` bytes at `offset`, or NULL when the file does not have them. */
static const uint8_t *view(struct tvg_reader *reader, uint64_t offset, size_t length)
{
    if (offset > reader->size || length > reader->size - offset)
        return NULL;
    if (offset < reader->window_offset || offset + length > reader->window_offset + reader->window_length) {
        if (length > reader->window_capacity) {
            uint8_t *window = realloc(reader->window, length);
            if (!window)
                return NULL;
            reader->window = window;
            reader->window_capacity = length;
        }
        uint64_t left = reader->size - offset;
        size_t wanted = left < reader->window_capacity ? (size_t)left : reader->window_capacity;
        reader->window_length = (size_t)read_fully(reader->fd, reader->window, wanted, offset);
        reader->window_offset = offset;
        if (reader->window_length < length) {
            reader->size = offset + reader->window_length; /* it was cut while we read */
            return NULL;
        }
    }
    return reader->window + (offset - reader->window_offset);
}

/* --- opening --- */

/* `began` 0 on either side matches any: an older recorder, or an unreadable /proc. */
static bool open_rings(struct tvg_reader *reader, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat status;
    struct tvg_rings_header *header = &reader->rings_header;
    if (fd < 0)
        return false;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= TVG_RINGS_PAGE &&
        read_fully(fd, header, sizeof *header, 0) == sizeof *header && tvg_rings_header_check(header) == 0 && header->pid == reader->header.pid &&
        header->start_mono_ns == reader->header_began) {
        uint64_t total = ((uint64_t)status.st_size - TVG_RINGS_PAGE) / header->ring_bytes;
        reader->ring_total = total < TVG_RINGS_MAX ? (uint32_t)total : TVG_RINGS_MAX;
        reader->rings_fd = fd;
        return true;
    }
    close(fd);
    return false;
}

static bool fail_open(struct tvg_reader *reader, struct tvg_error *error, const char *mend, const char *place, const char *cause)
{
    tvg_fail(error, reader->path, place, mend, "%s", cause);
    tvg_reader_close(reader);
    return false;
}

bool tvg_reader_open(struct tvg_reader **out, const char *path, struct tvg_error *error)
{
    struct tvg_reader *reader = calloc(1, sizeof *reader);
    struct tvg_file_header header;
    struct stat status;
    size_t size = 0;
    char place[64], cause[128];
    *out = NULL;
    if (!reader)
        return tvg_fail(error, path, NULL, NULL, "no memory");
    *reader = (struct tvg_reader){.fd = -1, .rings_fd = -1, .unknown_id = -1, .window_capacity = WINDOW, .damage.no_end = true};
    reader->unknown = (struct tvg_op){.library = "?", .function = "?", .device = -1};
    reader->path = strdup(path);
    reader->window = malloc(WINDOW);
    reader->op_strings = malloc(OP_STRINGS);
    reader->anchors = malloc(ANCHORS_MAX * sizeof *reader->anchors);
    reader->hint = calloc(1, sizeof *reader->hint);
    reader->columns = malloc(sizeof *reader->columns);
    reader->scratch = malloc(TVG_OPS_DECODE_SCRATCH);
    if (!reader->path || !reader->window || !reader->op_strings || !reader->anchors || !reader->hint || !reader->columns || !reader->scratch)
        return fail_open(reader, error, NULL, NULL, "no memory");

    reader->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (reader->fd < 0 || fstat(reader->fd, &status) != 0)
        return fail_open(reader, error, errno == ENOENT ? "check the path" : "check who may read it", NULL, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return fail_open(reader, error, "give one trace file of it", NULL, "a folder, not a trace");
    if (!S_ISREG(status.st_mode))
        return fail_open(reader, error, "give a trace file (*.tvg)", NULL, "not a regular file");
    reader->size = (uint64_t)status.st_size;
    if (reader->size == 0)
        return fail_open(reader, error, "the process ended before it wrote anything; record the run again", NULL, "an empty file, not a trace");
    size_t first = reader->size < WINDOW ? (size_t)reader->size : WINDOW;
    const uint8_t *start = view(reader, 0, first);
    if (!start)
        return fail_open(reader, error, "check the disk", NULL, "it can't be read");
    char *strings = malloc(3 * WINDOW);
    if (!strings)
        return fail_open(reader, error, NULL, NULL, "no memory");
    int result = tvg_decode_file_header(start, first, &header, &size, strings, 3 * WINDOW);
    if (result == TVG_HEADER_OK) {
        reader->offset = size;
        reader->header_began = header.process_start_mono_ns;
        reader->header = (struct tvg_trace_header){.version = header.version, .pid = header.pid, .ppid = header.ppid, .grid_shift = header.grid_shift,
                                                   .ticks_per_ns = header.ticks_per_ns, .ticks_are_tsc = header.ticks_are_tsc,
                                                   .anchor = header.anchor, .process_start_mono_ns = header.process_start_mono_ns,
                                                   .cpu_process_ns = header.cpu_process_ns};
        tvg_escape(reader->header.command, sizeof reader->header.command, header.command);
        tvg_escape(reader->header.host, sizeof reader->header.host, header.host);
        if (header.rings && strlen(header.rings) < sizeof reader->header.rings_path)
            strcpy(reader->header.rings_path, header.rings);
    }
    free(strings);
    switch (result) {
    case TVG_HEADER_OK:
        break;
    case TVG_HEADER_NOT_A_TRACE:
        return fail_open(reader, error, "give a file that the tvg shim wrote (*.tvg)", NULL, "not a tvg trace");
    case TVG_HEADER_NEWER:
        snprintf(cause, sizeof cause, "trace format version %u, newer than version %d that this tvg reads", header.version, TVG_FORMAT_VERSION);
        return fail_open(reader, error, "use a newer tvg", NULL, cause);
    case TVG_HEADER_CUT:
        snprintf(place, sizeof place, "byte %llu", (unsigned long long)reader->size);
        return fail_open(reader, error, "the file is cut off before any data; record the run again", place, "the header is cut off");
    default:
        return fail_open(reader, error, "the file was changed after it was written; get a fresh copy or record the run again", "byte 8",
                         "the header is damaged: its checksum does not hold");
    }
    reader->anchor_gap = (uint64_t)(reader->header.ticks_per_ns * 10e6);
    clock_add(reader, header.anchor.ticks, header.anchor.mono_ns);
    *out = reader;
    return true;
}

void tvg_reader_close(struct tvg_reader *reader)
{
    if (!reader)
        return;
    if (reader->fd >= 0)
        close(reader->fd);
    if (reader->rings_fd >= 0)
        close(reader->rings_fd);
    arena_free(reader->arena);
    free(reader->strings.slots);
    free(reader->wides.slots);
    free(reader->path);
    free(reader->window);
    free(reader->ops);
    free(reader->own_id);
    free(reader->remap);
    free(reader->op_strings);
    free(reader->rings);
    free(reader->anchors);
    free(reader->hint);
    free(reader->columns);
    free(reader->scratch);
    free(reader->records);
    free(reader->encoded);
    free(reader);
}

/* --- OPS blocks --- */

static struct ring_state *ring_state(struct tvg_reader *reader, uint32_t number)
{
    if (number >= TVG_RINGS_MAX)
        return NULL;
    if (number >= reader->ring_capacity) {
        uint32_t capacity = reader->ring_capacity ? reader->ring_capacity : 16;
        while (capacity <= number)
            capacity *= 2;
        struct ring_state *rings = realloc(reader->rings, capacity * sizeof *rings);
        if (!rings)
            return NULL;
        memset(rings + reader->ring_capacity, 0, (capacity - reader->ring_capacity) * sizeof *rings);
        reader->rings = rings;
        reader->ring_capacity = capacity;
    }
    return &reader->rings[number];
}

static void handover_at(const struct tvg_reader *reader, uint32_t index, uint32_t pair[2])
{
    memcpy(pair, reader->extra.handovers + (size_t)index * 8, 8);
}

/* Decodes an OPS payload and sets up what is yielded of it. False when it contradicts itself. */
static bool ops_block(struct tvg_reader *reader, const void *payload, size_t length, uint64_t offset)
{
    if (tvg_decode_ops(payload, length, reader->header.grid_shift, &reader->info, reader->columns, &reader->extra, reader->scratch) != 0)
        return false;
    struct tvg_ops_info *info = &reader->info;
    struct ring_state *ring = ring_state(reader, info->ring);
    if (!ring || info->first_sequence > UINT64_MAX - info->slots || (ring->seen && info->slots && info->first_sequence + info->slots <= ring->end))
        return false; /* the same records twice would invent ops */
    if (info->first_sequence > ring->end)
        reader->damage.records_missing += info->first_sequence - ring->end;
    ring->end = info->first_sequence + info->slots;
    ring->seen = true;
    ring->tid = info->tid;
    if (reader->extra.handover_count) {
        uint32_t pair[2];
        handover_at(reader, reader->extra.handover_count - 1, pair);
        ring->tid = pair[1];
    }
    clock_add(reader, info->anchor.ticks, info->anchor.mono_ns);
    resolve_ids(reader, reader->columns->op_id, info->count);
    reader->rows = info->count;
    reader->row = reader->handover = 0;
    reader->block_offset = offset;
    reader->block_sequence = info->first_sequence;
    reader->yielding = true;
    return true;
}

/* Yields the rows up to the next change of owner. The columns of later stretches are moved to the front. */
static bool yield_ops(struct tvg_reader *reader, struct tvg_event *event)
{
    struct tvg_ops_info *info = &reader->info;
    uint32_t pair[2], until = reader->rows;
    while (reader->handover < reader->extra.handover_count) {
        handover_at(reader, reader->handover, pair);
        if (pair[0] > reader->row) {
            until = pair[0] < reader->rows ? pair[0] : reader->rows;
            break;
        }
        info->tid = pair[1];
        reader->handover++;
    }
    if (reader->row > 0) {
        uint32_t from = reader->row, count = until - from;
        struct tvg_ops_columns *columns = reader->columns;
        size_t base = info->count; /* rows of the stretch before: the data begins there */
        memmove(columns->start, columns->start + base, (reader->rows - from) * sizeof *columns->start);
        memmove(columns->duration, columns->duration + base, (reader->rows - from) * sizeof *columns->duration);
        memmove(columns->op_id, columns->op_id + base, (reader->rows - from) * sizeof *columns->op_id);
        memmove(columns->a, columns->a + base, (reader->rows - from) * sizeof *columns->a);
        memmove(columns->b, columns->b + base, (reader->rows - from) * sizeof *columns->b);
        memmove(columns->c, columns->c + base, (reader->rows - from) * sizeof *columns->c);
        info->encode_ticks = 0; /* counted with the first stretch */
        info->count = count;
        info->first_sequence = reader->block_sequence + from;
    } else {
        info->count = until;
    }
    reader->row = until;
    reader->yielding = until < reader->rows;
    *event = (struct tvg_event){.kind = TVG_EVENT_OPS, .block = TVG_BLOCK_OPS, .info = info, .columns = reader->columns, .offset = reader->block_offset};
    return true;
}

/* --- the rings of a process that had no time to encode them --- */

static bool recover_begin(struct tvg_reader *reader)
{
    char beside[4096];
    reader->recovering = true;
    if (!reader->damage.no_end)
        return false; /* a clean end leaves nothing behind; what lies there is another's */
    int length = snprintf(beside, sizeof beside, "%s.rings", reader->path);
    if (!(reader->header.rings_path[0] && open_rings(reader, reader->header.rings_path)) &&
        !(length > 0 && (size_t)length < sizeof beside && open_rings(reader, beside)))
        return false;
    reader->records = malloc((size_t)reader->rings_header.slots * sizeof *reader->records);
    reader->encoded = malloc(TVG_OPS_ENCODED_MAX(reader->rings_header.slots) + TVG_OPS_SCRATCH(reader->rings_header.slots));
    return reader->records && reader->encoded;
}

/* Takes the next ring's header: what of it is not in the trace. */
static void recover_ring(struct tvg_reader *reader)
{
    uint64_t offset = TVG_RINGS_PAGE + (uint64_t)reader->ring_next++ * reader->rings_header.ring_bytes;
    struct tvg_ring *ring = &reader->ring;
    reader->recover_at = reader->recover_end = 0;
    if (read_fully(reader->rings_fd, ring, sizeof *ring, offset) != sizeof *ring || ring->state == TVG_RING_UNUSED)
        return;
    struct ring_state *state = ring_state(reader, ring->number);
    if (!state || ring->slots != reader->rings_header.slots || ring->committed < ring->encoded || ring->committed < state->end) {
        reader->damage.blocks_damaged++;
        return;
    }
    uint64_t from = state->end > ring->encoded ? state->end : ring->encoded;
    if (ring->committed - from > ring->slots) {
        reader->damage.records_missing += ring->committed - from - ring->slots;
        from = ring->committed - ring->slots;
    }
    clock_add(reader, ring->anchor.ticks, ring->anchor.mono_ns);
    reader->recover_at = from;
    reader->recover_end = ring->committed;
}

/* The next stretch of a ring as a block: encoded and decoded again, so that recovered ops are what they would have been. */
static bool recover_stretch(struct tvg_reader *reader)
{
    struct tvg_ring *ring = &reader->ring;
    uint32_t slot = (uint32_t)(reader->recover_at % ring->slots), count = ring->slots - slot;
    if (count > reader->recover_end - reader->recover_at)
        count = (uint32_t)(reader->recover_end - reader->recover_at);
    uint64_t offset = TVG_RINGS_PAGE + (uint64_t)(reader->ring_next - 1) * reader->rings_header.ring_bytes + TVG_RINGS_PAGE + (uint64_t)slot * sizeof(struct tvg_record);
    size_t bytes = count * sizeof *reader->records;
    struct ring_state *state = ring_state(reader, ring->number);
    struct tvg_ops_info info = {.ring = ring->number, .tid = state->seen ? state->tid : ring->tid, .first_sequence = reader->recover_at, .count = count};
    reader->recover_at += count;
    if ((size_t)read_fully(reader->rings_fd, reader->records, bytes, offset) != bytes) {
        reader->damage.records_missing += count;
        return false;
    }
    size_t length = tvg_encode_ops(reader->encoded, &info, reader->header.grid_shift, reader->records,
                                   reader->encoded + TVG_OPS_ENCODED_MAX(ring->slots));
    if (length < sizeof(struct tvg_block_header) ||
        !ops_block(reader, reader->encoded + sizeof(struct tvg_block_header), length - sizeof(struct tvg_block_header), reader->size)) {
        reader->damage.records_missing += count;
        return false;
    }
    reader->damage.ops_recovered += reader->rows;
    return true;
}

static int recover_next(struct tvg_reader *reader, struct tvg_event *event)
{
    if (!reader->recovering && !recover_begin(reader))
        reader->ring_total = 0;
    for (;;) {
        while (reader->recover_at < reader->recover_end)
            if (recover_stretch(reader))
                return yield_ops(reader, event);
        if (reader->ring_next >= reader->ring_total)
            return 0;
        recover_ring(reader);
    }
}

/* --- blocks --- */

/* Begins or goes on with a damaged place: moves to the next block mark whose header holds. */
static void step_over(struct tvg_reader *reader, bool runs_past)
{
    uint64_t from = reader->offset, at = from + 1;
    if (!reader->in_damage) {
        if (!reader->damage.blocks_damaged && !reader->damage.cut_off)
            reader->damage.first_offset = from;
        reader->damage.blocks_damaged++;
        reader->in_damage = true;
        reader->damage_runs_past = runs_past;
    }
    const uint32_t mark = TVG_BLOCK_MAGIC;
    uint64_t found = reader->size;
    while (at + sizeof mark <= reader->size) {
        /* What the window still holds is looked at first: reading it again for each false mark would take hours on a file full of them. */
        uint64_t left = reader->size - at, held = reader->window_offset + reader->window_length;
        size_t length = left < WINDOW ? (size_t)left : WINDOW;
        if (at >= reader->window_offset && at + sizeof(struct tvg_block_header) < held && held - at < length)
            length = (size_t)(held - at);
        const uint8_t *bytes = view(reader, at, length);
        if (!bytes)
            break;
        const uint8_t *hit = memmem(bytes, length, &mark, sizeof mark);
        if (!hit) {
            at += length - (sizeof mark - 1);
            continue;
        }
        at += (uint64_t)(hit - bytes);
        struct tvg_block_header header;
        const uint8_t *raw = view(reader, at, sizeof header);
        if (!raw)
            break;
        memcpy(&header, raw, sizeof header);
        if (tvg_block_header_check(&header) == 0) {
            found = at;
            break;
        }
        at++;
    }
    if (found > reader->size)
        found = reader->size;
    reader->damage.bytes_skipped += found - from;
    reader->offset = found;
    if (found == reader->size && reader->damage_runs_past) {
        reader->damage.blocks_damaged--;
        reader->damage.cut_off = true;
    }
}

static void count_lost(struct tvg_reader *reader, const uint8_t *payload, uint32_t length)
{
    struct tvg_cursor cursor = {payload, payload + length};
    struct tvg_token map = tvg_cursor_next(&cursor);
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token key = tvg_cursor_next(&cursor);
        struct tvg_cursor inside = cursor;
        struct tvg_token value = tvg_cursor_next(&inside);
        if (key.kind != TVG_TOKEN_STRING || !tvg_cursor_skip(&cursor, 16))
            return;
        uint64_t count = tvg_token_uint(&value, 0);
        if (tvg_token_is(&key, "count"))
            reader->damage.ops_lost += count < UINT64_MAX - reader->damage.ops_lost ? count : UINT64_MAX - reader->damage.ops_lost;
    }
}

/* A payload whose checksum holds but which makes no sense: counted, and only this block is left out. */
static void refuse_block(struct tvg_reader *reader, uint64_t offset, uint64_t bytes)
{
    if (!reader->damage.blocks_damaged && !reader->damage.cut_off)
        reader->damage.first_offset = offset;
    reader->damage.blocks_damaged++;
    reader->damage.bytes_skipped += bytes;
}

int tvg_reader_next(struct tvg_reader *reader, struct tvg_event *event)
{
    if (reader->yielding)
        return yield_ops(reader, event);
    while (reader->offset < reader->size) {
        struct tvg_block_header header;
        const uint8_t *raw = view(reader, reader->offset, sizeof header);
        if (!raw) {
            step_over(reader, true);
            continue;
        }
        memcpy(&header, raw, sizeof header);
        if (tvg_block_header_check(&header) != 0) {
            step_over(reader, false);
            continue;
        }
        uint64_t offset = reader->offset, bytes = sizeof header + (uint64_t)header.length;
        if (bytes > reader->size - offset || !(raw = view(reader, offset, (size_t)bytes))) {
            step_over(reader, true);
            continue;
        }
        const uint8_t *payload = raw + sizeof header;
        if (tvg_block_payload_check(&header, payload) != 0) {
            step_over(reader, false);
            continue;
        }
        reader->in_damage = false;
        reader->offset += bytes;
        if (header.kind == TVG_BLOCK_OPS) {
            if (ops_block(reader, payload, header.length, offset))
                return yield_ops(reader, event);
            refuse_block(reader, offset, bytes);
            continue;
        }
        if (header.kind < TVG_BLOCK_OPS || header.kind >= TVG_BLOCK_KINDS)
            continue; /* a kind of a later recorder */
        if (tvg_msgpack_check(payload, header.length) != 0) {
            refuse_block(reader, offset, bytes);
            continue;
        }
        if (header.kind == TVG_BLOCK_DICT) {
            if (!dict_block(reader, payload, header.length))
                refuse_block(reader, offset, bytes);
            continue;
        }
        if (header.kind == TVG_BLOCK_LOST)
            count_lost(reader, payload, header.length);
        if (header.kind == TVG_BLOCK_END)
            reader->damage.no_end = false;
        *event = (struct tvg_event){.kind = TVG_EVENT_BLOCK, .block = header.kind, .payload = payload, .length = header.length, .offset = offset};
        return 1;
    }
    return recover_next(reader, event);
}

int tvg_reader_next_of(struct tvg_reader *reader, enum tvg_block_kind kind, struct tvg_event *event)
{
    while (reader->offset < reader->size) {
        struct tvg_block_header header;
        uint64_t offset = reader->offset;
        const uint8_t *raw;
        if (read_fully(reader->fd, &header, sizeof header, offset) != sizeof header || tvg_block_header_check(&header) != 0 ||
            header.length > reader->size - offset - sizeof header) {
            step_over(reader, false);
            continue;
        }
        reader->in_damage = false;
        reader->offset += sizeof header + (uint64_t)header.length;
        if (header.kind != kind || !(raw = view(reader, offset, sizeof header + (size_t)header.length)))
            continue;
        raw += sizeof header;
        if (tvg_block_payload_check(&header, raw) != 0 || tvg_msgpack_check(raw, header.length) != 0)
            continue;
        *event = (struct tvg_event){.kind = TVG_EVENT_BLOCK, .block = kind, .payload = raw, .length = header.length, .offset = offset};
        return 1;
    }
    return 0;
}

const struct tvg_trace_header *tvg_reader_header(const struct tvg_reader *reader)
{
    return &reader->header;
}

const struct tvg_damage *tvg_reader_damage(const struct tvg_reader *reader)
{
    return &reader->damage;
}

uint64_t tvg_reader_bytes_read(const struct tvg_reader *reader)
{
    return reader->offset;
}

uint64_t tvg_reader_bytes_total(const struct tvg_reader *reader)
{
    return reader->size;
}
