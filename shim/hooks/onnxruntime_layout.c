/* ONNX Runtime's contexts, tensors and nodes in memory. Their layout is no interface: it is used only where it proves itself, in every call or,
 * for what is costly to prove, once for each library. What does not is left unknown. */
#include "onnxruntime.h"

#include <stddef.h>
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/rtti.h"

enum { VALUES_MAX = 1 << 24, WEIGHTS_MAX = 1 << 12, BUILDS_MAX = 8, NODE_BYTES = 0x280, PROTO_BYTES = 0x180, ATTRIBUTES_MAX = 256 };

/* What has been proved of a library. */
struct tvg_ort_build {
    const void *library;
    bool is_1_24;
    bool context;               /* contexts and values: memory is where they say */
    bool node;
    bool shared_text;           /* std::string is one pointer, as before C++11 */
    uint16_t definitions;       /* where a node has its arguments; this and the next two: 0: not proved */
    uint16_t attributes, name;  /* where it has its attributes; where an attribute has its name, behind the key */
};
static struct tvg_ort_build builds[BUILDS_MAX];

static struct tvg_ort_build *build_of(const void *library)
{
    for (size_t i = 0; i < BUILDS_MAX; i++) {
        const void *none = NULL;
        if (__atomic_load_n(&builds[i].library, __ATOMIC_ACQUIRE) == library ||
            (!builds[i].library && (__atomic_compare_exchange_n(&builds[i].library, &none, library, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) ||
                                    none == library)))
            return &builds[i];
    }
    return NULL;
}

/* --- tensors ---------------------------------------------------------------------------------------------------------------------------- */
/* Tensor: data, its deleter (2 words), the shape, the element type. The shape: a span of dimensions (words in either order) that lie in the
 * five words behind it when there are no more than five, and an owner of more. */
struct tensor_layout {
    const void *data, *deleter[2];
    uintptr_t span[2];
    int64_t few[5];
    const void *many;
    const uintptr_t *type;
};

/* An element type: vtable, kind, size, then the number that ONNX gives to the type. */
static uint8_t type_of(const uintptr_t *type)
{
    static const struct { uint8_t type, bytes; } types[] = {
        [1] = {TVG_TYPE_F32, 4}, [2] = {TVG_TYPE_U8, 1}, [3] = {TVG_TYPE_I8, 1}, [5] = {TVG_TYPE_I16, 2}, [6] = {TVG_TYPE_I32, 4},
        [7] = {TVG_TYPE_I64, 8}, [9] = {TVG_TYPE_BOOL, 1}, [10] = {TVG_TYPE_F16, 2}, [11] = {TVG_TYPE_F64, 8}, [16] = {TVG_TYPE_BF16, 2},
        [17] = {TVG_TYPE_F8_E4M3, 1}, [19] = {TVG_TYPE_F8_E5M2, 1}, [21] = {TVG_TYPE_U4, 1}, [22] = {TVG_TYPE_I4, 1}};
    if (!type || (uintptr_t)type % 8)
        return TVG_TYPE_NONE;
    int32_t number;
    memcpy(&number, type + 3, sizeof number);
    if (number <= 0 || number >= (int32_t)(sizeof types / sizeof *types))
        return TVG_TYPE_NONE;
    return types[number].bytes == type[2] ? types[number].type : TVG_TYPE_NONE; /* name and size must agree */
}

static bool tensor_at(const struct tensor_layout *layout, struct tvg_ort_tensor *tensor)
{
    *tensor = (struct tvg_ort_tensor){0};
    if (!layout || (uintptr_t)layout % 8)
        return false;
    bool size_first = layout->span[0] <= TVG_ORT_RANK_MAX;
    uintptr_t rank = layout->span[!size_first], dims = layout->span[size_first];
    if (rank > TVG_ORT_RANK_MAX || (rank > 0 && rank <= 5 && dims != (uintptr_t)layout->few) || (rank > 5 && dims != (uintptr_t)layout->many))
        return false;
    struct tvg_ort_tensor found = {.rank = (int)rank, .elements = 1, .data = layout->data};
    for (int i = 0; i < found.rank; i++) {
        int64_t dim = ((const int64_t *)dims)[i];
        if (dim < 0 || dim > (int64_t)1 << 40)
            return false;
        found.dim[i] = dim;
        found.elements *= (uint64_t)dim;
    }
    found.type = type_of(layout->type);
    if (found.type != TVG_TYPE_NONE)
        *tensor = found;
    return found.type != TVG_TYPE_NONE;
}

