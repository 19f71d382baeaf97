/* The first screen of `tvg report`: what it cost, where it went, why, what is worth doing, how sure, what is not in it. 80 columns, ASCII but for
 * what a trace's own names bring; every name from a trace is escaped. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../commands/command.h"
#include "report.h"

enum { WIDTH = 80 };

/* Columns that `text` takes: code points, which is right for what tvg_escape lets through but for wide scripts. */
static int columns(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += (*text & 0xc0) != 0x80 && *text != '\n';
    return count;
}

/* Columns of `text` that are colour and take no room. */
static int escapes(const char *text)
{
    int count = 0;
    while ((text = strchr(text, '\033'))) {
        int length = (int)strcspn(text, "m") + 1;
        count += length;
        text += length;
    }
    return count;
}

/* Prints words wrapped at WIDTH; the first line starts with `lead`, later ones are indented. */
static void wrapped(FILE *out, const char *lead, int indent, const char *format, ...) __attribute__((format(printf, 4, 5)));
static void wrapped(FILE *out, const char *lead, int indent, const char *format, ...)
{
    char text[4096];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fputs(lead, out);
    int used = columns(lead) - escapes(lead);
    bool first = true;
    for (char *word = strtok(text, " "), *next; word; word = next) {
        int width = columns(word), with_unit = width;
        next = strtok(NULL, " ");
        if (next && word[0] && word[strlen(word) - 1] >= '0' && word[strlen(word) - 1] <= '9' && columns(next) <= 8)
            with_unit += 1 + columns(next); /* a number stays with its unit */
        if (!first && used + 1 + with_unit > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            used = indent;
            first = true;
        }
        fprintf(out, "%s%s", first ? "" : " ", word);
        used += width + !first;
        first = false;
    }
    fputc('\n', out);
}

/* One line, cut with "..." at WIDTH unless `full`. */
static void line_of(FILE *out, const char *lead, bool full, const char *text)
{
    int room = WIDTH - columns(lead);
    if (full || columns(text) <= room) {
        wrapped(out, lead, 6, "%s", text);
        return;
    }
    int bytes = 0, used = 0, space = 0;
    for (; text[bytes] && used <= room - 4; bytes++) {
        used += (text[bytes] & 0xc0) != 0x80;
        if (text[bytes] == ' ')
            space = bytes;
    }
    fprintf(out, "%s%.*s ...\n", lead, space ? space : bytes, text);
}

static void bar(char *out, double share)
{
    int length = (int)lround(fmax(0, fmin(1, share)) * 7);
    memset(out, '#', (size_t)length);
    out[length] = '\0';
}

static const char *percent(char *out, size_t size, double share)
{
    double value = 100 * share;
    if (value != 0 && fabs(value) < 0.95)
        snprintf(out, size, value < 0 ? ">-1 %%" : "<1 %%");
    else
        snprintf(out, size, "%.0f %%", value);
    return out;
}

/* "fp32 -> f32 mostly": the compute type with the most FLOP. */
static const char *main_type(const struct tvg_profile *profile, double *share)
{
    double by_type[TVG_TYPE_COUNT] = {0}, all = 0;
    unsigned most = 0;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        unsigned type = profile->ops[i].op.type_compute < TVG_TYPE_COUNT ? profile->ops[i].op.type_compute : 0;
        double flop = (double)profile->ops[i].op.flop * (double)profile->ops[i].count;
        by_type[type] += flop;
        all += flop;
    }
    for (unsigned t = 1; t < TVG_TYPE_COUNT; t++)
        if (by_type[t] > by_type[most])
            most = t;
    *share = all > 0 ? by_type[most] / all : 0;
    return tvg_type_info(most)->name;
}

static void scope(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_energy *energy = report->energy;
    char name[160], command[256], a[64];
    tvg_escape(name, sizeof name, report->path);
    tvg_escape(command, sizeof command, profile->command);
    int left = columns(name) + 11, room = WIDTH - left - 2;
    fprintf(out, "%stvg report %s%s", style.bold, name, style.off);
    if (room >= columns(command))
        fprintf(out, "%*s%s\n", room - columns(command) + 2, "", command);
    else
        fprintf(out, columns(command) <= WIDTH - 2 ? "\n  %s\n" : "\n  %.74s...\n", command);

    double type_share;
    const char *type = main_type(profile, &type_share);
    char cpu[128];
    tvg_escape(cpu, sizeof cpu, profile->cpu_model[0] ? profile->cpu_model : "CPU unknown");
    bool board = energy->board_seconds > 0;
    char cards[192] = "";
    if (board) {
        char shown[128];
        tvg_escape(shown, sizeof shown, profile->gpus[0].name[0] ? profile->gpus[0].name : "GPU");
        snprintf(cards, sizeof cards, profile->gpu_count > 1 ? "%u x %s | " : "%.0u%s | ", profile->gpu_count > 1 ? profile->gpu_count : 0u, shown);
    }
    wrapped(out, "", 0, "%s%s, %u of %u CPUs | %s%s | %s ops, %s | %s thread%s called them%s", cards, cpu, profile->cpus_allowed, profile->cpus_online,
            type_share < 0.95 ? "mostly " : "", type, tvg_show_count(name, sizeof name, report->totals.ops),
            tvg_show_si(a, sizeof a, report->totals.flop, "FLOP"), profile->threads == 1 ? "one" : "several", profile->threads == 1 ? "" : "s",
            profile->processes > 1 ? " in several processes" : "");
    bool metered = energy->meter_seconds > 0;
    char band[64];
    const char *outside = strstr(energy->boundary, "dram") ? "" : "DRAM, ";
    if (board) {
        char beside[64], shared[160] = "";
        if (energy->shared)
            snprintf(shared, sizeof shared, "modelled: others use it too (%.2g processes in the mean), which its meter can't tell apart", energy->tenants);
        wrapped(out, "", 0, "Scope: GPU board%s %s, from CUDA's start to the end. Not in it: the CPU (%s meanwhile, %s), fans, power supply, cooling.",
                profile->gpu_count > 1 ? "s" : "", metered ? "by its own meter (+-5 % absolute)" : shared[0] ? shared : "by its device file, NO METER", tvg_show_band(beside, sizeof beside, energy->cpu_beside),
                "by its device file");
    } else if (metered)
        wrapped(out, "", 0, "Scope: CPU %s by its own meter (+-5 %% absolute). Not in it: %sboard, fans, power supply, cooling.", energy->boundary, outside);
    else
        wrapped(out, "", 0, "Scope: CPU %s, NO METER: %s by device file %s%s: %s. Not in it: %sboard, fans, power supply, cooling.", energy->boundary,
                tvg_basis_name(energy->basis), report->device->name, report->device->guessed ? " (a guess: no file fits this CPU)" : "",
                tvg_show_band(band, sizeof band, energy->total), outside);
    char count[64], how[160];
    if (report->unit.basis == TVG_BASIS_NONE)
        wrapped(out, "", 0, "Units: none known (%s): --tokens N or --units KIND=N gives cost per unit.", report->unit.how);
    else
        wrapped(out, "", 0, "Units: %s %s, %s (%s).%s", tvg_show_count(count, sizeof count, report->unit.value),
                tvg_unit_word(report->unit.kind, report->unit.value == 1), tvg_basis_name(report->unit.basis), tvg_escape(how, sizeof how, report->unit.how),
                report->unit.basis == TVG_BASIS_INFERRED ? " --tokens N corrects it." : "");
}

