/* The reader: every record comes out once with its owner, from blocks and from rings; wide ops; hand-overs; gaps; the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "analyzer/reader.h"
#include "tests/trace_maker.h"

enum { SLOTS = 16, OPS = 4 };
static char folder[] = "/tmp/tvg-reader.XXXXXX", path[64], rings_path[80];

/* All ops of a trace, in the order in which they were yielded. */
struct seen {
    uint32_t count, blocks[16];
    struct { uint64_t start, duration, a, b, c; uint32_t op_id, tid, ring; struct tvg_op op; double mono_ns; } op[4096];
    struct tvg_damage damage;
    uint32_t dictionary;
    uint64_t encode_ticks;
    double ticks_per_ns;
};
static struct seen seen;
static struct tvg_reader *reader;

static void read_all(const struct maker *maker)
{
    struct tvg_error error;
    struct tvg_event event;
    maker_save(maker, path, maker->length);
    memset(&seen, 0, sizeof seen);
    assert_true(tvg_reader_open(&reader, path, &error));
    while (tvg_reader_next(reader, &event)) {
        assert_true(event.block >= 1 && event.block < 16);
        seen.blocks[event.block]++;
        if (event.kind != TVG_EVENT_OPS)
            continue;
        seen.encode_ticks += event.info->encode_ticks;
        for (uint32_t i = 0; i < event.info->count; i++) {
            const struct tvg_ops_columns *c = event.columns;
            assert_true(seen.count < 4096 && c->op_id[i] < tvg_reader_op_count(reader));
            const struct tvg_op *op = tvg_reader_op(reader, c->op_id[i]);
            seen.op[seen.count].start = c->start[i], seen.op[seen.count].duration = c->duration[i], seen.op[seen.count].op_id = c->op_id[i];
            seen.op[seen.count].a = c->a[i], seen.op[seen.count].b = c->b[i], seen.op[seen.count].c = c->c[i];
            seen.op[seen.count].tid = event.info->tid, seen.op[seen.count].ring = event.info->ring, seen.op[seen.count].op = *op;
            seen.op[seen.count++].mono_ns = tvg_reader_mono_ns(reader, c->start[i]);
        }
    }
    assert_int_equal(tvg_reader_next(reader, &event), 0); /* the end stays the end */
    seen.damage = *tvg_reader_damage(reader);
    seen.dictionary = tvg_reader_op_count(reader);
    seen.ticks_per_ns = tvg_reader_ticks_per_ns(reader);
    tvg_reader_close(reader);
}

/* Number `at` of what was seen is record `number` of `ring`, run by `tid`. */
static void is_record(uint32_t at, uint32_t ring, uint64_t number, uint32_t tid)
{
    struct tvg_record record = maker_record(ring, number, OPS);
    assert_true(at < seen.count);
    assert_true(seen.op[at].start == record.start && seen.op[at].duration == record.duration);
    assert_true(seen.op[at].a == record.a && seen.op[at].b == record.b && seen.op[at].c == record.c);
    assert_int_equal(seen.op[at].op.m, 8 + record.op_id);
    assert_int_equal(seen.op[at].tid, tid);
    assert_int_equal(seen.op[at].ring, ring);
}

static struct maker begin(const char *rings)
{
    struct maker maker = {0};
    unlink(rings_path);
    maker_header(&maker, rings);
    for (uint32_t id = 0; id < OPS; id++)
        maker_dict(&maker, id);
    return maker;
}

/* Ring records from sequence number `from` on: 0 names the owner, n is op n. */
static void fill(struct tvg_record *records, uint32_t ring, uint64_t from, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (from + i == 0)
            tvg_record_thread(&records[i], MAKER_TICKS, MAKER_TID + ring);
        else
            records[i] = maker_record(ring, from + i, OPS);
}

static void add_block(struct maker *maker, uint32_t ring, uint64_t from, uint32_t count)
{
    struct tvg_record records[SLOTS];
    fill(records, ring, from, count);
    maker_ops(maker, ring, from, records, count, (from + count) * 16000);
}

