/* Shared rules of the rewrites: what is a weight, how a changed op is priced. */
#include "common.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(struct tvg_rewrite_outcome *outcome, const char *format, va_list list)
{
    vsnprintf(outcome->reason, sizeof outcome->reason, format, list);
}

void tvg_refuse(struct tvg_rewrite_outcome *outcome, const char *format, ...)
{
    va_list list;
    memset(outcome, 0, sizeof *outcome);
    va_start(list, format);
    say(outcome, format, list);
    va_end(list);
}

void tvg_applied(struct tvg_rewrite_outcome *outcome, const struct tvg_profile *profile, double flop, double uncertainty, const char *format, ...)
{
    va_list list;
    memset(outcome, 0, sizeof *outcome);
    outcome->applied = true;
    outcome->covered_flop = profile->flop > 0 ? fmin(1, flop / profile->flop) : 0;
    outcome->time_uncertainty = uncertainty;
    va_start(list, format);
    say(outcome, format, list);
    va_end(list);
}

const struct tvg_device *tvg_rewrite_device(const struct tvg_op *op, const struct tvg_rewrite_context *context)
{
    return op->on_gpu ? context->gpu : context->device;
}

double tvg_rewrite_cores(const struct tvg_op *op, const struct tvg_rewrite_context *context)
{
    double all = context->cores ? (double)context->cores : 1;
    return op->threads ? fmin(op->threads, all) : all;
}

double tvg_rate_uncertainty(const struct tvg_device *device, enum tvg_type type)
{
    struct tvg_interval rate = device->peak[type].value;
    return fmax(TVG_ROOFLINE_UNCERTAINTY, rate.low > 0 ? rate.value / rate.low - 1 : 3);
}

bool tvg_is_product(const struct tvg_op *op)
{
    return (op->kind == TVG_KIND_GEMM || op->kind == TVG_KIND_GEMV) && op->flop > 0 && !(op->flags & TVG_OP_FLOP_GIVEN) &&
           !tvg_type_info(op->type_a)->is_complex;
}

/* Do calls of the same weight shape come back to the same addresses? `distinct` of `count` calls did. */
static bool reused(uint64_t distinct, uint64_t written, uint64_t count)
{
    return distinct > 0 && distinct < TVG_DISTINCT_MAX && written == 0 && distinct <= count / 2;
}

/* Entries with the same weight shape, whatever the rows of the other operand, taken together. */
struct kin {
    const struct tvg_op *op; /* the first of them; NULL: an empty place of the table */
    uint64_t count, distinct, written; /* distinct: the most of one entry, which is the least there can be of all */
    bool other_rows;                   /* one has another number of rows: the weight's shape does not follow them */
};

/* Activations come first in the caller's own order of storage: x W row-major is W' x' column-major, and a matrix-vector call's matrix is A. */
static bool weight_in_b(const struct tvg_op *op)
{
    return op->kind != TVG_KIND_GEMV && op->flags & TVG_OP_ROW_MAJOR;
}

static bool are_kin(const struct tvg_op *a, const struct tvg_op *b)
{
    const uint32_t layout = TVG_OP_TRANS_A | TVG_OP_TRANS_B | TVG_OP_ROW_MAJOR;
    return a->kind == b->kind && a->k == b->k && a->type_a == b->type_a && a->type_b == b->type_b && (a->flags & layout) == (b->flags & layout) &&
           (a->batch > 1) == (b->batch > 1) && (weight_in_b(a) ? a->n == b->n : a->m == b->m);
}

/* The place of `op`'s kin in a table of a power of two places with room to spare. */
static struct kin *kin_of(struct kin *table, size_t places, const struct tvg_op *op)
{
    uint64_t hash = ((uint64_t)op->k * 0x9e3779b97f4a7c15u + (uint64_t)(weight_in_b(op) ? op->n : op->m)) * 0xff51afd7ed558ccdu;
    size_t place = (size_t)(hash >> 20) & (places - 1);
    while (table[place].op && !are_kin(table[place].op, op))
        place = (place + 1) & (places - 1);
    return &table[place];
}

static char weight_operand(const struct tvg_op_stat *stat, const struct kin *kin)
{
    const struct tvg_op *op = &stat->op;
    bool in_b = weight_in_b(op);
    uint64_t distinct = in_b ? stat->b_distinct : stat->a_distinct, written = in_b ? stat->b_written : stat->a_written;
    int64_t rows = in_b ? op->m : op->n;
    if (op->batch > 1 && !((op->flags & TVG_OP_BATCH_STRIDED) && (in_b ? op->stride_b : op->stride_a) == 0))
        return 0; /* a member of its own for each: no weight; one for all may be */
    bool follows = op->kind != TVG_KIND_GEMV && (rows == (in_b ? op->n : op->m) || rows == op->k);
    bool of_itself = reused(distinct, written, stat->count) && !follows;
    bool of_kin = op->kind != TVG_KIND_GEMV && distinct && distinct < TVG_DISTINCT_MAX && !written && kin->other_rows &&
                  reused(kin->distinct, kin->written, kin->count);
    return of_itself || of_kin ? (in_b ? 'b' : 'a') : 0;
}

