/* Loads a trace file or a run folder into a profile. */
#include "profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "profile_build.h"
#include "run.h"

static const struct tvg_op *reader_op(const void *context, uint32_t op_id)
{
    return tvg_reader_op(context, op_id);
}

struct progress {
    const struct tvg_profile_options *options;
    uint64_t total, ended; /* bytes: of all files, of those read to their end */
    unsigned events;
};

/* A trace being read. */
struct member {
    struct tvg_reader *reader;
    struct tvg_process *process;
    uint64_t reached_ns; /* CLOCK_MONOTONIC of the latest block */
};

/* Puts an open trace among those that are read. False when memory is out, which tvg_build_finish says. */
static bool admit(struct member *member, struct tvg_build *build, struct tvg_reader *reader, const char *path)
{
    const struct tvg_trace_header *header = tvg_reader_header(reader);
    *member = (struct member){reader, tvg_build_process(build, header, reader_op, reader), header->anchor.mono_ns};
    if (!member->process)
        tvg_reader_close(reader);
    else {
        tvg_build_dark(member->process, tvg_dark_read(path));
        tvg_build_windows(member->process, tvg_windows_read(path));
    }
    return member->process != NULL;
}

/* Takes one event; false after the last, when the member is closed. */
static bool advance(struct member *member, struct progress *progress)
{
    struct tvg_event event;
    if (tvg_reader_next(member->reader, &event)) {
        tvg_build_event(member->process, &event);
        if (event.kind == TVG_EVENT_OPS && event.info->anchor.mono_ns > member->reached_ns)
            member->reached_ns = event.info->anchor.mono_ns;
        if (progress->options && progress->options->progress && ++progress->events % 64 == 0)
            progress->options->progress(progress->ended + tvg_reader_bytes_read(member->reader), progress->total, progress->options->context);
        return true;
    }
    tvg_build_process_end(member->process, tvg_reader_ticks_per_ns(member->reader), tvg_reader_damage(member->reader));
    progress->ended += tvg_reader_bytes_total(member->reader);
    tvg_reader_close(member->reader);
    return false;
}

static bool read_file(struct tvg_build *build, const char *path, struct progress *progress, struct tvg_error *error)
{
    struct member member;
    struct tvg_reader *reader;
    if (!tvg_reader_open(&reader, path, error))
        return false;
    if (admit(&member, build, reader, path))
        while (advance(&member, progress))
            ;
    return true;
}

/* An op is in the dictionary before it is recorded. */
static bool has_ops(const char *path)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_error ignored;
    if (!tvg_reader_open(&reader, path, &ignored))
        return false;
    bool has = tvg_reader_next_of(reader, TVG_BLOCK_DICT, &event);
    tvg_reader_close(reader);
    return has;
}

/* Processes without ops (launchers) come last: the first is taken for the one that serves, and its manifest for the run's. */
static void order_by_ops(char **names, uint32_t count)
{
    char **without = malloc((count + 1) * sizeof *without);
    uint32_t first = 0, last = 0;
    if (!without)
        return; /* the order is a matter of taste, not of figures */
    for (uint32_t i = 0; i < count; i++)
        if (has_ops(names[i]))
            names[first++] = names[i];
        else
            without[last++] = names[i];
    for (uint32_t i = 0; i < last; i++)
        names[first + i] = without[i];
    free(without);
}

enum { OPEN_MAX_MEMBERS = 8 }; /* readers at once: what bounds memory */

/* Processes that ran side by side are read side by side, so that their op time can be laid over each other while it streams. */
static bool read_folder(struct tvg_build *build, const char *path, struct progress *progress, struct tvg_error *error)
{
    uint32_t count, next = 0, read = 0, open = 0;
    char **names;
    if (!tvg_run_list(path, &names, &count, error))
        return false;
    order_by_ops(names, count);
    struct tvg_error first = {{0}};
    struct stat about;
    struct member member[OPEN_MAX_MEMBERS];
    for (uint32_t i = 0; i < count; i++)
        progress->total += stat(names[i], &about) == 0 ? (uint64_t)about.st_size : 0;
    struct tvg_reader *reader = NULL; /* the next one, opened */
    while (open || reader || next < count) {
        if (reader && (open == 0 || (open < OPEN_MAX_MEMBERS && tvg_same_clock(tvg_reader_header(reader), tvg_reader_header(member[0].reader))))) {
            open += admit(&member[open], build, reader, names[next - 1]);
            reader = NULL;
            continue;
        }
        if (!reader && next < count) {
            struct tvg_error problem = {{0}};
            if (tvg_reader_open(&reader, names[next], &problem)) {
                read++;
            } else {
                reader = NULL;
                const char *slash = strrchr(names[next], '/');
                tvg_build_note(build, "unreadable", slash ? slash + 1 : names[next], problem.message);
                if (!first.message[0])
                    first = problem;
            }
            next++;
            continue;
        }
        uint32_t behind = 0;
        for (uint32_t i = 1; i < open; i++)
            if (member[i].reached_ns < member[behind].reached_ns)
                behind = i;
        if (!advance(&member[behind], progress))
            member[behind] = member[--open];
    }
    tvg_run_free(names, count);
    if (!read)
        return tvg_fail(error, path, NULL, NULL, "none of its %u traces can be read; the first: %s", count, first.message);
    return true;
}

bool tvg_profile_load(struct tvg_profile **profile, const char *path, const struct tvg_profile_options *options, struct tvg_error *error)
{
    *profile = NULL;
    if (options && options->unit_kind && !tvg_unit_value_check("--units", options->unit_value, error))
        return false;
    if (options && options->tokens != 0 && !tvg_unit_value_check("--tokens", options->tokens, error))
        return false;
    struct stat about;
    if (stat(path, &about) != 0)
        return tvg_fail(error, path, NULL, "give a trace file or the folder of a run", "%s", strerror(errno));
    struct tvg_build *build = tvg_build_new(options);
    if (!build)
        return tvg_fail(error, path, NULL, NULL, "out of memory");
    struct progress progress = {.options = options};
    bool read;
    if (S_ISDIR(about.st_mode))
        read = read_folder(build, path, &progress, error);
    else {
        progress.total = (uint64_t)about.st_size;
        read = read_file(build, path, &progress, error);
    }
    if (!read) {
        tvg_build_free(build);
        return false;
    }
    *profile = tvg_build_finish(build, path, error);
    return *profile != NULL;
}

static void *duplicate(const void *data, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    if (copy && bytes)
        memcpy(copy, data, bytes);
    return copy;
}

struct tvg_profile *tvg_profile_copy(const struct tvg_profile *profile)
{
    struct tvg_profile *copy = duplicate(profile, sizeof *profile);
    if (!copy)
        return NULL;
    copy->ops = duplicate(profile->ops, profile->op_count * sizeof *profile->ops);
    copy->groups = duplicate(profile->groups, profile->group_count * sizeof *profile->groups);
    if (!copy->ops || !copy->groups) {
        free(copy->ops);
        free(copy->groups);
        free(copy);
        return NULL;
    }
    tvg_arena_share(profile->arena);
    return copy;
}

void tvg_profile_free(struct tvg_profile *profile)
{
    if (!profile)
        return;
    tvg_arena_free(profile->arena);
    free(profile->ops);
    free(profile->groups);
    free(profile);
}

const char *tvg_profile_manifest(const struct tvg_profile *profile, const char *key)
{
    for (uint32_t i = 0; i < profile->manifest_count; i++)
        if (strcmp(profile->manifest[i].key, key) == 0)
            return profile->manifest[i].value;
    return NULL;
}
