/* Prices a profile: joules per op, idle, other, with intervals and basis, so that the parts add up to the whole.
 * Σ ops + idle_j + other_j = total, exactly, by construction; with a meter the total is the meter's. */
#ifndef TVG_ENERGY_H
#define TVG_ENERGY_H

#include "device.h"
#include "profile.h"

enum tvg_charge { TVG_CHARGE_EXCLUSIVE = 0, TVG_CHARGE_SHARE, TVG_CHARGE_NONE }; /* who pays the package floor */

struct tvg_energy {
    struct tvg_interval total;     /* J */
    enum tvg_basis basis;
    char boundary[24];             /* board, package, node, facility */
    struct tvg_interval idle;      /* floor (rest/awake) x time, as charged */
    struct tvg_interval other;     /* CPU work outside recorded ops, or the meter's unexplained remainder (said in `other_what`) */
    char other_what[96];
    struct tvg_interval ops;       /* Σ per_op */
    struct tvg_interval *per_op;   /* one per profile->ops */
    double meter_scale;            /* s: 1 without a meter, else within 0.8 .. 1.25 */
    struct tvg_interval cross_check; /* ops by the other model (instruction classes), 0 when not available */
    double floor_watts, wall_seconds;
};

/* `device` prices CPU ops, `gpu` (or NULL) the GPU ones. The energy is the caller's, freed with tvg_energy_free. */
bool tvg_energy_price(struct tvg_energy **energy, const struct tvg_profile *profile, const struct tvg_device *device,
                      const struct tvg_device *gpu, enum tvg_charge charge, struct tvg_error *error);
/* Modelled marginal energy and time of `count` calls of one op on a device, before any meter scale. Time by roofline, for ops that were never run. */
struct tvg_interval tvg_energy_of_op(const struct tvg_op *op, double count, const struct tvg_device *device);
double tvg_roofline_seconds(const struct tvg_op *op, const struct tvg_device *device, double cores);
void tvg_energy_free(struct tvg_energy *energy);

#endif
