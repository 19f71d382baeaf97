/* cuDNN's direct calls beside convolutions: norms, activations, pools, recurrent networks. One body for all, told by a table which argument is what. */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "cudnn.h"
#include "described.h"
#include "gpu_call.h"

/* Arguments are counted without floating-point ones: those lie in registers of their own. */
enum { ARGUMENTS = 32, READS = 3, SEQUENCES = 1024 };
#define PARAMETERS                                                                                                                                            \
    uintptr_t a0, uintptr_t a1, uintptr_t a2, uintptr_t a3, uintptr_t a4, uintptr_t a5, uintptr_t a6, uintptr_t a7, uintptr_t a8, uintptr_t a9, uintptr_t a10, \
        uintptr_t a11, uintptr_t a12, uintptr_t a13, uintptr_t a14, uintptr_t a15, uintptr_t a16, uintptr_t a17, uintptr_t a18, uintptr_t a19, uintptr_t a20,  \
        uintptr_t a21, uintptr_t a22, uintptr_t a23, uintptr_t a24, uintptr_t a25, uintptr_t a26, uintptr_t a27, uintptr_t a28, uintptr_t a29, uintptr_t a30,  \
        uintptr_t a31, double d0, double d1
#define LIST                                                                                                                                             \
    a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, a21, a22, a23, a24, a25, a26, a27, a28, a29, a30, a31

/* By entry: where the descriptors of what is read and written stand (0: none; the data stands behind each), and the factor of what was there before. */
static const struct layout {
    const char *name;
    uint16_t kind;
    uint8_t reads[READS], writes, beta;
    bool filter; /* the descriptors are those of filters */
} layouts[] = {
    {"cudnnSoftmaxForward", TVG_KIND_SOFTMAX, {4}, 7, 6, false},
    {"cudnnSoftmaxBackward", TVG_KIND_SOFTMAX, {4, 6}, 9, 8, false},
    {"cudnnActivationForward", TVG_KIND_ACTIVATION, {3}, 6, 5, false},
    {"cudnnActivationBackward", TVG_KIND_ACTIVATION, {3, 5, 7}, 10, 9, false},
    {"cudnnPoolingForward", TVG_KIND_POOL, {3}, 6, 5, false},
    {"cudnnPoolingBackward", TVG_KIND_POOL, {3, 5, 7}, 10, 9, false},
    {"cudnnLRNCrossChannelForward", TVG_KIND_NORM, {4}, 7, 6, false},
    {"cudnnLRNCrossChannelBackward", TVG_KIND_NORM, {4, 6, 8}, 11, 10, false},
    {"cudnnDivisiveNormalizationForward", TVG_KIND_NORM, {4}, 10, 9, false},
    {"cudnnDivisiveNormalizationBackward", TVG_KIND_NORM, {4}, 11, 10, false},
    {"cudnnBatchNormalizationForwardInference", TVG_KIND_NORM, {4}, 6, 3, false},
    {"cudnnBatchNormalizationForwardTraining", TVG_KIND_NORM, {4}, 6, 3, false},
    {"cudnnBatchNormalizationForwardTrainingEx", TVG_KIND_NORM, {5, 7}, 9, 4, false},
    {"cudnnBatchNormalizationBackward", TVG_KIND_NORM, {6, 8}, 10, 3, false},
    {"cudnnBatchNormalizationBackwardEx", TVG_KIND_NORM, {7, 9, 11}, 15, 4, false},
    {"cudnnNormalizationForwardInference", TVG_KIND_NORM, {6, 14}, 17, 5, false},
    {"cudnnNormalizationForwardTraining", TVG_KIND_NORM, {6, 17}, 19, 5, false},
    {"cudnnNormalizationBackward", TVG_KIND_NORM, {8, 10, 12}, 16, 5, false},
    {"cudnnOpTensor", TVG_KIND_ELEMENTWISE, {3, 6}, 9, 8, false},
    {"cudnnAddTensor", TVG_KIND_ELEMENTWISE, {2}, 5, 4, false},
    {"cudnnScaleTensor", TVG_KIND_ELEMENTWISE, {1}, 1, 0, false},
    {"cudnnDropoutForward", TVG_KIND_ELEMENTWISE, {2}, 4, 0, false},
    {"cudnnDropoutBackward", TVG_KIND_ELEMENTWISE, {2}, 4, 0, false},
    {"cudnnSpatialTfSamplerForward", TVG_KIND_ELEMENTWISE, {3}, 7, 6, false},
    {"cudnnReduceTensor", TVG_KIND_REDUCE, {7}, 10, 9, false},
    {"cudnnConvolutionBackwardBias", TVG_KIND_REDUCE, {2}, 5, 4, false},
    {"cudnnTransformTensor", TVG_KIND_TRANSPOSE, {2}, 5, 4, false},
    {"cudnnTransformTensorEx", TVG_KIND_TRANSPOSE, {3}, 6, 5, false},
    {"cudnnTransformFilter", TVG_KIND_TRANSPOSE, {3}, 6, 5, true},
    {"cudnnSetTensor", TVG_KIND_MEMSET, {0}, 1, 0, false},
};

