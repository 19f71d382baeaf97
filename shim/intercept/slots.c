/* Redirecting slots of vtables, by their relocations or in place. */
#include "slots.h"

#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../record/sys.h"

#if defined(__x86_64__)
#define RELATIVE R_X86_64_RELATIVE
#elif defined(__aarch64__)
#define RELATIVE R_AARCH64_RELATIVE
#endif

/* One word of data that may be read-only. Where the kernel refuses /proc/self/mem: mprotect, then read-only again, as it was. */
static bool write_word(uintptr_t place, uintptr_t value)
{
    long descriptor = tvg_sys_open("/proc/self/mem", O_WRONLY | O_CLOEXEC, 0);
    if (descriptor >= 0) {
        long written = tvg_sys6(SYS_pwrite64, descriptor, (long)&value, sizeof value, (long)place, 0, 0);
        tvg_sys_close((int)descriptor);
        if (written == sizeof value)
            return true;
    }
    void *page = (void *)(place & ~(uintptr_t)4095);
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) != 0)
        return false;
    __atomic_store_n((uintptr_t *)place, value, __ATOMIC_RELAXED);
    mprotect(page, 4096, PROT_READ);
    return true;
}

static bool is_slot(const struct tvg_classes *classes, uint64_t place, unsigned slot)
{
    for (size_t i = 0; i < classes->count; i++)
        if (classes->class[i].vtable && classes->class[i].vtable + 8ull * slot == place)
            return true;
    return false;
}

/* Where the object has its relocations in memory. */
static const Elf64_Rela *loaded_relocations(const struct tvg_classes *classes, uintptr_t base)
{
    const Elf64_Phdr *segment = classes->segment;
    uint64_t offset = (uint64_t)((const uint8_t *)classes->rela - classes->image), bytes = classes->relocations * sizeof(Elf64_Rela);
    for (size_t i = 0; i < classes->segments; i++)
        if (segment[i].p_type == PT_LOAD && offset >= segment[i].p_offset && offset - segment[i].p_offset + bytes <= segment[i].p_filesz)
            return (const Elf64_Rela *)(base + segment[i].p_vaddr + (offset - segment[i].p_offset));
    return NULL;
}

bool tvg_slots_redirect(const struct tvg_classes *classes, uintptr_t base, uintptr_t function, unsigned slot, const void *stub, const char **reason)
{
    const Elf64_Rela *in_file = classes->rela, *loaded = loaded_relocations(classes, base);
    bool any = false, all = loaded != NULL;
    for (size_t i = 0; i < classes->relocations && loaded; i++) {
        if (ELF64_R_TYPE(in_file[i].r_info) != RELATIVE || (uint64_t)in_file[i].r_addend != function || !is_slot(classes, in_file[i].r_offset, slot))
            continue;
        uintptr_t place = base + in_file[i].r_offset, holds = *(const uintptr_t *)place;
        bool is_done;
        if (holds == base + function)
            is_done = write_word(place, (uintptr_t)stub);
        else /* not relocated yet */
            is_done = memcmp(&loaded[i], &in_file[i], sizeof *loaded) == 0 && write_word((uintptr_t)&loaded[i].r_addend, (uintptr_t)stub - base);
        any = any || is_done;
        all = all && is_done;
    }
    *reason = any && all ? NULL : "not all slots of its vtables can be written";
    return any;
}