static void cost_row(const struct tvg_report *report, FILE *out, const char *what, struct tvg_interval energy, double seconds, bool per_unit, enum tvg_basis basis)
{
    char joules[48], band[48], each[48] = "-", rate[48] = "-", time[32];
    double like = report->energy->total.value;
    tvg_show_joules_like(joules, sizeof joules, energy.value, like);
    tvg_show_band_like(band, sizeof band, energy, like, 3);
    tvg_show_seconds(time, sizeof time, seconds);
    if (per_unit && report->unit.value > 0 && energy.value > 0) {
        tvg_show_joules(each, sizeof each, energy.value / report->unit.value);
        double units = report->unit.value / energy.value;
        if (report->unit.basis == TVG_BASIS_NONE)
            ; /* one run: its share a joule pays for tells nothing */
        else if (units >= 100)
            tvg_show_count(rate, sizeof rate, round(units));
        else
            snprintf(rate, sizeof rate, "%.3g", units);
    }
    fprintf(out, "  %-15s %9s %14s %9s %7s %8s  %s\n", what, joules, band, each, rate, time, tvg_basis_name(basis));
}

/* The head of the column: what the line above names in full. */
static const char *per_unit_word(const char *kind)
{
    static const char *const words[][2] = {{"output_token", "per token"}, {"input_token", "per token"}, {"image", "per image"}, {"sequence", "per seq."},
                                           {"audio_second", "per s"}, {"request", "per req."}, {"pass", "per pass"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i][0], kind) == 0)
            return words[i][1];
    return "per unit";
}

static void cost(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    struct tvg_interval start = tvg_interval_add(tvg_interval_add(report->phase_j[TVG_PHASE_START], report->phase_j[TVG_PHASE_LOAD]), report->phase_j[TVG_PHASE_END]);
    bool unknown = report->unit.basis == TVG_BASIS_NONE;
    const char *each = unknown ? "per run" : per_unit_word(report->unit.kind);
    bool parted = report->start_s > 0;
    fprintf(out, "\n%sCOST%s             %9s %14s %9s %7s %8s  %s\n", style.bold, style.off, "energy", "low-high", each, "per J", "time", "basis");
    cost_row(report, out, "inference", report->inference, report->inference_s, true, parted ? report->energy->parts_basis : report->energy->basis);
    if (parted) {
        cost_row(report, out, "start, end", start, report->start_s, false, report->energy->parts_basis);
        cost_row(report, out, "whole run", report->energy->total, report->profile->wall_seconds, false, report->energy->basis);
    }
    if (!unknown && report->inference.value > 0) {
        struct tvg_interval million = tvg_interval_scale(report->inference, 1e6 / report->unit.value / 3600);
        bool kilo = million.high >= 1000;
        double factor = kilo ? 1e-3 : 1;
        fprintf(out, "  per 1 M %s: %.3g %s (%.3g-%.3g), inference only\n", tvg_unit_word(report->unit.kind, false), million.value * factor, kilo ? "kWh" : "Wh",
                million.low * factor, million.high * factor);
    }
    double paused = report->energy->board_seconds > 0 ? fmax(0, report->inference_s - report->cards.working_s) : report->profile->phase[TVG_PHASE_WAITING].seconds;
    char idle[32], of[32];
    if (paused > 0.5 * report->inference_s)
        wrapped(out, "  ", 2, "%s of the %s of inference were %s; what that cost is in it.", tvg_show_seconds(idle, sizeof idle, paused), tvg_show_seconds(of, sizeof of, report->inference_s),
                report->energy->board_seconds > 0 ? "pauses in which the card had no work" : "spent waiting");
}

/* All rows in the unit of the total. */
static void where_row(FILE *out, const char *what, struct tvg_interval joules, double total, const char *remark)
{
    char shown[48], share[16], hashes[32], band[48] = "";
    bar(hashes, total > 0 ? joules.value / total : 0);
    if (joules.low < joules.high)
        tvg_show_band_like(band, sizeof band, joules, total, 3);
    char line[200];
    int length = snprintf(line, sizeof line, "  %-20s %9s %5s %-7s %14s  %s", what, tvg_show_joules_like(shown, sizeof shown, joules.value, total),
                          percent(share, sizeof share, total > 0 ? joules.value / total : 0), hashes, band, remark);
    while (length > 0 && line[length - 1] == ' ')
        length--;
    fprintf(out, "%.*s\n", length, line);
}

struct class_sum {
    const char *name;
    struct tvg_interval joules;
    double seconds;
};

static int by_joules(const void *a, const void *b)
{
    double x = ((const struct class_sum *)a)->joules.value, y = ((const struct class_sum *)b)->joules.value;
    return x < y ? 1 : x > y ? -1 : 0;
}

