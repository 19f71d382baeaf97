/* A chain of chunks; a request larger than a chunk gets one of its own. */
#include "arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 16384, ALIGNMENT = 16 };

struct chunk {
    struct chunk *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

struct tvg_arena {
    unsigned more_owners;
    struct chunk *head;
};

struct tvg_arena *tvg_arena_new(void)
{
    return calloc(1, sizeof(struct tvg_arena));
}

void *tvg_arena_alloc(struct tvg_arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct chunk *chunk = arena->head;
    if (!chunk || chunk->size - chunk->used < bytes) {
        size_t size = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
        chunk = calloc(1, sizeof *chunk + size);
        if (!chunk)
            return NULL;
        chunk->size = size;
        chunk->next = arena->head;
        arena->head = chunk;
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += bytes;
    return memory;
}

char *tvg_arena_string(struct tvg_arena *arena, const char *text, size_t length)
{
    if (!text)
        return NULL;
    char *copy = tvg_arena_alloc(arena, length + 1);
    if (copy)
        memcpy(copy, text, length);
    return copy;
}

void tvg_arena_share(struct tvg_arena *arena)
{
    if (arena)
        arena->more_owners++;
}

void tvg_arena_free(struct tvg_arena *arena)
{
    if (!arena || arena->more_owners) {
        if (arena)
            arena->more_owners--;
        return;
    }
    for (struct chunk *chunk = arena->head, *next; chunk; chunk = next) {
        next = chunk->next;
        free(chunk);
    }
    free(arena);
}
