/* Option parsing, --help, colour and the progress bar, shared by all commands; see command.h. */
#include "command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const struct tvg_option common_options[] = {
    {TVG_OPTION_JSON, "json", NULL, "machine-readable output"},
    {TVG_OPTION_COLOR, "color", "WHEN", "always, never or auto (the default: on a terminal, unless NO_COLOR is set)"},
    {TVG_OPTION_HELP, "help", NULL, "this text"},
    {0, NULL, NULL, NULL},
};

static bool color_wanted(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

void tvg_arguments_begin(struct tvg_arguments *arguments, const struct tvg_usage *usage, int argc, char **argv)
{
    *arguments = (struct tvg_arguments){.usage = usage, .argc = argc, .argv = argv, .next = 1, .operand = argv, .color = color_wanted()};
}

static const struct tvg_option *find(const struct tvg_usage *usage, const char *name, size_t length, int letter)
{
    const struct tvg_option *tables[] = {usage->options, common_options};
    for (int t = 0; t < 2; t++)
        for (const struct tvg_option *option = tables[t]; option && option->name; option++) {
            if (option->id == TVG_OPTION_JSON && !usage->json)
                continue;
            if (name ? strlen(option->name) == length && strncmp(option->name, name, length) == 0 : option->id == letter)
                return option;
        }
    return NULL;
}

static void stop(struct tvg_arguments *arguments, int exit_code)
{
    arguments->stop = true;
    arguments->exit_code = exit_code;
}

static void unknown(struct tvg_arguments *arguments, const char *word)
{
    const char *names[128];
    int count = 0;
    const struct tvg_option *tables[] = {arguments->usage->options, common_options};
    for (int t = 0; t < 2; t++)
        for (const struct tvg_option *option = tables[t]; option && option->name && count < 127; option++)
            if (option->id != TVG_OPTION_JSON || arguments->usage->json)
                names[count++] = option->name;
    names[count] = NULL;
    char bare[64], shown[256];
    const char *start = word + strspn(word, "-");
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(start, "="), start);
    tvg_escape(shown, sizeof shown, word);
    const char *near = tvg_nearest(bare, names);
    if (near)
        stop(arguments, tvg_command_misuse(arguments->usage->name, "unknown option %s: did you mean --%s?", shown, near));
    else
        stop(arguments, tvg_command_misuse(arguments->usage->name, "unknown option %s", shown));
}

/* True when the option was one of the common ones. */
static bool take_common(struct tvg_arguments *arguments, const struct tvg_option *option)
{
    switch (option->id) {
    case TVG_OPTION_HELP:
        tvg_usage_print(arguments->usage, stdout);
        stop(arguments, TVG_EXIT_OK);
        return true;
    case TVG_OPTION_JSON:
        arguments->json = true;
        return true;
    case TVG_OPTION_COLOR:
        if (strcmp(arguments->value, "always") == 0)
            arguments->color = true;
        else if (strcmp(arguments->value, "never") == 0)
            arguments->color = false;
        else if (strcmp(arguments->value, "auto") != 0) {
            char shown[128];
            stop(arguments, tvg_command_misuse(arguments->usage->name, "--color %s: it is always, never or auto",
                                               tvg_escape(shown, sizeof shown, arguments->value)));
        }
        return true;
    default:
        return false;
    }
}

const struct tvg_option *tvg_arguments_next(struct tvg_arguments *arguments)
{
    while (!arguments->stop && arguments->next < arguments->argc) {
        char *word = arguments->argv[arguments->next++];
        bool rest = strcmp(word, "--") == 0;
        if (rest || word[0] != '-' || word[1] == '\0') {
            if (!rest)
                arguments->operand[arguments->operand_count++] = word;
            if (rest || arguments->usage->stop_at_operand)
                while (arguments->next < arguments->argc)
                    arguments->operand[arguments->operand_count++] = arguments->argv[arguments->next++];
            continue;
        }
        const struct tvg_option *option;
        const char *inline_value = NULL;
        if (word[1] == '-') {
            size_t length = strcspn(word + 2, "=");
            option = find(arguments->usage, word + 2, length, 0);
            inline_value = word[2 + length] == '=' ? word + 3 + length : NULL;
        } else {
            option = find(arguments->usage, NULL, 0, word[1]);
            inline_value = word[2] ? word + 2 : NULL;
        }
        if (!option || (word[1] != '-' && option->id >= 256)) {
            unknown(arguments, word);
            break;
        }
        arguments->value = inline_value;
        if (!option->value && inline_value) {
            stop(arguments, tvg_command_misuse(arguments->usage->name, "--%s takes no value", option->name));
            break;
        }
        if (option->value && !inline_value) {
            if (arguments->next >= arguments->argc) {
                stop(arguments, tvg_command_misuse(arguments->usage->name, "--%s needs a value: --%s %s", option->name, option->name,
                                                   option->value));
                break;
            }
            arguments->value = arguments->argv[arguments->next++];
        }
        if (!take_common(arguments, option))
            return option;
    }
    return NULL;
}

