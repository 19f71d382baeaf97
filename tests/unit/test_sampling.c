/* Real recordings of a card, with windows cut out of them: what is estimated from the windows must hold what was recorded. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../../analyzer/profile_build.h"
#include "../../optimizer/gpu_replay.h"
#include "../../trace/kernels.h"

enum { SCRATCH = 1 << 20, ROUNDS = 12 };
static struct tvg_kernel rows[TVG_KERNELS_MAX], kept[TVG_KERNELS_MAX];
static unsigned char scratch[SCRATCH], encoded[TVG_KERNELS_ENCODED_MAX(TVG_KERNELS_MAX)];

struct cut {
    double whole_share, window_share, period; /* of the run from its first launch to its last: recorded whole; of what follows; one window and gap */
    bool no_door;                             /* launches were not counted */
};

static uint64_t random_state;
static double random_unit(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) / 0x1p53;
}

static struct tvg_profile *load(const char *path)
{
    struct tvg_profile *profile = NULL;
    struct tvg_error error;
    assert_true(tvg_profile_load(&profile, path, NULL, &error));
    return profile;
}

static double moment(const struct tvg_kernel *row) { return (double)(row->launch_ns ? row->launch_ns : row->start_ns); }

static struct tvg_windows *windows_of(const struct tvg_profile *profile, const struct cut *cut)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    double first = INFINITY, last = 0;
    for (uint32_t i = 0; i < timeline->count; i++) {
        double launch = (double)timeline->rows[i].launch_ns;
        last = fmax(last, launch);
        first = launch > 0 ? fmin(first, launch) : first;
    }
    struct tvg_windows *windows = calloc(1, sizeof *windows);
    windows->window = calloc(10000, sizeof *windows->window);
    windows->window[windows->count++] = (struct tvg_window){.open_ns = 0, .close_ns = first + cut->whole_share * (last - first), .whole = true};
    double at = windows->window[0].close_ns, period = cut->period * (last - first);
    while (at < last) {
        at += period * (1 - cut->window_share) * (0.5 + random_unit());
        double close = at + period * cut->window_share * (0.6 + 0.8 * random_unit());
        if (close < last)
            windows->window[windows->count++] = (struct tvg_window){.open_ns = at, .close_ns = close};
        at = close;
    }
    windows->end_ns = last;
    double covered = 0;
    for (uint32_t i = 0; i < windows->count; i++)
        covered += windows->window[i].close_ns - fmax(first, windows->window[i].open_ns);
    windows->gap_seconds = (last - first - covered) * 1e-9;
    return windows;
}

/* What the driver's door would have counted. */
static void count_launches(struct tvg_windows *windows, const struct tvg_kernel *row, uint64_t *last_graph_launch)
{
    bool graph = row->graph != 0;
    if (row->bytes || (graph && row->launch_ns == *last_graph_launch))
        return;
    if (graph)
        *last_graph_launch = row->launch_ns;
    int at = tvg_windows_of_call(windows, moment(row));
    struct tvg_window *window = at >= 0 ? &windows->window[at] : NULL;
    if (window)
        graph ? window->graph_launches++ : window->launches++;
    else
        graph ? windows->gap_graph_launches++ : windows->gap_launches++;
}

static const struct tvg_op *reader_op(const void *context, uint32_t op_id) { return tvg_reader_op(context, op_id); }

