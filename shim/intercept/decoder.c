/* The instruction decoder is linked for x86 alone: capstone names every processor in its tables, and all of them together would be ten
 * megabytes and 90 000 relocations at each start. These stand for the other processors' beginnings; none of them is ever opened. */
#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)

#include <capstone/capstone.h>

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
