/* The replay of host and cards against a machine made here: launches every `gap`, a queue of 1024, kernels one behind the other. The machine runs
 * twice, before and after a change; the replay sees the first run alone and has to say how much sooner the second ends. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "optimizer/gpu_replay.h"

enum { ROWS = 6000, KINDS = 12 };

struct machine {
    double gap, latency, change; /* ns: between launches, from launch to card, between kernels */
    double duration[KINDS];
    int count, kinds;
    int read_every;              /* a copy to the host after so many kernels, which the host waits for; 0: none */
    double pause;                /* ns of host work after each wait */
    int keep_every;              /* only every n-th kernel is launched; 0: all */
};

/* Runs the machine; rows may be NULL. Returns when all has ended. */
static double run(const struct machine *machine, struct tvg_launch *rows, uint32_t *row_count)
{
    static double start[ROWS];
    double host = 1e9, card = 0, begun = host;
    uint32_t rows_made = 0, launched = 0;
    for (int i = 0; i < machine->count; i++) {
        if (machine->keep_every && i % machine->keep_every)
            continue;
        if (launched)
            host += machine->gap;
        if (launched >= 1024)
            host = fmax(host, start[launched - 1024]);
        int kind = i % machine->kinds;
        double at = fmax(host + machine->latency, card + machine->change);
        card = at + machine->duration[kind];
        start[launched++] = at;
        if (rows)
            rows[rows_made++] = (struct tvg_launch){.start_ns = (uint64_t)at, .launch_ns = (uint64_t)host, .duration_ns = (uint32_t)machine->duration[kind], .activity = (uint32_t)kind};
        if (machine->read_every && (i + 1) % machine->read_every == 0) {
            double copy = card + machine->change;
            card = copy + 1500;
            if (rows)
                rows[rows_made++] = (struct tvg_launch){.start_ns = (uint64_t)copy, .duration_ns = 1500, .activity = KINDS};
            host = fmax(host, card) + machine->pause - machine->gap; /* the gap before the next launch is the pause */
        }
    }
    if (row_count)
        *row_count = rows_made;
    return fmax(host, card) - begun;
}

struct bench {
    struct tvg_profile before, after;
    struct tvg_op_stat ops[KINDS + 1], changed[KINDS + 2];
    struct tvg_gpu_activity activity[KINDS + 1];
    struct tvg_launch rows[ROWS + ROWS];
};

static struct bench *bench_of(const struct machine *machine)
{
    struct bench *b = calloc(1, sizeof *b);
    run(machine, b->rows, &b->before.timeline.count);
    for (int i = 0; i <= KINDS; i++) {
        b->ops[i].op = (struct tvg_op){.kind = i < KINDS ? TVG_KIND_KERNEL : TVG_KIND_COPY, .function = i < KINDS ? "kernel" : "memcpy DtoH", .on_gpu = 1};
        b->activity[i] = (struct tvg_gpu_activity){.op = (uint32_t)i, .cause = UINT32_MAX};
    }
    for (uint32_t i = 0; i < b->before.timeline.count; i++) {
        b->activity[b->rows[i].activity].count++;
        b->ops[b->rows[i].activity].count++;
        b->ops[b->rows[i].activity].seconds += b->rows[i].duration_ns * 1e-9;
        b->before.timeline.seconds += b->rows[i].duration_ns * 1e-9;
    }
    b->before.timeline.rows = b->rows;
    b->before.timeline.host_count = b->before.timeline.stream_count = 1;
    b->before.timeline.usual_gap_ns = tvg_timeline_usual_gap(&b->before.timeline);
    b->before.timeline.seconds_kept = b->before.timeline.seconds;
    b->before.ops = b->ops;
    b->before.op_count = KINDS + 1;
    b->before.activity = b->activity;
    b->before.activity_count = KINDS + 1;
    memcpy(b->changed, b->ops, sizeof b->ops);
    b->after = b->before;
    b->after.ops = b->changed;
    return b;
}

static double replay(const struct bench *b, const double *stretch, enum tvg_wait_reading reading)
{
    double saved;
    assert_true(tvg_gpu_replay(&saved, &b->before, &b->after, stretch, reading));
    return saved * 1e9;
}

