// The host of test_guard.py's exception: C++ exceptions pass through recorded calls.
#include <cstdio>
#include <stdexcept>

#include "fake_blas.h"

static float room[16];

static void gemm(int m)
{
    cblas_sgemm(101, 111, 111, m, 2, 3, 1, room, 3, room, 2, 0, room, 2);
}
static void throws()
{
    throw std::runtime_error("inside");
}
static void deeper(int depth, int m)
{
    volatile char space[100] = {0};
    if (depth) deeper(depth - 1, m);
    else gemm(m);
    space[0] = 1;
}

int main()
{
    int caught = 0;
    for (int i = 0; i < 100; i++) {
        fake_blas_inside = throws;
        try {
            gemm(5);
        } catch (const std::runtime_error &) {
            caught++;
        }
        fake_blas_inside = nullptr;
        gemm(1);
        deeper(20, 2);
    }
    std::printf("{\"1\": 100, \"2\": 100}\n");
    return caught == 100 ? 0 : 1;
}
