/* Programs that were built with a sanitizer: its runtime stands in for functions of the C library that the shim calls. */
#ifndef TVG_SHIM_SANITIZER_H
#define TVG_SHIM_SANITIZER_H

/* The first thing at load: the shim is the first object to be initialised, before the program's sanitizer, which needs to be. */
void tvg_sanitizer_start(void);

#endif
