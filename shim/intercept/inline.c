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
#include "slots.h"
#include "symbol_cache.h"
#include "resolve.h"
#include "vtable.h"

enum { OBJECTS_MAX = 2048, FOUND_MAX = 4096, FILTER_BITS = 1 << 16, AHEAD = 24, WORTH_KEEPING = 20000 };

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

/* Why what is looked at now is only named, not patched; NULL: it is patched. */
static struct barrier {
    const char *what, *why;
} barrier;

/* Most of a million symbols are told apart by a name's first sixteen bytes, the rest by some further on, without a comparison: bits of the rules' names. */
enum { MIDDLE_END = 48 };
static uint8_t heads[FILTER_BITS / 8], middles[FILTER_BITS / 8];

static unsigned mix(uint64_t first, uint64_t second)
{
    return (unsigned)((first * 0x9e3779b97f4a7c15u ^ second * 0xc2b2ae3d27d4eb4fu) >> 48);
}

/* Eight bytes of a name, zero from its end on; *ended when it ends there. */
static uint64_t eight(const char *name, bool *ended)
{
    uint64_t word, zero;
    memcpy(&word, name, sizeof word);
    zero = (word - 0x0101010101010101u) & ~word & 0x8080808080808080u;
    *ended = zero != 0;
    return zero ? word & (((zero & -zero) >> 7) - 1) : word;
}

/* `name` has sixteen readable bytes. */
static unsigned fold_head(const char *name)
{
    bool ended;
    uint64_t first = eight(name, &ended), second = ended ? 0 : eight(name + 8, &ended);
    return mix(first, second);
}

static unsigned fold_middle(const char *name, size_t available)
{
    uint64_t word[2] = {0, 0};
    size_t length = strnlen(name, available < MIDDLE_END ? available : MIDDLE_END);
    memcpy(word, name, length < 8 ? length : 8);
    if (length > 8)
        memcpy(word + 1, name + length - 8, 8);
    return mix(word[0], word[1]);
}

static void filter_add(const char *name)
{
    char head[16] = "";
    size_t length = strlen(name);
    memcpy(head, name, length < sizeof head ? length : sizeof head);
    unsigned first = fold_head(head), second = fold_middle(name, length + 1);
    heads[first / 8] |= (uint8_t)(1u << first % 8);
    middles[second / 8] |= (uint8_t)(1u << second % 8);
}

