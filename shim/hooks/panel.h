/* Products that are cut into panels, which other threads multiply by calls that are stood in for too: such a call is a part, no op of its own. */
#ifndef TVG_SHIM_HOOKS_PANEL_H
#define TVG_SHIM_HOOKS_PANEL_H

#include <stdbool.h>
#include <stdint.h>

struct tvg_product;
/* A product begins that writes to `bytes` bytes at `c`. `deep`: it may be cut along k too, its parts added up elsewhere first. NULL when too many run. */
struct tvg_product *tvg_product_begin(const void *c, uint64_t bytes, bool deep);
/* It has ended, on whichever thread. NULL does nothing. */
void tvg_product_end(struct tvg_product *product);

#endif