static struct machine machine_with(double gap, double duration, int count)
{
    struct machine machine = {.gap = gap, .latency = 7000, .change = 1000, .count = count, .kinds = 10};
    for (int i = 0; i < KINDS; i++)
        machine.duration[i] = duration;
    return machine;
}

/* Half the time a kernel, as the machine itself would run it. `error`: of the saving, relative to the run. */
static void halved(struct machine machine, double error, double *share)
{
    struct bench *b = bench_of(&machine);
    double before = run(&machine, NULL, NULL), unchanged = replay(b, NULL, TVG_WAIT_IS_HOST);
    assert_true(fabs(unchanged) < 1e-6 * before); /* no change gives the run back */
    assert_true(fabs(replay(b, NULL, TVG_WAIT_IS_CARD)) < 1e-6 * before);
    for (int i = 0; i < KINDS; i++) {
        machine.duration[i] /= 2;
        b->changed[i].seconds /= 2;
    }
    double saved = before - run(&machine, NULL, NULL), said = replay(b, NULL, TVG_WAIT_IS_HOST);
    if (fabs(said - saved) > error * before)
        fail_msg("saved %.0f ns of %.0f, replay says %.0f", saved, before, said);
    double twice[KINDS + 1];
    for (int i = 0; i <= KINDS; i++)
        twice[i] = 2;
    assert_true(fabs(replay(b, twice, TVG_WAIT_IS_HOST)) < 0.02 * before); /* half, stretched twice, is what it was */
    *share = saved / before;
    free(b);
}

static void a_launch_bound_run_gains_no_time_by_faster_kernels(void **unused)
{
    (void)unused;
    double share;
    halved(machine_with(20000, 5000, 2000), 0.001, &share);
    assert_true(share < 0.001);
}

static void a_card_bound_run_gains_all_of_it(void **unused)
{
    (void)unused;
    double share;
    halved(machine_with(4000, 50000, 900), 0.001, &share); /* fewer launches than the queue holds */
    assert_true(share > 0.45);
}

static void a_full_queue_makes_the_host_wait(void **unused)
{
    (void)unused;
    double share;
    halved(machine_with(3000, 30000, 5000), 0.02, &share);
    assert_true(share > 0.4);
}

static void a_copy_to_the_host_makes_it_wait(void **unused)
{
    (void)unused;
    double share;
    struct machine machine = machine_with(4000, 50000, 3000);
    machine.read_every = 30;
    machine.pause = 200000;
    halved(machine, 0.01, &share);
    assert_true(share > 0.3);
    machine = machine_with(40000, 50000, 3000); /* the host nearly keeps up: after the change it sets the pace */
    machine.read_every = 30;
    machine.pause = 100000;
    halved(machine, 0.02, &share);
    assert_true(share > 0.1 && share < 0.3);
}

static void fewer_launches_save_their_gaps(void **unused)
{
    (void)unused;
    struct machine machine = machine_with(20000, 5000, 2000);
    struct bench *b = bench_of(&machine);
    double before = run(&machine, NULL, NULL);
    for (int i = 0; i < KINDS; i++) {
        b->changed[i].count /= 2;
        b->changed[i].seconds /= 2;
    }
    machine.keep_every = 2;
    double saved = before - run(&machine, NULL, NULL);
    assert_true(fabs(replay(b, NULL, TVG_WAIT_IS_HOST) - saved) < 0.01 * before);
    /* launches added behind those of an op cost a gap each: of kind 0 there is one in ten */
    memcpy(b->changed, b->ops, sizeof b->ops);
    b->changed[KINDS + 1] = (struct tvg_op_stat){.op = {.on_gpu = 1}, .count = b->ops[0].count, .seconds = (double)b->ops[0].count * 5e-6, .follows = 1};
    b->after.op_count = KINDS + 2;
    assert_true(fabs(replay(b, NULL, TVG_WAIT_IS_HOST) + 200 * 20000.0) < 0.001 * before);
    free(b);
}