static bool filter_has(const char *name, size_t available)
{
    if (available >= 16) {
        unsigned head = fold_head(name);
        if (!(heads[head / 8] >> head % 8 & 1))
            return false;
    }
    unsigned middle = fold_middle(name, available);
    return middles[middle / 8] >> middle % 8 & 1;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Whether the file's name begins with one of the words. */
static bool is_among(const char *words, const char *file)
{
    while (*words) {
        const char *at = file;
        while (*words && *words != ' ' && *words == *at)
            words++, at++;
        if (!*words || *words == ' ')
            return true;
        while (*words && *words != ' ')
            words++;
        while (*words == ' ')
            words++;
    }
    return false;
}

static bool applies(const struct tvg_inline_rule *rule, const char *file)
{
    if (rule->catch.beyond && !tvg_all_operations())
        return false;
    return is_among(rule->libraries, file);
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

/* Where a function's text can't be patched, a virtual one has its slots redirected: then it is its own original. NULL: neither; *reason says what
 * is missing. */
static void *stand_in(const struct tvg_inline_rule *rule, const struct tvg_classes *classes, uintptr_t base, void *address, size_t size, void *stub,
                      const char **reason)
{
    void *original = tvg_patch_function(address, size, stub, NULL, reason);
    bool has_slot = !original && classes && !rule->witness;
    const char *missing;
    if (!has_slot || !tvg_slots_redirect(classes, base, (uintptr_t)address - base, rule->slot, stub, &missing))
        return original;
    *reason = missing;
    return address;
}

static void meet(const struct tvg_inline_rule *rule, const char *name, const struct link_map *object, const struct tvg_classes *classes, uintptr_t begin,
                 uintptr_t end, void *address, size_t size)
{
    const char *file = base_name(object->l_name);
    if (is_known(rule, address))
        return;
    char text[400];
    if (rule->catch.body && barrier.what) {
        snprintf(text, sizeof text, "%.200s: %s", name, barrier.why);
        tvg_note(barrier.what, file, text);
        return;
    }
    struct found *place = place_for(rule);
    if (!place) {
        tvg_note("limit", "patched functions", "more were found than there is room for: the others are not caught");
        return;
    }
    const char *reason = NULL;
    for (unsigned i = 0; rule->by != TVG_BY_SYMBOL && i < found_count; i++)
        if (found[i].dynamic && found[i].address == address)
            return; /* a class that inherits its function, or that an earlier rule speaks of */
    if (rule->catch.body) {
        void *stub = place->bound ? tvg_catch_stub(place->bound) : NULL;
        if (!place->bound)
            place->bound = tvg_catch_reserve(&rule->catch, rule->by != TVG_BY_SYMBOL ? TVG_NET_VTABLE : TVG_NET_INLINE, &stub);
        void *original = place->bound ? stand_in(rule, classes, object->l_addr, address, size, stub, &reason) : (reason = "no stub is left", NULL);
        if (!original || reason) {
            snprintf(text, sizeof text, "%.200s in %.150s", name, file);
            tvg_note("found-not-catchable", text, reason);
        }
        if (!original)
            return;
        place->bound->exported = original;
        place->bound->entry.name = name;
        tvg_note("caught", rule->catch.entry.name, file);
    }
    place->begin = begin, place->end = end;
    place->address = address;
    place->dynamic = object->l_ld;
}

/* A rule without a hash has a name that ends in '*': whatever follows, but for the parts that compilers split off (".cold"). */
static bool names(const struct tvg_inline_rule *rule, const char *name, uint32_t hash)
{
    const char *wanted = rule->catch.entry.name;
    return rule->catch.gnu_hash ? rule->catch.gnu_hash == hash && strcmp(wanted, name) == 0 : strncmp(wanted, name, strlen(wanted) - 1) == 0 && !strchr(name, '.');
}

static const struct tvg_inline_rule *rule_for(const char *name, const char *file)
{
    uint32_t hash = tvg_gnu_hash(name);
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++)
        if (rule->by == TVG_BY_SYMBOL && names(rule, name, hash) && applies(rule, file))
            return rule;
    return NULL;
}

/* The names that are looked for in this file. True when one is a beginning of names, of which no hash table tells. */
static bool fill_filter(const char *file)
{
    bool beginnings = false;
    memset(heads, 0, sizeof heads);
    memset(middles, 0, sizeof middles);
    bool short_beginnings = false; /* shorter than what the second step looks at */
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++)
        if (rule->by == TVG_BY_SYMBOL && applies(rule, file)) {
            filter_add(rule->catch.entry.name);
            beginnings |= !rule->catch.gnu_hash;
            short_beginnings |= !rule->catch.gnu_hash && strlen(rule->catch.entry.name) <= MIDDLE_END;
        }
    if (short_beginnings)
        memset(middles, 0xff, sizeof middles);
    return beginnings;
}

/* What the object exports is found by its hash table, without a look at all the other names. False when it has none that can be read. */
static bool meet_exported(const struct link_map *object, uintptr_t begin, uintptr_t end)
{
    const char *file = base_name(object->l_name);
    struct tvg_elf elf;
    if (!tvg_elf_read(object->l_addr, object->l_ld, &elf))
        return false;
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++) {
        const ElfW(Sym) *symbol = rule->by == TVG_BY_SYMBOL && applies(rule, file) ? tvg_elf_definition(&elf, rule->catch.entry.name, rule->catch.gnu_hash, NULL) : NULL;
        if (symbol && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC)
            meet(rule, rule->catch.entry.name, object, NULL, begin, end, (void *)(object->l_addr + symbol->st_value), symbol->st_size);
    }
    return true;
}

/* A symbol table of the file at hand. */
struct table {
    const Elf64_Sym *symbol;
    size_t count;
    const char *names;
    size_t names_bytes;
};

/* Meets what a symbol names. False when that is nothing that is looked for. */
static bool meet_symbol(const struct link_map *object, const struct table *table, size_t number, uintptr_t begin, uintptr_t end)
{
    const Elf64_Sym *symbol = &table->symbol[number];
    if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || symbol->st_shndx == SHN_UNDEF || symbol->st_name >= table->names_bytes)
        return false;
    const char *name = table->names + symbol->st_name;
    size_t available = table->names_bytes - symbol->st_name;
    if (!filter_has(name, available) || strnlen(name, available) == available)
        return false;
    const struct tvg_inline_rule *rule = rule_for(name, base_name(object->l_name));
    if (rule)
        meet(rule, rule->catch.entry.name, object, NULL, begin, end, (void *)(object->l_addr + symbol->st_value), symbol->st_size);
    return rule != NULL;
}

