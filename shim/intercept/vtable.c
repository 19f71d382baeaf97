/* Finding classes, their bases and their vtables in a library's file. */
#include "vtable.h"

#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#define RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define RELATIVE R_AARCH64_RELATIVE
#endif

enum { BASES_MAX = 8, DEPTH_MAX = 16, OVERRIDE_MAX = 8 };

/* The file's bytes at a link-time address, at least `least` of them; *left of them in all. */
static const uint8_t *at(const struct tvg_classes *view, uint64_t address, size_t least, bool executable, size_t *left)
{
    const Elf64_Phdr *segment = view->segment;
    for (size_t i = 0; i < view->segments; i++)
        if (segment[i].p_type == PT_LOAD && address >= segment[i].p_vaddr && address - segment[i].p_vaddr < segment[i].p_filesz) {
            size_t rest = segment[i].p_filesz - (address - segment[i].p_vaddr);
            if (rest < least || (executable && !(segment[i].p_flags & PF_X)))
                return NULL;
            if (left)
                *left = rest;
            return view->image + segment[i].p_offset + (address - segment[i].p_vaddr);
        }
    return NULL;
}

static bool open_view(struct tvg_classes *view, const uint8_t *image, size_t bytes)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    *view = (struct tvg_classes){.image = image};
    if (header->e_phoff > bytes || header->e_phnum > (bytes - header->e_phoff) / sizeof(Elf64_Phdr) || header->e_shoff > bytes ||
        header->e_shnum > (bytes - header->e_shoff) / sizeof(Elf64_Shdr))
        return false;
    const Elf64_Phdr *segment = (const Elf64_Phdr *)(image + header->e_phoff);
    view->segment = segment;
    view->segments = header->e_phnum;
    for (unsigned i = 0; i < view->segments; i++)
        if (segment[i].p_type == PT_LOAD && (segment[i].p_offset > bytes || segment[i].p_filesz > bytes - segment[i].p_offset))
            return false;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(image + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (section[i].sh_type == SHT_RELA && section[i].sh_flags & SHF_ALLOC && section[i].sh_size / sizeof(Elf64_Rela) > view->relocations &&
            section[i].sh_offset <= bytes && section[i].sh_size <= bytes - section[i].sh_offset) {
            view->rela = image + section[i].sh_offset;
            view->relocations = section[i].sh_size / sizeof(Elf64_Rela);
        }
    return view->relocations > 0;
}

static bool is_relative(const Elf64_Rela *rela)
{
    return ELF64_R_TYPE(rela->r_info) == RELATIVE;
}

/* What a word of the object will hold, or 0 when nothing of the object's own is put there. */
static uint64_t relocated(const struct tvg_classes *view, uint64_t place)
{
    const Elf64_Rela *rela = view->rela;
    size_t begin = 0, end = view->relocations;
    while (view->sorted && begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (!is_relative(&rela[middle]) || rela[middle].r_offset > place)
            end = middle;
        else if (rela[middle].r_offset < place)
            begin = middle + 1;
        else
            return (uint64_t)rela[middle].r_addend;
    }
    for (; begin < end; begin++)
        if (rela[begin].r_offset == place)
            return is_relative(&rela[begin]) ? (uint64_t)rela[begin].r_addend : 0;
    return 0;
}

/* A typeinfo name is a mangled type: a nested name, or a plain one by its length. Those of a file's own types have a star in front. */
static bool is_name(const uint8_t *text, size_t left)
{
    if (!text || !(text[0] == 'N' || (text[0] >= '1' && text[0] <= '9')))
        return false;
    size_t length = strnlen((const char *)text, left);
    if (length < 3 || length == left)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!((text[i] >= '0' && text[i] <= '9') || (text[i] >= 'A' && text[i] <= 'Z') || (text[i] >= 'a' && text[i] <= 'z') || text[i] == '_'))
            return false;
    return true;
}

/* Each reference to a mangled name: it stands in the second word of a typeinfo. Fills up to `room` of them; gives how many there are. */
static size_t list_names(const struct tvg_classes *view, struct tvg_class *class, size_t room)
{
    const Elf64_Rela *rela = view->rela;
    size_t count = 0, left = 0;
    for (size_t i = 0; i < view->relocations; i++) {
        const uint8_t *text = is_relative(&rela[i]) ? at(view, (uint64_t)rela[i].r_addend, 4, false, &left) : NULL;
        size_t star = text && *text == '*';
        if (!text || !is_name(text + star, left - star))
            continue;
        if (count < room)
            class[count] = (struct tvg_class){(const char *)text + star, (uintptr_t)rela[i].r_addend + star, rela[i].r_offset - 8, 0};
        count++;
    }
    return count;
}

static struct tvg_class *find(const struct tvg_classes *classes, uint64_t typeinfo)
{
    size_t begin = 0, end = classes->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (classes->class[middle].typeinfo > typeinfo)
            end = middle;
        else if (classes->class[middle].typeinfo < typeinfo)
            begin = middle + 1;
        else
            return (struct tvg_class *)(uintptr_t)&classes->class[middle];
    }
    return NULL;
}