static void shape(const struct tvg_op *op, char *out, size_t size)
{
    if (op->kind == TVG_KIND_KERNEL && op->name) {
        tvg_kernel_title(out, size, op->name);
        return;
    }
    if (op->dim_count && op->m == 0) {
        int at = snprintf(out, size, "%s %s ", tvg_kind_name(op->kind), op->type_compute ? tvg_type_info(op->type_compute)->name : "");
        for (unsigned i = 0; i < op->dim_count && at > 0 && (size_t)at < size; i++)
            at += snprintf(out + at, size - (size_t)at, "%s%lld", i ? "x" : "", (long long)op->dim[i]);
        return;
    }
    int used = snprintf(out, size, "%s %s %lld x %lld", tvg_kind_name(op->kind), tvg_type_info(op->type_compute)->name, (long long)op->m, (long long)op->n);
    if (op->k > 0 && used > 0 && (size_t)used < size)
        used += snprintf(out + used, size - (size_t)used, " x %lld", (long long)op->k);
    if (op->batch > 1 && used > 0 && (size_t)used < size)
        snprintf(out + used, size - (size_t)used, ", batch %lld", (long long)op->batch);
}

static void where(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    const struct tvg_energy *energy = report->energy;
    const struct tvg_profile *profile = report->profile;
    double total = energy->total.value;
    struct class_sum sums[16];
    unsigned count = 0;
    char text[64], remark[96];
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const char *name = tvg_op_class(&profile->ops[i].op);
        unsigned c = 0;
        while (c < count && strcmp(sums[c].name, name) != 0)
            c++;
        if (c == count)
            sums[count++] = (struct class_sum){.name = name};
        sums[c].joules = tvg_interval_add(sums[c].joules, energy->per_op[i]);
        sums[c].seconds += profile->ops[i].seconds;
    }
    qsort(sums, count, sizeof *sums, by_joules);
    tvg_show_joules(text, sizeof text, total);
    fprintf(out, "\n%sWHERE THE %s WENT%s%*s\n", style.bold, text, style.off, 46 - columns(text), "whole run; parts sum to it  low-high");
    if (energy->board_seconds > 0) {
        struct tvg_interval kept = {energy->idle.value - energy->rest.value, energy->idle.low - energy->rest.low, energy->idle.high - energy->rest.high};
        snprintf(remark, sizeof remark, "%.3g W x %s", energy->rest.value / energy->board_seconds, tvg_show_seconds(text, sizeof text, energy->board_seconds));
        where_row(out, "card merely on", energy->rest, total, remark);
        snprintf(remark, sizeof remark, "%.3g W: a context", kept.value / energy->board_seconds);
        where_row(out, "kept awake by you", kept, total, remark);
    } else if (energy->charge != TVG_CHARGE_NONE) {
        snprintf(remark, sizeof remark, "%.3g W x %s", energy->floor_watts, tvg_show_seconds(text, sizeof text, energy->wall_seconds));
        where_row(out, "package merely on", energy->idle, total, remark);
    }
    for (unsigned c = 0; c < count; c++)
        where_row(out, sums[c].name, sums[c].joules, total, "");
    if (!(energy->board_seconds > 0)) {
        snprintf(remark, sizeof remark, "%.3g CPU s", energy->cpu_seconds_outside);
        where_row(out, "CPU work outside ops", energy->other_cpu, total, remark);
    }
    if (energy->meter_seconds > 0 || energy->unexplained.value < 0)
        where_row(out, "unexplained", energy->unexplained, total, energy->unexplained.value < 0 ? "model over meter" : "");
    if (energy->rest_measured_watts > 0)
        wrapped(out, "  ", 2, "What the card draws at rest was measured before the process had a context on it.");
    if (energy->shared) {
        char board[48];
        wrapped(out, "  ", 2, "Not in it: others on the board, %s of the %s that its meter says. Rest and awake are our part by the number of processes.",
                tvg_show_joules(text, sizeof text, energy->others), tvg_show_joules(board, sizeof board, energy->board_joules));
    }
    if (energy->board_seconds > 0)
        ; /* a board's rest is always charged: nobody else pays it */
    else if (energy->charge == TVG_CHARGE_NONE)
        wrapped(out, "  ", 2, "The package floor is not charged (--charge none): these are marginal joules.");
    else if (energy->charged_packages < 0.999 && energy->charge == TVG_CHARGE_SHARE)
        wrapped(out, "  ", 2, "The floor is shared: this run pays %.3g %% of the package (%u CPUs allowed, %d cores in the part); --charge exclusive charges all of it.",
                100 * energy->charged_packages, profile->cpus_allowed, report->device->cores);
    /* The largest distinct ops: shapes that someone can look for in the model. */
    uint32_t top[3];
    unsigned tops = 0;
    for (uint32_t i = 0; i < profile->op_count; i++)
        for (unsigned place = 0; place <= tops && place < 3; place++)
            if (place == tops || energy->per_op[i].value > energy->per_op[top[place]].value) {
                memmove(&top[place + 1], &top[place], sizeof *top * (2 - place));
                top[place] = i;
                tops += tops < 3;
                break;
            }
    for (unsigned t = 0; t < tops && profile->op_count > 1 && energy->per_op[top[t]].value > 0; t++) {
        const struct tvg_op_stat *stat = &profile->ops[top[t]];
        char dims[96], calls[32], rate[48];
        shape(&stat->op, dims, sizeof dims);
        fprintf(out, "  %s%-33.33s %8s x %9s%s%s\n", t == 0 ? "largest: " : "         ", dims, tvg_show_count(calls, sizeof calls, (double)stat->count),
                tvg_show_joules_like(text, sizeof text, energy->per_op[top[t]].value, total), stat->op.flop && stat->seconds > 0 ? "  " : "",
                stat->op.flop == 0 ? "" : stat->seconds > 0 ? tvg_show_si(rate, sizeof rate, (double)stat->op.flop * (double)stat->count / stat->seconds, "FLOP/s") : "");
    }
}