/* The trace as it would have been with these windows: kernels launched in gaps are not in it. */
static struct tvg_profile *load_cut(const char *path, struct tvg_windows *windows, bool no_door)
{
    struct tvg_reader *reader;
    struct tvg_error error;
    struct tvg_event event;
    uint64_t graph_launch = 0;
    int device;
    if (!no_door) {
        assert_true(tvg_reader_open(&reader, path, &error));
        while (tvg_reader_next_of(reader, TVG_BLOCK_KERNELS, &event)) {
            long count = tvg_decode_kernels(event.payload, event.length, &device, rows, scratch, sizeof scratch);
            for (long i = 0; i < count; i++)
                count_launches(windows, &rows[i], &graph_launch);
        }
        tvg_reader_close(reader);
    }
    assert_true(tvg_reader_open(&reader, path, &error));
    struct tvg_build *build = tvg_build_new(NULL);
    struct tvg_process *process = tvg_build_process(build, tvg_reader_header(reader), reader_op, reader);
    tvg_build_windows(process, windows);
    while (tvg_reader_next(reader, &event)) {
        if (event.kind == TVG_EVENT_BLOCK && event.block == TVG_BLOCK_KERNELS) {
            long count = tvg_decode_kernels(event.payload, event.length, &device, rows, scratch, sizeof scratch), left = 0;
            for (long i = 0; i < count; i++)
                if (tvg_windows_of_call(windows, moment(&rows[i])) >= 0)
                    kept[left++] = rows[i];
            if (!left)
                continue;
            size_t length = tvg_encode_kernels(encoded, sizeof encoded, device, kept, (size_t)left, scratch);
            event.payload = encoded + sizeof(struct tvg_block_header);
            event.length = (uint32_t)(length - sizeof(struct tvg_block_header));
        }
        tvg_build_event(process, &event);
    }
    tvg_build_process_end(process, tvg_reader_ticks_per_ns(reader), tvg_reader_damage(reader));
    struct tvg_profile *profile = tvg_build_finish(build, path, &error);
    assert_non_null(profile);
    tvg_reader_close(reader);
    return profile;
}

static double kernel_seconds(const struct tvg_profile *profile)
{
    double sum = 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++)
        sum += profile->gpus[i].kernel_seconds;
    return sum;
}

static double kernels(const struct tvg_profile *profile)
{
    double sum = 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++)
        sum += (double)profile->gpus[i].kernels;
    return sum;
}

static double same_op(const struct tvg_profile *profile, const struct tvg_op_stat *wanted, double *error)
{
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op *a = &profile->ops[i].op, *b = &wanted->op;
        if (a->kind == b->kind && !strcmp(a->function, b->function) && !strcmp(a->name ? a->name : "", b->name ? b->name : "") && a->m == b->m && a->n == b->n && a->k == b->k &&
            a->lda == b->lda && a->caller_offset == b->caller_offset && a->dim_count == b->dim_count && !memcmp(a->dim, b->dim, a->dim_count * sizeof a->dim[0]) && a->device == b->device &&
            a->flags == b->flags && a->epilogue == b->epilogue && a->batch == b->batch) {
            *error = profile->ops[i].sampling_error;
            return profile->ops[i].seconds;
        }
    }
    *error = 1;
    return 0;
}

/* In nearly all rounds the whole run's figures lie within the intervals of the estimates, and these are not merely wide. */
static void check(const char *path, struct cut cut, double widest, double kernels_within)
{
    struct tvg_profile *whole = load(path);
    double truth = kernel_seconds(whole), held = 0, ops_held = 0, ops = 0;
    for (int round = 0; round < ROUNDS; round++) {
        random_state = (uint64_t)round * 977 + 12345;
        struct tvg_profile *part = load_cut(path, windows_of(whole, &cut), cut.no_door);
        double off = fabs(kernel_seconds(part) / truth - 1);
        assert_true(part->sampled.windows > 3 && part->sampled.gap_seconds > 0);
        assert_true(part->sampled.error > 0 && part->sampled.error < widest);
        assert_true(part->sampled.recorded_share > 0.5 * cut.window_share && part->sampled.recorded_share < 1);
        assert_true(fabs(kernels(part) / kernels(whole) - 1) < kernels_within);
        assert_true(fabs(part->flop / whole->flop - 1) < kernels_within);
        held += off <= part->sampled.error;
        assert_true(off <= 2.5 * part->sampled.error);
        double busy = part->gpus[0].busy_seconds, idle = part->gpus[0].launch_gap_seconds + part->gpus[0].queued_gap_seconds + part->gpus[0].pause_seconds;
        assert_true(fabs(busy / whole->gpus[0].busy_seconds - 1) < 2.5 * part->sampled.error + 0.02);
        assert_true(fabs((busy + idle) / ((part->gpus[0].last_ns - part->gpus[0].first_ns) * 1e-9) - 1) < 1e-6);
        double sum = 0;
        for (uint32_t i = 0; i < whole->op_count; i++) {
            const struct tvg_op_stat *stat = &whole->ops[i];
            double error;
            if (!stat->op.on_gpu || stat->seconds < 0.005 * truth)
                continue;
            double seconds = same_op(part, stat, &error);
            ops++;
            ops_held += fabs(seconds - stat->seconds) <= error * fmax(seconds, 1e-12);
        }
        for (uint32_t i = 0; i < part->op_count; i++)
            sum += part->ops[i].op.on_gpu ? part->ops[i].seconds : 0;
        assert_true(fabs(sum - kernel_seconds(part) - part->gpus[0].transfer_seconds) < 1e-9 * sum + (part->gpu_count > 1 ? 1e-3 : 0)); /* the parts add up */
        tvg_profile_free(part);
    }
    print_message("%s: held in %.0f of %d rounds, ops in %.1f %%\n", path, held, ROUNDS, 100 * ops_held / ops);
    assert_true(held >= 0.8 * ROUNDS);
    assert_true(ops_held >= 0.85 * ops);
    tvg_profile_free(whole);
}