typedef int any_function(PARAMETERS);

static bool read_descriptor(struct tvg_cudnn_tensor *tensor, const void *descriptor, bool filter)
{
    return filter ? tvg_cudnn_read_filter(tensor, descriptor) : tvg_cudnn_read_tensor(tensor, descriptor);
}

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, const struct layout *layout, const uintptr_t *argument)
{
    struct tvg_cudnn_tensor x = {0}, y;
    struct tvg_op op = {.function = entry->name, .net = entry->net, .kind = layout->kind, .on_gpu = 1, .device = -1, .flags = TVG_OP_FLOP_GIVEN};
    bool understood = read_descriptor(&y, (const void *)argument[layout->writes], layout->filter);
    for (int i = 0; i < READS && layout->reads[i]; i++) {
        struct tvg_cudnn_tensor one = {0};
        const bool readable = read_descriptor(&one, (const void *)argument[layout->reads[i]], layout->filter);
        *(i ? &op.bytes_b : &op.bytes_a) += tvg_cudnn_bytes(&one);
        if (i == 0) {
            understood &= readable;
            x = one;
        }
    }
    if (!understood) {
        tvg_note("unknown-version", entry->name, "its descriptors can't be read: its kernels are recorded, its bytes are not known");
        return NULL;
    }
    op.type_a = op.type_compute = x.rank ? x.type : y.type, op.type_c = y.type;
    op.dim_count = y.rank;
    for (int i = 0; i < y.rank; i++)
        op.dim[i] = y.dim[i];
    op.bytes_c = tvg_cudnn_bytes(&y);
    if (!layout->beta || tvg_cudnn_is_zero((const void *)argument[layout->beta], y.type))
        op.flags |= TVG_OP_BETA_ZERO;
    else
        op.bytes_c *= 2; /* read as well */
    op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
    return tvg_slot_described(call, entry, &op, caller);
}

/* The data behind the descriptor that stands at `place`. */
static const void *data_of(const uintptr_t *argument, uint8_t place) { return place ? (const void *)argument[place + 1] : NULL; }

#define DIRECT(SLOT, A, C)                                                                                                                   \
    TVG_TAKE_ENTRY(entry);                                                                                                                   \
    const uintptr_t argument[ARGUMENTS] = {LIST};                                                                                            \
    TVG_GPU_REST(int, TVG_FUNCTION(any_function, target)(LIST, d0, d1), SLOT, returned, false, data_of(argument, A), NULL, data_of(argument, C))

static const struct layout *layout_of(const struct tvg_entry *entry)
{
    const struct layout *layout = layouts, *end = layouts + sizeof layouts / sizeof *layouts;
    while (layout + 1 < end && strcmp(layout->name, entry->name) != 0)
        layout++;
    return layout;
}

any_function tvg_hook_cudnn_direct;
TVG_HOOK_BODY int tvg_hook_cudnn_direct(PARAMETERS)
{
    DIRECT(slot_of(&call, entry, caller, layout_of(entry), argument), layout_of(entry)->reads[0], layout_of(entry)->writes);
}

typedef int get_network(const void *network, int *algorithm, int *cell, int *bias, int *direction, int *input_mode, int *type, int *precision, int *math, int32_t *input,
                        int32_t *hidden, int32_t *projection, int32_t *layers, void **dropout, uint32_t *flags);
typedef int get_sequences(const void *data, int *type, int *layout, int *longest, int *batch, int *width, int requested, int lengths[], void *fill);
enum { CELL_LSTM = 2, CELL_GRU = 3, BIDIRECTIONAL = 1, SKIP_INPUT = 1 };

/* By entry: where the input's descriptor and the size of the weights stand. Each direction of a training step multiplies as often as the way forward. */
static const struct recurrent { const char *name; uint8_t data, weights; } recurrents[] = {
    {"cudnnRNNForward", 4, 14}, {"cudnnRNNBackwardData_v8", 6, 16}, {"cudnnRNNBackwardWeights_v8", 4, 10}};

static const struct recurrent *recurrent_of(const struct tvg_entry *entry)
{
    const struct recurrent *recurrent = recurrents;
    while (strcmp(recurrent->name, entry->name) != 0 && recurrent + 1 < recurrents + sizeof recurrents / sizeof *recurrents)
        recurrent++;
    return recurrent;
}

