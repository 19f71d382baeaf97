/* ncnn: each layer that a net forwards is one op, whatever computes inside it. A layer's parameters are read when it is given them, by their numbers;
 * sizes come with each call. Layers that only hold another one are passed by. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/resolve.h"
#include "../intercept/rtti.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"
#include "ncnn.h"
#include "registry.h"

enum { LAYERS_MAX = 8192 };

static struct tvg_ncnn_layer layers[LAYERS_MAX];
static struct tvg_registry known;
/* How many layers the thread is preparing or running, one within the other: a layer that is made meanwhile is a part of that one, and may compute on
 * other threads. */
static __thread int inside __attribute__((tls_model("initial-exec")));

static struct tvg_ncnn_layer *take(void)
{
    static unsigned next;
    for (unsigned tries = 0; tries < LAYERS_MAX; tries++) {
        struct tvg_ncnn_layer *layer = &layers[__atomic_fetch_add(&next, 1, __ATOMIC_RELAXED) % LAYERS_MAX];
        if (!__atomic_exchange_n(&layer->taken, 1, __ATOMIC_ACQUIRE))
            return layer;
    }
    tvg_note("limit", "ncnn", "more layers than are remembered: those that came later are not counted");
    return NULL;
}

static void give_back(struct tvg_ncnn_layer *layer)
{
    if (layer)
        __atomic_store_n(&layer->taken, 0, __ATOMIC_RELEASE);
}

/* What a wrong slot may give is passed on whole. */
typedef uintptr_t layer_function(uintptr_t layer, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f);

static const struct tvg_ncnn_class *class_at(const void *object)
{
    const char *name = tvg_can_read(object, 8) ? tvg_class_of(object) : NULL;
    return name ? tvg_ncnn_class_of(name) : NULL;
}

/* Builds before 2024 inherit virtually: there only some of the virtual functions are where they are looked for. `code`: anything in the library. */
static bool is_followed(const void *code)
{
    return tvg_inline_symbol(code, "N4ncnn11Layer_finalE") != NULL;
}

/* load_param(dictionary) */
layer_function tvg_hook_ncnn_load_param;
TVG_HOOK_BODY uintptr_t tvg_hook_ncnn_load_param(uintptr_t object, uintptr_t dictionary, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int saved = errno;
    struct tvg_ncnn_parameters parameters;
    const struct tvg_ncnn_class *class = class_at((const void *)object);
    if (class && !is_followed(entry->name))
        tvg_note("unknown-version", tvg_object_name(entry->name, NULL), "its layers are not built as in 2024 and later: no layer is recorded");
    else if (class && !tvg_ncnn_read_parameters(&parameters, (const void *)dictionary))
        tvg_note("unknown-version", tvg_object_name(entry->name, NULL), "parameters of ncnn's layers are laid out in an unknown way: no layer is recorded");
    else if (class) {
        struct tvg_ncnn_layer *layer = take();
        if (layer) {
            layer->class = class;
            layer->parameters = parameters;
            layer->is_part = inside > 0;
            layer->is_read = layer->are_weights_sought = false;
            layer->weights = NULL;
            give_back(tvg_registry_put(&known, (const void *)object, layer));
        }
    }
    errno = saved;
    return TVG_FUNCTION(layer_function, target)(object, dictionary, c, d, e, f);
}

static void leave(const int *unused)
{
    (void)unused;
    inside--;
}

/* create_pipeline(options) */
layer_function tvg_hook_ncnn_create_pipeline;
TVG_HOOK_BODY uintptr_t tvg_hook_ncnn_create_pipeline(uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, NULL);
    int unused __attribute__((cleanup(leave))) = inside++;
    return TVG_FUNCTION(layer_function, target)(object, b, c, d, e, f);
}

/* The deleting destructor. */
layer_function tvg_hook_ncnn_delete;
TVG_HOOK_BODY uintptr_t tvg_hook_ncnn_delete(uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    TVG_TAKE_ENTRY(entry);
    give_back(tvg_registry_take(&known, (const void *)object));
    return TVG_FUNCTION(layer_function, tvg_target(entry, NULL))(object, b, c, d, e, f);
}

enum passing { ONE, LIST, ONE_IN_PLACE, LIST_IN_PLACE };

