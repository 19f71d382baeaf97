/* Reading nodes of OpenVINO's CPU graphs. No offset of a build is trusted: fields are found by the class of what they point to, vectors and
 * shapes by what their values must agree with. */
#include <stdio.h>
#include <string.h>

#include "../../trace/op.h"
#include "../intercept/inline.h"
#include "../intercept/rtti.h"
#include "../record/record.h"
#include "openvino.h"

enum { NODE_WORDS = 128, EDGES_MAX = 256, EDGE_WORDS = 16, MEMORY_WORDS = 16, BLOCKS_DEEP = 6, DESC_WORDS = 40, STATE_WORDS = 32, TYPES = 32, CLASSES = 64 };

static const char own[] = "N2ov9intel_cpu";
static const struct tvg_wanted stream_wanted = {"N4dnnl4impl", "stream_t", false}, desc_wanted = {own, "MemoryDescE", false},
                               block_wanted = {own, "MemoryBlock", false}, state_wanted = {own, "VariableState", false},
                               convolution_wanted = {own, "4node11Convolution", true}, memory_wanted = {own, "6MemoryE", false};

struct tvg_ov_edges {
    const void *const *begin, *const *end, *const *room; /* weak pointers: object, its control block */
};
/* Edge: weak pointers to both nodes, the port at each. Its memory lies somewhere behind. */
struct edge {
    const void *parent, *parent_control, *child, *child_control;
    int32_t parent_port, child_port;
};
/* A control block: vtable, uses, weak uses. */
struct control {
    const void *vtable;
    int32_t uses, weak;
};
struct span {
    const uint64_t *begin, *end, *room;
};
/* std::string. Libraries built with the older of libstdc++'s layouts have one word, the characters, behind their length and two numbers. */
struct text {
    const char *at;
    uint64_t length;
    char inside[16];
};
static const char *const type_name_symbols[] = {"_ZNK2ov7element4Type13get_type_nameB5cxx11Ev", "_ZNK2ov7element4Type13get_type_nameEv"};
/* MemoryDesc: vtable, what kind it is, the shape: whether it is dynamic (a byte or a number of 4 bytes), bounds, the dimensions. */
struct desc {
    const uintptr_t *vtable;
    uint64_t kind;
    struct shape {
        uint8_t dynamic, others[7];
        struct span least, most, dims;
    } shape;
};

/* The plugin that is followed, and what holds for every node and edge of it once it was found: offsets in words, element types by number. */
static uintptr_t plugin_begin, plugin_end;
static uint16_t edges_word, memory_word, name_word;
static uint8_t types[TYPES]; /* type + 1; 0: not asked yet */
static struct { const char *typeinfo_name, *class; int length; } node_names[CLASSES]; /* a model has few classes of nodes */

bool tvg_ov_is_followed(const void *code)
{
    uintptr_t begin, end, address = (uintptr_t)code;
    static tvg_lock busy;
    if (address >= __atomic_load_n(&plugin_begin, __ATOMIC_ACQUIRE) && address < __atomic_load_n(&plugin_end, __ATOMIC_RELAXED))
        return true;
    tvg_lock_take(&busy);
    /* None yet; or it has gone, and another is here or the same elsewhere. */
    bool is_other = plugin_begin && tvg_inline_object((const void *)plugin_begin, &begin, &end) && begin == plugin_begin && (address < begin || address >= end);
    bool is_known = !is_other && tvg_inline_object(code, &begin, &end);
    if (is_known && begin != plugin_begin) {
        edges_word = memory_word = name_word = 0;
        memset(types, 0, sizeof types);
        memset(node_names, 0, sizeof node_names);
        __atomic_store_n(&plugin_end, end, __ATOMIC_RELAXED);
        __atomic_store_n(&plugin_begin, begin, __ATOMIC_RELEASE);
    }
    tvg_lock_drop(&busy);
    return is_known;
}

