/* Prices a profile: joules per op, idle, other, with intervals and basis, so that the parts add up to the whole.
 * Σ ops + idle_j + other_j = total, exactly, by construction; with a meter the total is the meter's. */
#ifndef TVG_ENERGY_H
#define TVG_ENERGY_H

#include "device.h"
#include "profile.h"

/* Who pays the package floor. EXCLUSIVE: the run pays all of every package of the machine. SHARE: the part that the cores it was allowed
 * are of the part's cores, as on a slice of a cloud machine. NONE: marginal energy only. AUTO: EXCLUSIVE with a meter (the total is then
 * the meter's own), SHARE without. */
enum tvg_charge { TVG_CHARGE_EXCLUSIVE = 0, TVG_CHARGE_SHARE, TVG_CHARGE_NONE, TVG_CHARGE_AUTO };
extern const char *const tvg_charge_names[]; /* by enum tvg_charge; ends with NULL */
const char *tvg_charge_name(enum tvg_charge charge);

struct tvg_energy {
    struct tvg_interval total;     /* J */
    enum tvg_basis basis;
    enum tvg_basis parts_basis;    /* of every part of it: a meter measures the whole, how it is shared out is the model's */
    char boundary[24];             /* board, package, node, facility */
    struct tvg_interval idle;      /* floor (rest/awake) x time, as charged */
    struct tvg_interval other;     /* CPU work outside recorded ops, or the meter's unexplained remainder (said in `other_what`) */
    char other_what[96];
    struct tvg_interval ops;       /* Σ per_op */
    struct tvg_interval *per_op;   /* one per profile->ops */
    double meter_scale;            /* s: 1 without a meter, else within 0.8 .. 1.25 */
    struct tvg_interval cross_check; /* ops by the other model (instruction classes), 0 when not available */
    double floor_watts, wall_seconds; /* idle.value = floor_watts (as charged) x wall_seconds */
    enum tvg_charge charge;        /* what was applied, never AUTO */
    double charged_packages;       /* how many package floors the run pays: 2/64 for 2 of 64 cores */
    struct tvg_interval other_cpu; /* part of `other`: CPU seconds outside recorded ops x W per busy core */
    struct tvg_interval other_cpu_phase[6]; /* parts of other_cpu, by enum tvg_phase_kind */
    struct tvg_interval unexplained; /* part of `other`: what the meter saw and the model did not explain; 0 without a meter */
    double cpu_seconds_outside;    /* CPU seconds outside recorded ops */
    double meter_seconds;          /* window that meters cover; 0: no meter */
    double model_error;            /* modelled over metered total, minus 1, before scaling; 0 without a meter */
    struct tvg_interval rest;      /* boards: part of `idle`, what they draw with no context; the rest of it is being kept awake */
    double rest_measured_watts;    /* boards: that power where it was read before the process had a context, a board's mean; 0: the device file's */
    double board_seconds;          /* boards: the window; 0: the figures are not those of boards */
    bool shared;                   /* boards: others use them too (co-tenants, other instances of a partitioned card); our part is modelled then */
    double tenants;                /* boards, shared: compute processes on them in the mean, ours included */
    double others, board_joules;   /* boards, shared: total + others = board_joules, what the meters say; `others` is in no other figure here */
    struct tvg_interval cpu_beside;/* boards: what the CPU package cost meanwhile, not in any other figure here */
    char note[200];                /* what the reader must know of this pricing, or "" */
};

/* The device files that price a profile: those named (`cpu`, `gpu`; NULL: chosen by what the trace says of the machine). *gpu_device is NULL when
 * the run used no GPU. Both are the caller's, freed with tvg_device_free. Fails on a GPU's file named for the CPU. */
bool tvg_devices_choose(struct tvg_device **cpu_device, struct tvg_device **gpu_device, const struct tvg_profile *profile, const char *cpu, const char *gpu,
                        struct tvg_error *error);
/* `device` prices CPU ops, `gpu` (or NULL) the GPU ones. The energy is the caller's, freed with tvg_energy_free. */
bool tvg_energy_price(struct tvg_energy **energy, const struct tvg_profile *profile, const struct tvg_device *device,
                      const struct tvg_device *gpu, enum tvg_charge charge, struct tvg_error *error);
/* Modelled marginal energy of all calls of one op of a profile, energy_scale included, before any meter scale. As tvg_energy_of_op, but main-memory
 * bytes are bounded by what the device's memory can deliver in the op's measured (or re-priced) seconds: the rest came from caches.
 * tvg_energy_price is this times the meter scale, so a replay that prices both sides with it is consistent with the report. */
struct tvg_interval tvg_energy_of_stat(const struct tvg_op_stat *stat, const struct tvg_device *device);
/* Modelled marginal energy and time of `count` calls of one op on a device, before any meter scale. Time by roofline, for ops that were never run. */
struct tvg_interval tvg_energy_of_op(const struct tvg_op *op, double count, const struct tvg_device *device);
double tvg_roofline_seconds(const struct tvg_op *op, const struct tvg_device *device, double cores);
void tvg_energy_free(struct tvg_energy *energy);

#endif
