/* OPS blocks: records of a ring as columns of zigzag varint deltas. The encoder runs inside the host program, on the thread that filled
 * its ring: one pass over the records, LZ4 only on columns where it pays, no allocation. FORMAT.md, "OPS", is the specification. */
#include "block.h"
#include "cursor.h"

#include <lz4.h>

/* How a column's bytes are stored: its first byte. */
enum column_codec { COLUMN_ZERO = 0, COLUMN_RAW = 1, COLUMN_LZ4 = 2, COLUMN_UNSIGNED = 3 };
enum { COLUMN_PREFIX = 5 /* codec, and for LZ4 the 32-bit raw length */, VARINT_MAX = 10 };
enum { COLUMN_GAP, COLUMN_DURATION, COLUMN_ID, COLUMN_A, COLUMN_B, COLUMN_C, COLUMN_COUNT };
static const char *const column_keys[COLUMN_COUNT] = {"gap", "dur", "id", "a", "b", "c"};

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline uint64_t zigzag(uint64_t delta)
{
    return delta << 1 ^ (uint64_t)((int64_t)delta >> 63);
}

static inline uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

static inline uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    while (UNLIKELY(value >= 0x80)) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

/* The same without a branch on the length: gaps and durations change theirs from op to op, and a guess that fails costs more than the work.
 * May write 3 bytes beyond what it takes. */
static inline uint8_t *put_time(uint8_t *at, uint64_t value)
{
    if (UNLIKELY(value >= 1u << 28))
        return put_varint(at, value);
    uint32_t v = (uint32_t)value;
    uint32_t longer = (v >= 1u << 7) + (v >= 1u << 14) + (v >= 1u << 21);
    uint32_t spread = (v & 0x7f) | (v & 0x3f80) << 1 | (v & 0x1fc000) << 2 | (v & 0xfe00000) << 3;
    spread |= 0x808080u & ((1u << 8 * longer) - 1);
    memcpy(at, &spread, sizeof spread); /* little-endian, as the format is */
    return at + 1 + longer;
}

/* A column being filled: `begin` is where its prefix starts. */
struct column {
    uint8_t *begin, *at;
    uint64_t any; /* all values or-ed: 0 for a column of zeros */
};

/* Stores one column in the map: zeros as nothing, COLUMN_LZ4 only when that saves an eighth, else COLUMN_RAW. */
static void put_column(struct tvg_map *map, const char *key, struct column *column, enum column_codec codec, void *lz4_state, uint8_t *room,
                       size_t room_size)
{
    uint8_t *data = column->begin + COLUMN_PREFIX;
    uint32_t raw = (uint32_t)(column->at - data);
    if (column->any == 0) {
        *column->begin = COLUMN_ZERO;
        tvg_map_binary(map, key, column->begin, 1);
        return;
    }
    if (codec == COLUMN_LZ4 && raw > 64) {
        size_t limit = raw - raw / 8;
        if (limit > room_size - COLUMN_PREFIX)
            limit = room_size - COLUMN_PREFIX;
        int packed = LZ4_compress_fast_extState(lz4_state, (const char *)data, (char *)room + COLUMN_PREFIX, (int)raw, (int)limit, 1);
        if (packed > 0) {
            *room = COLUMN_LZ4;
            memcpy(room + 1, &raw, sizeof raw);
            tvg_map_binary(map, key, room, COLUMN_PREFIX + (size_t)packed);
            return;
        }
    }
    data[-1] = codec == COLUMN_LZ4 ? COLUMN_RAW : (uint8_t)codec;
    tvg_map_binary(map, key, data - 1, raw + 1);
}

/* Slots of the raw data behind a WIDE record at `record`, 0 when they are not whole. */
static uint32_t wide_slots(const struct tvg_record *record, uint32_t left, uint32_t *length)
{
    if (left < 2)
        return 0;
    memcpy(length, record + 1, sizeof *length);
    uint32_t slots = tvg_record_slots(0, *length) - 1;
    return *length > 0 && *length <= TVG_WIDE_MAX && slots <= left - 1 ? slots : 0;
}

/* What the pass over the records finds beside the columns. */
struct filled {
    uint64_t base; /* start of the first op, in grid units */
    uint32_t rows, handovers, wides;
};

