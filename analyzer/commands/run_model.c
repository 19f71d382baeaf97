/* `tvg run MODEL`: recognises the model, runs it by its runtime's runner (runners/, Python) under the shim, and reports. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../model_format.h"
#include "command.h"
#include "recording.h"

#ifndef TVG_DATADIR
#define TVG_DATADIR "/usr/local/share/tvg"
#endif

enum { PYTHON = 256, BATCH, TOKENS, TEXT, INPUT, RUNS, WARMUP, THREADS, OPS, FIRST_REPORT_OPTION, DEVICE = FIRST_REPORT_OPTION, REWRITE, ASSUME, CHARGE, FULL };

static const struct tvg_option options[] = {
    {PYTHON, "python", "PY", "the interpreter that has the runtime (default: python3, so that of an active virtual environment)"},
    {BATCH, "batch", "N", "sequences, images or rows in one run (default: 1)"},
    {TOKENS, "tokens", "READ[+NEW]", "tokens that a sequence has, and that a generating model writes (default: 64+32)"},
    {TEXT, "text", "FILE", "this text, not random tokens: a generating model's prompt; else each line is a sequence"},
    {INPUT, "input", "[NAME=]SHAPE[:TYPE]", "an input that the model does not describe: 1x3x224x224, ids=8x128:int64; may be repeated"},
    {RUNS, "runs", "N", "inferences after the warm-up (default: 3)"},
    {WARMUP, "warmup", "N", "inferences before them (default: 1)"},
    {THREADS, "threads", "N", "threads that the runtime may use (default: its own choice)"},
    {OPS, "ops", "WHICH", "products (the default) or all, as for tvg record"},
    {'o', "output", "RUN", "folder for the trace (default: tvg-MODEL-TIME); made, or empty"},
    {'q', "quiet", NULL, "nothing on stderr but what went wrong"},
    {DEVICE, "device", "NAME|FILE", "as for tvg report, like the four that follow"},
    {REWRITE, "rewrite", "NAME[=ARG]", ""},
    {ASSUME, "assume", "NAME=VALUE", ""},
    {CHARGE, "charge", "WHO", ""},
    {FULL, "full", NULL, ""},
    {0, NULL, NULL, NULL},
};

static const struct tvg_usage usage = {
    .name = "run",
    .arguments = "MODEL [options]",
    .summary = "Runs a model on the CPU with inputs of its own making, records it, and reports what it cost.",
    .details = "MODEL is told by its content: GGUF (llama-cpp-python), ONNX (onnxruntime), TorchScript and torch.export (torch), a folder of config.json and\n"
               "safetensors (transformers), a SavedModel or .keras file (tensorflow), TensorFlow Lite (ai-edge-litert), a CTranslate2 folder (ctranslate2).\n"
               "A runtime that is missing is named with the command that installs it; nothing is installed. Inputs are random but the same each time;\n"
               "what was made is said on stderr. A model file may hold code that its runtime executes: run only what you trust.\n"
               "Units (tokens, sequences, images) are those of all runs, warm-up included. Exit status: 0, or 2 when the model could not be run.\n"
               "TVG_RUNNERS names the runners' folder when it is neither in ../runners nor in ../share/tvg beside tvg.",
    .options = options,
    .json = true,
};

/* By format: the file in the runners' folder. */
static const char *const runners[] = {
    [TVG_MODEL_GGUF] = "run_llama.py",
    [TVG_MODEL_ONNX] = "run_onnxruntime.py",
    [TVG_MODEL_TORCHSCRIPT] = "run_torch.py",
    [TVG_MODEL_TORCH_EXPORT] = "run_torch.py",
    [TVG_MODEL_TRANSFORMERS] = "run_transformers.py",
    [TVG_MODEL_SAVED_MODEL] = "run_tensorflow.py",
    [TVG_MODEL_KERAS] = "run_tensorflow.py",
    [TVG_MODEL_TFLITE] = "run_tflite.py",
    [TVG_MODEL_CTRANSLATE2] = "run_ctranslate2.py",
};

