/* One call of each kind that needs a hand-written hook: grouped products, collectives (alone and in a group), a direct convolution, a sparse product. */
#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "fake_gpu.h"
int cublasGemmGroupedBatchedEx(void *, const int *, const int *, const int *, const int *, const int *, const void *, const void *const *, int, const int *, const void *const *, int,
                               const int *, const void *, void *const *, int, const int *, int, const int *, int);
int ncclAllReduce(const void *, void *, size_t, int, int, void *, void *);
int ncclAllGather(const void *, void *, size_t, int, void *, void *);
int ncclReduceScatter(const void *, void *, size_t, int, int, void *, void *);
int ncclSend(const void *, size_t, int, int, void *, void *);
int ncclGroupStart(void);
int ncclGroupEnd(void);
int cudnnConvolutionForward(void *, const void *, const void *, const void *, const void *, const void *, const void *, int, void *, size_t, const void *, const void *, void *);
int cusparseLtDenseDescriptorInit(const void *, void *, int64_t, int64_t, int64_t, uint32_t, int, int);
int cusparseLtStructuredDescriptorInit(const void *, void *, int64_t, int64_t, int64_t, uint32_t, int, int, int);
int cusparseLtMatmulDescriptorInit(const void *, void *, int, int, const void *, const void *, const void *, const void *, int);
int cusparseLtMatmulPlanInit(const void *, void *, const void *, const void *);
int cusparseLtMatmul(const void *, const void *, const void *, const void *, const void *, const void *, const void *, void *, void *, void *, int);
int cudnnBackendCreateDescriptor(int, void **);
int cudnnBackendDestroyDescriptor(void *);
int cudnnBackendSetAttribute(void *, int, int, int64_t, const void *);
int cudnnBackendGetAttribute(const void *, int, int, int64_t, int64_t *, void *);
int cudnnBackendExecute(void *, void *, void *);
int cudnnBackendPopulateCudaGraph(void *, void *, void *, void *);
int cudnnBatchNormalizationForwardInference(void *, int, const void *, const void *, const void *, const void *, const void *, void *, const void *, const void *, const void *,
                                            const void *, const void *, double);
int cudnnMultiHeadAttnForward(void *, const void *, int);
int cublasSgemvBatched(void *, int, int, int, const float *, const void *, int, const void *, int, const float *, void *, int, int);
int cublasHSSgemvStridedBatched(void *, int, int, int, const float *, const void *, int, long long, const void *, int, long long, const float *, void *, int, long long, int);

enum { DATA_TYPE = 1, INT64 = 3, POINTWISE = 14, DESCRIPTOR = 15 };

static void *made(int kind)
{
    void *descriptor = NULL;
    cudnnBackendCreateDescriptor(kind, &descriptor);
    return descriptor;
}

static void *tensor(int64_t id, bool virtual, int64_t rows, int64_t columns)
{
    void *descriptor = made(17);
    const int64_t dims[4] = {2, 3, rows, columns};
    const int half = 2;
    cudnnBackendSetAttribute(descriptor, 901, DATA_TYPE, 1, &half);
    cudnnBackendSetAttribute(descriptor, 902, INT64, 4, dims);
    cudnnBackendSetAttribute(descriptor, 906, INT64, 1, &id);
    cudnnBackendSetAttribute(descriptor, 907, 2, 1, &virtual);
    return descriptor;
}

/* An operation on up to three tensors, which are gone once it knows them. */
static void *operation(int kind, int mode, const int names[3], void *const tensors[3])
{
    void *descriptor = made(kind), *helper = made(0);
    cudnnBackendSetAttribute(helper, 0, POINTWISE, 1, &mode);
    if (kind == 13)
        cudnnBackendSetAttribute(descriptor, 750, DESCRIPTOR, 1, &helper);
    for (int i = 0; i < 3; i++)
        if (names[i])
            cudnnBackendSetAttribute(descriptor, names[i], DESCRIPTOR, 1, &tensors[i]);
    cudnnBackendDestroyDescriptor(helper);
    return descriptor;
}