/* All that decides which symbols of this file are met. */
static uint64_t hash_of_rules(const char *file)
{
    uint64_t hash = TVG_SYMBOLS_MAX;
    for (const struct tvg_inline_rule *rule = __start_tvg_inline_rules; rule < __stop_tvg_inline_rules; rule++)
        if (rule->by == TVG_BY_SYMBOL && applies(rule, file))
            for (const char *at = rule->catch.entry.name;; at++) {
                hash = (hash ^ (unsigned char)*at) * 0x9e3779b97f4a7c15u;
                hash ^= hash >> 32;
                if (!*at)
                    break;
            }
    return hash;
}

/* The local names of the file, and the others too when they are not `exported` (met already). Those of a large table that are found are kept. */
static void scan_symbols(const struct link_map *object, bool exported, const uint8_t *image, const struct stat *status, const Elf64_Shdr *section,
                         const Elf64_Shdr *strings, uintptr_t begin, uintptr_t end)
{
    size_t bytes = (size_t)status->st_size;
    if (section->sh_offset > bytes || section->sh_size > bytes - section->sh_offset || strings->sh_offset > bytes || strings->sh_size > bytes - strings->sh_offset)
        return;
    struct table table = {(const Elf64_Sym *)(image + section->sh_offset), section->sh_size / sizeof(Elf64_Sym), (const char *)image + strings->sh_offset,
                          strings->sh_size};
    const char *file = base_name(object->l_name);
    const bool beginnings = fill_filter(file);
    if (exported && !beginnings && section->sh_info < table.count)
        table.count = section->sh_info; /* local names come first */
    static struct tvg_symbols symbols; /* the loader's lock is held */
    const uint64_t rules = table.count > WORTH_KEEPING ? hash_of_rules(file) ^ table.count : 0;
    if (rules && tvg_symbol_cache_read(status, rules, &symbols)) {
        size_t i = 0;
        while (i < symbols.count && symbols.number[i] < table.count && meet_symbol(object, &table, symbols.number[i], begin, end))
            i++;
        if (i == symbols.count)
            return;
    }
    symbols.count = 0;
    for (size_t i = 0; i < table.count; i++) {
        if (i + AHEAD < table.count)
            __builtin_prefetch(table.names + table.symbol[i + AHEAD].st_name); /* names lie further apart than a processor looks ahead by itself */
        if (meet_symbol(object, &table, i, begin, end) && symbols.count++ < TVG_SYMBOLS_MAX)
            symbols.number[symbols.count - 1] = (uint32_t)i;
    }
    if (rules)
        tvg_symbol_cache_write(status, rules, &symbols);
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
                meet(rule, (const char *)(object->l_addr + class->name_address), object, &classes, begin, end, (void *)(object->l_addr + function), 0);
        }
    }
    if (opened)
        tvg_classes_close(&classes);
}

/* Relocations would fall on bytes that were moved. */
static bool has_relocated_text(const struct link_map *object)
{
    for (const ElfW(Dyn) *d = object->l_ld; d && d->d_tag != DT_NULL; d++)
        if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
            return true;
    return false;
}

/* The file may have been replaced since the object was loaded: its symbols would name other code. */
static bool is_the_file(const struct link_map *object, const uint8_t *image, const Elf64_Phdr *segment, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (segment[i].p_type == PT_LOAD && segment[i].p_offset == 0)
            return memcmp(image, (const void *)(object->l_addr + segment[i].p_vaddr), segment[i].p_filesz < 4096 ? segment[i].p_filesz : 4096) == 0;
    return true;
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
    if (image == MAP_FAILED) {
        tvg_note("found-not-catchable", file, "its file can't be read again");
        return;
    }
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
        unsigned segments = header->e_phoff < bytes && header->e_phnum <= (bytes - header->e_phoff) / sizeof *segment ? header->e_phnum : 0;
        for (unsigned i = 0; i < segments; i++)
            if (segment[i].p_type == PT_LOAD && object->l_addr + segment[i].p_vaddr + segment[i].p_memsz > end)
                end = object->l_addr + segment[i].p_vaddr + segment[i].p_memsz;
        const Elf64_Shdr *table = full ? full : dynamic;
        const struct barrier before = barrier;
        if (!barrier.what && !is_the_file(object, image, segment, segments))
            barrier = (struct barrier){"found-not-catchable", "its file is no longer the one that was loaded"};
        else if (!barrier.what && has_relocated_text(object))
            barrier = (struct barrier){"found-not-catchable", "its text is relocated (DT_TEXTREL)"};
        if (table && table->sh_link < header->e_shnum)
            scan_symbols(object, meet_exported(object, begin, end), image, &status, table, &section[table->sh_link], begin, end);
        scan_classes(object, image, bytes, begin, end);
        barrier = before;
    }
    munmap((void *)(uintptr_t)image, bytes);
}

