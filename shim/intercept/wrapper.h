/* The form of every wrapper: an exported stub loads the address of its catch into a scratch register and jumps to a C body that all
 * spellings of one entry point share. The jump leaves arguments and return address as the caller made them. */
#ifndef TVG_SHIM_WRAPPER_H
#define TVG_SHIM_WRAPPER_H

#include <stdint.h>

#include "../record/record.h"
#include "resolve.h"

/* One exported name. The entry comes first, so that a catch is found from its entry. They lie in one linker section, in no order. */
struct tvg_catch {
    struct tvg_entry entry;
    void (*body)(void);  /* reached with the entry in the scratch register, so not callable from C */
    void *exported;      /* the address that callers see: the stub */
    uint32_t gnu_hash;   /* of entry.name, as in DT_GNU_HASH */
    uint16_t bare;       /* a name that a program may use for something else: only stood in for where the real object has bare_witness too */
    uint16_t beyond;     /* no matrix product: only stood in for when all operations are recorded (TVG_OPS=all) */
    const char *bare_witness;
};
extern const struct tvg_catch __start_tvg_catches[] __attribute__((visibility("hidden")));
extern const struct tvg_catch __stop_tvg_catches[] __attribute__((visibility("hidden")));

#define TVG_CATCH_SECTION __attribute__((section("tvg_catches"), used, aligned(8)))

/* TVG_STUB(symbol, own, catch, body): the exported stub `symbol`; `own` is the same address under a name that nobody can interpose. The scratch register may be changed by the linker's own stubs, so that no
 * calling convention passes anything in it. */
#if defined(__x86_64__)
#define TVG_SCRATCH "r11"
#define TVG_STUB_TO(symbol, own, catch_symbol, destination)                                                                                  \
    __asm__(".text\n.p2align 4\n.globl " symbol ", " own "\n.hidden " own "\n.type " symbol ",@function\n" symbol ":\n" own ":\n.cfi_startproc\n\tendbr64\n\tleaq " catch_symbol \
            "(%rip), %r11\n\tjmp " destination "\n.cfi_endproc\n.size " symbol ", .-" symbol "\n")
#elif defined(__aarch64__)
#define TVG_SCRATCH "x17"
#define TVG_STUB_TO(symbol, own, catch_symbol, destination)                                                                               \
    __asm__(".text\n.p2align 4\n.globl " symbol ", " own "\n.hidden " own "\n.type " symbol ",%function\n" symbol ":\n" own ":\n.cfi_startproc\n\thint 34\n\tadrp x17, " catch_symbol \
            "\n\tadd x17, x17, :lo12:" catch_symbol "\n\tb " destination "\n.cfi_endproc\n.size " symbol ", .-" symbol "\n")
#else
#error "no stub for this processor yet"
#endif
#define TVG_STUB(symbol, own, catch_symbol, body) TVG_STUB_TO(symbol, own, catch_symbol, body)
/* TVG_STUB_GATED goes through the gate that looks whether the catch is meant: bare names, operations beyond products. */
#define TVG_STUB_GATED(symbol, own, catch_symbol, body) TVG_STUB_TO(symbol, own, catch_symbol, "tvg_gate")

/* A body: takes its entry out of the scratch register before anything else (instrumentation at a function's head would overwrite it), and
 * names what happens when an exception passes. */
#define TVG_HOOK_BODY __attribute__((used, noinline, no_instrument_function, no_profile_instrument_function, no_sanitize("address", "thread", "undefined")))
#define TVG_BODY TVG_HOOK_BODY static
#define TVG_TAKE_ENTRY(entry)                                                                        \
    register const struct tvg_entry *entry##_register __asm__(TVG_SCRATCH);                          \
    __asm__ volatile(".cfi_personality 0x1b, tvg_personality" : "=r"(entry##_register)); /* unwind.c */ \
    const struct tvg_entry *const entry = entry##_register

/* ISO C has no cast from object to function pointers; POSIX does. */
#define TVG_FUNCTION(type, address) (__extension__(type *)(address))

#endif
