/* `tvg coverage`: what a trace saw and what it did not: per library, CPU time outside recorded ops, names that can't be caught, sources,
 * losses, damage. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../profile.h"
#include "../report/report.h"
#include "command.h"

static const struct tvg_option options[] = {{0, NULL, NULL, NULL}};

static const struct tvg_usage usage = {
    .name = "coverage",
    .arguments = "TRACE|RUN... [options]",
    .summary = "What a trace saw of a run, and what it did not.",
    .options = options,
    .json = true,
    .details = "Dark is the share of the process's CPU time that did not run in recorded ops: interpreters, elementwise code, libraries that were not\n"
               "caught. By samples of every thread (the source \"dark\") it is known with the objects it ran in: a sample is in an op when its thread\n"
               "was, or when another thread was and it fell into that op's library or a thread pool. Ranges are 95 % of the samples' chance (one sample at\n"
               "least), and what could not be sampled. Without samples it is known within bounds: an op uses at most its duration times the threads its library may\n"
               "use, at least what the fastest call of the same op took.",
};

struct library {
    const char *name;
    uint64_t calls;
    double flop, seconds, cpu_least, cpu_most;
};

struct seen {
    struct library *libraries;
    uint32_t count;
    double dark_low, dark_high; /* share of the process's CPU time outside them; NAN when that is not known */
};

static int by_flop(const void *left, const void *right)
{
    const struct library *a = left, *b = right;
    if (a->flop != b->flop)
        return a->flop < b->flop ? 1 : -1;
    return strcmp(a->name, b->name);
}

static bool look(struct seen *seen, const struct tvg_profile *profile)
{
    *seen = (struct seen){.libraries = calloc(profile->op_count + 1, sizeof *seen->libraries)};
    if (!seen->libraries)
        return false;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        uint32_t at = 0;
        while (at < seen->count && strcmp(seen->libraries[at].name, stat->op.library) != 0)
            at++;
        if (at == seen->count)
            seen->libraries[seen->count++].name = stat->op.library;
        struct library *library = &seen->libraries[at];
        double most = stat->op.on_gpu ? 0 : stat->seconds * (stat->op.threads ? stat->op.threads : 1);
        double least = stat->op.on_gpu ? 0 : stat->seconds_min * (double)stat->count;
        library->calls += stat->count;
        library->flop += (double)stat->op.flop * (double)stat->count;
        library->seconds += stat->seconds;
        library->cpu_least += least;
        library->cpu_most += most;
    }
    for (uint32_t i = 0; i < seen->count; i++) {
        double sampled = tvg_library_cpu(profile, seen->libraries[i].name);
        if (isfinite(sampled))
            seen->libraries[i].cpu_least = seen->libraries[i].cpu_most = sampled;
    }
    tvg_dark_share(profile, &seen->dark_low, &seen->dark_high);
    qsort(seen->libraries, seen->count, sizeof *seen->libraries, by_flop);
    return true;
}

/* "35 %", "12 to 35 %" when the ends differ by a point or more. */
static const char *share(char *out, size_t size, double low, double high)
{
    low = 100 * fmin(1, low);
    high = 100 * fmin(1, high);
    if (!isfinite(low) || !isfinite(high))
        snprintf(out, size, "not known");
    else if (high - low < 1)
        snprintf(out, size, "%.0f %%", (low + high) / 2);
    else
        snprintf(out, size, "%.0f to %.0f %%", low, high);
    return out;
}

static const char *si(char out[32], double value, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P", "E"};
    int at = 0;
    while (value >= 999.5 && at < 6)
        value /= 1000, at++;
    snprintf(out, 32, "%.*f %s%s", value >= 99.95 || value == 0 ? 0 : value >= 9.995 ? 1 : 2, value, prefix[at], unit);
    return out;
}

