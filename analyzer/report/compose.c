/* Computes what the report shows: phases' energy, each rewrite's replay, the set that is composed, totals before and after. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

/* The unit that costs are per: the user's, then what the program said, then output before input, and passes last. */
static struct tvg_unit choose_unit(const struct tvg_profile *profile)
{
    static const char *const order[] = {"output_token", "image", "audio_second", "sequence", "request", "input_token", "pass"};
    struct tvg_unit chosen = {.kind = "pass", .value = 1, .basis = TVG_BASIS_NONE, .how = "nothing is known of the run's units: the whole run is one pass"};
    int best = 1 << 30;
    for (uint32_t i = 0; i < profile->unit_count; i++) {
        const struct tvg_unit *unit = &profile->units[i];
        if (!(unit->value > 0)) {
            if (unit->basis == TVG_BASIS_NONE) /* why none is known */
                snprintf(chosen.how, sizeof chosen.how, "%s", best == 1 << 30 ? unit->how : chosen.how);
            continue;
        }
        int rank = 8;
        for (int k = 0; k < 7; k++)
            if (strcmp(order[k], unit->kind) == 0)
                rank = k;
        rank += unit->basis == TVG_BASIS_GIVEN ? 0 : unit->basis == TVG_BASIS_EXACT ? 100 : 200;
        if (strcmp(unit->kind, "pass") == 0 && unit->basis != TVG_BASIS_GIVEN)
            rank += 1000;
        if (rank < best) {
            best = rank;
            chosen = *unit;
        }
    }
    return chosen;
}

/* Splits idle and what the meter left unexplained by time, ops by their own phases, CPU work outside ops by when it ran: the phases add up to the total. */
static void price_phases(struct tvg_report *report)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_energy *energy = report->energy;
    double seconds = 0;
    tvg_cpu_outside(profile, report->outside_s);
    int longest = TVG_PHASE_STEADY;
    for (int p = 0; p < 6; p++) {
        seconds += profile->phase[p].seconds;
        if (profile->phase[p].seconds > profile->phase[longest].seconds)
            longest = p;
    }
    double unmetered = energy->board_seconds > 0 ? fmax(0, seconds - energy->board_seconds) : 0; /* a card has no context before the program opens one */
    for (int p = 0; p < 6; p++) {
        double lasts = profile->phase[p].seconds - (p == TVG_PHASE_START ? fmin(unmetered, profile->phase[p].seconds) : 0);
        double whole = seconds - fmin(unmetered, profile->phase[TVG_PHASE_START].seconds);
        double share = whole > 0 ? lasts / whole : p == longest;
        report->phase_j[p] = tvg_interval_add(tvg_interval_scale(tvg_interval_add(energy->idle, energy->unexplained), share), energy->other_cpu_phase[p]);
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        double sum = 0;
        for (int p = 0; p < 6; p++)
            sum += stat->seconds_by_phase[p];
        for (int p = 0; p < 6; p++)
            report->phase_j[p] = tvg_interval_add(report->phase_j[p], tvg_interval_scale(energy->per_op[i],
                                                  sum > 0 ? stat->seconds_by_phase[p] / sum : p == longest));
    }
    static const bool inference[6] = {[TVG_PHASE_WARMUP] = true, [TVG_PHASE_STEADY] = true, [TVG_PHASE_WAITING] = true};
    for (int p = 0; p < 6; p++)
        if (inference[p]) {
            report->inference = tvg_interval_add(report->inference, report->phase_j[p]);
            report->inference_s += profile->phase[p].seconds;
        } else {
            report->start_j += report->phase_j[p].value;
            report->start_s += profile->phase[p].seconds;
        }
    double active = profile->phase[TVG_PHASE_STEADY].seconds + profile->phase[TVG_PHASE_WAITING].seconds;
    report->waits = profile->phase[TVG_PHASE_WAITING].seconds > 0.05 * active && profile->phase[TVG_PHASE_WAITING].seconds > 0.1;
}

static struct tvg_report_totals totals_of(const struct tvg_profile *profile)
{
    struct tvg_report_totals totals = {.cpu_s = profile->cpu_seconds, .wall_s = profile->wall_seconds};
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        totals.ops += (double)stat->count;
        totals.flop += (double)stat->op.flop * (double)stat->count;
        totals.bytes += (double)stat->op.bytes * (double)stat->count;
        totals.op_s += stat->seconds;
    }
    return totals;
}

/* By calls long enough for the time grid not to matter. */
static double held_up(const struct tvg_profile *profile)
{
    double mean = 0, fastest = 0;
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        if (stat->count > 2 && stat->seconds_min > 1e-6) {
            mean += stat->seconds - stat->seconds_first;
            fastest += stat->seconds_min * (double)(stat->count - 1);
        }
    }
    return fastest > 0 ? fmax(1, mean / fastest) : 1;
}