static bool is_runner(char path[PATH_MAX], const char *folder, const char *file)
{
    char candidate[2 * PATH_MAX];
    snprintf(candidate, sizeof candidate, "%s/%s", folder, file);
    return realpath(candidate, path) != NULL;
}

static bool find_runner(const char *file, char path[PATH_MAX], struct tvg_error *error)
{
    static const char *const beside[] = {"../runners", "../share/tvg/runners"};
    const char *given = getenv("TVG_RUNNERS");
    char own[PATH_MAX] = "", folder[PATH_MAX + 32];
    if (given && *given)
        return is_runner(path, given, file) || tvg_fail(error, given, NULL, "set TVG_RUNNERS to the folder of the runners, or unset it", "TVG_RUNNERS: no %s there", file);
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    own[n > 0 ? n : 0] = 0;
    char *slash = strrchr(own, '/');
    if (slash) *slash = 0;
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        snprintf(folder, sizeof folder, "%s/%s", own, beside[i]);
        if (is_runner(path, folder, file)) return true;
    }
    return is_runner(path, TVG_DATADIR "/runners", file) ||
           tvg_fail(error, file, NULL, "set TVG_RUNNERS to the folder of the runners", "not found in ../runners nor in ../share/tvg/runners beside the tvg binary");
}

/* --- options ---------------------------------------------------------------------------------------------------------------------------- */

enum { WORDS = 256 };
struct words {
    char *word[WORDS];
    int count;
};

static bool add(struct words *words, const char *word)
{
    if (words->count == WORDS - 1) return false;
    words->word[words->count++] = (char *)(uintptr_t)word;
    words->word[words->count] = NULL;
    return true;
}

static bool add_option(struct words *words, const struct tvg_option *option, const char *value)
{
    static char names[WORDS][24];
    if (words->count >= WORDS - 2) return false;
    snprintf(names[option->id - PYTHON], sizeof names[0], "--%s", option->name);
    return add(words, names[option->id - PYTHON]) && (!option->value || add(words, value));
}

static const char *known(int id)
{
    for (const struct tvg_option *option = options; option->name; option++)
        if (option->id == id) return option->name;
    return "";
}

/* A whole number in a range; an exit code with a message when it is none. */
static int check_count(int id, const char *text, double least)
{
    double value;
    char shown[128];
    if (tvg_number(text, &value) && value >= least && value <= 1e6 && value == (double)(long)value && strspn(text, "0123456789") == strlen(text)) return TVG_EXIT_OK;
    return tvg_command_misuse("run", "--%s %s: it takes a whole number from %.0f to 1000000", known(id), tvg_escape(shown, sizeof shown, text), least);
}

static int check_tokens(const char *text)
{
    char part[32], shown[128];
    size_t length = strcspn(text, "+");
    double value;
    snprintf(part, sizeof part, "%.*s", length < sizeof part ? (int)length : 0, text);
    bool good = *part && strspn(part, "0123456789") == strlen(part) && tvg_number(part, &value) && value >= 1 && value <= 1e6;
    if (good && text[length]) {
        const char *more = text + length + 1;
        good = *more && strspn(more, "0123456789") == strlen(more) && tvg_number(more, &value) && value >= 1 && value <= 1e6;
    }
    return good ? TVG_EXIT_OK : tvg_command_misuse("run", "--tokens %s: it is READ or READ+NEW, for instance 128+32", tvg_escape(shown, sizeof shown, text));
}

static int check(int id, const char *value)
{
    struct tvg_error error;
    switch (id) {
    case BATCH: case RUNS: case THREADS: return check_count(id, value, 1);
    case OPS:
        return strcmp(value, "all") == 0 || strcmp(value, "products") == 0 ? TVG_EXIT_OK : tvg_command_misuse("run", "--ops takes \"products\" or \"all\"");
    case WARMUP: return check_count(id, value, 0);
    case TOKENS: return check_tokens(value);
    case TEXT:
        if (access(value, R_OK) == 0) return TVG_EXIT_OK;
        tvg_fail(&error, value, NULL, NULL, "--text: %s", strerror(errno));
        return tvg_command_fail("run", &error);
    default: return TVG_EXIT_OK;
    }
}

