/* A figure with its interval and basis: how every energy and saving is carried from the model to the screen. */
#ifndef TVG_INTERVAL_H
#define TVG_INTERVAL_H

enum tvg_basis { TVG_BASIS_NONE = 0, TVG_BASIS_MEASURED, TVG_BASIS_MODELLED, TVG_BASIS_ESTIMATED, TVG_BASIS_EXACT, TVG_BASIS_INFERRED, TVG_BASIS_GIVEN, TVG_BASIS_PREDICTED };
const char *tvg_basis_name(enum tvg_basis basis); /* "measured", ... as in the JSON schema */

struct tvg_interval {
    double value, low, high; /* low <= value <= high */
};

/* Sum of figures whose errors move together (same coefficient): ends add up. */
struct tvg_interval tvg_interval_add(struct tvg_interval a, struct tvg_interval b);
struct tvg_interval tvg_interval_scale(struct tvg_interval a, double factor);

#endif