/* The side file: each ring holds what the newest record of each slot left there. */
static void save_rings(uint32_t rings, const uint64_t *committed, const uint64_t *encoded)
{
    struct maker side = {0};
    maker_rings(&side, SLOTS, rings);
    for (uint32_t ring = 0; ring < rings; ring++) {
        struct tvg_record *slots = tvg_ring_slots(maker_ring(&side, SLOTS, ring, committed[ring], encoded[ring]));
        for (uint64_t s = committed[ring] > SLOTS ? committed[ring] - SLOTS : 0; s < committed[ring]; s++)
            fill(&slots[s % SLOTS], ring, s, 1);
        for (uint64_t s = committed[ring]; s < SLOTS; s++) /* never committed: must never be seen */
            slots[s] = (struct tvg_record){.start = 1, .duration = 2, .op_id = 3};
    }
    maker_save(&side, rings_path, side.length);
    maker_free(&side);
}

/* --- tests --- */

static void every_kind_of_block(void **state)
{
    (void)state;
    struct maker maker = maker_full(3, 100);
    unlink(rings_path);
    read_all(&maker);
    assert_int_equal(seen.count, 300);
    assert_int_equal(seen.dictionary, 9);
    static const uint32_t expected[] = {[TVG_BLOCK_OPS] = 3, [TVG_BLOCK_MANIFEST] = 1, [TVG_BLOCK_COVERAGE] = 3, [TVG_BLOCK_ENERGY] = 3, [TVG_BLOCK_COUNTERS] = 1,
                                        [TVG_BLOCK_STACKS] = 1, [TVG_BLOCK_MARK] = 4, [TVG_BLOCK_THREAD] = 3, [TVG_BLOCK_LOST] = 1, [TVG_BLOCK_KERNELS] = 1, [TVG_BLOCK_END] = 1,
                                        [TVG_BLOCK_SAMPLES] = 1, [TVG_BLOCK_SYNC] = 1};
    for (unsigned kind = 0; kind < sizeof expected / sizeof expected[0]; kind++)
        assert_int_equal(seen.blocks[kind], expected[kind]);
    assert_int_equal(seen.encode_ticks, 300);
    assert_int_equal(seen.damage.ops_lost, 3);
    assert_false(seen.damage.no_end || seen.damage.cut_off);
    assert_int_equal(seen.damage.blocks_damaged + seen.damage.bytes_skipped + seen.damage.ops_recovered + seen.damage.records_missing, 0);
    maker_free(&maker);
}

static void unknown_kinds_are_skipped(void **state)
{
    (void)state;
    struct maker maker = begin("");
    uint8_t out[256];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, "new", 1);
    maker_block(&maker, out, tvg_map_end(&map, (enum tvg_block_kind)200));
    add_block(&maker, 0, 0, 5);
    read_all(&maker);
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.damage.blocks_damaged, 0);
    maker_free(&maker);
}

/* Whatever moment a kill hits, each committed op comes out exactly once. */
static void killed_at_any_moment(void **state)
{
    (void)state;
    for (uint64_t committed = 0; committed <= 3 * SLOTS; committed++)
        for (int between = 0; between < 2; between++) { /* killed after the block's write, before `encoded` moved */
            struct maker maker = begin(rings_path);
            uint64_t written = committed / SLOTS * SLOTS;
            for (uint64_t from = 0; from < written; from += SLOTS)
                add_block(&maker, 0, from, SLOTS);
            save_rings(1, &committed, &(uint64_t){between && written ? written - SLOTS : written});
            read_all(&maker);
            assert_int_equal(seen.count, committed ? committed - 1 : 0);
            for (uint32_t i = 0; i < seen.count; i++)
                is_record(i, 0, i + 1, MAKER_TID);
            uint64_t recovered = committed - written;
            assert_int_equal(seen.damage.ops_recovered, recovered && !written ? recovered - 1 : recovered);
            assert_true(seen.damage.no_end);
            assert_int_equal(seen.damage.blocks_damaged + seen.damage.records_missing, 0);
            maker_free(&maker);
        }
}

