/* tvg overhead: what recording costs a command: paired runs with and without the shim in alternation, their outputs compared. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "../reader.h"
#include "command.h"
#include "program.h"

enum { RUNS_MAX = 1000 };

static const struct tvg_option options[] = {
    {'n', "runs", "N", "pairs of runs, after one that warms up (default 10)"},
    {0, NULL, NULL, NULL},
};

static const struct tvg_usage usage = {
    .name = "overhead",
    .arguments = "[-n RUNS] [--json] -- CMD [ARGUMENT...]",
    .summary = "What recording costs CMD: pairs of runs with and without the shim, in turns; outputs and exit codes compared.",
    .details = "The figure is the median over pairs of (wall time with) / (wall time without), with an interval that holds the true median with the stated\n"
               "confidence (order statistics; needs at least 6 pairs for 95 %). CMD's stdout is compared byte by byte; its stderr goes to /dev/null; its stdin\n"
               "is the same file in every run when it is a file, else /dev/null. Exit code 1: output or exit code differ.",
    .options = options,
    .json = true,
    .stop_at_operand = true,
};

struct outcome {
    double wall, cpu;   /* s */
    int status;         /* of waitpid */
    uint64_t length;    /* of stdout */
    XXH128_hash_t hash;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool hash_file(int descriptor, struct outcome *outcome)
{
    char buffer[65536];
    ssize_t got;
    XXH3_state_t *state = XXH3_createState();
    if (!state) return false;
    XXH3_128bits_reset(state);
    outcome->length = 0;
    lseek(descriptor, 0, SEEK_SET);
    while ((got = read(descriptor, buffer, sizeof buffer)) > 0) {
        XXH3_128bits_update(state, buffer, (size_t)got);
        outcome->length += (uint64_t)got;
    }
    outcome->hash = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return got == 0;
}

/* One run; with the shim when `preload` is not NULL. */
static bool run_once(struct outcome *outcome, const struct tvg_program *program, char **command, const char *preload, const char *output, struct tvg_error *error)
{
    char name[] = "/tmp/tvg-overhead-XXXXXX";
    const char *temporary = getenv("TMPDIR");
    char path[PATH_MAX];
    int failure[2], cause = 0;
    struct rusage used;
    snprintf(path, sizeof path, "%s%s", temporary && *temporary ? temporary : "/tmp", strrchr(name, '/'));
    int out = mkostemp(path, O_CLOEXEC);
    if (out < 0) return tvg_fail(error, path, NULL, "set TMPDIR to a folder that is writable", "%s", strerror(errno));
    unlink(path);
    if (pipe2(failure, O_CLOEXEC) != 0) {
        close(out);
        return tvg_fail(error, NULL, NULL, NULL, "pipe: %s", strerror(errno));
    }
    double begin = now();
    pid_t child = fork();
    if (child == 0) {
        struct stat status;
        int in = fstat(0, &status) == 0 && S_ISREG(status.st_mode) ? open("/proc/self/fd/0", O_RDONLY) : open("/dev/null", O_RDONLY), null = open("/dev/null", O_WRONLY);
        dup2(in, 0);
        dup2(out, 1);
        dup2(null, 2);
        if (in > 2) close(in);
        if (null > 2) close(null);
        if (preload) {
            setenv("LD_PRELOAD", preload, 1);
            setenv("TVG_OUT", output, 1);
        }
        execv(program->path, command);
        cause = errno;
        _exit(write(failure[1], &cause, sizeof cause) == sizeof cause ? 126 : 127);
    }
    close(failure[1]);
    if (child < 0) {
        close(out);
        close(failure[0]);
        return tvg_fail(error, NULL, NULL, NULL, "fork: %s", strerror(errno));
    }
    ssize_t got = read(failure[0], &cause, sizeof cause);
    close(failure[0]);
    while (wait4(child, &outcome->status, 0, &used) < 0 && errno == EINTR) {}
    outcome->wall = now() - begin;
    outcome->cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    bool good = hash_file(out, outcome);
    close(out);
    if (got == (ssize_t)sizeof cause) return tvg_fail(error, program->path, NULL, NULL, "cannot be executed: %s", strerror(cause));
    if (!good) return tvg_fail(error, NULL, NULL, NULL, "the command's output could not be read back");
    return true;
}

static bool same_output(const struct outcome *a, const struct outcome *b)
{
    return a->length == b->length && XXH128_isEqual(a->hash, b->hash);
}

/* --- the median and its interval ---------------------------------------------------------------------------------------------- */

struct median {
    double value, low, high, confidence; /* confidence: that low..high holds the true median */
};

