/* tvg record: runs a command under the shim, its exit status and signals unchanged, and says on stderr what was and what was not seen. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "../../trace/source_names.h"
#include "command.h"
#include "recording.h"

enum { OPTION_SOURCES = 256, OPTION_STACKS, OPTION_OPS };

static const struct tvg_option options[] = {
    {'o', "output", "RUN", "folder for the traces, one a process (default: tvg-COMMAND-TIME); made, or empty"},
    {OPTION_SOURCES, "sources", "LIST", "what to sample beside the ops: rapl, papi, stacks, nvml, cupti, dark; \"none\"; \"+papi\" adds to what a plain preload samples; default: that and dark"},
    {OPTION_OPS, "ops", "WHICH", "products (the default), or all: norms, activations, copies and the like too, where a stack shows them"},
    {OPTION_STACKS, "stacks", NULL, "sample call stacks of each op (libunwind)"},
    {'q', "quiet", NULL, "no summary, only what went wrong"},
    {0, NULL, NULL, NULL},
};

static const struct tvg_usage usage = {
    .name = "record",
    .arguments = "[options] -- CMD [ARGUMENT...]",
    .summary = "Runs CMD and records its operations, those of its child processes too.",
    .details = "The exit status is CMD's; 127 when it is not found, 126 when it can't be executed; when a signal ended CMD, the same signal ends tvg record.\n"
               "SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1 and SIGUSR2 are passed on. The summary goes to stderr; stdin and stdout are CMD's.\n"
               "TVG_SHIM names the shim when it is neither beside tvg nor in ../lib.",
    .options = options,
    .stop_at_operand = true,
};

/* Ends as CMD ended: by the same signal, so that shells and make see it, without a second core file. */
static int end_like(int status)
{
    if (WIFEXITED(status)) return WEXITSTATUS(status);
    int number = WTERMSIG(status);
    struct rlimit none = {0, 0};
    sigset_t set;
    setrlimit(RLIMIT_CORE, &none);
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    fflush(NULL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    return 128 + number;
}

/* TVG_SOURCES as the shim reads it: names with commas or blanks between them, a '+' before the first adds to the defaults, NAME? tries. */
static int check_sources(const char *list)
{
#define NAME(source) #source,
    static const char *const names[] = {TVG_SOURCE_NAMES(NAME) TVG_SOURCE_WORD_NONE, TVG_SOURCE_WORD_DEFAULT, TVG_SOURCE_WORD_CPUTIME, NULL};
#undef NAME
    char word[64];
    for (list += *list == '+'; *list; list += strspn(list, ", ")) {
        size_t length = strcspn(list, ", "), bare = length - (length > 0 && list[length - 1] == '?');
        snprintf(word, sizeof word, "%.*s", (int)bare, list);
        if (length && !tvg_is_one_of(word, names)) return tvg_command_unknown("record", "sources", word, names);
        list += length;
    }
    return TVG_EXIT_OK;
}

int tvg_command_record(int argc, char **argv)
{
    struct tvg_arguments arguments;
    const struct tvg_option *option;
    struct tvg_recording recording = {.name = "record"};
    bool quiet = false;
    int code;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) switch (option->id) {
        case 'o': recording.output = arguments.value; break;
        case OPTION_SOURCES:
            code = check_sources(arguments.value);
            if (code) return code;
            recording.sources = arguments.value;
            break;
        case OPTION_OPS:
            if (strcmp(arguments.value, "all") != 0 && strcmp(arguments.value, "products") != 0)
                return tvg_command_misuse("record", "--ops takes \"products\" or \"all\"");
            recording.operations = arguments.value;
            break;
        case OPTION_STACKS: recording.stacks = true; break;
        case 'q': quiet = true; break;
        }
    if (arguments.stop) return arguments.exit_code;
    if (arguments.operand_count == 0) return tvg_command_misuse("record", "no command: tvg record [options] -- CMD");
    char **command = calloc((size_t)arguments.operand_count + 1, sizeof *command);
    if (!command) return TVG_EXIT_BAD;
    memcpy(command, arguments.operand, (size_t)arguments.operand_count * sizeof *command);
    recording.label = command[0];
    code = tvg_recording_run(&recording, command);
    free(command);
    if (code) return code;
    tvg_recording_summary(&recording, quiet);
    return end_like(recording.status);
}