/* What the boards that worked said of their parts; empty where none said anything. */
static void monitored(const struct tvg_profile *profile, char *out, size_t size)
{
    double part[TVG_BOARD_PARTS] = {0};
    unsigned boards = 0;
    char sm[16], tensor[16], memory[16];
    *out = 0;
    for (uint32_t i = 0; i < profile->meter_count; i++) {
        const struct tvg_board_state *board = &profile->meters[i].board;
        if (!board->part_samples[TVG_BOARD_SM] || !(board->part[TVG_BOARD_SM] > 0))
            continue;
        boards++;
        for (int p = 0; p < TVG_BOARD_PARTS; p++)
            part[p] += board->part[p];
    }
    if (boards)
        snprintf(out, size, " By its own monitor, over the whole window: multiprocessors at work %s of the time, matrix units %s, memory %s.",
                 percent(sm, sizeof sm, part[TVG_BOARD_SM] / boards), percent(tensor, sizeof tensor, part[TVG_BOARD_TENSOR] / boards),
                 percent(memory, sizeof memory, part[TVG_BOARD_DRAM] / boards));
}

/* Who waited for whom, by the calls themselves; nothing where they were not recorded. */
static void waited(const struct tvg_gpu_waits *waits, char *out, size_t size)
{
    char host[16], card[16], both[16], returning[16], full[16], queue[80] = "";
    out[0] = 0;
    if (!(waits->span > 0))
        return;
    if (waits->queue_full > 0)
        snprintf(queue, sizeof queue, ", for %s its queue of launches was full", percent(full, sizeof full, waits->queue_full / waits->span));
    snprintf(out, size, " By the host's waiting calls: for %s of that time it waited for the card%s; for %s the card waited for it, for %s both worked, for %s neither (the way back from a wait).",
             percent(host, sizeof host, waits->host_waited / waits->span), queue, percent(card, sizeof card, waits->card_waited / waits->span),
             percent(both, sizeof both, waits->both / waits->span), percent(returning, sizeof returning, waits->returning / waits->span));
}

static void why_board(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    static const char *const verdicts[] = {[TVG_CARD_BOUND] = "Card-bound", [TVG_LAUNCH_BOUND] = "Launch-bound", [TVG_TURNS] = "Host and card take turns"};
    static const char *const meaning[] = {[TVG_CARD_BOUND] = " A faster kernel saves time.", [TVG_TURNS] = "",
                                          [TVG_LAUNCH_BOUND] = " A faster kernel saves watts, not time; fewer launches save time."};
    const struct tvg_report_cards *cards = &report->cards;
    char lead[64], count[48], mean[32], rate[48], span[32], small[160] = "", type[128] = "", monitor[192], windows[400], waits[320], a[16], b[16], c[16];
    snprintf(lead, sizeof lead, "%sWHY%s  ", style.bold, style.off);
    double working = cards->working_s > 0 ? cards->working_s : 1; /* report.h defines the verdicts */
    if (cards->small_s > 0)
        snprintf(small, sizeof small, " %s of their time is in grids of fewer blocks than the card's %d multiprocessors: resident, not busy.",
                 percent(a, sizeof a, cards->kernel_s > 0 ? cards->small_s / cards->kernel_s : 0), cards->multiprocessors);
    if (cards->type_disagrees > 0)
        snprintf(type, sizeof type, " %s of the FLOP ran in another type than the call says (tvg coverage).", percent(b, sizeof b, cards->type_disagrees));
    monitored(report->profile, monitor, sizeof monitor);
    tvg_show_windows(windows, sizeof windows, &report->profile->sampled);
    waited(&cards->waits, waits, sizeof waits);
    char pace[320], pauses[240];
    snprintf(pace, sizeof pace, "%s: while the host kept launching, the card was busy %.0f %% of the time and waited %s for the next launch.%s", verdicts[cards->verdict],
             100 * fmin(1, cards->busy_s / working), percent(a, sizeof a, cards->launch_gap_s / working), meaning[cards->verdict]);
    snprintf(pauses, sizeof pauses, "Of the %s between its first and last work %s went in pauses of 1 ms and more, in which the host did something else or nothing.",
             tvg_show_seconds(span, sizeof span, cards->span_s), percent(c, sizeof c, cards->span_s > 0 ? cards->pause_s / cards->span_s : 0));
    bool paused = cards->pause_s > cards->span_s / 2; /* what most of the time went in comes first */
    wrapped(out, lead, 5, "%s%s %s%s %s kernels of %s each on average.%s Recorded library calls explain %.0f %% of their time and did %s while it was busy.%s%s%s%s",
            paused ? "The card mostly had no work. " : "", paused ? pauses : pace, paused ? pace : pauses, waits,
            tvg_show_count(count, sizeof count, cards->kernels), tvg_show_seconds(mean, sizeof mean, cards->kernels > 0 ? cards->kernel_s / cards->kernels : 0), small,
            cards->kernel_s > 0 ? 100 * cards->caused_s / cards->kernel_s : 0, tvg_show_si(rate, sizeof rate, cards->busy_s > 0 ? report->totals.flop / cards->busy_s : 0, "FLOP/s"),
            type, monitor, windows[0] ? " " : "", windows);
}

