/* The instruction decoder (capstone, x86 alone), without malloc. */
#ifndef TVG_SHIM_DECODER_H
#define TVG_SHIM_DECODER_H

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)
#include <capstone/capstone.h>
#include <stdbool.h>

/* Opens the decoder; what an earlier opening gave is void. Never closed: its memory is a static area. Not thread-safe. */
bool tvg_decoder_open(csh *handle);
#endif

#endif
