/* The MANIFEST block. */
#include "source.h"

void tvg_manifest_write(void)
{
}