/* Blocks that end anywhere: the ring's pending records wrap round its end. */
static void pending_records_wrap(void **state)
{
    (void)state;
    for (uint32_t first = 1; first <= SLOTS; first++)
        for (uint32_t pending = 1; pending <= SLOTS; pending++) {
            struct maker maker = begin(rings_path);
            add_block(&maker, 0, 0, first);
            save_rings(1, &(uint64_t){first + pending}, &(uint64_t){first});
            read_all(&maker);
            assert_int_equal(seen.count, first + pending - 1);
            for (uint32_t i = 0; i < seen.count; i++)
                is_record(i, 0, i + 1, MAKER_TID);
            assert_int_equal(seen.damage.ops_recovered, pending);
            maker_free(&maker);
        }
}

static void several_rings(void **state)
{
    (void)state;
    struct maker maker = begin(rings_path);
    add_block(&maker, 0, 0, SLOTS);
    add_block(&maker, 2, 0, SLOTS);
    add_block(&maker, 0, SLOTS, SLOTS);
    save_rings(3, (uint64_t[]){2 * SLOTS + 3, 7, SLOTS}, (uint64_t[]){2 * SLOTS, 0, SLOTS});
    read_all(&maker);
    uint32_t per_ring[3] = {0};
    for (uint32_t i = 0; i < seen.count; i++)
        is_record(i, seen.op[i].ring, ++per_ring[seen.op[i].ring], MAKER_TID + seen.op[i].ring);
    assert_int_equal(per_ring[0], 2 * SLOTS + 2);
    assert_int_equal(per_ring[1], 6);
    assert_int_equal(per_ring[2], SLOTS - 1);
    maker_free(&maker);
}

/* A clean end leaves no rings: what lies there belongs to another. So does a file of another process, or of another time. */
static void rings_of_another(void **state)
{
    (void)state;
    struct maker maker = begin(rings_path);
    add_block(&maker, 0, 0, SLOTS);
    size_t unfinished = maker.length;
    maker_end(&maker, SLOTS - 1, 1000000);
    save_rings(1, &(uint64_t){SLOTS + 3}, &(uint64_t){SLOTS});
    read_all(&maker);
    assert_int_equal(seen.count, SLOTS - 1);
    assert_int_equal(seen.damage.ops_recovered, 0);
    maker.length = unfinished;
    read_all(&maker); /* the same without its end: now they are its own */
    assert_int_equal(seen.count, SLOTS + 2);
    for (int field = 0; field < 2; field++) {
        struct tvg_rings_header header = {.pid = MAKER_PID + (field == 0), .slots = SLOTS, .start_mono_ns = MAKER_MONO - 500000000 + (field == 1)};
        tvg_rings_header_seal(&header);
        FILE *file = fopen(rings_path, "r+b");
        assert_non_null(file);
        assert_int_equal(fwrite(&header, sizeof header, 1, file), 1);
        fclose(file);
        read_all(&maker);
        assert_int_equal(seen.count, SLOTS - 1);
    }
    maker_free(&maker);
}

/* Nonsense in a ring's header costs that ring, no more. */
static void damaged_ring_headers(void **state)
{
    (void)state;
    for (int field = 0; field < 4; field++) {
        struct maker maker = begin(rings_path), side = {0};
        add_block(&maker, 0, 0, 4);
        maker_rings(&side, SLOTS, 2);
        struct tvg_ring *ring = maker_ring(&side, SLOTS, 0, 6, 4);
        fill(tvg_ring_slots(ring), 0, 0, 6);
        if (field == 0)
            ring->committed = 3; /* less than what is in the trace */
        if (field == 1)
            ring->slots = 7;
        if (field == 2)
            ring->number = UINT32_MAX;
        if (field == 3)
            ring->encoded = UINT64_MAX;
        fill(tvg_ring_slots(maker_ring(&side, SLOTS, 1, 9, 0)), 1, 0, 9);
        maker_save(&side, rings_path, side.length);
        read_all(&maker);
        assert_int_equal(seen.count, 3 + 8);
        assert_int_equal(seen.damage.blocks_damaged, 1);
        maker_free(&side);
        maker_free(&maker);
    }
}

