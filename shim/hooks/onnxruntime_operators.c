/* The table of ONNX Runtime's operators. A dimension that neither arguments nor attributes tell is not guessed: then the op has its time and
 * operands, no FLOP, and a note says so. */
#include "onnxruntime_describe.h"

#include <stdlib.h>
#include <string.h>

#include "../record/record.h"

/* Operators with FLOP: type of the node, domain, how it is described, the operands' inputs, and see onnxruntime_describe.h. */
static const struct tvg_ort_operator operators[] = {
    {"MatMul", NULL, tvg_ort_matmul, 0, 1, 0, 0}, {"FusedMatMul", NULL, tvg_ort_matmul, 0, 1, 0, 0}, {"TransposeMatMul", NULL, tvg_ort_matmul, 0, 1, 0, 0},
    {"Gemm", NULL, tvg_ort_matmul, 0, 1, 0, 0}, {"FusedGemm", NULL, tvg_ort_matmul, 0, 1, 0, 0},
    {"MatMulInteger", NULL, tvg_ort_matmul, 0, 1, 0, 0}, {"MatMulIntegerToFloat", NULL, tvg_ort_matmul, 0, 1, 0, 0},
    {"DynamicQuantizeMatMul", NULL, tvg_ort_matmul, 0, 1, 0, 0}, {"MatMulInteger16", NULL, tvg_ort_matmul, 0, 1, 0, 0},
    {"QLinearMatMul", NULL, tvg_ort_matmul, 0, 3, 0, 0}, {"QGemm", NULL, tvg_ort_matmul, 0, 3, 0, 0},
    {"MatMulNBits", NULL, tvg_ort_block_quantized, 0, 1, 0, 0}, {"MatMulFpQ4", NULL, tvg_ort_block_quantized, 0, 1, 0, 0},
    {"MatMulBnb4", NULL, tvg_ort_block_quantized, 0, 1, 0, 0},
    {"Conv", NULL, tvg_ort_convolution, 0, 1, 0, 0}, {"FusedConv", NULL, tvg_ort_convolution, 0, 1, 0, 0}, {"NchwcConv", NULL, tvg_ort_convolution, 0, 1, 0, 0},
    {"DeformConv", NULL, tvg_ort_convolution, 0, 1, 0, 0}, {"CausalConvWithState", NULL, tvg_ort_convolution, 0, 1, 0, 0},
    {"ConvInteger", NULL, tvg_ort_convolution, 0, 1, 0, 0}, {"QLinearConv", NULL, tvg_ort_convolution, 0, 3, 0, 0},
    {"ConvTranspose", NULL, tvg_ort_transposed_convolution, 0, 1, 0, 0},
    {"ConvTransposeWithDynamicPads", NULL, tvg_ort_transposed_convolution, 0, 1, 0, 0},
    {"Attention", "com.microsoft", tvg_ort_projected_attention, 0, 1, 4, 6}, {"Attention", "", tvg_ort_attention, 0, 1, 4, 0},
    {"QAttention", NULL, tvg_ort_projected_attention, 0, 1, 8, 0}, {"MultiHeadAttention", NULL, tvg_ort_multi_head_attention, 0, 1, 6, 8},
    {"DecoderMaskedMultiHeadAttention", NULL, tvg_ort_decoder_attention, 0, 1, 5, 7},
    {"GroupQueryAttention", NULL, tvg_ort_group_query_attention, 0, 1, 3, 5}, {"SparseAttention", NULL, tvg_ort_sparse_attention, 0, 1, 3, 8},
    {"LinearAttention", NULL, tvg_ort_linear_attention, 0, 1, 0, 0}, {"GatedDeltaNet", NULL, tvg_ort_gated_delta, 0, 1, 0, 0},
    {"LSTM", NULL, tvg_ort_recurrent, 0, 1, 4, 0}, {"DynamicQuantizeLSTM", NULL, tvg_ort_recurrent, 0, 1, 4, 0}, {"GRU", NULL, tvg_ort_recurrent, 0, 1, 3, 0},
    {"RNN", NULL, tvg_ort_recurrent, 0, 1, 1, 0}, {"Einsum", NULL, tvg_ort_einsum, 0, 1, 0, 0},
    {"MoE", NULL, tvg_ort_mixture, 0, 2, 2, 0}, {"QMoE", NULL, tvg_ort_mixture, 0, 2, 3, 0}};