static void why(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_device *device = report->device;
    if (report->energy->board_seconds > 0) {
        why_board(report, out, style);
        return;
    }
    double wall = profile->wall_seconds, busy = profile->op_wall_seconds;
    char text[1024], rate[48], flow[48], share_text[16];
    int used = 0;
    if (!(wall > 0) || !(busy > 0))
        return;
    double waited = profile->phase[TVG_PHASE_WAITING].seconds, lasts = report->inference_s > 0 ? report->inference_s : wall;
    double load = profile->op_seconds > 0 ? profile->phase[TVG_PHASE_LOAD].op_seconds * busy / profile->op_seconds : 0;
    double inside = fmin(1, fmax(0, busy - load) / lasts), waits = fmin(1 - inside, waited / lasts), between = 1 - inside - waits;
    used += snprintf(text + used, sizeof text - (size_t)used, "Recorded ops ran %.0f %% of the inference's time; ", 100 * inside);
    if (waits >= 0.005)
        used += snprintf(text + used, sizeof text - (size_t)used, "%.0f %% was spent waiting; ", 100 * waits);
    used += snprintf(text + used, sizeof text - (size_t)used, "%.0f %% is host code between them%s. ", 100 * between, inside < 0.5 ? ", which no faster op touches" : "");
    if (profile->cpus_allowed)
        used += snprintf(text + used, sizeof text - (size_t)used, "The run kept %.2g of %u CPUs busy. ", profile->cpu_seconds / wall, profile->cpus_allowed);
    double flops = report->totals.flop / busy, bytes = report->totals.bytes / busy;
    double share;
    enum tvg_type type = tvg_type_by_name(main_type(profile, &share));
    used += snprintf(text + used, sizeof text - (size_t)used, "While they ran: %s", tvg_show_si(rate, sizeof rate, flops, "FLOP/s"));
    double cores = profile->cpus_allowed && device->cores > 0 ? fmin(1, (double)profile->cpus_allowed / device->cores) : 1;
    double flop_use = 0, byte_use = 0;
    if (type < TVG_TYPE_COUNT && device->peak[type].known) {
        flop_use = flops / (device->peak[type].value.value * cores);
        used += snprintf(text + used, sizeof text - (size_t)used, " (%.0f %% of %u CPUs' %s peak%s)", 100 * flop_use, profile->cpus_allowed, tvg_type_info(type)->name,
                         device->guessed ? " by the guessed file" : "");
    }
    used += snprintf(text + used, sizeof text - (size_t)used, ", at least %s", tvg_show_si(flow, sizeof flow, bytes, "B/s"));
    if (device->bandwidth.known) {
        double reach = device->bandwidth.value.value;
        if (device->bandwidth_core.known && profile->cpus_allowed)
            reach = fmin(reach, device->bandwidth_core.value.value * profile->cpus_allowed);
        byte_use = bytes / reach;
        used += snprintf(text + used, sizeof text - (size_t)used, " (%s of what those CPUs can draw from memory)", percent(share_text, sizeof share_text, byte_use));
    }
    const char *verdict = report->held_up >= 2 ? "; but calls were held up by other work on the machine, so these rates bound nothing" : flop_use == 0 || byte_use == 0 ? "" : flop_use > byte_use ? (flop_use > 0.4 ? ": compute-bound" : ": nearer to compute-bound, well below the peak: small or unfused calls")
                          : (byte_use > 0.4 ? ": memory-bound" : ": nearer to memory-bound, well below the peak: small or strided calls");
    snprintf(text + used, sizeof text - (size_t)used, "%s.", verdict);
    char lead[64];
    snprintf(lead, sizeof lead, "%sWHY%s  ", style.bold, style.off);
    wrapped(out, lead, 5, "%s", text);
}

static const char *loss_word(enum tvg_loss loss)
{
    static const char *const words[] = {"exact", "rounding", "bounded", "retrain"};
    return (unsigned)loss < 4 ? words[loss] : "?";
}

/* "-17 % -12..-23" or "none shown"; energies fall, so savings read as negative. */
static const char *saving(char *out, size_t size, struct tvg_interval saved, const struct tvg_report *report)
{
    struct tvg_interval total = report->energy->total;
    if (!(total.value > 0))
        snprintf(out, size, "-");
    else if (saved.low <= 0 && saved.high >= 0)
        snprintf(out, size, "no saving shown");
    else if (saved.value < 0)
        snprintf(out, size, "costs %+.0f %%", -100 * saved.value / total.value);
    else {
        char band[48];
        double share = 100 * saved.value / total.value;
        if (share < 0.05)
            snprintf(out, size, "-<0.1 %%");
        else
            snprintf(out, size, "-%.*f %% (%s)", share < 0.95, share, tvg_show_band_like(band, sizeof band, saved, total.value, 2));
    }
    return out;
}

static void saving_row(const struct tvg_report *report, FILE *out, const char *name, const struct tvg_replay *replay, const char *loss)
{
    char work[64], rate[64], each[48] = "-", label[48];
    double joules = replay->energy.value - report->start_j; /* start, load and end stay as they are */
    if (report->unit.value > 0)
        tvg_show_joules_like(each, sizeof each, fmax(0, joules) / report->unit.value, report->inference.value / report->unit.value);
    snprintf(label, sizeof label, "%s", name);
    fprintf(out, *loss ? "%-21.21s %9s  %-18s %-18s %s\n" : "%-21.21s %9s  %-18s %s%s\n", label, each, saving(work, sizeof work, replay->saved_work, report),
            saving(rate, sizeof rate, replay->saved_rate, report), loss);
}

static void worth_doing(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    unsigned listed = 0;
    char now[48], of[32];
    double each = report->unit.value > 0 ? report->inference.value / report->unit.value : 0;
    fprintf(out, "\n%s%-21s%s %9s  %-18s %-18s %s\n", style.bold, report->set_asked ? "AS ASKED" : "WORTH DOING", style.off,
            report->unit.basis == TVG_BASIS_NONE ? "per run" : per_unit_word(report->unit.kind), "machine released", "machine stays on,", "loss");
    snprintf(of, sizeof of, "  %% of whole run (%s)", tvg_joule_unit(report->energy->total.value));
    fprintf(out, "%-21s %9s  %-18s %s\n", of, tvg_show_joules(now, sizeof now, each), "when work ends", "same work arrives");
    for (uint32_t i = 0; i < report->rewrite_count; i++) {
        const struct tvg_report_rewrite *line = &report->rewrites[i];
        const struct tvg_interval *saved = report->waits ? &line->replay.saved_rate : &line->replay.saved_work;
        if (!line->replay.outcome.applied || line->rewrite->diagnostic_only || (report->set_asked ? !line->asked : line->rewrite->nature != TVG_FINDING))
            continue;
        if (!report->set_asked && !tvg_saving_shows(report, *saved))
            continue;
        char name[64], reason[320];
        snprintf(name, sizeof name, "%s%s", line->in_set ? "* " : "  ", line->rewrite->name);
        saving_row(report, out, name, &line->replay, loss_word(line->rewrite->loss));
        line_of(out, "    ", report->full, tvg_escape(reason, sizeof reason, line->replay.outcome.reason));
        if (report->full && line->rewrite->what_to_do)
            wrapped(out, "    do: ", 8, "%s", line->rewrite->what_to_do);
        listed++;
    }
    if (listed == 0)
        wrapped(out, "  ", 2, "%s", report->set_asked ? "None of the rewrites named could be applied: see NOT FOR YOU."
                                                        : "Nothing: no finding shows a saving on this run whose interval leaves 0 out.");
    if (report->set_count > 1) {
        fprintf(out, "%s", style.green);
        saving_row(report, out, "all with *", &report->set, "");
        fprintf(out, "%s", style.off);
    }
    if (report->held_up >= 2)
        wrapped(out, "  ", 2, "CAUTION: calls took %.1f x their fastest on average: the CPUs had other work, or slowed down. Time that ops waited is no time that "
                "a faster op saves: record again on a quiet machine before believing these.", report->held_up);
    if (report->set_count > 0) {
        char seconds[32], saved[48], band[48], total[48], totals[48];
        double all = report->energy->total.value;
        if (report->set_unsure)
            wrapped(out, "  ", 2, "no saving shown: the interval includes 0.");
        else
            wrapped(out, "  ", 2, "%s saves %s (%s) of %s (%s)%s, and %s %s of %s. Predicted, not run: times of rewritten ops are known within +-%.0f %%.",
                    report->set_asked ? "What was asked for" : "What has a * is worth doing together: it", tvg_show_joules_like(saved, sizeof saved, report->saved.value, all),
                    tvg_show_band_like(band, sizeof band, report->saved, all, 2), tvg_show_joules_like(total, sizeof total, all, all),
                    tvg_show_band_like(totals, sizeof totals, report->energy->total, all, 3), report->waits ? " where the same work arrives" : "",
                    report->set.time_saved >= 0 ? "" : "takes longer by", tvg_show_seconds(seconds, sizeof seconds, fabs(report->set.time_saved)),
                    tvg_show_seconds(of, sizeof of, report->profile->wall_seconds), 100 * report->set.outcome.time_uncertainty);
    }
}

