/* What every tvg command shares: a table of its options, from which parsing, --help and "did you mean" follow; the exit codes;
 * colour; the progress bar. A command is one file here with `int tvg_command_NAME(int argc, char **argv)` (argv[0] is NAME) and one
 * line in main.c. */
#ifndef TVG_COMMAND_H
#define TVG_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../result.h"

enum { TVG_EXIT_OK = 0, TVG_EXIT_DIFFERENCE = 1, /* a comparison that ran and did not hold */ TVG_EXIT_BAD = 2 /* bad input or usage */ };

/* One option. `id` is its letter ('o': also accepted as -o) or, for long-only ones, any number from 256 on. */
struct tvg_option {
    int id;
    const char *name;  /* "output": --output VALUE, --output=VALUE */
    const char *value; /* what the value is called in --help; NULL: a flag */
    const char *help;
};
enum { TVG_OPTION_HELP = 'h', TVG_OPTION_JSON = 1000, TVG_OPTION_COLOR = 1001 };

struct tvg_usage {
    const char *name;                 /* "report" */
    const char *arguments;            /* "TRACE|RUN... [options]" */
    const char *summary;              /* one line */
    const char *details;              /* paragraphs shown after the options, or NULL */
    const struct tvg_option *options; /* ends with {0, NULL, NULL, NULL} */
    bool json;                        /* takes --json */
    bool stop_at_operand;             /* the first operand ends the options: `tvg record CMD --flag-of-CMD` */
};

/* Parsing in progress. --help, --json and --color are taken care of here. */
struct tvg_arguments {
    const struct tvg_usage *usage;
    int argc, next;
    char **argv;
    const char *value;    /* of the option just returned */
    char **operand;       /* what is not an option, in order; reuses argv's memory */
    int operand_count;
    bool json, color;     /* color: --color=always|never|auto and NO_COLOR and "is stdout a terminal", decided */
    bool stop;            /* the command should return exit_code at once: help was shown, or an error was printed */
    int exit_code;
    int rest;
};

/* Use:  tvg_arguments_begin(&a, &usage, argc, argv);
 *       while ((option = tvg_arguments_next(&a))) switch (option->id) { ... a.value ... }
 *       if (a.stop) return a.exit_code;                                                       */
void tvg_arguments_begin(struct tvg_arguments *arguments, const struct tvg_usage *usage, int argc, char **argv);
const struct tvg_option *tvg_arguments_next(struct tvg_arguments *arguments);
void tvg_usage_print(const struct tvg_usage *usage, FILE *out);

/* Prints "tvg NAME: message" on stderr and returns TVG_EXIT_BAD. */
int tvg_command_fail(const char *name, const struct tvg_error *error);
/* The same for a usage error, with a hint at --help. */
int tvg_command_misuse(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The entry of `words` (NULL-terminated) nearest to `word`, or NULL when none is near: for "did you mean". */
const char *tvg_nearest(const char *word, const char *const *words);
bool tvg_is_one_of(const char *word, const char *const *words);
/* "tvg NAME: --OPTION VALUE: it is one of A, B...; did you mean B?" on stderr; returns TVG_EXIT_BAD. */
int tvg_command_unknown(const char *name, const char *option, const char *value, const char *const *words);
/* The place of `value` in `words` into *chosen; TVG_EXIT_OK, or TVG_EXIT_BAD after that message. */
int tvg_command_choose(const char *name, const char *option, const char *value, const char *const *words, unsigned *chosen);
/* Reads a whole decimal number, finite, nothing after it. */
bool tvg_number(const char *text, double *value);

/* Escape sequences, or empty strings without colour. */
struct tvg_style {
    const char *bold, *dim, *red, *green, *yellow, *blue, *off;
};
struct tvg_style tvg_style(bool color);

/* A progress bar on stderr: appears when stderr is a terminal and the work has taken 2 s. Has the shape of tvg_profile_options.progress;
 * `context` is a struct tvg_progress that starts zeroed but for `what`. */
struct tvg_progress {
    const char *what;
    double started, drawn;
    bool shown;
};
void tvg_progress(uint64_t done, uint64_t total, void *context);
void tvg_progress_end(struct tvg_progress *progress); /* wipes the bar */

/* What `tvg report` says of its options, without a trace: TVG_EXIT_OK, or TVG_EXIT_BAD after a message. */
int tvg_command_report_check(int argc, char **argv);
/* The commands. */
int tvg_command_report(int argc, char **argv), tvg_command_record(int argc, char **argv), tvg_command_ops(int argc, char **argv),
    tvg_command_dump(int argc, char **argv), tvg_command_export(int argc, char **argv), tvg_command_coverage(int argc, char **argv), tvg_command_check(int argc, char **argv),
    tvg_command_doctor(int argc, char **argv), tvg_command_overhead(int argc, char **argv), tvg_command_coeffs(int argc, char **argv),
    tvg_command_run(int argc, char **argv);

#endif
