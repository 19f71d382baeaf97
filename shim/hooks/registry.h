/* What is known about objects of the host, by their address: made and dropped where the host makes and drops them, looked up without a lock. */
#ifndef TVG_SHIM_HOOKS_REGISTRY_H
#define TVG_SHIM_HOOKS_REGISTRY_H

#include <stdint.h>

enum { TVG_REGISTRY_PLACES = 1 << 14 };

struct tvg_registry {
    struct tvg_registry_place {
        const void *key;
        void *object;
    } place[TVG_REGISTRY_PLACES];
};

/* What was put for `key`; NULL when nothing was. Safe against changes under other keys; the host answers for those of this one. */
void *tvg_registry_get(const struct tvg_registry *registry, const void *key);
/* Puts `object` for `key` and gives back what was there before. When there is no room it gives back `object`. */
void *tvg_registry_put(struct tvg_registry *registry, const void *key, void *object);
/* Takes away what was put for `key`; NULL when nothing was. */
void *tvg_registry_take(struct tvg_registry *registry, const void *key);

/* Objects for a registry, all of one size: mapped when the first is asked for, used again when given back. */
struct tvg_pool {
    uint32_t bytes, count; /* of an object; how many there are */
    uint32_t next;
    char *memory;
};
#define TVG_POOL(type, most) {.bytes = sizeof(type), .count = (most)}
/* A zeroed object; NULL when all are in use, or there is no memory. Free of locks. */
void *tvg_pool_take(struct tvg_pool *pool);
/* Gives it back; nothing for NULL. */
void tvg_pool_give(struct tvg_pool *pool, void *object);

#endif