static void graphs_take_the_gaps_within_a_pass(void **unused)
{
    (void)unused;
    struct machine machine = machine_with(20000, 5000, 2000);
    machine.read_every = 10; /* a pass is ten kernels and a look at the result */
    machine.pause = 50000;
    struct bench *b = bench_of(&machine);
    double before = run(&machine, NULL, NULL);
    b->after.graph_replay = true;
    struct tvg_cycles cycles;
    assert_true(tvg_cycles_find(&cycles, &b->before));
    assert_int_equal(cycles.period, 10);
    assert_int_equal(cycles.passes, 199); /* the first is the capture */
    assert_int_equal(cycles.covered_rows, 1990);
    for (uint32_t i = 0; i < b->before.timeline.count; i++)
        assert_true(!cycles.head[i] || b->rows[i].activity == 0); /* a pass begins where the host takes longest */
    tvg_cycles_free(&cycles);
    /* A pass becomes: pause, launch latency, ten kernels and nine changes of 0.3 us, the copy. */
    double pass = 50000 + 7000 + 10 * 5000 + 9 * 300 + 1000 + 1500, was = 50000 + 9 * 20000 + 7000 + 5000 + 1000 + 1500;
    double saved = replay(b, NULL, TVG_WAIT_IS_HOST);
    if (fabs(saved - 199 * (was - pass)) > 0.01 * before)
        fail_msg("%.0f, not %.0f of %.0f", saved, 199 * (was - pass), before);
    free(b);
}

static void a_pause_may_be_a_wait_and_both_readings_are_given(void **unused)
{
    (void)unused;
    struct machine machine = machine_with(4000, 50000, 900);
    struct bench *b = bench_of(&machine);
    uint32_t half = b->before.timeline.count / 2;
    struct tvg_launch *rows = b->rows;
    /* the second half is launched when the first has ended, as after a synchronisation that left no record */
    double first_ends = (double)rows[half - 1].start_ns + rows[half - 1].duration_ns, first_launch = (double)rows[half].launch_ns, first_start = (double)rows[half].start_ns;
    for (uint32_t i = half; i < b->before.timeline.count; i++) {
        rows[i].launch_ns += (uint64_t)(first_ends + 10000 - first_launch);
        rows[i].start_ns += (uint64_t)(first_ends + 17000 - first_start);
    }
    for (int i = 0; i < KINDS; i++)
        b->changed[i].seconds /= 2;
    double as_host = replay(b, NULL, TVG_WAIT_IS_HOST), as_card = replay(b, NULL, TVG_WAIT_IS_CARD);
    assert_true(fabs(as_card - 900 * 25000.0) < 0.02 * 900 * 25000);
    assert_true(fabs(as_host - 450 * 25000.0) < 0.02 * 900 * 25000);
    free(b);
}

/* A host that launches ten kernels, works for a while, waits for the card in a recorded call, and works again; kernels of `each` ns, 100 times. Returns the end. */
static double waits_for_its_card(double each, double work, struct bench *b, struct tvg_wait *waits)
{
    double host = 1e9, card = 0;
    uint32_t rows = 0;
    for (int pass = 0; pass < 100; pass++) {
        for (int i = 0; i < 10; i++, rows++, host += 4000) {
            double start = fmax(host + 7000, card + 1000);
            card = start + each;
            if (b)
                b->rows[rows] = (struct tvg_launch){.start_ns = (uint64_t)start, .launch_ns = (uint64_t)host, .duration_ns = (uint32_t)each, .activity = (uint32_t)i};
        }
        host += work;
        double called = host;
        host = fmax(host + 2000, card + 5000); /* a call that need not wait takes 2 us, one that does comes back after 5 */
        if (waits)
            waits[pass] = (struct tvg_wait){(uint64_t)called, (uint64_t)host, rows - 1, 0};
        host += work;
    }
    return fmax(host, card);
}

