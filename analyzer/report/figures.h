/* How figures, units and classes of ops read on a terminal. */
#ifndef TVG_FIGURES_H
#define TVG_FIGURES_H

#include <stddef.h>

#include "../../trace/op.h"
#include "../interval.h"

/* Each writes to `out` (capacity `size`) and returns it. */
char *tvg_show_joules(char *out, size_t size, double joules);       /* "3,815 J", "2.98 mJ", "1.27 kJ" */
char *tvg_show_band(char *out, size_t size, struct tvg_interval j); /* "12-40 J": the interval alone */
/* The same in the unit that `like` has, so that the rows of a table can be compared; the band without its unit. */
char *tvg_show_joules_like(char *out, size_t size, double joules, double like);
char *tvg_show_band_like(char *out, size_t size, struct tvg_interval j, double like, int digits); /* digits: 2 or 3 significant ones */
const char *tvg_joule_unit(double like);
char *tvg_show_seconds(char *out, size_t size, double seconds);
char *tvg_show_count(char *out, size_t size, double count);         /* "2,560" up to 9 digits, then "1.28e10" */
char *tvg_show_si(char *out, size_t size, double value, const char *unit); /* "61.3 GFLOP/s" */
const char *tvg_unit_word(const char *kind, bool one);              /* "output tokens", "output token" */
const char *tvg_op_class(const struct tvg_op *op);                  /* "matrix products" ... */

#endif