/* An assumption that only lacks the user's number. */
static bool wants_number(const struct tvg_report *report, const struct tvg_report_rewrite *line)
{
    if (line->rewrite->nature != TVG_ASSUMPTION || line->replay.outcome.applied || !line->rewrite->assumption || line->argument)
        return false;
    for (uint32_t i = 0; i < report->context->assumption_count; i++)
        if (strcmp(report->context->assumptions[i].name, line->rewrite->assumption) == 0)
            return false;
    return true;
}

static void assumptions(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    bool titled = false;
    for (uint32_t i = 0; i < report->rewrite_count; i++) {
        const struct tvg_report_rewrite *line = &report->rewrites[i];
        bool wanted = wants_number(report, line);
        if ((!line->replay.outcome.applied && !wanted) || line->rewrite->nature == TVG_FINDING || line->rewrite->diagnostic_only || (report->set_asked && line->asked))
            continue;
        if (!titled)
            fprintf(out, "%sASSUMPTIONS%s, not findings: yours to state, not in the figures above\n", style.bold, style.off);
        titled = true;
        char name[64], reason[320], text[400];
        tvg_escape(reason, sizeof reason, line->replay.outcome.reason);
        if (wanted) {
            snprintf(name, sizeof name, "  %s: ", line->rewrite->name);
            line_of(out, name, report->full, reason);
            continue;
        }
        snprintf(name, sizeof name, "  %s", line->rewrite->name);
        saving_row(report, out, name, &line->replay, loss_word(line->rewrite->loss));
        if (isfinite(line->replay.energy_zero_at))
            snprintf(text, sizeof text, "nothing saved at %s=%.3g; %s", line->rewrite->assumption, line->replay.energy_zero_at, reason);
        else
            snprintf(text, sizeof text, "%s", reason);
        line_of(out, "    ", report->full, text);
    }
}

static void not_for_you(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    bool titled = false;
    for (uint32_t i = 0; i < report->rewrite_count; i++) {
        const struct tvg_report_rewrite *line = &report->rewrites[i];
        const struct tvg_interval *saved = report->waits ? &line->replay.saved_rate : &line->replay.saved_work;
        bool applied = line->replay.outcome.applied, diagnostic = line->rewrite->diagnostic_only;
        bool nothing = applied && !diagnostic && line->rewrite->nature == TVG_FINDING && !tvg_saving_shows(report, *saved) && !(report->set_asked && line->asked);
        bool elsewhere = report->set_asked && !line->asked && applied && !nothing;
        bool other_machine = !(line->rewrite->runs_on & (report->energy->board_seconds > 0 ? TVG_ON_GPU : TVG_ON_CPU)); /* no news on this run */
        if ((applied && !nothing && !diagnostic) || elsewhere || wants_number(report, line) || (other_machine && !report->full && !line->asked))
            continue;
        if (!titled)
            fprintf(out, "%sNOT FOR YOU%s, and notes that claim no saving%s\n", style.bold, style.off, report->full ? "" : " (--full: the reasons in full)");
        titled = true;
        char lead[64], reason[320], text[400];
        snprintf(lead, sizeof lead, "  %s: ", line->rewrite->name);
        tvg_escape(reason, sizeof reason, line->replay.outcome.reason);
        if (nothing)
            snprintf(text, sizeof text, "%s; %s", saved->high < 0 ? "costs more than it saves" : saved->low > 0 ? "saves next to nothing" : "no saving shown, the interval includes 0", reason);
        else
            snprintf(text, sizeof text, "%s%s", applied || diagnostic ? "" : "refused, ", reason);
        line_of(out, lead, report->full, text);
    }
}

