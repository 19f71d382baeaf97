/* Symbol lookup in loaded objects: GNU hash tables, and the older kind. */
#include "elf.h"

#include <string.h>

#define HIDDEN_VERSION 0x8000u

uint32_t tvg_gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static uint32_t sysv_hash(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash = (hash ^ (hash >> 24 & 0xf0)) & 0x0fffffff;
    }
    return hash;
}

bool tvg_elf_read(uintptr_t base, const ElfW(Dyn) *dynamic, struct tvg_elf *elf)
{
    *elf = (struct tvg_elf){.base = base};
    for (const ElfW(Dyn) *d = dynamic; d && d->d_tag != DT_NULL; d++) {
        /* The dynamic linker has made these addresses absolute, but for objects whose dynamic section is read-only (the vdso). */
        uintptr_t address = d->d_un.d_ptr < base ? d->d_un.d_ptr + base : d->d_un.d_ptr;
        switch (d->d_tag) {
        case DT_SYMTAB: elf->symbols = (const ElfW(Sym) *)address; break;
        case DT_STRTAB: elf->strings = (const char *)address; break;
        case DT_GNU_HASH: elf->gnu_hash = (const uint32_t *)address; break;
        case DT_HASH: elf->sysv_hash = (const uint32_t *)address; break;
        case DT_VERSYM: elf->versions = (const ElfW(Half) *)address; break;
        case DT_VERDEF: elf->defined_versions = (const ElfW(Verdef) *)address; break;
        case DT_VERNEED: elf->needed_versions = (const ElfW(Verneed) *)address; break;
        case DT_JMPREL: elf->plt = (const ElfW(Rela) *)address; break;
        case DT_PLTRELSZ: elf->plt_count = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_RELA: elf->rela = (const ElfW(Rela) *)address; break;
        case DT_RELASZ: elf->rela_count = d->d_un.d_val / sizeof(ElfW(Rela)); break;
        case DT_SYMBOLIC: elf->symbolic = true; break;
        case DT_FLAGS: elf->symbolic |= (d->d_un.d_val & DF_SYMBOLIC) != 0; break;
        default: break;
        }
    }
    return elf->symbols && elf->strings && (elf->gnu_hash || elf->sysv_hash);
}

bool tvg_elf_may_define(const struct tvg_elf *elf, uint32_t hash)
{
    if (!elf->gnu_hash)
        return true;
    const uint32_t bloom_size = elf->gnu_hash[2], shift = elf->gnu_hash[3], bits = 8 * sizeof(ElfW(Addr));
    ElfW(Addr) word = ((const ElfW(Addr) *)(elf->gnu_hash + 4))[hash / bits % bloom_size];
    return word >> hash % bits & word >> (hash >> shift) % bits & 1;
}

static void *address_of(const struct tvg_elf *elf, const ElfW(Sym) *symbol)
{
    uintptr_t address = elf->base + symbol->st_value;
    if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
        return ((void *(*)(void))address)();
    return (void *)address;
}

static bool is_definition(const struct tvg_elf *elf, const ElfW(Sym) *symbol, const char *name)
{
    unsigned type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
    return symbol->st_shndx != SHN_UNDEF && symbol->st_value != 0 && type != STT_TLS && binding != STB_LOCAL &&
           tvg_same_text(elf->strings + symbol->st_name, name);
}

static const char *defined_version(const struct tvg_elf *elf, unsigned number)
{
    const ElfW(Verdef) *d = elf->defined_versions;
    for (; d; d = d->vd_next ? (const void *)((const char *)d + d->vd_next) : NULL)
        if (d->vd_ndx == number)
            return elf->strings + ((const ElfW(Verdaux) *)(const void *)((const char *)d + d->vd_aux))->vda_name;
    return NULL;
}

const char *tvg_elf_wanted_version(const struct tvg_elf *elf, const char *name)
{
    if (!elf->versions || !elf->needed_versions)
        return NULL;
    /* references come before definitions in a table that has a GNU hash; the older hash says how many symbols there are */
    uint32_t count = elf->gnu_hash ? elf->gnu_hash[1] : elf->sysv_hash[1], index = 1;
    while (index < count && (elf->symbols[index].st_shndx != SHN_UNDEF || !tvg_same_text(elf->strings + elf->symbols[index].st_name, name)))
        index++;
    if (index >= count)
        return NULL;
    unsigned number = elf->versions[index] & ~HIDDEN_VERSION;
    for (const ElfW(Verneed) *need = elf->needed_versions; need; need = need->vn_next ? (const void *)((const char *)need + need->vn_next) : NULL) {
        const ElfW(Vernaux) *version = (const void *)((const char *)need + need->vn_aux);
        for (; version; version = version->vna_next ? (const void *)((const char *)version + version->vna_next) : NULL)
            if (version->vna_other == number)
                return elf->strings + version->vna_name;
    }
    return NULL;
}

/* Whether this definition is to be taken, of several versions of a name: the one asked for, else the default one, else the first. */
static bool is_better(const struct tvg_elf *elf, uint32_t index, const ElfW(Sym) *best, const char *version)
{
    if (!elf->versions)
        return best == NULL;
    unsigned number = elf->versions[index];
    if (version && elf->defined_versions) {
        const char *name = defined_version(elf, number & ~HIDDEN_VERSION);
        if ((number & ~HIDDEN_VERSION) > 1 && name)
            return tvg_same_text(name, version);
    }
    return best == NULL || !(number & HIDDEN_VERSION);
}

const ElfW(Sym) *tvg_elf_definition(const struct tvg_elf *elf, const char *name, uint32_t hash, const char *version)
{
    const ElfW(Sym) *best = NULL;
    if (elf->gnu_hash) {
        if (!tvg_elf_may_define(elf, hash))
            return NULL;
        const uint32_t *table = elf->gnu_hash, buckets = table[0], first = table[1], bloom_size = table[2];
        const uint32_t *bucket = table + 4 + bloom_size * (sizeof(ElfW(Addr)) / 4), *chain = bucket + buckets;
        uint32_t index = buckets ? bucket[hash % buckets] : 0;
        if (index >= first && index != 0)
            for (;; index++) {
                uint32_t entry = chain[index - first];
                if ((entry | 1) == (hash | 1) && is_definition(elf, elf->symbols + index, name) && is_better(elf, index, best, version))
                    best = elf->symbols + index;
                if (entry & 1)
                    break;
            }
    } else {
        const uint32_t *table = elf->sysv_hash, buckets = table[0];
        for (uint32_t index = buckets ? table[2 + sysv_hash(name) % buckets] : 0; index != 0; index = table[2 + buckets + index])
            if (is_definition(elf, elf->symbols + index, name) && is_better(elf, index, best, version))
                best = elf->symbols + index;
    }
    return best;
}

void *tvg_elf_symbol(const struct tvg_elf *elf, const char *name, uint32_t hash, const char *version)
{
    const ElfW(Sym) *symbol = tvg_elf_definition(elf, name, hash, version);
    return symbol ? address_of(elf, symbol) : NULL;
}