/* Operators that only move or change what they are given. */
enum { VIEWS = TVG_KIND_COUNT, SHAPES, PICKS }; /* kinds of copies: none when in place; of nothing; of no more than they give */
static const struct {
    uint8_t kind;
    const char *types; /* between blanks */
} beyond[] = {
    {TVG_KIND_NORM, " LayerNormalization SkipLayerNormalization SimplifiedLayerNormalization SkipSimplifiedLayerNormalization RMSNormalization "
                    "InstanceNormalization GroupNorm BatchNormalization LpNormalization MeanVarianceNormalization LRN Normalizer GatedRMSNorm "
                    "BranchwiseRMSNorm "},
    {TVG_KIND_SOFTMAX, " Softmax LogSoftmax QLinearSoftmax Hardmax "},
    {TVG_KIND_ACTIVATION, " Relu LeakyRelu PRelu Elu Selu Celu ThresholdedRelu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign Gelu FastGelu BiasGelu "
                          "QuickGelu Mish Swish ScaledSiLU QLinearSigmoid QLinearLeakyRelu ScaledTanh ParametricSoftplus ImageScaler "},
    {TVG_KIND_ELEMENTWISE, " Add Sub Mul Div Pow Mod Min Max Sum Mean Abs Neg Sqrt Exp Log Reciprocal Floor Ceil Round Sign Sin Cos Tan Asin Acos Atan "
                           "Sinh Cosh Asinh Acosh Atanh Erf And Or Xor Not Equal Less LessOrEqual Greater GreaterOrEqual Where Clip IsNaN IsInf BitShift "
                           "BitwiseAnd BitwiseOr BitwiseXor BitwiseNot QLinearAdd QLinearMul QLinearWhere Affine Scale GatedAdd "},
    {TVG_KIND_REDUCE, " ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare ArgMax ArgMin "
                      "CumSum CumProd TopK "},
    {TVG_KIND_POOL, " MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool QLinearAveragePool QLinearGlobalAveragePool MaxUnpool "
                    "MaxpoolWithMask NhwcMaxPool RoiAlign MaxRoiPool "},
    {TVG_KIND_EMBEDDING, " EmbedLayerNormalization QEmbedLayerNormalization GatherBlockQuantized "},
    {TVG_KIND_ROPE, " RotaryEmbedding MRotaryEmbedding GemmaRotaryEmbedding "},
    {TVG_KIND_QUANTIZE, " QuantizeLinear DynamicQuantizeLinear "},
    {TVG_KIND_DEQUANTIZE, " DequantizeLinear "},
    {TVG_KIND_TRANSPOSE, " Transpose ReorderInput ReorderOutput DepthToSpace SpaceToDepth "},
    {TVG_KIND_COPY, " Cast CastLike Concat QLinearConcat Split Tile Expand Pad MemcpyToHost MemcpyFromHost BiasSplitGelu Scatter ScatterElements ScatterND "
                    "TensorScatter Resize Upsample Trilu ReverseSequence OneHot Compress Col2Im "},
    {VIEWS, " Reshape Flatten Squeeze Unsqueeze Identity Dropout BitCast ExpandDims "},
    {PICKS, " Gather GatherElements GatherND Slice "},
    {SHAPES, " Shape Size ConstantOfShape Range RandomNormal RandomUniform RandomNormalLike RandomUniformLike EyeLike "}};

static uint8_t kind_of(const char *type)
{
    char word[80] = " ";
    size_t length = strlen(type);
    if (length > sizeof word - 3)
        return TVG_KIND_OTHER;
    memcpy(word + 1, type, length);
    memcpy(word + 1 + length, " ", 2);
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        if (strstr(beyond[i].types, word))
            return beyond[i].kind;
    return TVG_KIND_OTHER;
}

