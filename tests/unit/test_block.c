/* The codec: what goes in comes out, times to the grid with exact sums, and nothing contradictory is accepted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "trace/block.h"
#include "trace/cursor.h"
#include "trace/rings.h"

static uint64_t seed = 88172645463325252u;
static uint64_t random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

struct codec {
    uint8_t *block;
    void *scratch, *decode_scratch;
    struct tvg_ops_columns *columns;
    struct tvg_ops_extra extra;
    struct tvg_ops_info info;
    size_t length;
};

static struct codec codec_new(uint32_t count)
{
    /* exactly what the header promises to be enough: the sanitizers see a byte beyond */
    return (struct codec){malloc(TVG_OPS_ENCODED_MAX(count)), malloc(TVG_OPS_SCRATCH(count)), malloc(TVG_OPS_DECODE_SCRATCH), malloc(sizeof(struct tvg_ops_columns)), {0}, {0}, 0};
}

static void codec_free(struct codec *codec)
{
    free(codec->block);
    free(codec->scratch);
    free(codec->decode_scratch);
    free(codec->columns);
}

static int round_trip(struct codec *codec, const struct tvg_record *records, uint32_t count, unsigned shift)
{
    struct tvg_ops_info info = {.ring = 3, .tid = 77, .first_sequence = 1ull << 40, .count = count, .anchor = {1, 2, 3}, .cpu_process_ns = 4, .cpu_thread_ns = 5, .encode_ticks = 6};
    struct tvg_block_header header;
    codec->length = tvg_encode_ops(codec->block, &info, shift, records, codec->scratch);
    assert_true(codec->length > sizeof header && codec->length <= TVG_OPS_ENCODED_MAX(count));
    memcpy(&header, codec->block, sizeof header);
    assert_int_equal(tvg_block_header_check(&header), 0);
    assert_int_equal(header.kind, TVG_BLOCK_OPS);
    assert_int_equal(header.length + sizeof header, codec->length);
    assert_int_equal(tvg_block_payload_check(&header, codec->block + sizeof header), 0);
    assert_int_equal(tvg_msgpack_check(codec->block + sizeof header, header.length), 0);
    return tvg_decode_ops(codec->block + sizeof header, header.length, shift, &codec->info, codec->columns, &codec->extra, codec->decode_scratch);
}

static struct tvg_record *encoder_like(uint32_t count)
{
    struct tvg_record *records = calloc(count, sizeof *records);
    uint64_t now = 1000000007;
    for (uint32_t i = 0; i < count; i++) {
        now += 200 + random64() % 5000;
        records[i] = (struct tvg_record){.start = now, .duration = (uint32_t)(500 + random64() % 100000), .op_id = i % 14,
                                         .a = 0x7f0000000000 + i % 14 * 4096, .b = 0x7f1000000000 + random64() % 64 * 64, .c = 0x55550000 + random64() % 4096 * 16};
        now += records[i].duration;
    }
    return records;
}

static void exact_round_trip(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 2, 100, 4096, TVG_OPS_MAX};
    for (size_t s = 0; s < sizeof counts / sizeof counts[0]; s++) {
        uint32_t count = counts[s];
        struct codec codec = codec_new(count);
        struct tvg_record *records = encoder_like(count);
        assert_int_equal(round_trip(&codec, records, count, 0), 0);
        assert_int_equal(codec.info.count, count);
        assert_int_equal(codec.info.slots, count);
        assert_int_equal(codec.info.ring, 3);
        assert_int_equal(codec.info.tid, 77);
        assert_true(codec.info.first_sequence == 1ull << 40);
        assert_int_equal(codec.info.anchor.ticks, 1);
        assert_int_equal(codec.info.anchor.mono_ns, 2);
        assert_int_equal(codec.info.anchor.wall_ns, 3);
        assert_int_equal(codec.info.cpu_process_ns, 4);
        assert_int_equal(codec.info.cpu_thread_ns, 5);
        assert_int_equal(codec.info.encode_ticks, 6);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(codec.columns->start[i] == records[i].start);
            assert_true(codec.columns->duration[i] == records[i].duration);
            assert_int_equal(codec.columns->op_id[i], records[i].op_id);
            assert_true(codec.columns->a[i] == records[i].a && codec.columns->b[i] == records[i].b && codec.columns->c[i] == records[i].c);
        }
        free(records);
        codec_free(&codec);
    }
}

