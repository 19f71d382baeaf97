/* Device files: what is shipped loads and says what its sources say; what is wrong is refused, every problem of it by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "analyzer/device.h"

/* --- a file that holds, to be broken one way at a time -------------------------------------------------------------------- */
static json_t *row(const char *use, const char *type, double value, const char *unit, const char *per)
{
    json_t *r = json_pack("{s:s, s:f, s:f, s:f, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:n, s:s, s:s, s:s}", "use", use, "value", value, "low",
                          value / 2, "high", value * 2, "unit", unit, "denominator", per, "boundary", "package", "includes", "all", "data_pattern", "random",
                          "node", "unknown", "device", "a test", "clock", "unknown", "instrument", "none", "samples", "uncertainty", "the interval", "source",
                          "made up", "tag", "derived");
    if (type)
        json_object_set_new(r, "type", json_string(type));
    return r;
}

static json_t *whole_file(void)
{
    json_t *rows = json_array();
    json_array_append_new(rows, row("flop", "f32", 10, "pJ", "FLOP"));
    json_array_append_new(rows, row("peak", "f32", 1, "TFLOP", "second"));
    json_array_append_new(rows, row("byte_memory", NULL, 10, "pJ", "bit"));
    json_array_append_new(rows, row("bandwidth", NULL, 100, "GB", "second"));
    json_array_append_new(rows, row("floor", NULL, 50, "W", "device"));
    json_array_append_new(rows, row("core_active", NULL, 3000, "mW", "core"));
    json_array_append_new(rows, row("launch_floor", NULL, 50, "ns", "call"));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "schema", "tvg-device-1", "name", "test", "title", "A test", "kind", "cpu", "arch", "x86-64",
                     "cores", 8, "rows", rows);
}

static bool parse_json(json_t *root, struct tvg_device **device, struct tvg_error *error)
{
    char *text = json_dumps(root, 0);
    assert_non_null(text);
    bool parsed = tvg_device_parse(device, text, strlen(text), "test.json", error);
    free(text);
    return parsed;
}

struct lines {
    int count;
    char text[64][1024];
};
static void collect(const char *line, void *context)
{
    struct lines *lines = context;
    if (lines->count < 64)
        snprintf(lines->text[lines->count], sizeof lines->text[0], "%s", line);
    lines->count++;
}

/* All problems of `root`, written to a file of its own name. */
static int problems_of(json_t *root, struct lines *lines)
{
    char folder[] = "/tmp/tvg-device-XXXXXX", path[128];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/test.json", folder);
    assert_int_equal(json_dump_file(root, path, 0), 0);
    memset(lines, 0, sizeof *lines);
    int count = tvg_device_check(path, collect, lines);
    assert_int_equal(count, lines->count);
    remove(path);
    remove(folder);
    return count;
}

static json_t *row_at(json_t *root, size_t index)
{
    return json_array_get(json_object_get(root, "rows"), index);
}

static void near(double a, double b, double relative)
{
    if (fabs(a - b) > relative * fabs(b))
        fail_msg("%.9g is not %.9g", a, b);
}

/* --- what is shipped ------------------------------------------------------------------------------------------------------ */
static void shipped_files_hold(void **state)
{
    (void)state;
    static const char *const wanted[] = {"a100-sxm", "amd-epyc-9005", "generic-aarch64", "generic-x86-64", "h100-sxm", "h200", "intel-xeon-4th-5th", "l4"};
    char **names = tvg_device_list();
    size_t seen = 0;
    assert_non_null(names);
    for (char **name = names; *name; name++) {
        struct tvg_device *device;
        struct tvg_error error;
        char path[512];
        struct lines lines = {0};
        assert_true(tvg_device_path(*name, path, sizeof path));
        if (tvg_device_check(path, collect, &lines) != 0)
            fail_msg("%s", lines.text[0]);
        if (!tvg_device_load(&device, *name, &error))
            fail_msg("%s", error.message);
        assert_string_equal(device->name, *name);
        assert_false(device->guessed);
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
            seen += strcmp(*name, wanted[i]) == 0;
        tvg_device_free(device);
    }
    tvg_device_list_free(names);
    assert_int_equal(seen, sizeof wanted / sizeof *wanted);
}

