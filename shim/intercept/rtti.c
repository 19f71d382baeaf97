/* Reading run-time type information in place. Names and offsets that were found are kept by vtable. */
#include "rtti.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "../record/sys.h"
#include "resolve.h"

enum { CLASSES = 1 << 10, FIELDS = 1 << 9, PROBES = 16, NAME_MAX_BYTES = 512, MISSES_MAX = 8 };

bool tvg_can_read(const void *address, size_t bytes)
{
    if (!address || (uintptr_t)address % 8)
        return false;
    char copy[1024];
    for (size_t at = 0; at < bytes; at += sizeof copy) {
        size_t part = bytes - at < sizeof copy ? bytes - at : sizeof copy;
        struct iovec here = {copy, part}, there = {(char *)(uintptr_t)address + at, part};
        long got = tvg_sys6(SYS_process_vm_readv, tvg_sys_getpid(), (long)&here, 1, (long)&there, 1, 0);
        if (got < 0 && got != -14 /* EFAULT */) { /* not allowed here: whether it is mapped says almost the same */
            unsigned char pages[2];
            uintptr_t page = ((uintptr_t)address + at) & ~(uintptr_t)4095, end = (uintptr_t)address + at + part;
            got = tvg_sys6(SYS_mincore, (long)page, (long)(end - page), (long)pages, 0, 0, 0) == 0 ? (long)part : 0;
        }
        if (got != (long)part)
            return false;
    }
    return true;
}

/* --- classes ------------------------------------------------------------------------------------------------------------------------------ */
static struct class {
    const uintptr_t *vtable;
    const uintptr_t *typeinfo;
    const char *name;
} classes[CLASSES];
static int busy;

static size_t place_of(const void *key, size_t size)
{
    return (size_t)(((uintptr_t)key >> 3) * 0x9e3779b97f4a7c15u >> 32) % size;
}

static bool is_name(const char *name)
{
    char text[NAME_MAX_BYTES + 8];
    uintptr_t aligned = (uintptr_t)name & ~(uintptr_t)7;
    if (!name || !tvg_can_read((const void *)aligned, 16) || tvg_object_name(name, NULL)[0] == 0)
        return false;
    size_t length = 0;
    for (; length < sizeof text; length++) {
        const char *at = name + length;
        if ((uintptr_t)at % 8 == 0 && length > 0 && !tvg_can_read(at, 8))
            return false;
        if (*at == 0)
            break;
        if (*at < '$' || *at > 'z')
            return false;
    }
    return length >= 2 && length < NAME_MAX_BYTES;
}

/* A star in front: the class is local to a file. */
static const char *plain(const char *name)
{
    return name + (name[0] == '*');
}

