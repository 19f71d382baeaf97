/* XXH3 inlined: the checksum of every block, without a library to link into the host. */
#ifndef TVG_TRACE_CHECK_H
#define TVG_TRACE_CHECK_H

#define XXH_INLINE_ALL
#include <xxhash.h>

static inline uint64_t tvg_checksum(const void *data, size_t length)
{
    return XXH3_64bits(data, length);
}

#endif
