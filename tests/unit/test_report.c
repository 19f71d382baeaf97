/* What the report composes and prints, from a hand-made profile and stand-in rewrites with known savings. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "analyzer/report/report.h"

/* Stand-ins for the optimizer: a rewrite's citation holds "saving low high" in J; saving together is the sum, but `overlap` adds nothing to `big`. */
static void no_transform(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome)
{
    (void)profile, (void)context, (void)outcome;
}
static const struct tvg_rewrite
    small = {.name = "small", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "10 5 20", .transform = no_transform},
    big = {.name = "big", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "40 20 60", .loss = TVG_LOSS_BOUNDED, .transform = no_transform},
    overlap = {.name = "overlap", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "30 10 50", .transform = no_transform},
    unsure = {.name = "unsure", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "25 -5 50", .transform = no_transform},
    assumed = {.name = "assumed", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "90 80 95", .nature = TVG_ASSUMPTION, .transform = no_transform},
    common = {.name = "common", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "50 50 50", .diagnostic_only = true, .transform = no_transform},
    never = {.name = "never", .runs_on = TVG_ON_CPU, .summary = "s", .what_to_do = "w", .citation = "refused", .transform = no_transform};
const struct tvg_rewrite *const tvg_rewrites[] = {&small, &big, &overlap, &unsure, &assumed, &common, &never, NULL};

const struct tvg_rewrite *tvg_rewrite_find(const char *name)
{
    for (int i = 0; tvg_rewrites[i]; i++)
        if (strcmp(tvg_rewrites[i]->name, name) == 0)
            return tvg_rewrites[i];
    return NULL;
}

bool tvg_replay_run(struct tvg_replay *replay, const struct tvg_rewrite *const *rewrites, uint32_t count, const struct tvg_profile *profile,
                    const struct tvg_energy *energy, const struct tvg_rewrite_context *context, struct tvg_error *error)
{
    (void)context, (void)error;
    bool has_big = false;
    struct tvg_interval saved = {0, 0, 0};
    *replay = (struct tvg_replay){.rewrite = rewrites[0], .energy_zero_at = NAN};
    for (uint32_t i = 0; i < count; i++)
        has_big |= rewrites[i] == &big;
    for (uint32_t i = 0; i < count; i++) {
        struct tvg_interval one;
        if (sscanf(rewrites[i]->citation, "%lf %lf %lf", &one.value, &one.low, &one.high) != 3) {
            snprintf(replay->outcome.reason, sizeof replay->outcome.reason, "no op of this kind \x1b[31m");
            return true;
        }
        if (rewrites[i] != &overlap || !has_big)
            saved = tvg_interval_add(saved, one);
    }
    replay->outcome.applied = true;
    snprintf(replay->outcome.reason, sizeof replay->outcome.reason, "changed");
    replay->saved_work = saved;
    replay->saved_rate = tvg_interval_scale(saved, 0.5);
    replay->energy = (struct tvg_interval){energy->total.value - saved.value, energy->total.low - saved.low, energy->total.high - saved.high};
    replay->seconds = profile->wall_seconds * 0.8;
    replay->time_saved = profile->wall_seconds * 0.2;
    replay->idle = tvg_interval_scale(energy->idle, 0.8);
    replay->ops = (struct tvg_interval){replay->energy.value - replay->idle.value - energy->other.value, 0, 1e9};
    replay->op_seconds = 1;
    replay->flop = profile->flop;
    replay->bytes = profile->bytes;
    replay->op_count = profile->total_ops;
    return true;
}

bool tvg_replay_predict(struct tvg_prediction *prediction, const struct tvg_profile *first, const struct tvg_profile *second, struct tvg_error *error)
{
    (void)error;
    *prediction = (struct tvg_prediction){.predicted = first->wall_seconds, .measured = second->wall_seconds, .calls = second->total_ops};
    return true;
}