/* --- contexts --------------------------------------------------------------------------------------------------------------------------- */
/* A value: its object, the object's owner, its type. */
struct tvg_ort_value {
    const void *object, *owner;
    const uint32_t *type; /* vtable, kind */
};
/* A vector that keeps a few elements in itself: twice the count, plus one when the elements lie elsewhere; then these, or where and for how many. */
struct vector {
    uintptr_t tagged_count;
    const void *elements;
    uintptr_t room;
};
/* A frame: vtable, node index (a vector of numbers of values), all values (a vector with room for two), their count. */
struct frame {
    const void *vtable;
    const struct vector *index;
    struct vector values;
    uintptr_t inside[4];
    uintptr_t count;
};
/* A context: vtable, frame, kernel, thread pool, logger, where in the node index its inputs, implicit inputs and outputs begin. */
struct context_layout {
    const void *vtable;
    const struct frame *frame;
    const void *kernel, *pool, *logger;
    int32_t inputs, implicit, outputs;
};

static const void *vector_elements(const struct vector *vector)
{
    return vector->tagged_count & 1 ? vector->elements : (const void *)&vector->elements;
}

static bool open_node(struct tvg_ort_call *call, struct tvg_ort_build *build);

/* Proof of the layout: the context names the very kernel that was called; the frame's vector of values has the length that is stored behind
 * it; the arguments lie within the node index in their order. */
bool tvg_ort_open(struct tvg_ort_call *call, const void *context, const void *kernel, const void *library, const void *code)
{
    struct tvg_ort_build *build = build_of(library);
    bool first = !build || !__atomic_load_n(&build->context, __ATOMIC_ACQUIRE);
    const struct context_layout *layout = context;
    if (!build || (first && !tvg_can_read(layout, sizeof *layout)))
        return false;
    if (layout->kernel != kernel || !layout->frame || (uintptr_t)layout->frame % 8 || (first && !tvg_can_read(layout->frame, sizeof *layout->frame)))
        return false;
    const struct frame *frame = layout->frame;
    if (frame->count == 0 || frame->count > VALUES_MAX || frame->values.tagged_count >> 1 != frame->count || !frame->index ||
        (uintptr_t)frame->index % 8 || (first && !tvg_can_read(frame->index, sizeof *frame->index)) || (frame->values.tagged_count & 1 && frame->values.room < frame->count))
        return false;
    int64_t length = (int64_t)(frame->index->tagged_count >> 1);
    if (length <= 0 || length > VALUES_MAX || layout->inputs < 0 || layout->implicit < layout->inputs || layout->outputs < layout->implicit ||
        layout->outputs >= length)
        return false;
    const int32_t *index = vector_elements(frame->index);
    const void *values = vector_elements(&frame->values);
    if (first && (!tvg_can_read(values, frame->count * sizeof(struct tvg_ort_value)) || !tvg_can_read((const void *)((uintptr_t)index & ~(uintptr_t)7), 8)))
        return false;
    if (first)
        build->is_1_24 = tvg_inline_symbol(code, "N11onnxruntime16PluginEpOpKernelE") != NULL;
    __atomic_store_n(&build->context, true, __ATOMIC_RELEASE);
    *call = (struct tvg_ort_call){.kernel = kernel, .build = build, .values = values, .value_count = frame->count, .inputs = index + layout->inputs,
                                  .outputs = index + layout->outputs, .input_count = layout->implicit - layout->inputs,
                                  .output_count = 1}; /* every operator has one; the index goes on with other nodes */
    if (!open_node(call, build))
        call->name = call->type = call->domain = (struct tvg_ort_text){"", 0};
    return true;
}

bool tvg_ort_is_1_24(const struct tvg_ort_call *call)
{
    return call->build->is_1_24;
}

static bool value_tensor(const struct tvg_ort_call *call, int32_t number, struct tvg_ort_tensor *tensor)
{
    enum { TENSOR = 2 }; /* among the kinds of types: sequences, maps and sparse tensors have others */
    *tensor = (struct tvg_ort_tensor){0};
    if (number < 0 || (uintptr_t)number >= call->value_count)
        return false;
    const struct tvg_ort_value *value = &call->values[number];
    return value->object && value->type && value->type[2] == TENSOR && tensor_at(value->object, tensor);
}

