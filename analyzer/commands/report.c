/* `tvg report`: what a run cost, where it went, what is worth doing, how sure. Options here, figures in report/. */
#include <stdlib.h>
#include <string.h>

#include "../report/report.h"
#include "command.h"

enum { DEVICE = 256, GPU, TOKENS, UNITS, REWRITE, ASSUME, CHARGE, AGAINST, FULL };

static const struct tvg_option options[] = {
    {DEVICE, "device", "NAME|FILE", "price with this device file (tvg coeffs list), not the one that fits the CPU"},
    {GPU, "gpu", "NAME|FILE", "the same for GPU operations"},
    {TOKENS, "tokens", "N", "the run made N output tokens"},
    {UNITS, "units", "KIND=N", "the run made N of KIND: output_token, input_token, image, sequence, audio_second, request, pass"},
    {REWRITE, "rewrite", "NAME[=ARG]", "optimize by this instead of the best set of findings; may be repeated, applied in order"},
    {ASSUME, "assume", "NAME=VALUE", "a number that the trace can't know: batch, prune or sparse24, for the rewrite that needs it; may be repeated"},
    {CHARGE, "charge", "WHO", "who pays the package floor: exclusive, share or none"},
    {AGAINST, "against", "TRACE", "a second run of the same command: how well a replay of the first predicts it; exit status 1 when it did not hold"},
    {FULL, "full", NULL, "reasons and instructions in full, not one line each"},
    {0, NULL, NULL, NULL},
};

static const struct tvg_usage usage = {
    .name = "report",
    .arguments = "TRACE|RUN... [options]",
    .summary = "What a run cost in joules, where they went, what each optimization would save, and how sure that is.\n"
               "TRACE is a .tvg file, RUN a folder of them. Several are reported one after the other.",
    .options = options,
    .json = true,
    .details =
        "Energy. With a meter in the trace the total is the meter's, and the ops' modelled joules are multiplied by one factor to fit it, at\n"
        "least 0.8 and at most 1.25: the model may be off so far, no more. What that can't absorb is printed as unexplained. Without a meter it is modelled or estimated from the device file, and its band is printed: the truth\n"
        "may lie anywhere in it. Every figure is at the boundary named: fans, power supply and cooling are never in it.\n\n"
        "Charge. A package that is merely on draws its floor whoever uses it. exclusive: the run pays all of it (the default with a meter). share:\n"
        "it pays the part that the CPUs it was allowed are of the part's cores, as on a slice of a cloud machine (the default without a meter;\n"
        "a whole machine pays all). none: marginal energy only.\n\n"
        "Savings are the difference of two replays with the same coefficients. They are given twice: the machine is released when the work ends\n"
        "(same work), or stays on and the same work arrives (same rate). Only findings, which need nothing but the trace, enter the best set;\n"
        "assumptions need --assume. A saving whose interval includes 0 is not called one.\n\n"
        "--against. The second run's time and joules are predicted from this one's: its ops at their mean times, the host's time by the call. The prediction holds\n"
        "when both lie within its interval: what this run's own calls were off their fastest, at least 10 % either way.\n\n"
        "Exit status: 0, also for a damaged trace of which something could be read (a warning, and coverage.damage in JSON); 1 when the prediction of --against did\n"
        "not hold; 2 for bad input.",
};

struct request {
    const char *device, *gpu, *against;
    struct tvg_profile_options profile;
    char unit_kind[24];
    bool tokens_given, units_given;
    unsigned charge; /* enum tvg_charge */
    struct tvg_report_request rewrites[64];
    uint32_t rewrite_count;
    struct tvg_assumption assumptions[64];
    uint32_t assumption_count;
    bool json, color, full;
};

static int bad_rewrite(const char *name)
{
    const char *names[128];
    size_t count = 0;
    for (const struct tvg_rewrite *const *rewrite = tvg_rewrites; *rewrite && count < 127; rewrite++)
        names[count++] = (*rewrite)->name;
    names[count] = NULL;
    return tvg_command_unknown("report", "rewrite", name, names);
}

/* The rewrite that rests on the assumption `name`; NULL with the exit code in *bad after a message. */
static const struct tvg_rewrite *assumption_of(const char *name, int *bad)
{
    const char *names[128];
    size_t count = 0;
    for (const struct tvg_rewrite *const *rewrite = tvg_rewrites; *rewrite && count < 127; rewrite++)
        if ((*rewrite)->assumption) {
            if (strcmp((*rewrite)->assumption, name) == 0)
                return *rewrite;
            names[count++] = (*rewrite)->assumption;
        }
    names[count] = NULL;
    *bad = tvg_command_unknown("report", "assume", name, names);
    return NULL;
}

