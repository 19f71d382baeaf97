/* Looks through the symbol tables of objects as they come, and patches what the rules name.
 * Runs inside the dynamic linker's load event: no malloc, no lock, raw reads of the file; what it learns is noted for the coverage record. */
#include "../record/sys.h"
#include "inline.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catch.h"
#include "elf.h"
#include "patch.h"
#include "vtable.h"

enum { OBJECTS_MAX = 2048, FOUND_MAX = 1024, FILTER_BITS = 1 << 12 };

/* Objects that have been looked at. */
static struct seen {
    uintptr_t base;
    const void *dynamic;
    bool present;
} seen[OBJECTS_MAX];
static unsigned seen_count;

/* What was found or patched where. */
static struct found {
    const struct tvg_inline_rule *rule;
    const void *dynamic; /* of its object; NULL: that object has gone, the place is free */
    uintptr_t begin, end;
    void *address;
    struct tvg_catch *bound;
} found[FOUND_MAX];
static _Atomic unsigned found_count;

/* A name's first bytes, folded: most of half a million symbols are told apart by these without a comparison. */
static uint8_t filter[FILTER_BITS / 8];
static unsigned fold(const char *name, size_t available)
{
    uint64_t word[2] = {0, 0};
    size_t length = strnlen(name, available < 24 ? available : 24);
    if (length < 4)
        return 0;
    memcpy(word, name, length < 8 ? length : 8);
    if (length > 8)
        memcpy(word + 1, name + length - 8, 8);
    return (unsigned)((word[0] * 0x9e3779b97f4a7c15u ^ word[1] * 0xc2b2ae3d27d4eb4fu) >> 52);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool applies(const struct tvg_inline_rule *rule, const char *file)
{
    if (rule->catch.beyond && !tvg_all_operations())
        return false;
    for (const char *at = rule->libraries; *at;) {
        size_t length = strcspn(at, " ");
        if (strncmp(file, at, length) == 0)
            return true;
        at += length + strspn(at + length, " ");
    }
    return false;
}

/* Several addresses may carry one name: copies for different processors, or a name that is local to several files. */
static bool is_known(const struct tvg_inline_rule *rule, const void *address)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].dynamic && found[i].address == address && found[i].rule == rule)
            return true;
    return false;
}

static struct found *place_for(const struct tvg_inline_rule *rule)
{
    for (unsigned i = 0; i < found_count; i++)
        if (!found[i].dynamic && found[i].rule == rule)
            return &found[i]; /* its object was unloaded: the stub is used again */
    if (found_count == FOUND_MAX)
        return NULL;
    found[found_count] = (struct found){.rule = rule};
    return &found[found_count++];
}

static void meet(const struct tvg_inline_rule *rule, const char *name, const struct link_map *object, uintptr_t begin, uintptr_t end, void *address, size_t size)
{
    const char *file = base_name(object->l_name);
    if (is_known(rule, address))
        return;
    struct found *place = place_for(rule);
    if (!place)
        return;
    const char *reason = NULL;
    for (unsigned i = 0; rule->by != TVG_BY_SYMBOL && i < found_count; i++)
        if (found[i].dynamic && found[i].address == address)
            return; /* a class that inherits its function, or that an earlier rule speaks of */
    if (rule->catch.body) {
        void *stub = place->bound ? tvg_catch_stub(place->bound) : NULL;
        if (!place->bound)
            place->bound = tvg_catch_reserve(&rule->catch, rule->by != TVG_BY_SYMBOL ? TVG_NET_VTABLE : TVG_NET_INLINE, &stub);
        void *original = place->bound ? tvg_patch_function(address, size, stub, NULL, &reason) : (reason = "no stub is left", NULL);
        if (!original) {
            char detail[320];
            snprintf(detail, sizeof detail, "%.200s: %s", name, reason);
            tvg_note("found-not-catchable", file, detail);
            return;
        }
        place->bound->exported = original;
        place->bound->entry.name = name;
        tvg_note("caught", rule->catch.entry.name, file);
    }
    place->begin = begin, place->end = end;
    place->address = address;
    place->dynamic = object->l_ld;
}