/* Fills the columns in one pass. Gaps are unsigned unless `signed_gaps`; false when an op began before the end of the one before it, which
 * unsigned gaps would write in ten bytes each: then call again with signed ones. */
static bool fill_columns(struct column *column, struct filled *filled, const struct tvg_record *records, uint32_t count, unsigned grid_shift,
                         bool signed_gaps)
{
    uint8_t *at[COLUMN_COUNT];
    uint64_t any[COLUMN_COUNT] = {0};
    for (int i = 0; i < COLUMN_COUNT; i++)
        at[i] = column[i].begin + COLUMN_PREFIX;
    uint64_t half = grid_shift ? 1ull << (grid_shift - 1) : 0;
    uint64_t end = 0, a = 0, b = 0, c = 0, full_duration = 0;
    uint32_t id = 0;
    bool have_full = false;
    *filled = (struct filled){0};
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_record *record = &records[i];
        uint64_t duration = record->duration;
        uint32_t skip = 0;
        if (UNLIKELY(record->op_id >= TVG_OP_ID_FIRST_RESERVED || duration == TVG_DURATION_LONG)) {
            uint32_t length;
            if (record->op_id == TVG_OP_ID_LONG) {
                full_duration = record->a;
                have_full = true;
                continue;
            }
            if (record->op_id == TVG_OP_ID_THREAD) {
                filled->handovers++;
                continue;
            }
            if (record->op_id == TVG_OP_ID_WIDE && (skip = wide_slots(record, count - i, &length)) != 0)
                filled->wides++;
            else if (record->op_id >= TVG_OP_ID_FIRST_RESERVED)
                continue; /* padding, and what no recorder writes */
            if (duration == TVG_DURATION_LONG && have_full)
                duration = full_duration;
            have_full = false;
        }
        uint64_t start_units = (record->start + half) >> grid_shift, end_units = (record->start + duration + half) >> grid_shift;
        if (UNLIKELY(filled->rows == 0))
            filled->base = end = start_units;
        uint64_t gap = start_units - end, units = end_units - start_units;
        if (UNLIKELY(gap >> 63 && !signed_gaps))
            return false;
        if (signed_gaps)
            gap = zigzag(gap);
        uint32_t turn = record->op_id - id;
        uint64_t id_delta = turn << 1 ^ (0 - (turn >> 31));
        uint64_t a_delta = zigzag(record->a - a), b_delta = zigzag(record->b - b), c_delta = zigzag(record->c - c);
        any[COLUMN_GAP] |= gap, any[COLUMN_DURATION] |= units, any[COLUMN_ID] |= id_delta;
        any[COLUMN_A] |= a_delta, any[COLUMN_B] |= b_delta, any[COLUMN_C] |= c_delta;
        at[COLUMN_GAP] = put_time(at[COLUMN_GAP], gap);
        at[COLUMN_DURATION] = put_time(at[COLUMN_DURATION], units);
        at[COLUMN_ID] = put_varint(at[COLUMN_ID], id_delta);
        at[COLUMN_A] = put_varint(at[COLUMN_A], a_delta);
        at[COLUMN_B] = put_varint(at[COLUMN_B], b_delta);
        at[COLUMN_C] = put_varint(at[COLUMN_C], c_delta);
        end = end_units, id = record->op_id, a = record->a, b = record->b, c = record->c;
        filled->rows++;
        i += skip;
    }
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column[i].at = at[i];
        column[i].any = any[i];
    }
    return true;
}

