/* Pricing by hand-made profiles and devices: the identity, the fit to a meter, intervals, who pays the floor. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "analyzer/energy.h"

static struct tvg_coefficient known(double value, double low, double high, enum tvg_basis basis)
{
    return (struct tvg_coefficient){.known = true, .value = {value, low, high}, .basis = basis, .boundary = "package"};
}

/* 64 cores, 100 W floor, 2 W a core (0.05 at least), 10 pJ/FLOP f32, 50 pJ/byte, 4 TFLOP/s, 200 GB/s. */
static struct tvg_device device_of(enum tvg_basis basis)
{
    struct tvg_device device = {.name = (char *)"test", .title = (char *)"test", .kind = (char *)"cpu", .cores = 64};
    device.floor = known(100, 80, 130, basis);
    device.core_active = known(2, 0.05, 4, basis);
    device.flop[TVG_TYPE_F32] = known(10e-12, 5e-12, 20e-12, basis);
    device.flop[TVG_TYPE_F64] = known(20e-12, 10e-12, 40e-12, basis);
    device.byte_memory = known(50e-12, 25e-12, 100e-12, basis);
    device.peak[TVG_TYPE_F32] = known(4e12, 4e12, 4e12, basis);
    device.bandwidth = known(200e9, 180e9, 220e9, basis);
    device.bandwidth_core = known(20e9, 15e9, 25e9, basis);
    device.fma_256 = known(1e-9, 0.5e-9, 2e-9, basis);
    device.load = known(2e-10, 1e-10, 3e-10, basis);
    device.store = known(2e-10, 1e-10, 3e-10, basis);
    return device;
}

static struct tvg_op_stat gemm(int64_t m, int64_t n, int64_t k, uint64_t count, double seconds)
{
    struct tvg_op_stat stat = {.op = {.kind = TVG_KIND_GEMM, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32,
                                      .type_compute = TVG_TYPE_F32, .m = m, .n = n, .k = k, .threads = 1, .device = -1},
                               .count = count, .seconds = seconds, .seconds_min = count ? seconds / (double)count : 0, .energy_scale = 1};
    stat.op.flop = 2ull * (uint64_t)(m * n * k);
    stat.op.bytes_a = 4ull * (uint64_t)(m * k);
    stat.op.bytes_b = 4ull * (uint64_t)(k * n);
    stat.op.bytes_c = 4ull * (uint64_t)(m * n);
    stat.op.bytes = stat.op.bytes_a + stat.op.bytes_b + stat.op.bytes_c;
    return stat;
}

static struct tvg_op_stat two_ops[2];
static struct tvg_meter meters[3];

/* 1000 calls of 256^3 and 10 of 1024^3 within 10 s of wall time, 12 CPU seconds, on 8 of 8 CPUs of a virtual machine. */
static struct tvg_profile profile_of(void)
{
    two_ops[0] = gemm(256, 256, 256, 1000, 1.0);
    two_ops[1] = gemm(1024, 1024, 1024, 10, 2.0);
    return (struct tvg_profile){.ops = two_ops, .op_count = 2, .total_ops = 1010, .wall_seconds = 10, .cpu_seconds = 12, .op_seconds = 3,
                                .op_wall_seconds = 3, .cpus_online = 8, .cpus_allowed = 8, .cores_physical = 8};
}

static double sum(const struct tvg_energy *energy, const struct tvg_profile *profile)
{
    double joules = energy->idle.value + energy->other.value;
    for (uint32_t i = 0; i < profile->op_count; i++)
        joules += energy->per_op[i].value;
    return joules;
}

static void ordered(struct tvg_interval interval)
{
    assert_true(interval.low <= interval.value && interval.value <= interval.high);
}

static void close_to(double actual, double expected)
{
    if (fabs(actual - expected) > 1e-9 * fmax(fabs(expected), 1e-12))
        fail_msg("%.17g is not %.17g", actual, expected);
}

