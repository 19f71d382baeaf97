/* `tvg report --json`, as schema.json says. Members are written one after the other, so that memory does not grow with the dictionary. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "report.h"

/* JSON has no NaN and no infinity: what is not known is null. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *integer(double value)
{
    return fabs(value) < 9e15 ? json_integer((json_int_t)value) : json_real(value);
}

/* A name from a trace, shown as every command shows it: what prints the parsed value is not taken over by it either. */
static json_t *string(const char *text)
{
    char shown[4096];
    return text ? json_string(tvg_escape(shown, sizeof shown, text)) : json_null();
}

/* A path that the user gave, as it is, so that it can be opened again; only broken UTF-8, which JSON can't hold, is shown as \xNN. */
static json_t *path(const char *text)
{
    json_t *plain = json_string(text);
    return plain ? plain : string(text);
}

static json_t *interval(struct tvg_interval value)
{
    return json_pack("{s:o, s:o, s:o}", "value", number(value.value), "low", number(value.low), "high", number(value.high));
}

static void set_basis(json_t *object, enum tvg_basis basis)
{
    json_object_set_new(object, "basis", json_string(tvg_basis_name(basis)));
}

static json_t *unit(const struct tvg_unit *from)
{
    json_t *object = json_object();
    json_object_set_new(object, "kind", string(from->kind));
    json_object_set_new(object, "value", number(from->value));
    set_basis(object, from->basis);
    json_object_set_new(object, "how", string(from->how));
    return object;
}

static json_t *totals(const struct tvg_report *report, const struct tvg_report_totals *from)
{
    json_t *object = json_object(), *energy = interval(from->energy);
    json_object_set_new(object, "ops", integer(from->ops));
    json_object_set_new(object, "flop", number(from->flop));
    json_object_set_new(object, "bytes", number(from->bytes));
    json_object_set_new(object, "wall_s", number(from->wall_s));
    json_object_set_new(object, "op_s", number(from->op_s));
    json_object_set_new(object, "cpu_s", number(from->cpu_s));
    json_object_set_new(object, "time_coverage", number(from->time_coverage));
    json_object_set_new(object, "units", unit(&report->unit));
    set_basis(energy, from->basis);
    json_object_set_new(energy, "boundary", string(report->energy->boundary));
    json_object_set_new(object, "energy_j", energy);
    json_object_set_new(object, "ops_j", number(from->ops_j));
    json_object_set_new(object, "idle_j", number(from->idle_j));
    json_object_set_new(object, "other_j", number(from->other_j));
    json_object_set_new(object, "per_j", number(from->per_j));
    json_object_set_new(object, "kwh", number(from->energy.value / 3.6e6));
    return object;
}

static json_t *saved(const struct tvg_report *report, struct tvg_interval energy, double seconds)
{
    double total = report->energy->total.value;
    return json_pack("{s:o, s:o, s:o}", "energy_j", interval(energy), "energy_pct", total > 0 ? number(100 * energy.value / total) : json_null(), "time_s",
                     number(seconds));
}

static json_t *savings(const struct tvg_report *report)
{
    const struct tvg_report_totals *before = &report->totals, *after = &report->optimized;
    json_t *object = saved(report, report->saved, report->set.time_saved);
    json_t *names = json_array();
    for (uint32_t i = 0; i < report->set_count; i++)
        json_array_append_new(names, string(report->rewrites[report->set_order[i]].rewrite->name));
    set_basis(object, TVG_BASIS_PREDICTED);
    json_object_set_new(object, "rewrites", names);
    json_object_set_new(object, "headline", json_string(report->waits ? "same_rate" : "same_work"));
    json_object_set_new(object, "same_work", saved(report, report->set.saved_work, report->set.time_saved));
    json_object_set_new(object, "same_rate", saved(report, report->set.saved_rate, report->set.time_saved));
    json_object_set_new(object, "sign_holds", json_boolean(report->set_count > 0 && report->saved.low > 0));
    json_object_set_new(object, "units_per_kj_gain", number(1000 * (after->per_j - before->per_j)));
    json_object_set_new(object, "units_bought", number(report->set_count ? fmax(0, report->set.saved_work.value) * after->per_j : 0));
    json_object_set_new(object, "units_avoided", number(0)); /* no rewrite yet removes padding or recomputed tokens */
    return object;
}

