/* Makes, shapes, feeds, runs and deletes operators as a delegate does; then a node of TensorFlow Lite's own, and one whose tensors lie. */
#include <stddef.h>
#include <stdint.h>

int xnn_create_fully_connected_nc_qs8_qc8w(size_t, size_t, size_t, size_t, int8_t, float, const float *, const int8_t *, const int32_t *, int8_t, float, int8_t, int8_t, uint32_t, void *, void **);
int xnn_create_fully_connected_nc_qs8_qc2w(size_t, size_t, size_t, size_t, int8_t, float, const float *, const void *, const int32_t *, int8_t, float, int8_t, int8_t, uint32_t, void *, void **);
int xnn_create_convolution2d_nhwc_f32(uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, size_t, size_t, size_t,
                                      size_t, const float *, const float *, float, float, uint32_t, void *, void **);
int xnn_create_batch_matrix_multiply_nc_f32(uint32_t, void **);
int xnn_reshape_fully_connected_nc_qs8_qc8w(void *, size_t, void *), xnn_setup_fully_connected_nc_qs8_qc8w(void *, const int8_t *, int8_t *);
int xnn_reshape_convolution2d_nhwc_f32(void *, size_t, size_t, size_t, size_t *, size_t *, size_t *, void *), xnn_setup_convolution2d_nhwc_f32(void *, void *, const float *, float *);
int xnn_reshape_batch_matrix_multiply_nc_f32(void *, size_t, const size_t *, const size_t *, size_t, size_t, size_t, size_t *, void *);
int xnn_setup_batch_matrix_multiply_nc_f32(void *, void *, const float *, const float *, float *);
int xnn_run_operator_with_index(void *, size_t, size_t, void *), xnn_delete_operator(void *);
struct dims { int size, value[4]; };
struct tensor { int type; void *data; struct dims *dims; float scale; int zero; int allocation; size_t bytes; };
struct node { int input[3], output; };
int _ZN6tflite3ops7builtin15fully_connected4EvalILNS2_10KernelTypeE1EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(struct tensor *, struct node *);
int _ZN6tflite3ops7builtin14depthwise_conv4EvalILNS2_10KernelTypeE2EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(struct tensor *, struct node *);

int main(void)
{
    static int8_t bytes[3][8] = {{1}, {7}};
    static float floats[3][8] = {{1}, {7, 8}}, scale = 2.5f;
    int32_t bias = 11;
    void *dense, *image, *batched, *unknown;
    size_t room, height, width, a[] = {4, 3}, b[] = {1, 3};

    xnn_create_fully_connected_nc_qs8_qc8w(48, 96, 50, 97, -3, 0.25f, &scale, bytes[1], &bias, 5, 0.125f, -128, 127, 0, NULL, &dense);
    xnn_create_convolution2d_nhwc_f32(1, 2, 3, 4, 3, 5, 2, 1, 1, 1, 4, 2, 6, 8, 24, floats[1], floats[1] + 1, -1.5f, 6.5f, 9, NULL, &image);
    xnn_create_batch_matrix_multiply_nc_f32(0, &batched);
    xnn_create_fully_connected_nc_qs8_qc2w(1, 1, 1, 1, 0, 1, &scale, bytes[1], &bias, 0, 1, -128, 127, 0, NULL, &unknown);
    xnn_reshape_fully_connected_nc_qs8_qc8w(dense, 10, NULL);
    xnn_reshape_convolution2d_nhwc_f32(image, 2, 14, 9, &room, &height, &width, NULL);
    xnn_reshape_batch_matrix_multiply_nc_f32(batched, 2, a, b, 20, 30, 40, &room, NULL);
    xnn_setup_fully_connected_nc_qs8_qc8w(dense, bytes[0], bytes[2]);
    xnn_setup_convolution2d_nhwc_f32(image, NULL, floats[0], floats[2]);
    xnn_setup_batch_matrix_multiply_nc_f32(batched, NULL, floats[0], floats[1], floats[2]);
    for (int run = 0; run < 2; run++) {
        xnn_run_operator_with_index(dense, 0, 0, NULL);
        xnn_run_operator_with_index(image, 1, 0, NULL);
        xnn_run_operator_with_index(batched, 2, 1, NULL);
        xnn_run_operator_with_index(unknown, 3, 0, NULL);
    }
    xnn_reshape_fully_connected_nc_qs8_qc8w(dense, 33, NULL); /* another number of rows */
    xnn_run_operator_with_index(dense, 0, 0, NULL);
    xnn_delete_operator(dense);
    xnn_run_operator_with_index(dense, 0, 0, NULL); /* an address that means nothing any more */

    struct dims dims_a = {3, {2, 5, 8}}, dims_b = {2, {6, 8}}, dims_c = {3, {2, 5, 6}};
    struct tensor tensors[] = {{1, floats[0], &dims_a, 0, 0, 0, 2 * 5 * 8 * 4}, {9, bytes[1], &dims_b, 0, 0, 0, 6 * 8}, {1, floats[2], &dims_c, 0, 0, 0, 2 * 5 * 6 * 4}};
    struct node node = {{0, 1, 1}, 2};
    _ZN6tflite3ops7builtin15fully_connected4EvalILNS2_10KernelTypeE1EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(tensors, &node);
    tensors[0].bytes++; /* not what type and dimensions say */
    _ZN6tflite3ops7builtin14depthwise_conv4EvalILNS2_10KernelTypeE2EEE12TfLiteStatusP13TfLiteContextP10TfLiteNode(tensors, &node);
    return 0;
}