static struct tvg_op_stat op_of(int64_t size, uint64_t count, double seconds, const char *function)
{
    struct tvg_op_stat stat = {.op = {.library = "libtest.so", .function = function, .kind = TVG_KIND_GEMM, .type_a = TVG_TYPE_F32,
                                      .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .m = size, .n = size,
                                      .k = size, .threads = 1, .device = -1},
                               .count = count, .seconds = seconds, .energy_scale = 1};
    stat.op.flop = 2ull * (uint64_t)(size * size * size);
    stat.op.bytes = 12ull * (uint64_t)(size * size);
    stat.seconds_by_phase[TVG_PHASE_WARMUP] = seconds * 0.1;
    stat.seconds_by_phase[TVG_PHASE_STEADY] = seconds * 0.9;
    return stat;
}

struct fixture {
    struct tvg_op_stat ops[2];
    struct tvg_unit units[2];
    struct tvg_pair manifest[1];
    struct tvg_profile profile;
    struct tvg_device device;
    struct tvg_energy *energy;
    struct tvg_rewrite_context context;
    struct tvg_report report;
};

static void build(struct fixture *fixture, const struct tvg_report_request *requests, uint32_t count)
{
    memset(fixture, 0, sizeof *fixture);
    fixture->ops[0] = op_of(256, 1000, 1.0, "cblas_sgemm");
    fixture->ops[1] = op_of(1024, 10, 2.0, "\x1b]0;evil\x07\xff");
    fixture->units[0] = (struct tvg_unit){.kind = "input_token", .value = 500, .basis = TVG_BASIS_EXACT, .how = "marks"};
    fixture->units[1] = (struct tvg_unit){.kind = "sequence", .value = 50, .basis = TVG_BASIS_INFERRED, .how = "rows"};
    fixture->manifest[0] = (struct tvg_pair){(char *)"key\xfe", (char *)"\x1b[2Jvalue\xff"};
    fixture->profile = (struct tvg_profile){.ops = fixture->ops, .op_count = 2, .units = fixture->units, .unit_count = 2, .total_ops = 1010, .wall_seconds = 10,
        .cpu_seconds = 12, .op_seconds = 3, .op_wall_seconds = 3, .threads = 1, .processes = 1, .cpus_online = 8, .cpus_allowed = 8, .cores_physical = 8,
        .flop = 55e9, .bytes = 3e9, .manifest = fixture->manifest, .manifest_count = 1, .command = "python infer.py", .cpu_model = "Test CPU"};
    fixture->profile.phase[TVG_PHASE_START] = (struct tvg_phase){.seconds = 2, .cpu_seconds = 2};
    fixture->profile.phase[TVG_PHASE_WARMUP] = (struct tvg_phase){.seconds = 1, .cpu_seconds = 1.5, .op_seconds = 0.3};
    fixture->profile.phase[TVG_PHASE_STEADY] = (struct tvg_phase){.seconds = 7, .cpu_seconds = 8.5, .op_seconds = 2.7};
    struct tvg_coefficient watts = {.known = true, .value = {100, 80, 130}, .basis = TVG_BASIS_ESTIMATED, .boundary = "package"};
    fixture->device = (struct tvg_device){.name = (char *)"test", .title = (char *)"Test part", .kind = (char *)"cpu", .cores = 8, .floor = watts};
    fixture->device.flop[TVG_TYPE_F32] = (struct tvg_coefficient){.known = true, .value = {10e-12, 5e-12, 20e-12}, .basis = TVG_BASIS_ESTIMATED};
    fixture->device.peak[TVG_TYPE_F32] = (struct tvg_coefficient){.known = true, .value = {1e12, 1e12, 1e12}};
    fixture->device.bandwidth = (struct tvg_coefficient){.known = true, .value = {1e11, 1e11, 1e11}};
    fixture->context = (struct tvg_rewrite_context){.device = &fixture->device, .cores = 8};
    struct tvg_error error;
    assert_true(tvg_energy_price(&fixture->energy, &fixture->profile, &fixture->device, NULL, TVG_CHARGE_SHARE, &error));
    fixture->report = (struct tvg_report){.path = "run.tvg", .profile = &fixture->profile, .device = &fixture->device, .energy = fixture->energy,
                                          .context = &fixture->context};
    assert_true(tvg_report_build(&fixture->report, requests, count, &error));
}

