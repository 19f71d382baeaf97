/* Memory that is released all at once: what a profile points to lives in one. */
#ifndef TVG_ARENA_H
#define TVG_ARENA_H

#include <stddef.h>

struct tvg_arena;

struct tvg_arena *tvg_arena_new(void);                        /* NULL when memory is out */
void *tvg_arena_alloc(struct tvg_arena *arena, size_t bytes); /* zeroed, aligned to 16; NULL when memory is out */
char *tvg_arena_string(struct tvg_arena *arena, const char *text, size_t length); /* a copy, NUL-terminated; NULL gives NULL */
void tvg_arena_share(struct tvg_arena *arena);                /* one more owner: released by the last tvg_arena_free */
void tvg_arena_free(struct tvg_arena *arena);                 /* NULL is fine */

#endif
