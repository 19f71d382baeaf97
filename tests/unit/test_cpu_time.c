/* CPU time by moments and by part of the run: what clocks around the first and the last op tell, within what the CPUs allow. */
#include <math.h>

#include "analyzer/energy.h"
#include "analyzer/report/report.h"
#include "profile_feed.h"

static void close_to(double got, double wanted)
{
    if (!(fabs(got - wanted) <= 1e-9 * fmax(1, fabs(wanted))))
        fail_msg("%.12g is not %.12g", got, wanted);
}

static void used_by_a_moment_lies_between_two_readings(void **unused)
{
    (void)unused;
    struct tvg_cpu_clock clock = {.start = {1e9, 0}, .end = {11e9, 8e9}};
    /* 8 CPU s in 10 s: 2.5 s after the start a quarter, if use was even. 7.5 s on two CPUs hold all 8, so nothing may have run before */
    struct tvg_interval used = tvg_cpu_by(&clock, 3.5e9, 2);
    close_to(used.value, 2);
    close_to(used.low, 0);
    close_to(used.high, 5);
    used = tvg_cpu_by(&clock, 3.5e9, 1); /* one CPU: what can't have run after must have run before */
    close_to(used.low, 0.5);
    close_to(used.high, 2.5);
    clock.opened = (struct tvg_cpu_point){3e9, 1.9e9}; /* a reading half a second before */
    used = tvg_cpu_by(&clock, 3.5e9, 1);
    assert_true(used.low >= 1.9 && used.high <= 2.4 + 1e-9 && used.low <= used.value && used.value <= used.high);
    used = tvg_cpu_by(&clock, 3.5e9, 0); /* nobody knows how many CPUs it had */
    close_to(used.low, 1.9);
    close_to(used.high, 8);
    close_to(tvg_cpu_by(&clock, 0.5e9, 2).high, 0); /* before it began, after it ended */
    close_to(tvg_cpu_by(&clock, 20e9, 2).low, 8);
}

static void the_readings_around_the_last_op_are_kept(void **unused)
{
    (void)unused;
    struct tvg_cpu_clock clock = {.start = {1e9, 0}};
    /* blocks of two rings in turn: one is written when its ring is full, the other long after its last op */
    tvg_cpu_seen(&clock, 2e9, 0.5e9, 1.9e9);
    tvg_cpu_seen(&clock, 4e9, 1e9, 3.9e9);
    tvg_cpu_seen(&clock, 9e9, 3e9, 5e9);
    tvg_cpu_seen(&clock, 8e9, 2.9e9, 5e9);
    close_to(clock.first.mono_ns, 2e9);
    close_to(clock.before.mono_ns, 4e9);
    close_to(clock.after.mono_ns, 8e9);
    tvg_cpu_seen(&clock, 12e9, 4e9, 11e9); /* ops came later than all of them */
    assert_true(clock.before.mono_ns == 8e9 || clock.before.mono_ns == 9e9);
    close_to(clock.after.mono_ns, 12e9);
}

/* `start` CPU s before the first op, then ten ops of 10 ms with 10 ms of the host's between them, then `end` CPU s after the last. */
static struct tvg_profile *run(double start, double end, bool told)
{
    struct feed *feed = feed_new(NULL);
    feed->thread[0]->now = 1000000000;
    feed_host(feed, 0, (uint64_t)(start * 1e9));
    if (told) {
        feed->process = NULL;
        feed->header.anchor = (struct tvg_anchor){feed->thread[0]->now, feed->thread[0]->now, feed->thread[0]->now};
        feed->header.cpu_process_ns = (uint64_t)(start * 1e9);
        tvg_build_free(feed->build);
        feed->build = tvg_build_new(NULL);
        feed->process = tvg_build_process(feed->build, &feed->header, feed_lookup, feed);
    }
    static const char one_cpu[] = "\x81\xab" "cpu.allowed" "\xa1" "1";
    struct tvg_event manifest = {.kind = TVG_EVENT_BLOCK, .block = TVG_BLOCK_MANIFEST, .payload = (const void *)one_cpu, .length = sizeof one_cpu - 1};
    tvg_build_event(feed->process, &manifest);
    uint32_t op = feed_dictionary(feed, "cblas_sgemm", TVG_KIND_GEMM, 512, 512, 512, TVG_OP_ROW_MAJOR);
    for (int i = 0; i < 10; i++) {
        feed_op(feed, 0, op, 4096, 8192, 12288, 10000000);
        if (i < 9)
            feed_host(feed, 0, 10000000);
    }
    feed_host(feed, 0, (uint64_t)(end * 1e9));
    feed_flush(feed, 0); /* at its end: the one block there is */
    return feed_finish(feed);
}