size_t tvg_encode_ops(void *out, const struct tvg_ops_info *info, unsigned grid_shift, const struct tvg_record *records, void *scratch)
{
    uint32_t count = info->count < TVG_OPS_MAX ? info->count : TVG_OPS_MAX;
    uint8_t *lz4_state = (uint8_t *)(((uintptr_t)scratch + 15) & ~(uintptr_t)15);
    uint8_t *next = lz4_state + LZ4_sizeofState();
    struct column column[COLUMN_COUNT];
    struct filled filled;
    for (int i = 0; i < COLUMN_COUNT; i++) {
        column[i].begin = next;
        next += COLUMN_PREFIX + (size_t)count * (i == COLUMN_ID ? 5 : VARINT_MAX);
    }
    bool backward = !fill_columns(column, &filled, records, count, grid_shift, false);
    if (backward)
        fill_columns(column, &filled, records, count, grid_shift, true);
    const enum column_codec codec[COLUMN_COUNT] = {backward ? COLUMN_RAW : COLUMN_UNSIGNED, COLUMN_UNSIGNED, COLUMN_LZ4, COLUMN_LZ4, COLUMN_LZ4, COLUMN_LZ4};

    struct tvg_map map;
    tvg_map_begin(&map, out, TVG_OPS_ENCODED_MAX(info->count));
    tvg_map_uint(&map, "ring", info->ring);
    tvg_map_uint(&map, "tid", info->tid);
    tvg_map_uint(&map, "seq", info->first_sequence);
    tvg_map_uint(&map, "slots", count);
    tvg_map_uint(&map, "n", filled.rows);
    tvg_map_array(&map, "at", 3);
    tvg_map_uint(&map, NULL, info->anchor.ticks);
    tvg_map_uint(&map, NULL, info->anchor.mono_ns);
    tvg_map_uint(&map, NULL, info->anchor.wall_ns);
    tvg_map_array(&map, "cpu", 2);
    tvg_map_uint(&map, NULL, info->cpu_process_ns);
    tvg_map_uint(&map, NULL, info->cpu_thread_ns);
    tvg_map_uint(&map, "own", info->encode_ticks);
    tvg_map_uint(&map, "base", filled.base);
    size_t room_size = (size_t)((uint8_t *)scratch + TVG_OPS_SCRATCH(info->count) - next);
    for (int i = 0; i < COLUMN_COUNT; i++)
        put_column(&map, column_keys[i], &column[i], codec[i], lz4_state, next, room_size);

    if (UNLIKELY(filled.wides | filled.handovers)) { /* the columns are in the map: their room is free again */
        uint8_t *wide = column[0].begin, *wide_at = wide;
        for (uint32_t i = 0; filled.wides && i < count; i++) {
            uint32_t length, slots;
            if (records[i].op_id != TVG_OP_ID_WIDE || (slots = wide_slots(&records[i], count - i, &length)) == 0)
                continue;
            memcpy(wide_at, &records[i + 1], sizeof length + length);
            wide_at += sizeof length + length;
            i += slots;
        }
        if (filled.wides)
            tvg_map_binary(&map, "wide", wide, (size_t)(wide_at - wide));
        uint8_t *hand_at = wide;
        for (uint32_t i = 0, row = 0; filled.handovers && i < count; i++) {
            uint32_t length, pair[2] = {row, (uint32_t)records[i].a};
            if (records[i].op_id == TVG_OP_ID_THREAD) {
                memcpy(hand_at, pair, sizeof pair);
                hand_at += sizeof pair;
            } else if (records[i].op_id == TVG_OP_ID_WIDE) {
                uint32_t slots = wide_slots(&records[i], count - i, &length);
                row += slots != 0;
                i += slots;
            } else if (records[i].op_id < TVG_OP_ID_FIRST_RESERVED) {
                row++;
            }
        }
        if (filled.handovers)
            tvg_map_binary(&map, "hand", wide, (size_t)(hand_at - wide));
    }
    return tvg_map_end(&map, TVG_BLOCK_OPS);
}

/* One varint; NULL when it runs past `end` or past 64 bits. */
static inline const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, uint64_t *value)
{
    if (LIKELY(at < end && *at < 0x80)) {
        *value = *at;
        return at + 1;
    }
    uint64_t result = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return at;
        }
    }
    return NULL;
}