/* Random bytes in every field: nothing compresses, deltas are as wide as they get; the bounds of the header must still hold. */
static void worst_case(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= TVG_OPS_MAX; count *= 4) {
        struct codec codec = codec_new(count);
        struct tvg_record *records = calloc(count, sizeof *records);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t sign = i % 2 ? 1ull << 63 : 0; /* far apart: ten-byte varints */
            records[i] = (struct tvg_record){sign ^ random64() >> 2, (uint32_t)random64() % TVG_DURATION_LONG, (uint32_t)random64() % TVG_OP_ID_FIRST_RESERVED,
                                             sign ^ random64() >> 2, sign ^ random64() >> 2, sign ^ random64() >> 2};
        }
        assert_int_equal(round_trip(&codec, records, count, 0), 0);
        for (uint32_t i = 0; i < count; i++)
            assert_true(codec.columns->start[i] == records[i].start && codec.columns->duration[i] == records[i].duration &&
                        codec.columns->op_id[i] == records[i].op_id && codec.columns->a[i] == records[i].a && codec.columns->c[i] == records[i].c);
        free(records);
        codec_free(&codec);
    }
}

/* On a grid, each start and end is within half a unit of the truth, so a sum over any stretch is within one unit: errors do not add up. */
static void grid_keeps_sums(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    struct codec codec = codec_new(COUNT);
    struct tvg_record *records = encoder_like(COUNT);
    for (unsigned shift = 1; shift <= 6; shift++) {
        int64_t unit = 1 << shift;
        assert_int_equal(round_trip(&codec, records, COUNT, shift), 0);
        for (uint32_t i = 0; i < COUNT; i++) {
            int64_t start_error = (int64_t)(codec.columns->start[i] - records[i].start);
            int64_t end_error = (int64_t)(codec.columns->start[i] + codec.columns->duration[i] - records[i].start - records[i].duration);
            assert_true(2 * llabs(start_error) <= unit && 2 * llabs(end_error) <= unit);
            assert_int_equal(codec.columns->start[i] % (uint64_t)unit, 0);
        }
    }
    free(records);
    codec_free(&codec);
}

static void overlapping_ops(void **state)
{
    (void)state;
    struct codec codec = codec_new(3);
    struct tvg_record records[] = {{5000, 4000, 1, 0, 0, 0}, {6000, 100, 2, 0, 0, 0}, {100, 7, 1, 0, 0, 0}}; /* nested, and back in time */
    assert_int_equal(round_trip(&codec, records, 3, 0), 0);
    for (int i = 0; i < 3; i++)
        assert_true(codec.columns->start[i] == records[i].start && codec.columns->duration[i] == records[i].duration);
    codec_free(&codec);
}

/* Writes a varint by the definition. */
static size_t varint(uint8_t *out, uint64_t value)
{
    size_t length = 0;
    for (; value >= 0x80; value >>= 7)
        out[length++] = (uint8_t)(value & 0x7f) | 0x80;
    out[length++] = (uint8_t)value;
    return length;
}