static const struct tvg_inline_rule *rule_for(const char *name, const char *file)
{
    uint32_t hash = tvg_gnu_hash(name);
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++)
        if (rule->catch.gnu_hash == hash && rule->by == TVG_BY_SYMBOL && strcmp(rule->catch.entry.name, name) == 0 && applies(rule, file))
            return rule;
    return NULL;
}

static void scan_symbols(const struct link_map *object, const uint8_t *image, size_t bytes, const Elf64_Shdr *table, const Elf64_Shdr *strings,
                         uintptr_t begin, uintptr_t end)
{
    if (table->sh_offset > bytes || table->sh_size > bytes - table->sh_offset || strings->sh_offset > bytes || strings->sh_size > bytes - strings->sh_offset)
        return;
    const Elf64_Sym *symbol = (const Elf64_Sym *)(image + table->sh_offset);
    const char *names = (const char *)image + strings->sh_offset, *file = base_name(object->l_name);
    for (size_t i = 0, count = table->sh_size / sizeof *symbol; i < count; i++) {
        if (ELF64_ST_TYPE(symbol[i].st_info) != STT_FUNC || symbol[i].st_shndx == SHN_UNDEF || symbol[i].st_name >= strings->sh_size)
            continue;
        const char *name = names + symbol[i].st_name;
        size_t available = strings->sh_size - symbol[i].st_name;
        unsigned bit = fold(name, available);
        if (!(filter[bit / 8] >> bit % 8 & 1) || strnlen(name, available) == available)
            continue;
        const struct tvg_inline_rule *rule = rule_for(name, file);
        if (rule)
            meet(rule, rule->catch.entry.name, object, begin, end, (void *)(object->l_addr + symbol[i].st_value), symbol[i].st_size);
    }
}

static bool means(const struct tvg_inline_rule *rule, const struct tvg_classes *classes, const struct tvg_class *class)
{
    const char *name = rule->catch.entry.name, *star = strchr(name, '*');
    if (rule->by == TVG_BY_BASE)
        return tvg_class_derives(classes, class, name);
    return star ? strncmp(class->name, name, (size_t)(star - name)) == 0 : strcmp(class->name, name) == 0;
}

/* The rules of classes, in their order: what an earlier one speaks of is not touched by a later one. */
static void scan_classes(const struct link_map *object, const uint8_t *image, size_t bytes, uintptr_t begin, uintptr_t end)
{
    const char *file = base_name(object->l_name);
    struct tvg_classes classes = {0};
    bool opened = false;
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++) {
        if (rule->by == TVG_BY_SYMBOL || !applies(rule, file))
            continue;
        if (!opened && !tvg_classes_open(&classes, image, bytes)) {
            tvg_note("found-not-catchable", file, "its classes can't be told: no typeinfo among its relocations");
            return;
        }
        opened = true;
        const struct tvg_class *witness = rule->witness ? tvg_class_named(&classes, rule->witness) : NULL;
        for (size_t i = 0; i < classes.count && (witness || !rule->witness); i++) {
            const struct tvg_class *class = &classes.class[i];
            if (!class->vtable || !means(rule, &classes, class))
                continue;
            uintptr_t function = witness ? tvg_class_override(&classes, class, witness, rule->slot) : tvg_class_slot(&classes, class, rule->slot);
            if (function)
                meet(rule, (const char *)(object->l_addr + class->name_address), object, begin, end, (void *)(object->l_addr + function), 0);
        }
    }
    if (opened)
        tvg_classes_close(&classes);
}