/* Prints words in lines of at most 80 columns, later lines indented. */
static void wrap(const char *first_indent, const char *indent, const char *text)
{
    size_t column = strlen(first_indent);
    fputs(first_indent, stdout);
    bool begun = false;
    while (*text) {
        size_t word = strcspn(text, " ");
        while (column + word + begun > 80 && begun) {
            printf("\n%s", indent);
            column = strlen(indent);
            begun = false;
        }
        if (begun)
            putchar(' '), column++;
        size_t room = 80 - column, shown = word < room ? word : room; /* a word longer than a line is broken */
        printf("%.*s", (int)shown, text);
        column += shown;
        text += shown;
        if (shown < word) {
            printf("\n%s", indent);
            column = strlen(indent);
            begun = false;
            continue;
        }
        begun = true;
        text += strspn(text, " ");
    }
    putchar('\n');
}

static bool is(const struct tvg_coverage_note *note, const char *what)
{
    return strcmp(note->what, what) == 0;
}

static uint64_t count_of(const struct tvg_profile *profile, const char *what)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < profile->note_count; i++)
        count += is(&profile->notes[i], what);
    return count;
}

/* The sections notes fall into; what is in none of them comes last. */
static const struct {
    const char *what, *title;
} sections[] = {
    {"found-not-catchable", "FOUND, BUT NOT CATCHABLE"},
    {"not-entered", "PROGRAMS THAT COULD NOT BE ENTERED"},
    {"unresolved", "THE REAL FUNCTION WAS NOT FOUND"},
    {"unknown-version", "UNKNOWN VERSIONS"},
    {"late", "IN USE BEFORE IT COULD BE CAUGHT"},
    {"failed-call", "CALLS THAT FAILED (no FLOP counted)"},
    {"compute-type", "CALLS THAT RAN IN ANOTHER TYPE THAN THEY SAY"},
    {"child-without-preload", "CHILDREN THAT LOST THE PRELOAD"},
    {"second-preload", "OTHER PRELOADS"},
    {"setting-refused", "SETTINGS THAT MEAN NOTHING"},
    {"source-refused", "SOURCES THAT ARE MISSING"},
    {"source-limited", "SOURCES THAT ARE LIMITED"},
    {"source-partial", "SOURCES THAT ARE LIMITED"},
    {"source-yielded", "SOURCES THAT ARE LIMITED"},
    {"lost", "LOST"},
    {"limit", "FULL TABLES"},
    {"unreadable", "TRACES THAT COULD NOT BE READ"},
    {"not-crash-safe", "NOT SAFE AGAINST A CRASH"},
};
enum { SECTIONS = sizeof sections / sizeof sections[0], NOTES_SHOWN = 24 };

static int section_of(const struct tvg_coverage_note *note)
{
    for (int i = 0; i < SECTIONS; i++)
        if (is(note, sections[i].what))
            return i;
    return SECTIONS;
}

static void print_note(const struct tvg_coverage_note *note, bool with_what)
{
    char line[2048], what[80], subject[512], detail[1024], times[40] = "";
    if (note->count > 1)
        snprintf(times, sizeof times, " (%llu times)", (unsigned long long)note->count);
    snprintf(line, sizeof line, "%s%s%s%s%s%s", with_what ? tvg_escape(what, sizeof what, note->what) : "", with_what ? " " : "",
             tvg_escape(subject, sizeof subject, note->subject), note->detail[0] ? ": " : "", tvg_escape(detail, sizeof detail, note->detail), times);
    wrap("  ", "    ", line);
}

static void print_notes(const struct tvg_profile *profile, struct tvg_style style)
{
    for (int section = 0; section <= SECTIONS; section++) {
        uint64_t shown = 0, more = 0;
        for (uint32_t i = 0; i < profile->note_count; i++) {
            const struct tvg_coverage_note *note = &profile->notes[i];
            if (section_of(note) != section || is(note, "library") || is(note, "nothing-seen") || is(note, "caught") || is(note, "source-on"))
                continue;
            if (shown == NOTES_SHOWN) {
                more++;
                continue;
            }
            if (shown++ == 0 && !(section > 0 && section < SECTIONS && strcmp(sections[section].title, sections[section - 1].title) == 0))
                printf("%s%s%s\n", style.bold, section < SECTIONS ? sections[section].title : "ALSO", style.off);
            print_note(note, section == SECTIONS);
        }
        if (more)
            printf("  and %llu more (--json)\n", (unsigned long long)more);
    }
}

