/* SAMPLES blocks: every sample and name survives, damage is refused; samples laid over ops are in an op, in a worker of one, or dark. */
#include <math.h>

#include "analyzer/report/report.h"
#include "profile_feed.h"

#include "trace/block.h"
#include "trace/samples.h"

static struct tvg_cpu_sample samples[TVG_SAMPLES_MAX], back[TVG_SAMPLES_MAX];
static uint8_t block[TVG_SAMPLES_ENCODED_MAX(TVG_SAMPLES_MAX, 8)], scratch[TVG_SAMPLES_SCRATCH(TVG_SAMPLES_MAX)];

static uint64_t state = 1;
static uint64_t next(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 20) % below;
}

struct named {
    uint32_t count;
    struct { uint32_t index, kind; char name[64]; } object[8];
};

static void take(const struct tvg_sampled_object *object, void *context)
{
    struct named *named = context;
    assert_true(named->count < 8);
    named->object[named->count].index = object->index;
    named->object[named->count].kind = object->kind;
    snprintf(named->object[named->count++].name, 64, "%.*s", (int)object->length, object->name);
}

static const struct tvg_sampled_object objects[] = {
    {0, TVG_OBJECT_FILE, "libm.so.6", 9}, {7, TVG_OBJECT_MADE, "", 0}, {1023, TVG_OBJECT_COMPILED, "cx.main.so", 10}, {5, TVG_OBJECT_KERNEL, "", 0}};

static size_t encode(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        samples[i] = (struct tvg_cpu_sample){(uint64_t)(next(3) ? 1700000000000 : 5000 + next(1 << 30)) * 1000, (uint32_t)next(UINT32_MAX), (uint32_t)next(TVG_OBJECTS_MAX)};
    struct tvg_samples_info info = {.period_ns = 4001000, .since_ns = 123456789, .before_ns = 5, .lost = 3, .cost_ns = 77, .kernel = true, .count = count};
    return tvg_encode_samples(block, sizeof block, &info, samples, objects, 4, scratch);
}

static void every_sample_survives(void **unused)
{
    (void)unused;
    for (uint32_t count = 0; count <= TVG_SAMPLES_MAX; count = count * 3 + 1) {
        size_t length = encode(count);
        const struct tvg_block_header *header = (const struct tvg_block_header *)block;
        assert_true(length > sizeof *header);
        assert_int_equal(tvg_block_header_check(header), 0);
        assert_int_equal(header->kind, 13); /* as FORMAT.md says */
        assert_int_equal(tvg_msgpack_check(block + sizeof *header, header->length), 0);
        struct tvg_samples_info info;
        struct named named = {0};
        assert_int_equal(tvg_decode_samples(block + sizeof *header, header->length, &info, back, take, &named), 0);
        assert_int_equal(info.count, count);
        assert_int_equal(info.period_ns, 4001000);
        assert_int_equal(info.since_ns, 123456789);
        assert_int_equal(info.before_ns, 5);
        assert_int_equal(info.lost, 3);
        assert_int_equal(info.cost_ns, 77);
        assert_true(info.kernel);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(samples[i].mono_ns == back[i].mono_ns && samples[i].tid == back[i].tid && samples[i].object == back[i].object);
        }
        assert_int_equal(named.count, 4);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(named.object[i].index, objects[i].index);
            assert_int_equal(named.object[i].kind, objects[i].kind);
            assert_string_equal(named.object[i].name, objects[i].name);
        }
    }
    assert_int_equal(tvg_encode_samples(block, 600, &(struct tvg_samples_info){.count = TVG_SAMPLES_MAX}, samples, objects, 4, scratch), 0);
}

/* Every cut and every changed byte: refused, or decoded within bounds (the sanitizers watch). */
static void damage_is_refused_or_harmless(void **unused)
{
    (void)unused;
    size_t length = encode(100) - sizeof(struct tvg_block_header);
    uint8_t *payload = block + sizeof(struct tvg_block_header), *copy = malloc(length);
    struct tvg_samples_info info;
    struct named named = {0};
    assert_non_null(copy);
    for (size_t cut = 0; cut < length; cut++) {
        memcpy(copy, payload, length);
        assert_int_equal(tvg_decode_samples(copy, cut, &info, back, take, &named), -1);
    }
    assert_int_equal(named.count, 0); /* nothing is named by what is refused */
    for (size_t i = 0; i < length; i++) {
        memcpy(copy, payload, length);
        copy[i] ^= (uint8_t)(1 + next(255));
        named.count = 0;
        int result = tvg_decode_samples(copy, length, &info, back, NULL, NULL);
        assert_true(result == -1 || (result == 0 && info.count <= TVG_SAMPLES_MAX));
    }
    free(copy);
}