char *tvg_weight_operands(const struct tvg_profile *profile, struct tvg_rewrite_outcome *outcome)
{
    size_t places = 16;
    while (places < 2 * (size_t)profile->op_count)
        places *= 2;
    char *weights = calloc(profile->op_count + 1u, 1);
    struct kin *table = calloc(places, sizeof *table);
    if (!weights || !table) {
        free(weights);
        free(table);
        tvg_refuse(outcome, "out of memory");
        return NULL;
    }
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < profile->op_count; i++) {
            const struct tvg_op_stat *stat = &profile->ops[i];
            const struct tvg_op *op = &stat->op;
            if (!tvg_is_product(op) || !stat->count)
                continue;
            struct kin *kin = kin_of(table, places, op);
            if (pass) {
                weights[i] = weight_operand(stat, kin);
                continue;
            }
            bool in_b = weight_in_b(op);
            uint64_t distinct = in_b ? stat->b_distinct : stat->a_distinct;
            if (!kin->op)
                kin->op = op;
            kin->count += stat->count;
            kin->written += in_b ? stat->b_written : stat->a_written;
            kin->distinct = distinct > kin->distinct ? distinct : kin->distinct;
            kin->other_rows |= in_b ? kin->op->m != op->m : kin->op->n != op->n;
        }
    free(table);
    return weights;
}

bool tvg_is_floating_product(const struct tvg_op_stat *stat)
{
    enum tvg_type type = stat->op.type_a;
    return tvg_is_product(&stat->op) && stat->count && stat->op.type_b == type && (type == TVG_TYPE_F32 || type == TVG_TYPE_F16 || type == TVG_TYPE_BF16);
}

bool tvg_may_become(struct tvg_left_alone *left, const struct tvg_op *op, bool proven, int has, enum tvg_type to, const struct tvg_rewrite_context *context)
{
    const struct tvg_device *device = tvg_rewrite_device(op, context);
    bool lacks = !op->on_gpu && has == 0, rated = device && device->peak[to].known && device->flop[to].known;
    left->products++;
    left->activations += !proven;
    left->no_flag += proven && lacks;
    left->no_rate += proven && !lacks && !rated;
    return proven && !lacks && rated;
}

void tvg_refuse_left(struct tvg_rewrite_outcome *outcome, const struct tvg_left_alone *left, const char *product, const char *none, const char *cpu_lacks, const char *type)
{
    if (!left->products)
        tvg_refuse(outcome, "%s", none);
    else if (left->no_flag)
        tvg_refuse(outcome, "%s", cpu_lacks);
    else if (left->no_rate)
        tvg_refuse(outcome, "the device file has no %s rate: not known to compute it", type);
    else
        tvg_refuse(outcome, "no %s has a proven weight (%llu shapes): its addresses must come back; record two passes or more", product, (unsigned long long)left->activations);
}

static bool assumed(const struct tvg_rewrite *rewrite, const struct tvg_rewrite_context *context, double *value)
{
    if (context->argument) { /* tvg_rewrite_accepts saw that it is a number */
        *value = strtod(context->argument, NULL);
        return true;
    }
    for (uint32_t i = 0; i < context->assumption_count; i++)
        if (strcmp(context->assumptions[i].name, rewrite->assumption) == 0) {
            *value = context->assumptions[i].value;
            return true;
        }
    return false;
}

char *tvg_assumed_weights(const struct tvg_rewrite *rewrite, const struct tvg_profile *profile, const struct tvg_rewrite_context *context, double *value,
                          struct tvg_rewrite_outcome *outcome)
{
    char why[128];
    if (!assumed(rewrite, context, value))
        tvg_refuse(outcome, "needs %s", rewrite->assumption_asks);
    else if (!tvg_assumption_accepts(rewrite, *value, why, sizeof why))
        tvg_refuse(outcome, "%s", why);
    else
        return tvg_weight_operands(profile, outcome);
    return NULL;
}

