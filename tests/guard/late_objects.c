/* An object that calls BLAS in its constructor (m 3) and destructor (m 4), outside main; linked to the hosts of late_constructor and late_destructor. */
#include "fake_blas.h"

static float room[16];

static void gemms(int count, int m)
{
    for (int i = 0; i < count; i++) cblas_sgemm(101, 111, 111, m, 2, 3, 1, room, 3, room, 2, 0, room, 2);
}
static void __attribute__((constructor)) begin(void)
{
    gemms(6, 3);
}
static void __attribute__((destructor)) end(void)
{
    gemms(8, 4);
}