static void print_damage(const struct tvg_profile *profile)
{
    const struct tvg_damage *damage = &profile->damage;
    char line[512];
    if (!damage->blocks_damaged && !damage->bytes_skipped && !damage->cut_off && !damage->no_end && !damage->ops_lost && !damage->records_missing) {
        printf("Whole: every trace has its end, no op was lost, no block is damaged.\n");
        return;
    }
    if (damage->ops_lost)
        printf("LOST  %llu ops could not be written while recording.\n", (unsigned long long)damage->ops_lost);
    if (damage->records_missing) {
        snprintf(line, sizeof line, "MISSING  %llu records are in no block: damaged or lost blocks held them.", (unsigned long long)damage->records_missing);
        wrap("", "  ", line);
    }
    if (damage->blocks_damaged || damage->bytes_skipped || damage->cut_off) {
        snprintf(line, sizeof line, "DAMAGE  %llu bytes in %u places could not be read%s.", (unsigned long long)damage->bytes_skipped, damage->blocks_damaged,
                 damage->cut_off ? ", the end is cut off" : "");
        wrap("", "  ", line);
    }
    if (damage->no_end) {
        snprintf(line, sizeof line, "NO END  A process was killed or still runs; %llu ops were recovered from its rings.", (unsigned long long)damage->ops_recovered);
        wrap("", "  ", line);
    }
}

static void print_names(const struct tvg_profile *profile, const char *what, const char *title, struct tvg_style style)
{
    char line[4096] = "", shown[256];
    size_t used = 0;
    uint64_t more = 0;
    for (uint32_t i = 0; i < profile->note_count; i++) {
        const struct tvg_coverage_note *note = &profile->notes[i];
        if (!is(note, what))
            continue;
        tvg_escape(shown, sizeof shown, note->subject);
        if (used + strlen(shown) + 2 < sizeof line)
            used += (size_t)snprintf(line + used, sizeof line - used, "%s%s", used ? ", " : "", shown);
        else
            more++;
    }
    if (!used)
        return;
    printf("%s%s%s\n", style.bold, title, style.off);
    wrap("  ", "  ", line);
    if (more)
        printf("  and %llu more (--json)\n", (unsigned long long)more);
}

enum { OBJECTS_SHOWN = 10 };

static void print_dark_row(const char *name, double seconds, double all)
{
    char time[32];
    printf("  %-56.56s %9s %5.1f %%\n", name, tvg_show_seconds(time, sizeof time, seconds), 100 * seconds / all);
}

/* Where the CPU time ran, in rows that add up to all of it: recorded ops, the objects outside them, what no sample stands for. */
static void print_dark(const struct tvg_profile *profile, struct tvg_style style)
{
    const struct tvg_cpu_where *where = &profile->where;
    double all = where->all_seconds, more = 0;
    uint32_t rest = 0;
    char name[512], line[256];
    if (!where->processes || !(all > 0))
        return;
    printf("%sWHERE THE CPU TIME RAN%s  %.3g s by %llu samples: +-%.1f %% in all (95 %%)\n", style.bold, style.off, all, (unsigned long long)where->samples,
           100 * tvg_dark_chance(profile) / all);
    print_dark_row("recorded ops", where->op_seconds, all);
    for (uint32_t i = 0; i < where->object_count && where->objects[i].dark_seconds > 0; i++) {
        if (i >= OBJECTS_SHOWN) {
            rest++;
            more += where->objects[i].dark_seconds;
            continue;
        }
        print_dark_row(tvg_show_object(name, sizeof name, &where->objects[i]), where->objects[i].dark_seconds, all);
    }
    if (rest) {
        snprintf(name, sizeof name, "%u more objects (--json)", rest);
        print_dark_row(name, more, all);
    }
    if (where->before_seconds > 0)
        print_dark_row("before sampling began: dark", where->before_seconds, all);
    if (where->unsampled_seconds > 0)
        print_dark_row(profile->total_ops == 0 ? "not sampled" : where->kernel ? "not sampled, perhaps in ops" : "not sampled, perhaps in ops: the kernel, first moments",
                       where->unsampled_seconds, all);
    if (where->processes < profile->processes) {
        snprintf(line, sizeof line, "%u of %u processes were not sampled.", profile->processes - where->processes, profile->processes);
        wrap("  ", "  ", line);
    }
    if (where->lost) {
        snprintf(line, sizeof line, "%llu samples found no room in the kernel's buffers.", (unsigned long long)where->lost);
        wrap("  ", "  ", line);
    }
}