/* The operator's name: the node's type; where a node can't be told, the class's, without its namespaces ("N11onnxruntime7contrib5QGemmE"). */
static void name_operator(const struct tvg_ort_call *call, const char *class, char *function)
{
    const char *at = class + (*class == 'N'), *last = at;
    size_t length = 0;
    if (call->node) {
        last = call->type.at;
        length = call->type.length;
    } else
        for (char *end; *at >= '1' && *at <= '9'; at = end + length) {
            length = strtoul(at, &end, 10);
            last = end;
            if (strnlen(end, length) < length)
                break;
        }
    length = length < 63 ? length : 63;
    memcpy(function, last, strnlen(last, length));
    function[strnlen(last, length)] = 0;
    static const char *const other_names[][2] = {{"DeepCpuLstmOp", "LSTM"}, {"DeepCpuGruOp", "GRU"}, {"QMoECPU", "QMoE"}};
    for (size_t i = 0; !call->node && i < sizeof other_names / sizeof *other_names; i++)
        if (strcmp(function, other_names[i][0]) == 0)
            strcpy(function, other_names[i][1]);
}

static const struct tvg_ort_operator *operator_of(const struct tvg_ort_call *call, const char *class, const char *function)
{
    bool contrib = call->node ? call->domain.length > 0 : strstr(class, "7contrib") != NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (strcmp(function, operators[i].name) == 0 && (!operators[i].domain || (operators[i].domain[0] != 0) == contrib))
            return &operators[i];
    return NULL;
}

/* Bytes of an operator without FLOP: all that it is given and gives. */
static void describe_movement(struct tvg_op *op, const struct tvg_ort_call *call, uint8_t kind)
{
    struct tvg_ort_tensor first, tensor, output = {0};
    tvg_ort_input(call, 0, &first);
    for (int i = 0; i < call->output_count; i++)
        if (tvg_ort_output(call, i, &tensor)) {
            op->bytes_c += tvg_ort_bytes(&tensor);
            output = output.type ? output : tensor;
        }
    for (int i = 0; i < call->input_count; i++)
        if (tvg_ort_input(call, i, &tensor))
            *(i == 0 ? &op->bytes_a : &op->bytes_b) += tvg_ort_bytes(&tensor);
    op->kind = kind < TVG_KIND_COUNT ? kind : TVG_KIND_COPY;
    if (kind == VIEWS) { /* the shape is not worth counting */
        op->bytes_b = 0;
        if (first.data == output.data)
            op->bytes_a = op->bytes_c = 0;
    } else if (kind == SHAPES)
        op->bytes_a = op->bytes_b = 0;
    else if (kind == PICKS) {
        op->bytes_a = op->bytes_a < op->bytes_c ? op->bytes_a : op->bytes_c;
        bool table = first.rank == 2 && strcmp(op->function, "Gather") == 0 && first.type != TVG_TYPE_I64 && first.type != TVG_TYPE_I32;
        op->kind = table ? TVG_KIND_EMBEDDING : TVG_KIND_COPY;
    }
    const struct tvg_ort_tensor *dims = output.type ? &output : &first;
    memcpy(op->dim, dims->dim, sizeof dims->dim);
    op->dim_count = (uint8_t)dims->rank;
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    op->flags |= TVG_OP_FLOP_GIVEN;
}

void tvg_ort_describe(struct tvg_op *op, const struct tvg_ort_call *call, const char *class, char *function, struct tvg_ort_tensor *a,
                      struct tvg_ort_tensor *b, struct tvg_ort_tensor *c)
{
    name_operator(call, class, function);
    op->function = function;
    const struct tvg_ort_operator *operator = operator_of(call, class, function);
    tvg_ort_input(call, operator ? operator->a : 0, a);
    tvg_ort_input(call, operator ? operator->b : 1, b);
    tvg_ort_output(call, 0, c);
    op->type_a = a->type, op->type_b = b->type ? b->type : a->type, op->type_c = c->type, op->type_compute = operator ? op->type_b : a->type;
    struct tvg_op plain = *op;
    if (operator && operator->describe(op, call, operator))
        return;
    uint8_t kind = kind_of(function);
    *op = plain;
    describe_movement(op, call, kind);
    if (operator) {
        op->flags |= TVG_OP_DIMS_UNSURE;
        tvg_note("found-not-catchable", function, "its FLOP are not counted: a dimension can't be known from its arguments and attributes");
    } else if (kind == TVG_KIND_OTHER)
        tvg_note("found-not-catchable", function, "its FLOP are not counted: only time and operands are known");
}