/* A block written by hand from FORMAT.md, time columns in each of the ways it allows. */
static void block_by_hand(void **state)
{
    (void)state;
    static const uint64_t gaps[] = {0, 300, 5, 1ull << 40}, lengths[] = {127, 128, 16384, 1ull << 33};
    for (int codec = 1; codec <= 3; codec += 2) {
        uint8_t out[1024], column[2][64];
        size_t used[2] = {1, 1};
        column[0][0] = column[1][0] = (uint8_t)codec;
        for (int i = 0; i < 4; i++) {
            used[0] += varint(column[0] + used[0], codec == 1 ? gaps[i] * 2 : gaps[i]); /* zigzag of what is not negative: doubled */
            used[1] += varint(column[1] + used[1], codec == 1 ? lengths[i] * 2 : lengths[i]);
        }
        struct tvg_map map;
        tvg_map_begin(&map, out, sizeof out);
        tvg_map_uint(&map, "base", 1000);
        tvg_map_uint(&map, "n", 4);
        tvg_map_uint(&map, "slots", 4);
        tvg_map_binary(&map, "gap", column[0], used[0]);
        tvg_map_binary(&map, "dur", column[1], used[1]);
        tvg_map_binary(&map, "id", "\1\4\1\0\0", 5); /* ids 2, 1, 1, 1 */
        for (int operand = 0; operand < 3; operand++)
            tvg_map_binary(&map, (const char *[]){"a", "b", "c"}[operand], "", 1);
        tvg_map_string(&map, "a key of a later version", "is skipped");
        size_t length = tvg_map_end(&map, TVG_BLOCK_OPS);
        struct codec decoder = codec_new(4);
        assert_int_equal(tvg_decode_ops(out + 24, length - 24, 3, &decoder.info, decoder.columns, &decoder.extra, decoder.decode_scratch), 0);
        uint64_t now = 1000;
        for (int i = 0; i < 4; i++) {
            now += gaps[i];
            assert_true(decoder.columns->start[i] == now << 3);
            assert_true(decoder.columns->duration[i] == lengths[i] << 3);
            assert_int_equal(decoder.columns->op_id[i], i == 0 ? 2 : 1);
            assert_int_equal(decoder.columns->a[i], 0);
            now += lengths[i];
        }
        codec_free(&decoder);
    }
}

static void reserved_records(void **state)
{
    (void)state;
    enum { SLOTS = 64 };
    struct tvg_record records[SLOTS];
    struct tvg_op op = {.library = "libx.so", .function = "wide_gemm", .kind = TVG_KIND_GEMM, .m = 5, .n = 6, .k = 7, .lda = -9, .flop = 420};
    uint8_t map[512];
    size_t map_length = tvg_encode_op(map, sizeof map, &op);
    assert_true(map_length > 0);
    uint32_t at = 0;
    tvg_record_thread(&records[at++], 10, 501);
    records[at++] = (struct tvg_record){100, 10, 1, 1, 2, 3};
    uint32_t need = tvg_record_slots(1ull << 40, map_length); /* long and wide at once */
    assert_int_equal(need, 2 + (4 + map_length + 39) / 40);
    tvg_record_put(&records[at], 200, 1ull << 40, TVG_OP_ID_WIDE, 4, 5, 6, map, (uint32_t)map_length);
    at += need;
    tvg_record_pad(&records[at++]);
    tvg_record_put(&records[at], 1ull << 41, TVG_DURATION_LONG, 2, 7, 8, 9, NULL, 0); /* the mark itself as a duration */
    at += 2;
    tvg_record_thread(&records[at++], 11, 502);
    records[at++] = (struct tvg_record){1ull << 42, 0, 3, 0, 0, 0};
    tvg_record_pad(&records[at++]);

    struct codec codec = codec_new(at);
    assert_int_equal(round_trip(&codec, records, at, 0), 0);
    assert_int_equal(codec.info.slots, at);
    assert_int_equal(codec.info.count, 4);
    assert_true(codec.columns->duration[1] == 1ull << 40);
    assert_int_equal(codec.columns->op_id[1], TVG_OP_ID_WIDE);
    assert_int_equal(codec.columns->b[1], 5);
    assert_true(codec.columns->duration[2] == TVG_DURATION_LONG);
    assert_int_equal(codec.columns->op_id[2], 2);
    assert_int_equal(codec.columns->op_id[3], 3);
    assert_int_equal(codec.extra.handover_count, 2);
    uint32_t hand[4];
    memcpy(hand, codec.extra.handovers, sizeof hand);
    assert_int_equal(hand[0], 0);
    assert_int_equal(hand[1], 501);
    assert_int_equal(hand[2], 3);
    assert_int_equal(hand[3], 502);
    assert_int_equal(codec.extra.wide_length, 4 + map_length);
    struct tvg_op back;
    char strings[64];
    assert_int_equal(tvg_decode_op(codec.extra.wide + 4, map_length, &back, strings, sizeof strings), 0);
    assert_string_equal(back.function, "wide_gemm");
    assert_int_equal(back.lda, -9);
    codec_free(&codec);
}

