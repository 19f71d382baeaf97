/* Prices a profile: marginal energy of ops by FLOP and bytes, the floor by time, other CPU work by busy cores; with a meter, scaled to it.
 * Errors of one coefficient move together over all ops, so interval ends add up linearly. */
#include "energy.h"
#include "energy_gpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RAPL against external meters: within a few per cent at load on parts that measure; no figure per part is citable, so 5 % for all. */
static const double meter_error = 0.05;
const char *const tvg_charge_names[] = {"exclusive", "share", "none", "auto", NULL};

const char *tvg_charge_name(enum tvg_charge charge)
{
    return (unsigned)charge < 4 ? tvg_charge_names[charge] : "?";
}

/* The type whose coefficient stands in when a device file has no row for `type`: the unit that would execute it. */
static unsigned executing_type(const struct tvg_coefficient *table, unsigned type)
{
    if (type < TVG_TYPE_COUNT && table[type].known)
        return type;
    switch (type) {
    case TVG_TYPE_C128: type = TVG_TYPE_F64; break;
    case TVG_TYPE_I64: case TVG_TYPE_I32: case TVG_TYPE_I16: case TVG_TYPE_U8: case TVG_TYPE_I4: case TVG_TYPE_U4: case TVG_TYPE_BOOL:
        type = TVG_TYPE_I8; break;
    default: type = type >= TVG_TYPE_Q4_0 ? TVG_TYPE_I8 : TVG_TYPE_F32;
    }
    return table[type].known ? type : TVG_TYPE_F32;
}

static struct tvg_interval times(const struct tvg_coefficient *coefficient, double amount)
{
    return coefficient->known ? tvg_interval_scale(coefficient->value, amount) : (struct tvg_interval){0, 0, 0};
}

/* Bytes per second that `cores` can move to and from main memory (0 cores: the whole device); 0 when not known. */
static double bandwidth_of(const struct tvg_device *device, double cores)
{
    double whole = device->bandwidth.known ? device->bandwidth.value.value : 0;
    if (cores > 0 && device->bandwidth_core.known) {
        double reached = cores * device->bandwidth_core.value.value;
        return whole > 0 ? fmin(whole, reached) : reached;
    }
    return whole;
}

struct tvg_interval tvg_energy_of_op(const struct tvg_op *op, double count, const struct tvg_device *device)
{
    const struct tvg_coefficient *flop = &device->flop[executing_type(device->flop, op->type_compute)];
    return tvg_interval_add(times(flop, (double)op->flop * count), times(&device->byte_memory, (double)op->bytes * count));
}

struct tvg_interval tvg_energy_of_stat(const struct tvg_op_stat *stat, const struct tvg_device *device)
{
    const struct tvg_coefficient *flop = &device->flop[executing_type(device->flop, stat->op.type_compute)];
    double bytes = (double)stat->op.bytes * (double)stat->count;
    double reach = bandwidth_of(device, stat->op.threads);
    if (stat->seconds > 0 && reach > 0 && bytes > reach * stat->seconds)
        bytes = reach * stat->seconds;
    struct tvg_interval energy = tvg_interval_add(times(flop, (double)stat->op.flop * (double)stat->count), times(&device->byte_memory, bytes));
    if (device->core_active.known && !stat->op.on_gpu) {
        /* Calls too small to come near the peak: a busy core draws its least power whatever it does. By the fastest call, since the others may have
         * waited for a core. */
        double least = device->core_active.value.low * stat->seconds_min * (double)stat->count * tvg_threads_of(stat, 1);
        energy.low = fmax(energy.low, least);
        energy.value = fmax(energy.value, least);
        energy.high = fmax(energy.high, least);
    }
    return tvg_interval_scale(energy, stat->energy_scale > 0 ? stat->energy_scale : 1);
}

double tvg_roofline_seconds(const struct tvg_op *op, const struct tvg_device *device, double cores)
{
    double share = device->cores > 0 && cores > 0 ? fmin(1, cores / device->cores) : 1, bandwidth = bandwidth_of(device, cores);
    const struct tvg_coefficient *peak = &device->peak[executing_type(device->peak, op->type_compute)];
    double seconds = device->launch_floor.known ? device->launch_floor.value.value : 0;
    if (peak->known && peak->value.value > 0)
        seconds = fmax(seconds, (double)op->flop / (peak->value.value * share));
    if (bandwidth > 0)
        seconds = fmax(seconds, (double)op->bytes / bandwidth);
    return seconds;
}

