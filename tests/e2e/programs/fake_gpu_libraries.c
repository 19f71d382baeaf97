/* Stand-ins for NCCL, cuSPARSELt, cuDNN and batched products of cuBLAS: each launches one kernel named after the call; descriptors hold what the accessors
 * give. cuDNN's graphs are taken as they come: a descriptor is a number, heuristics give back what they are handed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "fake_gpu.h"

static int grouped;
static const char *waiting[8];
static int waiting_count;
static int collective(const char *name)
{
    if (grouped)
        waiting[waiting_count++] = name;
    else
        fake_cupti_launch(name, 10000, 16);
    return 0;
}
int ncclCommCount(const void *comm, int *count) { (void)comm; *count = 4; return 0; }
int ncclAllReduce(const void *send, void *receive, size_t count, int type, int op, void *comm, void *stream)
{
    (void)send, (void)receive, (void)type, (void)op, (void)comm, (void)stream;
    return count ? collective("ncclDevKernel_AllReduce") : 4;
}
int ncclAllGather(const void *send, void *receive, size_t count, int type, void *comm, void *stream)
{
    (void)send, (void)receive, (void)count, (void)type, (void)comm, (void)stream;
    return collective("ncclDevKernel_AllGather");
}
int ncclReduceScatter(const void *send, void *receive, size_t count, int type, int op, void *comm, void *stream)
{
    (void)send, (void)receive, (void)count, (void)type, (void)op, (void)comm, (void)stream;
    return collective("ncclDevKernel_ReduceScatter");
}
int ncclSend(const void *buffer, size_t count, int type, int peer, void *comm, void *stream)
{
    (void)buffer, (void)count, (void)type, (void)peer, (void)comm, (void)stream;
    return collective("ncclDevKernel_SendRecv");
}
int ncclGroupStart(void) { grouped++; return 0; }
int ncclGroupEnd(void)
{
    grouped--;
    for (int i = 0; !grouped && i < waiting_count; i++)
        fake_cupti_launch(waiting[i], 10000, 16);
    waiting_count = grouped ? waiting_count : 0;
    return 0;
}

struct shape { int type, rank, dims[5]; };
int cudnnGetTensorNdDescriptor(const struct shape *of, int most, int *type, int *rank, int dims[], int strides[])
{
    (void)most, (void)strides;
    *type = of->type, *rank = of->rank;
    memcpy(dims, of->dims, sizeof of->dims);
    return 0;
}
int cudnnGetFilterNdDescriptor(const struct shape *of, int most, int *type, int *format, int *rank, int dims[])
{
    *format = 0;
    return cudnnGetTensorNdDescriptor(of, most, type, rank, dims, NULL);
}
int cudnnConvolutionForward(void *handle, const void *alpha, const void *x_of, const void *x, const void *w_of, const void *w, const void *convolution, int algorithm, void *space,
                            size_t bytes, const void *beta, const void *y_of, void *y)
{
    (void)handle, (void)alpha, (void)x_of, (void)x, (void)w_of, (void)w, (void)convolution, (void)algorithm, (void)space, (void)bytes, (void)beta, (void)y_of, (void)y;
    fake_cupti_launch("implicit_convolve_sgemm", 40000, 64);
    return 0;
}

int cusparseLtDenseDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order)
{
    (void)handle, (void)matrix, (void)rows, (void)columns, (void)leading, (void)alignment, (void)type, (void)order;
    return 0;
}
int cusparseLtStructuredDescriptorInit(const void *handle, void *matrix, int64_t rows, int64_t columns, int64_t leading, uint32_t alignment, int type, int order, int sparsity)
{
    (void)handle, (void)matrix, (void)rows, (void)columns, (void)leading, (void)alignment, (void)type, (void)order, (void)sparsity;
    return 0;
}
int cusparseLtMatmulDescriptorInit(const void *handle, void *product, int ta, int tb, const void *a, const void *b, const void *c, const void *d, int compute)
{
    (void)handle, (void)product, (void)ta, (void)tb, (void)a, (void)b, (void)c, (void)d, (void)compute;
    return 0;
}
int cusparseLtMatmulPlanInit(const void *handle, void *plan, const void *product, const void *selection)
{
    (void)handle, (void)plan, (void)product, (void)selection;
    return 0;
}
int cusparseLtMatmul(const void *handle, const void *plan, const void *alpha, const void *a, const void *b, const void *beta, const void *c, void *d, void *space, void *streams, int n)
{
    (void)handle, (void)plan, (void)alpha, (void)a, (void)b, (void)beta, (void)c, (void)d, (void)space, (void)streams, (void)n;
    fake_cupti_launch("sm90_sparse_gemm", 30000, 64);
    return 0;
}

int cudnnBackendCreateDescriptor(int kind, void **descriptor) { (void)kind; return (*descriptor = malloc(64)) ? 0 : 1; }
int cudnnBackendDestroyDescriptor(void *descriptor) { free(descriptor); return 0; }
int cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values)
{
    (void)descriptor, (void)name, (void)type, (void)count, (void)values;
    return 0;
}
int cudnnBackendGetAttribute(const void *descriptor, int name, int type, int64_t requested, int64_t *count, void *values)
{
    (void)descriptor, (void)name, (void)type, (void)requested, (void)values;
    *count = 1;
    return 0;
}
int cudnnBackendExecute(void *handle, void *plan, void *pack)
{
    (void)handle, (void)pack;
    if (!plan)
        return 2000;
    fake_cupti_launch("cudnn_generated_fort_native_sdpa", 60000, 64);
    return 0;
}
int cudnnBackendPopulateCudaGraph(void *handle, void *plan, void *pack, void *graph)
{
    (void)handle, (void)plan, (void)pack, (void)graph;
    fake_cupti_capture(1);
    fake_cupti_launch("cudnn_node", 0, 64);
    fake_cupti_capture(0);
    return 0;
}
int cudnnBatchNormalizationForwardInference(void *handle, int mode, const void *alpha, const void *beta, const void *x_of, const void *x, const void *y_of, void *y,
                                            const void *of, const void *scale, const void *bias, const void *mean, const void *variance, double epsilon)
{
    (void)handle, (void)mode, (void)alpha, (void)beta, (void)x_of, (void)x, (void)y_of, (void)y, (void)of, (void)scale, (void)bias, (void)mean;
    if (epsilon != 1e-5 || variance != alpha) /* the last one in memory, and the one in a register */
        return 3;
    fake_cupti_launch("bn_fw_inf", 5000, 64);
    return 0;
}
int cudnnMultiHeadAttnForward(void *handle, const void *attention, int at) { (void)handle, (void)attention, (void)at; return 0; }
int cublasSgemvBatched(void *handle, int trans, int m, int n, const float *alpha, const void *a, int lda, const void *x, int incx, const float *beta, void *y, int incy,
                       int batch)
{
    (void)handle, (void)trans, (void)m, (void)n, (void)alpha, (void)a, (void)lda, (void)x, (void)incx, (void)beta, (void)y, (void)incy, (void)batch;
    fake_cupti_launch("gemvNSP_kernel", 5000, 64);
    return 0;
}
int cublasHSSgemvStridedBatched(void *handle, int trans, int m, int n, const float *alpha, const void *a, int lda, long long stridea, const void *x, int incx,
                                long long stridex, const float *beta, void *y, int incy, long long stridey, int batch)
{
    (void)handle, (void)trans, (void)m, (void)n, (void)alpha, (void)a, (void)lda, (void)stridea, (void)x, (void)incx, (void)stridex, (void)beta, (void)y, (void)incy,
        (void)stridey, (void)batch;
    fake_cupti_launch("gemvNSP_kernel", 5000, 64);
    return 0;
}