/* Finds a column's varints: `*at`..`*end`, unpacked into scratch when they are compressed. False when they contradict `rows`. */
static bool open_column(const struct tvg_token *token, uint32_t rows, void *scratch, const uint8_t **at, const uint8_t **end)
{
    static const uint8_t nothing[1];
    if (token->kind != TVG_TOKEN_BINARY || token->length < 1)
        return false;
    switch (token->data[0]) {
    case COLUMN_ZERO:
        *at = *end = nothing;
        return token->length == 1;
    case COLUMN_RAW:
    case COLUMN_UNSIGNED:
        *at = token->data + 1;
        *end = token->data + token->length;
        return token->length - 1 >= rows;
    case COLUMN_LZ4: {
        uint32_t raw;
        if (token->length < COLUMN_PREFIX)
            return false;
        memcpy(&raw, token->data + 1, sizeof raw);
        if (raw < rows || raw > (uint64_t)rows * VARINT_MAX)
            return false;
        *at = scratch;
        *end = *at + raw;
        return LZ4_decompress_safe((const char *)token->data + COLUMN_PREFIX, scratch, (int)(token->length - COLUMN_PREFIX), (int)raw) == (int)raw;
    }
    default:
        return false;
    }
}

/* Decodes deltas into running sums. */
static bool sum_column(const struct tvg_token *token, uint32_t rows, void *scratch, uint64_t *out)
{
    const uint8_t *at, *end;
    uint64_t sum = 0, value;
    if (!open_column(token, rows, scratch, &at, &end) || token->data[0] == COLUMN_UNSIGNED)
        return false;
    if (token->data[0] == COLUMN_ZERO) {
        memset(out, 0, rows * sizeof *out);
        return true;
    }
    for (uint32_t i = 0; i < rows; i++) {
        if (UNLIKELY((at = get_varint(at, end, &value)) == NULL))
            return false;
        out[i] = sum += unzigzag(value);
    }
    return at == end;
}

static bool id_column(const struct tvg_token *token, uint32_t rows, void *scratch, uint32_t *out)
{
    const uint8_t *at, *end;
    uint64_t value;
    uint32_t sum = 0;
    if (!open_column(token, rows, scratch, &at, &end) || token->data[0] == COLUMN_UNSIGNED)
        return false;
    if (token->data[0] == COLUMN_ZERO) {
        memset(out, 0, rows * sizeof *out);
        return true;
    }
    for (uint32_t i = 0; i < rows; i++) {
        if (UNLIKELY((at = get_varint(at, end, &value)) == NULL || value > UINT32_MAX))
            return false;
        out[i] = sum += (uint32_t)(value >> 1) ^ (0 - (uint32_t)(value & 1));
    }
    return at == end;
}

/* Gap and duration columns become starts and durations in ticks. */
static bool time_columns(const struct tvg_token *gaps, const struct tvg_token *durations, uint32_t rows, uint64_t base, unsigned shift, void *scratch,
                         uint64_t *start, uint64_t *duration)
{
    const uint8_t *at, *end, *duration_at, *duration_end;
    uint64_t now = base, gap = 0, units = 0;
    if (!open_column(gaps, rows, scratch, &at, &end) ||
        !open_column(durations, rows, (uint8_t *)scratch + (size_t)rows * VARINT_MAX, &duration_at, &duration_end))
        return false;
    bool have_gaps = gaps->data[0] != COLUMN_ZERO, have_durations = durations->data[0] != COLUMN_ZERO;
    bool plain_gaps = gaps->data[0] == COLUMN_UNSIGNED, plain_durations = durations->data[0] == COLUMN_UNSIGNED;
    for (uint32_t i = 0; i < rows; i++) {
        if (have_gaps && UNLIKELY((at = get_varint(at, end, &gap)) == NULL))
            return false;
        if (have_durations && UNLIKELY((duration_at = get_varint(duration_at, duration_end, &units)) == NULL))
            return false;
        uint64_t length = plain_durations ? units : unzigzag(units);
        now += plain_gaps ? gap : unzigzag(gap);
        start[i] = now << shift;
        duration[i] = length << shift;
        now += length;
    }
    return at == end && duration_at == duration_end;
}

static uint64_t member(const struct tvg_token *array, struct tvg_cursor *cursor)
{
    struct tvg_token token = {0};
    if (array->kind == TVG_TOKEN_ARRAY)
        token = tvg_cursor_next(cursor);
    return tvg_token_uint(&token, 0);
}