static void look_at(const struct link_map *first)
{
    for (const struct link_map *object = first; object; object = object->l_next) {
        unsigned i = 0;
        while (i < seen_count && (seen[i].base != object->l_addr || seen[i].dynamic != object->l_ld))
            i++;
        if (i == OBJECTS_MAX) {
            tvg_note("limit", "loaded objects", "there are more than are looked at: functions of the others are not patched");
            return;
        }
        seen[i].present = true;
        if (i < seen_count)
            continue;
        seen[seen_count++] = (struct seen){object->l_addr, object->l_ld, true};
        if (object->l_name && strchr(object->l_name, '/'))
            scan(object);
    }
}

/* Its object has gone: the stub's memory will hold another original, which nobody must take for this one. */
static void forget(struct found *gone)
{
    if (gone->bound && gone->bound->exported) {
        const void *begin = gone->address, *end = (const char *)begin + 1;
        if (gone->bound->exported != gone->address) /* else only slots were redirected, which have gone with the object */
            tvg_patch_forget(gone->bound->exported, &begin, &end);
        tvg_forget_range(begin, end);
        tvg_targets_forget();
        gone->bound->exported = NULL;
        gone->bound->entry.name = gone->rule->catch.entry.name; /* the one of a class lay in the object */
    }
    gone->dynamic = NULL;
}

/* struct r_debug_extended of glibc 2.35: lists of other name spaces (dlmopen). */
struct name_space {
    struct r_debug base;
    const struct name_space *next;
};

static void look_at_all(void)
{
    for (unsigned i = 0; i < seen_count; i++)
        seen[i].present = false;
    look_at(_r_debug.r_map);
    const struct barrier before = barrier;
    barrier = (struct barrier){"found-not-catchable", "loaded by dlmopen, in a name space of its own"};
    uintptr_t base = (uintptr_t)&_r_debug;
    __asm__("" : "+r"(base)); /* the linker's own is longer than the declared one */
    const struct name_space *space = _r_debug.r_version >= 2 ? ((const struct name_space *)base)->next : NULL;
    for (; space; space = space->next)
        if (space->base.r_state == RT_CONSISTENT)
            look_at(space->base.r_map);
    barrier = before;
    for (unsigned i = 0; i < seen_count;) {
        if (seen[i].present) {
            i++;
            continue;
        }
        for (unsigned j = 0; j < found_count; j++)
            if (found[j].dynamic == seen[i].dynamic)
                forget(&found[j]);
        seen[i] = seen[--seen_count];
    }
}

/* The kernel shows a process's threads as folders. One thread when that can't be read: we are asked before the program begins. */
static bool has_one_thread(void)
{
    struct stat status;
    long descriptor = tvg_sys_open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    bool one = descriptor < 0 || tvg_sys_fstat((int)descriptor, &status) != 0 || status.st_nlink <= 3; /* itself, its parent, and one for each */
    if (descriptor >= 0)
        tvg_sys_close((int)descriptor);
    return one;
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
    if (!has_one_thread())
        barrier = (struct barrier){"late", "threads ran in the process before the shim: what they may be in is not patched"};
    tvg_symbol_cache_start();
    look_at_all();
    barrier.what = NULL;
    const char *reason = NULL;
    if (tvg_patch_empty_function((void *)_r_debug.r_brk, (void *)(uintptr_t)on_load_event, &reason) != 0)
        tvg_note("found-not-catchable", "load events", reason);
}

void *tvg_inline_symbol(const void *code, const char *name)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].dynamic && (!code || ((uintptr_t)code >= found[i].begin && (uintptr_t)code < found[i].end)) && strcmp(found[i].rule->catch.entry.name, name) == 0)
            return found[i].address;
    return NULL;
}

bool tvg_inline_object(const void *code, uintptr_t *begin, uintptr_t *end)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].dynamic && (uintptr_t)code >= found[i].begin && (uintptr_t)code < found[i].end) {
            *begin = found[i].begin, *end = found[i].end;
            return true;
        }
    return false;
}

const void *tvg_inline_code(const void *original)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].bound && found[i].bound->exported == original)
            return found[i].address;
    return original;
}

const char *tvg_inline_name(const void *address)
{
    for (unsigned i = 0; i < found_count; i++)
        if (found[i].dynamic && found[i].address == address && found[i].bound)
            return found[i].bound->entry.name;
    return NULL;
}
