/* 50 products of 512 x 256 x 1024 in TF32 by cuBLASLt: built with a static CUDA runtime and stripped, it shows what no name tells. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>

int main(void)
{
    enum { M = 512, N = 256, K = 1024, TIMES = 50 };
    cublasLtHandle_t handle;
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t layout_a, layout_b, layout_c;
    float one = 1, zero = 0, *a, *b, *c;
    if (cublasLtCreate(&handle) || cudaMalloc((void **)&a, 4l * M * K) || cudaMalloc((void **)&b, 4l * K * N) || cudaMalloc((void **)&c, 4l * M * N))
        return 2;
    cudaMemset(a, 0, 4l * M * K);
    cudaMemset(b, 0, 4l * K * N);
    cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F_FAST_TF32, CUDA_R_32F);
    cublasLtMatrixLayoutCreate(&layout_a, CUDA_R_32F, M, K, M);
    cublasLtMatrixLayoutCreate(&layout_b, CUDA_R_32F, K, N, K);
    cublasLtMatrixLayoutCreate(&layout_c, CUDA_R_32F, M, N, M);
    int failed = 0;
    for (int i = 0; i < TIMES; i++)
        failed |= cublasLtMatmul(handle, product, &one, a, layout_a, b, layout_b, &zero, c, layout_c, c, layout_c, NULL, NULL, 0, 0);
    failed |= cudaDeviceSynchronize();
    printf("{\"failed\": %d}\n", failed);
    return failed;
}
