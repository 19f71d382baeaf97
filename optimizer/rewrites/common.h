/* What the rewrites share: which operand is a weight, how a changed op is re-priced, how ops are added, how calls that share an operand
 * are merged. The rules are in one place so that every rewrite refuses for the same reasons. */
#ifndef TVG_REWRITES_COMMON_H
#define TVG_REWRITES_COMMON_H

#include "../../analyzer/report/figures.h"
#include "../rewrite.h"

/* Seconds and bytes in a reason, as the report shows them; they live as long as the block they are written in. */
#define TVG_SECONDS(seconds) tvg_show_seconds((char[32]){""}, 32, seconds)
#define TVG_BYTES(bytes) tvg_show_si((char[32]){""}, 32, bytes, "B")

/* Relative error of the roofline rule on ops that change their type: -36 .. +36 % was seen for fp32 -> bf16 on an H100, rounded up. */
#define TVG_ROOFLINE_UNCERTAINTY 0.4
/* That, or more where the device file is less sure of the new type's rate: what its low end would make of the time. */
double tvg_rate_uncertainty(const struct tvg_device *device, enum tvg_type type);
/* The same when type, library and FLOP stay and only calls are joined: of 30 pairs (three sgemm against one of three times the columns, 1 to 512 rows,
 * inner dimension 384 to 2048, one and two threads, OpenBLAS 0.3.21 on a shared guest) 26 lay between -11 and +13 % of the rule. */
#define TVG_MERGE_UNCERTAINTY 0.15

enum { TVG_DISTINCT_MAX = 256 }; /* where the profile's counts of distinct addresses end */

/* Marks the rewrite refused with its reason. */
void tvg_refuse(struct tvg_rewrite_outcome *outcome, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Marks it applied: `flop` of the profile's FLOP were touched. */
void tvg_applied(struct tvg_rewrite_outcome *outcome, const struct tvg_profile *profile, double flop, double uncertainty, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The device that runs `op`: the GPU for GPU ops (NULL when none is given), else the CPU. */
const struct tvg_device *tvg_rewrite_device(const struct tvg_op *op, const struct tvg_rewrite_context *context);
/* Cores that `op` had: its thread count, at most those of the run; at least 1. */
double tvg_rewrite_cores(const struct tvg_op *op, const struct tvg_rewrite_context *context);
/* What a rewrite that rests on an assumption begins with: its value in *value (NAME=ARG on the rewrite counts first) and the weights as tvg_weight_operands
 * gives them. NULL: refused, for want of a value or of memory, or because the value is out of its range. */
char *tvg_assumed_weights(const struct tvg_rewrite *rewrite, const struct tvg_profile *profile, const struct tvg_rewrite_context *context, double *value,
                          struct tvg_rewrite_outcome *outcome);

/* Is it a dense product whose FLOP come from its shape: gemm or gemv of real types? */
bool tvg_is_product(const struct tvg_op *op);
/* Which operand of each op is a weight, as far as addresses and shapes tell: 'a', 'b', or 0 when it can't be told or both are activations. A weight
 * comes back to its addresses (at most one in two calls finds a new one, taken over all numbers of rows that its shape is seen with), was
 * never written by a recorded op, lies where weights lie (B row-major, A column-major and in gemv), is no member of a strided batch, and
 * its shape does not follow the rows of the other operand (m == n or m == k is what attention looks like, unless the same weight shape is
 * seen with another m). 0 too for what is no product. Taken before a transform changes the ops that tell of each other. To be freed; NULL when
 * memory ran out, the outcome then says so. */
char *tvg_weight_operands(const struct tvg_profile *profile, struct tvg_rewrite_outcome *outcome);

/* Why products were left alone, counted by the rewrites that change their types. */
struct tvg_left_alone {
    uint64_t products, activations, no_flag, no_rate;
};
/* Is it a product of two operands of one floating type of 16 or 32 bits, and called? */
bool tvg_is_floating_product(const struct tvg_op_stat *stat);
/* Counts a product. True when it can be computed in `to`: `proven`, its weight, or that it needs none; the CPU has what it takes (`has` as tvg_cpu_has says); the device
 * has a rate and an energy for the type. */
bool tvg_may_become(struct tvg_left_alone *left, const struct tvg_op *op, bool proven, int has, enum tvg_type to, const struct tvg_rewrite_context *context);
/* Refuses for the first reason there is; `product`: what was looked for, "fp32 product". No product at all (`none`), the CPU, the device's rate, weights that are not proven. */
void tvg_refuse_left(struct tvg_rewrite_outcome *outcome, const struct tvg_left_alone *left, const char *product, const char *none, const char *cpu_lacks, const char *type);

/* Seconds of one call of `op` by roofline, never below the device's shortest call; 0 when the device has no rate for its type. */
double tvg_modelled_seconds(const struct tvg_op *op, const struct tvg_rewrite_context *context);
/* Turns `stat` into `op` with the same calls: counts FLOP and bytes anew and scales the measured time by the roofline's ratio,
 * t_new = f + (t - f) roofline(new)/roofline(old), f the shortest call. The new time may be longer. False (and no change) when the
 * device can't price one of the two. */
bool tvg_reprice(struct tvg_op_stat *stat, const struct tvg_op *op, const struct tvg_rewrite_context *context);
/* Appends an op that was never measured, with `count` calls at the modelled time. May move profile->ops. False when memory ran out or the
 * device has no rate for it. */
bool tvg_rewrite_add_op(struct tvg_profile *profile, const struct tvg_op *op, uint64_t count, const struct tvg_rewrite_context *context);
/* The same for an op that is launched behind each call of op `index`, or in its place: on a GPU the replay needs to know where. */
bool tvg_rewrite_add_op_behind(struct tvg_profile *profile, const struct tvg_op *op, uint64_t count, const struct tvg_rewrite_context *context, uint32_t index);
/* A pass over `elements` that reads type `from` and writes type `to`, `flop_each` operations an element. */
struct tvg_op tvg_pass_op(const struct tvg_op *like, enum tvg_kind kind, const char *name, double elements, enum tvg_type from, enum tvg_type to,
                          double flop_each);
/* Multiplies all times of a stat. */
void tvg_scale_time(struct tvg_op_stat *stat, double factor);

/* Joins the calls of groups that share an operand: an activation (shared_weight false: QKV, gate and up) or a weight (true: one call for
 * several inputs). Refuses with the reason that most groups had. */
void tvg_merge_calls(struct tvg_profile *profile, const struct tvg_rewrite_context *context, struct tvg_rewrite_outcome *outcome, bool shared_weight);

/* Does the CPU of the trace have one of the `flags` ("avx512_bf16", NULL-terminated list)? 1 yes, 0 no, -1 the trace does not say. */
int tvg_cpu_has(const struct tvg_profile *profile, const char *const *flags);

#endif
