/* Putting short texts together without locale, locks or memory of the C library. */
#include "state.h"

size_t tvg_text_add(char *out, size_t capacity, size_t used, const char *text)
{
    while (*text && used + 1 < capacity) out[used++] = *text++;
    if (capacity) out[used < capacity ? used : capacity - 1] = 0;
    return used;
}

size_t tvg_text_number(char *out, size_t capacity, size_t used, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    return tvg_text_add(out, capacity, used, digits + at);
}