/* Records as a damaged ring could hold them: reserved ids with nonsense behind. The encoder must stay within its bounds. */
static void nonsense_records(void **state)
{
    (void)state;
    static const uint32_t ids[] = {TVG_OP_ID_WIDE, TVG_OP_ID_LONG, TVG_OP_ID_THREAD, TVG_OP_ID_NONE, 0xfffffff7u, 5};
    for (int round = 0; round < 2000; round++) {
        uint32_t count = 1 + (uint32_t)(random64() % 40);
        struct codec codec = codec_new(count);
        struct tvg_record *records = malloc(count * sizeof *records);
        for (uint32_t i = 0; i < count; i++) {
            records[i] = (struct tvg_record){random64(), (uint32_t)random64(), ids[random64() % 6], random64(), random64(), random64()};
            if (random64() % 2) /* as the length behind a WIDE record */
                records[i].start = random64() % 3 ? random64() % 200 : UINT32_MAX;
            if (random64() % 4 == 0)
                records[i].duration = TVG_DURATION_LONG;
        }
        assert_int_equal(round_trip(&codec, records, count, 5), 0);
        assert_int_equal(codec.info.slots, count);
        free(records);
        codec_free(&codec);
    }
}

/* Any change to the payload is either seen by the checksum or, past it, decoded without harm or refused. */
static void damaged_payloads(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    struct codec codec = codec_new(COUNT);
    struct tvg_record *records = encoder_like(COUNT);
    assert_int_equal(round_trip(&codec, records, COUNT, 5), 0);
    struct tvg_block_header header;
    memcpy(&header, codec.block, sizeof header);
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(header.length);
        memcpy(copy, codec.block + sizeof header, header.length);
        for (uint64_t changes = 1 + random64() % 4; changes; changes--)
            copy[random64() % header.length] ^= (uint8_t)(1 + random64() % 255);
        size_t length = random64() % 4 ? header.length : random64() % (header.length + 1);
        if (memcmp(copy, codec.block + sizeof header, header.length) != 0)
            assert_int_equal(tvg_block_payload_check(&header, copy), -1);
        tvg_decode_ops(copy, length, 5, &codec.info, codec.columns, &codec.extra, codec.decode_scratch);
        assert_true(codec.info.count <= TVG_OPS_MAX);
        free(copy);
    }
    struct tvg_block_header bad = header;
    bad.length ^= 1;
    assert_int_equal(tvg_block_header_check(&bad), -1);
    free(records);
    codec_free(&codec);
}

static void dictionary(void **state)
{
    (void)state;
    struct tvg_op op = {.library = "libopenblas.so.0", .function = "cblas_sgemm", .name = "node \xff", .kind = TVG_KIND_GEMM, .net = TVG_NET_INLINE,
                        .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_Q4_K, .type_c = TVG_TYPE_BF16, .type_compute = TVG_TYPE_TF32, .on_gpu = 1, .device = -1,
                        .threads = 12, .flags = 0x3ffff, .epilogue = 127, .m = 1, .n = INT64_MAX, .k = INT64_MIN, .batch = 4, .lda = 5, .ldb = -6, .ldc = 7,
                        .stride_a = 8, .stride_b = 9, .stride_c = -10, .dim_count = TVG_DIMS_MAX, .dim_spatial = 3, .caller = UINT64_MAX,
                        .caller_library = "app", .caller_offset = 0x1234, .flop = UINT64_MAX, .bytes = 10, .bytes_a = 1, .bytes_b = UINT64_MAX, .bytes_c = 3};
    for (int i = 0; i < TVG_DIMS_MAX; i++)
        op.dim[i] = i * 1000003 - 7;
    uint8_t block[2048];
    char strings[256];
    struct tvg_op back;
    uint32_t id;
    size_t length = tvg_encode_dict(block, sizeof block, 4242, &op);
    assert_true(length > 0);
    assert_int_equal(tvg_msgpack_check(block + 24, length - 24), 0);
    assert_int_equal(tvg_decode_dict(block + 24, length - 24, &id, &back, strings, sizeof strings), 0);
    assert_int_equal(id, 4242);
    assert_string_equal(back.library, op.library);
    assert_string_equal(back.function, op.function);
    assert_string_equal(back.name, op.name);
    assert_string_equal(back.caller_library, op.caller_library);
    back.library = op.library, back.function = op.function, back.name = op.name, back.caller_library = op.caller_library;
    assert_memory_equal(&back, &op, sizeof op);

    for (size_t capacity = 0; capacity < length; capacity++)
        assert_int_equal(tvg_encode_dict(block, capacity, 4242, &op), 0);
    for (size_t cut = 0; cut < length - 24; cut++) {
        length = tvg_encode_dict(block, sizeof block, 4242, &op);
        uint8_t *copy = malloc(cut ? cut : 1);
        memcpy(copy, block + 24, cut);
        assert_int_equal(tvg_decode_dict(copy, cut, &id, &back, strings, sizeof strings), -1);
        free(copy);
    }
    for (size_t room = 0; room < 40; room++) { /* strings are cut, never written past their room */
        char *tight = malloc(room ? room : 1);
        length = tvg_encode_dict(block, sizeof block, 1, &op);
        assert_int_equal(tvg_decode_dict(block + 24, length - 24, &id, &back, tight, room), 0);
        assert_non_null(back.function);
        free(tight);
    }
    struct tvg_op empty = {0};
    length = tvg_encode_op(block, sizeof block, &empty);
    assert_true(length > 0);
    assert_int_equal(tvg_decode_op(block, length, &back, strings, sizeof strings), 0);
    assert_string_equal(back.library, "?");
}

