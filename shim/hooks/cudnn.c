/* cuDNN graphs: what a plan computes is learnt while the host builds it. Tensors, operations and graphs are descriptors that are set attribute
 * by attribute and mostly destroyed once a plan exists, so each descriptor that leads to a plan inherits the summary of its graph (cudnn_graph.c). */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cudnn_graph.h"
#include "described.h"
#include "gpu_call.h"
#include "registry.h"

enum { DESCRIPTORS = TVG_REGISTRY_PLACES, SUMMARIES = 8192 };
enum { TYPE_DATA_TYPE = 1, TYPE_BOOLEAN = 2, TYPE_INT64 = 3, TYPE_POINTWISE_MODE = 14, TYPE_DESCRIPTOR = 15 };
enum { POINTWISE_MODE = 0, GRAPH_OPERATIONS = 801, TENSOR_TYPE = 901, TENSOR_DIMENSIONS = 902, TENSOR_ID = 906, TENSOR_VIRTUAL = 907, TENSOR_BY_VALUE = 908,
       POINTWISE_DESCRIPTOR = 750 };

static struct tvg_registry known;
static struct tvg_pool descriptors = TVG_POOL(struct tvg_cudnn_descriptor, DESCRIPTORS), summaries = TVG_POOL(struct tvg_cudnn_summary, SUMMARIES);

static void say_limit(void)
{
    tvg_note("limit", "cuDNN", "more graphs or descriptors at a time than are remembered: those that came later are not counted");
}

static void set_summary(struct tvg_cudnn_descriptor *descriptor, struct tvg_cudnn_summary *summary)
{
    struct tvg_cudnn_summary *before = descriptor->summary;
    if (summary)
        __atomic_fetch_add(&summary->references, 1, __ATOMIC_RELAXED);
    descriptor->summary = summary;
    if (before && __atomic_sub_fetch(&before->references, 1, __ATOMIC_ACQ_REL) == 0)
        tvg_pool_give(&summaries, before);
}

static void drop(struct tvg_cudnn_descriptor *descriptor)
{
    if (descriptor)
        set_summary(descriptor, NULL);
    tvg_pool_give(&descriptors, descriptor);
}

static void keep(const void *key, int kind)
{
    struct tvg_cudnn_descriptor *made = tvg_pool_take(&descriptors);
    if (made) {
        made->kind = kind;
        drop(tvg_registry_put(&known, key, made)); /* one that was there: the same call, on its way through the library's parts */
    } else {
        drop(tvg_registry_take(&known, key));
        say_limit();
    }
}

static void set_graph(struct tvg_cudnn_descriptor *graph, int64_t count, void *const *operations)
{
    struct tvg_cudnn_summary *summary = tvg_pool_take(&summaries);
    struct tvg_cudnn_graph found = {.count = 0, .incomplete = false};
    for (int64_t i = 0; i < count; i++) {
        const struct tvg_cudnn_descriptor *operation = tvg_registry_get(&known, operations[i]);
        if (!operation || found.count == TVG_CUDNN_OPERATIONS)
            found.incomplete = true;
        else
            found.operation[found.count++] = operation;
    }
    if (!summary)
        say_limit();
    else if (!tvg_cudnn_summarise(&summary->op, &found)) {
        tvg_pool_give(&summaries, summary);
        summary = NULL;
    }
    set_summary(graph, summary);
}

static void set_attribute(struct tvg_cudnn_descriptor *descriptor, int name, int type, int64_t count, const void *values)
{
    struct tvg_cudnn_tensor *tensor = &descriptor->operand[0].tensor;
    descriptor->unsure |= tvg_cudnn_makes_unsure(name);
    if (name == TENSOR_TYPE && type == TYPE_DATA_TYPE)
        tensor->type = tvg_cudnn_type(*(const int32_t *)values);
    else if (name == TENSOR_DIMENSIONS && type == TYPE_INT64 && count > 0 && count <= TVG_CUDNN_RANK) {
        tensor->rank = (uint8_t)count;
        memcpy(tensor->dim, values, (size_t)count * sizeof(int64_t));
    } else if (name == TENSOR_ID && type == TYPE_INT64)
        memcpy(&descriptor->operand[0].id, values, sizeof(int64_t));
    else if ((name == TENSOR_VIRTUAL || name == TENSOR_BY_VALUE) && type == TYPE_BOOLEAN)
        descriptor->operand[0].not_in_memory |= *(const bool *)values;
    else if (name == POINTWISE_MODE && type == TYPE_POINTWISE_MODE)
        memcpy(&descriptor->pointwise_mode, values, sizeof(int32_t));
    else if (type == TYPE_DESCRIPTOR && name == GRAPH_OPERATIONS)
        set_graph(descriptor, count, values);
    else if (type == TYPE_DESCRIPTOR) {
        const struct tvg_cudnn_descriptor *child = tvg_registry_get(&known, *(void *const *)values);
        int place = tvg_cudnn_place(name);
        if (!child)
            return;
        if (place >= 0) {
            descriptor->operand[place] = child->operand[0];
            descriptor->operand[place].present = true;
            if (!child->operand[0].id)
                descriptor->operand[place].id = (int64_t)(uintptr_t)child;
        }
        descriptor->unsure |= child->unsure;
        if (name == POINTWISE_DESCRIPTOR)
            descriptor->pointwise_mode = child->pointwise_mode;
        if (child->summary)
            set_summary(descriptor, child->summary);
    }
}

