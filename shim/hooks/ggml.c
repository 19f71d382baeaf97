/* ggml graphs (llama.cpp, whisper.cpp and whatever carries the engine): each node of a computed graph becomes an op with its shape,
 * types and name. Structure offsets are derived from the library's own accessors and tested on the first graph before they are believed. */
#include "ggml.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/resolve.h"
#include "../record/record.h"
#include "share.h"

/* The accessors, found beside the function that ran the graph. */
static struct {
    int (*graph_n_nodes)(const void *graph);
    void *(*graph_node)(const void *graph, int index);
    const char *(*get_name)(const void *tensor);
    void *(*get_data)(const void *tensor);
    const char *(*op_name)(int op);
    const char *(*type_name)(int type);
    int64_t (*nelements)(const void *tensor);
    size_t (*nbytes)(const void *tensor);
} ggml;
static enum { UNTRIED, READY, UNKNOWN } layout;
static atomic_flag preparing = ATOMIC_FLAG_INIT;
static size_t name_offset, source_offset;
static char library[64];

enum { TYPE_OFFSET = 0, NE_OFFSET = 16, OP_OFFSET = 80 };
enum { SOURCES = 10, TYPES = 64, OPS = 160, NAME_BYTES = 64 };

struct tensor {
    const char *at;
    int64_t ne[4];
    int type, op;
};

static bool view(struct tensor *tensor, const void *at)
{
    if (!at)
        return false;
    tensor->at = at;
    memcpy(tensor->ne, (const char *)at + NE_OFFSET, sizeof tensor->ne);
    memcpy(&tensor->type, (const char *)at + TYPE_OFFSET, sizeof tensor->type);
    memcpy(&tensor->op, (const char *)at + OP_OFFSET, sizeof tensor->op);
    return true;
}

static bool source(struct tensor *tensor, const struct tensor *node, int index)
{
    const void *at;
    memcpy(&at, node->at + source_offset + (size_t)index * sizeof at, sizeof at);
    return view(tensor, at);
}

/* What an op number means, by the name that the library gives it: numbers move between versions, names don't. */
enum node_class { SKIP = 1, MATMUL, MATMUL_ID, ATTENTION, CONVOLUTION, PLAIN };
struct op_class {
    const char *name;
    uint8_t class, kind;
};
static const struct op_class classes[] = {
    {"NONE", SKIP, 0}, {"RESHAPE", SKIP, 0}, {"VIEW", SKIP, 0}, {"PERMUTE", SKIP, 0}, {"TRANSPOSE", SKIP, 0},
    {"MUL_MAT", MATMUL, TVG_KIND_GEMM}, {"MUL_MAT_ID", MATMUL_ID, TVG_KIND_GEMM},
    {"FLASH_ATTN_EXT", ATTENTION, TVG_KIND_ATTENTION},
    {"CONV_2D", CONVOLUTION, TVG_KIND_CONV}, {"CONV_2D_DW", CONVOLUTION, TVG_KIND_CONV},
    {"NORM", PLAIN, TVG_KIND_NORM}, {"RMS_NORM", PLAIN, TVG_KIND_NORM}, {"GROUP_NORM", PLAIN, TVG_KIND_NORM}, {"L2_NORM", PLAIN, TVG_KIND_NORM},
    {"SOFT_MAX", PLAIN, TVG_KIND_SOFTMAX}, {"ROPE", PLAIN, TVG_KIND_ROPE}, {"GET_ROWS", PLAIN, TVG_KIND_EMBEDDING},
    {"UNARY", PLAIN, TVG_KIND_ACTIVATION}, {"GLU", PLAIN, TVG_KIND_ACTIVATION}, {"CPY", PLAIN, TVG_KIND_COPY}, {"CONT", PLAIN, TVG_KIND_COPY},
    {"DUP", PLAIN, TVG_KIND_COPY}, {"SET_ROWS", PLAIN, TVG_KIND_COPY}, {"CONCAT", PLAIN, TVG_KIND_COPY}, {"REPEAT", PLAIN, TVG_KIND_COPY},
    {"SUM", PLAIN, TVG_KIND_REDUCE}, {"SUM_ROWS", PLAIN, TVG_KIND_REDUCE}, {"MEAN", PLAIN, TVG_KIND_REDUCE}, {"ARGMAX", PLAIN, TVG_KIND_REDUCE},
    {"POOL_1D", PLAIN, TVG_KIND_POOL}, {"POOL_2D", PLAIN, TVG_KIND_POOL}, {"IM2COL", PLAIN, TVG_KIND_COPY}, {"PAD", PLAIN, TVG_KIND_COPY},
};
static struct op_class op_classes[OPS]; /* by number; class 0: not looked up yet */
static uint8_t types[TYPES];            /* enum tvg_type by ggml number, plus 1; 0 not looked up yet */