static void file_header(void **state)
{
    (void)state;
    struct tvg_file_header header = {.pid = 1, .ppid = 2, .tid = 3, .grid_shift = 5, .ticks_are_tsc = true, .ticks_per_ns = 2.45, .anchor = {7, 8, 9},
                                     .process_start_mono_ns = 10, .cpu_process_ns = 11, .command = "python infer.py", .host = "h", .rings = "/dev/shm/x.rings", .tool = "0.1.0"};
    struct tvg_file_header back;
    uint8_t out[1024], copy[1024];
    char strings[256];
    size_t size = 0, length = tvg_encode_file_header(out, sizeof out, &header);
    assert_true(length > 0);
    assert_int_equal(tvg_decode_file_header(out, length, &back, &size, strings, sizeof strings), TVG_HEADER_OK);
    assert_int_equal(size, length);
    assert_int_equal(back.version, TVG_FORMAT_VERSION);
    assert_true(back.pid == 1 && back.ppid == 2 && back.tid == 3 && back.grid_shift == 5 && back.ticks_are_tsc && back.ticks_per_ns == 2.45);
    assert_true(back.anchor.ticks == 7 && back.anchor.mono_ns == 8 && back.anchor.wall_ns == 9 && back.process_start_mono_ns == 10 && back.cpu_process_ns == 11);
    assert_string_equal(back.command, header.command);
    assert_string_equal(back.rings, header.rings);
    assert_string_equal(back.tool, header.tool);
    for (size_t capacity = 0; capacity < length; capacity++)
        assert_int_equal(tvg_encode_file_header(copy, capacity, &header), 0);
    for (size_t cut = 0; cut < length; cut++)
        assert_int_equal(tvg_decode_file_header(out, cut, &back, &size, strings, sizeof strings), cut < 8 ? TVG_HEADER_NOT_A_TRACE : TVG_HEADER_CUT);
    for (size_t i = 0; i < length; i++) { /* every byte is guarded */
        memcpy(copy, out, length);
        copy[i] ^= 0x40;
        int result = tvg_decode_file_header(copy, length, &back, &size, strings, sizeof strings);
        assert_int_equal(result, i < 8 ? TVG_HEADER_NOT_A_TRACE : TVG_HEADER_DAMAGED);
    }
    assert_int_equal(tvg_decode_file_header("not a trace at all..............", 32, &back, &size, strings, sizeof strings), TVG_HEADER_NOT_A_TRACE);
}

