/* Bodies for test_operations.py's own spec: each says on stdout that it was reached, and goes on. */
#include <stdio.h>

#include "shim/intercept/resolve.h"
#include "shim/intercept/wrapper.h"

typedef int small_function(int);
small_function tvg_hook_beyond;
TVG_HOOK_BODY int tvg_hook_beyond(int value)
{
    TVG_TAKE_ENTRY(entry);
    printf("%s seen\n", entry->name);
    return TVG_FUNCTION(small_function, tvg_target(entry, __builtin_return_address(0)))(value);
}