static void figures_are_those_of_their_sources(void **state)
{
    (void)state;
    struct tvg_device *d;
    struct tvg_error error;
    assert_true(tvg_device_load(&d, "h100-sxm", &error));
    near(d->flop[TVG_TYPE_BF16].value.value, (699 - 124.5) / 673e12, 1e-3); /* board total less the awake share, over the rate */
    near(d->flop[TVG_TYPE_F32].value.value, (706 - 124.5) / 51.3e12, 1e-3);
    near(d->flop[TVG_TYPE_TF32].value.value, (696 - 124.5) / 353e12, 1e-3);
    near(d->flop[TVG_TYPE_I8].value.value, (697 - 124.5) / 861e12, 1e-3);
    near(d->byte_memory.value.value, (534 - 124.5) / 3.01e12, 1e-3);
    near(d->awake.value.value, 124.5, 1e-9);
    near(d->floor.value.value, 73.5, 1e-9);
    near(d->peak[TVG_TYPE_BF16].value.value, 989.4e12, 1e-3);
    near(d->launch_floor.value.value, 3e-6, 1e-9);
    assert_int_equal(d->flop[TVG_TYPE_BF16].basis, TVG_BASIS_MODELLED); /* measured on this part */
    assert_int_equal(d->peak[TVG_TYPE_BF16].basis, TVG_BASIS_ESTIMATED);
    assert_string_equal(d->flop[TVG_TYPE_BF16].boundary, "board");
    assert_false(d->flop[TVG_TYPE_I4].known);
    tvg_device_free(d);
    assert_true(tvg_device_load(&d, "a100-sxm", &error));
    near(d->byte_memory.value.value, 13.11e-12 * 8, 1e-9); /* given per bit */
    assert_int_equal(d->flop[TVG_TYPE_F16].basis, TVG_BASIS_ESTIMATED);
    tvg_device_free(d);
    assert_true(tvg_device_load(&d, "amd-epyc-9005", &error));
    near(d->peak[TVG_TYPE_F32].value.value, 128 * 2.7e9 * 64, 1e-3);
    assert_int_equal(d->cores, 128);
    near(d->awake.value.value, d->floor.value.value, 1e-12); /* a CPU has one floor */
    assert_true(d->flop[TVG_TYPE_F32].value.high >= 1.5 * d->flop[TVG_TYPE_F32].value.value); /* thin facts, wide interval */
    tvg_device_free(d);
}

static void the_right_file_is_chosen(void **state)
{
    (void)state;
    static const struct { const char *id, *brand, *name; bool guessed; } cpus[] = {
        {"AuthenticAMD-26-2", "AMD EPYC", "amd-epyc-9005", false}, /* a guest hides the model number */
        {"AuthenticAMD-26-17", "AMD EPYC 9965 192-Core Processor", "amd-epyc-9005", false},
        {"AuthenticAMD-26-68", "AMD Ryzen 9 9950X 16-Core Processor", "generic-x86-64", true}, /* same family, no server */
        {"AuthenticAMD-25-17", "AMD EPYC 9654 96-Core Processor", "amd-epyc-9004", false},
        {"AuthenticAMD-25-1", "AMD EPYC 7763 64-Core Processor", "generic-x86-64", true},
        {"GenuineIntel-6-143", "Intel(R) Xeon(R) Platinum 8480+", "intel-xeon-4th-5th", false},
        {"GenuineIntel-6-207", "INTEL(R) XEON(R) PLATINUM 8592+", "intel-xeon-4th-5th", false},
        {"GenuineIntel-6-143", "Intel(R) Xeon(R) CPU Max 9480", "generic-x86-64", true}, /* same model number, other memory */
        {"GenuineIntel-6-85", "Intel(R) Xeon(R) Gold 6148 CPU @ 2.40GHz", "generic-x86-64", true},
        {"", "", "generic-x86-64", true},
        {"0x41-8-3340", "", "generic-aarch64", true},
    };
    struct tvg_device *d;
    struct tvg_error error;
    for (size_t i = 0; i < sizeof cpus / sizeof *cpus; i++) {
        assert_true(tvg_device_choose_cpu(&d, cpus[i].id, cpus[i].brand, &error));
        if (strcmp(d->name, cpus[i].name) != 0 || d->guessed != cpus[i].guessed)
            fail_msg("%s %s: got %s%s", cpus[i].id, cpus[i].brand, d->name, d->guessed ? " (guessed)" : "");
        tvg_device_free(d);
    }
    static const struct { const char *gpu, *name; bool guessed; } gpus[] = {
        {"NVIDIA H100 80GB HBM3", "h100-sxm", false}, {"NVIDIA H100 PCIe", "generic-gpu", true}, {"NVIDIA H200", "h200", false},
        {"NVIDIA GH200 480GB", "generic-gpu", true}, {"NVIDIA A100-SXM4-80GB", "a100-sxm", false}, {"NVIDIA L4", "l4", false},
        {"NVIDIA L40S", "generic-gpu", true}, {"", "generic-gpu", true}};
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus; i++) {
        assert_true(tvg_device_choose_gpu(&d, gpus[i].gpu, &error));
        if (strcmp(d->name, gpus[i].name) != 0 || d->guessed != gpus[i].guessed)
            fail_msg("%s: got %s", gpus[i].gpu, d->name);
        tvg_device_free(d);
    }
}