static void recorded_waits_are_taken_for_what_they_are(void **unused)
{
    (void)unused;
    static struct tvg_wait waits[100];
    static const struct { double each, work; } runs[] = {{100000, 30000} /* the card is slower */, {20000, 400000} /* done before it is asked */, {60000, 300000} /* half of it is waited for */};
    for (size_t run = 0; run < sizeof runs / sizeof runs[0]; run++) {
        struct machine machine = machine_with(4000, runs[run].each, 1000);
        struct bench *b = bench_of(&machine);
        double before = waits_for_its_card(runs[run].each, runs[run].work, b, waits);
        struct tvg_timeline *timeline = &b->before.timeline;
        timeline->usual_gap_ns = tvg_timeline_usual_gap(timeline);
        timeline->waits_known = true;
        timeline->waits = waits;
        timeline->wait_count = 100;
        b->after.timeline = *timeline;
        assert_true(fabs(replay(b, NULL, TVG_WAIT_IS_HOST)) < 100); /* no change gives the run back */
        for (int i = 0; i < KINDS; i++)
            b->changed[i].seconds /= 2;
        double saved = before - waits_for_its_card(runs[run].each / 2, runs[run].work, NULL, NULL);
        for (int reading = 0; reading < 2; reading++) {
            double said = replay(b, NULL, (enum tvg_wait_reading)reading);
            if (fabs(said - saved) > 0.01 * (before - 1e9))
                fail_msg("run %zu, reading %d: saved %.0f ns of %.0f, replay says %.0f", run, reading, saved, before - 1e9, said);
        }
        /* and slower: what was done before it was asked for now may not be */
        double twice[KINDS + 1], lost = waits_for_its_card(runs[run].each * 2, runs[run].work, NULL, NULL) - before;
        for (int i = 0; i <= KINDS; i++)
            twice[i] = 4;
        assert_true(fabs(replay(b, twice, TVG_WAIT_IS_HOST) + lost) < 0.03 * (before - 1e9));
        free(b);
    }
}

/* Two streams that hand over to each other, `gap` ns between: 60 us on one, 20 us on the other, all launched far ahead. `recorded`: by events that the
 * trace holds. Half the time of the one saves the other as much. */
static void two_streams_in_turn(double gap, bool recorded)
{
    struct machine machine = machine_with(4000, 1000, 1);
    struct bench *b = bench_of(&machine);
    struct tvg_timeline *timeline = &b->before.timeline;
    double card = 1e9;
    timeline->seconds = 0;
    memset(b->ops, 0, sizeof b->ops);
    for (uint32_t i = 0; i < 400; i++) {
        double each = i % 2 ? 20000 : 60000, start = fmax(1e9 + i * 4000.0 + 7000, card + gap);
        b->rows[i] = (struct tvg_launch){.launch_ns = 1000000000 + i * 4000, .start_ns = (uint64_t)start, .duration_ns = (uint32_t)each, .activity = i % 2, .stream = (uint16_t)(i % 2), .after = recorded ? i : 0};
        card = start + each;
        b->ops[i % 2].op.on_gpu = 1;
        b->ops[i % 2].count++;
        b->ops[i % 2].seconds += each * 1e-9;
        timeline->seconds += each * 1e-9;
    }
    timeline->count = 400;
    timeline->stream_count = 2;
    timeline->waits_known = recorded;
    timeline->seconds_kept = timeline->seconds;
    timeline->usual_gap_ns = tvg_timeline_usual_gap(timeline);
    memcpy(b->changed, b->ops, sizeof b->ops);
    b->after.timeline = *timeline;
    assert_true(fabs(replay(b, NULL, TVG_WAIT_IS_HOST)) < 1);
    b->changed[0].seconds /= 2; /* each of the 200 kernels of one stream takes 30 us less, and the other stream begins as much sooner */
    double saved = replay(b, NULL, TVG_WAIT_IS_HOST);
    if (fabs(saved - 200 * 30000.0) > 0.01 * (card - 1e9))
        fail_msg("%.0f of %.0f", saved, 200 * 30000.0);
    free(b);
}

/* The second stream begins 40 us after the first has ended, which no guess would tie to it. */
static void a_recorded_event_is_followed(void **unused)
{
    (void)unused;
    two_streams_in_turn(40000, true);
}

