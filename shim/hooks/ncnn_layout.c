/* Reading ncnn's blobs and parameters. Both differ between builds by a few words: a layout is used only where it proves itself. */
#include <string.h>

#include "../intercept/inline.h"
#include "../intercept/rtti.h"
#include "ncnn.h"

enum { VECTOR_MAX = 64, LAYER_WORDS = 256, REARRANGED_MAX = 8, PACK_MAX = 64, PADDING_MAX = 64, TYPES_OF_PARAMETERS = 8, LIST_FIRST = 4, LIST_LAST = 6 };

/* ncnn::Mat. Builds with batches have two words more. */
struct mat {
    const void *data;
    const int32_t *references;
    uint64_t element_bytes; /* of all that are packed into one */
    int32_t pack, filler;
    const void *allocator;
    int32_t rank, width, height, depth, channels, filler_too;
    uint64_t channel_step;
    struct { int32_t count, filler; uint64_t step; } batch;
};
enum { MAT_BYTES = offsetof(struct mat, batch), MAT_BYTES_BATCH = sizeof(struct mat) };

/* --- parameters --------------------------------------------------------------------------------------------------------------------------- */
/* One place of a ParamDict: type, number, list, and in newer versions a text of either of libstdc++'s layouts. */
struct place {
    int32_t type, value;
    struct mat list;
};
static const struct dictionary_layout {
    size_t blob_bytes, text_bytes;
} dictionary_layouts[] = {{MAT_BYTES, 0}, {MAT_BYTES_BATCH, 0}, {MAT_BYTES, 32}, {MAT_BYTES_BATCH, 32}, {MAT_BYTES, 8}, {MAT_BYTES_BATCH, 8}};

static bool is_text(const void *at, size_t bytes)
{
    const struct { const char *characters; uint64_t length; char inside[16]; } *text = at;
    if (bytes == 0)
        return true;
    if (bytes == 8)
        return text->characters != NULL;
    return text->characters == text->inside ? text->length < 16 : text->characters && text->length < 1 << 20;
}

static bool is_empty(const struct mat *mat, size_t blob_bytes)
{
    const struct mat nothing = {0};
    return memcmp(mat, &nothing, offsetof(struct mat, filler)) == 0 && !mat->allocator &&
           memcmp(&mat->rank, &nothing.rank, offsetof(struct mat, filler_too) - offsetof(struct mat, rank)) == 0 && mat->channel_step == 0 &&
           (blob_bytes == MAT_BYTES || (mat->batch.count == 1 && mat->batch.step == 0));
}

static bool fits(const char *places, const struct dictionary_layout *layout)
{
    size_t step = offsetof(struct place, list) + layout->blob_bytes + layout->text_bytes;
    for (int i = 0; i < TVG_NCNN_PARAMETERS; i++) {
        const struct place *place = (const struct place *)(const void *)(places + (size_t)i * step);
        if (place->type < 0 || place->type >= TYPES_OF_PARAMETERS ||
            ((place->type < LIST_FIRST || place->type > LIST_LAST) && !is_empty(&place->list, layout->blob_bytes)) ||
            !is_text((const char *)place + step - layout->text_bytes, layout->text_bytes))
            return false;
    }
    return true;
}

static void copy(struct tvg_ncnn_parameters *parameters, const char *places, const struct dictionary_layout *layout)
{
    size_t step = offsetof(struct place, list) + layout->blob_bytes + layout->text_bytes;
    memset(parameters, 0, sizeof *parameters);
    parameters->blob_bytes = layout->blob_bytes;
    for (int i = 0; i < TVG_NCNN_PARAMETERS; i++) {
        const struct place *place = (const struct place *)(const void *)(places + (size_t)i * step);
        if (place->type == 0 || place->type >= LIST_FIRST)
            continue;
        parameters->given |= 1u << i;
        parameters->value[i] = place->value;
    }
}

static size_t told_blob_bytes; /* by the parameters of any layer */

size_t tvg_ncnn_blob_bytes(const struct tvg_ncnn_parameters *parameters)
{
    return parameters->blob_bytes ? parameters->blob_bytes : __atomic_load_n(&told_blob_bytes, __ATOMIC_RELAXED);
}

bool tvg_ncnn_read_parameters(struct tvg_ncnn_parameters *parameters, const void *dictionary)
{
    if (!tvg_can_read(dictionary, 16))
        return false;
    const char *class = tvg_class_of(dictionary), *places = ((const char *const *)dictionary)[1];
    if (!class || strcmp(class, "N4ncnn9ParamDictE") != 0)
        return false;
    bool any = false;
    for (size_t i = 0; i < sizeof dictionary_layouts / sizeof *dictionary_layouts; i++) {
        const struct dictionary_layout *layout = &dictionary_layouts[i];
        struct tvg_ncnn_parameters read;
        if (!tvg_can_read(places, TVG_NCNN_PARAMETERS * (offsetof(struct place, list) + layout->blob_bytes + layout->text_bytes)) || !fits(places, layout))
            continue;
        copy(&read, places, layout);
        if (any && (read.given != parameters->given || memcmp(read.value, parameters->value, sizeof read.value) != 0))
            return false; /* two layouts that say different things */
        if (any && read.blob_bytes != parameters->blob_bytes)
            read.blob_bytes = 0;
        *parameters = read;
        any = true;
    }
    if (any && parameters->blob_bytes)
        __atomic_store_n(&told_blob_bytes, parameters->blob_bytes, __ATOMIC_RELAXED);
    return any;
}

