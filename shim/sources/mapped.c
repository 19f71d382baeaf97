/* Executable mappings of the process, read from /proc/self/maps by raw system calls when an address asks for it: it needs no lock of the dynamic
 * linker's, and it has the code that is in no library. */
#include "mapped.h"

#include <fcntl.h>
#include <string.h>

#include "../record/sys.h"

enum { MAPPINGS_MAX = 4096, NAMES_BYTES = 65536, LINE_BYTES = 4096 + 128 };
#define NO_OBJECT UINT32_MAX

static struct mapping {
    uint64_t begin, end;
    uint32_t name;   /* where in mapping_names */
    uint32_t kind;
    uint32_t object; /* NO_OBJECT until an address lies in it */
} mappings[MAPPINGS_MAX];
static uint32_t mapping_count;
static char mapping_names[2 * NAMES_BYTES];
static size_t mapping_names_used;

static struct tvg_sampled_object objects[TVG_OBJECTS_MAX];
static uint32_t object_count, said_count;
static char names[NAMES_BYTES];
static size_t names_used;
static bool may_read = true, must_read;

void tvg_mapped_forget(void)
{
    mapping_count = object_count = said_count = 0;
    names_used = 0;
    may_read = true;
    must_read = false;
}

void tvg_mapped_settle(bool all)
{
    may_read = true;
    must_read |= all;
}

/* When a table is full, what more there is counts as unknown. */
static uint32_t object_index(enum tvg_object_kind kind, const char *name)
{
    size_t length = strlen(name);
    for (uint32_t i = 0; i < object_count; i++)
        if (objects[i].kind == kind && strcmp(objects[i].name, name) == 0) return i;
    if (object_count == TVG_OBJECTS_MAX - 1 || names_used + length + 1 > sizeof names) {
        if (kind != TVG_OBJECT_UNKNOWN) return object_index(TVG_OBJECT_UNKNOWN, "");
        if (object_count == TVG_OBJECTS_MAX) return TVG_OBJECTS_MAX - 1;
        length = 0;
        if (names_used == sizeof names) names_used--;
    }
    char *place = names + names_used;
    memcpy(place, name, length);
    place[length] = 0;
    names_used += length + 1;
    objects[object_count] = (struct tvg_sampled_object){object_count, kind, place, (uint32_t)length};
    return object_count++;
}

static void take_line(const char *line)
{
    struct tvg_mapping found;
    if (mapping_count == MAPPINGS_MAX || !tvg_mapping_of_line(line, &found)) return;
    size_t length = strlen(found.name) + 1;
    if (mapping_names_used + length > sizeof mapping_names) return;
    memcpy(mapping_names + mapping_names_used, found.name, length);
    mappings[mapping_count++] = (struct mapping){found.begin, found.end, (uint32_t)mapping_names_used, found.kind, NO_OBJECT};
    mapping_names_used += length;
}

static void read_mappings(void)
{
    static char text[LINE_BYTES * 2];
    size_t held = 0;
    long got, descriptor = tvg_sys_open("/proc/self/maps", O_RDONLY | O_CLOEXEC, 0);
    if (descriptor < 0) return;
    mapping_count = 0;
    mapping_names_used = 0;
    while ((got = tvg_sys_read((int)descriptor, text + held, sizeof text - 1 - held)) > 0) {
        held += (size_t)got;
        text[held] = 0;
        char *line = text, *end;
        while ((end = memchr(line, '\n', held - (size_t)(line - text)))) {
            *end = 0;
            take_line(line);
            line = end + 1;
        }
        held -= (size_t)(line - text);
        if (held == sizeof text - 1) held = 0; /* no line is that long */
        memmove(text, line, held);
    }
    tvg_sys_close((int)descriptor);
}

static struct mapping *find(uint64_t address)
{
    uint32_t low = 0, high = mapping_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (address >= mappings[middle].end) low = middle + 1;
        else high = middle;
    }
    return low < mapping_count && address >= mappings[low].begin ? &mappings[low] : NULL;
}

uint32_t tvg_mapped_object(uint64_t address, bool kernel)
{
    if (kernel) return object_index(TVG_OBJECT_KERNEL, "");
    struct mapping *mapping = must_read ? NULL : find(address);
    if (!mapping && may_read) {
        may_read = must_read = false;
        read_mappings();
        mapping = find(address);
    }
    if (!mapping) return object_index(TVG_OBJECT_UNKNOWN, "");
    if (mapping->object == NO_OBJECT) mapping->object = object_index(mapping->kind, mapping_names + mapping->name);
    return mapping->object;
}

uint32_t tvg_mapped_fresh(struct tvg_sampled_object *out, uint32_t capacity)
{
    uint32_t count = 0;
    while (said_count < object_count && count < capacity) out[count++] = objects[said_count++];
    return count;
}