/* Energy of the same op by instruction classes: FMA by vector width, load, store. Per FMA of a register-blocked kernel about 0.6 loads (3 vectors
 * of A and 4 broadcasts of B feed 12 FMA in an AVX2 sgemm); a matrix-vector product loads its matrix once; outputs are stored once. */
static struct tvg_interval by_instructions(const struct tvg_op_stat *stat, const struct tvg_device *device)
{
    const struct tvg_coefficient *fma = device->fma_512.known ? &device->fma_512 : device->fma_256.known ? &device->fma_256 : &device->fma_128;
    double width = device->fma_512.known ? 512 : device->fma_256.known ? 256 : 128;
    struct tvg_interval none = {0, 0, 0};
    if (!fma->known)
        return none;
    unsigned compute = stat->op.type_compute;
    double element = compute == TVG_TYPE_F64 || compute == TVG_TYPE_C128 ? 64 : 32;
    double fmas = (double)stat->op.flop * (double)stat->count / 2 / (width / element);
    double vectors_in = (double)(stat->op.bytes_a + stat->op.bytes_b) * 8 / width * (double)stat->count;
    double stores = (double)stat->op.bytes_c * 8 / width * (double)stat->count;
    double loads = fmax(0.6 * fmas, vectors_in);
    if (stat->op.kind == TVG_KIND_GEMV)
        loads = vectors_in;
    return tvg_interval_add(times(fma, fmas), tvg_interval_add(times(&device->load, loads), times(&device->store, stores)));
}

/* Physical cores behind the CPUs that the run was allowed. `unsure`: the machine shows one thread a core, which on a virtual machine may
 * hide that a CPU is half a core. */
static double cores_of(const struct tvg_profile *profile, double cpus, bool *unsure)
{
    *unsure = profile->cores_physical >= profile->cpus_online;
    if (profile->cpus_online && profile->cores_physical && profile->cores_physical < profile->cpus_online)
        return cpus * profile->cores_physical / profile->cpus_online;
    return cpus;
}

/* How many package floors the run pays. */
static struct tvg_interval packages_charged(const struct tvg_profile *profile, const struct tvg_device *device, enum tvg_charge charge)
{
    struct tvg_interval packages = {1, 1, 1};
    bool unsure;
    if (charge == TVG_CHARGE_NONE)
        return (struct tvg_interval){0, 0, 0};
    if (device->cores <= 0 || profile->cpus_allowed == 0)
        return packages;
    if (charge == TVG_CHARGE_EXCLUSIVE) {
        double all = fmax(1, ceil(cores_of(profile, profile->cpus_online, &unsure) / device->cores - 1e-9));
        return (struct tvg_interval){all, all, all};
    }
    double share = cores_of(profile, profile->cpus_allowed, &unsure) / device->cores;
    packages = (struct tvg_interval){share, share, share};
    if (unsure && share < 1)
        packages.low = share / 2;
    return packages;
}

/* Package and DRAM meters of the trace, summed. */
static double metered(const struct tvg_profile *profile, double *seconds, bool *with_dram, bool *with_package)
{
    double joules = 0;
    *seconds = 0;
    *with_dram = *with_package = false;
    for (uint32_t i = 0; i < profile->meter_count; i++) {
        const struct tvg_meter *meter = &profile->meters[i];
        bool package = strcmp(meter->boundary, "package") == 0, dram = strcmp(meter->boundary, "dram") == 0;
        if ((!package && !dram) || meter->samples < 2 || !(meter->seconds > 0) || !(meter->joules > 0))
            continue;
        joules += meter->joules;
        *with_dram |= dram;
        *with_package |= package;
        if (package)
            *seconds = fmax(*seconds, meter->seconds);
    }
    return *with_package ? joules : 0;
}

static bool all_modelled(const struct tvg_profile *profile, const struct tvg_device *device)
{
    if (device->guessed || device->floor.basis == TVG_BASIS_ESTIMATED || device->core_active.basis == TVG_BASIS_ESTIMATED ||
        device->byte_memory.basis == TVG_BASIS_ESTIMATED)
        return false;
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (device->flop[executing_type(device->flop, profile->ops[i].op.type_compute)].basis == TVG_BASIS_ESTIMATED)
            return false;
    return true;
}

static struct tvg_interval exactly(double value)
{
    return (struct tvg_interval){value, value, value};
}