double tvg_modelled_seconds(const struct tvg_op *op, const struct tvg_rewrite_context *context)
{
    const struct tvg_device *device = tvg_rewrite_device(op, context);
    if (!device || !device->bandwidth.known || (op->flop > 0 && (op->type_compute >= TVG_TYPE_COUNT || !device->peak[op->type_compute].known)))
        return 0;
    double seconds = tvg_roofline_seconds(op, device, tvg_rewrite_cores(op, context));
    if (!isfinite(seconds) || seconds <= 0)
        return 0;
    return fmax(seconds, device->launch_floor.known ? device->launch_floor.value.value : 0);
}

void tvg_scale_time(struct tvg_op_stat *stat, double factor)
{
    stat->seconds *= factor;
    stat->seconds_first *= factor;
    stat->seconds_min *= factor;
    stat->seconds_max *= factor;
    for (int i = 0; i < 6; i++)
        stat->seconds_by_phase[i] *= factor;
}

bool tvg_reprice(struct tvg_op_stat *stat, const struct tvg_op *op, const struct tvg_rewrite_context *context)
{
    struct tvg_op changed = *op;
    tvg_op_count(&changed);
    double old_seconds = tvg_modelled_seconds(&stat->op, context), new_seconds = tvg_modelled_seconds(&changed, context);
    if (old_seconds <= 0 || new_seconds <= 0)
        return false;
    if (stat->count && stat->seconds > 0) {
        const struct tvg_device *device = tvg_rewrite_device(op, context);
        double mean = stat->seconds / (double)stat->count, floor = fmin(mean, device->launch_floor.known ? device->launch_floor.value.value : 0);
        tvg_scale_time(stat, (floor + (mean - floor) * new_seconds / old_seconds) / mean);
    }
    stat->op = changed;
    return true;
}

bool tvg_rewrite_add_op(struct tvg_profile *profile, const struct tvg_op *op, uint64_t count, const struct tvg_rewrite_context *context)
{
    struct tvg_op counted = *op;
    tvg_op_count(&counted);
    double each = tvg_modelled_seconds(&counted, context);
    if (each <= 0)
        return false;
    struct tvg_op_stat *grown = realloc(profile->ops, (profile->op_count + 1) * sizeof *grown);
    if (!grown)
        return false;
    profile->ops = grown;
    struct tvg_op_stat *stat = &grown[profile->op_count++];
    memset(stat, 0, sizeof *stat);
    stat->op = counted;
    stat->count = count;
    stat->seconds = each * (double)count;
    stat->seconds_first = stat->seconds_min = stat->seconds_max = each;
    stat->energy_scale = 1;
    return true;
}

bool tvg_rewrite_add_op_behind(struct tvg_profile *profile, const struct tvg_op *op, uint64_t count, const struct tvg_rewrite_context *context, uint32_t index)
{
    if (!tvg_rewrite_add_op(profile, op, count, context))
        return false;
    profile->ops[profile->op_count - 1].follows = index + 1;
    return true;
}

struct tvg_op tvg_pass_op(const struct tvg_op *like, enum tvg_kind kind, const char *name, double elements, enum tvg_type from, enum tvg_type to,
                          double flop_each)
{
    struct tvg_op pass = {.library = like->library, .function = name, .kind = (uint16_t)kind, .type_a = (uint8_t)from, .type_c = (uint8_t)to,
                          .type_compute = TVG_TYPE_F32, .on_gpu = like->on_gpu, .device = like->device, .threads = like->threads,
                          .flags = TVG_OP_FLOP_GIVEN | TVG_OP_BETA_ZERO, .dim_count = 1};
    pass.dim[0] = (int64_t)elements;
    pass.flop = (uint64_t)(elements * flop_each);
    pass.bytes_a = tvg_type_bytes(from, (uint64_t)elements);
    pass.bytes_c = tvg_type_bytes(to, (uint64_t)elements);
    pass.bytes = pass.bytes_a + pass.bytes_c;
    return pass;
}

int tvg_cpu_has(const struct tvg_profile *profile, const char *const *flags)
{
    static const char *const keys[] = {"cpu_extensions", "cpu.flags", "cpu_flags", NULL};
    const char *text = NULL;
    for (uint32_t i = 0; i < profile->manifest_count && !text; i++)
        for (const char *const *key = keys; *key && !text; key++)
            if (profile->manifest[i].key && strcmp(profile->manifest[i].key, *key) == 0 && profile->manifest[i].value && *profile->manifest[i].value)
                text = profile->manifest[i].value;
    if (!text)
        return -1;
    for (; *flags; flags++) {
        size_t length = strlen(*flags);
        for (const char *at = text; (at = strstr(at, *flags)); at += length)
            if ((at == text || at[-1] == ' ' || at[-1] == ',') && (at[length] == '\0' || at[length] == ' ' || at[length] == ','))
                return 1;
    }
    return 0;
}
