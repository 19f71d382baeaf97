/* Prices GPU boards: rest and awake by time, kernels by class, fill and length, scaled to the board's own meter where there is one.
 * The model is t min(1, blocks/multiprocessors) t/(t + launch floor) W of the class (device file: kernel_tensor, kernel_fma, kernel_other). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "energy_gpu.h"

static struct tvg_interval scaled(const struct tvg_coefficient *coefficient, double amount)
{
    return coefficient->known ? tvg_interval_scale(coefficient->value, amount) : (struct tvg_interval){0, 0, 0};
}

/* Joules of kernels above awake: `seconds` in `count` of them, a grid of `blocks`, on `units`. */
static struct tvg_interval kernels(double seconds, double count, double blocks, enum tvg_kernel_class units, const struct tvg_device *gpu)
{
    double fill = gpu->multiprocessors > 0 ? fmin(1, blocks / gpu->multiprocessors) : 1;
    double mean = count > 0 ? seconds / count : 0, floor = gpu->launch_floor.known ? gpu->launch_floor.value.value : 0;
    const struct tvg_coefficient *watts[] = {[TVG_KERNEL_TENSOR] = &gpu->kernel_tensor, [TVG_KERNEL_FMA] = &gpu->kernel_fma, [TVG_KERNEL_OTHER] = &gpu->kernel_other};
    return scaled(watts[units], seconds * fill * (mean > 0 ? mean / (mean + floor) : 0));
}

static double blocks_of(const struct tvg_op *kernel)
{
    return fmax(1, (double)kernel->dim[0]) * fmax(1, (double)kernel->dim[1]) * fmax(1, (double)kernel->dim[2]);
}

/* The units that multiply in `type`. */
static enum tvg_kernel_class units_of(unsigned type)
{
    return type == TVG_TYPE_F32 || type == TVG_TYPE_F64 || type == TVG_TYPE_C64 || type == TVG_TYPE_C128 ? TVG_KERNEL_FMA : TVG_KERNEL_TENSOR;
}

/* An op that a rewrite added: a product in place of others has their kernels' grids, grown with its FLOP; a pass has a block for 512 elements. */
static struct tvg_interval energy_of_added(const struct tvg_op_stat *added, double seconds, const struct tvg_profile *profile, const double *blocks, const struct tvg_device *gpu)
{
    enum { ELEMENTS_A_BLOCK = 512 };
    if (!added->op.flop || added->op.flags & TVG_OP_FLOP_GIVEN || !added->follows || added->follows > profile->op_count)
        return kernels(seconds, (double)added->count, fmax(1, (double)added->op.dim[0] / ELEMENTS_A_BLOCK), TVG_KERNEL_OTHER, gpu);
    const struct tvg_op_stat *model = &profile->ops[added->follows - 1];
    double growth = model->op.flop ? (double)added->op.flop / (double)model->op.flop : 1;
    return kernels(seconds, (double)added->count, fmax(1, blocks[added->follows - 1] * growth), units_of(added->op.type_compute), gpu);
}

double *tvg_seconds_left(const struct tvg_profile *profile, const struct tvg_profile *rewritten)
{
    double *left = malloc((profile->op_count + 1u) * sizeof *left);
    for (uint32_t i = 0; left && i < profile->op_count; i++)
        left[i] = profile->ops[i].seconds;
    for (uint32_t i = 0; left && i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        uint32_t owner = at->cause != UINT32_MAX ? at->cause : at->op;
        if (owner < profile->op_count && rewritten->ops[owner].role_gone && at->traits.role == rewritten->ops[owner].role_gone)
            left[owner] -= at->seconds;
    }
    return left;
}

