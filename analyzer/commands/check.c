/* `tvg check`: whether a trace, or every trace of a run, is whole; what is damaged and where. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "../reader.h"
#include "../run.h"
#include "command.h"

static const struct tvg_usage usage = {
    .name = "check",
    .arguments = "TRACE|RUN...",
    .summary = "Says whether traces are whole.",
    .details = "Exit status: 0 all whole (a process that was killed, its last records read from its rings, is whole),\n"
               "2 something is damaged, cut off, lost, or not a trace.",
    .options = (const struct tvg_option[]){{0, NULL, NULL, NULL}},
    .json = true,
};

/* What one pass over a trace found. */
struct findings {
    struct tvg_damage damage;
    uint64_t ops, blocks, bytes, negative;
    uint32_t dictionary, unexplained;
    double wall_ns;
};

static bool examine(const char *file, struct findings *found, struct tvg_progress *progress, struct tvg_error *error)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    uint64_t first = UINT64_MAX, last = 0;
    *found = (struct findings){0};
    if (!tvg_reader_open(&reader, file, error))
        return false;
    while (tvg_reader_next(reader, &event)) {
        found->blocks++;
        if (event.kind != TVG_EVENT_OPS)
            continue;
        found->ops += event.info->count;
        for (uint32_t i = 0; i < event.info->count; i++) {
            uint64_t start = event.columns->start[i], end = start + event.columns->duration[i];
            found->negative += end < start;
            first = start < first ? start : first;
            last = end > last ? end : last;
        }
        tvg_progress(tvg_reader_bytes_read(reader), tvg_reader_bytes_total(reader), progress);
    }
    found->damage = *tvg_reader_damage(reader);
    found->bytes = tvg_reader_bytes_total(reader);
    found->dictionary = tvg_reader_op_count(reader);
    for (uint32_t id = 0; id < found->dictionary; id++)
        found->unexplained += strcmp(tvg_reader_op(reader, id)->function, "?") == 0;
    if (found->ops)
        found->wall_ns = tvg_reader_mono_ns(reader, last) - tvg_reader_mono_ns(reader, first);
    tvg_reader_close(reader);
    return true;
}

static bool is_whole(const struct findings *found)
{
    const struct tvg_damage *damage = &found->damage;
    return !damage->blocks_damaged && !damage->cut_off && !damage->bytes_skipped && !damage->ops_lost && !damage->records_missing &&
           !found->unexplained && !found->negative;
}

static void print_text(const char *file, const struct findings *found)
{
    const struct tvg_damage *damage = &found->damage;
    char name[512];
    printf("%s: %s: %" PRIu64 " ops, %" PRIu32 " distinct, %" PRIu64 " blocks, %" PRIu64 " bytes\n", tvg_escape(name, sizeof name, file),
           is_whole(found) ? "whole" : "DAMAGED", found->ops, found->dictionary, found->blocks, found->bytes);
    if (damage->blocks_damaged)
        printf("  %" PRIu32 " damaged %s, the first at byte %" PRIu64 "; %" PRIu64 " bytes skipped\n", damage->blocks_damaged,
               damage->blocks_damaged == 1 ? "place" : "places", damage->first_offset, damage->bytes_skipped);
    if (damage->cut_off)
        printf("  cut off: the last block, at byte %" PRIu64 ", is not whole\n", damage->blocks_damaged ? found->bytes : damage->first_offset);
    if (damage->ops_lost)
        printf("  %" PRIu64 " ops were lost while recording (no space, or the file-size limit): see `tvg coverage`\n", damage->ops_lost);
    if (damage->records_missing)
        printf("  %" PRIu64 " records are missing from the rings' sequences: they were in the damaged or lost blocks\n", damage->records_missing);
    if (found->unexplained)
        printf("  %" PRIu32 " op ids have no dictionary entry: their shapes are unknown\n", found->unexplained);
    if (found->negative)
        printf("  %" PRIu64 " ops end before they start\n", found->negative);
    if (damage->no_end)
        printf("  no end: the process was killed, or still runs; %" PRIu64 " ops read from its rings\n", damage->ops_recovered);
    if (damage->clock_irregular)
        printf("  the clock's rate changed %" PRIu32 " times by more than 100 ppm (suspend or migration): times there are less sure\n",
               damage->clock_irregular);
}

static json_t *to_json(const char *file, const struct findings *found)
{
    const struct tvg_damage *damage = &found->damage;
    char name[1024];
    return json_pack("{s:s, s:b, s:I, s:I, s:I, s:I, s:f, s:{s:I, s:I, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "file",
                     tvg_escape(name, sizeof name, file), "whole", is_whole(found), "ops", (json_int_t)found->ops, "distinct_ops",
                     (json_int_t)found->dictionary, "blocks", (json_int_t)found->blocks, "bytes", (json_int_t)found->bytes, "span_s",
                     found->wall_ns / 1e9, "damage", "places", (json_int_t)damage->blocks_damaged, "first_offset", (json_int_t)damage->first_offset,
                     "cut_off", damage->cut_off, "no_end", damage->no_end, "bytes_skipped", (json_int_t)damage->bytes_skipped, "ops_lost",
                     (json_int_t)damage->ops_lost, "ops_recovered", (json_int_t)damage->ops_recovered, "records_missing",
                     (json_int_t)damage->records_missing, "unexplained_ids", (json_int_t)found->unexplained, "negative_durations",
                     (json_int_t)found->negative, "clock_irregular", (json_int_t)damage->clock_irregular);
}

int tvg_command_check(int argc, char **argv)
{
    struct tvg_arguments arguments;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while (tvg_arguments_next(&arguments))
        ;
    if (arguments.stop)
        return arguments.exit_code;
    if (arguments.operand_count == 0)
        return tvg_command_misuse("check", "give a trace or a run folder");

    int exit_code = TVG_EXIT_OK;
    json_t *all = json_array();
    for (int i = 0; i < arguments.operand_count; i++) {
        struct tvg_error error;
        char **files;
        uint32_t count;
        if (!tvg_run_list(arguments.operand[i], &files, &count, &error)) {
            exit_code = tvg_command_fail("check", &error);
            continue;
        }
        for (uint32_t j = 0; j < count; j++) {
            struct tvg_progress progress = {.what = "checking"};
            struct findings found;
            bool opened = examine(files[j], &found, &progress, &error);
            tvg_progress_end(&progress);
            if (!opened) {
                exit_code = tvg_command_fail("check", &error);
                continue;
            }
            if (!is_whole(&found))
                exit_code = TVG_EXIT_BAD;
            if (arguments.json)
                json_array_append_new(all, to_json(files[j], &found));
            else
                print_text(files[j], &found);
        }
        tvg_run_free(files, count);
    }
    if (arguments.json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(all);
    return exit_code;
}
