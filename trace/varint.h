/* Differences as varints: zigzag-coded (v << 1 ^ v >> 63), 7 bits a byte, low bits first, the high bit says that more follow. */
#ifndef TVG_TRACE_VARINT_H
#define TVG_TRACE_VARINT_H

#include <stdint.h>

enum { TVG_VARINT_MAX = 10 }; /* bytes of one at most */

/* Writes `difference` (modulo 2^64) at `at`; returns the place behind it. */
static inline uint8_t *tvg_varint_put(uint8_t *at, uint64_t difference)
{
    uint64_t zigzag = (difference << 1) ^ (uint64_t)((int64_t)difference >> 63);
    while (zigzag >= 0x80) {
        *at++ = (uint8_t)(zigzag | 0x80);
        zigzag >>= 7;
    }
    *at++ = (uint8_t)zigzag;
    return at;
}

/* Reads one; returns the place behind it, or NULL when it is not whole before `end`. */
static inline const uint8_t *tvg_varint_get(const uint8_t *at, const uint8_t *end, uint64_t *difference)
{
    uint64_t zigzag = 0;
    for (unsigned shift = 0; at < end && shift < 64; shift += 7) {
        uint8_t byte = *at++;
        zigzag |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *difference = (zigzag >> 1) ^ (0 - (zigzag & 1));
            return at;
        }
    }
    return NULL;
}

#endif