static void test_without_a_meter(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy;
    struct tvg_error error;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_EXCLUSIVE, &error));
    double flop = 1000.0 * 2 * 256 * 256 * 256 + 10.0 * 2 * 1024 * 1024 * 1024, bytes = 1000.0 * 3 * 4 * 65536 + 10.0 * 3 * 4 * 1048576;
    close_to(energy->ops.value, flop * 10e-12 + bytes * 50e-12);
    close_to(energy->ops.low, flop * 5e-12 + bytes * 25e-12);
    close_to(energy->idle.value, 1000);
    close_to(energy->other.value, 2 * (12 - 3));
    close_to(energy->total.value, sum(energy, &profile));
    close_to(energy->total.high, 1300 + energy->ops.high + 4 * 9);
    ordered(energy->total);
    assert_int_equal(energy->basis, TVG_BASIS_MODELLED);
    assert_string_equal(energy->boundary, "package");
    close_to(energy->meter_scale, 1);
    tvg_energy_free(energy);
}

static void test_a_guess_or_an_estimated_row_makes_it_estimated(void **state)
{
    (void)state;
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy;
    struct tvg_error error;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    device.guessed = true;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_AUTO, &error));
    assert_int_equal(energy->basis, TVG_BASIS_ESTIMATED);
    tvg_energy_free(energy);
    device = device_of(TVG_BASIS_MODELLED);
    device.flop[TVG_TYPE_F32].basis = TVG_BASIS_ESTIMATED;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_AUTO, &error));
    assert_int_equal(energy->basis, TVG_BASIS_ESTIMATED);
    tvg_energy_free(energy);
}

static void test_who_pays_the_floor(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy;
    struct tvg_error error;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_AUTO, &error));
    assert_int_equal(energy->charge, TVG_CHARGE_SHARE);
    close_to(energy->idle.value, 1000.0 * 8 / 64);
    close_to(energy->idle.low, 800.0 * 4 / 64); /* a CPU of a virtual machine may be half a core */
    close_to(energy->total.value, sum(energy, &profile));
    tvg_energy_free(energy);
    profile.cores_physical = 4; /* SMT is visible: 8 CPUs are 4 cores for sure */
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_SHARE, &error));
    close_to(energy->idle.value, 1000.0 * 4 / 64);
    close_to(energy->idle.low, 800.0 * 4 / 64);
    tvg_energy_free(energy);
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_NONE, &error));
    close_to(energy->idle.value, 0);
    tvg_energy_free(energy);
    profile.cpus_online = profile.cpus_allowed = profile.cores_physical = 128; /* two packages */
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_EXCLUSIVE, &error));
    close_to(energy->idle.value, 2000);
    tvg_energy_free(energy);
}

static struct tvg_energy *metered(struct tvg_profile *profile, double joules, double seconds, enum tvg_charge charge)
{
    static struct tvg_device device;
    struct tvg_energy *energy;
    struct tvg_error error;
    device = device_of(TVG_BASIS_ESTIMATED);
    meters[0] = (struct tvg_meter){.name = "package-0", .boundary = "package", .joules = joules * 0.75, .seconds = seconds, .samples = 20};
    meters[1] = (struct tvg_meter){.name = "dram-0", .boundary = "dram", .joules = joules * 0.25, .seconds = seconds, .samples = 20};
    meters[2] = (struct tvg_meter){.name = "psys", .boundary = "platform", .joules = 1e6, .seconds = seconds, .samples = 20};
    profile->meters = meters;
    profile->meter_count = 3;
    assert_true(tvg_energy_price(&energy, profile, &device, NULL, charge, &error));
    return energy;
}