static void print_options(const struct tvg_option *options, bool json, FILE *out)
{
    for (const struct tvg_option *option = options; option && option->name; option++) {
        if (option->id == TVG_OPTION_JSON && !json)
            continue;
        char left[64];
        if (option->id < 256)
            snprintf(left, sizeof left, "-%c, --%s%s%s", option->id, option->name, option->value ? " " : "", option->value ? option->value : "");
        else
            snprintf(left, sizeof left, "    --%s%s%s", option->name, option->value ? " " : "", option->value ? option->value : "");
        fprintf(out, strlen(left) > 26 ? "  %s\n%30s%s\n" : "  %-26s  %s%s\n", left, strlen(left) > 26 ? "" : option->help,
                strlen(left) > 26 ? option->help : "");
    }
}

void tvg_usage_print(const struct tvg_usage *usage, FILE *out)
{
    fprintf(out, "Usage: tvg %s %s\n\n%s\n\nOptions:\n", usage->name, usage->arguments, usage->summary);
    print_options(usage->options, usage->json, out);
    print_options(common_options, usage->json, out);
    if (usage->details)
        fprintf(out, "\n%s\n", usage->details);
}

int tvg_command_fail(const char *name, const struct tvg_error *error)
{
    fflush(stdout);
    fprintf(stderr, "tvg %s: %s\n", name, error->message);
    return TVG_EXIT_BAD;
}

int tvg_command_misuse(const char *name, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fflush(stdout);
    fprintf(stderr, "tvg %s: ", name);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\nTry: tvg %s --help\n", name);
    va_end(list);
    return TVG_EXIT_BAD;
}

/* Levenshtein distance of words up to 31 characters; longer ones are far. */
static unsigned distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    if (m > 31 || n > 31)
        return 99;
    unsigned row[32];
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[n];
}

const char *tvg_nearest(const char *word, const char *const *words)
{
    const char *nearest = NULL;
    unsigned least = (unsigned)(strlen(word) / 3 + 2);
    for (; *words; words++) {
        unsigned d = distance(word, *words);
        if (d < least) {
            least = d;
            nearest = *words;
        }
    }
    return nearest;
}

bool tvg_is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

int tvg_command_unknown(const char *name, const char *option, const char *value, const char *const *words)
{
    char shown[128], list[1024] = "";
    size_t used = 0;
    for (int i = 0; words[i] && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", words[i]);
    const char *near = tvg_nearest(value, words);
    return tvg_command_misuse(name, "--%s %s: it is one of %s%s%s%s", option, tvg_escape(shown, sizeof shown, value), list, near ? "; did you mean " : "", near ? near : "",
                              near ? "?" : "");
}

int tvg_command_choose(const char *name, const char *option, const char *value, const char *const *words, unsigned *chosen)
{
    for (unsigned i = 0; words[i]; i++)
        if (strcmp(words[i], value) == 0) {
            *chosen = i;
            return TVG_EXIT_OK;
        }
    return tvg_command_unknown(name, option, value, words);
}

bool tvg_number(const char *text, double *value)
{
    char *end;
    if (!text || !*text || strspn(text, "0123456789+-.eE") != strlen(text))
        return false;
    *value = strtod(text, &end);
    return *end == '\0' && isfinite(*value);
}

struct tvg_style tvg_style(bool color)
{
    if (!color)
        return (struct tvg_style){"", "", "", "", "", "", ""};
    return (struct tvg_style){"\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[34m", "\033[0m"};
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tvg_progress(uint64_t done, uint64_t total, void *context)
{
    struct tvg_progress *progress = context;
    double now = seconds_now();
    if (progress->started == 0)
        progress->started = now;
    if (now - progress->started < 2 || now - progress->drawn < 0.1 || total == 0 || (!progress->shown && !isatty(STDERR_FILENO)))
        return;
    progress->drawn = now;
    progress->shown = true;
    int filled = (int)(40.0 * (double)done / (double)total);
    if (filled > 40)
        filled = 40;
    fprintf(stderr, "\r%s [%.*s%.*s] %3.0f %%", progress->what, filled, "########################################", 40 - filled,
            "                                        ", 100.0 * (double)done / (double)total);
    fflush(stderr);
}

void tvg_progress_end(struct tvg_progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r%*s\r", 79, "");
    progress->shown = false;
}