/* What was seen of the run's CPU time, library by library (the three with the most FLOP), and what was not: appended to `text`. */
static int seen_and_dark(const struct tvg_profile *profile, char *text, int size, int used)
{
    enum { SHOWN = 3 };
    const struct tvg_cpu_where *where = &profile->where;
    struct { const char *name; double flop; } library[64];
    unsigned count = 0, names = 0;
    char name[128], flop[48];
    double low, high;
#define ADD(...) used += snprintf(text + used, used < size ? (size_t)(size - used) : 0, __VA_ARGS__)
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op *op = &profile->ops[i].op;
        unsigned at = 0;
        while (at < count && strcmp(library[at].name, op->library) != 0)
            at++;
        if (at == 64)
            continue;
        if (at == count)
            library[count++].name = op->library, library[at].flop = 0;
        library[at].flop += (double)op->flop * (double)profile->ops[i].count;
    }
    for (unsigned shown = 0; shown < SHOWN && shown < count && where->processes && profile->cpu_seconds > 0; shown++) {
        unsigned most = shown;
        for (unsigned i = shown; i < count; i++)
            if (library[i].flop > library[most].flop)
                most = i;
        const char *chosen = library[most].name;
        double chosen_flop = library[most].flop;
        library[most] = library[shown];
        ADD("%.40s: %s in %.0f %% of the CPU time | ", tvg_escape(name, sizeof name, chosen), tvg_show_si(flop, sizeof flop, chosen_flop, "FLOP"),
            100 * fmin(1, tvg_library_cpu(profile, chosen) / profile->cpu_seconds));
    }
    tvg_dark_share(profile, &low, &high);
    if (isfinite(low) && isfinite(high)) {
        if (high - low < 0.01)
            ADD("%.0f %% of CPU time is dark, outside recorded ops", 50 * (low + high));
        else
            ADD("%.0f-%.0f %% of CPU time is dark, outside recorded ops", 100 * low, 100 * high);
        for (uint32_t i = 0; i < where->object_count && i < SHOWN && where->objects[i].dark_seconds > 0.1 * where->dark_seconds; i++)
            ADD("%s%.60s", i ? ", " : ", mostly in ", tvg_show_object(name, sizeof name, &where->objects[i]));
        ADD(" | ");
    }
    for (uint32_t i = 0; i < profile->note_count; i++)
        names += strcmp(profile->notes[i].what, "found-not-catchable") == 0;
    if (names)
        ADD("%u name%s found but not catchable (tvg coverage) | ", names, names == 1 ? "" : "s");
#undef ADD
    return used < size ? used : size - 1;
}

/* How a second run compares with what this one predicts of it. */
static void against(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    const struct tvg_report_against *from = &report->against;
    char lead[64], name[512], measured[32], low[32], high[32], joules[48], band[64], strange[96] = "";
    if (!from->path)
        return;
    double noise = from->time.noise;
    struct tvg_interval predicted = {from->predicted_j, from->predicted_j * (1 - noise), from->predicted_j * (1 + noise)};
    snprintf(lead, sizeof lead, "\n%sAGAINST%s  ", style.bold, style.off);
    if (from->unmatched_flop > 0)
        snprintf(strange, sizeof strange, " %.1f %% of its FLOP are in shapes that the first never ran.", 100 * from->unmatched_flop);
    wrapped(out, lead, 2, "%s: the prediction of it %s. It took %s where %s to %s was predicted (error %+.1f %%; of op time %+.1f %%), and %s (%s) where %s was (error %+.1f %%). The interval, "
            "+-%.0f %%, is what this run's own calls were off their fastest, at least 10 %%.%s", tvg_escape(name, sizeof name, from->path), from->holds ? "HOLDS" : "DID NOT HOLD",
            tvg_show_seconds(measured, sizeof measured, from->time.measured), tvg_show_seconds(low, sizeof low, from->time.predicted * (1 - noise)),
            tvg_show_seconds(high, sizeof high, from->time.predicted * (1 + noise)), 100 * from->time.error, 100 * from->time.op_error,
            tvg_show_joules(joules, sizeof joules, from->actual_j), tvg_basis_name(from->actual_basis), tvg_show_band(band, sizeof band, predicted), 100 * from->energy_error,
            100 * noise, strange);
}

static void how_sure(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_energy *energy = report->energy;
    const struct tvg_damage *damage = &profile->damage;
    char text[2048], a[64], b[64];
    int used = 0;
#define ADD(...) used += snprintf(text + used, used < (int)sizeof text ? sizeof text - (size_t)used : 0, __VA_ARGS__)
    if (energy->meter_seconds > 0)
        ADD("before it was fitted to the meter, the model was %.0f %% %s it; to fit, %s were multiplied by %.2f%s, which leaves %s unexplained | ", fabs(100 * energy->model_error),
            energy->model_error < 0 ? "below" : "above", energy->board_seconds > 0 ? "rest and awake moved within their intervals and the kernels' joules" : "the ops' joules",
            energy->meter_scale, energy->meter_scale < 0.8001 || energy->meter_scale > 1.2499 ? " (the limit: 0.8 to 1.25 is how far the model may be off)" : "",
            tvg_show_joules(a, sizeof a, energy->unexplained.value));
    else
        ADD(energy->shared ? "others share the meter: the total may be %s, a factor of %.1f | " : "no meter: the total may be %s, a factor of %.1f | ", tvg_show_band(a, sizeof a, energy->total), energy->total.low > 0 ? energy->total.high / energy->total.low : INFINITY);
    if (report->set_count > 0)
        ADD("the saving's sign %s over the whole band | ", report->saved.low > 0 ? "holds" : "does NOT hold");
    if (energy->board_seconds > 0)
        ADD("kernels priced as %s%s | ", report->gpu->title ? report->gpu->title : report->gpu->name, report->gpu->guessed ? "; no file fits this GPU: --gpu NAME" : "");
    else
        ADD("priced as %s%s | ", report->device->title ? report->device->title : report->device->name, report->device->guessed ? "; no file fits this CPU: --device NAME" : "");
    if (energy->cross_check.value > 0)
        ADD("ops by instruction counts %s, by FLOP and bytes %s | ", tvg_show_joules(a, sizeof a, energy->cross_check.value), tvg_show_joules(b, sizeof b, energy->ops.value));
    if (!(energy->board_seconds > 0))
        used = seen_and_dark(profile, text, (int)sizeof text, used);
    ADD(energy->board_seconds > 0 ? "the card was busy %.2g %% of the run's time | ops lost %llu" : "recorded ops cover %.2g %% of the time | ops lost %llu",
        100 * report->totals.time_coverage, (unsigned long long)damage->ops_lost);
    if (damage->bytes_skipped || damage->blocks_damaged || damage->cut_off)
        ADD(" | TRACE DAMAGED: %llu bytes in %u places unreadable%s: the figures cover what is whole", (unsigned long long)damage->bytes_skipped, damage->blocks_damaged,
            damage->cut_off ? ", cut off at the end" : "");
    else if (damage->no_end)
        ADD(" | the process did not end cleanly: recovered %llu ops from its buffers", (unsigned long long)damage->ops_recovered);
    if (profile->own_seconds > 0 && profile->wall_seconds > 0)
        ADD(" | recording cost %s (%.2g %%)", tvg_show_seconds(a, sizeof a, profile->own_seconds), 100 * profile->own_seconds / profile->wall_seconds);
    if (report->held_up >= 1.2)
        ADD(" | calls took %.1f x their fastest", report->held_up);
    if (energy->note[0])
        ADD(" | %s", energy->note);
#undef ADD
    char lead[64];
    snprintf(lead, sizeof lead, "\n%sHOW SURE%s  ", style.bold, style.off);
    wrapped(out, lead, 2, "%s", text);
}

