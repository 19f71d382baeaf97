/* Stand-ins for NCCL, cuSPARSELt and cuDNN's direct calls: each launches one kernel named after the call; descriptors hold what the accessors give. */
#include <stddef.h>
#include <stdint.h>
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