bool tvg_ov_is_stream(const void *argument)
{
    if (!tvg_can_read(argument, 16))
        return false;
    const void *stream = *(const void *const *)argument;
    const char *class = tvg_can_read(stream, 16) ? tvg_class_of(stream) : NULL;
    return class && strncmp(class, stream_wanted.begins, strlen(stream_wanted.begins)) == 0 && strstr(class, stream_wanted.has);
}

/* --- edges -------------------------------------------------------------------------------------------------------------------------------- */
static bool is_edges(const struct tvg_ov_edges *edges, const void *node, bool incoming, bool known)
{
    size_t bytes = (size_t)((uintptr_t)edges->end - (uintptr_t)edges->begin);
    if (!edges->begin || edges->end <= edges->begin || edges->room < edges->end || bytes % 16 || bytes > EDGES_MAX * 16 ||
        (uintptr_t)edges->begin % 8 || (!known && !tvg_can_read(edges->begin, bytes)))
        return false;
    for (const void *const *at = edges->begin; at < edges->end; at += 2) {
        const struct edge *edge = at[0];
        const struct control *control = at[1];
        if (!edge || (uintptr_t)edge % 8 || !control || (uintptr_t)control % 8 || (!known && (!tvg_can_read(edge, sizeof *edge) || !tvg_can_read(control, 16))))
            return false;
        if (control->uses <= 0 || (incoming ? edge->child : edge->parent) != node || edge->parent_port < 0 || edge->parent_port > EDGES_MAX ||
            edge->child_port < 0 || edge->child_port > EDGES_MAX)
            return false;
    }
    return true;
}

/* Two vectors side by side: edges that come in, edges that go out. */
static bool find_edges(const void *object)
{
    const uintptr_t *word = object;
    if (!tvg_can_read(object, NODE_WORDS * 8))
        return false;
    for (uint16_t at = 1; at + 6 < NODE_WORDS; at++)
        if (is_edges((const struct tvg_ov_edges *)(word + at), object, true, false) &&
            is_edges((const struct tvg_ov_edges *)(word + at + 3), object, false, false)) {
            __atomic_store_n(&edges_word, at, __ATOMIC_RELEASE);
            return true;
        }
    return false;
}

static const struct edge *edge_at(const struct tvg_ov_edges *edges, bool incoming, int port)
{
    for (const void *const *at = edges->begin; at < edges->end; at += 2) {
        const struct edge *edge = at[0];
        if ((incoming ? edge->child_port : edge->parent_port) == port)
            return edge;
    }
    return NULL;
}

static const char *class_in(const char *typeinfo_name, int *length)
{
    const char *at = strstr(typeinfo_name, "4node");
    at = at ? at + strlen("4node") : "";
    int number = 0;
    for (; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (*at - '0');
    *length = number > 0 && number < 100 && strlen(at) > (size_t)number ? number : 0;
    return at;
}

static bool has_old_strings(void)
{
    static int known; /* 1: newer layout, 2: older */
    int which = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!which)
        __atomic_store_n(&known, which = tvg_inline_symbol(NULL, type_name_symbols[0]) ? 1 : 2, __ATOMIC_RELAXED);
    return which == 2;
}

/* The string at `word`: its characters, and its length; NULL when it is none. `known`: it was one before. */
static const char *text_at(const uintptr_t *word, uint64_t *length, bool known)
{
    const struct text *text = (const struct text *)word;
    const char *at = text->at;
    const uint64_t *before = (const uint64_t *)(const void *)at - 3;
    if (!at || (has_old_strings() && ((uintptr_t)at % 8 || (!known && !tvg_can_read(before, 24)))))
        return NULL;
    *length = has_old_strings() ? *before : text->length;
    size_t words = (size_t)(*length / 8 + 2);
    if (*length >= 1 << 16 || (!known && at != text->inside && !tvg_can_read((const void *)((uintptr_t)at & ~(uintptr_t)7), words * 8)))
        return NULL;
    return at[*length] == 0 ? at : NULL;
}

/* The name of a type most often begins with that of the class ("FullyConnectedCompressed"); not that of recurrent nodes. */
static bool is_type_name(const char *text, uint64_t length, const struct tvg_ov_node *node)
{
    return (length >= (uint64_t)node->class_length && memcmp(text, node->class, (size_t)node->class_length) == 0) ||
           (tvg_ov_is(node, "RNN") && (strncmp(text, "LSTM", 4) == 0 || strncmp(text, "GRU", 3) == 0 || strncmp(text, "RNN", 3) == 0));
}

