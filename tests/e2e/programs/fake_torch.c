/* A libtorch_cpu.so of a few functions: tensors are structs that only its own C functions can read, and every function checks that its
 * arguments came through as its caller (fake_torch_host.c) passed them. */
#include "fake_torch.h"

#include <stdlib.h>

static int wrong(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}
#define CHECK(condition) do { __asm__ volatile(""); if (!(condition)) wrong(#condition); } while (0)
#define EXPORT __attribute__((noinline, visibility("default")))

/* What torch's own do on a tensor that they can't read is to write to stderr: the test wants none of that. */
static const struct tensor *readable(const void *reference, const char *what)
{
    const struct tensor *tensor = *(struct tensor *const *)reference;
    if (!tensor || tensor->layout != 0)
        wrong(what);
    return tensor;
}

#ifndef OLDER
EXPORT int aoti_torch_is_defined(const void *reference, bool *defined)
{
    *defined = *(struct tensor *const *)reference != NULL;
    return 0;
}
EXPORT int aoti_torch_get_layout(const void *reference, int32_t *layout)
{
    *layout = (*(struct tensor *const *)reference)->layout;
    return 0;
}
#endif
#define GET(name, type, value)                                           \
    EXPORT int name(const void *reference, type *result)                 \
    {                                                                    \
        const struct tensor *tensor = readable(reference, #name);        \
        *result = (type)(value);                                         \
        return 0;                                                        \
    }
GET(aoti_torch_get_dim, int64_t, tensor->rank)
GET(aoti_torch_get_sizes, int64_t *, tensor->size)
GET(aoti_torch_get_strides, int64_t *, tensor->stride)
GET(aoti_torch_get_dtype, int32_t, tensor->type)
GET(aoti_torch_get_device_type, int32_t, tensor->device)
#ifndef OLDER
GET(torch_get_const_data_ptr, const void *, tensor->data)
#endif

EXPORT void *SOFTMAX(void *self, reference a, int64_t dim, bool half, reference c)
{
    CHECK(self == (void *)1 && a && dim == -1 && half && c);
    return self;
}

EXPORT void *MAX_POOL(void *self, reference a, const int64_t *kernel, size_t kernels, const int64_t *stride, size_t strides, const int64_t *padding, size_t paddings,
                      const int64_t *dilation, size_t dilations, bool ceil, reference c, reference indices)
{
    CHECK(self == (void *)1 && a && *kernel == 2 && kernels == 3 && *stride == 4 && strides == 5 && *padding == 6 && paddings == 7 && *dilation == 8 && dilations == 9);
    CHECK(ceil && c && indices);
    return self;
}

EXPORT struct tensor **LAYER_NORM(struct tensor **result, reference a, const int64_t *shape, size_t shapes, const struct optional *weight, const struct optional *bias,
                                  double epsilon)
{
    static int64_t size[] = {4, 8}, stride[] = {8, 1};
    static struct tensor output = {2, size, stride, 6, 0, 0, "out"};
    CHECK(a && *shape == 8 && shapes == 1 && weight->engaged && !bias->engaged && epsilon == 0.125);
    result[0] = result[1] = NULL;
    result[2] = &output; /* a tuple's first lies last */
    return result;
}

EXPORT struct tensor **COPY(struct tensor **self, reference source, bool asynchronous)
{
    CHECK(self && source && !asynchronous);
    return self;
}

EXPORT reference INT_MM(reference a, reference b, reference c)
{
    CHECK(a && b && c);
    return c;
}

/* By a product that is caught, or by itself. */
EXPORT void *BMM(void *self, reference a, reference b, reference c)
{
    CHECK(self == (void *)1);
    SOFTMAX((void *)1, a, -1, true, c); /* no product: does not count as one */
    if ((*a)->size[1] > 4)
        INT_MM(a, b, c);
    return self;
}

EXPORT void **PREPACK(void **result, reference weight, const void *bias, const void *stride, const void *padding, const void *output_padding, const void *dilation,
                      int64_t groups, bool transposed)
{
    CHECK(weight && bias == (void *)3 && stride == (void *)4 && padding == (void *)5 && output_padding == (void *)6 && dilation == (void *)7 && groups == 2);
    *result = transposed ? (void *)0x2000 : (void *)0x1000;
    return result;
}

EXPORT struct tensor **CONVOLUTION(struct tensor **result, void *self, reference a, double scale, int64_t zero)
{
    static int64_t size[] = {2, 6, 5, 5}, stride[] = {150, 25, 5, 1};
    static struct tensor output = {4, size, stride, 13, 0, 0, "out"};
    CHECK(self && a && scale == 0.5 && zero == 3);
    *result = &output;
    return result;
}
