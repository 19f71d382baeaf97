/* Open addressing with atomic keys: a place is claimed, filled, then named. */
#include "registry.h"

#include <stdbool.h>
#include <stddef.h>

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
