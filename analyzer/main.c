/* The `tvg` command: finds the sub-command and hands over. Each is one file in commands/. */
#include <string.h>

#include "commands/command.h"

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
};

static const struct command commands[] = {
    {"record", "run a command and record its operations", tvg_command_record},
    {"report", "what a run cost, where it went, what is worth doing", tvg_command_report},
    {"run", "run a model file by its runtime, record it and report", tvg_command_run},
    {"ops", "a row per distinct operation", tvg_command_ops},
    {"dump", "every recorded operation, one JSON line each", tvg_command_dump},
    {"export", "a timeline for ui.perfetto.dev", tvg_command_export},
    {"coverage", "what was caught, what was not, and why", tvg_command_coverage},
    {"check", "whether a trace is whole", tvg_command_check},
    {"doctor", "what this machine and a command allow, and how to allow more", tvg_command_doctor},
    {"overhead", "what recording costs a command, in paired runs", tvg_command_overhead},
    {"coeffs", "device files: list, show, check", tvg_command_coeffs},
    {NULL, NULL, NULL},
};

static const struct command *find(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static int usage(FILE *out)
{
    fprintf(out, "Usage: tvg COMMAND [options]\n\n"
                 "What an inference run costs in joules, operation by operation, and what each optimization would save.\n\n"
                 "  LD_PRELOAD=libtvgshim.so CMD    records CMD into ./tvg-<command>-<pid>.tvg\n"
                 "  tvg report FILE.tvg             says what it cost\n\nCommands:\n");
    for (const struct command *command = commands; command->name; command++)
        fprintf(out, "  %-10s  %s\n", command->name, command->summary);
    fprintf(out, "\ntvg help COMMAND, or tvg COMMAND --help, tells more. tvg --version prints the version.\n");
    return out == stdout ? TVG_EXIT_OK : TVG_EXIT_BAD;
}

static int unknown(const char *name)
{
    const char *names[32];
    size_t count = 0;
    for (const struct command *command = commands; command->name && count < 31; command++)
        names[count++] = command->name;
    names[count] = NULL;
    const char *near = tvg_nearest(name, names);
    char shown[128];
    fprintf(stderr, "tvg: there is no command %s%s%s%s\nTry: tvg help\n", tvg_escape(shown, sizeof shown, name), near ? ": did you mean " : "",
            near ? near : "", near ? "?" : "");
    return TVG_EXIT_BAD;
}

/* Output that did not reach its end (full disk, closed descriptor) must not look like success. A reader that left is no error of ours:
 * SIGPIPE ends us as it ends any filter. */
static int finish(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "tvg: standard output could not be written to its end: is the disk full?\n");
        return code ? code : TVG_EXIT_BAD;
    }
    return code;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return usage(stderr);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "version") == 0) {
        printf("tvg %s\n", TVG_VERSION);
        return finish(TVG_EXIT_OK);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && argc == 2))
        return finish(usage(stdout));
    if (strcmp(argv[1], "help") == 0) {
        const struct command *command = find(argv[2]);
        char *help[] = {argv[2], (char *)"--help", NULL};
        return command ? finish(command->run(2, help)) : unknown(argv[2]);
    }
    const struct command *command = find(argv[1]);
    return command ? finish(command->run(argc - 1, argv + 1)) : unknown(argv[1]);
}