static void test_a_meter_is_the_total_and_scales_the_model(void **state)
{
    (void)state;
    struct tvg_profile profile = profile_of();
    double flop = 1000.0 * 2 * 256 * 256 * 256 + 10.0 * 2 * 1024 * 1024 * 1024, bytes = 1000.0 * 3 * 4 * 65536 + 10.0 * 3 * 4 * 1048576;
    double ops = flop * 10e-12 + bytes * 50e-12, modelled = 1000 + 18 + ops;
    struct tvg_energy *energy = metered(&profile, modelled + 0.1 * ops, 10, TVG_CHARGE_AUTO);
    close_to(energy->total.value, modelled + 0.1 * ops);
    close_to(energy->total.value, sum(energy, &profile));
    assert_true(fabs(energy->meter_scale - 1.1) < 1e-9);
    assert_true(fabs(energy->unexplained.value) < 1e-9);
    assert_int_equal(energy->basis, TVG_BASIS_MEASURED);
    assert_string_equal(energy->boundary, "package+dram");
    ordered(energy->total);
    tvg_energy_free(energy);
}

static void test_what_the_scale_cannot_absorb_is_unexplained(void **state)
{
    (void)state;
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy = metered(&profile, 2000, 10, TVG_CHARGE_AUTO);
    close_to(energy->meter_scale, 1.25);
    close_to(energy->total.value, 2000);
    close_to(energy->total.value, sum(energy, &profile));
    assert_true(energy->unexplained.value > 900);
    close_to(energy->other.value, energy->other_cpu.value + energy->unexplained.value);
    tvg_energy_free(energy);
    energy = metered(&profile, 600, 10, TVG_CHARGE_AUTO); /* below the floor that the device file says */
    close_to(energy->meter_scale, 0.8);
    close_to(energy->total.value, 600);
    close_to(energy->total.value, sum(energy, &profile));
    assert_true(energy->unexplained.value < 0 && energy->idle.value <= 600);
    tvg_energy_free(energy);
}

static void test_a_meter_that_covers_part_of_the_run_is_not_measured(void **state)
{
    (void)state;
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy = metered(&profile, 900, 6, TVG_CHARGE_AUTO); /* 150 W for 6 of 10 s; the floor is 100 W */
    assert_int_equal(energy->basis, TVG_BASIS_MODELLED);
    close_to(energy->total.value, 900 + 4 * 125);
    close_to(energy->total.low, 900 * 0.95 + 4 * 100);
    close_to(energy->total.value, sum(energy, &profile));
    assert_non_null(strstr(energy->note, "6.00 of 10.00 s"));
    tvg_energy_free(energy);
}

static void test_a_floor_not_charged_leaves_a_metered_total(void **state)
{
    (void)state;
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy = metered(&profile, 1100, 10, TVG_CHARGE_NONE);
    assert_int_equal(energy->basis, TVG_BASIS_MODELLED);
    close_to(energy->total.value, 100);
    close_to(energy->total.value, sum(energy, &profile));
    tvg_energy_free(energy);
}

static void test_memory_energy_is_bounded_by_what_memory_delivers(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_op_stat stat = gemm(64, 64, 64, 1000000, 1.0); /* 49 GB of operands in 1 s by one thread: 20 GB/s from memory at most */
    double flop = 2.0 * 64 * 64 * 64 * 1e6;
    close_to(tvg_energy_of_stat(&stat, &device).value, flop * 10e-12 + 20e9 * 50e-12);
    stat.op.threads = 0;
    close_to(tvg_energy_of_stat(&stat, &device).value, flop * 10e-12 + 3.0 * 4 * 4096 * 1e6 * 50e-12);
    stat.energy_scale = 0.5;
    close_to(tvg_energy_of_stat(&stat, &device).value, 0.5 * (flop * 10e-12 + 3.0 * 4 * 4096 * 1e6 * 50e-12));
}

static void test_an_op_costs_at_least_its_busy_core(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_op_stat tiny = gemm(4, 4, 4, 1000, 2.0); /* all overhead: 1.3e-6 J of FLOP in 2 s */
    close_to(tvg_energy_of_stat(&tiny, &device).value, 0.05 * 2);
    tiny.seconds_min /= 4; /* the fastest call counts: the others were held up */
    close_to(tvg_energy_of_stat(&tiny, &device).value, 0.05 * 0.5);
    tiny.seconds = tiny.seconds_min = 0;
    close_to(tvg_energy_of_stat(&tiny, &device).value, 1000 * (128 * 10e-12 + 3 * 64 * 50e-12));
    struct tvg_op_stat large = gemm(256, 256, 256, 1, 1.0);
    large.op.threads = 4;
    close_to(tvg_energy_of_stat(&large, &device).value, 0.05 * 4);
}