static void unknown_names_name_the_known(void **state)
{
    (void)state;
    struct tvg_device *d;
    struct tvg_error error;
    assert_false(tvg_device_load(&d, "h900", &error));
    assert_null(d);
    assert_non_null(strstr(error.message, "h900"));
    assert_non_null(strstr(error.message, "h100-sxm"));
    assert_non_null(strstr(error.message, "generic-x86-64"));
    assert_false(tvg_device_load(&d, "/nowhere/x.json", &error));
    assert_non_null(strstr(error.message, "/nowhere/x.json"));
    assert_false(tvg_device_load(&d, "", &error));
    assert_false(tvg_device_load(&d, "../coeffs/h200", &error)); /* a path, not a name */
    assert_false(tvg_device_load(&d, "a\033[31m", &error));
    assert_null(strchr(error.message, '\033'));
}

/* --- what is refused ------------------------------------------------------------------------------------------------------ */
static void a_whole_file_loads_in_si_units(void **state)
{
    (void)state;
    json_t *root = whole_file();
    struct tvg_device *d;
    struct tvg_error error;
    struct lines lines;
    assert_int_equal(problems_of(root, &lines), 0);
    if (!parse_json(root, &d, &error))
        fail_msg("%s", error.message);
    near(d->flop[TVG_TYPE_F32].value.low, 5e-12, 1e-9);
    near(d->peak[TVG_TYPE_F32].value.value, 1e12, 1e-9);
    near(d->byte_memory.value.value, 80e-12, 1e-9);
    near(d->bandwidth.value.high, 200e9, 1e-9);
    near(d->core_active.value.value, 3, 1e-9);
    near(d->launch_floor.value.value, 50e-9, 1e-9);
    tvg_device_free(d);
    json_decref(root);
}

static void every_column_is_needed(void **state)
{
    (void)state;
    static const char *const columns[] = {"use", "value", "low", "high", "unit", "denominator", "boundary", "includes", "data_pattern", "node", "device",
                                          "clock", "instrument", "samples", "uncertainty", "source", "tag"};
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++) {
        json_t *root = whole_file();
        struct lines lines;
        struct tvg_device *d;
        struct tvg_error error;
        json_array_append_new(json_object_get(root, "rows"), row("store", NULL, 1, "pJ", "instruction"));
        json_object_del(row_at(root, 7), columns[i]);
        assert_int_equal(problems_of(root, &lines), 1);
        char wanted[64];
        snprintf(wanted, sizeof wanted, "no %s", columns[i]);
        if (!strstr(lines.text[0], wanted) || !strstr(lines.text[0], "rows[7]"))
            fail_msg("without %s: %s", columns[i], lines.text[0]);
        assert_false(parse_json(root, &d, &error));
        assert_non_null(strstr(error.message, wanted));
        json_decref(root);
    }
}