static int take_rewrite(struct request *request, const char *value)
{
    char name[64];
    size_t length = strcspn(value, "=");
    snprintf(name, sizeof name, "%.*s", (int)(length < 63 ? length : 63), value);
    const struct tvg_rewrite *rewrite = tvg_rewrite_find(name);
    char why[128], shown[512];
    if (!rewrite)
        return bad_rewrite(name);
    if (!tvg_rewrite_accepts(rewrite, value[length] ? value + length + 1 : NULL, why, sizeof why))
        return tvg_command_misuse("report", "--rewrite %s", tvg_escape(shown, sizeof shown, why));
    for (uint32_t i = 0; i < request->rewrite_count; i++)
        if (request->rewrites[i].rewrite == rewrite)
            return tvg_command_misuse("report", "--rewrite %s is given twice", rewrite->name);
    if (request->rewrite_count == 64)
        return tvg_command_misuse("report", "more than 64 --rewrite");
    request->rewrites[request->rewrite_count++] = (struct tvg_report_request){rewrite, value[length] ? value + length + 1 : NULL};
    return TVG_EXIT_OK;
}

static int take_assumption(struct request *request, const char *value)
{
    size_t length = strcspn(value, "=");
    char shown[128];
    struct tvg_assumption assumption = {0};
    tvg_escape(shown, sizeof shown, value);
    if (!value[length] || length == 0 || length >= sizeof assumption.name)
        return tvg_command_misuse("report", "--assume %s: it is NAME=VALUE, for instance --assume prune=0.5", shown);
    if (!tvg_number(value + length + 1, &assumption.value))
        return tvg_command_misuse("report", "--assume %s: the value is not a number", shown);
    memcpy(assumption.name, value, length);
    int bad = TVG_EXIT_OK;
    char why[128];
    const struct tvg_rewrite *rewrite = assumption_of(assumption.name, &bad);
    if (!rewrite)
        return bad;
    if (!tvg_assumption_accepts(rewrite, assumption.value, why, sizeof why))
        return tvg_command_misuse("report", "--assume %s", why);
    for (uint32_t i = 0; i < request->assumption_count; i++)
        if (strcmp(request->assumptions[i].name, assumption.name) == 0)
            return tvg_command_misuse("report", "--assume %s is given twice", shown);
    if (request->assumption_count == 64)
        return tvg_command_misuse("report", "more than 64 --assume");
    request->assumptions[request->assumption_count++] = assumption;
    return TVG_EXIT_OK;
}

static int take_count(const char *option, const char *text, double *count)
{
    char shown[128];
    if (!tvg_number(text, count) || !(*count > 0))
        return tvg_command_misuse("report", "--%s %s: it takes a number above 0", option, tvg_escape(shown, sizeof shown, text));
    return TVG_EXIT_OK;
}

static int take_units(struct request *request, const char *value)
{
    static const char *const kinds[] = {"output_token", "input_token", "image", "sequence", "audio_second", "request", "pass", NULL};
    size_t length = strcspn(value, "=");
    char shown[128], kind[24];
    tvg_escape(shown, sizeof shown, value);
    if (!value[length] || length == 0 || length >= sizeof kind)
        return tvg_command_misuse("report", "--units %s: it is KIND=N, for instance --units image=500", shown);
    snprintf(kind, sizeof kind, "%.*s", (int)length, value);
    if (!tvg_is_one_of(kind, kinds))
        return tvg_command_unknown("report", "units", kind, kinds);
    memcpy(request->unit_kind, kind, sizeof kind);
    request->profile.unit_kind = request->unit_kind;
    return take_count("units", value + length + 1, &request->profile.unit_value);
}

static int take_charge(struct request *request, const char *value)
{
    return tvg_command_choose("report", "charge", value, tvg_charge_names, &request->charge);
}

static int take(struct request *request, int id, const char *value)
{
    switch (id) {
    case DEVICE: request->device = value; return TVG_EXIT_OK;
    case GPU: request->gpu = value; return TVG_EXIT_OK;
    case TOKENS: request->tokens_given = true; return take_count("tokens", value, &request->profile.tokens);
    case UNITS: request->units_given = true; return take_units(request, value);
    case REWRITE: return take_rewrite(request, value);
    case ASSUME: return take_assumption(request, value);
    case FULL: request->full = true; return TVG_EXIT_OK;
    case CHARGE: return take_charge(request, value);
    default: request->against = value; return TVG_EXIT_OK;
    }
}

static bool load(struct tvg_profile **profile, const char *path, struct request *request, struct tvg_error *error)
{
    struct tvg_progress progress = {.what = "reading"};
    request->profile.progress = tvg_progress;
    request->profile.context = &progress;
    bool loaded = tvg_profile_load(profile, path, &request->profile, error);
    tvg_progress_end(&progress);
    return loaded;
}