/* The meter's identity: total = idle + s * ops + other CPU + unexplained. */
static void fit_to_meter(struct tvg_energy *energy, const struct tvg_profile *profile, const struct tvg_device *device, double joules,
                         double packages)
{
    double wall = energy->wall_seconds, window = energy->meter_seconds;
    double floor_watts = device->floor.known ? device->floor.value.value * packages : 0;
    double missing = fmax(0, wall - window), mean_watts = joules / window;
    /* Before the first and after the last sample nothing was metered: between the floor and the mean of the window. */
    struct tvg_interval gap = {missing * (fmin(floor_watts, mean_watts) + mean_watts) / 2, missing * fmin(floor_watts, mean_watts),
                               missing * mean_watts * (1 + meter_error)};
    struct tvg_interval total = {joules + gap.value, joules * (1 - meter_error) + gap.low, joules * (1 + meter_error) + gap.high};
    double idle_all = fmin(floor_watts * wall, total.value);
    struct tvg_interval ops = {0, 0, 0}; /* what the package's meter sees: CPU ops */
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (!profile->ops[i].op.on_gpu)
            ops = tvg_interval_add(ops, energy->per_op[i]);
    double modelled = idle_all + ops.value + energy->other_cpu.value;
    energy->model_error = modelled / total.value - 1;
    double target = total.value - idle_all - energy->other_cpu.value;
    double scale = ops.value > 0 ? target / ops.value : 1;
    energy->meter_scale = fmin(1.25, fmax(0.8, scale));
    for (uint32_t i = 0; i < profile->op_count; i++)
        if (!profile->ops[i].op.on_gpu)
            energy->per_op[i] = tvg_interval_scale(energy->per_op[i], energy->meter_scale);
    energy->ops = (struct tvg_interval){0, 0, 0};
    for (uint32_t i = 0; i < profile->op_count; i++)
        energy->ops = tvg_interval_add(energy->ops, energy->per_op[i]);
    double unexplained = total.value - idle_all - energy->meter_scale * ops.value - energy->other_cpu.value;
    energy->unexplained = exactly(unexplained);
    /* What is not charged leaves the total too; the total is then no longer the meter's. */
    double charged = energy->charge == TVG_CHARGE_EXCLUSIVE ? 1 : fmin(1, energy->charged_packages / packages);
    energy->idle = exactly(idle_all * charged);
    energy->total = tvg_interval_add(total, exactly(-idle_all * (1 - charged)));
    bool whole = missing <= 0.05 * wall && charged == 1;
    energy->basis = whole ? TVG_BASIS_MEASURED : TVG_BASIS_MODELLED;
    if (missing > 0.05 * wall)
        snprintf(energy->note, sizeof energy->note, "the meter covers %.2f of %.2f s; the rest is taken between the floor and the metered mean",
                 window, wall);
}