const char *tvg_class_of(const void *object)
{
    const uintptr_t *vtable;
    if (!object || (uintptr_t)object % 8)
        return NULL;
    memcpy(&vtable, object, sizeof vtable);
    if (!vtable || (uintptr_t)vtable % 8)
        return NULL;
    size_t begin = place_of(vtable, CLASSES);
    struct class *free_place = NULL;
    for (size_t i = 0; i < PROBES; i++) {
        struct class *class = &classes[(begin + i) % CLASSES];
        const uintptr_t *known = __atomic_load_n(&class->vtable, __ATOMIC_ACQUIRE);
        /* another library may have come to that place meanwhile */
        if (known == vtable && (const uintptr_t *)vtable[-1] == class->typeinfo && (const char *)class->typeinfo[1] == class->name)
            return plain(class->name);
        if ((!known || known == vtable) && !free_place)
            free_place = class;
    }
    if (!tvg_can_read(vtable - 2, 32))
        return NULL;
    const uintptr_t *typeinfo = (const uintptr_t *)vtable[-1];
    if (!tvg_can_read(typeinfo, 16) || tvg_object_name(typeinfo, NULL)[0] == 0)
        return NULL;
    const char *name = (const char *)typeinfo[1];
    if (!is_name(name))
        return NULL;
    if (free_place && !__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        const uintptr_t *there = __atomic_load_n(&free_place->vtable, __ATOMIC_RELAXED);
        if (!there || there == vtable) {
            free_place->typeinfo = typeinfo;
            free_place->name = name;
            __atomic_store_n(&free_place->vtable, vtable, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    }
    return plain(name);
}

/* --- fields ------------------------------------------------------------------------------------------------------------------------------- */
static struct field {
    const void *vtable;
    const struct tvg_wanted *wanted;
    const void *last; /* the vtable of what was found last: that of its class is right, and is not asked again */
    uint16_t word;    /* 0: not found yet */
    uint16_t misses;
} fields[FIELDS];

static bool fits(const void *object, const struct tvg_wanted *wanted)
{
    const char *name = tvg_class_of(object);
    return name && strncmp(name, wanted->begins, strlen(wanted->begins)) == 0 && strstr(name, wanted->has) != NULL;
}

/* `known`: the field's place has proved itself before, so that what it holds need not be asked of the kernel. */
static bool points(const void *const *field, const struct tvg_wanted *wanted, bool known)
{
    const void *target = *field;
    if (!target || (uintptr_t)target % 8 || (!known && !tvg_can_read(target, 16)))
        return false;
    if (!wanted->in_vector)
        return fits(target, wanted);
    uintptr_t begin = (uintptr_t)field[0], end = (uintptr_t)field[1], room = (uintptr_t)field[2];
    if (begin >= end || end > room || (end - begin) % 16 || end - begin > 1 << 20 || (!known && !tvg_can_read(target, end - begin)))
        return false;
    for (const void *const *member = target; (uintptr_t)member < end; member += 2) {
        if (!known && (!tvg_can_read(member[0], 16) || !tvg_can_read(member[1], 16)))
            return false;
        if (fits(*member, wanted))
            return true;
    }
    return false;
}

const void *tvg_member_of(const void *const *vector, const struct tvg_wanted *wanted)
{
    for (const void *const *member = vector[0], *const *end = vector[1]; member < end; member += 2)
        if (fits(*member, wanted))
            return *member;
    return NULL;
}

static bool is_as_before(const struct field *known, const void *const *field)
{
    const void *target = *field, *last = __atomic_load_n(&known->last, __ATOMIC_RELAXED);
    return !known->wanted->in_vector && last && target && (uintptr_t)target % 8 == 0 && *(const void *const *)target == last;
}

static bool learn_last(struct field *known, const void *const *field)
{
    if (!points(field, known->wanted, true))
        return false;
    if (!known->wanted->in_vector)
        __atomic_store_n(&known->last, **(const void *const *const *)field, __ATOMIC_RELAXED);
    return true;
}

const void *const *tvg_field_of(const void *object, size_t words, const struct tvg_wanted *wanted)
{
    const void *vtable = *(const void *const *)object;
    const void *const *word = object;
    size_t begin = place_of((const void *)((uintptr_t)vtable ^ (uintptr_t)wanted << 7), FIELDS);
    struct field *place = NULL;
    for (size_t i = 0; i < PROBES && !place; i++) {
        struct field *field = &fields[(begin + i) % FIELDS];
        const void *known = __atomic_load_n(&field->vtable, __ATOMIC_ACQUIRE);
        if (known == vtable && field->wanted == wanted) {
            uint16_t at = __atomic_load_n(&field->word, __ATOMIC_RELAXED);
            if (at)
                return is_as_before(field, word + at) || learn_last(field, word + at) ? word + at : NULL;
            if (field->misses >= MISSES_MAX)
                return NULL;
            place = field;
        } else if (!known)
            place = field;
    }
    if (!place || !tvg_can_read(object, words * 8))
        return NULL;
    size_t at = 1, last = wanted->in_vector ? words - 2 : words;
    while (at < last && !points(word + at, wanted, false))
        at++;
    bool is_found = at < last;
    if (!__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE)) {
        const void *there = __atomic_load_n(&place->vtable, __ATOMIC_RELAXED);
        if (!there || (there == vtable && place->wanted == wanted)) {
            place->wanted = wanted;
            if (is_found)
                __atomic_store_n(&place->word, (uint16_t)at, __ATOMIC_RELAXED);
            else
                place->misses++;
            __atomic_store_n(&place->vtable, vtable, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    }
    return is_found ? word + at : NULL;
}