/* --- constant inputs -------------------------------------------------------------------------------------------------------------------- */
static struct weights {
    const void *kernel, *class; /* the kernel's vtable: another kernel may come to lie at the address of one that is gone */
    int input;
    struct tvg_ort_tensor tensor;
} weights[WEIGHTS_MAX];

static struct weights *weights_of(const void *kernel, int input, bool make)
{
    size_t begin = ((uintptr_t)kernel >> 4) * 0x9e3779b97f4a7c15u >> 52;
    for (size_t i = 0; i < 64; i++) {
        struct weights *place = &weights[(begin + i) % WEIGHTS_MAX];
        const void *there = __atomic_load_n(&place->kernel, __ATOMIC_ACQUIRE);
        if (there == kernel && place->input == input)
            return place;
        if (!there)
            return make ? place : NULL;
    }
    return NULL;
}

void tvg_ort_keep_weights(const void *kernel, int input, const void *tensor)
{
    static int busy;
    struct tvg_ort_tensor shape;
    if (!tvg_can_read(tensor, sizeof(struct tensor_layout)) || !tensor_at(tensor, &shape) || __atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE))
        return;
    struct weights *place = weights_of(kernel, input, true);
    if (place) {
        shape.data = NULL;
        place->tensor = shape;
        place->class = *(const void *const *)kernel;
        place->input = input;
        __atomic_store_n(&place->kernel, kernel, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
}

bool tvg_ort_input(const struct tvg_ort_call *call, int number, struct tvg_ort_tensor *tensor)
{
    *tensor = (struct tvg_ort_tensor){0};
    if (number >= call->input_count || call->inputs[number] < 0)
        return false;
    if (value_tensor(call, call->inputs[number], tensor))
        return true;
    const struct weights *kept = weights_of(call->kernel, number, false);
    if (kept && kept->class == *(const void *const *)call->kernel)
        *tensor = kept->tensor;
    return tensor->type != TVG_TYPE_NONE;
}

bool tvg_ort_output(const struct tvg_ort_call *call, int number, struct tvg_ort_tensor *tensor)
{
    *tensor = (struct tvg_ort_tensor){0};
    return number < call->output_count && value_tensor(call, call->outputs[number], tensor);
}

/* --- nodes ------------------------------------------------------------------------------------------------------------------------------ */
/* std::string: characters, length, and a place for 15 of them; or, as before C++11, characters alone, with their length three words in front. */
static bool text_at(const void *string, bool shared, bool careful, struct tvg_ort_text *text)
{
    enum { TEXT_MAX = 4096 };
    const uintptr_t *word = string;
    if (!word || (uintptr_t)word % 8 || (careful && !tvg_can_read(word, 16)))
        return false;
    uintptr_t characters = word[0];
    if (!characters || (careful && !tvg_can_read((const void *)((characters & ~(uintptr_t)7) - 24), 32)))
        return false;
    text->at = (const char *)characters;
    text->length = shared ? ((const uintptr_t *)characters)[-3] : word[1];
    if (text->length >= TEXT_MAX || !careful) /* proved before: a look at the end will do */
        return text->length < TEXT_MAX && text->at[text->length] == 0;
    return tvg_can_read((const void *)(characters & ~(uintptr_t)7), text->length + 9) && strnlen(text->at, text->length + 1) == text->length;
}

static bool is_identifier(struct tvg_ort_text text)
{
    for (uint64_t i = 0; i < text.length; i++) {
        char letter = text.at[i];
        if (!((letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || letter == '_' || (i > 0 && letter >= '0' && letter <= '9')))
            return false;
    }
    return text.length > 0 && text.length < 64;
}

static bool same(struct tvg_ort_text a, struct tvg_ort_text b)
{
    return a.length == b.length && memcmp(a.at, b.at, a.length) == 0;
}

/* A node's arguments: a vector of inputs, a vector of how many belong to each formal one, a vector of outputs. */
struct definitions {
    uintptr_t input_begin, input_end, input_room;
    uintptr_t formal_begin, formal_end, formal_room;
    uintptr_t output_begin, output_end, output_room;
};

static bool is_vector(uintptr_t begin, uintptr_t end, uintptr_t room, size_t element)
{
    enum { ARGUMENTS_MAX = 4096 };
    return begin <= end && end <= room && begin % 8 == 0 && (end - begin) % element == 0 && end - begin <= ARGUMENTS_MAX * element;
}

/* Proof: as many inputs as the context has, and as the formal ones have together. */
static bool definitions_agree(const struct definitions *at, int input_count)
{
    if (input_count < 1 || !is_vector(at->input_begin, at->input_end, at->input_room, sizeof(void *)) ||
        !is_vector(at->formal_begin, at->formal_end, at->formal_room, sizeof(int32_t)) ||
        !is_vector(at->output_begin, at->output_end, at->output_room, sizeof(void *)) ||
        (at->input_end - at->input_begin) / sizeof(void *) != (size_t)input_count || at->output_begin == at->output_end || at->formal_begin == at->formal_end ||
        !tvg_can_read((const void *)at->formal_begin, at->formal_end - at->formal_begin))
        return false;
    int64_t sum = 0;
    for (const int32_t *count = (const int32_t *)at->formal_begin; count < (const int32_t *)at->formal_end; count++)
        sum += *count;
    return sum == input_count;
}

static void count_outputs(struct tvg_ort_call *call, struct tvg_ort_build *build, const uintptr_t *node)
{
    uint16_t place = __atomic_load_n(&build->definitions, __ATOMIC_RELAXED);
    for (uint16_t at = 0x40; !place && at + sizeof(struct definitions) <= NODE_BYTES; at += 8)
        if (definitions_agree((const struct definitions *)((const char *)node + at), call->input_count)) {
            place = at;
            __atomic_store_n(&build->definitions, place, __ATOMIC_RELAXED);
        }
    const struct definitions *at = (const struct definitions *)((const char *)node + place);
    if (place && at->input_end - at->input_begin == (size_t)call->input_count * sizeof(void *) &&
        is_vector(at->output_begin, at->output_end, at->output_room, sizeof(void *)))
        call->output_count = (int)((at->output_end - at->output_begin) / sizeof(void *));
}

/* A kernel: vtable, its information, which begins with a pointer into itself, to a pointer to the node, and has the node in the next word too.
 * The node: a number, its name, type and domain. */
static bool open_node(struct tvg_ort_call *call, struct tvg_ort_build *build)
{
    bool first = !__atomic_load_n(&build->node, __ATOMIC_ACQUIRE);
    if (first && !tvg_can_read(call->kernel, 16))
        return false;
    const uintptr_t *information = ((const uintptr_t *const *)call->kernel)[1];
    if (!information || (uintptr_t)information % 8 || (first && !tvg_can_read(information, 16)))
        return false;
    uintptr_t inside = information[0] - (uintptr_t)information;
    if (inside % 8 || inside < 16 || inside > 256 || (first && !tvg_can_read((const void *)information[0], 8)))
        return false;
    const uintptr_t *node = *(const uintptr_t *const *)information[0];
    if (!node || (uintptr_t)node % 8 || (uintptr_t)node != information[1] || (first && !tvg_can_read(node, NODE_BYTES)) || node[0] > VALUES_MAX)
        return false;
    bool shared = build->shared_text;
    if (first)
        shared = !text_at(node + 5, false, true, &call->type) || !is_identifier(call->type);
    unsigned words = shared ? 1 : 4;
    if (!text_at(node + 1, shared, first, &call->name) || !text_at(node + 1 + words, shared, first, &call->type) || !is_identifier(call->type) || !text_at(node + 1 + 2 * words, shared, first, &call->domain))
        return false;
    if (first) {
        build->shared_text = shared;
        __atomic_store_n(&build->node, true, __ATOMIC_RELEASE);
    }
    call->node = node;
    count_outputs(call, build, node);
    return true;
}

/* Attributes: a std::unordered_map of names to attributes; its elements are linked, and end with the hash of the key. */
struct map {
    struct element {
        const struct element *next;
        uintptr_t key[];
    } *const *buckets;
    uintptr_t bucket_count;
    const struct element *first;
    uintptr_t count;
    float load;
};

/* An attribute, a message of protocol buffers, lies behind its key; its last fields: name, text, two more texts, four messages, an integer, a
 * float, the kind of the attribute, each text by a pointer whose last bits say whose it is. */
enum { NAME = 0, TEXT = 8, INTEGER = 64, FLOAT = 72, KIND = 76, HASH = 80 };
enum { KIND_INTEGER = 2, KIND_TEXT = 3, KIND_LAST = 14 };

static const uint8_t *attribute_of(const struct element *element, bool shared)
{
    return (const uint8_t *)element + (shared ? 16 : 40);
}

static bool pointed_text(const uint8_t *pointer, bool shared, bool careful, struct tvg_ort_text *text)
{
    uintptr_t string;
    memcpy(&string, pointer, sizeof string);
    return text_at((const void *)(string & ~(uintptr_t)3), shared, careful, text);
}

static bool element_agrees(const struct map *map, const struct element *element, size_t name, bool shared)
{
    struct tvg_ort_text key, again;
    const uint8_t *at = attribute_of(element, shared) + name;
    int32_t kind;
    uintptr_t hash;
    memcpy(&kind, at + KIND, sizeof kind);
    memcpy(&hash, at + HASH, sizeof hash);
    return text_at(element->key, shared, true, &key) && is_identifier(key) && pointed_text(at + NAME, shared, true, &again) && same(key, again) &&
           kind > 0 && kind <= KIND_LAST && map->buckets[hash % map->bucket_count] != NULL;
}

/* Proof: every element's key is repeated as the name inside it at one and the same place, its kind is one that exists, and the hash behind it
 * belongs to a bucket in use. */
static size_t prove_map(const struct map *map, bool shared)
{
    if (map->load != 1.0f || map->count == 0 || map->count > ATTRIBUTES_MAX || map->bucket_count == 0 || map->bucket_count > 16 * ATTRIBUTES_MAX ||
        !tvg_can_read(map->buckets, map->bucket_count * sizeof *map->buckets))
        return 0;
    for (size_t name = 24; name + HASH + 8 < PROTO_BYTES; name += 8) {
        uintptr_t count = 0;
        const struct element *element = map->first;
        while (element && count < map->count && tvg_can_read(element, PROTO_BYTES) && element_agrees(map, element, name, shared))
            element = element->next, count++;
        if (!element && count == map->count)
            return name;
    }
    return 0;
}

static bool find_attributes(const struct tvg_ort_call *call, struct tvg_ort_build *build)
{
    for (size_t at = 0x40; at + sizeof(struct map) <= NODE_BYTES; at += 8) {
        size_t name = prove_map((const struct map *)((const char *)call->node + at), build->shared_text);
        if (name) {
            build->name = (uint16_t)name;
            __atomic_store_n(&build->attributes, (uint16_t)at, __ATOMIC_RELEASE);
            return true;
        }
    }
    return false;
}

/* The attribute called `name`: where its own name lies; NULL when it is absent. False when attributes can't be read. */
static bool find_attribute(const struct tvg_ort_call *call, const char *name, const uint8_t **found)
{
    struct tvg_ort_build *build = (struct tvg_ort_build *)(uintptr_t)call->build;
    *found = NULL;
    if (!call->node || (!__atomic_load_n(&build->attributes, __ATOMIC_ACQUIRE) && !find_attributes(call, build)))
        return false;
    const struct map *map = (const struct map *)((const char *)call->node + build->attributes);
    struct tvg_ort_text wanted = {name, strlen(name)}, key;
    uintptr_t count = 0;
    if (map->load != 1.0f || map->count > ATTRIBUTES_MAX)
        return false;
    for (const struct element *element = map->first; element && count < map->count; element = element->next, count++)
        if (!text_at(element->key, build->shared_text, false, &key))
            return false;
        else if (same(key, wanted))
            *found = attribute_of(element, build->shared_text) + build->name;
    return count == map->count;
}

static int32_t kind_of(const uint8_t *attribute)
{
    int32_t kind;
    memcpy(&kind, attribute + KIND, sizeof kind);
    return kind;
}

bool tvg_ort_attribute(const struct tvg_ort_call *call, const char *name, int64_t *value)
{
    const uint8_t *attribute;
    if (!find_attribute(call, name, &attribute) || (attribute && kind_of(attribute) != KIND_INTEGER))
        return false;
    if (attribute)
        memcpy(value, attribute + INTEGER, sizeof *value);
    return true;
}

bool tvg_ort_attribute_text(const struct tvg_ort_call *call, const char *name, struct tvg_ort_text *value)
{
    const uint8_t *attribute;
    *value = (struct tvg_ort_text){"", 0};
    if (!find_attribute(call, name, &attribute) || (attribute && kind_of(attribute) != KIND_TEXT))
        return false;
    return !attribute || pointed_text(attribute + TEXT, call->build->shared_text, false, value);
}