static void mappings_have_kinds(void **unused)
{
    (void)unused;
    static const struct { const char *path; enum tvg_object_kind kind; const char *name; } cases[] = {
        {"/usr/lib/x86_64-linux-gnu/libm.so.6", TVG_OBJECT_FILE, "libm.so.6"},
        {"/home/user/secret/infer (deleted)", TVG_OBJECT_FILE, "infer"},
        {"[vdso]", TVG_OBJECT_FILE, "[vdso]"},
        {"", TVG_OBJECT_MADE, ""},
        {"//anon", TVG_OBJECT_MADE, ""},
        {"[heap]", TVG_OBJECT_MADE, ""},
        {"[anon:v8]", TVG_OBJECT_MADE, ""},
        {"/memfd:jit (deleted)", TVG_OBJECT_MADE, ""},
        {"/tmp/torchinductor_root/ab/cab.main.so", TVG_OBJECT_COMPILED, "cab.main.so"},
        {"/home/user/cache/ce/ccesm3ywwubtxw2hbhyxkycgwgvoumfc44wobm6kfguqhou45lbm.main.so", TVG_OBJECT_COMPILED, "ccesm3ywwubtxw2hbhyxkycgwgvoumfc44wobm6kfguqhou45lbm.main.so"},
        {"/home/user/cache/xy/ccesm3ywwubtxw2hbhyxkycgwgvoumfc44wobm6kfguqhou45lbm.main.so", TVG_OBJECT_FILE, "ccesm3ywwubtxw2hbhyxkycgwgvoumfc44wobm6kfguqhou45lbm.main.so"},
        {"/ce/ccesm.so", TVG_OBJECT_FILE, "ccesm.so"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[TVG_OBJECT_NAME_MAX];
        assert_int_equal(tvg_object_of_path(cases[i].path, name), cases[i].kind);
        assert_string_equal(name, cases[i].name);
    }
    char longest[400], name[TVG_OBJECT_NAME_MAX];
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = 0;
    assert_int_equal(tvg_object_of_path(longest, name), TVG_OBJECT_FILE);
    assert_int_equal(strlen(name), TVG_OBJECT_NAME_MAX - 1);
}

/* --- samples over ops ------------------------------------------------------------------------------------------------------- */

enum { PROGRAM = 0, KERNELS_FILE, POOL, STRANGER };
static const struct tvg_sampled_object places[] = {{PROGRAM, TVG_OBJECT_FILE, "infer", 5},
                                                   {KERNELS_FILE, TVG_OBJECT_FILE, "libopenblasp-r0.3.21.so", 23}, /* not the name that is linked */
                                                   {POOL, TVG_OBJECT_FILE, "libgomp.so.1", 12},
                                                   {STRANGER, TVG_OBJECT_FILE, "libother.so", 11}};

/* ROUNDS times: an op of 10 ms, then 10 ms of the program's own. `worker`: objects that a helper thread is sampled in during the op and after it. */
static struct tvg_profile *run(uint32_t in_op, uint32_t after_op)
{
    enum { ROUNDS = 20 };
    struct feed *feed = feed_new(NULL);
    struct tvg_dark *dark = tvg_dark_new();
    struct tvg_samples_info info = {.period_ns = 1000000, .before_ns = 50000000, .cost_ns = 0, .kernel = false};
    uint64_t begin = feed->thread[0]->now;
    for (uint32_t round = 0; round < ROUNDS; round++)
        for (uint32_t ms = 0; ms < 20; ms++) {
            uint64_t moment = begin + (round * 20 + ms) * 1000000ull + 500000;
            samples[info.count++] = (struct tvg_cpu_sample){moment, 100, ms < 10 ? KERNELS_FILE : PROGRAM};
            samples[info.count++] = (struct tvg_cpu_sample){moment, 999, ms < 10 ? in_op : after_op};
        }
    size_t length = tvg_encode_samples(block, sizeof block, &info, samples, places, 4, scratch) - sizeof(struct tvg_block_header);
    assert_true(tvg_dark_add(dark, block + sizeof(struct tvg_block_header), (uint32_t)length));
    assert_true(tvg_dark_add(dark, "\x81\xa1", 2)); /* damage: left out */
    tvg_dark_ready(dark);
    tvg_build_dark(feed->process, dark);
    uint32_t op = feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, 64, 64, 64, TVG_OP_ROW_MAJOR);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        feed_op(feed, 0, op, 4096, 8192, 12288, 10000000);
        feed_host(feed, 0, 10000000);
        if (round % 7 == 0)
            feed_flush(feed, 0);
    }
    feed->thread[1]->cpu_ns = 500000000; /* what else the process used: sampled or not */
    return feed_finish(feed);
}