static void test_waits_for_a_core_are_no_cpu_time_of_ops(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_profile profile = profile_of();
    struct tvg_energy *energy;
    struct tvg_error error;
    profile.cpu_seconds = 5; /* half a CPU over 10 s; ops of 3 s by the clock whose fastest calls make 0.3 s */
    for (int i = 0; i < 2; i++)
        two_ops[i].seconds_min /= 10;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_NONE, &error));
    close_to(energy->other_cpu.value, 2 * (5 - 5 * 0.3));
    close_to(energy->other_cpu.low, 0.05 * 2);
    close_to(energy->other_cpu.high, 4 * (5 - 0.3));
    tvg_energy_free(energy);
}

static void test_roofline(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_op_stat compute = gemm(4096, 4096, 4096, 1, 0), memory = gemm(1, 4096, 4096, 1, 0);
    close_to(tvg_roofline_seconds(&compute.op, &device, 64), (double)compute.op.flop / 4e12);
    close_to(tvg_roofline_seconds(&compute.op, &device, 2), (double)compute.op.flop / 4e12 * 32);
    close_to(tvg_roofline_seconds(&memory.op, &device, 64), (double)memory.op.bytes / 200e9);
    close_to(tvg_roofline_seconds(&memory.op, &device, 2), (double)memory.op.bytes / 40e9);
}

static void test_types_without_a_row_take_the_unit_that_executes_them(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_op_stat stat = gemm(100, 100, 100, 1, 0);
    stat.op.bytes = 0;
    stat.op.type_compute = TVG_TYPE_C128;
    close_to(tvg_energy_of_op(&stat.op, 1, &device).value, 2e6 * 20e-12);
    stat.op.type_compute = TVG_TYPE_BF16;
    close_to(tvg_energy_of_op(&stat.op, 1, &device).value, 2e6 * 10e-12);
    stat.op.type_compute = 255; /* out of any table */
    close_to(tvg_energy_of_op(&stat.op, 1, &device).value, 2e6 * 10e-12);
}

static void test_empty_profile(void **state)
{
    (void)state;
    struct tvg_device device = device_of(TVG_BASIS_MODELLED);
    struct tvg_profile profile = {0};
    struct tvg_energy *energy;
    struct tvg_error error;
    assert_true(tvg_energy_price(&energy, &profile, &device, NULL, TVG_CHARGE_AUTO, &error));
    close_to(energy->total.value, 0);
    tvg_energy_free(energy);
}

static void test_interval_arithmetic(void **state)
{
    (void)state;
    struct tvg_interval a = {2, 1, 4}, b = tvg_interval_scale(a, -1), c = tvg_interval_add(a, a);
    close_to(b.low, -4);
    close_to(b.high, -1);
    close_to(c.low, 2);
    close_to(c.high, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_meter),
        cmocka_unit_test(test_a_guess_or_an_estimated_row_makes_it_estimated),
        cmocka_unit_test(test_who_pays_the_floor),
        cmocka_unit_test(test_a_meter_is_the_total_and_scales_the_model),
        cmocka_unit_test(test_what_the_scale_cannot_absorb_is_unexplained),
        cmocka_unit_test(test_a_meter_that_covers_part_of_the_run_is_not_measured),
        cmocka_unit_test(test_a_floor_not_charged_leaves_a_metered_total),
        cmocka_unit_test(test_memory_energy_is_bounded_by_what_memory_delivers),
        cmocka_unit_test(test_an_op_costs_at_least_its_busy_core),
        cmocka_unit_test(test_waits_for_a_core_are_no_cpu_time_of_ops),
        cmocka_unit_test(test_roofline),
        cmocka_unit_test(test_types_without_a_row_take_the_unit_that_executes_them),
        cmocka_unit_test(test_empty_profile),
        cmocka_unit_test(test_interval_arithmetic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