static const struct op_class *class_of(int op)
{
    static const struct op_class none = {"?", SKIP, 0};
    if (op < 0 || op >= OPS)
        return &none;
    if (!op_classes[op].class) {
        struct op_class found = {ggml.op_name(op), PLAIN, TVG_KIND_ELEMENTWISE};
        if (!found.name)
            return &none;
        for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
            if (strcmp(found.name, classes[i].name) == 0) {
                found.class = classes[i].class;
                found.kind = classes[i].kind;
            }
        op_classes[op] = found;
    }
    return &op_classes[op];
}

static uint8_t type_of(int type)
{
    if (type < 0 || type >= TYPES)
        return TVG_TYPE_NONE;
    if (!types[type]) {
        char lower[32] = "";
        const char *name = ggml.type_name(type);
        for (size_t i = 0; name && name[i] && i < sizeof lower - 1; i++)
            lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] + 32 : name[i]);
        enum tvg_type found = tvg_type_by_name(lower);
        types[type] = (uint8_t)((found == TVG_TYPE_COUNT ? TVG_TYPE_NONE : found) + 1);
    }
    return (uint8_t)(types[type] - 1);
}

static bool find_functions(const void *code)
{
    void *base;
    snprintf(library, sizeof library, "%s", tvg_object_name(code, &base));
    void *handle = tvg_library_handle(code);
    if (!handle) /* the program itself */
        handle = dlopen(NULL, RTLD_LAZY);
    struct { const char *name; void *place; } wanted[] = {
        {"ggml_graph_n_nodes", &ggml.graph_n_nodes}, {"ggml_graph_node", &ggml.graph_node}, {"ggml_get_name", &ggml.get_name},
        {"ggml_get_data", &ggml.get_data}, {"ggml_op_name", &ggml.op_name}, {"ggml_type_name", &ggml.type_name},
        {"ggml_nelements", &ggml.nelements}, {"ggml_nbytes", &ggml.nbytes},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = handle ? dlsym(handle, wanted[i].name) : NULL;
        if (!symbol) {
            tvg_note("unknown-version", library, wanted[i].name);
            return false;
        }
        memcpy(wanted[i].place, &symbol, sizeof symbol);
    }
    return true;
}

/* The live self-check: what is read at the offsets must agree with the accessors, for every node of the graph, and every product's
 * operands must have the shapes that a product needs. */