/* Causal attention over 16 tokens, spelled out, as a plan; all that led to it is destroyed. */
static void *attention_plan(void)
{
    enum { SIZE = 64, TOKENS = 16 };
    const int product[3] = {1520, 1521, 1522}, pointwise[3] = {751, 752, 753}, reduction[3] = {1610, 1611, 0};
    void *q = tensor(1, false, TOKENS, SIZE), *k = tensor(2, false, SIZE, TOKENS), *v = tensor(3, false, TOKENS, SIZE), *o = tensor(4, false, TOKENS, SIZE);
    void *inside = tensor(5, true, TOKENS, TOKENS);
    void *steps[] = {operation(19, 0, product, (void *[]){q, k, inside}),           operation(13, 501, pointwise, (void *[]){inside, inside, inside}),
                     operation(13, 501, pointwise, (void *[]){inside, inside, inside}), operation(13, 303, pointwise, (void *[]){inside, inside, inside}),
                     operation(22, 0, reduction, (void *[]){inside, inside, NULL}),     operation(22, 0, reduction, (void *[]){inside, inside, NULL}),
                     operation(19, 0, product, (void *[]){inside, v, o})};
    enum { STEPS = sizeof steps / sizeof *steps };
    void *graph = made(15), *heuristics = made(4), *configuration = made(3), *plan = made(5);
    int64_t count = 0;
    cudnnBackendSetAttribute(graph, 801, DESCRIPTOR, STEPS, steps);
    cudnnBackendSetAttribute(heuristics, 201, DESCRIPTOR, 1, &graph);
    cudnnBackendGetAttribute(heuristics, 202, DESCRIPTOR, 1, &count, &configuration);
    cudnnBackendSetAttribute(plan, 401, DESCRIPTOR, 1, &configuration);
    void *gone[] = {q, k, v, o, inside, graph, heuristics, configuration};
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        cudnnBackendDestroyDescriptor(gone[i]);
    for (int i = 0; i < STEPS; i++)
        cudnnBackendDestroyDescriptor(steps[i]);
    return plan;
}

/* One place that calls, so that the runs of a plan are one op. */
static __attribute__((noinline)) int execute(void *plan) { return cudnnBackendExecute(NULL, plan, NULL) + 1; }

static void call_cudnn(const float *one)
{
    void *plan = attention_plan(), *unknown = made(5);
    for (int i = 0; i < 3; i++)
        execute(plan);
    cudnnBackendExecute(NULL, unknown, NULL);
    cudnnBackendExecute(NULL, NULL, NULL);
    cudnnBackendPopulateCudaGraph(NULL, plan, NULL, NULL);
    for (int i = 0; i < 4; i++)
        fake_cupti_replay();
    struct { int type, rank, dims[5]; } x = {0, 4, {2, 3, 4, 5}};
    const float zero = 0;
    cudnnBatchNormalizationForwardInference(NULL, 1, one, &zero, &x, one, &x, NULL, &x, NULL, NULL, NULL, one, 1e-5);
    cudnnMultiHeadAttnForward(NULL, NULL, 0);
    /* more graphs than are remembered at a time, one after the other */
    for (int i = 0; i < 20000; i++)
        cudnnBackendDestroyDescriptor(attention_plan());
    execute(plan);
}

int main(void)
{
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned) = (int (*)(unsigned))(uintptr_t)dlsym(cuda, "cuInit");
    if (!init || init(0) != 0)
        return 9;
    const int trans[2] = {0, 1}, m[2] = {16, 8}, n[2] = {32, 8}, k[2] = {64, 4}, ld[2] = {64, 64}, sizes[2] = {3, 5};
    const float one[2] = {1, 1};
    if (cublasGemmGroupedBatchedEx(NULL, trans, trans, m, n, k, one, NULL, 14, ld, NULL, 14, ld, one, NULL, 0, ld, 2, sizes, 68) != 0)
        return 8;
    ncclAllReduce(one, NULL, 1000, 7, 0, NULL, NULL);
    ncclAllGather(one, NULL, 500, 9, NULL, NULL);
    ncclReduceScatter(one, NULL, 250, 6, 0, NULL, NULL);
    ncclGroupStart();
    ncclSend(one, 40, 8, 1, NULL, NULL);
    ncclAllReduce(one, NULL, 7, 0, 0, NULL, NULL);
    ncclGroupEnd();
    if (ncclAllReduce(one, NULL, 0, 7, 0, NULL, NULL) != 4)
        return 7;
    struct { int type, rank, dims[5]; } x = {0, 4, {2, 6, 10, 12}}, w = {0, 4, {9, 3, 3, 5}}, y = {0, 4, {2, 9, 8, 8}};
    cudnnConvolutionForward(NULL, one, &x, NULL, &w, NULL, NULL, 0, NULL, 0, one, &y, NULL);
    char a[64], b[64], d[64], product[64], plan[64];
    cusparseLtStructuredDescriptorInit(NULL, a, 128, 64, 64, 16, 2, 2, 0);
    cusparseLtDenseDescriptorInit(NULL, b, 64, 32, 32, 16, 2, 2);
    cusparseLtDenseDescriptorInit(NULL, d, 128, 32, 32, 16, 2, 2);
    cusparseLtMatmulDescriptorInit(NULL, product, 0, 0, a, b, d, d, 0);
    cusparseLtMatmulPlanInit(NULL, plan, product, NULL);
    cusparseLtMatmul(NULL, plan, one, NULL, NULL, one, NULL, NULL, NULL, NULL, 0);
    call_cudnn(one);
    cublasSgemvBatched(NULL, 0, 12, 13, one, NULL, 12, NULL, 1, one, NULL, 1, 7);
    cublasHSSgemvStridedBatched(NULL, 0, 20, 30, one, NULL, 20, 600, NULL, 1, 30, one, NULL, 1, 20, 5);
    puts("done");
    return 0;
}