/* Primary vtables: offset to top 0, the typeinfo, the functions. Other typeinfos refer to a typeinfo too, behind their names. */
static void find_vtables(const struct tvg_classes *classes)
{
    const Elf64_Rela *rela = classes->rela;
    for (size_t i = 0; i < classes->relocations; i++) {
        struct tvg_class *class = is_relative(&rela[i]) ? find(classes, (uint64_t)rela[i].r_addend) : NULL;
        uint64_t place = rela[i].r_offset, top;
        const uint8_t *before = class && class->vtable != UINTPTR_MAX ? at(classes, place - 8, 16, false, NULL) : NULL;
        if (!before || (memcpy(&top, before, sizeof top), top != 0) || relocated(classes, place - 8))
            continue;
        uint64_t first = relocated(classes, place + 8);
        if (first && at(classes, first, 16, true, NULL))
            class->vtable = class->vtable ? UINTPTR_MAX : place + 8; /* two that might be it: neither */
    }
    for (size_t i = 0; i < classes->count; i++)
        if (classes->class[i].vtable == UINTPTR_MAX)
            ((struct tvg_class *)(uintptr_t)classes->class)[i].vtable = 0;
}

bool tvg_classes_open(struct tvg_classes *classes, const uint8_t *image, size_t bytes)
{
    if (!open_view(classes, image, bytes))
        return false;
    const Elf64_Rela *rela = classes->rela;
    classes->sorted = true;
    for (size_t i = 1; i < classes->relocations && classes->sorted; i++)
        classes->sorted = !is_relative(&rela[i]) || (is_relative(&rela[i - 1]) && rela[i - 1].r_offset < rela[i].r_offset);
    size_t room = list_names(classes, NULL, 0);
    if (room == 0)
        return false;
    classes->mapped = room * sizeof(struct tvg_class);
    struct tvg_class *class = mmap(NULL, classes->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (class == MAP_FAILED)
        return false;
    classes->class = class;
    classes->count = list_names(classes, class, room);
    bool rising = true;
    for (size_t i = 1; i < room; i++)
        rising = rising && class[i - 1].typeinfo < class[i].typeinfo;
    if (rising)
        find_vtables(classes);
    else
        tvg_classes_close(classes); /* relocations in no order: not a linker that is known */
    return rising;
}

void tvg_classes_close(struct tvg_classes *classes)
{
    if (classes->class)
        munmap((void *)(uintptr_t)classes->class, classes->mapped);
    *classes = (struct tvg_classes){0};
}

uintptr_t tvg_class_slot(const struct tvg_classes *classes, const struct tvg_class *class, unsigned slot)
{
    uint64_t function = class->vtable ? relocated(classes, class->vtable + 8ull * slot) : 0;
    return function && at(classes, function, 16, true, NULL) ? function : 0;
}

uintptr_t tvg_class_override(const struct tvg_classes *classes, const struct tvg_class *class, const struct tvg_class *witness, unsigned slot)
{
    for (unsigned i = slot; i < slot + OVERRIDE_MAX; i++) {
        uintptr_t function = tvg_class_slot(classes, class, i);
        if (!function || function != tvg_class_slot(classes, witness, i))
            return function;
    }
    return 0;
}

/* Base `index` of a class: behind the name lies the base's typeinfo, or flags, a count and pairs of typeinfo and offset. */
static const struct tvg_class *base_of(const struct tvg_classes *classes, const struct tvg_class *class, unsigned index)
{
    uint64_t only = relocated(classes, class->typeinfo + 16);
    if (only)
        return index == 0 ? find(classes, only) : NULL;
    uint32_t head[2];
    const uint8_t *words = at(classes, class->typeinfo + 16, sizeof head, false, NULL);
    if (!words)
        return NULL;
    memcpy(head, words, sizeof head);
    return head[0] < 4 && index < head[1] && head[1] <= BASES_MAX ? find(classes, relocated(classes, class->typeinfo + 24 + 16ull * index)) : NULL;
}

static bool derives(const struct tvg_classes *classes, const struct tvg_class *class, const char *name, unsigned depth)
{
    if (strcmp(class->name, name) == 0)
        return true;
    for (unsigned i = 0; i < BASES_MAX && depth < DEPTH_MAX; i++) {
        const struct tvg_class *base = base_of(classes, class, i);
        if (base && derives(classes, base, name, depth + 1))
            return true;
    }
    return false;
}

const struct tvg_class *tvg_class_named(const struct tvg_classes *classes, const char *name)
{
    for (size_t i = 0; i < classes->count; i++)
        if (classes->class[i].vtable && strcmp(classes->class[i].name, name) == 0)
            return &classes->class[i];
    return NULL;
}

bool tvg_class_derives(const struct tvg_classes *classes, const struct tvg_class *class, const char *name)
{
    return derives(classes, class, name, 0);
}
