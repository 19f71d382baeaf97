/* A plugin with its own BLAS (linked RTLD_LOCAL): loaded, used and unloaded by unload.c. */
#include "fake_blas.h"

void use(int count, int m);
void use(int count, int m)
{
    static float room[16];
    for (int i = 0; i < count; i++) cblas_sgemm(101, 111, 111, m, 2, 3, 1, room, 3, room, 2, 0, room, 2);
}