/* Per token and layer: gates x hidden x (input + what comes back), and the projection of an LSTM. A layer behind the first reads all directions of the one before. */
static uint64_t recurrent_flop(int cell, uint64_t directions, bool skip, uint64_t input, uint64_t hidden, uint64_t out, uint64_t layers)
{
    const uint64_t gates = cell == CELL_LSTM ? 4 : cell == CELL_GRU ? 3 : 1;
    uint64_t sum = 0;
    for (uint64_t layer = 0; layer < layers; layer++) {
        const uint64_t from = layer ? directions * out : skip ? 0 : input;
        sum += 2 * directions * (gates * hidden * (from + out) + (out != hidden ? hidden * out : 0));
    }
    return sum;
}

static void *accessor(_Atomic(void *) *kept, const char *name)
{
    void *found = atomic_load_explicit(kept, memory_order_acquire);
    if (!found)
        atomic_store_explicit(kept, found = tvg_cudnn_accessor(name), memory_order_release);
    return found;
}

static struct tvg_slot *recurrent_slot(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, const void *network, const uintptr_t *argument)
{
    static _Atomic(void *) network_accessor, data_accessor;
    get_network *of_network = TVG_FUNCTION(get_network, accessor(&network_accessor, "cudnnGetRNNDescriptor_v8"));
    get_sequences *of_data = TVG_FUNCTION(get_sequences, accessor(&data_accessor, "cudnnGetRNNDataDescriptor"));
    const struct recurrent *recurrent = recurrent_of(entry);
    int algorithm, cell, bias, direction, input_mode, type, precision, math, data_type, layout, longest = 0, batch = 0, width = 0, lengths[SEQUENCES];
    int32_t input, hidden, projection, layers;
    uint32_t flags;
    void *dropout;
    double fill;
    if (!of_network || !of_data || of_network(network, &algorithm, &cell, &bias, &direction, &input_mode, &type, &precision, &math, &input, &hidden, &projection, &layers,
                                              &dropout, &flags) != 0 ||
        of_data((const void *)argument[recurrent->data], &data_type, &layout, &longest, &batch, &width, SEQUENCES, lengths, &fill) != 0) {
        tvg_note("unknown-version", entry->name, "its descriptors can't be read: its kernels are recorded, its FLOP are not known");
        return NULL;
    }
    struct tvg_op op = {.function = entry->name, .net = entry->net, .kind = TVG_KIND_RNN, .on_gpu = 1, .device = -1, .flags = TVG_OP_FLOP_GIVEN | TVG_OP_BETA_ZERO};
    uint64_t tokens = 0;
    if (batch > SEQUENCES) {
        tokens = (uint64_t)batch * (uint64_t)longest;
        op.flags |= TVG_OP_DIMS_UNSURE;
    }
    for (int i = 0; i < batch && batch <= SEQUENCES; i++)
        tokens += (uint64_t)(lengths[i] > 0 ? lengths[i] : 0);
    const uint64_t directions = direction == BIDIRECTIONAL ? 2 : 1, out = (uint64_t)(projection > 0 ? projection : hidden);
    op.type_a = op.type_b = op.type_c = op.type_compute = tvg_cudnn_type(type);
    op.flop = tokens * recurrent_flop(cell, directions, input_mode == SKIP_INPUT, (uint64_t)input, (uint64_t)hidden, out, (uint64_t)layers);
    const int64_t dims[] = {batch, longest, input, hidden, layers, (int64_t)directions};
    op.dim_count = sizeof dims / sizeof *dims;
    for (int i = 0; i < op.dim_count; i++)
        op.dim[i] = dims[i];
    op.bytes_a = tvg_type_bytes(op.type_a, tokens * (uint64_t)input);
    op.bytes_b = argument[recurrent->weights];
    op.bytes_c = tvg_type_bytes(op.type_a, tokens * directions * out);
    op.bytes = op.bytes_a + op.bytes_b + op.bytes_c;
    return tvg_slot_described(call, entry, &op, caller);
}

any_function tvg_hook_cudnn_recurrent;
TVG_HOOK_BODY int tvg_hook_cudnn_recurrent(PARAMETERS)
{
    DIRECT(recurrent_slot(&call, entry, caller, (const void *)a1, argument), recurrent_of(entry)->data, 0);
}

/* Calls that compute what is not followed: that they ran is said, their kernels are recorded. */
static struct tvg_slot *uncounted_slot(const struct tvg_entry *entry)
{
    tvg_recording_begin();
    const bool tunes = strncmp(entry->name, "cudnnFind", 9) == 0;
    tvg_note("found-not-catchable", entry->name,
             tunes ? "tries algorithms an unknown number of times: its kernels are recorded, its FLOP are not known" : "not followed: its kernels are recorded, its FLOP are not known");
    return NULL;
}

any_function tvg_hook_cudnn_uncounted;
TVG_HOOK_BODY int tvg_hook_cudnn_uncounted(PARAMETERS)
{
    DIRECT(uncounted_slot(entry), 0, 0);
}