static bool read_blobs(struct tvg_ncnn_blob *blob, int *count, const void *at, bool is_list, const struct tvg_ncnn_layer *layer)
{
    size_t bytes = tvg_ncnn_blob_bytes(&layer->parameters);
    *count = is_list ? tvg_ncnn_read_blobs(blob, at, bytes, layer->is_read) : tvg_ncnn_read_blob(blob, at, bytes, layer->is_read) ? 1 : -1;
    return *count >= 0;
}

static void say_uncounted(const struct tvg_ncnn_layer *layer, bool is_read)
{
    char subject[64];
    snprintf(subject, sizeof subject, "ncnn %s", tvg_ncnn_class_name(layer->class));
    if (is_read)
        tvg_note("found-not-catchable", subject, "its FLOP are not counted: only time and operands are known");
    else
        tvg_note("unknown-version", subject, "the blobs of a layer are laid out in an unknown way: it is not recorded");
}

/* After the call: what comes out of a layer is only then made. Inputs of a call in place have been read before. */
static void record(struct tvg_call *recorded, const struct tvg_entry *entry, struct tvg_ncnn_layer *layer, const void *object, struct tvg_ncnn_call *call,
                   const void *out, enum passing passing, uint64_t end, const void *caller)
{
    int saved = errno;
    struct tvg_op op = {.net = entry->net, .device = -1};
    const void *b;
    if (call->inputs < 0 || !read_blobs(call->out, &call->outputs, out, passing == LIST || passing == LIST_IN_PLACE, layer))
        say_uncounted(layer, false);
    else {
        layer->is_read = true;
        if (!tvg_ncnn_describe(&op, layer, object, call, &b))
            say_uncounted(layer, true);
        struct tvg_slot *slot = tvg_slot_described(recorded, entry, &op, caller);
        errno = saved;
        tvg_call_end_at(recorded, slot, end, call->in[0].data, b, call->out[0].data);
    }
    errno = saved;
}

static inline __attribute__((always_inline)) uintptr_t forward(const struct tvg_entry *entry, const void *caller, void *frame, enum passing passing,
                                                               uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)
{
    layer_function *const real = TVG_FUNCTION(layer_function, tvg_target(entry, NULL));
    struct tvg_ncnn_layer *layer = tvg_registry_get(&known, (const void *)object);
    if (!layer || layer->is_part || (!tvg_ncnn_is_product(layer->class) && !tvg_all_operations())) {
        if (!layer) {
            int saved = errno;
            const struct tvg_ncnn_class *class = class_at((const void *)object);
            if (class && tvg_ncnn_is_product(class)) {
                tvg_note("unknown-version", tvg_object_name(entry->name, NULL), "a layer of ncnn was run whose parameters were not seen: it is not recorded");
                tvg_recording_begin();
            }
            errno = saved;
        }
        return real(object, b, c, d, e, f);
    }
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, frame))
        return real(object, b, c, d, e, f);
    int saved = errno;
    struct tvg_ncnn_call blobs;
    const bool in_place = passing == ONE_IN_PLACE || passing == LIST_IN_PLACE;
    read_blobs(blobs.in, &blobs.inputs, (const void *)b, passing == LIST || passing == LIST_IN_PLACE, layer);
    errno = saved;
    int unused __attribute__((cleanup(leave))) = inside++;
    call.start = tvg_now();
    uintptr_t status = real(object, b, c, d, e, f);
    uint64_t end = tvg_now();
    if ((uint32_t)status == 0)
        record(&call, entry, layer, (const void *)object, &blobs, (const void *)(in_place ? b : c), passing, end, caller);
    return status;
}

/* forward(bottom blobs, top blobs, options), and forward_inplace(blobs, options), each with a blob or a list of them. */
#define FORWARD(name, passing)                                                                                                       \
    layer_function name;                                                                                                             \
    TVG_HOOK_BODY uintptr_t name(uintptr_t object, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e, uintptr_t f)                  \
    {                                                                                                                                \
        TVG_TAKE_ENTRY(entry);                                                                                                       \
        return forward(entry, __builtin_return_address(0), __builtin_frame_address(0), passing, object, b, c, d, e, f);              \
    }
FORWARD(tvg_hook_ncnn_forward, ONE)
FORWARD(tvg_hook_ncnn_forward_list, LIST)
FORWARD(tvg_hook_ncnn_forward_in_place, ONE_IN_PLACE)
FORWARD(tvg_hook_ncnn_forward_list_in_place, LIST_IN_PLACE)