static void what_ran_before_and_after_the_ops_is_start_and_end(void **unused)
{
    (void)unused;
    struct tvg_profile *profile = run(2, 1, true);
    struct tvg_interval outside[6], all = {0, 0, 0};
    assert_int_equal(profile->cpus_allowed, 1);
    tvg_cpu_outside(profile, outside);
    for (int p = 0; p < 6; p++) {
        assert_true(outside[p].low <= outside[p].value && outside[p].value <= outside[p].high);
        all = tvg_interval_add(all, outside[p]);
    }
    close_to(outside[TVG_PHASE_START].value, 2);
    close_to(outside[TVG_PHASE_START].low, 2); /* it was read when the trace was opened */
    assert_true(outside[TVG_PHASE_START].high < 2 + 1e-6);
    assert_true(fabs(outside[TVG_PHASE_END].value - 1) < 0.02);
    assert_true(fabs(outside[TVG_PHASE_STEADY].value + outside[TVG_PHASE_WARMUP].value - 0.09) < 0.02);
    close_to(outside[TVG_PHASE_WAITING].high, 0);
    assert_true(all.high <= profile->cpu_seconds + 1e-9);
    tvg_profile_free(profile);
    profile = run(2, 1, false); /* an older trace: the start's share of one reading at the end, and what one CPU allows */
    assert_true(profile->cpu_start.low <= 2 && profile->cpu_start.high >= 2 - 1e-6 && profile->cpu_start.high <= 2.01);
    assert_true(profile->phase[TVG_PHASE_START].cpu_seconds <= profile->phase[TVG_PHASE_START].seconds * 1.001);
    tvg_profile_free(profile);
}

static void the_energy_of_a_start_is_its_cpu_times_a_core(void **unused)
{
    (void)unused;
    struct tvg_profile *profile = run(2, 1, true);
    struct tvg_device device = {.name = (char *)"test", .cores = 8};
    struct tvg_energy *energy;
    struct tvg_error error;
    profile->cpus_allowed = profile->cpus_online = profile->cores_physical = 8;
    device.core_active = (struct tvg_coefficient){.known = true, .value = {3, 1.5, 10}, .basis = TVG_BASIS_ESTIMATED};
    assert_true(tvg_energy_price(&energy, profile, &device, NULL, TVG_CHARGE_NONE, &error));
    close_to(energy->other_cpu_phase[TVG_PHASE_START].value, 2 * 3);
    close_to(energy->other_cpu_phase[TVG_PHASE_START].low, 2 * 1.5);
    assert_true(fabs(energy->other_cpu_phase[TVG_PHASE_START].high - 2 * 10) < 1e-4);
    struct tvg_interval all = {0, 0, 0};
    for (int p = 0; p < 6; p++)
        all = tvg_interval_add(all, energy->other_cpu_phase[p]);
    close_to(all.value, energy->other_cpu.value);
    close_to(all.low, energy->other_cpu.low);
    close_to(all.high, energy->other_cpu.high);
    tvg_energy_free(energy);
    tvg_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_by_a_moment_lies_between_two_readings), cmocka_unit_test(the_readings_around_the_last_op_are_kept),
        cmocka_unit_test(what_ran_before_and_after_the_ops_is_start_and_end), cmocka_unit_test(the_energy_of_a_start_is_its_cpu_times_a_core)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
