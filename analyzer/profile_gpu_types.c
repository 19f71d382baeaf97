/* The compute type of library calls on a GPU, confirmed by the kernels that ran: a call that says fp32 may have been allowed TF32 by a mode that
 * the call does not show. What ran is what counts from here on; where the two differ a coverage note says so. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "profile_build.h"

struct disagreement {
    const char *function;
    uint8_t called, ran;
    uint64_t shapes, calls;
    double flop;
};
enum { KINDS_MAX = 32 };

/* The operand type in which most of an op's product time was spent; TVG_TYPE_NONE: no name told. */
static void types_that_ran(const struct tvg_profile *profile, uint8_t *ran)
{
    float (*seconds)[TVG_TYPE_COUNT] = calloc(profile->op_count + 1u, sizeof *seconds);
    if (!seconds)
        return; /* the calls' own types stay */
    for (uint32_t i = 0; i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        if (at->cause != UINT32_MAX && at->traits.compute != TVG_TYPE_NONE)
            seconds[at->cause][at->traits.compute] += (float)at->seconds;
    }
    for (uint32_t i = 0; i < profile->op_count; i++)
        for (unsigned type = 1; type < TVG_TYPE_COUNT; type++)
            if (seconds[i][type] > seconds[i][ran[i]])
                ran[i] = (uint8_t)type;
    free(seconds);
}

/* Two names of one thing: fp8 kernels are named after one of their two operands' types. */
static bool agree(unsigned called, unsigned ran)
{
    bool called_f8 = called == TVG_TYPE_F8_E4M3 || called == TVG_TYPE_F8_E5M2, ran_f8 = ran == TVG_TYPE_F8_E4M3 || ran == TVG_TYPE_F8_E5M2;
    return called == ran || (called_f8 && ran_f8);
}

/* The call's accumulator is fp32 for 16- and 8-bit operands: a product in f16 is then what the call asked for, not a disagreement. */
static unsigned asked_type(const struct tvg_op *op)
{
    bool narrow = tvg_type_bytes(op->type_a, 4) < 16 && op->type_a == op->type_b && op->type_a != TVG_TYPE_NONE;
    return op->type_compute == TVG_TYPE_F32 && narrow ? op->type_a : op->type_compute;
}

static bool add_notes(struct tvg_profile *profile, struct tvg_arena *arena, const struct disagreement *list, uint32_t count)
{
    struct tvg_coverage_note *notes = tvg_arena_alloc(arena, (profile->note_count + count) * sizeof *notes);
    if (!notes)
        return false;
    if (profile->note_count)
        memcpy(notes, profile->notes, profile->note_count * sizeof *notes);
    profile->notes = notes;
    for (uint32_t i = 0; i < count; i++) {
        const struct disagreement *at = &list[i];
        char detail[160];
        snprintf(detail, sizeof detail, "%llu calls of %llu shapes say %s, the kernels that ran multiply in %s: figures follow the kernels", (unsigned long long)at->calls,
                 (unsigned long long)at->shapes, tvg_type_info(at->called)->name, tvg_type_info(at->ran)->name);
        struct tvg_coverage_note *note = &notes[profile->note_count];
        note->what = tvg_arena_string(arena, "compute-type", 12);
        note->subject = tvg_arena_string(arena, at->function, strlen(at->function));
        note->detail = tvg_arena_string(arena, detail, strlen(detail));
        note->count = 1;
        if (!note->what || !note->subject || !note->detail)
            return false;
        profile->note_count++;
    }
    return true;
}

bool tvg_gpu_confirm_types(struct tvg_profile *profile, struct tvg_arena *arena)
{
    struct disagreement list[KINDS_MAX];
    uint32_t count = 0;
    uint8_t *ran = calloc(profile->op_count + 1u, 1);
    if (!ran)
        return false;
    types_that_ran(profile, ran);
    for (uint32_t i = 0; i < profile->op_count; i++) {
        struct tvg_op_stat *stat = &profile->ops[i];
        unsigned called = asked_type(&stat->op);
        if (!stat->op.on_gpu || !stat->op.flop || ran[i] == TVG_TYPE_NONE || tvg_type_info(called)->is_complex)
            continue;
        stat->type_called = stat->op.type_compute;
        stat->type_confirmed = true;
        stat->op.type_compute = ran[i];
        if (agree(called, ran[i]))
            continue;
        double flop = (double)stat->op.flop * (double)stat->count;
        stat->type_disagrees = true;
        const char *function = stat->op.function ? stat->op.function : "?";
        uint32_t at = 0;
        while (at < count && (list[at].called != called || list[at].ran != ran[i] || strcmp(list[at].function, function) != 0))
            at++;
        if (at == KINDS_MAX)
            continue;
        if (at == count)
            list[count++] = (struct disagreement){.function = function, .called = (uint8_t)called, .ran = ran[i]};
        list[at].shapes++;
        list[at].calls += stat->count;
        list[at].flop += flop;
    }
    free(ran);
    return count == 0 || add_notes(profile, arena, list, count);
}