bool tvg_energy_price(struct tvg_energy **result, const struct tvg_profile *profile, const struct tvg_device *device,
                      const struct tvg_device *gpu, enum tvg_charge charge, struct tvg_error *error)
{
    struct tvg_energy *energy = calloc(1, sizeof *energy);
    if (!energy || !(energy->per_op = calloc(profile->op_count + 1u, sizeof *energy->per_op))) {
        free(energy);
        return tvg_fail(error, NULL, NULL, "free some memory", "out of memory for %u ops", profile->op_count);
    }
    bool with_dram, with_package, any_gpu = false, unpriced_gpu = false;
    double joules = metered(profile, &energy->meter_seconds, &with_dram, &with_package);
    energy->wall_seconds = profile->wall_seconds;
    energy->meter_scale = 1;
    energy->charge = charge != TVG_CHARGE_AUTO ? charge : joules > 0 ? TVG_CHARGE_EXCLUSIVE : TVG_CHARGE_SHARE;

    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        any_gpu |= stat->op.on_gpu;
        unpriced_gpu |= stat->op.on_gpu && !gpu;
        if (!stat->op.on_gpu)
            energy->per_op[i] = tvg_energy_of_stat(stat, device);
        energy->ops = tvg_interval_add(energy->ops, energy->per_op[i]);
        if (!stat->op.on_gpu)
            energy->cross_check = tvg_interval_add(energy->cross_check, by_instructions(stat, device));
    }

    struct tvg_interval packages = packages_charged(profile, device, energy->charge);
    energy->charged_packages = packages.value;
    if (device->floor.known)
        energy->idle = (struct tvg_interval){device->floor.value.value * packages.value * energy->wall_seconds,
                                             device->floor.value.low * packages.low * energy->wall_seconds,
                                             device->floor.value.high * packages.high * energy->wall_seconds};
    struct tvg_interval outside[6], core = times(&device->core_active, 1);
    tvg_cpu_outside(profile, outside);
    for (int p = 0; p < 6; p++) {
        energy->cpu_seconds_outside += outside[p].value;
        energy->other_cpu_phase[p] = (struct tvg_interval){core.value * outside[p].value, core.low * outside[p].low, core.high * outside[p].high};
        energy->other_cpu = tvg_interval_add(energy->other_cpu, energy->other_cpu_phase[p]);
    }

    if (joules > 0)
        fit_to_meter(energy, profile, device, joules, packages_charged(profile, device, TVG_CHARGE_EXCLUSIVE).value);
    else
        energy->basis = all_modelled(profile, device) ? TVG_BASIS_MODELLED : TVG_BASIS_ESTIMATED;
    energy->other = tvg_interval_add(energy->other_cpu, energy->unexplained);
    struct tvg_interval sum = tvg_interval_add(tvg_interval_add(energy->ops, energy->idle), energy->other);
    if (joules > 0) /* the meter's own error, not the model's */
        energy->total.value = sum.value;
    else
        energy->total = sum;
    energy->floor_watts = energy->wall_seconds > 0 ? energy->idle.value / energy->wall_seconds : 0;

    bool dram = joules > 0 ? with_dram : device->byte_memory.known && device->byte_memory.boundary && strstr(device->byte_memory.boundary, "dram");
    snprintf(energy->boundary, sizeof energy->boundary, "package%s", dram ? "+dram" : "");
    snprintf(energy->other_what, sizeof energy->other_what, joules > 0 ? "%.1f CPU s outside recorded ops, and what the model left unexplained"
             : device->core_active.known ? "%.1f CPU s outside recorded ops" : "%.1f CPU s outside recorded ops: the device file has no W per core, not priced",
             energy->cpu_seconds_outside);
    if (gpu && profile->gpu_count) { /* the boards' own figures lead; the package stands beside them */
        energy->cpu_beside = energy->total;
        if (!tvg_energy_price_boards(energy, profile, gpu)) {
            tvg_energy_free(energy);
            return tvg_fail(error, NULL, NULL, "free some memory", "out of memory for %u ops", profile->op_count);
        }
    } else if (any_gpu && gpu)
        snprintf(energy->note, sizeof energy->note, "GPU calls were seen but no GPU activity was recorded: what they cost on the card is not known");
    else if (unpriced_gpu)
        snprintf(energy->note, sizeof energy->note, "GPU ops were seen but no GPU device file fits: they are not priced");
    energy->parts_basis = energy->basis == TVG_BASIS_MEASURED ? TVG_BASIS_MODELLED : energy->basis;
    *result = energy;
    return true;
}

void tvg_energy_free(struct tvg_energy *energy)
{
    if (!energy)
        return;
    free(energy->per_op);
    free(energy);
}

bool tvg_devices_choose(struct tvg_device **cpu_device, struct tvg_device **gpu_device, const struct tvg_profile *profile, const char *cpu, const char *gpu,
                        struct tvg_error *error)
{
    *gpu_device = NULL;
    if (!(cpu ? tvg_device_load(cpu_device, cpu, error) : tvg_device_choose_cpu(cpu_device, profile->cpu_id, profile->cpu_model, error)))
        return false;
    if (strcmp((*cpu_device)->kind, "cpu") != 0) {
        char name[128];
        snprintf(name, sizeof name, "%s", (*cpu_device)->name);
        tvg_device_free(*cpu_device);
        *cpu_device = NULL;
        return tvg_fail(error, name, NULL, "give it as --gpu, and a CPU's file as --device", "this is a device file of a GPU; --device prices the CPU");
    }
    if (gpu && !tvg_device_load(gpu_device, gpu, error))
        return false;
    if (gpu && strcmp((*gpu_device)->kind, "gpu") != 0)
        return tvg_fail(error, (*gpu_device)->name, NULL, "give it as --device, and a GPU's file as --gpu", "this is a device file of a CPU; --gpu prices the GPU");
    if (gpu)
        return true;
    bool any_gpu = false;
    for (uint32_t i = 0; i < profile->op_count; i++)
        any_gpu |= profile->ops[i].op.on_gpu;
    const char *name = profile->gpu_count ? profile->gpus[0].name : tvg_profile_manifest(profile, "gpu.0.name");
    return !any_gpu || !name || tvg_device_choose_gpu(gpu_device, name, error);
}