/* Every inline map must be whole: the reader walks them without looking at the end again. */
static bool wide_holds(const struct tvg_ops_extra *extra)
{
    size_t at = 0;
    while (at < extra->wide_length) {
        uint32_t length;
        if (extra->wide_length - at < sizeof length)
            return false;
        memcpy(&length, extra->wide + at, sizeof length);
        if (length > TVG_WIDE_MAX || length > extra->wide_length - at - sizeof length)
            return false;
        at += sizeof length + length;
    }
    return true;
}

static bool handovers_hold(const struct tvg_ops_extra *extra, uint32_t rows)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < extra->handover_count; i++) {
        uint32_t row;
        memcpy(&row, extra->handovers + (size_t)i * 8, sizeof row);
        if (row < last || row > rows)
            return false;
        last = row;
    }
    return true;
}

int tvg_decode_ops(const void *payload, size_t length, unsigned grid_shift, struct tvg_ops_info *info, struct tvg_ops_columns *columns,
                   struct tvg_ops_extra *extra, void *scratch)
{
    struct tvg_cursor cursor = {payload, (const uint8_t *)payload + length};
    struct tvg_token map = tvg_cursor_next(&cursor), column[COLUMN_COUNT] = {0};
    uint64_t rows = UINT64_MAX, slots = UINT64_MAX, base = 0;

    *info = (struct tvg_ops_info){0};
    *extra = (struct tvg_ops_extra){0};
    if (map.kind != TVG_TOKEN_MAP || grid_shift > 32)
        return -1;
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token key = tvg_cursor_next(&cursor);
        struct tvg_cursor inside = cursor;
        struct tvg_token value = tvg_cursor_next(&inside);
        if (key.kind != TVG_TOKEN_STRING || !tvg_cursor_skip(&cursor, 16))
            return -1;
        for (int j = 0; j < COLUMN_COUNT; j++)
            if (tvg_token_is(&key, column_keys[j]))
                column[j] = value;
        if (tvg_token_is(&key, "ring")) {
            info->ring = (uint32_t)tvg_token_uint(&value, 0);
        } else if (tvg_token_is(&key, "tid")) {
            info->tid = (uint32_t)tvg_token_uint(&value, 0);
        } else if (tvg_token_is(&key, "seq")) {
            info->first_sequence = tvg_token_uint(&value, 0);
        } else if (tvg_token_is(&key, "slots")) {
            slots = tvg_token_uint(&value, UINT64_MAX);
        } else if (tvg_token_is(&key, "n")) {
            rows = tvg_token_uint(&value, UINT64_MAX);
        } else if (tvg_token_is(&key, "base")) {
            base = tvg_token_uint(&value, 0);
        } else if (tvg_token_is(&key, "own")) {
            info->encode_ticks = tvg_token_uint(&value, 0);
        } else if (tvg_token_is(&key, "at")) {
            info->anchor.ticks = member(&value, &inside);
            info->anchor.mono_ns = member(&value, &inside);
            info->anchor.wall_ns = member(&value, &inside);
        } else if (tvg_token_is(&key, "cpu")) {
            info->cpu_process_ns = member(&value, &inside);
            info->cpu_thread_ns = member(&value, &inside);
        } else if (tvg_token_is(&key, "wide") && value.kind == TVG_TOKEN_BINARY) {
            extra->wide = value.data;
            extra->wide_length = value.length;
        } else if (tvg_token_is(&key, "hand") && value.kind == TVG_TOKEN_BINARY) {
            extra->handovers = value.data;
            extra->handover_count = value.length / 8;
        }
    }
    if (rows > TVG_OPS_MAX || slots > TVG_OPS_MAX || rows > slots)
        return -1;
    info->count = (uint32_t)rows;
    info->slots = (uint32_t)slots;
    if (!wide_holds(extra) || !handovers_hold(extra, info->count))
        return -1;
    if (!time_columns(&column[COLUMN_GAP], &column[COLUMN_DURATION], info->count, base, grid_shift, scratch, columns->start, columns->duration) ||
        !id_column(&column[COLUMN_ID], info->count, scratch, columns->op_id) || !sum_column(&column[COLUMN_A], info->count, scratch, columns->a) ||
        !sum_column(&column[COLUMN_B], info->count, scratch, columns->b) || !sum_column(&column[COLUMN_C], info->count, scratch, columns->c))
        return -1;
    return 0;
}
