/* cuDNN's tensors: their types, and their descriptors read through cuDNN's own accessors. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#include "../intercept/wrapper.h"
#include "cudnn.h"

uint8_t tvg_cudnn_type(int64_t type)
{
    static const uint8_t types[] = {
        [0] = TVG_TYPE_F32, [1] = TVG_TYPE_F64, [2] = TVG_TYPE_F16, [3] = TVG_TYPE_I8, [4] = TVG_TYPE_I32, [5] = TVG_TYPE_I8, [6] = TVG_TYPE_U8, [7] = TVG_TYPE_U8,
        [8] = TVG_TYPE_I8, [9] = TVG_TYPE_BF16, [10] = TVG_TYPE_I64, [11] = TVG_TYPE_BOOL, [12] = TVG_TYPE_F8_E4M3, [13] = TVG_TYPE_F8_E5M2,
        [15] = TVG_TYPE_U8 /* scales of blocks: a byte each */, [16] = TVG_TYPE_F4_E2M1, [17] = TVG_TYPE_I4, [18] = TVG_TYPE_U4, [19] = TVG_TYPE_I32,
        [20] = TVG_TYPE_C64, [21] = TVG_TYPE_C128, [22] = TVG_TYPE_BOOL, [23] = TVG_TYPE_U8};
    return type >= 0 && type < (int64_t)sizeof types ? types[type] : TVG_TYPE_NONE;
}

uint64_t tvg_cudnn_elements(const struct tvg_cudnn_tensor *tensor)
{
    uint64_t count = tensor->rank ? 1 : 0;
    for (int i = 0; i < tensor->rank; i++)
        count *= (uint64_t)(tensor->dim[i] > 0 ? tensor->dim[i] : 0);
    return count;
}

uint64_t tvg_cudnn_bytes(const struct tvg_cudnn_tensor *tensor) { return tvg_type_bytes(tensor->type, tvg_cudnn_elements(tensor)); }

typedef int get_tensor(const void *descriptor, int most, int *type, int *rank, int dims[], int strides[]);
typedef int get_filter(const void *descriptor, int most, int *type, int *format, int *rank, int dims[]);
static _Atomic(get_tensor *) tensor_of;
static _Atomic(get_filter *) filter_of;

void *tvg_cudnn_accessor(const char *name)
{
    static const char *const names[] = {"libcudnn.so.9", "libcudnn.so.8", "libcudnn.so"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        void *handle = dlopen(names[i], RTLD_LAZY | RTLD_NOLOAD), *found = handle ? dlsym(handle, name) : NULL;
        if (found)
            return found;
    }
    return NULL;
}

static bool prepare(void)
{
    if (atomic_load_explicit(&filter_of, memory_order_acquire))
        return true;
    void *tensor = tvg_cudnn_accessor("cudnnGetTensorNdDescriptor"), *filter = tvg_cudnn_accessor("cudnnGetFilterNdDescriptor");
    if (!tensor || !filter)
        return false;
    atomic_store(&tensor_of, TVG_FUNCTION(get_tensor, tensor));
    atomic_store_explicit(&filter_of, TVG_FUNCTION(get_filter, filter), memory_order_release);
    return true;
}

static bool fill(struct tvg_cudnn_tensor *tensor, int status, int type, int rank, const int *dims)
{
    memset(tensor, 0, sizeof *tensor);
    if (status != 0 || rank < 0 || rank > TVG_CUDNN_RANK)
        return false;
    tensor->type = tvg_cudnn_type(type);
    tensor->rank = (uint8_t)rank;
    for (int i = 0; i < rank; i++)
        tensor->dim[i] = dims[i];
    return true;
}

bool tvg_cudnn_read_tensor(struct tvg_cudnn_tensor *tensor, const void *descriptor)
{
    int type = -1, rank = 0, dims[TVG_CUDNN_RANK], strides[TVG_CUDNN_RANK];
    if (!descriptor || !prepare())
        return false;
    int status = atomic_load(&tensor_of)(descriptor, TVG_CUDNN_RANK, &type, &rank, dims, strides);
    return fill(tensor, status, type, rank, dims);
}

bool tvg_cudnn_read_filter(struct tvg_cudnn_tensor *tensor, const void *descriptor)
{
    int type = -1, rank = 0, format, dims[TVG_CUDNN_RANK];
    if (!descriptor || !prepare())
        return false;
    int status = atomic_load(&filter_of)(descriptor, TVG_CUDNN_RANK, &type, &format, &rank, dims);
    return fill(tensor, status, type, rank, dims);
}

bool tvg_cudnn_is_zero(const void *beta, uint8_t type)
{
    double value = 0;
    float single = 0;
    if (!beta)
        return true;
    if (type == TVG_TYPE_F64)
        memcpy(&value, beta, sizeof value);
    else {
        memcpy(&single, beta, sizeof single);
        value = (double)single;
    }
    return value == 0;
}