static void print_text(const char *path, const struct tvg_profile *profile, const struct seen *seen, struct tvg_style style)
{
    char shown[512], line[512], part[40];
    printf("%s%.80s%s\n", style.bold, tvg_escape(shown, sizeof shown, path), style.off);
    snprintf(line, sizeof line, "%llu calls of %u ops by %u thread%s of %u process%s in %.3g s.", (unsigned long long)profile->total_ops, profile->op_count,
             profile->threads, profile->threads == 1 ? "" : "s", profile->processes, profile->processes == 1 ? "" : "es", profile->wall_seconds);
    wrap("", "", line);
    print_damage(profile);
    if (seen->count == 0)
        wrap("", "  ", "NO OPERATION WAS SEEN: none of the functions that tvg stands in for was called. What ran is below; it is not counted.");
    else
        printf("%s\n%-34s %9s %11s %9s %13s%s\n", style.dim, "library", "calls", "FLOP", "time", "of CPU time", style.off);
    for (uint32_t i = 0; i < seen->count; i++) {
        const struct library *library = &seen->libraries[i];
        char name[128], flop[32];
        tvg_escape(name, sizeof name, library->name);
        double cpu = profile->where.all_seconds > 0 ? profile->where.all_seconds : profile->cpu_seconds > 0 ? profile->cpu_seconds : NAN;
        char time[32];
        printf("%-34.34s %9llu %11s %9s %13s\n", name, (unsigned long long)library->calls, si(flop, library->flop, "FLOP"), tvg_show_seconds(time, sizeof time, library->seconds),
               share(part, sizeof part, library->cpu_least / cpu, library->cpu_most / cpu));
    }
    if (profile->cpu_seconds > 0)
        snprintf(line, sizeof line, "Dark: %s of %.3g CPU s ran outside recorded ops.", share(part, sizeof part, seen->dark_low, seen->dark_high),
                 profile->cpu_seconds);
    else
        snprintf(line, sizeof line, "Dark: not known, the trace holds no CPU time.");
    wrap("", "  ", line);
    print_dark(profile, style);
    printf("The recorder itself: %.3g s, subtracted from CPU time.\n", profile->own_seconds);
    print_names(profile, "library", "LIBRARIES SEEN", style);
    print_names(profile, "source-on", "SOURCES ON", style);
    char windows[400];
    if (tvg_show_windows(windows, sizeof windows, &profile->sampled)[0]) {
        printf("%sKERNELS RECORDED IN WINDOWS%s\n", style.bold, style.off);
        wrap("  ", "  ", windows);
    }
    uint64_t caught = count_of(profile, "caught");
    if (caught)
        printf("%llu entry points were caught (--json lists them).\n", (unsigned long long)caught);
    print_notes(profile, style);
}

static json_t *string(const char *value)
{
    char shown[4096];
    return json_string(tvg_escape(shown, sizeof shown, value ? value : ""));
}

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *interval(double low, double high)
{
    return json_pack("{s:o, s:o}", "low", figure(fmin(1, low)), "high", figure(fmin(1, high)));
}

static json_t *notes(const struct tvg_profile *profile)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < profile->note_count; i++) {
        const struct tvg_coverage_note *note = &profile->notes[i];
        json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:I}", "what", string(note->what), "subject", string(note->subject), "detail", string(note->detail),
                                              "count", (json_int_t)note->count));
    }
    return list;
}

