/* What sanitizers ask of a library that comes first. */
#include "sanitizer.h"

#include "../record/record.h"

/* ThreadSanitizer's and MemorySanitizer's functions call null pointers until this has run; AddressSanitizer's see to it by themselves. */
extern void __tsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));

void tvg_sanitizer_start(void)
{
    if (__tsan_init)
        __tsan_init();
    if (__msan_init)
        __msan_init();
}

/* AddressSanitizer's library ends a program in which another library stands before it, for fear of an allocator that it would not see. The shim
 * has none, so a preload alone is no reason to end. A program's own options stand before these, and `tvg record` puts that library first. */
TVG_EXPORT const char *__asan_default_options(void);
TVG_EXPORT const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0";
}
