/* What the energy is divided by: what the user said, what the program said, else what the shapes tell, else passes.
 * A pass is never called a token. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "profile_build.h"

/* In order of preference. */
static const char *const unit_kinds[] = {"output_token", "input_token", "image", "sequence", "audio_second", "request", "pass", NULL};

bool tvg_unit_kind_known(const char *kind)
{
    for (int i = 0; unit_kinds[i]; i++)
        if (strcmp(unit_kinds[i], kind) == 0)
            return true;
    return false;
}

bool tvg_unit_value_check(const char *option, double value, struct tvg_error *error)
{
    if (isfinite(value) && value > 0)
        return true;
    return tvg_fail(error, option, NULL, "give the number of units the run produced, a number above 0", "%g is no number of units", value);
}

bool tvg_unit_parse(const char *text, char kind[24], double *value, struct tvg_error *error)
{
    const char *equals = strchr(text, '=');
    char name[24], shown[64];
    snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - text) : 0, text);
    tvg_escape(shown, sizeof shown, text);
    if (!equals || equals - text >= 24 || !tvg_unit_kind_known(name))
        return tvg_fail(error, "--units", NULL, "use output_token=N, input_token=N, image=N, sequence=N, audio_second=N, request=N or pass=N",
                        "%s is not KIND=N with a known kind", shown);
    char rest;
    if (sscanf(equals + 1, "%lf%c", value, &rest) != 1)
        return tvg_fail(error, "--units", NULL, "use KIND=N, for example image=1000", "%s has no number after the =", shown);
    snprintf(kind, 24, "%s", name);
    return tvg_unit_value_check("--units", *value, error);
}

static void put(struct tvg_unit *units, uint32_t *count, const char *kind, double value, enum tvg_basis basis, const char *how)
{
    for (uint32_t i = 0; i < *count; i++)
        if (strcmp(units[i].kind, kind) == 0)
            return; /* a better basis came first */
    struct tvg_unit *unit = &units[(*count)++];
    snprintf(unit->kind, sizeof unit->kind, "%s", kind);
    snprintf(unit->how, sizeof unit->how, "%s", how);
    unit->value = value;
    unit->basis = basis;
}

static void put_mark(struct tvg_unit *units, uint32_t *count, const struct tvg_unit_mark *marks, uint32_t mark_count, const char *kind)
{
    for (uint32_t i = 0; i < mark_count; i++)
        if (marks[i].value > 0 && strcmp(marks[i].kind, kind) == 0)
            put(units, count, kind, marks[i].value, TVG_BASIS_EXACT, "marks made by the program");
}

bool tvg_units_finish(struct tvg_arena *arena, const struct tvg_profile_options *options, const struct tvg_unit_mark *marks, uint32_t mark_count,
                      const struct tvg_step_summary *summary, struct tvg_unit **out, uint32_t *count)
{
    *count = 0;
    struct tvg_unit *units = *out = tvg_arena_alloc(arena, (TVG_UNIT_MARKS_MAX + 8) * sizeof *units);
    if (!units)
        return false;
    if (options && options->unit_kind && options->unit_value > 0)
        put(units, count, options->unit_kind, options->unit_value, TVG_BASIS_GIVEN, "--units");
    if (options && options->tokens > 0)
        put(units, count, summary->encoder_steps && !summary->decode_steps ? "input_token" : "output_token", options->tokens, TVG_BASIS_GIVEN,
            "--tokens");
    for (int kind = 0; unit_kinds[kind]; kind++)
        put_mark(units, count, marks, mark_count, unit_kinds[kind]);
    if (summary->decode_steps) {
        put(units, count, "output_token", summary->decode_rows + (double)summary->prefill_steps, TVG_BASIS_INFERRED,
            summary->projection ? "rows of the output projection: one for each decode step and each prefill"
                                : "one for each decode step and each prefill");
        if (summary->prefill_rows > 0)
            put(units, count, "input_token", summary->prefill_rows, TVG_BASIS_INFERRED, "rows of the first product of the prefills");
    } else if (summary->encoder_steps) {
        put(units, count, "input_token", summary->encoder_rows, TVG_BASIS_INFERRED, "rows of the first product of a pass, padding included");
        if (summary->encoder_sequences > 0)
            put(units, count, "sequence", summary->encoder_sequences, TVG_BASIS_INFERRED, "rows over the side of the attention scores");
    }
    if (summary->steps)
        put(units, count, "pass", (double)summary->steps, TVG_BASIS_INFERRED, "repeated forward passes found in the op sequence");
    else
        put(units, count, "pass", 0, TVG_BASIS_NONE, "no repeated pass was found");
    return true;
}

void tvg_units_are_hidden(struct tvg_unit *units, uint32_t *count, const char *how)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++)
        if (units[i].basis != TVG_BASIS_INFERRED && units[i].basis != TVG_BASIS_NONE)
            units[kept++] = units[i];
    *count = kept;
    put(units, count, "pass", 0, TVG_BASIS_NONE, how);
}