static struct tvg_interval headline(const struct tvg_report *report, const struct tvg_replay *replay)
{
    return report->waits ? replay->saved_rate : replay->saved_work;
}

bool tvg_saving_shows(const struct tvg_report *report, struct tvg_interval saved)
{
    return saved.low > 0 && saved.high > 1e-3 * report->energy->total.value; /* less is not worth a line */
}

/* Composes rewrites [of count] into report->set. */
static bool compose(const struct tvg_report *report, struct tvg_replay *replay, struct tvg_report_rewrite *const *members, uint32_t count,
                    struct tvg_error *error)
{
    const struct tvg_rewrite *list[64];
    const char *arguments[64];
    struct tvg_rewrite_context context = *report->context;
    for (uint32_t i = 0; i < count; i++) {
        list[i] = members[i]->rewrite;
        arguments[i] = members[i]->argument;
    }
    context.arguments = arguments;
    *replay = (struct tvg_replay){0};
    return tvg_replay_run(replay, list, count, report->profile, report->energy, &context, error);
}

/* The findings that save on their own, each kept only when it adds to the set before it and takes nothing from it under the other reading
 * (same work, same rate). Ranked by what they save at least: of two rewrites of the same ops the surer one goes in. */
static void best_set(struct tvg_report *report)
{
    struct tvg_report_rewrite *candidates[64], *chosen[64];
    uint32_t candidate_count = 0, count = 0;
    for (uint32_t i = 0; i < report->rewrite_count && candidate_count < 64; i++) {
        struct tvg_report_rewrite *line = &report->rewrites[i];
        if (line->rewrite->nature == TVG_FINDING && !line->rewrite->diagnostic_only && line->replay.outcome.applied &&
            tvg_saving_shows(report, headline(report, &line->replay)))
            candidates[candidate_count++] = line;
    }
    for (uint32_t i = 1; i < candidate_count; i++) /* insertion sort */
        for (uint32_t j = i; j > 0 && headline(report, &candidates[j]->replay).low > headline(report, &candidates[j - 1]->replay).low; j--) {
            struct tvg_report_rewrite *swap = candidates[j];
            candidates[j] = candidates[j - 1];
            candidates[j - 1] = swap;
        }
    struct tvg_interval best = {0, 0, 0}, best_other = {0, 0, 0};
    for (uint32_t i = 0; i < candidate_count; i++) {
        struct tvg_replay trial;
        chosen[count] = candidates[i];
        struct tvg_error ignored;
        if (!compose(report, &trial, chosen, count + 1, &ignored))
            continue;
        struct tvg_interval saved = headline(report, &trial), other = report->waits ? trial.saved_work : trial.saved_rate;
        if (trial.outcome.applied && saved.value > best.value * 1.001 && saved.low > best.low * 1.001 &&
            (count == 0 || other.low >= best_other.low - 1e-9 * fabs(best_other.low))) {
            best = saved;
            best_other = other;
            report->set = trial;
            candidates[i]->in_set = true;
            report->set_order[count++] = (uint32_t)(candidates[i] - report->rewrites);
        }
    }
    report->set_count = count;
}

static bool asked_set(struct tvg_report *report, const struct tvg_report_request *requests, uint32_t count, struct tvg_error *error)
{
    struct tvg_report_rewrite *members[64];
    uint32_t applied = 0;
    for (uint32_t r = 0; r < count; r++)
        for (uint32_t i = 0; i < report->rewrite_count; i++)
            if (report->rewrites[i].rewrite == requests[r].rewrite && report->rewrites[i].replay.outcome.applied && !report->rewrites[i].in_set &&
                !report->rewrites[i].rewrite->diagnostic_only && applied < 64) {
                report->rewrites[i].in_set = true;
                report->set_order[applied] = i;
                members[applied++] = &report->rewrites[i];
            }
    report->set_count = applied;
    report->set_asked = true;
    return applied == 0 || compose(report, &report->set, members, applied, error);
}

/* The rewritten run's totals, from the replay's own parts. */
static void optimized_totals(struct tvg_report *report)
{
    const struct tvg_replay *set = &report->set;
    struct tvg_report_totals *optimized = &report->optimized;
    *optimized = report->totals;
    optimized->basis = TVG_BASIS_PREDICTED;
    if (report->set_count == 0)
        return;
    optimized->ops = (double)set->op_count;
    optimized->flop = set->flop;
    optimized->bytes = set->bytes;
    optimized->op_s = set->op_seconds;
    optimized->wall_s = set->seconds;
    optimized->energy = set->energy;
    optimized->ops_j = set->ops.value;
    optimized->idle_j = set->idle.value;
    optimized->cpu_s = fmax(0, report->profile->cpu_seconds - (report->totals.op_s - set->op_seconds));
    double overlap = report->totals.op_s > 0 ? report->profile->op_wall_seconds / report->totals.op_s : 0;
    optimized->time_coverage = set->seconds > 0 ? fmin(1, overlap * set->op_seconds / set->seconds) : 0;
    optimized->per_j = set->energy.value > 0 ? report->unit.value / set->energy.value : NAN;
}