static int by_size(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* The median of `n` values (sorted in place), between the order statistics k+1 and n-k with the largest k whose coverage
 * 1 - 2 P(Binomial(n, 1/2) <= k) is at least 95 %; with too few values the whole range. Holds for any distribution. */
static struct median median_of(double *values, int n)
{
    struct median result;
    qsort(values, (size_t)n, sizeof *values, by_size);
    result.value = n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
    double below = 0;
    int k = -1;
    result.confidence = 1 - 2 * pow(0.5, n);
    for (int i = 0; i < n / 2; i++) {
        below += exp(lgamma(n + 1.0) - lgamma(i + 1.0) - lgamma(n - i + 1.0) - n * log(2));
        if (1 - 2 * below < 0.95) break;
        k = i;
        result.confidence = 1 - 2 * below;
    }
    if (k < 0) k = 0;
    result.low = values[k];
    result.high = values[n - 1 - k];
    return result;
}

/* --- what the runs recorded ----------------------------------------------------------------------------------------------------- */

/* Counts ops and bytes of the traces in `folder` and removes them. */
static void take_traces(const char *folder, uint64_t *ops, uint64_t *bytes)
{
    DIR *entries = opendir(folder);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        char path[PATH_MAX + 300];
        struct stat status;
        struct tvg_reader *reader;
        struct tvg_event event;
        struct tvg_error error;
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (stat(path, &status) == 0) *bytes += (uint64_t)status.st_size;
        bool rings = length > 6 && strcmp(entry->d_name + length - 6, ".rings") == 0;
        if (!rings && tvg_reader_open(&reader, path, &error)) {
            while (tvg_reader_next(reader, &event) == 1)
                if (event.kind == TVG_EVENT_OPS) *ops += event.info->count;
            tvg_reader_close(reader);
        }
    }
    rewinddir(entries);
    for (struct dirent *entry; (entry = readdir(entries));) {
        char path[PATH_MAX + 300];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.') unlink(path);
    }
    closedir(entries);
}

/* --- the command ------------------------------------------------------------------------------------------------------------------ */

struct measurement {
    int pairs;
    double *wall_ratio, *cpu_ratio, *with, *without;
    bool output_same, exit_same, output_steady; /* steady: all runs without the shim gave the same output */
    uint64_t ops, bytes;                        /* of the first recorded run */
    int status;                                 /* of the first run without */
};

static bool measure(struct measurement *m, const struct tvg_program *program, char **command, const char *preload, const char *folder, struct tvg_error *error)
{
    struct outcome first = {0}, pair[2];
    struct tvg_progress progress = {.what = "paired runs"};
    char output[PATH_MAX + 32];
    snprintf(output, sizeof output, "%s/%%c-%%p.tvg", folder);
    m->output_same = m->exit_same = m->output_steady = true;
    for (int i = -1; i < m->pairs; i++) {
        bool with_first = i % 2 != 0; /* both orders as often, against drift */
        for (int half = 0; half < 2; half++) {
            bool with = (half == 0) == with_first;
            if (!run_once(&pair[with], program, command, with ? preload : NULL, output, error)) {
                tvg_progress_end(&progress);
                return false;
            }
            if (with) {
                uint64_t ops = 0, bytes = 0;
                take_traces(folder, &ops, &bytes);
                if (i < 0) {
                    m->ops = ops;
                    m->bytes = bytes;
                }
            }
        }
        if (i < 0) {
            first = pair[0];
            m->status = first.status;
        }
        if (!same_output(&pair[0], &first)) m->output_steady = false;
        if (!same_output(&pair[0], &pair[1])) m->output_same = false;
        if (pair[0].status != pair[1].status) m->exit_same = false;
        if (i >= 0) {
            m->without[i] = pair[0].wall;
            m->with[i] = pair[1].wall;
            m->wall_ratio[i] = pair[1].wall / pair[0].wall;
            m->cpu_ratio[i] = pair[0].cpu > 0 ? pair[1].cpu / pair[0].cpu : NAN;
        }
        tvg_progress((uint64_t)(i + 2), (uint64_t)m->pairs + 1, &progress);
    }
    tvg_progress_end(&progress);
    return true;
}

static json_t *median_json(struct median m)
{
    return json_pack("{s:f, s:f, s:f, s:f}", "value", m.value, "low", m.low, "high", m.high, "confidence", m.confidence);
}

static int print_json(const struct measurement *m, struct median ratio, const struct median *cpu, struct median with, struct median without)
{
    json_t *pairs = json_array();
    for (int i = 0; i < m->pairs; i++) json_array_append_new(pairs, json_pack("{s:f, s:f}", "without_s", m->without[i], "with_s", m->with[i]));
    json_t *root = json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b, s:I, s:I}", "runs", m->pairs, "ratio", median_json(ratio), "cpu_ratio",
                             cpu ? median_json(*cpu) : json_null(), "with_s", median_json(with), "without_s", median_json(without), "pairs", pairs, "same_output",
                             m->output_same, "same_exit", m->exit_same, "steady_output", m->output_steady, "ops", (json_int_t)m->ops, "trace_bytes",
                             (json_int_t)m->bytes);
    if (!root) return TVG_EXIT_BAD;
    json_object_set_new(root, "exit", WIFEXITED(m->status) ? json_integer(WEXITSTATUS(m->status)) : json_integer(128 + WTERMSIG(m->status)));
    json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(root);
    return TVG_EXIT_OK;
}