static bool layout_holds(const void *graph)
{
    int count = ggml.graph_n_nodes(graph);
    int products = 0;
    for (int i = 0; i < count; i++) {
        struct tensor node, a, b;
        const char *at = ggml.graph_node(graph, i);
        if (!view(&node, at))
            return false;
        size_t offset = (size_t)(ggml.get_name(at) - at);
        if (i == 0) {
            if (offset < 200 || offset > 400)
                return false;
            name_offset = offset;
            source_offset = offset - 24 - SOURCES * 8; /* src[10], view_src, view_offs, data, name */
        }
        void *data;
        memcpy(&data, at + name_offset - 8, sizeof data);
        if (offset != name_offset || node.ne[0] * node.ne[1] * node.ne[2] * node.ne[3] != ggml.nelements(at) || data != ggml.get_data(at) ||
            node.op < 0 || node.op >= OPS)
            return false;
        if (class_of(node.op)->class == MATMUL) {
            if (!source(&a, &node, 0) || !source(&b, &node, 1) || a.ne[0] != b.ne[0] || node.ne[0] != a.ne[1] || node.ne[1] != b.ne[1])
                return false;
            products++;
        }
    }
    return products > 0;
}

/* Describes a node. False for nodes that compute nothing (views) or whose operands are missing. */
static bool describe(struct tvg_op *op, const struct tensor *node)
{
    const struct op_class *class = class_of(node->op);
    struct tensor a = {0}, b = {0}, c = {0};
    if (class->class == SKIP)
        return false;
    *op = (struct tvg_op){.library = library, .function = class->name, .kind = class->kind, .net = TVG_NET_SYMBOL, .device = -1,
                          .flags = TVG_OP_FLOP_GIVEN | TVG_OP_TIME_SHARED, .type_c = type_of(node->type), .dim_count = 4};
    memcpy(op->dim, node->ne, sizeof node->ne);
    bool has_a = source(&a, node, 0), has_b = source(&b, node, 1);
    bool product = class->class == MATMUL || class->class == MATMUL_ID;
    if (class->class != PLAIN && (!has_a || !has_b))
        return false;
    /* A weight names the op better than the result does: "blk.0.attn_q.weight". */
    const char *name = ggml.get_name(product ? a.at : node->at);
    op->name = name && name[0] ? name : NULL;
    op->type_a = has_a ? type_of(a.type) : TVG_TYPE_NONE;
    op->type_b = has_b ? type_of(b.type) : TVG_TYPE_NONE;
    /* rows of an embedding are gathered: its table is not read whole */
    op->bytes_a = !has_a ? 0 : class->kind == TVG_KIND_EMBEDDING ? ggml.nbytes(node->at) : ggml.nbytes(a.at);
    for (int i = 1; i < SOURCES; i++)
        if (source(&c, node, i))
            op->bytes_b += ggml.nbytes(c.at);
    op->bytes_c = ggml.nbytes(node->at);
    if (has_a && strcmp(class->name, "SET_ROWS") == 0) { /* the rows given are written into a cache that is otherwise left alone */
        op->bytes_b = has_b ? ggml.nbytes(b.at) : 0;
        op->bytes_c = tvg_type_bytes(op->type_c, (uint64_t)ggml.nelements(a.at));
    }
    switch (class->class) {
    case MATMUL:
    case MATMUL_ID: {
        /* C(tokens, features) = activations(tokens, k) x weights(k, features): A is what changes, B what stays. */
        bool quantized = tvg_type_info(type_of(a.type))->block_elements > 1;
        op->type_a = type_of(b.type);
        op->type_b = type_of(a.type);
        op->type_compute = quantized ? TVG_TYPE_I8 : op->type_b == TVG_TYPE_F16 || op->type_b == TVG_TYPE_BF16 ? op->type_b : TVG_TYPE_F32;
        op->n = node->ne[0];
        op->k = a.ne[0];
        op->m = class->class == MATMUL_ID ? node->ne[1] * node->ne[2] : node->ne[1];
        op->batch = class->class == MATMUL_ID ? 1 : node->ne[2] * node->ne[3];
        op->flags |= TVG_OP_TRANS_B;
        op->bytes_a = ggml.nbytes(b.at);
        op->bytes_b = ggml.nbytes(a.at);
        if (class->class == MATMUL_ID && source(&c, node, 2)) {
            /* a token reads the experts it was routed to: at most all, and which ones is data */
            uint64_t used = (uint64_t)(c.ne[0] * c.ne[1]), experts = (uint64_t)a.ne[2];
            op->bytes_b = experts ? op->bytes_b / experts * (used < experts ? used : experts) : op->bytes_b;
        }
        op->flop = 2u * (uint64_t)op->m * (uint64_t)op->n * (uint64_t)op->k * (uint64_t)(op->batch ? op->batch : 1);
        break;
    }
    case ATTENTION: {
        /* q [D, Lq, Hq, B], k [D, Lkv, Hkv, B], v [Dv, Lkv, Hkv, B]; the mask is data, so all pairs count */
        if (!source(&c, node, 2))
            return false;
        int64_t lq = a.ne[1], lkv = b.ne[1], heads = a.ne[2], sequences = a.ne[3];
        op->dim_count = 7;
        op->dim[0] = sequences, op->dim[1] = heads, op->dim[2] = b.ne[2], op->dim[3] = lq, op->dim[4] = lkv, op->dim[5] = a.ne[0], op->dim[6] = 0;
        op->type_compute = TVG_TYPE_F32;
        op->flop = 2u * (uint64_t)(sequences * heads) * (uint64_t)(lq * lkv) * (uint64_t)(a.ne[0] + c.ne[0]);
        break;
    }
    case CONVOLUTION:
        /* every output element takes kernel width x height x input channels multiply-adds; depthwise kernels have one channel */
        op->type_compute = TVG_TYPE_F32;
        op->flop = 2u * (uint64_t)ggml.nelements(node->at) * (uint64_t)(a.ne[0] * a.ne[1] * (strcmp(class->name, "CONV_2D") == 0 ? a.ne[2] : 1));
        break;
    default:
        break;
    }
    op->bytes = op->bytes_a + op->bytes_b + op->bytes_c;
    return true;
}

