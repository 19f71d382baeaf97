/* Small pieces of executable memory within reach of a 32-bit jump. */
#ifndef TVG_SHIM_STUBS_H
#define TVG_SHIM_STUBS_H

#include <stdbool.h>
#include <stdint.h>

enum { TVG_STUB_BYTES = 128 };

/* One piece, seen twice: where it is written and where it runs. */
struct tvg_stub {
    uint8_t *write, *run;
};

/* A piece that 32-bit jumps from `near` and back reach; false when there is none. It is the caller's until given back. Not thread-safe: the caller
 * holds the loader's event. No malloc. */
bool tvg_stub_take(uintptr_t near, struct tvg_stub *stub);
/* Gives the piece that runs at `run` back: nothing jumps there any more. */
void tvg_stub_give_back(const uint8_t *run);

#endif