static void print_text(const struct measurement *m, struct median ratio, const struct median *cpu, struct median with, struct median without, struct tvg_style style)
{
    printf("%swall time  x %.4f%s  (%.4f .. %.4f at %.1f %% confidence, %d pairs)\n", style.bold, ratio.value, style.off, ratio.low, ratio.high, 100 * ratio.confidence, m->pairs);
    printf("           without %.4f s, with %.4f s (medians)\n", without.value, with.value);
    if (cpu) printf("CPU time   x %.4f  (%.4f .. %.4f)\n", cpu->value, cpu->low, cpu->high);
    if (ratio.low <= 1 && ratio.high >= 1) printf("           the interval holds 1: no slow-down shown\n");
    if (m->pairs < 6) printf("           fewer than 6 pairs: the interval is the range, below 95 %% confidence\n");
    printf("recorded   %" PRIu64 " ops, %" PRIu64 " bytes of trace a run\n", m->ops, m->bytes);
    if (!m->ops) printf("           nothing was caught: the ratio is that of a shim that stays inert (tvg doctor -- CMD says why)\n");
    printf("output     %s\n", m->output_same ? "the same bytes with and without" : m->output_steady ? "DIFFERS with the shim" : "differs, but it varies without the shim too: nothing can be said");
    printf("exit       %s\n", m->exit_same ? "the same with and without" : "DIFFERS with the shim");
}

int tvg_command_overhead(int argc, char **argv)
{
    struct tvg_arguments arguments;
    struct tvg_error error;
    struct tvg_program program;
    struct measurement m = {.pairs = 10};
    const struct tvg_option *option;
    char shim[PATH_MAX], folder[PATH_MAX], text[512];
    double number;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) {
        if (!tvg_number(arguments.value, &number) || number < 1 || number > RUNS_MAX || number != floor(number))
            return tvg_command_misuse("overhead", "--runs %s: it is a whole number from 1 to %d", tvg_escape(text, sizeof text, arguments.value), RUNS_MAX);
        m.pairs = (int)number;
    }
    if (arguments.stop) return arguments.exit_code;
    if (arguments.operand_count == 0) return tvg_command_misuse("overhead", "no command: tvg overhead [-n RUNS] -- CMD");
    int code = tvg_program_find(&program, arguments.operand[0]);
    if (code) {
        fprintf(stderr, "tvg overhead: %s: %s\n", tvg_escape(text, sizeof text, arguments.operand[0]), code == TVG_EXIT_NOT_FOUND ? "command not found" : "not executable");
        return code;
    }
    if (!tvg_shim_find(shim, &error)) return tvg_command_fail("overhead", &error);
    const char *temporary = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/tvg-overhead-XXXXXX", temporary && *temporary && !strchr(temporary, '%') ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        tvg_fail(&error, folder, NULL, "set TMPDIR to a folder that is writable", "%s", strerror(errno));
        return tvg_command_fail("overhead", &error);
    }
    size_t pairs = (size_t)m.pairs;
    char **command = calloc((size_t)arguments.operand_count + 1, sizeof *command), *preload = tvg_preload_value(&program, shim);
    double *values = calloc(4 * pairs, sizeof *values);
    bool good = command && preload && values;
    if (!good) tvg_fail(&error, NULL, NULL, NULL, "no memory");
    if (good) {
        memcpy(command, arguments.operand, (size_t)arguments.operand_count * sizeof *command);
        m.wall_ratio = values;
        m.cpu_ratio = values + pairs;
        m.with = values + 2 * pairs;
        m.without = values + 3 * pairs;
        good = measure(&m, &program, command, preload, folder, &error);
    }
    uint64_t ignored = 0;
    take_traces(folder, &ignored, &ignored);
    rmdir(folder);
    int result = TVG_EXIT_BAD;
    if (!good) {
        result = tvg_command_fail("overhead", &error);
    } else {
        bool cpu_known = true;
        double *sorted = calloc(2 * pairs, sizeof *sorted);
        for (size_t i = 0; i < pairs; i++) cpu_known = cpu_known && isfinite(m.cpu_ratio[i]);
        if (sorted) {
            struct median ratio = median_of(m.wall_ratio, m.pairs), cpu = {0};
            if (cpu_known) cpu = median_of(m.cpu_ratio, m.pairs);
            memcpy(sorted, m.with, pairs * sizeof *sorted); /* pairs stay in order for --json */
            memcpy(sorted + pairs, m.without, pairs * sizeof *sorted);
            struct median with = median_of(sorted, m.pairs), without = median_of(sorted + pairs, m.pairs);
            bool held = m.exit_same && (m.output_same || !m.output_steady);
            if (arguments.json) result = print_json(&m, ratio, cpu_known ? &cpu : NULL, with, without);
            else {
                print_text(&m, ratio, cpu_known ? &cpu : NULL, with, without, tvg_style(arguments.color));
                result = TVG_EXIT_OK;
            }
            if (result == TVG_EXIT_OK && !held) result = TVG_EXIT_DIFFERENCE;
        }
        free(sorted);
    }
    free(values);
    free(preload);
    free(command);
    return result;
}
