/* Reading the symbol tables of loaded objects in place: what dlsym() would do, without its lock, its memory and its error message. */
#ifndef TVG_SHIM_ELF_H
#define TVG_SHIM_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Dynamic section of one loaded object, addresses made absolute. */
struct tvg_elf {
    uintptr_t base;
    const ElfW(Sym) *symbols;
    const char *strings;
    const uint32_t *gnu_hash, *sysv_hash;
    const ElfW(Half) *versions;
    const ElfW(Verdef) *defined_versions;
    const ElfW(Verneed) *needed_versions;
    const ElfW(Rela) *plt, *rela;
    size_t plt_count, rela_count;
    bool symbolic; /* linked with -Bsymbolic: its own references stay inside */
};
bool tvg_elf_read(uintptr_t base, const ElfW(Dyn) *dynamic, struct tvg_elf *elf);
uint32_t tvg_gnu_hash(const char *name);
/* strcmp() == 0 without calling strcmp: a sanitizer's runtime looks its functions up through our dlsym before it has any of them. */
static inline bool tvg_same_text(const char *a, const char *b)
{
    for (; *a == *b; a++, b++)
        if (*a == 0)
            return true;
    return false;
}
/* Whether the object may define a symbol of that hash: one read of its Bloom filter. True when it has no such filter. */
bool tvg_elf_may_define(const struct tvg_elf *elf, uint32_t hash);
/* The version that the object's own reference to `name` asks for ("LIBBLAS_1"), or NULL: it has no such reference, or one without version. */
const char *tvg_elf_wanted_version(const struct tvg_elf *elf, const char *name);
/* The function or object that `elf` exports under `name`, in that version (NULL, or the object has no versions: the default one): its entry in the
 * symbol table, and its address; NULL when none. */
const ElfW(Sym) *tvg_elf_definition(const struct tvg_elf *elf, const char *name, uint32_t hash, const char *version);
void *tvg_elf_symbol(const struct tvg_elf *elf, const char *name, uint32_t hash, const char *version);

#endif
