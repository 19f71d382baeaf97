/* Calls each function of fake_torch.c once or more, and checks what it gives back. */
#include "fake_torch.h"

enum { F32 = 6, I8 = 1, I32 = 3, I64 = 4, QI8 = 12, QU8 = 13, BF16 = 15, CUDA = 1, MKLDNN = 2 };
#define SIZES(...) (int64_t[]){__VA_ARGS__}
#define TENSOR(name, type, device, layout, rank, sizes, strides) struct tensor name##_value = {rank, sizes, strides, type, device, layout, #name}, *name = &name##_value

int main(void)
{
    TENSOR(x, F32, 0, 0, 2, SIZES(4, 8), SIZES(8, 1));
    TENSOR(y, F32, 0, 0, 2, SIZES(4, 8), SIZES(8, 1));
    TENSOR(turned, F32, 0, 0, 2, SIZES(4, 8), SIZES(1, 4));
    TENSOR(cast, BF16, 0, 0, 2, SIZES(4, 8), SIZES(8, 1));
    TENSOR(expanded, F32, 0, 0, 2, SIZES(4, 8), SIZES(0, 1));
    TENSOR(device, F32, CUDA, 0, 2, SIZES(4, 8), SIZES(8, 1));
    TENSOR(row, F32, 0, 0, 1, SIZES(8), SIZES(1));
    TENSOR(image, F32, 0, 0, 4, SIZES(1, 2, 8, 8), SIZES(128, 64, 8, 1));
    TENSOR(small, F32, 0, 0, 4, SIZES(1, 2, 4, 4), SIZES(32, 16, 4, 1));
    TENSOR(where, I64, 0, 0, 4, SIZES(1, 2, 4, 4), SIZES(32, 16, 4, 1));
    TENSOR(a, I8, 0, 0, 2, SIZES(3, 5), SIZES(5, 1));
    TENSOR(b, I8, 0, 0, 2, SIZES(5, 7), SIZES(7, 1));
    TENSOR(c, I32, 0, 0, 2, SIZES(3, 7), SIZES(7, 1));
    TENSOR(a3, F32, 0, 0, 3, SIZES(2, 3, 5), SIZES(15, 5, 1));
    TENSOR(b3, F32, 0, 0, 3, SIZES(2, 5, 7), SIZES(35, 7, 1));
    TENSOR(c3, F32, 0, 0, 3, SIZES(2, 3, 7), SIZES(21, 7, 1));
    TENSOR(a9, F32, 0, 0, 3, SIZES(2, 9, 5), SIZES(45, 5, 1));
    TENSOR(c9, F32, 0, 0, 3, SIZES(2, 9, 7), SIZES(63, 7, 1));
    TENSOR(weight, QI8, 0, 0, 4, SIZES(6, 2, 3, 3), SIZES(18, 9, 3, 1));
    TENSOR(input, QU8, 0, 0, 4, SIZES(2, 4, 7, 7), SIZES(196, 49, 7, 1));
#ifndef OLDER
    TENSOR(opaque, F32, 0, MKLDNN, 2, NULL, NULL);
    struct tensor *nothing = NULL;
#endif
    struct tensor *results[3] = {NULL, NULL, NULL}, *result = NULL;
    const struct optional some = {row, true}, none = {(struct tensor *)0x999, false};
    int64_t two = 2, four = 4, six = 6, eight = 8;
    void *packed = NULL, *transposed = NULL;
    bool good = SOFTMAX((void *)1, &x, -1, true, &y) == (void *)1;
    good &= MAX_POOL((void *)1, &image, &two, 3, &four, 5, &six, 7, &eight, 9, true, &small, &where) == (void *)1;
    good &= LAYER_NORM(results, &x, &eight, 1, &some, &none, 0.125) == results && results[2] && !results[0];
    good &= COPY(&y, &x, false) == &y;         /* a copy */
    good &= COPY(&y, &turned, false) == &y;    /* a transpose */
    good &= COPY(&cast, &expanded, false) == &cast;
    good &= COPY(&y, &device, false) == &y;    /* not this processor's work */
#ifndef OLDER
    good &= COPY(&opaque, &nothing, false) == &opaque; /* nothing that can be read */
#endif
    good &= INT_MM(&a, &b, &c) == &c;
    good &= BMM((void *)1, &a3, &b3, &c3) == (void *)1;
    good &= BMM((void *)1, &a9, &b3, &c9) == (void *)1;
    good &= *PREPACK(&packed, &weight, (void *)3, (void *)4, (void *)5, (void *)6, (void *)7, 2, false) == (void *)0x1000;
    good &= *PREPACK(&transposed, &weight, (void *)3, (void *)4, (void *)5, (void *)6, (void *)7, 2, true) == (void *)0x2000;
    good &= CONVOLUTION(&result, packed, &input, 0.5, 3) == &result;
    good &= CONVOLUTION(&result, transposed, &input, 0.5, 3) == &result;
    good &= CONVOLUTION(&result, (void *)0x3000, &input, 0.5, 3) == &result; /* packed before we came */
    puts(good ? "good" : "bad");
    return !good;
}
