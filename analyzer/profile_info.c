/* What the blocks beside ops say: coverage notes, marks, the manifest, meters, the clean end. Keys are those of trace/FORMAT.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/cursor.h"
#include "profile_build.h"
#include "sources_decode.h"

enum { NOTES_MAX = 4096, MANIFEST_MAX = 4096, TEXT_MAX = 4096 };

/* The value of `key` in a map payload; kind TVG_TOKEN_NIL when it is not there. */
static struct tvg_token value_of(const struct tvg_event *event, const char *key)
{
    struct tvg_cursor cursor = {event->payload, (const uint8_t *)event->payload + event->length};
    struct tvg_token map = tvg_cursor_next(&cursor), none = {.kind = TVG_TOKEN_NIL};
    if (map.kind != TVG_TOKEN_MAP)
        return none;
    for (uint32_t i = 0; i < map.length; i++) {
        struct tvg_token name = tvg_cursor_next(&cursor);
        if (name.kind == TVG_TOKEN_BAD)
            break;
        if (tvg_token_is(&name, key))
            return tvg_cursor_next(&cursor);
        if (name.kind == TVG_TOKEN_ARRAY || name.kind == TVG_TOKEN_MAP || !tvg_cursor_skip(&cursor, 16))
            break;
    }
    return none;
}

uint64_t tvg_event_number(const struct tvg_event *event, const char *key)
{
    struct tvg_token token = value_of(event, key);
    return tvg_token_uint(&token, 0);
}

double tvg_event_real(const struct tvg_event *event, const char *key)
{
    struct tvg_token token = value_of(event, key);
    return tvg_token_double(&token, 0);
}

void tvg_event_text(const struct tvg_event *event, const char *key, char *out, size_t capacity)
{
    struct tvg_token token = value_of(event, key);
    size_t length = token.kind == TVG_TOKEN_STRING ? token.length : 0;
    if (length >= capacity)
        length = capacity - 1;
    if (length)
        memcpy(out, token.data, length);
    out[length] = '\0';
}

/* Grows an array that doubles at powers of two; false when memory is out. */
static bool room(void **array, uint32_t count, size_t size)
{
    if (count & (count - 1))
        return true;
    void *grown = realloc(*array, (count ? 2 * (size_t)count : 1) * size);
    if (grown)
        *array = grown;
    return grown != NULL;
}

void tvg_info_note(struct tvg_info *info, struct tvg_arena *arena, const char *what, const char *subject, const char *detail, uint64_t count)
{
    for (uint32_t i = 0; i < info->note_count; i++) {
        struct tvg_coverage_note *note = &info->notes[i];
        if (strcmp(note->what, what) == 0 && strcmp(note->subject, subject) == 0 && strcmp(note->detail, detail) == 0) {
            note->count += count;
            return;
        }
    }
    if (info->note_count == NOTES_MAX) {
        info->notes_dropped += count;
        return;
    }
    void *array = info->notes;
    if (!room(&array, info->note_count, sizeof *info->notes)) {
        info->failed = true;
        return;
    }
    info->notes = array;
    struct tvg_coverage_note *note = &info->notes[info->note_count];
    note->what = tvg_arena_string(arena, what, strlen(what));
    note->subject = tvg_arena_string(arena, subject, strlen(subject));
    note->detail = tvg_arena_string(arena, detail, strlen(detail));
    note->count = count;
    if (!note->what || !note->subject || !note->detail)
        info->failed = true;
    else
        info->note_count++;
}

static void coverage(struct tvg_info *info, struct tvg_arena *arena, const struct tvg_event *event)
{
    char what[64], subject[TEXT_MAX], detail[TEXT_MAX];
    tvg_event_text(event, "what", what, sizeof what);
    tvg_event_text(event, "subject", subject, sizeof subject);
    tvg_event_text(event, "detail", detail, sizeof detail);
    uint64_t count = tvg_event_number(event, "count");
    if (what[0])
        tvg_info_note(info, arena, what, subject, detail, count ? count : 1);
}

static void mark(struct tvg_info *info, const struct tvg_event *event)
{
    char kind[24];
    tvg_event_text(event, "kind", kind, sizeof kind);
    double value = tvg_event_real(event, "value");
    if (!kind[0] || !isfinite(value) || value < 0 || strncmp(kind, "kernels-", 8) == 0) /* windows.c reads those */
        return;
    for (uint32_t i = 0; i < info->mark_count; i++)
        if (strcmp(info->marks[i].kind, kind) == 0) {
            info->marks[i].value += value;
            return;
        }
    if (info->mark_count < TVG_UNIT_MARKS_MAX) {
        struct tvg_unit_mark *place = &info->marks[info->mark_count++];
        memcpy(place->kind, kind, sizeof kind);
        place->value = value;
    }
}

struct pair_context {
    struct tvg_info *info;
    struct tvg_arena *arena;
    uint32_t file;
};

static void pair(const char *key, const char *value, void *context)
{
    struct pair_context *to = context;
    struct tvg_info *info = to->info;
    for (uint32_t i = 0; i < info->manifest_count; i++)
        if (strcmp(info->manifest[i].key, key) == 0) {
            if (to->file == 0)
                info->manifest[i].value = tvg_arena_string(to->arena, value, strlen(value));
            return;
        }
    if (info->manifest_count == MANIFEST_MAX)
        return;
    void *array = info->manifest;
    if (!room(&array, info->manifest_count, sizeof *info->manifest)) {
        info->failed = true;
        return;
    }
    info->manifest = array;
    struct tvg_pair *place = &info->manifest[info->manifest_count++];
    place->key = tvg_arena_string(to->arena, key, strlen(key));
    place->value = tvg_arena_string(to->arena, value, strlen(value));
    if (!place->key || !place->value) {
        info->manifest_count--;
        info->failed = true;
    }
}

void tvg_info_add(struct tvg_info *info, struct tvg_info_file *sums, struct tvg_arena *arena, uint32_t file, const char *host, const struct tvg_event *event)
{
    struct pair_context to = {info, arena, file};
    uint64_t moment = tvg_event_number(event, "mono_ns");
    if (moment > sums->last_mono_ns)
        sums->last_mono_ns = moment;
    switch (event->block) {
    case TVG_BLOCK_COVERAGE:
        coverage(info, arena, event);
        break;
    case TVG_BLOCK_MARK:
        mark(info, event);
        break;
    case TVG_BLOCK_MANIFEST:
        tvg_manifest_read(event->payload, event->length, pair, &to);
        break;
    case TVG_BLOCK_ENERGY:
        if (tvg_event_number(event, "cost")) /* all its samples so far */
            sums->meter_cost_ns = (double)tvg_event_number(event, "cost");
        if (!info->meters && !(info->meters = tvg_meters_new()))
            info->failed = true;
        else
            tvg_meters_add(info->meters, file, host, event->payload, event->length);
        break;
    case TVG_BLOCK_END:
        sums->end_cpu_ns = (double)tvg_event_number(event, "cpu_process_ns");
        sums->end_encode_ticks = (double)tvg_event_number(event, "encode_ticks") + (double)tvg_event_number(event, "op_ticks") * (double)tvg_event_number(event, "ops");
        break;
    default:
        break;
    }
}

void tvg_info_free(struct tvg_info *info)
{
    free(info->notes);
    free(info->manifest);
    if (info->meters)
        tvg_meters_free(info->meters);
    memset(info, 0, sizeof *info);
}