static json_t *rewrites(const struct tvg_report *report)
{
    static const char *const natures[] = {"finding", "assumption", "operator"};
    static const char *const where[] = {"", "cpu", "gpu", "cpu and gpu"};
    static const char *const losses[] = {"exact", "rounding", "bounded", "retrain"};
    json_t *array = json_array();
    for (uint32_t i = 0; i < report->rewrite_count; i++) {
        const struct tvg_report_rewrite *line = &report->rewrites[i];
        const struct tvg_rewrite *rewrite = line->rewrite;
        const struct tvg_replay *replay = &line->replay;
        bool applied = replay->outcome.applied;
        struct tvg_interval none = {0, 0, 0};
        bool counts = applied && !rewrite->diagnostic_only;
        json_t *object = json_object();
        json_object_set_new(object, "name", string(rewrite->name));
        json_object_set_new(object, "summary", string(rewrite->summary));
        json_object_set_new(object, "runs_on", json_string(where[rewrite->runs_on & 3]));
        json_object_set_new(object, "nature", json_string(natures[rewrite->nature]));
        json_object_set_new(object, "status", json_string(applied ? "applied" : "refused"));
        json_object_set_new(object, "reason", string(replay->outcome.reason));
        json_object_set_new(object, "loss_class", json_string(losses[rewrite->loss]));
        json_object_set_new(object, "diagnostic_only", json_boolean(rewrite->diagnostic_only));
        json_object_set_new(object, "in_set", json_boolean(line->in_set));
        json_object_set_new(object, "energy_saved_j", interval(counts ? (report->waits ? replay->saved_rate : replay->saved_work) : none));
        json_object_set_new(object, "same_work_j", interval(counts ? replay->saved_work : none));
        json_object_set_new(object, "same_rate_j", interval(counts ? replay->saved_rate : none));
        json_object_set_new(object, "time_saved_s", number(counts ? replay->time_saved : 0));
        json_object_set_new(object, "covered_flop", number(replay->outcome.covered_flop));
        json_object_set_new(object, "time_uncertainty", number(replay->outcome.time_uncertainty));
        json_object_set_new(object, "zero_at", rewrite->nature == TVG_ASSUMPTION ? number(replay->energy_zero_at) : json_null());
        json_object_set_new(object, "what_to_do", string(rewrite->what_to_do));
        json_object_set_new(object, "citation", string(rewrite->citation));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *op(const struct tvg_report *report, uint32_t index)
{
    const struct tvg_op_stat *stat = &report->profile->ops[index];
    const struct tvg_op *from = &stat->op;
    json_t *object = json_object(), *dims = json_array();
    json_object_set_new(object, "id", json_integer(index));
    json_object_set_new(object, "library", string(from->library));
    json_object_set_new(object, "function", string(from->function));
    json_object_set_new(object, "name", string(from->name));
    json_object_set_new(object, "kind", json_string(tvg_kind_name(from->kind)));
    json_object_set_new(object, "net", json_string(tvg_net_name(from->net)));
    json_object_set_new(object, "type_a", json_string(tvg_type_info(from->type_a)->name));
    json_object_set_new(object, "type_b", json_string(tvg_type_info(from->type_b)->name));
    json_object_set_new(object, "type_c", json_string(tvg_type_info(from->type_c)->name));
    json_object_set_new(object, "type_compute", json_string(tvg_type_info(from->type_compute)->name));
    json_object_set_new(object, "type_called", stat->type_confirmed ? json_string(tvg_type_info(stat->type_called)->name) : json_null());
    json_object_set_new(object, "on_gpu", json_boolean(from->on_gpu));
    json_object_set_new(object, "threads", json_integer(from->threads));
    json_object_set_new(object, "m", json_integer(from->m));
    json_object_set_new(object, "n", json_integer(from->n));
    json_object_set_new(object, "k", json_integer(from->k));
    json_object_set_new(object, "batch", json_integer(from->batch));
    for (unsigned d = 0; d < from->dim_count && d < TVG_DIMS_MAX; d++)
        json_array_append_new(dims, json_integer(from->dim[d]));
    json_object_set_new(object, "dims", dims);
    json_object_set_new(object, "caller_library", string(from->caller_library));
    json_object_set_new(object, "count", json_integer((json_int_t)stat->count));
    json_object_set_new(object, "flop_per_call", number((double)from->flop));
    json_object_set_new(object, "bytes_per_call", number((double)from->bytes));
    json_object_set_new(object, "flop", number((double)from->flop * (double)stat->count));
    json_object_set_new(object, "bytes", number((double)from->bytes * (double)stat->count));
    json_object_set_new(object, "seconds", number(stat->seconds));
    json_object_set_new(object, "seconds_error", number(stat->sampling_error));
    json_object_set_new(object, "flop_per_s", stat->seconds > 0 ? number((double)from->flop * (double)stat->count / stat->seconds) : json_null());
    json_object_set_new(object, "energy_j", interval(report->energy->per_op[index]));
    return object;
}

static json_t *phases(const struct tvg_report *report)
{
    json_t *array = json_array();
    for (int p = 0; p < 6; p++) {
        const struct tvg_phase *phase = &report->profile->phase[p];
        json_t *object = json_object();
        json_object_set_new(object, "name", json_string(tvg_phase_name((enum tvg_phase_kind)p)));
        json_object_set_new(object, "seconds", number(phase->seconds));
        json_object_set_new(object, "op_seconds", number(phase->op_seconds));
        json_object_set_new(object, "cpu_seconds", number(phase->cpu_seconds));
        json_object_set_new(object, "cpu_outside_s", interval(report->outside_s[p]));
        json_object_set_new(object, "ops", integer((double)phase->ops));
        json_object_set_new(object, "flop", number((double)phase->flop));
        json_object_set_new(object, "energy_j", interval(report->phase_j[p]));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *steps(const struct tvg_report *report)
{
    static const char *const kinds[] = {"pass", "prefill", "decode"};
    json_t *array = json_array();
    for (uint32_t i = 0; i < report->profile->step_count; i++) {
        const struct tvg_step_class *step = &report->profile->steps[i];
        json_t *object = json_object();
        json_object_set_new(object, "kind", json_string((unsigned)step->kind < 3 ? kinds[step->kind] : "pass"));
        json_object_set_new(object, "count", integer((double)step->count));
        json_object_set_new(object, "ops", integer((double)step->ops));
        json_object_set_new(object, "rows_min", integer((double)step->rows_min));
        json_object_set_new(object, "rows_max", integer((double)step->rows_max));
        json_object_set_new(object, "seconds", number(step->seconds));
        json_object_set_new(object, "seconds_min", number(step->seconds_min));
        json_object_set_new(object, "seconds_max", number(step->seconds_max));
        json_object_set_new(object, "seconds_median", number(step->seconds_median));
        json_object_set_new(object, "op_seconds", number(step->op_seconds));
        json_object_set_new(object, "flop", number(step->flop));
        json_object_set_new(object, "anchor", string(step->anchor));
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *coverage(const struct tvg_report *report)
{
    const struct tvg_profile *profile = report->profile;
    const struct tvg_damage *damage = &profile->damage;
    json_t *object = json_object(), *notes = json_array(), *units = json_array();
    json_object_set_new(object, "damage", json_pack("{s:b, s:o, s:I, s:b, s:b, s:o, s:o}", "damaged",
        damage->bytes_skipped || damage->blocks_damaged || damage->cut_off, "bytes_skipped", integer((double)damage->bytes_skipped), "places",
        (json_int_t)damage->blocks_damaged, "cut_off", damage->cut_off, "no_end", damage->no_end, "ops_recovered", integer((double)damage->ops_recovered),
        "ops_lost", integer((double)damage->ops_lost)));
    for (uint32_t i = 0; i < profile->note_count; i++) {
        json_t *note = json_object();
        json_object_set_new(note, "what", string(profile->notes[i].what));
        json_object_set_new(note, "subject", string(profile->notes[i].subject));
        json_object_set_new(note, "detail", string(profile->notes[i].detail));
        json_object_set_new(note, "count", integer((double)profile->notes[i].count));
        json_array_append_new(notes, note);
    }
    json_object_set_new(object, "notes", notes);
    for (uint32_t i = 0; i < profile->unit_count; i++)
        json_array_append_new(units, unit(&profile->units[i]));
    json_object_set_new(object, "units", units);
    json_object_set_new(object, "cpu", tvg_cpu_json(profile));
    json_object_set_new(object, "own_s", number(profile->own_seconds));
    json_object_set_new(object, "threads", json_integer(profile->threads));
    json_object_set_new(object, "processes", json_integer(profile->processes));
    return object;
}

static json_t *device(const struct tvg_device *from)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", string(from->name));
    json_object_set_new(object, "title", string(from->title));
    json_object_set_new(object, "kind", string(from->kind));
    json_object_set_new(object, "guessed", json_boolean(from->guessed));
    json_object_set_new(object, "cores", json_integer(from->cores));
    return object;
}

static json_t *devices(const struct tvg_report *report)
{
    json_t *array = json_array();
    json_array_append_new(array, device(report->device));
    if (report->gpu)
        json_array_append_new(array, device(report->gpu));
    return array;
}

static json_t *pricing(const struct tvg_report *report)
{
    const struct tvg_energy *energy = report->energy;
    json_t *object = json_object(), *meters = json_array();
    json_object_set_new(object, "charge", json_string(tvg_charge_name(energy->charge)));
    json_object_set_new(object, "charged_packages", number(energy->charged_packages));
    json_object_set_new(object, "idle_w", number(energy->floor_watts));
    json_object_set_new(object, "idle_j", interval(energy->idle));
    json_object_set_new(object, "other_cpu_j", interval(energy->other_cpu));
    json_object_set_new(object, "unexplained_j", number(energy->unexplained.value));
    json_object_set_new(object, "others_j", energy->shared ? number(energy->others) : json_null());
    json_object_set_new(object, "board_j", energy->shared ? number(energy->board_joules) : json_null());
    json_object_set_new(object, "parts_basis", json_string(tvg_basis_name(report->energy->parts_basis)));
    json_object_set_new(object, "other_what", string(energy->other_what));
    json_object_set_new(object, "cpu_s_outside", number(energy->cpu_seconds_outside));
    json_object_set_new(object, "meter_scale", number(energy->meter_scale));
    json_object_set_new(object, "model_error", energy->meter_seconds > 0 ? number(energy->model_error) : json_null());
    json_object_set_new(object, "cross_check_j", energy->cross_check.value > 0 ? interval(energy->cross_check) : json_null());
    json_object_set_new(object, "held_up", number(report->held_up));
    json_object_set_new(object, "note", string(energy->note));
    for (uint32_t i = 0; i < report->profile->meter_count; i++) {
        const struct tvg_meter *meter = &report->profile->meters[i];
        json_t *entry = json_object();
        json_object_set_new(entry, "name", string(meter->name));
        json_object_set_new(entry, "boundary", string(meter->boundary));
        json_object_set_new(entry, "joules", number(meter->joules));
        json_object_set_new(entry, "seconds", number(meter->seconds));
        json_object_set_new(entry, "samples", json_integer(meter->samples));
        json_object_set_new(entry, "wraps", json_integer(meter->wraps));
        json_array_append_new(meters, entry);
    }
    json_object_set_new(object, "meters", meters);
    return object;
}

json_t *tvg_windows_json(const struct tvg_sampled *sampled)
{
    if (!(sampled->gap_seconds > 0))
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "count", json_integer(sampled->windows));
    json_object_set_new(object, "seconds", number(sampled->window_seconds));
    json_object_set_new(object, "gap_s", number(sampled->gap_seconds));
    json_object_set_new(object, "recorded_share", number(sampled->recorded_share));
    json_object_set_new(object, "error", number(sampled->error));
    json_object_set_new(object, "scaled_by", json_string(sampled->scaled_by == TVG_SAMPLED_BY_LAUNCHES ? "launches" : "time"));
    json_object_set_new(object, "missing", number(sampled->missing));
    json_object_set_new(object, "unseen_ops", json_integer(sampled->unseen_ops));
    return object;
}

static json_t *cards(const struct tvg_report *report)
{
    static const char *const pace[] = {"card", "launch", "turns"};
    const struct tvg_report_cards *from = &report->cards;
    if (!report->profile->gpu_count)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "bound_by", json_string(pace[from->verdict]));
    json_object_set_new(object, "multiprocessors", json_integer(from->multiprocessors));
    json_object_set_new(object, "span_s", number(from->span_s));
    json_object_set_new(object, "busy_s", number(from->busy_s));
    json_object_set_new(object, "working_s", number(from->working_s));
    json_object_set_new(object, "launch_gap_s", number(from->launch_gap_s));
    json_object_set_new(object, "pause_s", number(from->pause_s));
    json_object_set_new(object, "queued_gap_s", number(from->queued_gap_s));
    const struct tvg_gpu_waits *waits = &from->waits;
    json_object_set_new(object, "waits", !(waits->span > 0) ? json_null() : json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "span_s", waits->span, "host_waited_s", waits->host_waited, "both_s",
                        waits->both, "queue_full_s", waits->queue_full, "card_waited_s", waits->card_waited, "returning_s", waits->returning));
    json_object_set_new(object, "kernels", integer(from->kernels));
    json_object_set_new(object, "kernel_s", number(from->kernel_s));
    json_object_set_new(object, "caused_s", number(from->caused_s));
    json_object_set_new(object, "small_kernels", integer(from->small_kernels));
    json_object_set_new(object, "small_s", number(from->small_s));
    json_object_set_new(object, "type_confirmed", number(from->type_confirmed));
    json_object_set_new(object, "type_disagrees", number(from->type_disagrees));
    json_object_set_new(object, "windows", tvg_windows_json(&report->profile->sampled));
    return object;
}

static json_t *inference(const struct tvg_report *report)
{
    json_t *object = json_object();
    json_object_set_new(object, "energy_j", interval(report->inference));
    json_object_set_new(object, "seconds", number(report->inference_s));
    json_object_set_new(object, "per_j", report->inference.value > 0 ? number(report->unit.value / report->inference.value) : json_null());
    json_object_set_new(object, "j_per_unit", report->unit.value > 0 ? number(report->inference.value / report->unit.value) : json_null());
    set_basis(object, report->start_s > 0 ? report->energy->parts_basis : report->energy->basis);
    return object;
}

static json_t *against(const struct tvg_report *report)
{
    const struct tvg_report_against *from = &report->against;
    if (!from->path)
        return json_null();
    json_t *object = json_object();
    json_object_set_new(object, "path", path(from->path));
    json_object_set_new(object, "predicted_s", number(from->time.predicted));
    json_object_set_new(object, "actual_s", number(from->time.measured));
    json_object_set_new(object, "time_error", number(from->time.error));
    json_object_set_new(object, "op_time_error", number(from->time.op_error));
    json_object_set_new(object, "calls", integer((double)from->time.calls));
    json_object_set_new(object, "unmatched_calls", integer((double)from->time.unmatched));
    json_object_set_new(object, "predicted_j", number(from->predicted_j));
    json_object_set_new(object, "actual_j", number(from->actual_j));
    set_basis(object, from->actual_basis);
    json_object_set_new(object, "energy_error", number(from->energy_error));
    json_object_set_new(object, "unmatched_flop", number(from->unmatched_flop));
    json_object_set_new(object, "noise", number(from->time.noise));
    json_object_set_new(object, "holds", json_boolean(from->holds));
    return object;
}

static json_t *manifest(const struct tvg_report *report)
{
    const struct tvg_profile *profile = report->profile;
    json_t *object = json_object();
    for (uint32_t i = 0; i < profile->manifest_count; i++) {
        char key[256];
        json_object_set_new(object, tvg_escape(key, sizeof key, profile->manifest[i].key), string(profile->manifest[i].value));
    }
    if (!json_object_get(object, "command"))
        json_object_set_new(object, "command", string(profile->command));
    return object;
}

static void member(FILE *out, const char *key, json_t *value, bool first)
{
    fprintf(out, "%s  \"%s\": ", first ? "" : ",\n", key);
    json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT);
    json_decref(value);
}

void tvg_report_json(const struct tvg_report *report, FILE *out)
{
    fputs("{\n", out);
    member(out, "tvg", json_string(TVG_VERSION), true);
    member(out, "trace", path(report->path), false);
    member(out, "totals", totals(report, &report->totals), false);
    member(out, "inference", inference(report), false);
    member(out, "optimized", totals(report, &report->optimized), false);
    member(out, "savings", savings(report), false);
    member(out, "rewrites", rewrites(report), false);
    fputs(",\n  \"ops\": [", out);
    for (uint32_t i = 0; i < report->profile->op_count; i++) {
        json_t *entry = op(report, i);
        fputs(i ? ",\n    " : "\n    ", out);
        json_dumpf(entry, out, JSON_COMPACT);
        json_decref(entry);
    }
    fputs("]", out);
    member(out, "phases", phases(report), false);
    member(out, "steps", steps(report), false);
    member(out, "coverage", coverage(report), false);
    member(out, "pricing", pricing(report), false);
    member(out, "cards", cards(report), false);
    member(out, "devices", devices(report), false);
    member(out, "against", against(report), false);
    member(out, "manifest", manifest(report), false);
    fputs("\n}\n", out);
}