#define FIXTURE(name) "tests/fixtures/gpu/" name "-h100.tvg"

static void test_resnet(void **state)
{
    (void)state;
    check(FIXTURE("resnet50"), (struct cut){.whole_share = 0.1, .window_share = 0.25, .period = 0.04}, 0.1, 0.03);
}

static void test_bert(void **state)
{
    (void)state;
    check(FIXTURE("bert"), (struct cut){.whole_share = 0.2, .window_share = 0.3, .period = 0.05}, 0.15, 0.03);
}

/* Without counted launches, what no call explains goes by time. */
static void test_bert_by_time(void **state)
{
    (void)state;
    check(FIXTURE("bert"), (struct cut){.whole_share = 0.2, .window_share = 0.3, .period = 0.05, .no_door = true}, 0.25, 0.12);
}

/* What CUDA graphs would save, by a walk along the launches that there are. */
static double saving(const struct tvg_profile *profile)
{
    struct tvg_profile *changed = tvg_profile_copy(profile);
    double saved = 0;
    changed->graph_replay = true;
    assert_true(tvg_gpu_replay(&saved, profile, changed, NULL, TVG_WAIT_IS_CARD));
    tvg_profile_free(changed);
    return saved;
}

static void check_saving(const char *path, struct cut cut, double within)
{
    struct tvg_profile *whole = load(path);
    double truth = saving(whole), mean = 0;
    for (int round = 0; round < ROUNDS; round++) {
        random_state = (uint64_t)round * 977 + 12345;
        struct tvg_profile *part = load_cut(path, windows_of(whole, &cut), false);
        double saved = saving(part);
        mean += saved / ROUNDS;
        assert_true(fabs(saved / truth - 1) < 2 * within);
        tvg_profile_free(part);
    }
    print_message("%s: %.3f s saved by the whole run, %.3f by windows\n", path, truth, mean);
    assert_true(truth > 0 && fabs(mean / truth - 1) < within);
    tvg_profile_free(whole);
}

static void test_rewrites_of_windows(void **state)
{
    (void)state;
    check_saving(FIXTURE("resnet50"), (struct cut){.whole_share = 0.4, .window_share = 0.25, .period = 0.12}, 0.2);
}

/* Windows of all the time give what the trace gives as it is. */
static void test_no_gap_changes_nothing(void **state)
{
    (void)state;
    struct tvg_profile *whole = load(FIXTURE("bert"));
    struct tvg_windows *windows = calloc(1, sizeof *windows);
    windows->window = calloc(2, sizeof *windows->window);
    windows->count = 2;
    windows->window[0] = (struct tvg_window){.open_ns = 0, .close_ns = whole->gpus[0].last_ns, .whole = true};
    windows->window[1] = (struct tvg_window){.open_ns = whole->gpus[0].last_ns, .close_ns = whole->gpus[0].last_ns + 1e9};
    windows->end_ns = windows->window[1].close_ns;
    struct tvg_profile *part = load_cut(FIXTURE("bert"), windows, false);
    assert_true(part->sampled.error == 0 && part->sampled.gap_seconds == 0);
    assert_true(kernel_seconds(part) == kernel_seconds(whole) && kernels(part) == kernels(whole) && part->flop == whole->flop);
    assert_true(part->gpus[0].busy_seconds == whole->gpus[0].busy_seconds);
    for (uint32_t i = 0; i < whole->op_count; i++)
        assert_true(part->ops[i].seconds == whole->ops[i].seconds && part->ops[i].sampling_error == 0);
    tvg_profile_free(part);
    tvg_profile_free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet),
        cmocka_unit_test(test_bert),
        cmocka_unit_test(test_bert_by_time),
        cmocka_unit_test(test_rewrites_of_windows),
        cmocka_unit_test(test_no_gap_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