bool tvg_energy_of_boards(struct tvg_interval *per_op, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *stretch, const struct tvg_device *gpu)
{
    uint32_t count = rewritten->op_count;
    double *blocks = calloc(profile->op_count + 1u, sizeof *blocks), *weight = calloc(profile->op_count + 1u, sizeof *weight);
    double *left = tvg_seconds_left(profile, rewritten);
    bool ready = blocks && weight && left;
    memset(per_op, 0, count * sizeof *per_op);
    for (uint32_t i = 0; ready && i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        uint32_t owner = at->cause != UINT32_MAX ? at->cause : at->op;
        if (!at->count || owner >= profile->op_count || at->op >= profile->op_count)
            continue;
        const struct tvg_op *kernel = &profile->ops[at->op].op;
        const struct tvg_op_stat *old = &profile->ops[owner], *new = &rewritten->ops[owner];
        double kept = old->count ? (double)new->count / (double)old->count : 1, time = left[owner] > 0 ? new->seconds / left[owner] : 1;
        if (new->role_gone && at->traits.role == new->role_gone)
            continue;
        if (stretch)
            time *= stretch[owner];
        if (kernel->kind != TVG_KIND_KERNEL) {
            /* copies and memsets: bytes at the memory */
            per_op[owner] = tvg_interval_add(per_op[owner], scaled(&gpu->byte_memory, at->bytes * kept));
            continue;
        }
        struct tvg_kernel_traits traits = at->traits;
        bool product = traits.role == TVG_ROLE_PRODUCT || traits.role == TVG_ROLE_ATTENTION;
        enum tvg_kernel_class units = product && old->op.type_compute != new->op.type_compute ? units_of(new->op.type_compute) : traits.units;
        per_op[owner] = tvg_interval_add(per_op[owner], kernels(at->seconds * time, (double)at->count * kept, blocks_of(kernel), units, gpu));
        if (product) {
            blocks[owner] += blocks_of(kernel) * at->seconds;
            weight[owner] += at->seconds;
        }
    }
    for (uint32_t i = 0; ready && i < profile->op_count; i++)
        blocks[i] = weight[i] > 0 ? blocks[i] / weight[i] : INFINITY;
    for (uint32_t i = profile->op_count; ready && i < count; i++)
        if (rewritten->ops[i].op.on_gpu)
            per_op[i] = energy_of_added(&rewritten->ops[i], rewritten->ops[i].seconds * (stretch ? stretch[i] : 1), profile, blocks, gpu);
    for (uint32_t i = 0; ready && i < profile->op_count; i++) { /* times that were estimated from windows */
        double error = fmin(1, profile->ops[i].sampling_error);
        per_op[i].low *= 1 - error;
        per_op[i].high *= 1 + error;
    }
    free(blocks);
    free(weight);
    free(left);
    return ready;
}

static bool is_metered(const struct tvg_meter *meter)
{
    return strcmp(meter->boundary, "board") == 0 && meter->samples >= 3 && meter->seconds > 0 && meter->joules > 0;
}

/* A board that the process may use and did not is only on. */
static bool is_used(const struct tvg_profile *profile, const struct tvg_meter *meter)
{
    for (uint32_t i = 0; i < profile->gpu_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "gpu-%d", profile->gpus[i].device);
        if (strcmp(name, meter->name) == 0)
            return true;
    }
    return profile->gpu_count == 0;
}

/* What the boards draw without our kernels: at rest, and awake with a context. */
struct standing {
    struct tvg_interval rest, awake; /* J */
    double joules, seconds;          /* metered; the longest window */
    double measured_rest_watts;      /* mean over the used boards whose rest was read; 0: none */
    bool shared;                     /* others are on one of the used boards: rest and awake are our part */
    double tenants;                  /* processes on them in the mean */
};

/* Is the board partitioned? Its counter is then that of all instances. */
static bool is_partitioned(const struct tvg_profile *profile, const struct tvg_meter *meter)
{
    for (uint32_t i = 0; i < profile->note_count; i++)
        if (strcmp(profile->notes[i].what, "meter-shared") == 0 && strcmp(profile->notes[i].subject, meter->name) == 0)
            return true;
    return false;
}

/* Our part of what a board draws without kernels: by the number of processes that keep it awake. Of a partitioned board it is not known which share of
 * it an instance has: at least a seventh, the smallest there is. */