static void print_json(const char *path, const struct tvg_profile *profile, const struct seen *seen)
{
    const struct tvg_damage *damage = &profile->damage;
    json_t *libraries = json_array();
    double cpu = profile->where.all_seconds > 0 ? profile->where.all_seconds : profile->cpu_seconds > 0 ? profile->cpu_seconds : NAN;
    for (uint32_t i = 0; i < seen->count; i++) {
        const struct library *library = &seen->libraries[i];
        json_array_append_new(libraries, json_pack("{s:o, s:I, s:o, s:o, s:o}", "library", string(library->name), "calls", (json_int_t)library->calls, "flop",
                                                   figure(library->flop), "time_s", figure(library->seconds), "cpu_share",
                                                   interval(library->cpu_least / cpu, library->cpu_most / cpu)));
    }
    json_t *root = json_object();
    json_object_set_new(root, "trace", string(path));
    json_object_set_new(root, "calls", json_integer((json_int_t)profile->total_ops));
    json_object_set_new(root, "ops", json_integer(profile->op_count));
    json_object_set_new(root, "threads", json_integer(profile->threads));
    json_object_set_new(root, "processes", json_integer(profile->processes));
    json_object_set_new(root, "wall_s", figure(profile->wall_seconds));
    json_object_set_new(root, "op_s", figure(profile->op_seconds));
    json_object_set_new(root, "op_wall_s", figure(profile->op_wall_seconds));
    json_object_set_new(root, "op_wall_error_s", figure(profile->op_wall_error));
    json_object_set_new(root, "cpu_s", figure(profile->cpu_seconds));
    json_object_set_new(root, "own_s", figure(profile->own_seconds));
    json_object_set_new(root, "dark", interval(seen->dark_low, seen->dark_high));
    json_object_set_new(root, "libraries", libraries);
    json_object_set_new(root, "cpu", tvg_cpu_json(profile));
    json_object_set_new(root, "kernel_windows", tvg_windows_json(&profile->sampled));
    json_object_set_new(root, "damage",
                        json_pack("{s:I, s:I, s:b, s:b, s:I, s:I, s:I, s:I}", "bytes_skipped", (json_int_t)damage->bytes_skipped, "places",
                                  (json_int_t)damage->blocks_damaged, "cut_off", damage->cut_off, "no_end", damage->no_end, "ops_recovered",
                                  (json_int_t)damage->ops_recovered, "ops_lost", (json_int_t)damage->ops_lost, "records_missing",
                                  (json_int_t)damage->records_missing, "clock_irregular", (json_int_t)damage->clock_irregular));
    json_object_set_new(root, "notes", notes(profile));
    json_dumpf(root, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(root);
}

static bool show(const char *path, bool json, struct tvg_style style, struct tvg_error *error)
{
    struct tvg_progress progress = {.what = "reading"};
    struct tvg_profile_options reading = {.progress = tvg_progress, .context = &progress};
    struct tvg_profile *profile = NULL;
    struct seen seen = {0};
    bool done = tvg_profile_load(&profile, path, &reading, error);
    tvg_progress_end(&progress);
    if (done && !look(&seen, profile))
        done = tvg_fail(error, path, NULL, NULL, "out of memory");
    if (done && json)
        print_json(path, profile, &seen);
    else if (done)
        print_text(path, profile, &seen, style);
    free(seen.libraries);
    tvg_profile_free(profile);
    return done;
}

int tvg_command_coverage(int argc, char **argv)
{
    struct tvg_arguments arguments;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while (tvg_arguments_next(&arguments))
        ;
    if (arguments.stop)
        return arguments.exit_code;
    if (arguments.operand_count == 0)
        return tvg_command_misuse("coverage", "which trace? Give a .tvg file or a run folder");
    if (arguments.json && arguments.operand_count > 1)
        return tvg_command_misuse("coverage", "--json takes one trace or run folder at a time: call it once for each");
    for (int i = 0; i < arguments.operand_count; i++) {
        struct tvg_error error = {""};
        if (i)
            printf("\n");
        if (!show(arguments.operand[i], arguments.json, tvg_style(arguments.color && !arguments.json), &error))
            return tvg_command_fail("coverage", &error);
    }
    return TVG_EXIT_OK;
}