static void handed_over(void **state)
{
    (void)state;
    struct maker maker = begin(rings_path);
    struct tvg_record records[12];
    fill(records, 0, 0, 12);
    tvg_record_thread(&records[4], MAKER_TICKS, 900); /* ops 1 2 3, then 5 6, then none, then 9 10 11 */
    tvg_record_thread(&records[7], MAKER_TICKS, 901);
    tvg_record_thread(&records[8], MAKER_TICKS, 902);
    maker_ops(&maker, 0, 0, records, 12, 200000);
    save_rings(1, &(uint64_t){14}, &(uint64_t){12}); /* what follows is the last owner's */
    read_all(&maker);
    static const uint32_t number[] = {1, 2, 3, 5, 6, 9, 10, 11, 12, 13};
    assert_int_equal(seen.count, 10);
    for (uint32_t i = 0; i < 10; i++)
        is_record(i, 0, number[i], number[i] < 4 ? MAKER_TID : number[i] < 7 ? 900 : 902);
    assert_int_equal(seen.encode_ticks, 100); /* counted once, into however many stretches the block falls */
    maker_free(&maker);
}

static uint32_t put_wide(struct tvg_record *records, uint64_t start, const struct tvg_op *op)
{
    uint8_t map[TVG_WIDE_MAX];
    uint32_t length = (uint32_t)tvg_encode_op(map, sizeof map, op);
    assert_true(length > 0);
    tvg_record_put(records, start, 160, TVG_OP_ID_WIDE, 1, 2, 3, map, length);
    return tvg_record_slots(160, length);
}

/* Any two hand-overs at any places of a block. */
static void handed_over_anywhere(void **state)
{
    (void)state;
    for (uint32_t first = 1; first < SLOTS; first++)
        for (uint32_t second = first + 1; second < SLOTS; second++) {
            struct maker maker = begin("");
            struct tvg_record records[SLOTS];
            uint32_t at = 0;
            fill(records, 0, 0, SLOTS);
            tvg_record_thread(&records[first], MAKER_TICKS, 900);
            tvg_record_thread(&records[second], MAKER_TICKS, 901);
            maker_ops(&maker, 0, 0, records, SLOTS, 200000);
            read_all(&maker);
            for (uint32_t i = 1; i < SLOTS; i++)
                if (i != first && i != second)
                    is_record(at++, 0, i, i < first ? MAKER_TID : i < second ? 900 : 901);
            assert_int_equal(seen.count, at);
            maker_free(&maker);
        }
}

/* Ops that found the dictionary full carry their shape; equal ones share an id; a dictionary entry that comes later keeps its own. */
static void wide_ops(void **state)
{
    (void)state;
    struct tvg_record records[64];
    uint32_t at = 0;
    struct maker maker = begin("");
    for (int i = 0; i < 4; i++) {
        struct tvg_op op = maker_op(1000 + i % 2);
        at += put_wide(&records[at], MAKER_TICKS + 16000 * (uint64_t)i, &op);
    }
    assert_true(at < 64);
    maker_ops(&maker, 0, 0, records, at, 200000);
    maker_dict(&maker, OPS); /* the id that the first wide op was given */
    records[0] = maker_record(0, 1, OPS);
    records[0].op_id = OPS;
    maker_ops(&maker, 0, at, records, 1, 300000);
    records[0].op_id = OPS + 1; /* never explained, and taken by the second wide op */
    records[1] = records[0];
    records[1].op_id = 0xffffff00u; /* out of any range */
    maker_ops(&maker, 0, at + 1, records, 2, 400000);
    read_all(&maker);
    assert_int_equal(seen.count, 7);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(seen.op[i].op.m, 8 + 1000 + i % 2);
        assert_int_equal(seen.op[i].op_id, seen.op[i % 2].op_id);
        assert_int_equal(seen.op[i].duration, 160);
        assert_int_equal(seen.op[i].b, 2);
    }
    assert_int_not_equal(seen.op[0].op_id, seen.op[1].op_id);
    assert_int_equal(seen.op[4].op.m, 8 + OPS);
    assert_string_equal(seen.op[5].op.function, "?");
    assert_string_equal(seen.op[6].op.function, "?");
    assert_int_equal(seen.damage.blocks_damaged + seen.damage.records_missing, 0);
    maker_free(&maker);
}