static struct tvg_interval part_of(const struct tvg_profile *profile, const struct tvg_meter *meter, struct standing *all)
{
    double own = 1, tenants = meter->board.processes_mean;
    for (uint32_t i = 0; i < profile->gpu_count; i++) {
        char name[16];
        snprintf(name, sizeof name, "gpu-%d", profile->gpus[i].device);
        if (strcmp(name, meter->name) == 0 && profile->gpus[i].processes > 1)
            own = profile->gpus[i].processes;
    }
    bool partitioned = is_partitioned(profile, meter), others = (double)meter->board.processes > own;
    double part = tenants > own ? own / tenants : 1;
    if (!partitioned && !others)
        return (struct tvg_interval){1, 1, 1};
    all->shared = true;
    all->tenants = fmax(all->tenants, fmax(tenants, own));
    return (struct tvg_interval){part, partitioned ? fmin(part, 1.0 / 7) : part, part};
}

static struct tvg_interval times(struct tvg_interval a, struct tvg_interval b)
{
    return (struct tvg_interval){a.value * b.value, a.low * b.low, a.high * b.high};
}

/* Rest as it was read right after cuInit: nobody was on the board, and its clocks had not been raised yet. A few watts lie between two such readings. */
static bool read_rest(const struct tvg_meter *meter, double highest_mhz, struct tvg_interval *watts)
{
    static const double spread = 0.03, asleep = 0.6;
    const struct tvg_board_state *board = &meter->board;
    if (!board->rest_known || board->rest_processes || !(board->rest_watts > 0) || !(board->rest_sm_mhz < asleep * highest_mhz))
        return false;
    *watts = (struct tvg_interval){board->rest_watts, board->rest_watts * (1 - spread), board->rest_watts * (1 + spread)};
    return true;
}

static struct standing standing_of(const struct tvg_profile *profile, const struct tvg_device *gpu)
{
    struct standing all = {0};
    struct tvg_interval floor = scaled(&gpu->floor, 1), awake = gpu->awake.known ? gpu->awake.value : floor;
    double highest = 0;
    uint32_t read = 0;
    for (uint32_t i = 0; i < profile->meter_count; i++)
        if (is_metered(&profile->meters[i]))
            highest = fmax(highest, profile->meters[i].board.sm_mhz);
    for (uint32_t i = 0; i < profile->meter_count; i++) {
        const struct tvg_meter *meter = &profile->meters[i];
        if (!is_metered(meter))
            continue;
        struct tvg_interval rest = floor, lifted = awake;
        bool known = read_rest(meter, highest, &rest);
        if (known) { /* what a context adds is the device file's; what it is added to was measured */
            lifted = (struct tvg_interval){rest.value + awake.value - floor.value, rest.low + awake.low - floor.low, rest.high + awake.high - floor.high};
            lifted.low = fmin(lifted.value, lifted.low), lifted.high = fmax(lifted.value, lifted.high);
        }
        all.joules += meter->joules;
        all.seconds = fmax(all.seconds, meter->seconds);
        if (!is_used(profile, meter)) {
            double joules = meter->board.processes ? fmin(meter->joules, rest.value * meter->seconds) : meter->joules;
            struct tvg_interval only = {joules, joules, joules};
            all.rest = tvg_interval_add(all.rest, only);
            all.awake = tvg_interval_add(all.awake, only);
            continue;
        }
        if (known)
            all.measured_rest_watts += rest.value, read++;
        struct tvg_interval part = part_of(profile, meter, &all);
        all.rest = tvg_interval_add(all.rest, times(tvg_interval_scale(rest, meter->seconds), part));
        all.awake = tvg_interval_add(all.awake, times(tvg_interval_scale(lifted, meter->seconds), part));
    }
    all.measured_rest_watts = read ? all.measured_rest_watts / read : 0;
    if (all.joules > 0)
        return all;
    double first = INFINITY, last = 0;
    for (uint32_t i = 0; i < profile->gpu_count; i++) {
        first = fmin(first, profile->gpus[i].first_ns);
        last = fmax(last, profile->gpus[i].last_ns);
    }
    all.seconds = fmax(0, (last - first) * 1e-9);
    all.rest = tvg_interval_scale(floor, all.seconds * profile->gpu_count);
    all.awake = tvg_interval_scale(awake, all.seconds * profile->gpu_count);
    return all;
}

