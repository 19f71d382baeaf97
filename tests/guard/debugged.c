/* What tests/guard/debugger.c debugs: linked with the engine, so that this is there before the shim looks. */
#include <stdio.h>

#include "engine.h"
#include "fake_blas.h"

int main(void)
{
    static float room[16];
    cblas_sgemm(101, 111, 111, 60, 2, 2, 1, room, 2, room, 2, 0, room, 2);
    float product = engine_run(10, 1);
    printf("result %g\n", product);
    return 0;
}