static const struct tvg_cpu_object *find(const struct tvg_profile *profile, const char *name)
{
    for (uint32_t i = 0; i < profile->where.object_count; i++)
        if (strcmp(profile->where.objects[i].name, name) == 0)
            return &profile->where.objects[i];
    fail_msg("%s was not sampled", name);
    return NULL;
}

static void workers_count_to_the_op_they_help(void **unused)
{
    (void)unused;
    static const struct { uint32_t in_op, after_op; double op, dark; } cases[] = {
        {KERNELS_FILE, KERNELS_FILE, 0.4, 0.4}, /* the library's own threads: in the op while it runs, dark when they spin after it */
        {POOL, POOL, 0.4, 0.4},
        {STRANGER, STRANGER, 0.2, 0.6},         /* another library's thread that only runs at the same time */
        {PROGRAM, PROGRAM, 0.2, 0.6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tvg_profile *profile = run(cases[i].in_op, cases[i].after_op);
        const struct tvg_cpu_where *where = &profile->where;
        assert_int_equal(where->processes, 1);
        assert_int_equal(where->samples, 800);
        assert_true(fabs(where->op_seconds - cases[i].op) < 1e-9);
        assert_true(fabs(where->dark_seconds - cases[i].dark) < 1e-9);
        assert_true(fabs(where->before_seconds - 0.05) < 1e-9);
        assert_true(fabs(where->unsampled_seconds - (profile->cpu_seconds - 0.85)) < 1e-6);
        assert_int_equal(where->library_count, 1);
        assert_string_equal(where->libraries[0].name, "libopenblas.so.0");
        assert_true(fabs(where->libraries[0].seconds - cases[i].op) < 1e-9);
        double share = (cases[i].dark + 0.05) / profile->cpu_seconds;
        double low, high;
        tvg_dark_share(profile, &low, &high);
        assert_true(low <= share && high >= share);
        assert_true(high - low < 0.15);
        tvg_profile_free(profile);
    }
}

static void objects_are_told_apart(void **unused)
{
    (void)unused;
    struct tvg_profile *profile = run(POOL, STRANGER);
    assert_true(fabs(find(profile, "infer")->dark_seconds - 0.2) < 1e-9 && find(profile, "infer")->op_seconds == 0);
    assert_true(fabs(find(profile, "libopenblasp-r0.3.21.so")->op_seconds - 0.2) < 1e-9 && find(profile, "libopenblasp-r0.3.21.so")->dark_seconds == 0);
    assert_true(fabs(find(profile, "libgomp.so.1")->op_seconds - 0.2) < 1e-9);
    assert_true(fabs(find(profile, "libother.so")->dark_seconds - 0.2) < 1e-9);
    assert_true(profile->where.objects[0].dark_seconds >= profile->where.objects[1].dark_seconds);
    tvg_profile_free(profile);
}

static void without_samples_nothing_is_claimed(void **unused)
{
    (void)unused;
    struct feed *feed = feed_new(NULL);
    feed_gemm(feed, 0, 64, 64, 64, 4096, 8192, 12288);
    struct tvg_profile *profile = feed_finish(feed);
    assert_int_equal(profile->where.processes, 0);
    assert_int_equal(profile->where.processes, 0);
    tvg_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_sample_survives), cmocka_unit_test(damage_is_refused_or_harmless), cmocka_unit_test(mappings_have_kinds),
        cmocka_unit_test(workers_count_to_the_op_they_help), cmocka_unit_test(objects_are_told_apart), cmocka_unit_test(without_samples_nothing_is_claimed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
