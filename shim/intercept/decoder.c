/* capstone without malloc, and for x86 alone: it names every processor in its tables, and all of them together would be ten megabytes and
 * 90 000 relocations at each start. Empty beginnings stand for the other processors'; none of them is ever opened. */
#include "decoder.h"

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)

#include <stdint.h>
#include <string.h>

/* capstone's memory: one handle is open at a time, for the length of one call, so a bump area that is reset with it is enough. */
static uint8_t memory[512 * 1024] __attribute__((aligned(16)));
static size_t used;

static void *take(size_t size)
{
    size_t start = (used + 31) & ~(size_t)15; /* 16 bytes before each block hold its size */
    if (size > sizeof memory || start + size > sizeof memory)
        return NULL;
    memcpy(memory + start - 8, &size, 8);
    used = start + size;
    return memory + start;
}

static void *take_cleared(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *block = take(bytes);
    return block ? memset(block, 0, bytes) : NULL;
}

static void *take_again(void *old, size_t size)
{
    void *block = take(size);
    if (block && old) {
        size_t before;
        memcpy(&before, (uint8_t *)old - 8, 8);
        memcpy(block, old, before < size ? before : size);
    }
    return block;
}

static void leave(void *block)
{
    (void)block;
}

static int no_text(char *out, size_t capacity, const char *format, va_list values)
{
    (void)format, (void)values; /* the text of an instruction is never looked at */
    if (capacity)
        out[0] = 0;
    return 0;
}

bool tvg_decoder_open(csh *handle)
{
    static bool prepared;
    if (!prepared) {
        cs_opt_mem functions = {take, take_cleared, take_again, leave, no_text};
        if (cs_option(0, CS_OPT_MEM, (size_t)&functions) != CS_ERR_OK)
            return false;
        prepared = true;
    }
    used = 0;
    return cs_open(CS_ARCH_X86, CS_MODE_64, handle) == CS_ERR_OK && cs_option(*handle, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK;
}

#define TVG_NO_PROCESSOR(name)                                                   \
    void name##_global_init(void);                                               \
    void name##_global_init(void) {}                                             \
    cs_err name##_option(void *handle, cs_opt_type type, size_t value);          \
    cs_err name##_option(void *handle, cs_opt_type type, size_t value)           \
    {                                                                            \
        (void)handle, (void)type, (void)value;                                   \
        return CS_ERR_ARCH;                                                      \
    }

/* Version 4's, then version 5's. */
TVG_NO_PROCESSOR(AArch64)
TVG_NO_PROCESSOR(ARM)
TVG_NO_PROCESSOR(EVM)
TVG_NO_PROCESSOR(M680X)
TVG_NO_PROCESSOR(M68K)
TVG_NO_PROCESSOR(Mips)
TVG_NO_PROCESSOR(PPC)
TVG_NO_PROCESSOR(Sparc)
TVG_NO_PROCESSOR(SystemZ)
TVG_NO_PROCESSOR(TMS320C64x)
TVG_NO_PROCESSOR(XCore)
TVG_NO_PROCESSOR(BPF)
TVG_NO_PROCESSOR(MOS65XX)
TVG_NO_PROCESSOR(RISCV)
TVG_NO_PROCESSOR(SH)
TVG_NO_PROCESSOR(TRICORE)
TVG_NO_PROCESSOR(WASM)

/* The text of instructions in the other notation. */
void X86_ATT_printInst(void *instruction, void *out, void *info);
void X86_ATT_printInst(void *instruction, void *out, void *info)
{
    (void)instruction, (void)out, (void)info;
}

#else
typedef int tvg_nothing_here;
#endif