static void wrong_values_are_named(void **state)
{
    (void)state;
    static const struct { const char *key; const char *json; const char *wanted; } wrong[] = {
        {"unit", "\"W\"", "wrong unit"}, {"unit", "\"furlong\"", "unknown unit"}, {"unit", "7", "not a text"}, {"unit", "\"\"", "empty"},
        {"denominator", "\"byte\"", "wrong denominator"}, {"denominator", "\"fortnight\"", "unknown denominator"},
        {"boundary", "\"somewhere\"", "unknown boundary"}, {"tag", "\"certain\"", "unknown tag"}, {"source", "\"\"", "source is empty"},
        {"low", "30", "out of order"}, {"high", "1", "out of order"}, {"value", "-1", "not below 0"}, {"value", "\"ten\"", "not a number"},
        {"samples", "-3", "samples"}, {"samples", "\"many\"", "samples"}, {"type", "\"f33\"", "unknown type"}, {"use", "\"magic\"", "unknown use"},
        {"colour", "\"red\"", "unknown column"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_t *root = whole_file();
        struct lines lines;
        bool found = false;
        json_object_set_new(row_at(root, 0), wrong[i].key, json_loads(wrong[i].json, JSON_DECODE_ANY, NULL));
        assert_true(problems_of(root, &lines) >= 1);
        for (int j = 0; j < lines.count && j < 64; j++)
            found = found || (strstr(lines.text[j], wrong[i].wanted) && strstr(lines.text[j], "rows[0]"));
        if (!found)
            fail_msg("%s = %s: %s", wrong[i].key, wrong[i].json, lines.text[0]);
        json_decref(root);
    }
}

static void all_problems_are_listed(void **state)
{
    (void)state;
    json_t *root = whole_file();
    struct lines lines;
    json_object_del(row_at(root, 0), "unit");
    json_object_del(row_at(root, 2), "source");
    json_object_set_new(row_at(root, 4), "tag", json_string("sure"));
    json_object_set_new(root, "cores", json_integer(0));
    assert_int_equal(problems_of(root, &lines), 4);
    json_decref(root);
}

static void duplicates_and_gaps_are_refused(void **state)
{
    (void)state;
    json_t *root = whole_file();
    struct lines lines;
    json_array_append_new(json_object_get(root, "rows"), row("flop", "f32", 11, "pJ", "FLOP"));
    assert_int_equal(problems_of(root, &lines), 1);
    assert_non_null(strstr(lines.text[0], "duplicate"));
    json_decref(root);
    root = whole_file();
    json_array_append_new(json_object_get(root, "rows"), row("flop", "bf16", 5, "pJ", "FLOP")); /* an energy without its rate */
    assert_int_equal(problems_of(root, &lines), 1);
    assert_non_null(strstr(lines.text[0], "flop bf16 without peak bf16"));
    json_decref(root);
    root = whole_file();
    json_array_remove(json_object_get(root, "rows"), 4);
    assert_int_equal(problems_of(root, &lines), 1);
    assert_non_null(strstr(lines.text[0], "no row for floor"));
    json_decref(root);
    root = whole_file();
    json_object_set_new(root, "name", json_string("other")); /* check knows the file's name */
    assert_int_equal(problems_of(root, &lines), 1);
    json_decref(root);
}

static void what_is_not_a_device_file_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "{", "[]", "null", "7", "{}", "{\"rows\": []}", "{\"rows\": {}}", "{\"rows\": [7, null, []]}", "{\"name\": 7, \"match\": []}",
                                        "{\"name\": \"a\", \"name\": \"b\"}", "{\"rows\":[{\"value\": 1e999}]}", "{\"match\": {\"cpu_id\": [7, \"\"], \"brand\": 3}}", "\xff\xfe"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tvg_device *d = (struct tvg_device *)texts; /* must become NULL */
        struct tvg_error error;
        assert_false(tvg_device_parse(&d, texts[i], strlen(texts[i]), "x.json", &error));
        assert_null(d);
        assert_non_null(strstr(error.message, "x.json"));
    }
}

int main(void)
{
    setenv("TVG_COEFFS", "coeffs", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_files_hold), cmocka_unit_test(figures_are_those_of_their_sources), cmocka_unit_test(the_right_file_is_chosen),
        cmocka_unit_test(unknown_names_name_the_known), cmocka_unit_test(a_whole_file_loads_in_si_units), cmocka_unit_test(every_column_is_needed),
        cmocka_unit_test(wrong_values_are_named), cmocka_unit_test(all_problems_are_listed), cmocka_unit_test(duplicates_and_gaps_are_refused),
        cmocka_unit_test(what_is_not_a_device_file_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