/* Hottest objects outside recorded ops: at most `most` rows. */
static void dark_rows(const struct tvg_report *report, FILE *out, uint32_t most)
{
    const struct tvg_cpu_where *where = &report->profile->where;
    double cpu = report->profile->cpu_seconds;
    char name[512], time[32], share_text[16];
    for (uint32_t i = 0; i < where->object_count && i < most && where->objects[i].dark_seconds > 0; i++)
        fprintf(out, "  %-56.56s %9s %6s\n", tvg_show_object(name, sizeof name, &where->objects[i]),
                tvg_show_seconds(time, sizeof time, where->objects[i].dark_seconds), percent(share_text, sizeof share_text, where->objects[i].dark_seconds / cpu));
}

/* A path as a shell takes it, escaped for the terminal. */
static char *shell_word(char *out, size_t size, const char *path)
{
    char shown[480];
    tvg_escape(shown, sizeof shown, path);
    bool plain = shown[strspn(shown, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-@%,:=")] == '\0';
    snprintf(out, size, plain ? "%s" : "'%s'", shown);
    return out;
}

/* A trace without a single op: no figure of it is one of inference, and zero would look like a finding. */
static void nothing_seen(const struct tvg_report *report, FILE *out, struct tvg_style style)
{
    enum { ROWS = 8, REASONS = 6 };
    const struct tvg_profile *profile = report->profile;
    char name[512], command[256], a[64], detail[400];
    unsigned shown = 0;
    fprintf(out, "%stvg report %s%s\n", style.bold, tvg_escape(name, sizeof name, report->path), style.off);
    wrapped(out, "  ", 2, "%s", tvg_escape(command, sizeof command, profile->command));
    fprintf(out, "\n%sNO OPERATION WAS RECORDED%s\n", style.bold, style.off);
    const struct tvg_damage *damage = &profile->damage;
    if (damage->bytes_skipped || damage->blocks_damaged || damage->cut_off)
        wrapped(out, "  ", 2, "THE TRACE IS DAMAGED: %llu bytes of it could not be read%s, and what could holds no operation. Nothing is known of what ran.",
                (unsigned long long)damage->bytes_skipped, damage->cut_off ? " and its end is cut off" : "");
    else
        wrapped(out, "  ", 2, "None of the functions that tvg stands in for was called, or none that it can follow. This is no zero: what the run computed was not seen, so "
                "nothing is said of its products, steps, units or savings.");
    wrapped(out, "  ", 2, "%u process%s, %s, %.3g CPU s, all of it dark.", profile->processes, profile->processes == 1 ? "" : "es",
            tvg_show_seconds(a, sizeof a, profile->wall_seconds), profile->cpu_seconds);
    if (report->energy->total.value > 0) {
        char joules[48], band[64];
        wrapped(out, "  ", 2, "The whole run, whatever it did: %s (%s, %s, CPU %s; fans, power supply and cooling not in it).",
                tvg_show_joules(joules, sizeof joules, report->energy->total.value), tvg_show_band(band, sizeof band, report->energy->total),
                tvg_basis_name(report->energy->basis), report->energy->boundary);
    }
    fprintf(out, "\n%sWHERE THE CPU TIME WENT%s\n", style.bold, style.off);
    if (profile->where.processes && profile->cpu_seconds > 0) {
        dark_rows(report, out, ROWS);
        if (profile->where.before_seconds + profile->where.unsampled_seconds > 0.01 * profile->cpu_seconds)
            wrapped(out, "  ", 2, "%s of it were not sampled.", tvg_show_seconds(a, sizeof a, profile->where.before_seconds + profile->where.unsampled_seconds));
    } else {
        wrapped(out, "  ", 2, "Not known: it was not sampled. Under tvg record it is, where the kernel permits (tvg doctor).");
    }
    for (uint32_t i = 0; i < profile->note_count; i++) {
        const struct tvg_coverage_note *note = &profile->notes[i];
        if (strcmp(note->what, "found-not-catchable") != 0 && strcmp(note->what, "not-entered") != 0 && strcmp(note->what, "child-without-preload") != 0 && strcmp(note->what, "unknown-version") != 0)
            continue;
        if (shown == REASONS) {
            wrapped(out, "  ", 2, "and more: tvg coverage");
            break;
        }
        if (shown++ == 0)
            fprintf(out, "\n%sFOUND, BUT NOT CATCHABLE%s\n", style.bold, style.off);
        wrapped(out, "  ", 4, "%s%s%s", tvg_escape(name, sizeof name, note->subject), note->detail[0] ? ": " : "", tvg_escape(detail, sizeof detail, note->detail));
    }
    fputc('\n', out);
    fprintf(out, "Next: tvg coverage %s\n      tvg doctor -- CMD   (shows what it links)\n", shell_word(name, sizeof name, report->path));
}

void tvg_report_text(const struct tvg_report *report, FILE *out)
{
    struct tvg_style style = tvg_style(report->color);
    if (report->profile->op_count == 0) {
        nothing_seen(report, out, style);
        return;
    }
    scope(report, out, style);
    cost(report, out, style);
    where(report, out, style);
    why(report, out, style);
    worth_doing(report, out, style);
    assumptions(report, out, style);
    not_for_you(report, out, style);
    against(report, out, style);
    how_sure(report, out, style);
    char name[512];
    shell_word(name, sizeof name, report->path);
    fprintf(out, "Next: tvg ops %s\n      tvg coverage %s\n      tvg report %s --json\n", name, name, name);
    if (!report->against.path)
        fprintf(out, "      tvg report %s --against SECOND.tvg\n", name);
}
