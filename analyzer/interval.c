/* Arithmetic of figures whose errors move together. */
#include "interval.h"

const char *tvg_basis_name(enum tvg_basis basis)
{
    switch (basis) {
    case TVG_BASIS_MEASURED: return "measured";
    case TVG_BASIS_MODELLED: return "modelled";
    case TVG_BASIS_ESTIMATED: return "estimated";
    case TVG_BASIS_EXACT: return "exact";
    case TVG_BASIS_INFERRED: return "inferred";
    case TVG_BASIS_GIVEN: return "given";
    case TVG_BASIS_PREDICTED: return "predicted";
    case TVG_BASIS_NONE: break;
    }
    return "none";
}

struct tvg_interval tvg_interval_add(struct tvg_interval a, struct tvg_interval b)
{
    return (struct tvg_interval){a.value + b.value, a.low + b.low, a.high + b.high};
}

struct tvg_interval tvg_interval_scale(struct tvg_interval a, double factor)
{
    struct tvg_interval scaled = {a.value * factor, a.low * factor, a.high * factor};
    if (factor < 0) {
        scaled.low = a.high * factor;
        scaled.high = a.low * factor;
    }
    return scaled;
}
