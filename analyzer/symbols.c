/* Names of addresses in libraries: .symtab, else .dynsym, of the file on this machine, when its build-id is the recorded one. */
#include <elf.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sources_decode.h"

struct symbol {
    uint64_t value, size;
    const char *name; /* in the mapped file */
};

struct object {
    char *path;
    const uint8_t *data;
    size_t length;
    char build_id[129];
    struct symbol *symbols;
    size_t symbol_count;
};

struct tvg_symbols {
    struct object *objects;
    size_t object_count;
};

struct tvg_symbols *tvg_symbols_new(void)
{
    return calloc(1, sizeof(struct tvg_symbols));
}

void tvg_symbols_free(struct tvg_symbols *symbols)
{
    if (!symbols) return;
    for (size_t i = 0; i < symbols->object_count; i++) {
        free(symbols->objects[i].path);
        free(symbols->objects[i].symbols);
        if (symbols->objects[i].data) munmap((void *)(uintptr_t)symbols->objects[i].data, symbols->objects[i].length);
    }
    free(symbols->objects);
    free(symbols);
}

static int by_value(const void *x, const void *y)
{
    const struct symbol *a = x, *b = y;
    if (a->value != b->value) return a->value < b->value ? -1 : 1;
    return (a->size > b->size) - (a->size < b->size);
}

/* True when a section of the file lies within it. */
static bool inside(const struct object *object, const Elf64_Shdr *section)
{
    return section->sh_offset <= object->length && section->sh_size <= object->length - section->sh_offset;
}

static void read_notes(struct object *object, const Elf64_Shdr *section)
{
    const uint8_t *p = object->data + section->sh_offset, *end = p + section->sh_size;
    while ((size_t)(end - p) >= sizeof(Elf64_Nhdr)) {
        Elf64_Nhdr note;
        memcpy(&note, p, sizeof note);
        uint64_t name = ((uint64_t)note.n_namesz + 3) & ~3ull, description = ((uint64_t)note.n_descsz + 3) & ~3ull;
        if (name + description > (uint64_t)(end - p) - sizeof note) return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && memcmp(p + sizeof note, "GNU", 4) == 0 && note.n_descsz <= 64)
            for (uint32_t i = 0; i < note.n_descsz; i++) sprintf(object->build_id + 2 * i, "%02x", p[sizeof note + name + i]);
        p += sizeof note + name + description;
    }
}

static void read_symbols(struct object *object, const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
    const char *names = (const char *)object->data + strings->sh_offset;
    size_t count = table->sh_size / sizeof(Elf64_Sym);
    if (strings->sh_size == 0 || names[strings->sh_size - 1] != 0) return;
    object->symbols = calloc(count ? count : 1, sizeof *object->symbols);
    if (!object->symbols) return;
    for (size_t i = 0; i < count; i++) {
        Elf64_Sym symbol;
        memcpy(&symbol, object->data + table->sh_offset + i * sizeof symbol, sizeof symbol);
        int type = ELF64_ST_TYPE(symbol.st_info);
        if ((type != STT_FUNC && type != STT_GNU_IFUNC) || symbol.st_shndx == SHN_UNDEF || symbol.st_name >= strings->sh_size || !names[symbol.st_name]) continue;
        object->symbols[object->symbol_count++] = (struct symbol){symbol.st_value, symbol.st_size, names + symbol.st_name};
    }
    qsort(object->symbols, object->symbol_count, sizeof *object->symbols, by_value);
}

static void read_object(struct object *object)
{
    struct stat status;
    Elf64_Ehdr header;
    int descriptor = open(object->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= (off_t)sizeof header) {
        void *data = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (data != MAP_FAILED) {
            object->data = data;
            object->length = (size_t)status.st_size;
        }
    }
    close(descriptor);
    if (!object->data) return;
    memcpy(&header, object->data, sizeof header);
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr) ||
        header.e_shoff > object->length || (object->length - header.e_shoff) / sizeof(Elf64_Shdr) < header.e_shnum)
        return;
    for (uint32_t wanted = SHT_SYMTAB;; wanted = SHT_DYNSYM) {
        for (unsigned i = 0; i < header.e_shnum; i++) {
            Elf64_Shdr section, strings;
            memcpy(&section, object->data + header.e_shoff + i * sizeof section, sizeof section);
            if (section.sh_type == SHT_NOTE && inside(object, &section)) read_notes(object, &section);
            if (section.sh_type != wanted || object->symbols || section.sh_link >= header.e_shnum || !inside(object, &section)) continue;
            memcpy(&strings, object->data + header.e_shoff + section.sh_link * sizeof strings, sizeof strings);
            if (inside(object, &strings)) read_symbols(object, &section, &strings);
        }
        if (object->symbols || wanted == SHT_DYNSYM) return;
    }
}

static const struct object *find_object(struct tvg_symbols *symbols, const char *path)
{
    for (size_t i = 0; i < symbols->object_count; i++)
        if (strcmp(symbols->objects[i].path, path) == 0) return &symbols->objects[i];
    struct object *objects = realloc(symbols->objects, (symbols->object_count + 1) * sizeof *objects);
    if (!objects) return NULL;
    symbols->objects = objects;
    struct object *object = &objects[symbols->object_count];
    memset(object, 0, sizeof *object);
    if (!(object->path = strdup(path))) return NULL;
    symbols->object_count++;
    read_object(object);
    return object;
}

/* The last function that begins at or before `address` and holds it. */
static const struct symbol *find_symbol(const struct object *object, uint64_t address)
{
    size_t low = 0, high = object->symbol_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (object->symbols[middle].value <= address) low = middle + 1;
        else high = middle;
    }
    for (size_t back = 0; low > 0 && back < 8; low--, back++) {
        const struct symbol *symbol = &object->symbols[low - 1];
        if (address - symbol->value < symbol->size) return symbol;
    }
    return NULL;
}

char *tvg_symbols_name(struct tvg_symbols *symbols, const struct tvg_stack_library *library, uint64_t offset, char *out, size_t capacity)
{
    if (!library || !library->path) {
        snprintf(out, capacity, "0x%" PRIx64, offset);
        return out;
    }
    const char *slash = strrchr(library->path, '/'), *base = slash ? slash + 1 : library->path;
    const struct object *object = find_object(symbols, library->path);
    const struct symbol *symbol = NULL;
    if (object && (!library->build_id || !library->build_id[0] || strcmp(library->build_id, object->build_id) == 0))
        symbol = find_symbol(object, offset ? offset - 1 : 0); /* a return address may lie one past a function that never returns */
    if (symbol) snprintf(out, capacity, "%s+0x%" PRIx64 " (%s)", symbol->name, offset - symbol->value, base);
    else snprintf(out, capacity, "%s+0x%" PRIx64, base, offset);
    return out;
}