static void map_writer(void **state)
{
    (void)state;
    uint8_t out[512];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, "u", 300);
    tvg_map_array(&map, "list", 2);
    tvg_map_map(&map, NULL, 1);
    tvg_map_string(&map, "inner", "x");
    tvg_map_int(&map, NULL, -5);
    tvg_map_array(&map, "empty", 0);
    tvg_map_string(&map, "nil", NULL);
    tvg_map_double(&map, "d", 0.5);
    size_t length = tvg_map_end(&map, TVG_BLOCK_MARK);
    static const uint8_t expected[] = {0xde, 0, 5, 0xa1, 'u', 0xcd, 1, 0x2c, 0xa4, 'l', 'i', 's', 't', 0x92, 0x81, 0xa5, 'i', 'n', 'n', 'e', 'r', 0xa1, 'x', 0xfb,
                                       0xa5, 'e', 'm', 'p', 't', 'y', 0x90, 0xa3, 'n', 'i', 'l', 0xc0, 0xa1, 'd', 0xcb, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(length, 24 + sizeof expected);
    assert_memory_equal(out + 24, expected, sizeof expected);
    for (size_t capacity = 0; capacity < length; capacity++) {
        uint8_t *tight = malloc(capacity ? capacity : 1);
        tvg_map_begin(&map, tight, capacity);
        tvg_map_uint(&map, "u", 300);
        tvg_map_string(&map, "s", "0123456789012345678901234567890123456789");
        assert_int_equal(tvg_map_end(&map, TVG_BLOCK_MARK), 0);
        free(tight);
    }
    tvg_map_begin(&map, out, sizeof out); /* a container that is not full is a mistake of the caller, never a block */
    tvg_map_array(&map, "list", 2);
    tvg_map_uint(&map, NULL, 1);
    assert_int_equal(tvg_map_end(&map, TVG_BLOCK_MARK), 0);
    tvg_map_begin(&map, out, sizeof out); /* so is a key inside an array, or none in a map */
    tvg_map_array(&map, "list", 1);
    tvg_map_uint(&map, "key", 1);
    assert_int_equal(tvg_map_end(&map, TVG_BLOCK_MARK), 0);
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, NULL, 1);
    assert_int_equal(tvg_map_end(&map, TVG_BLOCK_MARK), 0);
}

static void hostile_msgpack(void **state)
{
    (void)state;
    assert_int_equal(tvg_msgpack_check("\x80", 1), 0);
    assert_int_equal(tvg_msgpack_check("\x80\xc0", 2), -1);          /* something after the map */
    assert_int_equal(tvg_msgpack_check("\x90", 1), -1);              /* no map */
    assert_int_equal(tvg_msgpack_check("", 0), -1);
    assert_int_equal(tvg_msgpack_check("\xdf\xff\xff\xff\xff", 5), -1); /* counts that no byte backs */
    assert_int_equal(tvg_msgpack_check("\x81\xa1x\xdd\xff\xff\xff\xff", 8), -1);
    assert_int_equal(tvg_msgpack_check("\x81\xa1x\xdb\xff\xff\xff\xff", 8), -1);
    assert_int_equal(tvg_msgpack_check("\x81\xa1x\xc1", 4), -1);
    uint8_t deep[64];
    for (int depth = 1; depth < 40; depth++) {
        deep[0] = 0x81, deep[1] = 0xa0;
        memset(deep + 2, 0x91, (size_t)depth);
        deep[2 + depth] = 0xc0;
        assert_int_equal(tvg_msgpack_check(deep, (size_t)depth + 3), depth < 16 ? 0 : -1);
    }
}

static void rings_header(void **state)
{
    (void)state;
    struct tvg_rings_header header = {.pid = 5, .slots = TVG_RING_SLOTS, .start_mono_ns = 9};
    tvg_rings_header_seal(&header);
    assert_int_equal(tvg_rings_header_check(&header), 0);
    assert_int_equal(header.ring_bytes, 41 * 4096);
    header.slots = TVG_OPS_MAX + 1;
    tvg_rings_header_seal(&header);
    assert_int_equal(tvg_rings_header_check(&header), -1);
    header.slots = 0;
    tvg_rings_header_seal(&header);
    assert_int_equal(tvg_rings_header_check(&header), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_round_trip), cmocka_unit_test(worst_case), cmocka_unit_test(grid_keeps_sums), cmocka_unit_test(overlapping_ops), cmocka_unit_test(block_by_hand),
        cmocka_unit_test(reserved_records), cmocka_unit_test(nonsense_records), cmocka_unit_test(damaged_payloads), cmocka_unit_test(dictionary),
        cmocka_unit_test(file_header), cmocka_unit_test(map_writer), cmocka_unit_test(hostile_msgpack), cmocka_unit_test(rings_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