static void a_stream_that_waits_for_another_follows_it(void **unused)
{
    (void)unused;
    two_streams_in_turn(2500, false);
}

/* A trace that holds both: a Llama's passes eager, then the same passes as one graph. The eager ones replayed as a graph take what the graph took. */
static void a_predicted_graph_is_the_graph_that_ran(void **unused)
{
    (void)unused;
    struct tvg_profile *profile;
    struct tvg_error error;
    double saved[2], first = INFINITY, last = 0, end_of[8] = {0};
    if (!tvg_profile_load(&profile, "tests/fixtures/gpu/llama-graph-h100.tvg", &(struct tvg_profile_options){0}, &error))
        fail_msg("%s", error.message);
    struct tvg_cycles cycles;
    assert_true(tvg_cycles_find(&cycles, profile));
    uint64_t launch = 0, graphs = 0;
    for (uint32_t i = 0; i < profile->timeline.count; i++) {
        const struct tvg_launch *row = &profile->timeline.rows[i];
        double end = (double)row->start_ns + row->duration_ns;
        if (cycles.covered[i]) {
            first = fmin(first, (double)row->launch_ns);
            last = fmax(last, end);
        } else if (row->in_graph) {
            graphs += row->launch_ns != launch;
            launch = row->launch_ns;
            assert_true(graphs < 8);
            end_of[graphs] = fmax(end_of[graphs], end);
        }
    }
    assert_int_equal(cycles.passes, 2);
    assert_int_equal(graphs, 3);
    struct tvg_profile captured = *profile;
    captured.graph_replay = true;
    for (int reading = 0; reading < 2; reading++) {
        assert_true(tvg_gpu_replay(&saved[reading], profile, &captured, NULL, (enum tvg_wait_reading)reading));
        double predicted = ((last - first) * 1e-9 - saved[reading]) / cycles.passes, ran = (end_of[3] - end_of[1]) * 1e-9 / 2; /* behind each other; the first one is still set up */
        if (fabs(predicted / ran - 1) > 0.15)
            fail_msg("reading %d: a pass of %.2f ms as a graph, one took %.2f ms (eager %.2f)", reading, predicted * 1e3, ran * 1e3, (last - first) * 1e-6 / cycles.passes);
    }
    tvg_cycles_free(&cycles);
    tvg_profile_free(profile);
}

static void what_does_not_repeat_is_no_pass(void **unused)
{
    (void)unused;
    struct machine machine = machine_with(20000, 5000, 2000);
    struct bench *b = bench_of(&machine);
    uint32_t seed = 1;
    for (uint32_t i = 0; i < b->before.timeline.count; i++) {
        seed = seed * 1664525 + 1013904223;
        b->rows[i].activity = seed >> 16 & 7;
    }
    struct tvg_cycles cycles;
    assert_true(tvg_cycles_find(&cycles, &b->before));
    assert_int_equal(cycles.period, 0);
    tvg_cycles_free(&cycles);
    b->before.timeline.count = 0;
    assert_true(tvg_cycles_find(&cycles, &b->before));
    assert_int_equal(cycles.period, 0);
    tvg_cycles_free(&cycles);
    assert_true(replay(b, NULL, TVG_WAIT_IS_HOST) == 0);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launch_bound_run_gains_no_time_by_faster_kernels), cmocka_unit_test(a_card_bound_run_gains_all_of_it),
        cmocka_unit_test(a_full_queue_makes_the_host_wait), cmocka_unit_test(a_copy_to_the_host_makes_it_wait), cmocka_unit_test(fewer_launches_save_their_gaps),
        cmocka_unit_test(graphs_take_the_gaps_within_a_pass), cmocka_unit_test(a_pause_may_be_a_wait_and_both_readings_are_given),
        cmocka_unit_test(a_stream_that_waits_for_another_follows_it), cmocka_unit_test(recorded_waits_are_taken_for_what_they_are),
        cmocka_unit_test(a_recorded_event_is_followed), cmocka_unit_test(a_predicted_graph_is_the_graph_that_ran), cmocka_unit_test(what_does_not_repeat_is_no_pass)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