static void scan(const struct link_map *object)
{
    bool any = false;
    const char *file = base_name(object->l_name);
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules && !any; rule++)
        any = applies(rule, file);
    if (!any)
        return;
    int descriptor = open(object->l_name, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (descriptor < 0 || tvg_sys_fstat(descriptor, &status) != 0 || status.st_size < (off_t)sizeof(Elf64_Ehdr)) {
        if (descriptor >= 0)
            close(descriptor);
        tvg_note("found-not-catchable", file, "its file can't be read again");
        return;
    }
    size_t bytes = (size_t)status.st_size;
    const uint8_t *image = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (image == MAP_FAILED)
        return;
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_shentsize == sizeof(Elf64_Shdr) &&
        header->e_shoff < bytes && header->e_shnum <= (bytes - header->e_shoff) / sizeof(Elf64_Shdr)) {
        const Elf64_Shdr *section = (const Elf64_Shdr *)(image + header->e_shoff);
        const Elf64_Shdr *full = NULL, *dynamic = NULL;
        for (unsigned i = 0; i < header->e_shnum; i++) {
            if (section[i].sh_type == SHT_SYMTAB)
                full = &section[i];
            else if (section[i].sh_type == SHT_DYNSYM)
                dynamic = &section[i];
        }
        uintptr_t begin = object->l_addr, end = begin;
        const Elf64_Phdr *segment = (const Elf64_Phdr *)(image + header->e_phoff);
        for (unsigned i = 0; header->e_phoff < bytes && header->e_phnum <= (bytes - header->e_phoff) / sizeof *segment && i < header->e_phnum; i++)
            if (segment[i].p_type == PT_LOAD && object->l_addr + segment[i].p_vaddr + segment[i].p_memsz > end)
                end = object->l_addr + segment[i].p_vaddr + segment[i].p_memsz;
        const Elf64_Shdr *table = full ? full : dynamic;
        if (table && table->sh_link < header->e_shnum)
            scan_symbols(object, image, bytes, table, &section[table->sh_link], begin, end);
        scan_classes(object, image, bytes, begin, end);
    }
    munmap((void *)(uintptr_t)image, bytes);
}

static void look_at_all(void)
{
    for (unsigned i = 0; i < seen_count; i++)
        seen[i].present = false;
    for (const struct link_map *object = _r_debug.r_map; object; object = object->l_next) {
        unsigned i = 0;
        while (i < seen_count && (seen[i].base != object->l_addr || seen[i].dynamic != object->l_ld))
            i++;
        if (i == OBJECTS_MAX)
            continue;
        seen[i].present = true;
        if (i < seen_count)
            continue;
        seen[seen_count++] = (struct seen){object->l_addr, object->l_ld, true};
        if (object->l_name && object->l_name[0] == '/')
            scan(object);
    }
    for (unsigned i = 0; i < seen_count;) {
        if (seen[i].present) {
            i++;
            continue;
        }
        for (unsigned j = 0; j < found_count; j++)
            if (found[j].dynamic == seen[i].dynamic)
                found[j].dynamic = NULL;
        seen[i] = seen[--seen_count];
    }
}

/* Stands for the dynamic linker's empty function that debuggers break on; it is called with the loader's lock held, when a list is about to
 * change and when it has changed. */
static void on_load_event(void)
{
    int saved = errno;
    if (_r_debug.r_state == RT_CONSISTENT)
        look_at_all();
    errno = saved;
}

void tvg_inline_start(void)
{
    if (&__start_tvg_inline_rules[0] == &__stop_tvg_inline_rules[0] || !_r_debug.r_brk)
        return;
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++) {
        unsigned bit = fold(rule->catch.entry.name, strlen(rule->catch.entry.name) + 1);
        filter[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    look_at_all();
    const char *reason = NULL;
    if (tvg_patch_empty_function((void *)_r_debug.r_brk, (void *)(uintptr_t)on_load_event, &reason) != 0)
        tvg_note("found-not-catchable", "load events", reason);
}

void *tvg_inline_symbol(const void *code, const char *name)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].dynamic && (uintptr_t)code >= found[i].begin && (uintptr_t)code < found[i].end && strcmp(found[i].rule->catch.entry.name, name) == 0)
            return found[i].address;
    return NULL;
}

const void *tvg_inline_code(const void *original)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].bound && found[i].bound->exported == original)
            return found[i].address;
    return original;
}
