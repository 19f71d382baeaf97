/* tvg coeffs: the device files, their rows with sources, and whether a file holds. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../device.h"
#include "command.h"

static const struct tvg_option options[] = {{0, NULL, NULL, NULL}};
static const struct tvg_usage usage = {
    .name = "coeffs",
    .arguments = "list | show NAME|FILE | check [FILE...]",
    .summary = "Device files: energy and peak rates as data with provenance.",
    .details = "list          every device file, what it is for and how far its figures can be trusted\n"
               "show NAME     one file: each figure with its interval, boundary, tag and source\n"
               "check FILE... every problem of each file (of all device files when none is named); exit 2 when there is one\n\n"
               "Files are looked for in $TVG_COEFFS, in ../coeffs beside the program and where it is installed.",
    .options = options,
    .json = true,
};

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static int print_json(json_t *root)
{
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(root);
    return TVG_EXIT_OK;
}

static int list(bool as_json)
{
    char **names = tvg_device_list();
    json_t *array = json_array();
    int code = TVG_EXIT_OK;
    if (!as_json)
        printf("%-20s %-4s %9s %9s  %s\n", "name", "kind", "rows", "modelled", "what");
    for (char **name = names; name && *name; name++) {
        struct tvg_device *device;
        struct tvg_error error;
        char shown[256];
        if (!tvg_device_load(&device, *name, &error)) {
            code = TVG_EXIT_BAD;
            fprintf(stderr, "tvg coeffs: %s\n", error.message);
            json_array_append_new(array, json_pack("{s:s, s:b, s:s}", "name", *name, "valid", 0, "problem", error.message));
            continue;
        }
        const json_t *rows = json_object_get(device->json, "rows");
        size_t measured = 0;
        for (size_t i = 0; i < json_array_size(rows); i++)
            measured += strstr(text(json_array_get(rows, i), "tag"), "measured") != NULL;
        if (as_json)
            json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:b, s:s}", "name", device->name, "title", device->title, "kind", device->kind,
                                                   "valid", 1, "rows", (json_int_t)json_array_size(rows), "rows_measured", (json_int_t)measured,
                                                   "generic", device->generic, "path", device->path));
        else
            printf("%-20s %-4s %9zu %9zu  %s\n", device->name, device->kind, json_array_size(rows), measured, tvg_escape(shown, sizeof shown, device->title));
        tvg_device_free(device);
    }
    bool none = !names || !*names;
    tvg_device_list_free(names);
    if (none) {
        json_decref(array);
        struct tvg_error error;
        tvg_fail(&error, NULL, NULL, "set TVG_COEFFS to the folder that holds them", "no device files were found");
        return tvg_command_fail("coeffs", &error);
    }
    if (as_json)
        print_json(array);
    else
        json_decref(array);
    return code;
}

static int show(const char *name, bool as_json)
{
    struct tvg_device *device;
    struct tvg_error error;
    if (!tvg_device_load(&device, name, &error))
        return tvg_command_fail("coeffs", &error);
    if (as_json) {
        print_json(json_incref(device->json));
        tvg_device_free(device);
        return TVG_EXIT_OK;
    }
    char shown[1024], path[512];
    printf("%s: %s\n%s\n", device->name, tvg_escape(shown, sizeof shown, device->title), tvg_escape(path, sizeof path, device->path));
    if (device->generic)
        printf("Taken where no other file matches: a guess.\n");
    if (*text(device->json, "notes"))
        printf("%s\n", tvg_escape(shown, sizeof shown, text(device->json, "notes")));
    printf("\n%-24s %10s %23s %-18s %-13s %s\n", "use", "value", "low .. high", "unit", "boundary", "tag");
    const json_t *rows = json_object_get(device->json, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        char use[64], unit[40], range[48];
        snprintf(use, sizeof use, "%.40s%s%.16s", text(row, "use"), *text(row, "type") ? " " : "", text(row, "type"));
        snprintf(unit, sizeof unit, "%.16s / %.16s", text(row, "unit"), text(row, "denominator"));
        snprintf(range, sizeof range, "%.4g .. %.4g", json_number_value(json_object_get(row, "low")), json_number_value(json_object_get(row, "high")));
        printf("%-24s %10.4g %23s %-18s %-13s %s\n", use, json_number_value(json_object_get(row, "value")), range, unit, text(row, "boundary"), text(row, "tag"));
        if (*text(row, "what"))
            printf("    what      %s\n", tvg_escape(shown, sizeof shown, text(row, "what")));
        printf("    source    %s\n", tvg_escape(shown, sizeof shown, text(row, "source")));
        printf("    includes  %s\n", tvg_escape(shown, sizeof shown, text(row, "includes")));
    }
    printf("\nOther columns (data pattern, node, clock, instrument, samples, uncertainty): tvg coeffs show %s --json\n", device->name);
    tvg_device_free(device);
    return TVG_EXIT_OK;
}

struct found {
    json_t *problems;
    bool print;
};
static void on_problem(const char *line, void *context)
{
    struct found *found = context;
    if (found->print)
        printf("%s\n", line);
    json_t *string = json_string(line);
    json_array_append_new(found->problems, string ? string : json_string_nocheck(line));
}

static int check_one(const char *path, bool as_json, json_t *results)
{
    struct found found = {json_array(), !as_json};
    char shown[512];
    int problems = tvg_device_check(path, on_problem, &found);
    if (!as_json && problems == 0)
        printf("%s: holds\n", tvg_escape(shown, sizeof shown, path));
    json_array_append_new(results, json_pack("{s:s, s:b, s:o}", "file", tvg_escape(shown, sizeof shown, path), "valid", problems == 0, "problems", found.problems));
    return problems == 0 ? TVG_EXIT_OK : TVG_EXIT_BAD;
}

static int check(char **files, int count, bool as_json)
{
    json_t *results = json_array();
    int code = TVG_EXIT_OK;
    for (int i = 0; i < count; i++)
        if (check_one(files[i], as_json, results) != TVG_EXIT_OK)
            code = TVG_EXIT_BAD;
    if (count == 0) {
        char **names = tvg_device_list();
        for (char **name = names; name && *name; name++) {
            char path[4400];
            if (!tvg_device_path(*name, path, sizeof path) || check_one(path, as_json, results) != TVG_EXIT_OK)
                code = TVG_EXIT_BAD;
        }
        if (!names || !*names) {
            fprintf(stderr, "tvg coeffs: no device files were found; set TVG_COEFFS to the folder that holds them\n");
            code = TVG_EXIT_BAD;
        }
        tvg_device_list_free(names);
    }
    if (as_json)
        print_json(results);
    else
        json_decref(results);
    return code;
}

int tvg_command_coeffs(int argc, char **argv)
{
    struct tvg_arguments a;
    tvg_arguments_begin(&a, &usage, argc, argv);
    while (tvg_arguments_next(&a))
        ;
    if (a.stop)
        return a.exit_code;
    static const char *const verbs[] = {"list", "show", "check", NULL};
    const char *verb = a.operand_count ? a.operand[0] : "list";
    if (strcmp(verb, "list") == 0 && a.operand_count <= 1)
        return list(a.json);
    if (strcmp(verb, "show") == 0 && a.operand_count == 2)
        return show(a.operand[1], a.json);
    if (strcmp(verb, "check") == 0)
        return check(a.operand + 1, a.operand_count - 1, a.json);
    if (strcmp(verb, "list") == 0)
        return tvg_command_misuse("coeffs", "list takes no names");
    if (strcmp(verb, "show") == 0)
        return tvg_command_misuse("coeffs", "show takes one name or file");
    const char *near = tvg_nearest(verb, verbs);
    char shown[128];
    return tvg_command_misuse("coeffs", "there is no %s%s%s%s", tvg_escape(shown, sizeof shown, verb), near ? ": did you mean " : "", near ? near : "", near ? "?" : "");
}