static void clear(struct fixture *fixture)
{
    tvg_report_clear(&fixture->report);
    tvg_energy_free(fixture->energy);
}

static void test_the_best_set_takes_what_adds(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    const struct tvg_report *report = &fixture.report;
    assert_int_equal(report->set_count, 2);
    assert_ptr_equal(report->rewrites[report->set_order[0]].rewrite, &big);
    assert_ptr_equal(report->rewrites[report->set_order[1]].rewrite, &small);
    assert_true(fabs(report->saved.value - 50) < 1e-9 && !report->set_unsure);
    assert_true(fabs(report->optimized.energy.value - (report->totals.energy.value - 50)) < 1e-9);
    assert_int_equal(report->optimized.basis, TVG_BASIS_PREDICTED);
    clear(&fixture);
}

static void test_named_rewrites_are_composed_as_asked(void **state)
{
    (void)state;
    struct fixture fixture;
    struct tvg_report_request requests[] = {{&unsure, NULL}, {&never, NULL}, {&common, NULL}};
    build(&fixture, requests, 3);
    assert_int_equal(fixture.report.set_count, 1);
    assert_true(fixture.report.set_unsure);
    clear(&fixture);
    struct tvg_report_request all[] = {{&assumed, "0.5"}, {&small, NULL}};
    build(&fixture, all, 2);
    assert_int_equal(fixture.report.set_count, 2);
    assert_true(fabs(fixture.report.saved.value - 100) < 1e-9);
    clear(&fixture);
}

static void test_phases_add_up(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    double sum = 0;
    for (int p = 0; p < 6; p++)
        sum += fixture.report.phase_j[p].value;
    assert_true(fabs(sum - fixture.energy->total.value) < 1e-9 * sum);
    assert_true(fabs(fixture.report.inference.value + fixture.report.start_j - sum) < 1e-9 * sum);
    clear(&fixture);
}

static void test_the_unit_that_is_known_best(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    assert_string_equal(fixture.report.unit.kind, "input_token");
    clear(&fixture);
}

static void test_a_process_that_waits_leads_with_same_rate(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    assert_false(fixture.report.waits);
    fixture.profile.phase[TVG_PHASE_WAITING] = (struct tvg_phase){.seconds = 5};
    fixture.report.inference = (struct tvg_interval){0, 0, 0};
    tvg_report_clear(&fixture.report);
    struct tvg_error error;
    fixture.report = (struct tvg_report){.path = "run.tvg", .profile = &fixture.profile, .device = &fixture.device, .energy = fixture.energy, .context = &fixture.context};
    assert_true(tvg_report_build(&fixture.report, NULL, 0, &error));
    assert_true(fixture.report.waits);
    assert_true(fabs(fixture.report.saved.value - 25) < 1e-9);
    clear(&fixture);
}

static char *printed(void (*show)(const struct tvg_report *, FILE *), const struct tvg_report *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    show(report, out);
    fclose(out);
    return text;
}

static void test_the_screen(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    char *text = printed(tvg_report_text, &fixture.report);
    if (getenv("SHOW"))
        fputs(text, stderr);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "NO METER"));
    assert_non_null(strstr(text, "never: refused, no op of this kind \\x1b[31m"));
    assert_non_null(strstr(text, "unsure: no saving shown"));
    assert_null(strstr(text, "-25 %"));
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1)
        if (end - line > 80)
            fail_msg("wider than 80: %.*s", (int)(end - line), line);
    free(text);
    clear(&fixture);
}