/* Ids of nodes seen before, by what describe() would look at: a graph is built anew for each step, of the same few nodes. */
enum { KNOWN_SLOTS = 1 << 14 };
static struct known {
    _Atomic uint64_t hash;
    uint32_t op_id;
    uint32_t weight; /* tvg_share_weight */
} known[KNOWN_SLOTS];

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_name(uint64_t hash, const char *name)
{
    for (size_t at = 0; at < NAME_BYTES; at += 8) { /* bytes behind the terminator are left over from earlier names */
        uint64_t word, zero;
        memcpy(&word, name + at, sizeof word);
        zero = (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
        hash = mix(hash, zero ? word & (((zero & -zero) >> 7) - 1) : word);
        if (zero)
            break;
    }
    return hash;
}

static uint64_t node_hash(const struct tensor *node)
{
    uint64_t hash = mix_name(mix((uint64_t)node->op << 32 | (uint32_t)node->type, 1), node->at + name_offset);
    for (int d = 0; d < 4; d++)
        hash = mix(hash, (uint64_t)node->ne[d]);
    for (int i = 0; i < 3; i++) {
        struct tensor operand;
        if (!source(&operand, node, i))
            continue;
        hash = mix(hash, (uint64_t)operand.type << 8 | (uint64_t)i);
        for (int d = 0; d < 4; d++)
            hash = mix(hash, (uint64_t)operand.ne[d]);
        if (i == 0)
            hash = mix_name(hash, operand.at + name_offset);
    }
    return hash | 4;
}

static bool lookup(uint32_t *op_id, uint32_t *weight, const struct tensor *node)
{
    uint64_t hash = node_hash(node);
    struct known *slot = &known[hash >> 3 & (KNOWN_SLOTS - 1)];
    if (atomic_load_explicit(&slot->hash, memory_order_acquire) == hash) {
        *op_id = slot->op_id;
        *weight = slot->weight;
        return true;
    }
    struct tvg_op op;
    if (!describe(&op, node))
        return false;
    *op_id = tvg_op_intern(&op);
    *weight = tvg_share_weight(&op);
    uint64_t empty = 0; /* a place is claimed for good: another node that falls on it is described each time, slow and right */
    if (*op_id != UINT32_MAX && atomic_compare_exchange_strong(&slot->hash, &empty, 1)) {
        slot->op_id = *op_id;
        slot->weight = *weight;
        atomic_store_explicit(&slot->hash, hash, memory_order_release);
    }
    return true;
}

static bool prepare(const void *graph, const void *code)
{
    int state = __atomic_load_n(&layout, __ATOMIC_ACQUIRE);
    if (state != UNTRIED || atomic_flag_test_and_set(&preparing))
        return state == READY;
    bool good = find_functions(code) && layout_holds(graph);
    if (!good)
        tvg_note("unknown-version", library, "its tensors don't lie as in any version that is known: its graphs go unrecorded");
    __atomic_store_n(&layout, good ? READY : UNKNOWN, __ATOMIC_RELEASE);
    return good;
}

/* A node that is to be recorded. */
struct pending {
    uint32_t op_id, weight;
    const void *a, *b, *c;
};

/* False for a node that is not recorded. */
static bool look_at(struct pending *pending, const void *at)
{
    struct tensor node, a, b;
    if (!view(&node, at))
        return false;
    uint8_t class = class_of(node.op)->class;
    if (class == SKIP || !lookup(&pending->op_id, &pending->weight, &node))
        return false;
    const void *first = source(&a, &node, 0) ? ggml.get_data(a.at) : NULL, *second = source(&b, &node, 1) ? ggml.get_data(b.at) : NULL;
    bool product = class == MATMUL || class == MATMUL_ID;
    pending->a = product ? second : first;
    pending->b = product ? first : second;
    pending->c = ggml.get_data(at);
    return true;
}

/* A graph's tensors have left the caches while its weights were read: they are asked for some nodes ahead, and their operands a few nodes later. */
static void fetch(const void *graph, int i, int count)
{
    enum { AHEAD = 8, OPERANDS_AHEAD = 4, LINE = 64 };
    const char *node = i + AHEAD < count ? ggml.graph_node(graph, i + AHEAD) : NULL;
    for (size_t at = 0; node && at < name_offset + LINE; at += LINE)
        __builtin_prefetch(node + at);
    const char *soon = i + OPERANDS_AHEAD < count ? ggml.graph_node(graph, i + OPERANDS_AHEAD) : NULL;
    for (int j = 0; soon && j < 2; j++) {
        const char *operand;
        memcpy(&operand, soon + source_offset + (size_t)j * sizeof operand, sizeof operand);
        __builtin_prefetch(operand);
        __builtin_prefetch(operand + name_offset - 8);
    }
}

enum { PENDING = 1 << 13 };
static struct pending room[PENDING];
static atomic_flag room_taken = ATOMIC_FLAG_INIT;

void tvg_ggml_record_graph(const void *graph, uint64_t start, uint64_t end, const void *code)
{
    if (!prepare(graph, code))
        return;
    const int count = ggml.graph_n_nodes(graph);
    const bool kept = count <= PENDING && !atomic_flag_test_and_set(&room_taken); /* else each node is looked at twice */
    struct tvg_share share = {start, end, 0, 0};
    struct pending one;
    int found = 0;
    for (int i = 0; i < count; i++) {
        fetch(graph, i, count);
        if (!look_at(&one, ggml.graph_node(graph, i)))
            continue;
        share.total += one.weight;
        if (kept)
            room[found++] = one;
    }
    uint64_t at = start;
    for (int i = 0; i < (kept ? found : count); i++) {
        if (kept)
            one = room[i];
        else if (!look_at(&one, ggml.graph_node(graph, i)))
            continue;
        uint64_t until = tvg_share_next(&share, one.weight);
        tvg_op_record(one.op_id, at, until, one.a, one.b, one.c);
        at = until;
    }
    if (kept)
        atomic_flag_clear(&room_taken);
}
