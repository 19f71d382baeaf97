/* Stands for libpywrap_litert_common.so in test_engines_below.py: operators of XNNPACK that say whether their arguments arrived as they were given,
 * and two kernels of TensorFlow Lite's own. Nothing is computed. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define NAMED __attribute__((noinline, used))
static void *made[16];
static int count;

static int make(void **out, int good, const char *name)
{
    printf("%s %s\n", name, good ? "as given" : "DIFFERS");
    *out = &made[count++];
    return 0;
}
static void work(void) { nanosleep(&(struct timespec){0, 2000000}, NULL); }

NAMED int xnn_create_fully_connected_nc_qs8_qc8w(size_t in, size_t out, size_t in_stride, size_t out_stride, int8_t in_zero, float in_scale, const float *scale,
                                                 const int8_t *kernel, const int32_t *bias, int8_t out_zero, float out_scale, int8_t min, int8_t max, uint32_t flags,
                                                 void *cache, void **op)
{
    return make(op, in == 48 && out == 96 && in_stride == 50 && out_stride == 97 && in_zero == -3 && in_scale == 0.25f && *scale == 2.5f && kernel[0] == 7 &&
                    *bias == 11 && out_zero == 5 && out_scale == 0.125f && min == -128 && max == 127 && flags == 0 && !cache, "fully connected");
}
NAMED int xnn_create_convolution2d_nhwc_f32(uint32_t top, uint32_t right, uint32_t bottom, uint32_t left, uint32_t kernel_h, uint32_t kernel_w, uint32_t stride_h,
                                            uint32_t stride_w, uint32_t dilation_h, uint32_t dilation_w, uint32_t groups, size_t group_in, size_t group_out,
                                            size_t in_stride, size_t out_stride, const float *kernel, const float *bias, float min, float max, uint32_t flags,
                                            void *cache, void **op)
{
    return make(op, top == 1 && right == 2 && bottom == 3 && left == 4 && kernel_h == 3 && kernel_w == 5 && stride_h == 2 && stride_w == 1 && dilation_h == 1 &&
                    dilation_w == 1 && groups == 4 && group_in == 2 && group_out == 6 && in_stride == 8 && out_stride == 24 && *kernel == 7 && *bias == 8 &&
                    min == -1.5f && max == 6.5f && flags == 9 && !cache, "convolution");
}
NAMED int xnn_create_batch_matrix_multiply_nc_f32(uint32_t flags, void **op) { return make(op, flags == 0, "batched"); }
NAMED int xnn_create_fully_connected_nc_qs8_qc2w(size_t in, size_t out, size_t in_stride, size_t out_stride, int8_t in_zero, float in_scale, const float *scale,
                                                 const void *kernel, const int32_t *bias, int8_t out_zero, float out_scale, int8_t min, int8_t max, uint32_t flags,
                                                 void *cache, void **op)
{
    return make(op, in + out + in_stride + out_stride + flags == 4 && in_zero == 0 && in_scale == 1 && scale && kernel && bias && out_zero == 0 && out_scale == 1 &&
                    min < max && !cache, "two bits");
}
NAMED int xnn_reshape_fully_connected_nc_qs8_qc8w(void *op, size_t batch, void *pool) { return printf("%zu rows %d\n", batch, op && !pool) < 0; }
NAMED int xnn_setup_fully_connected_nc_qs8_qc8w(void *op, const int8_t *a, int8_t *c) { return printf("setup %d\n", op && a && c) < 0; }
NAMED int xnn_reshape_convolution2d_nhwc_f32(void *op, size_t batch, size_t height, size_t width, size_t *room, size_t *out_h, size_t *out_w, void *pool)
{
    *out_h = 7, *out_w = 12, *room = 0;
    return printf("%zu images of %zu x %zu %d\n", batch, height, width, op && !pool) < 0;
}
NAMED int xnn_setup_convolution2d_nhwc_f32(void *op, void *room, const float *a, float *c) { return printf("setup %d\n", op && !room && a && c) < 0; }
NAMED int xnn_reshape_batch_matrix_multiply_nc_f32(void *op, size_t dims, const size_t *a, const size_t *b, size_t m, size_t k, size_t n, size_t *room, void *pool)
{
    *room = 0;
    return printf("%zu %zu %zu: %zu %zu %zu %d\n", dims, a[0], b[1], m, k, n, op && !pool) < 0;
}
NAMED int xnn_setup_batch_matrix_multiply_nc_f32(void *op, void *room, const float *a, const float *b, float *c) { return printf("setup %d\n", op && !room && a && b && c) < 0; }
NAMED int xnn_run_operator_with_index(void *op, size_t node, size_t part, void *pool)
{
    printf("runs %zu %zu %d\n", node, part, op && !pool);
    work();
    return 0;
}
NAMED int xnn_delete_operator(void *op) { return printf("deleted %d\n", op != NULL) < 0; }

/* TensorFlow Lite: a context is an array of tensors, a node says which. */
struct dims { int size, value[4]; };
struct tensor { int type; void *data; struct dims *dims; float scale; int zero; int allocation; size_t bytes; };
struct node { int input[3], output; };
NAMED struct tensor *_ZN6tflite8GetInputEPK13TfLiteContextPK10TfLiteNodei(struct tensor *context, const struct node *node, int index) { return &context[node->input[index]]; }
NAMED struct tensor *_ZN6tflite9GetOutputEP13TfLiteContextPK10TfLiteNodei(struct tensor *context, const struct node *node, int index) { return &context[node->output + index]; }
NAMED int _ZN6tflite3ops7builtin15fully_connected4EvalILNS2_10KernelTypeE1EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(struct tensor *context, struct node *node)
{
    printf("fully connected %d\n", context && node);
    work();
    return 0;
}
NAMED int _ZN6tflite3ops7builtin14depthwise_conv4EvalILNS2_10KernelTypeE2EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(struct tensor *context, struct node *node)
{
    printf("depthwise %d\n", context && node);
    work();
    return 0;
}
