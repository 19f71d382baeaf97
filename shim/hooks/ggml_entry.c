/* The calls of ggml and llama.cpp that are stood in for. A graph is recorded when it has been computed; a batch says exactly how many
 * tokens went in and for how many the model's answer was asked. */
#include <errno.h>
#include <stdint.h>

#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "ggml.h"

int tvg_hook_ggml_graph_compute(void *graph, void *plan);
TVG_HOOK_BODY int tvg_hook_ggml_graph_compute(void *graph, void *plan)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, __builtin_return_address(0));
    int (*real)(void *, void *) = (int (*)(void *, void *))(uintptr_t)target;
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(graph, plan);
    uint64_t start = tvg_now();
    int status = real(graph, plan);
    uint64_t end = tvg_now();
    int saved = errno;
    tvg_call_release(&call); /* nodes are recorded one by one, outside the guard */
    call.thread = NULL;
    if (status == 0)
        tvg_ggml_record_graph(graph, start, end, target);
    errno = saved;
    return status;
}

/* struct llama_batch, passed by value; the same since 2023 but for members that came and went behind these. */
struct llama_batch {
    int32_t n_tokens;
    const int32_t *token;
    const float *embd;
    const int32_t *pos, *n_seq_id;
    const int32_t *const *seq_id;
    const int8_t *logits;
};

/* Rows whose logits are asked for become output tokens, one each; without the array it is the last one. A batch of which every token asks is
 * a decode step: its tokens are outputs of the step before, not new input. */
static void mark(const struct llama_batch *batch, int decoder)
{
    int64_t rows = 0;
    for (int32_t i = 0; batch->logits && i < batch->n_tokens; i++)
        rows += batch->logits[i] != 0;
    if (!batch->logits)
        rows = batch->n_tokens > 0;
    if (!decoder || rows < batch->n_tokens)
        tvg_mark_units("input_token", batch->n_tokens);
    if (decoder && rows)
        tvg_mark_units("output_token", (double)rows);
}

int32_t tvg_hook_llama_decode(void *context, struct llama_batch batch);
TVG_HOOK_BODY int32_t tvg_hook_llama_decode(void *context, struct llama_batch batch)
{
    TVG_TAKE_ENTRY(entry);
    int32_t (*real)(void *, struct llama_batch) =
        (int32_t (*)(void *, struct llama_batch))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int32_t status = real(context, batch);
    int saved = errno;
    if (status == 0)
        mark(&batch, 1);
    errno = saved;
    return status;
}

int32_t tvg_hook_llama_encode(void *context, struct llama_batch batch);
TVG_HOOK_BODY int32_t tvg_hook_llama_encode(void *context, struct llama_batch batch)
{
    TVG_TAKE_ENTRY(entry);
    int32_t (*real)(void *, struct llama_batch) =
        (int32_t (*)(void *, struct llama_batch))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int32_t status = real(context, batch);
    int saved = errno;
    if (status == 0)
        mark(&batch, 0);
    errno = saved;
    return status;
}
