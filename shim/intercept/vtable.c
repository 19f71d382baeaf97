/* Finding the functions behind vtable slots in a library's file. */
#include "vtable.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#define RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define RELATIVE R_AARCH64_RELATIVE
#endif

struct view {
    const uint8_t *image;
    const Elf64_Phdr *segment;
    unsigned segments;
    const Elf64_Rela *rela;
    size_t count;
};

/* The file's bytes at a link-time address, at least `least` of them; *left of them in all. */
static const uint8_t *at(const struct view *view, uint64_t address, size_t least, bool executable, size_t *left)
{
    for (unsigned i = 0; i < view->segments; i++) {
        const Elf64_Phdr *segment = &view->segment[i];
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && address - segment->p_vaddr < segment->p_filesz) {
            size_t rest = segment->p_filesz - (address - segment->p_vaddr);
            if (rest < least || (executable && !(segment->p_flags & PF_X)))
                return NULL;
            if (left)
                *left = rest;
            return view->image + segment->p_offset + (address - segment->p_vaddr);
        }
    }
    return NULL;
}

static bool open_view(const uint8_t *image, size_t bytes, struct view *view)
{
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)image;
    *view = (struct view){.image = image};
    if (header->e_phoff > bytes || header->e_phnum > (bytes - header->e_phoff) / sizeof(Elf64_Phdr) || header->e_shoff > bytes ||
        header->e_shnum > (bytes - header->e_shoff) / sizeof(Elf64_Shdr))
        return false;
    view->segment = (const Elf64_Phdr *)(image + header->e_phoff);
    view->segments = header->e_phnum;
    for (unsigned i = 0; i < view->segments; i++)
        if (view->segment[i].p_type == PT_LOAD && (view->segment[i].p_offset > bytes || view->segment[i].p_filesz > bytes - view->segment[i].p_offset))
            return false;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(image + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (section[i].sh_type == SHT_RELA && section[i].sh_flags & SHF_ALLOC && section[i].sh_size / sizeof(Elf64_Rela) > view->count &&
            section[i].sh_offset <= bytes && section[i].sh_size <= bytes - section[i].sh_offset) {
            view->rela = (const Elf64_Rela *)(image + section[i].sh_offset);
            view->count = section[i].sh_size / sizeof(Elf64_Rela);
        }
    return view->count > 0;
}

/* What a word of the object will hold, or 0 when nothing of the object's own is put there. */
static uint64_t relocated(const struct view *view, uint64_t place)
{
    for (size_t i = 0; i < view->count; i++)
        if (view->rela[i].r_offset == place)
            return ELF64_R_TYPE(view->rela[i].r_info) == RELATIVE ? (uint64_t)view->rela[i].r_addend : 0;
    return 0;
}

uintptr_t tvg_vtable_slot(const uint8_t *image, size_t bytes, const char *name, unsigned slot)
{
    struct view view;
    if (!open_view(image, bytes, &view))
        return 0;
    size_t length = strlen(name) + 1;
    for (size_t i = 0; i < view.count; i++) {
        /* a typeinfo: its vtable's address, then that of its name */
        if (ELF64_R_TYPE(view.rela[i].r_info) != RELATIVE)
            continue;
        const uint8_t *text = at(&view, (uint64_t)view.rela[i].r_addend, length, false, NULL);
        if (!text || memcmp(text, name, length) != 0)
            continue;
        uint64_t typeinfo = view.rela[i].r_offset - 8, function = 0;
        for (size_t j = 0; j < view.count; j++) {
            /* a primary vtable: offset to top 0, the typeinfo, the functions. Typeinfos of derived classes refer to this one too, behind their name. */
            if (ELF64_R_TYPE(view.rela[j].r_info) != RELATIVE || (uint64_t)view.rela[j].r_addend != typeinfo)
                continue;
            uint64_t place = view.rela[j].r_offset, top;
            const uint8_t *before = at(&view, place - 8, 16, false, NULL);
            if (!before || (memcpy(&top, before, sizeof top), top != 0) || relocated(&view, place - 8))
                continue;
            uint64_t candidate = relocated(&view, place + 8 + 8ull * slot), first = relocated(&view, place + 8);
            if (!first || !at(&view, first, 16, true, NULL) || !candidate || !at(&view, candidate, 16, true, NULL))
                continue;
            if (function && function != candidate)
                return 0; /* two vtables that might be it */
            function = candidate;
        }
        if (function)
            return function;
    }
    return 0;
}