/* --- the command ------------------------------------------------------------------------------------------------------------------------- */

/* What became of the runner: TVG_EXIT_OK, or TVG_EXIT_BAD after it, or we, said why. */
static int outcome(const struct tvg_recording *recording, const struct tvg_model *model)
{
    struct tvg_error error;
    if (WIFSIGNALED(recording->status)) {
        int number = WTERMSIG(recording->status);
        tvg_fail(&error, model->path, NULL, NULL, "%s: its runtime was ended by signal %d (%s)", tvg_model_format_name(model->format), number, strsignal(number));
        return tvg_command_fail("run", &error);
    }
    if (WEXITSTATUS(recording->status) == TVG_EXIT_BAD) return TVG_EXIT_BAD;
    if (WEXITSTATUS(recording->status) != 0) {
        tvg_fail(&error, model->path, NULL, NULL, "%s: its runner ended with exit status %d", tvg_model_format_name(model->format), WEXITSTATUS(recording->status));
        return tvg_command_fail("run", &error);
    }
    if (!recording->seen.ops && recording->seen.traces) {
        tvg_fail(&error, model->path, NULL, NULL, "%s: it ran, but no operation of it was seen", tvg_model_format_name(model->format));
        tvg_command_fail("run", &error);
    }
    tvg_recording_summary(recording, true);
    return recording->seen.ops ? TVG_EXIT_OK : TVG_EXIT_BAD;
}

static void name_label(char *label, size_t size, const char *path)
{
    snprintf(label, size, "%s", path);
    for (size_t n = strlen(label); n > 1 && label[n - 1] == '/';) label[--n] = 0;
}

int tvg_command_run(int argc, char **argv)
{
    struct tvg_arguments arguments;
    const struct tvg_option *option;
    struct tvg_recording recording = {.name = "run"};
    struct tvg_model model;
    struct tvg_error error;
    struct words command = {.count = 0}, runner_options = {.count = 0}, report = {.count = 0};
    const char *python = "python3";
    bool quiet = false, full = true;
    int code;
    char runner[PATH_MAX], label[PATH_MAX];
    add(&report, "report");
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) {
        int bad = check(option->id, arguments.value);
        if (bad) return bad;
        if (option->id == PYTHON) python = arguments.value;
        else if (option->id == 'o') recording.output = arguments.value;
        else if (option->id == 'q') quiet = true;
        else if (option->id == OPS) recording.operations = arguments.value;
        else full &= add_option(option->id >= FIRST_REPORT_OPTION ? &report : &runner_options, option, arguments.value);
    }
    if (arguments.stop) return arguments.exit_code;
    if (!full) return tvg_command_misuse("run", "too many options");
    code = tvg_command_report_check(report.count, report.word); /* before a run that may take long */
    if (code) return code;
    if (arguments.operand_count != 1) return tvg_command_misuse("run", arguments.operand_count ? "one MODEL at a time" : "which model? Give its file or folder");
    if (!tvg_model_recognise(arguments.operand[0], &model, &error) || !find_runner(runners[model.format], runner, &error)) return tvg_command_fail("run", &error);

    /* -B: nothing is written beside the runners */
    const char *const first[] = {python, "-B", runner, "--model", model.path};
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++) full &= add(&command, first[i]);
    if (quiet) full &= add(&command, "--quiet");
    for (int i = 0; i < runner_options.count; i++) full &= add(&command, runner_options.word[i]);
    name_label(label, sizeof label, model.path);
    recording.label = label;
    code = tvg_recording_run(&recording, command.word);
    if (code) return TVG_EXIT_BAD;
    code = outcome(&recording, &model);
    if (code) return code;
    if (!quiet) fprintf(stderr, "tvg run: recorded in %s\n", tvg_escape(label, sizeof label, recording.folder));
    if (arguments.json) full &= add(&report, "--json");
    full &= add(&report, arguments.color ? "--color=always" : "--color=never") && add(&report, "--") && add(&report, recording.folder);
    if (!full) return tvg_command_misuse("run", "too many options");
    return tvg_command_report(report.count, report.word);
}