bool tvg_energy_price_boards(struct tvg_energy *energy, const struct tvg_profile *profile, const struct tvg_device *gpu)
{
    /* NVML's counter against external meters, after its own calibration: an irreducible 5 % a board (SC'24, part-time power measurements). */
    static const double meter_error = 0.05;
    const struct standing standing = standing_of(profile, gpu);
    const double joules = standing.joules, seconds = standing.seconds;
    energy->ops = (struct tvg_interval){0, 0, 0};
    if (!tvg_energy_of_boards(energy->per_op, profile, profile, NULL, gpu))
        return false;
    struct tvg_interval ops = {0, 0, 0};
    for (uint32_t i = 0; i < profile->op_count; i++)
        ops = tvg_interval_add(ops, energy->per_op[i]);
    energy->idle = standing.awake;
    energy->rest = standing.rest;
    energy->rest_measured_watts = standing.measured_rest_watts;
    energy->board_seconds = seconds;
    energy->meter_scale = 1;
    energy->meter_seconds = energy->model_error = 0; /* the CPU's meters say nothing of a board */
    energy->other_cpu = energy->unexplained = (struct tvg_interval){0, 0, 0};
    memset(energy->other_cpu_phase, 0, sizeof energy->other_cpu_phase);
    energy->shared = standing.shared;
    energy->tenants = standing.tenants;
    if (joules > 0 && standing.shared) { /* what is not ours is others', but for what the meter says less than we alone are modelled to take */
        double own = energy->idle.value + ops.value;
        energy->board_joules = joules;
        energy->unexplained.value = energy->unexplained.low = energy->unexplained.high = fmin(0, joules - own);
        energy->others = joules - own - energy->unexplained.value;
    } else if (joules > 0) {
        energy->model_error = (energy->idle.value + ops.value) / joules - 1;
        /* Awake power moves by a watt a kelvin: within its own interval it follows the meter before the ops are scaled out of their range. */
        double wanted = joules - fmin(1.25, fmax(0.8, ops.value > 0 ? (joules - energy->idle.value) / ops.value : 1)) * ops.value;
        double moved = fmin(energy->idle.high, fmax(energy->idle.low, wanted)) - energy->idle.value, room = moved < 0 ? energy->idle.value - energy->idle.low : energy->idle.high - energy->idle.value;
        if (room > 0) /* rest moves with it, within its own */
            energy->rest.value += moved / room * (moved < 0 ? energy->rest.value - energy->rest.low : energy->rest.high - energy->rest.value);
        energy->idle.value += moved;
        double target = joules - energy->idle.value;
        energy->meter_seconds = seconds;
        energy->meter_scale = ops.value > 0 ? fmin(1.25, fmax(0.8, target / ops.value)) : 1;
        double unexplained = joules - energy->idle.value - energy->meter_scale * ops.value;
        if (fabs(unexplained) < 1e-9 * joules) /* rounding */
            unexplained = 0;
        energy->unexplained = (struct tvg_interval){unexplained, unexplained, unexplained};
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        energy->per_op[i] = tvg_interval_scale(energy->per_op[i], energy->meter_scale);
        energy->ops = tvg_interval_add(energy->ops, energy->per_op[i]);
    }
    energy->other = energy->unexplained;
    energy->total = tvg_interval_add(tvg_interval_add(energy->ops, energy->idle), energy->other);
    if (joules > 0 && !standing.shared) {
        energy->total.low = energy->total.value * (1 - meter_error);
        energy->total.high = energy->total.value * (1 + meter_error);
        energy->basis = TVG_BASIS_MEASURED;
    } else {
        energy->basis = gpu->guessed || gpu->kernel_other.basis == TVG_BASIS_ESTIMATED ? TVG_BASIS_ESTIMATED : TVG_BASIS_MODELLED;
    }
    energy->floor_watts = seconds > 0 ? energy->idle.value / seconds : 0;
    snprintf(energy->boundary, sizeof energy->boundary, "board");
    snprintf(energy->other_what, sizeof energy->other_what, "%s", standing.shared ? "what our model says more than the shared board's meter" : joules > 0 ? "what the board's meter saw and the model does not explain" : "nothing");
    return true;
}