bool tvg_report_build(struct tvg_report *report, const struct tvg_report_request *requests, uint32_t request_count, struct tvg_error *error)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_energy *energy = report->energy;
    report->unit = choose_unit(profile);
    price_phases(report);
    report->held_up = held_up(profile);
    tvg_report_boards(report);

    report->totals = totals_of(profile);
    report->totals.time_coverage = profile->wall_seconds > 0 ? fmin(1, profile->op_wall_seconds / profile->wall_seconds) : 0;
    report->totals.energy = energy->total;
    report->totals.ops_j = energy->ops.value;
    report->totals.idle_j = energy->idle.value;
    report->totals.other_j = energy->other.value;
    report->totals.basis = energy->basis;
    report->totals.per_j = energy->total.value > 0 ? report->unit.value / energy->total.value : NAN;

    uint32_t count = 0;
    while (tvg_rewrites[count])
        count++;
    report->rewrites = calloc(count + 1u, sizeof *report->rewrites);
    if (!report->rewrites)
        return tvg_fail(error, report->path, NULL, "free some memory", "out of memory");
    report->rewrite_count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct tvg_report_rewrite *line = &report->rewrites[i];
        line->rewrite = tvg_rewrites[i];
        for (uint32_t r = 0; r < request_count; r++)
            if (requests[r].rewrite == line->rewrite) {
                line->asked = true;
                line->argument = requests[r].argument;
            }
        struct tvg_report_rewrite *alone[] = {line};
        if (!compose(report, &line->replay, alone, 1, error))
            return false;
    }
    if (request_count == 0)
        best_set(report);
    else if (!asked_set(report, requests, request_count, error))
        return false;
    report->saved = headline(report, &report->set);
    report->set_unsure = report->set_count > 0 && !tvg_saving_shows(report, report->saved);
    optimized_totals(report);
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_op(const struct tvg_op *a, const struct tvg_op *b)
{
    return a->kind == b->kind && a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch && a->type_a == b->type_a &&
           a->type_b == b->type_b && a->type_c == b->type_c && a->type_compute == b->type_compute && a->flags == b->flags &&
           a->dim_count == b->dim_count && memcmp(a->dim, b->dim, sizeof a->dim[0] * a->dim_count) == 0 && same_text(a->function, b->function) &&
           same_text(a->library, b->library);
}

static bool within(double measured, double predicted, double noise)
{
    return fabs(measured - predicted) <= noise * predicted;
}

/* Time is the optimizer's prediction; energy takes the first run's mean joules of each op (a shape never run before: its mean per FLOP), its floor
 * over the predicted time, and its other work per op. */
bool tvg_report_compare(struct tvg_report *report, const char *path, const struct tvg_profile *second, const struct tvg_energy *second_energy,
                        struct tvg_error *error)
{
    const struct tvg_profile *first = report->profile;
    struct tvg_report_against *against = &report->against;
    if (!tvg_replay_predict(&against->time, first, second, error))
        return false;
    double unmatched = 0, flop = 0, predicted = 0, first_flop = first->flop > 0 ? first->flop : 1;
    for (uint32_t i = 0; i < second->op_count; i++) {
        const struct tvg_op_stat *stat = &second->ops[i];
        double calls = (double)stat->count, work = (double)stat->op.flop * calls, joules = 0, seen = 0;
        for (uint32_t j = 0; j < first->op_count; j++)
            if (same_op(&first->ops[j].op, &stat->op)) { /* one op has an entry per call site: pool them */
                joules += report->energy->per_op[j].value;
                seen += (double)first->ops[j].count;
            }
        predicted += seen > 0 ? calls * joules / seen : work * report->energy->ops.value / first_flop;
        unmatched += seen > 0 ? 0 : work;
        flop += work;
    }
    double growth = first->total_ops ? (double)second->total_ops / (double)first->total_ops : 1;
    double idle_watts = first->wall_seconds > 0 ? report->energy->idle.value / first->wall_seconds : 0;
    against->path = path;
    against->predicted_j = idle_watts * against->time.predicted + report->energy->other.value * growth + predicted;
    against->actual_j = second_energy->total.value;
    against->actual_basis = second_energy->basis;
    against->energy_error = against->actual_j > 0 ? against->predicted_j / against->actual_j - 1 : NAN;
    against->unmatched_flop = flop > 0 ? unmatched / flop : 0;
    against->holds = within(against->time.measured, against->time.predicted, against->time.noise) &&
                     (!(against->actual_j > 0) || within(against->actual_j, against->predicted_j, against->time.noise));
    return true;
}

void tvg_report_clear(struct tvg_report *report)
{
    free(report->rewrites);
    report->rewrites = NULL;
    report->rewrite_count = 0;
}