/* The node's name stands before the name of its type. */
static void find_name(struct tvg_ov_node *node)
{
    const uintptr_t *word = node->object;
    const uint16_t size = has_old_strings() ? 1 : sizeof(struct text) / 8;
    uint64_t length;
    for (uint16_t at = size; !name_word && at + size < NODE_WORDS; at++) {
        const char *type = text_at(word + at, &length, false);
        if (type && length > 2 && is_type_name(type, length, node) && text_at(word + at - size, &length, false))
            __atomic_store_n(&name_word, (uint16_t)(at - size), __ATOMIC_RELAXED);
    }
    const char *name = name_word ? text_at(word + name_word, &length, true) : NULL;
    if (name)
        snprintf(node->name, sizeof node->name, "%.*s", (int)length, name);
}

/* The typeinfo name of a node, and in it the name of its class. */
static const char *class_of_node(const void *object, const char **class, int *length)
{
    const char *name = tvg_class_of(object);
    size_t at = (uintptr_t)name / 8 % CLASSES;
    if (!name || strncmp(name, own, strlen(own)) != 0)
        return name;
    if (__atomic_load_n(&node_names[at].typeinfo_name, __ATOMIC_ACQUIRE) == name) {
        *class = node_names[at].class, *length = node_names[at].length;
        return name;
    }
    *class = class_in(name, length);
    static int busy;
    if (!node_names[at].typeinfo_name && !__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        if (!node_names[at].typeinfo_name) {
            node_names[at].class = *class, node_names[at].length = *length;
            __atomic_store_n(&node_names[at].typeinfo_name, name, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    }
    return name;
}

bool tvg_ov_open(struct tvg_ov_node *node, const void *object)
{
    *node = (struct tvg_ov_node){.object = object};
    const char *class = class_of_node(object, &node->class, &node->class_length);
    uint16_t at = __atomic_load_n(&edges_word, __ATOMIC_ACQUIRE);
    if (node->class_length && !at && find_edges(object))
        at = edges_word;
    node->in = (const struct tvg_ov_edges *)((const uintptr_t *)object + at);
    node->out = node->in + 1;
    if (!node->class_length || !at || !is_edges(node->in, object, true, true) || !is_edges(node->out, object, false, true)) {
        tvg_note("unknown-version", class ? class : "OpenVINO", "a node is laid out in an unknown way: it is not recorded");
        return false;
    }
    node->inputs = (int)((node->in->end - node->in->begin) / 2);
    find_name(node);
    return true;
}

bool tvg_ov_is(const struct tvg_ov_node *node, const char *class)
{
    return strlen(class) == (size_t)node->class_length && memcmp(class, node->class, (size_t)node->class_length) == 0;
}

/* --- tensors ------------------------------------------------------------------------------------------------------------------------------ */
/* Memory of one of the classes that have a descriptor. */
static const void *memory_of(const struct edge *edge)
{
    const void *const *word = (const void *const *)edge;
    uint16_t at = __atomic_load_n(&memory_word, __ATOMIC_RELAXED);
    bool known = at != 0;
    if (!known && !tvg_can_read(edge, EDGE_WORDS * 8))
        return NULL;
    for (at = known ? at : sizeof *edge / 8; at < EDGE_WORDS; at++) {
        const void *memory = word[at];
        if (memory && (uintptr_t)memory % 8 == 0 && (known || tvg_can_read(memory, MEMORY_WORDS * 8))) {
            const char *class = tvg_class_of(memory);
            if (class && strncmp(class, own, strlen(own)) == 0 && tvg_field_of(memory, MEMORY_WORDS, &desc_wanted)) {
                __atomic_store_n(&memory_word, at, __ATOMIC_RELAXED);
                return memory;
            }
        }
        if (known)
            return NULL;
    }
    return NULL;
}

/* Code of an accessor that only loads. x86-64: [endbr64] and one of the forms below. */
struct accessor {
    bool is_known, is_virtual_base; /* of a class that inherits virtually: *(this + *(vtable + base) + offset) */
    int32_t base, offset;
};

static struct accessor accessor_at(const uint8_t *code)
{
    struct accessor accessor = {0};
#if defined(__x86_64__)
    static const uint8_t landing[] = {0xf3, 0x0f, 0x1e, 0xfa}, virtual_base[] = {0x48, 0x8b, 0x07, 0x48, 0x8b, 0x40}, word[] = {0x48, 0x8b, 0x47};
    if (memcmp(code, landing, sizeof landing) == 0)
        code += sizeof landing;
    if (memcmp(code, virtual_base, 6) == 0 && code[7] == 0x8b && code[8] == 0x44 && code[9] == 0x07 && code[11] == 0xc3)
        accessor = (struct accessor){true, true, (int8_t)code[6], (int8_t)code[10]};
    else if (memcmp(code, word, 3) == 0 && code[4] == 0xc3)
        accessor = (struct accessor){true, false, 0, (int8_t)code[3]};
#else
    (void)code;
#endif
    return accessor;
}

/* Element types by OpenVINO's number, which differs between versions: the library is asked for the name. */
static uint8_t type_by_number(uint32_t number)
{
    static const struct { const char *name; uint8_t type; } others[] = {
        {"boolean", TVG_TYPE_BOOL}, {"f8e4m3", TVG_TYPE_F8_E4M3}, {"f8e5m2", TVG_TYPE_F8_E5M2}, {"f4e2m1", TVG_TYPE_F4_E2M1}};
    if (number >= TYPES)
        return TVG_TYPE_NONE;
    uint8_t known = __atomic_load_n(&types[number], __ATOMIC_RELAXED);
    if (known)
        return (uint8_t)(known - 1);
    void *(*get_name)(struct text *, const uint32_t *) = NULL;
    void *symbol = tvg_inline_symbol(NULL, type_name_symbols[has_old_strings()]);
    memcpy(&get_name, &symbol, sizeof symbol);
    if (!get_name)
        return TVG_TYPE_NONE;
    struct text text;
    char name[16] = "";
    get_name(&text, &number); /* of what it allocates nothing is given back: nothing, or a few bytes for each type */
    if (has_old_strings() || text.at == text.inside) /* longer ones are no types of numbers */
        snprintf(name, sizeof name, "%s", text.at);
    unsigned type = tvg_type_by_name(name);
    for (size_t i = 0; type == TVG_TYPE_COUNT && i < sizeof others / sizeof *others; i++)
        if (strcmp(others[i].name, name) == 0)
            type = others[i].type;
    type = type == TVG_TYPE_COUNT ? TVG_TYPE_NONE : type;
    __atomic_store_n(&types[number], (uint8_t)(type + 1), __ATOMIC_RELAXED);
    return (uint8_t)type;
}

/* oneDNN's descriptor begins: the rank in one of two numbers (the other is a filler, or a kind), 12 dimensions, type. */
struct dnnl_desc {
    int32_t rank[2];
    int64_t dim[12];
    int32_t type;
};

static bool is_dnnl(const struct dnnl_desc *dnnl, const struct tvg_ov_tensor *tensor, bool known)
{
    return dnnl && (uintptr_t)dnnl % 8 == 0 && (known || tvg_can_read(dnnl, sizeof *dnnl)) && (dnnl->rank[0] == tensor->rank || dnnl->rank[1] == tensor->rank) &&
           memcmp(dnnl->dim, tensor->dim, (size_t)tensor->rank * sizeof tensor->dim[0]) == 0;
}

/* Where descriptors of a class keep their element type: OpenVINO's number, behind the third virtual function, where that only loads it; or in a
 * descriptor of oneDNN, which is found by having the tensor's very shape. */
static struct desc_class {
    const uintptr_t *vtable;
    struct accessor accessor;
    int32_t dnnl_word; /* from the descriptor */
} desc_classes[8];

static bool learn(struct desc_class *class, const struct desc *desc, const struct tvg_ov_tensor *tensor)
{
    const uint8_t *code = (const uint8_t *)desc->vtable[2];
    *class = (struct desc_class){0};
    if (tvg_can_read((const void *)((uintptr_t)code & ~(uintptr_t)7), 24))
        class->accessor = accessor_at(code);
    if (class->accessor.is_known)
        return class->accessor.is_virtual_base;
    intptr_t top = (intptr_t)desc->vtable[-2]; /* where the whole object begins */
    if (top > 0 || top < -DESC_WORDS * 8 || !tvg_can_read((const char *)desc + top, (size_t)-top + sizeof *desc))
        return false;
    for (int32_t at = (int32_t)(top / 8); at < (int32_t)(sizeof *desc / 8); at++)
        if (is_dnnl(((const void *const *)desc)[at], tensor, false)) {
            class->dnnl_word = at;
            return true;
        }
    return false;
}

static uint8_t type_of(const struct desc *desc, const struct tvg_ov_tensor *tensor)
{
    static const uint8_t dnnl_types[] = {TVG_TYPE_NONE, TVG_TYPE_F16, TVG_TYPE_BF16, TVG_TYPE_F32, TVG_TYPE_I32, TVG_TYPE_I8, TVG_TYPE_U8, TVG_TYPE_F64};
    static int busy;
    const size_t count = sizeof desc_classes / sizeof *desc_classes;
    size_t at = 0;
    const uintptr_t *vtable;
    while (at < count && (vtable = __atomic_load_n(&desc_classes[at].vtable, __ATOMIC_ACQUIRE)) && vtable != desc->vtable)
        at++;
    struct desc_class class;
    if (at < count && desc_classes[at].vtable)
        class = desc_classes[at];
    else {
        if (!learn(&class, desc, tensor))
            return TVG_TYPE_NONE;
        if (at < count && !__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
            if (!desc_classes[at].vtable) {
                desc_classes[at].accessor = class.accessor, desc_classes[at].dnnl_word = class.dnnl_word;
                __atomic_store_n(&desc_classes[at].vtable, desc->vtable, __ATOMIC_RELEASE);
            }
            __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
        }
    }
    if (class.accessor.is_known) {
        uint32_t number;
        memcpy(&number, (const char *)desc + *(const intptr_t *)((const char *)desc->vtable + class.accessor.base) + class.accessor.offset, sizeof number);
        return type_by_number(number);
    }
    const struct dnnl_desc *dnnl = ((const void *const *)desc)[class.dnnl_word];
    if (!is_dnnl(dnnl, tensor, true))
        return TVG_TYPE_NONE;
    return dnnl->type > 0 && dnnl->type < (int32_t)sizeof dnnl_types ? dnnl_types[dnnl->type] : TVG_TYPE_NONE;
}

/* Whether the code of an accessor adds the word at `offset` of its object to what it gives. */
static bool adds_word(const uint8_t *code, size_t offset)
{
#if defined(__x86_64__)
    for (int i = 0; i < 40; i++)
        if (code[i] == 0x48 && code[i + 1] == 0x03 && (code[i + 2] & 0xc0) == 0x40 && code[i + 3] == offset)
            return true;
#endif
    (void)code, (void)offset;
    return false;
}

/* Memory leads to a block, that perhaps to another, up to one whose third virtual function only loads the address. On the way there may be parts of
 * blocks: at an offset in bytes, or in chunks (how many in all, which is the first, how many), which is passed through when it is all of them. */
static const void *data_of(const void *memory)
{
    const void *object = memory;
    uint64_t offset = 0;
    for (int depth = 0; depth < BLOCKS_DEEP; depth++) {
        const void *const *field = tvg_field_of(object, MEMORY_WORDS, &block_wanted);
        if (!field)
            return NULL;
        const uint64_t *part = (const uint64_t *)(field + 2);
        const char *class = depth > 0 ? tvg_class_of(object) : ""; /* the first is memory itself */
        if (depth > 0 && strstr(class, "StaticPartition")) {
            if (!adds_word((*(const uint8_t *const *const *)object)[2], (size_t)((const char *)part - (const char *)object)))
                return NULL;
            offset += part[0];
        } else if (depth > 0 && strstr(class, "Partitioned") && (part[0] != 1 || part[1] != 0 || part[2] != 1))
            return NULL;
        object = *field;
        struct accessor accessor = accessor_at((*(const uint8_t *const *const *)object)[2]);
        if (accessor.is_known && !accessor.is_virtual_base) {
            const char *data = *(const char *const *)((const char *)object + accessor.offset);
            return data ? data + offset : NULL;
        }
    }
    return NULL;
}

/* A shape without open sizes: bounds and dimensions are the same. */
static bool shape_of(const struct shape *shape, struct tvg_ov_tensor *tensor)
{
    const struct span *dims = &shape->dims, *least = &shape->least, *most = &shape->most;
    size_t bytes = (size_t)((uintptr_t)dims->end - (uintptr_t)dims->begin);
    if (shape->dynamic != 0 || bytes % 8 || bytes > sizeof tensor->dim || (uintptr_t)least->end - (uintptr_t)least->begin != bytes ||
        (uintptr_t)most->end - (uintptr_t)most->begin != bytes ||
        (bytes && (memcmp(dims->begin, least->begin, bytes) != 0 || memcmp(dims->begin, most->begin, bytes) != 0)))
        return false;
    tensor->rank = (int)(bytes / 8);
    tensor->elements = 1;
    for (int i = 0; i < tensor->rank; i++) {
        if (dims->begin[i] > (uint64_t)1 << 40)
            return false;
        tensor->dim[i] = (int64_t)dims->begin[i];
        tensor->elements *= dims->begin[i];
    }
    return true;
}

static bool tensor_of(const void *memory, struct tvg_ov_tensor *tensor)
{
    *tensor = (struct tvg_ov_tensor){0};
    const void *const *field = memory ? tvg_field_of(memory, MEMORY_WORDS, &desc_wanted) : NULL;
    const struct desc *desc = field ? *field : NULL;
    if (!desc || !shape_of(&desc->shape, tensor))
        return false;
    tensor->type = type_of(desc, tensor);
    tensor->data = data_of(memory);
    return true;
}

/* A node begins: vtable, the shapes of its inputs. */
struct node_head {
    const void *vtable;
    const struct shape *begin, *end, *room;
};

bool tvg_ov_fused_convolution(const struct tvg_ov_node *node, struct tvg_ov_tensor *input)
{
    *input = (struct tvg_ov_tensor){0};
    const void *const *fused = tvg_field_of(node->object, NODE_WORDS, &convolution_wanted);
    const struct node_head *head = fused ? tvg_member_of(fused, &convolution_wanted) : NULL;
    return head && head->begin && head->begin < head->end && head->end <= head->room && ((uintptr_t)head->end - (uintptr_t)head->begin) % sizeof *head->begin == 0 &&
           tvg_can_read(head->begin, sizeof *head->begin) && shape_of(head->begin, input);
}

bool tvg_ov_input(const struct tvg_ov_node *node, int port, struct tvg_ov_tensor *tensor)
{
    *tensor = (struct tvg_ov_tensor){0};
    const struct edge *edge = edge_at(node->in, true, port);
    return edge && tensor_of(memory_of(edge), tensor);
}

bool tvg_ov_output(const struct tvg_ov_node *node, int port, struct tvg_ov_tensor *tensor)
{
    *tensor = (struct tvg_ov_tensor){0};
    const struct edge *edge = edge_at(node->out, false, port);
    return edge && tensor_of(memory_of(edge), tensor);
}

bool tvg_ov_state(const struct tvg_ov_node *node, struct tvg_ov_tensor *tensor)
{
    *tensor = (struct tvg_ov_tensor){0};
    const void *const *state = tvg_field_of(node->object, NODE_WORDS, &state_wanted);
    const void *const *memory = state ? tvg_field_of(*state, STATE_WORDS, &memory_wanted) : NULL;
    return memory && tensor_of(*memory, tensor);
}