static void test_a_busy_machine_is_told(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    assert_true(fixture.report.held_up == 1);
    clear(&fixture);
    build(&fixture, NULL, 0);
    for (int i = 0; i < 2; i++) {
        fixture.ops[i].seconds_first = fixture.ops[i].seconds / (double)fixture.ops[i].count;
        fixture.ops[i].seconds_min = fixture.ops[i].seconds_first / 4;
    }
    tvg_report_clear(&fixture.report);
    struct tvg_error error;
    fixture.report = (struct tvg_report){.path = "run.tvg", .profile = &fixture.profile, .device = &fixture.device, .energy = fixture.energy, .context = &fixture.context};
    assert_true(tvg_report_build(&fixture.report, NULL, 0, &error));
    assert_true(fabs(fixture.report.held_up - 4) < 1e-9);
    char *text = printed(tvg_report_text, &fixture.report);
    assert_non_null(strstr(text, "CAUTION: calls took 4.0 x their fastest"));
    free(text);
    clear(&fixture);
}

static void test_json_is_valid_whatever_names_hold(void **state)
{
    (void)state;
    struct fixture fixture;
    build(&fixture, NULL, 0);
    char *text = printed(tvg_report_json, &fixture.report);
    json_error_t error;
    json_t *root = json_loads(text, 0, &error);
    if (!root)
        fail_msg("%s", error.text);
    assert_string_equal(json_string_value(json_object_get(json_array_get(json_object_get(root, "ops"), 1), "function")), "\\x1b]0;evil\\x07\\xff");
    double ops = 0;
    size_t i;
    json_t *op, *totals = json_object_get(root, "totals");
    json_array_foreach(json_object_get(root, "ops"), i, op)
        ops += json_number_value(json_object_get(json_object_get(op, "energy_j"), "value"));
    double sum = ops + json_number_value(json_object_get(totals, "idle_j")) + json_number_value(json_object_get(totals, "other_j"));
    double total = json_number_value(json_object_get(json_object_get(totals, "energy_j"), "value"));
    assert_true(fabs(sum - total) <= 1e-9 * total);
    json_decref(root);
    free(text);
    clear(&fixture);
}

static void test_figures_for_people(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(tvg_show_joules(text, sizeof text, 3815), "3,815 J");
    assert_string_equal(tvg_show_joules(text, sizeof text, 2.98e-3), "2.98 mJ");
    assert_string_equal(tvg_show_joules(text, sizeof text, 12700), "12.7 kJ");
    assert_string_equal(tvg_show_joules(text, sizeof text, 0), "0.00 J");
    assert_string_equal(tvg_show_joules(text, sizeof text, -25.04), "-25.0 J");
    assert_string_equal(tvg_show_joules(text, sizeof text, 4e7), "11.1 kWh");
    assert_string_equal(tvg_show_band(text, sizeof text, (struct tvg_interval){20, 12, 40}), "12.0-40.0 J");
    assert_string_equal(tvg_show_band(text, sizeof text, (struct tvg_interval){20, -12, 40}), "-12.0 to 40.0 J");
    assert_string_equal(tvg_show_count(text, sizeof text, 1234567), "1,234,567");
    assert_string_equal(tvg_show_si(text, sizeof text, 61.34e9, "FLOP/s"), "61.3 GFLOP/s");
    assert_string_equal(tvg_show_seconds(text, sizeof text, 0.00214), "2.14 ms");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_best_set_takes_what_adds),
        cmocka_unit_test(test_named_rewrites_are_composed_as_asked),
        cmocka_unit_test(test_phases_add_up),
        cmocka_unit_test(test_the_unit_that_is_known_best),
        cmocka_unit_test(test_a_process_that_waits_leads_with_same_rate),
        cmocka_unit_test(test_the_screen),
        cmocka_unit_test(test_a_busy_machine_is_told),
        cmocka_unit_test(test_json_is_valid_whatever_names_hold),
        cmocka_unit_test(test_figures_for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
