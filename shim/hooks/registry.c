/* Open addressing with atomic keys: a place is claimed, filled, then named. A pool's object lies behind a word that says whether it is taken. */
#include "registry.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "../record/sys.h"

enum { PROBES = 256 };
static const char gone, claimed; /* their addresses stand for places that can be used again, and for those being filled */

static struct tvg_registry_place *place_at(const struct tvg_registry *registry, const void *key, unsigned probe)
{
    uint64_t begin = ((uint64_t)(uintptr_t)key >> 4) * 0x9e3779b97f4a7c15u >> 32;
    return (struct tvg_registry_place *)(uintptr_t)&registry->place[(begin + probe) % TVG_REGISTRY_PLACES];
}

static struct tvg_registry_place *find(const struct tvg_registry *registry, const void *key)
{
    for (unsigned i = 0; i < PROBES; i++) {
        struct tvg_registry_place *place = place_at(registry, key, i);
        const void *there = __atomic_load_n(&place->key, __ATOMIC_ACQUIRE);
        if (there == key)
            return place;
        if (!there)
            break;
    }
    return NULL;
}

void *tvg_registry_get(const struct tvg_registry *registry, const void *key)
{
    struct tvg_registry_place *place = key ? find(registry, key) : NULL;
    return place ? __atomic_load_n(&place->object, __ATOMIC_ACQUIRE) : NULL;
}

void *tvg_registry_put(struct tvg_registry *registry, const void *key, void *object)
{
    struct tvg_registry_place *place = find(registry, key);
    if (place) /* an object that was dropped unseen: its address is used again */
        return __atomic_exchange_n(&place->object, object, __ATOMIC_ACQ_REL);
    for (unsigned i = 0; i < PROBES; i++) {
        place = place_at(registry, key, i);
        const void *there = __atomic_load_n(&place->key, __ATOMIC_RELAXED);
        if ((there && there != &gone) || !__atomic_compare_exchange_n(&place->key, &there, (const void *)&claimed, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        __atomic_store_n(&place->object, object, __ATOMIC_RELAXED);
        __atomic_store_n(&place->key, key, __ATOMIC_RELEASE);
        return NULL;
    }
    return object;
}

void *tvg_registry_take(struct tvg_registry *registry, const void *key)
{
    struct tvg_registry_place *place = key ? find(registry, key) : NULL;
    if (!place)
        return NULL;
    void *object = __atomic_load_n(&place->object, __ATOMIC_RELAXED);
    __atomic_store_n(&place->key, (const void *)&gone, __ATOMIC_RELEASE);
    return object;
}

static size_t stride_of(const struct tvg_pool *pool) { return sizeof(uint64_t) + (pool->bytes + 7u) / 8 * 8; }

static char *memory_of(struct tvg_pool *pool)
{
    char *memory = __atomic_load_n(&pool->memory, __ATOMIC_ACQUIRE), *made;
    if (memory || !(made = tvg_sys_memory(stride_of(pool) * pool->count)))
        return memory;
    if (__atomic_compare_exchange_n(&pool->memory, &memory, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return made;
    munmap(made, stride_of(pool) * pool->count); /* another thread was first */
    return memory;
}

void *tvg_pool_take(struct tvg_pool *pool)
{
    char *memory = memory_of(pool);
    for (uint32_t tries = 0; memory && tries < pool->count; tries++) {
        char *place = memory + stride_of(pool) * (__atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED) % pool->count);
        if (!__atomic_exchange_n((uint64_t *)(void *)place, 1, __ATOMIC_ACQUIRE))
            return memset(place + sizeof(uint64_t), 0, pool->bytes);
    }
    return NULL;
}

void tvg_pool_give(struct tvg_pool *pool, void *object)
{
    (void)pool;
    if (object)
        __atomic_store_n((uint64_t *)object - 1, 0, __ATOMIC_RELEASE);
}
