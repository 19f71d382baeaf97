/* A device with round coefficients and profiles made by hand, for the tests of the rewrites and of the replay. */
#ifndef TVG_REWRITE_FIXTURE_H
#define TVG_REWRITE_FIXTURE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "optimizer/rewrite.h"

/* One core: fp32 100 GFLOP/s at 10 pJ, bf16 200 at 5, int8 400 at 2, int4 none; 10 GB/s at 100 pJ a byte; floor 10 W; shortest call 1 us; a
 * busy core next to nothing, so that FLOP and bytes alone decide. Low ends are half, high ends twice the value;
 * rates are surer: 0.8. */
static struct tvg_device *fixture_device(const char *kind)
{
    static const struct { const char *use, *type, *unit, *per; double value; } rows[] = {
        {"flop", "f32", "pJ", "FLOP", 10}, {"flop", "bf16", "pJ", "FLOP", 5}, {"flop", "i8", "pJ", "OP", 2}, {"flop", "f16", "pJ", "FLOP", 5},
        {"peak", "f32", "GFLOP", "second", 100}, {"peak", "bf16", "GFLOP", "second", 200}, {"peak", "i8", "GOP", "second", 400}, {"peak", "f16", "GFLOP", "second", 200},
        {"byte_memory", NULL, "pJ", "byte", 100}, {"bandwidth", NULL, "GB", "second", 10}, {"floor", NULL, "W", "device", 10},
        {"awake", NULL, "W", "device", 20}, {"kernel_tensor", NULL, "W", "device", 5}, {"kernel_fma", NULL, "W", "device", 5},
        {"kernel_other", NULL, "W", "device", 5}, {"core_active", NULL, "mW", "core", 1}, {"launch_floor", NULL, "us", "call", 1}};
    char text[16384];
    bool gpu = strcmp(kind, "gpu") == 0;
    size_t used = (size_t)snprintf(text, sizeof text, "{\"schema\":\"tvg-device-1\",\"name\":\"test\",\"title\":\"test\",\"kind\":\"%s\",%s\"rows\":[", kind,
                                   gpu ? "\"multiprocessors\":1," : "\"arch\":\"x86-64\",\"cores\":1,");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "%s{\"use\":\"%s\",%s%s%s\"value\":%g,\"low\":%g,\"high\":%g,\"unit\":\"%s\",\"denominator\":\"%s\",\"boundary\":\"package\","
                                 "\"includes\":\"x\",\"data_pattern\":\"x\",\"node\":\"x\",\"device\":\"x\",\"clock\":\"x\",\"instrument\":\"x\",\"samples\":1,"
                                 "\"uncertainty\":\"x\",\"source\":\"made up\",\"tag\":\"measured\"}",
                                 i ? "," : "", rows[i].use, rows[i].type ? "\"type\":\"" : "", rows[i].type ? rows[i].type : "", rows[i].type ? "\"," : "",
                                 rows[i].value, rows[i].value / (strcmp(rows[i].use, "peak") ? 2 : 1.25), rows[i].value * 2, rows[i].unit, rows[i].per);
    snprintf(text + used, sizeof text - used, "]}");
    struct tvg_device *device;
    struct tvg_error error;
    if (!tvg_device_parse(&device, text, strlen(text), "fixture", &error))
        fail_msg("%s", error.message);
    return device;
}

struct fixture {
    struct tvg_profile profile;
    struct tvg_op_stat ops[16];
    struct tvg_group groups[8];
    struct tvg_pair pairs[4];
    struct tvg_device *device, *gpu;
    struct tvg_rewrite_context context;
    struct tvg_energy *energy;
};

__attribute__((unused)) static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->device = fixture_device("cpu");
    f->gpu = fixture_device("gpu");
    f->profile.ops = f->ops;
    f->profile.groups = f->groups;
    f->profile.manifest = f->pairs;
    f->profile.cpus_online = f->profile.cpus_allowed = f->profile.cores_physical = 1;
    f->profile.threads = f->profile.processes = 1;
    f->context = (struct tvg_rewrite_context){.device = f->device, .gpu = f->gpu, .cores = 1};
    return f;
}

__attribute__((unused)) static void fixture_free(struct fixture *f)
{
    tvg_energy_free(f->energy);
    tvg_device_free(f->device);
    tvg_device_free(f->gpu);
    free(f);
}

/* A row-major fp32 product (m,k)(k,n) with a weight in B, written once: `count` calls of `mean` seconds. */
__attribute__((unused)) static struct tvg_op_stat *fixture_gemm(struct fixture *f, int64_t m, int64_t n, int64_t k, uint64_t count, double mean)
{
    struct tvg_op_stat *stat = &f->ops[f->profile.op_count++];
    stat->op = (struct tvg_op){.library = "libtest.so", .function = "cblas_sgemm", .kind = TVG_KIND_GEMM, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32,
                               .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO, .device = -1, .threads = 1,
                               .m = m, .n = n, .k = k, .lda = k, .ldb = n, .ldc = n};
    tvg_op_count(&stat->op);
    stat->count = count;
    stat->seconds = mean * (double)count;
    stat->seconds_min = stat->seconds_max = stat->seconds_first = mean;
    stat->a_distinct = count; /* never the same activation buffer */
    stat->b_distinct = 2;
    stat->energy_scale = 1;
    return stat;
}

/* Sums the totals, with `host` seconds beside the ops, and prices. */
__attribute__((unused)) static void fixture_price(struct fixture *f, double host)
{
    struct tvg_profile *p = &f->profile;
    struct tvg_error error;
    for (uint32_t i = 0; i < p->op_count; i++) {
        p->total_ops += f->ops[i].count;
        p->flop += (double)f->ops[i].op.flop * (double)f->ops[i].count;
        p->bytes += (double)f->ops[i].op.bytes * (double)f->ops[i].count;
        p->op_seconds += f->ops[i].seconds;
    }
    p->op_wall_seconds = p->op_seconds;
    p->wall_seconds = p->cpu_seconds = p->op_seconds + host;
    tvg_energy_free(f->energy);
    if (!tvg_energy_price(&f->energy, p, f->device, f->gpu, TVG_CHARGE_EXCLUSIVE, &error))
        fail_msg("%s", error.message);
}

__attribute__((unused)) static struct tvg_replay fixture_run(struct fixture *f, const char *name)
{
    const struct tvg_rewrite *rewrite = tvg_rewrite_find(name);
    struct tvg_replay replay;
    struct tvg_error error;
    assert_non_null(rewrite);
    if (!tvg_replay_run(&replay, &rewrite, 1, &f->profile, f->energy, &f->context, &error))
        fail_msg("%s", error.message);
    return replay;
}

__attribute__((unused)) static void near(double got, double wanted, double relative)
{
    if (!(fabs(got - wanted) <= relative * fabs(wanted)))
        fail_msg("%.9g is not %.9g", got, wanted);
}

__attribute__((unused)) static void refused(const struct tvg_replay *replay, const struct fixture *f, const char *because)
{
    if (replay->outcome.applied || !strstr(replay->outcome.reason, because))
        fail_msg("%s: %s", replay->outcome.applied ? "applied" : "refused", replay->outcome.reason);
    assert_true(replay->seconds == f->profile.wall_seconds); /* nothing moved, exactly */
    assert_true(replay->energy.value == f->energy->total.value && replay->saved_work.value == 0 && replay->saved_rate.high == 0);
}

__attribute__((unused)) static void applied(const struct tvg_replay *replay)
{
    if (!replay->outcome.applied)
        fail_msg("refused: %s", replay->outcome.reason);
}

#endif