static void gaps_are_counted(void **state)
{
    (void)state;
    struct maker maker = begin("");
    add_block(&maker, 0, 0, 8);
    add_block(&maker, 0, 8, 8);
    add_block(&maker, 0, 16, 8);
    size_t second = maker.block_at[maker.blocks - 2];
    maker.data[second + 40] ^= 1;
    read_all(&maker);
    assert_int_equal(seen.count, 7 + 8);
    assert_int_equal(seen.damage.records_missing, 8);
    assert_int_equal(seen.damage.blocks_damaged, 1);
    assert_int_equal(seen.damage.first_offset, second);
    assert_int_equal(seen.damage.bytes_skipped, maker.block_at[maker.blocks - 1] - second);
    maker_free(&maker);
}

/* Two clocks that drift apart: between anchors time is interpolated, so an op's moment is right to the anchors' own grain. */
static void clock_by_anchors(void **state)
{
    (void)state;
    enum { BLOCKS = 60 };
    struct maker maker = begin("");
    double mono[BLOCKS * 2];
    uint32_t made = 0;
    for (uint32_t i = 0; i < BLOCKS; i++) {
        /* the true rate is 2.5 for 30 blocks, then 2.502 (800 ppm): each block spans 100 ms and its anchor is at its end */
        double span = 100e6;
        static double now_ticks, now_ns;
        if (i == 0)
            now_ticks = now_ns = 0;
        double rate = i < BLOCKS / 2 ? 2.5 : 2.502;
        struct tvg_record records[2];
        for (int half = 0; half < 2; half++) {
            double ns = span * (0.25 + 0.5 * half);
            mono[made++] = (double)MAKER_MONO + now_ns + ns;
            records[half] = (struct tvg_record){.start = MAKER_TICKS + (uint64_t)(now_ticks + ns * rate), .duration = 160, .op_id = 0};
        }
        now_ns += span;
        now_ticks += span * rate;
        struct tvg_ops_info info = {.ring = 0, .tid = MAKER_TID, .first_sequence = 2 * (uint64_t)i, .count = 2,
                                    .anchor = {MAKER_TICKS + (uint64_t)now_ticks, MAKER_MONO + (uint64_t)now_ns, MAKER_WALL}};
        uint8_t out[TVG_OPS_ENCODED_MAX(2)], scratch[TVG_OPS_SCRATCH(2)];
        maker_block(&maker, out, tvg_encode_ops(out, &info, MAKER_SHIFT, records, scratch));
    }
    read_all(&maker);
    assert_int_equal(seen.count, 2 * BLOCKS);
    for (uint32_t i = 0; i < seen.count; i++)
        assert_true(fabs(seen.op[i].mono_ns - mono[i]) < 16); /* the grid, in ns, and rounding */
    assert_true(seen.damage.clock_irregular >= 1 && seen.damage.clock_irregular <= BLOCKS / 2);
    maker_free(&maker);
}

static void errors_say_what_to_do(void **state)
{
    (void)state;
    struct tvg_error error;
    assert_false(tvg_reader_open(&reader, "/nowhere/at\x1b[2Jall.tvg", &error));
    assert_non_null(strstr(error.message, "\\x1b[2J"));
    assert_non_null(strstr(error.message, "check the path"));
    assert_false(tvg_reader_open(&reader, folder, &error));
    assert_non_null(strstr(error.message, "folder"));
    assert_null(reader);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/t.tvg", folder);
    snprintf(rings_path, sizeof rings_path, "%s.rings", path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    unlink(rings_path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_block), cmocka_unit_test(unknown_kinds_are_skipped), cmocka_unit_test(killed_at_any_moment),
        cmocka_unit_test(pending_records_wrap), cmocka_unit_test(several_rings), cmocka_unit_test(rings_of_another), cmocka_unit_test(damaged_ring_headers),
        cmocka_unit_test(handed_over), cmocka_unit_test(handed_over_anywhere), cmocka_unit_test(wide_ops), cmocka_unit_test(gaps_are_counted), cmocka_unit_test(clock_by_anchors),
        cmocka_unit_test(errors_say_what_to_do),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