/* --- blobs -------------------------------------------------------------------------------------------------------------------------------- */
static uint8_t type_of(uint64_t bytes)
{
    /* on x86 a blob of 16 bits is bf16: fp16 is for the blobs of other processors */
    return bytes == 4 ? TVG_TYPE_F32 : bytes == 2 ? TVG_TYPE_BF16 : bytes == 1 ? TVG_TYPE_I8 : TVG_TYPE_NONE;
}

/* As the library makes a blob itself: dimensions beyond its rank are 1, channels padded to 16 bytes. Some layers cut theirs to a vector by its rank
 * alone, and keys and values that are kept have room to grow. */
static bool is_plain(const struct mat *mat)
{
    uint64_t channel = (uint64_t)mat->width * (uint64_t)mat->height * (uint64_t)mat->depth;
    return mat->width > 0 && mat->height > 0 && mat->depth > 0 && mat->channels > 0 && (mat->rank == 4 || mat->depth == 1) &&
           (mat->rank >= 3 || mat->channels == 1) && (mat->rank >= 2 || mat->height == 1) && mat->channel_step >= channel &&
           (mat->channel_step - channel) * mat->element_bytes < PADDING_MAX;
}

bool tvg_ncnn_read_blob(struct tvg_ncnn_blob *blob, const void *at, size_t blob_bytes, bool known)
{
    const struct mat *mat = at;
    memset(blob, 0, sizeof *blob);
    if (blob_bytes < MAT_BYTES || (uintptr_t)at % 8 || (!known && !tvg_can_read(at, blob_bytes)))
        return false;
    if (!mat->data)
        return mat->rank == 0 || (int64_t)mat->channel_step * mat->channels == 0;
    if (mat->rank < 1 || mat->rank > TVG_NCNN_RANK_MAX || mat->pack < 1 || mat->pack > PACK_MAX || mat->element_bytes % (uint64_t)mat->pack != 0 ||
        (uintptr_t)mat->references % 4)
        return false;
    const int32_t dims[TVG_NCNN_RANK_MAX][TVG_NCNN_RANK_MAX] = {
        {mat->width}, {mat->height, mat->width}, {mat->channels, mat->height, mat->width}, {mat->channels, mat->depth, mat->height, mat->width}};
    blob->rank = mat->rank;
    blob->batch = blob_bytes == MAT_BYTES_BATCH ? mat->batch.count : 1;
    blob->elements = blob->batch > 0 ? (uint64_t)blob->batch : 0;
    bool has_dims = true;
    for (int i = 0; i < blob->rank; i++) {
        blob->dim[i] = (int64_t)dims[blob->rank - 1][i] * (i == 0 ? mat->pack : 1);
        has_dims = has_dims && blob->dim[i] > 0;
        blob->elements *= (uint64_t)blob->dim[i];
    }
    blob->type = type_of(mat->element_bytes / (uint64_t)mat->pack);
    blob->data = mat->data;
    return has_dims && blob->type != TVG_TYPE_NONE && blob->batch > 0;
}

int tvg_ncnn_read_blobs(struct tvg_ncnn_blob *blob, const void *vector, size_t blob_bytes, bool known)
{
    const struct { const char *begin, *end, *room; } *list = vector;
    if (blob_bytes < MAT_BYTES || (!known && !tvg_can_read(vector, sizeof *list)))
        return -1;
    size_t bytes = (size_t)(list->end - list->begin);
    if (list->begin > list->end || list->end > list->room || bytes % blob_bytes || bytes > VECTOR_MAX * blob_bytes ||
        (!known && bytes && !tvg_can_read(list->begin, bytes)))
        return -1;
    int count = (int)(bytes / blob_bytes);
    for (int i = 0; i < count && i < TVG_NCNN_BLOBS_MAX; i++)
        if (!tvg_ncnn_read_blob(&blob[i], list->begin + (size_t)i * blob_bytes, blob_bytes, true))
            return -1;
    return count < TVG_NCNN_BLOBS_MAX ? count : TVG_NCNN_BLOBS_MAX;
}

/* The object ends at the latest where another one of the library's begins: its first word leads into the library. */
bool tvg_ncnn_find_weights(struct tvg_ncnn_blob *blob, const void *layer, uint64_t elements, size_t blob_bytes)
{
    const uintptr_t *word = layer;
    uintptr_t begin, end;
    if (elements == 0 || blob_bytes < MAT_BYTES || !tvg_inline_object((const void *)word[0], &begin, &end))
        return false;
    for (size_t at = 1, readable = 0; at < LAYER_WORDS; at++) {
        if (at + blob_bytes / 8 > readable) {
            if (!tvg_can_read(word + at, blob_bytes + 64))
                return false;
            readable = at + blob_bytes / 8 + 8;
        }
        if (word[at] >= begin && word[at] < end && tvg_class_of(word + at)) /* not what another object left in memory that this one does not use */
            return false;
        if (word[at] > 4096 && word[at] % 16 == 0 && tvg_ncnn_read_blob(blob, word + at, blob_bytes, true) && blob->batch == 1 && blob->data &&
            is_plain((const struct mat *)(const void *)(word + at)) && blob->elements >= elements && blob->elements / REARRANGED_MAX <= elements)
            return true;
    }
    return false;
}
