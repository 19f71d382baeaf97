/* Builds graphs as XLA does, runs each once, and calls Eigen once for each way of numbering what a callback's manager does. */
#include <stddef.h>
#include <stdint.h>

#define NONE UINT32_MAX
int ynn_create_subgraph(uint32_t, uint32_t, void **), ynn_create_runtime(void *, void *, uint32_t, void **), ynn_set_external_value_data(void *, uint32_t, void *);
int ynn_invoke_runtime(void *), ynn_define_tensor(void *, uint32_t, size_t, const size_t *, const void *, uint32_t, uint32_t *);
int ynn_define_unary(void *, int, uint32_t, uint32_t *, uint32_t), ynn_define_binary(void *, int, uint32_t, uint32_t, uint32_t *, uint32_t);
int ynn_define_static_reshape(void *, size_t, const void *, uint32_t, uint32_t *, uint32_t), ynn_define_static_transpose(void *, size_t, const void *, uint32_t, uint32_t *, uint32_t);
int ynn_define_static_expand_dims(void *, size_t, const void *, uint32_t, uint32_t *, uint32_t), ynn_define_static_broadcast(void *, size_t, const void *, uint32_t, uint32_t *, uint32_t);
int ynn_define_fuse_dim(void *, int32_t, size_t, uint32_t, uint32_t *, uint32_t), ynn_define_split_dim(void *, int32_t, size_t, const size_t *, uint32_t, uint32_t *, uint32_t);
int ynn_define_static_pad(void *, size_t, const int32_t *, const int64_t *, const int64_t *, uint32_t, uint32_t, uint32_t *, uint32_t);
int ynn_define_static_slice(void *, size_t, const int32_t *, const int64_t *, const int64_t *, const int64_t *, uint32_t, uint32_t *, uint32_t);
int ynn_define_stencil_copy(void *, size_t, const int32_t *, const int32_t *, const size_t *, const size_t *, const size_t *, uint32_t, uint32_t, uint32_t *, uint32_t);
int ynn_define_reduce(void *, int, size_t, const int32_t *, uint32_t, uint32_t, uint32_t *, uint32_t);
int ynn_define_concatenate(void *, int32_t, size_t, const uint32_t *, uint32_t *, uint32_t);
int ynn_define_dot(void *, size_t, uint32_t, uint32_t, uint32_t, uint32_t *, uint32_t);
void ynn_delete_subgraph(void *), ynn_delete_runtime(void *), fake_multiply(int);

enum { INT8 = 1, FP32 = 2, BF16 = 3, INT32 = 4 };
#define DIMS(...) (sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t)), (size_t[]){__VA_ARGS__}
#define AXES(...) (sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)), (int32_t[]){__VA_ARGS__}

static float memory[3][16];
static void *graph;

static uint32_t tensor(uint32_t type, size_t rank, const size_t *dims, uint32_t id)
{
    ynn_define_tensor(graph, type, rank, dims, NULL, 0, &id);
    return id;
}

static void begin(void) { ynn_create_subgraph(3, 0, &graph); }

static void run(void)
{
    void *runtime;
    ynn_create_runtime(graph, NULL, 0, &runtime);
    for (uint32_t i = 0; i < 3; i++)
        ynn_set_external_value_data(runtime, i, memory[i]);
    ynn_invoke_runtime(runtime);
    ynn_delete_runtime(runtime);
    ynn_delete_subgraph(graph);
}

int main(void)
{
    uint32_t a, b, c = NONE, d = NONE, e = NONE;

    begin(); /* a transposed weight */
    a = tensor(FP32, DIMS(64, 96), 0), b = tensor(FP32, DIMS(128, 96), 1);
    ynn_define_static_transpose(graph, AXES(1, 0), b, &c, 0);
    d = tensor(FP32, DIMS(64, 128), 2);
    ynn_define_dot(graph, 1, a, c, NONE, &d, 0);
    run();

    begin(); /* a batch, b broadcast over its first dimension; int8 */
    a = tensor(INT8, DIMS(4, 3, 24, 32), 0), b = tensor(INT8, DIMS(3, 32, 16), 1), c = NONE, d = 2;
    ynn_define_static_expand_dims(graph, AXES(0), b, &c, 0);
    d = tensor(INT32, DIMS(4, 3, 24, 16), 2);
    ynn_define_dot(graph, 1, a, c, NONE, &d, 0);
    run();

    begin(); /* a grouped convolution */
    a = tensor(FP32, DIMS(2, 16, 16, 8), 0), b = tensor(FP32, DIMS(3, 3, 2, 16), 1), c = d = e = NONE;
    uint32_t split = NONE, groups = NONE, windows = NONE, out = NONE, last = 2;
    ynn_define_split_dim(graph, -1, DIMS(4, 4), b, &split, 0);
    ynn_define_static_transpose(graph, AXES(3, 0, 1, 2, 4), split, &groups, 0);
    ynn_define_static_pad(graph, 2, (int32_t[]){1, 2}, (int64_t[]){1, 1}, (int64_t[]){1, 1}, a, NONE, &c, 0);
    ynn_define_stencil_copy(graph, 4, (int32_t[]){1, 2, 3, 3}, (int32_t[]){-3, -2, -5, -4}, (size_t[]){3, 3, 4, 1}, (size_t[]){1, 1, 1, 1}, (size_t[]){1, 1, 2, 1}, c, NONE,
                            &windows, 0);
    ynn_define_dot(graph, 3, windows, groups, NONE, &out, 0);
    ynn_define_fuse_dim(graph, -3, 3, out, &last, 0);
    run();

    begin(); /* what is around a product, and shapes that only their definitions tell */
    a = tensor(BF16, DIMS(6, 8, 10), 0), b = tensor(FP32, DIMS(40, 7), 1), c = d = e = NONE;
    uint32_t sliced = NONE, doubled = NONE, rows = NONE, product = NONE, sum = 2;
    ynn_define_static_slice(graph, 1, (int32_t[]){0}, (int64_t[]){1}, (int64_t[]){5}, (int64_t[]){2}, a, &sliced, 0);
    ynn_define_concatenate(graph, 1, 2, (uint32_t[]){sliced, sliced}, &doubled, 0);
    ynn_define_static_reshape(graph, DIMS(0, 40), doubled, &rows, 0);
    ynn_define_unary(graph, 1, rows, &c, 0);
    ynn_define_dot(graph, 1, c, b, NONE, &product, 0);
    ynn_define_binary(graph, 1, product, product, &d, 0);
    ynn_define_reduce(graph, 1, AXES(0), d, NONE, &sum, 0);
    run();

    begin(); /* an operand that came from nowhere */
    b = tensor(FP32, DIMS(4, 5), 1), d = 2;
    ynn_define_dot(graph, 1, 77, b, NONE, &d, 0);
    run();

    fake_multiply(0);
    fake_multiply(1);
}