typedef int create(int kind, void **descriptor);
create tvg_hook_cudnnBackendCreateDescriptor;
TVG_HOOK_BODY int tvg_hook_cudnnBackendCreateDescriptor(int kind, void **descriptor)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(create, tvg_target(entry, __builtin_return_address(0)))(kind, descriptor), saved = errno;
    if (status == 0 && descriptor)
        keep(*descriptor, kind);
    errno = saved;
    return status;
}

typedef int destroy(void *descriptor);
destroy tvg_hook_cudnnBackendDestroyDescriptor;
TVG_HOOK_BODY int tvg_hook_cudnnBackendDestroyDescriptor(void *descriptor)
{
    TVG_TAKE_ENTRY(entry);
    drop(tvg_registry_take(&known, descriptor));
    return TVG_FUNCTION(destroy, tvg_target(entry, __builtin_return_address(0)))(descriptor);
}

typedef int set(void *descriptor, int name, int type, int64_t count, const void *values);
set tvg_hook_cudnnBackendSetAttribute;
TVG_HOOK_BODY int tvg_hook_cudnnBackendSetAttribute(void *descriptor, int name, int type, int64_t count, const void *values)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(set, tvg_target(entry, __builtin_return_address(0)))(descriptor, name, type, count, values), saved = errno;
    struct tvg_cudnn_descriptor *of = status == 0 && values && count > 0 ? tvg_registry_get(&known, descriptor) : NULL;
    if (of)
        set_attribute(of, name, type, count, values);
    errno = saved;
    return status;
}

/* Heuristics hand out engine configurations for the graph they were given. */
typedef int get(const void *descriptor, int name, int type, int64_t requested, int64_t *count, void *values);
get tvg_hook_cudnnBackendGetAttribute;
TVG_HOOK_BODY int tvg_hook_cudnnBackendGetAttribute(const void *descriptor, int name, int type, int64_t requested, int64_t *count, void *values)
{
    TVG_TAKE_ENTRY(entry);
    int status = TVG_FUNCTION(get, tvg_target(entry, __builtin_return_address(0)))(descriptor, name, type, requested, count, values);
    const struct tvg_cudnn_descriptor *from = status == 0 && type == TYPE_DESCRIPTOR && values ? tvg_registry_get(&known, descriptor) : NULL;
    int64_t filled = count && *count < requested ? *count : requested;
    for (int64_t i = 0; from && from->summary && i < filled; i++) {
        struct tvg_cudnn_descriptor *to = tvg_registry_get(&known, ((void **)values)[i]);
        if (to)
            set_summary(to, from->summary);
    }
    return status;
}

static struct tvg_slot *slot_of(struct tvg_call *call, const struct tvg_entry *entry, const void *caller, const void *plan, const void *pack)
{
    const struct tvg_cudnn_descriptor *of = tvg_registry_get(&known, plan), *given = tvg_registry_get(&known, pack);
    if (!of || !of->summary) {
        tvg_note("unknown-version", entry->name, "a plan whose graph was not seen being built, or is not understood: its kernels are recorded, its FLOP are not known");
        return NULL;
    }
    if (given && given->unsure) {
        tvg_note("found-not-catchable", entry->name, "sizes that are given for one run: its kernels are recorded, its FLOP are not known");
        return NULL;
    }
    struct tvg_op op = of->summary->op;
    op.function = entry->name;
    op.net = entry->net;
    return tvg_slot_described(call, entry, &op, caller);
}

typedef int execute(void *handle, void *plan, void *pack);
execute tvg_hook_cudnnBackendExecute;
TVG_HOOK_BODY int tvg_hook_cudnnBackendExecute(void *handle, void *plan, void *pack)
{
    TVG_GPU_STATUS_BODY(TVG_FUNCTION(execute, target)(handle, plan, pack), slot_of(&call, entry, caller, plan, pack), NULL, NULL, NULL);
}

/* Makes nodes of a CUDA graph out of the plan: nothing runs yet, each replay of its first kernel counts it. */
typedef int populate(void *handle, void *plan, void *pack, void *graph);
populate tvg_hook_cudnnBackendPopulateCudaGraph;
TVG_HOOK_BODY int tvg_hook_cudnnBackendPopulateCudaGraph(void *handle, void *plan, void *pack, void *graph)
{
    TVG_GPU_BODY(int, TVG_FUNCTION(populate, target)(handle, plan, pack, graph), slot_of(&call, entry, caller, plan, pack), returned, true, NULL, NULL, NULL);
}