static void warn_of_damage(const char *path, const struct tvg_profile *profile)
{
    const struct tvg_damage *damage = &profile->damage;
    char shown[256];
    if (damage->bytes_skipped || damage->blocks_damaged || damage->cut_off)
        fprintf(stderr, "tvg report: warning: %s: %llu bytes in %u places could not be read%s; the figures cover what is whole (tvg check tells where)\n",
                tvg_escape(shown, sizeof shown, path), (unsigned long long)damage->bytes_skipped, damage->blocks_damaged, damage->cut_off ? ", and the end is cut off" : "");
    if (damage->ops_lost)
        fprintf(stderr, "tvg report: warning: %s: the recorder lost %llu ops (tvg coverage tells why)\n", tvg_escape(shown, sizeof shown, path),
                (unsigned long long)damage->ops_lost);
}

/* *holds: false where --against was asked for and its prediction did not hold. */
static bool report_one(const char *path, struct request *request, bool *holds, struct tvg_error *error)
{
    struct tvg_profile *profile = NULL, *second = NULL;
    struct tvg_device *device = NULL, *gpu = NULL;
    struct tvg_energy *energy = NULL, *second_energy = NULL;
    struct tvg_report report = {.path = path, .color = request->color, .full = request->full};
    bool done = load(&profile, path, request, error) && tvg_devices_choose(&device, &gpu, profile, request->device, request->gpu, error) &&
                tvg_energy_price(&energy, profile, device, gpu, request->charge, error);
    if (done) {
        struct tvg_rewrite_context context = {.device = device, .gpu = gpu, .assumptions = request->assumptions, .assumption_count = request->assumption_count,
                                              .cores = profile->cpus_allowed};
        const struct tvg_damage *damage = &profile->damage;
        if (!profile->total_ops && (damage->bytes_skipped || damage->blocks_damaged || damage->cut_off))
            done = tvg_fail(error, path, NULL, "tvg check tells where; record the run again", "%llu bytes of the trace could not be read%s, and what could holds no operation",
                            (unsigned long long)damage->bytes_skipped, damage->cut_off ? " and its end is cut off" : "");
        else
            warn_of_damage(path, profile);
        report.profile = profile;
        report.device = device;
        report.gpu = gpu;
        report.energy = energy;
        report.context = &context;
        done = done && tvg_report_build(&report, request->rewrites, request->rewrite_count, error);
        if (done && request->against) {
            done = load(&second, request->against, request, error) && tvg_energy_price(&second_energy, second, device, gpu, request->charge, error) &&
                   tvg_report_compare(&report, request->against, second, second_energy, error);
        }
        if (done && request->against)
            *holds &= report.against.holds;
        if (done && request->json)
            tvg_report_json(&report, stdout);
        else if (done)
            tvg_report_text(&report, stdout);
    }
    tvg_report_clear(&report);
    tvg_energy_free(second_energy);
    tvg_energy_free(energy);
    if (gpu)
        tvg_device_free(gpu);
    if (device)
        tvg_device_free(device);
    if (second)
        tvg_profile_free(second);
    if (profile)
        tvg_profile_free(profile);
    return done;
}

/* Reads the options into *request. An exit code after a message, or when --help was shown (arguments->stop). */
static int take_all(struct request *request, struct tvg_arguments *arguments, int argc, char **argv)
{
    const struct tvg_option *option;
    tvg_arguments_begin(arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(arguments))) {
        int bad = take(request, option->id, arguments->value);
        if (bad)
            return bad;
    }
    if (arguments->stop)
        return arguments->exit_code;
    if (request->tokens_given && request->units_given)
        return tvg_command_misuse("report", "--tokens and --units contradict each other: give one of them");
    return TVG_EXIT_OK;
}

int tvg_command_report_check(int argc, char **argv)
{
    struct request request = {.charge = TVG_CHARGE_AUTO};
    struct tvg_arguments arguments;
    struct tvg_device *device = NULL;
    struct tvg_error error;
    int bad = take_all(&request, &arguments, argc, argv);
    if (!bad && request.device) {
        if (!tvg_device_load(&device, request.device, &error))
            return tvg_command_fail("report", &error);
        tvg_device_free(device);
    }
    return bad;
}

int tvg_command_report(int argc, char **argv)
{
    struct request request = {.charge = TVG_CHARGE_AUTO};
    struct tvg_arguments arguments;
    int bad = take_all(&request, &arguments, argc, argv);
    if (bad || arguments.stop)
        return bad;
    if (arguments.operand_count == 0)
        return tvg_command_misuse("report", "which trace? Give a .tvg file or a run folder");
    request.json = arguments.json;
    request.color = arguments.color && !arguments.json;
    if (request.json && arguments.operand_count > 1)
        return tvg_command_misuse("report", "--json takes one trace or run folder at a time: call it once for each");
    bool holds = true;
    for (int i = 0; i < arguments.operand_count; i++) {
        struct tvg_error error = {""};
        if (i)
            printf("\n");
        if (!report_one(arguments.operand[i], &request, &holds, &error))
            return tvg_command_fail("report", &error);
    }
    return holds ? TVG_EXIT_OK : TVG_EXIT_DIFFERENCE;
}
