/* The second net: a host that looks names up gets the address of a wrapper.
 * dlsym and dlvsym judge by their caller (RTLD_NEXT, RTLD_DEFAULT), so the real ones are reached by a jump that leaves the return address alone. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdint.h>

#include "catch.h"
#include "load_event.h"
#include "resolve.h"
#include "scope.h"

typedef void *dlsym_function(void *, const char *);
typedef int dlclose_function(void *);
typedef void *dlvsym_function(void *, const char *, const char *);

/* Not by dlsym, which is ourselves. Another preload behind the shim may wrap them too and is then asked first, as it would be without us. */
static void *real(_Atomic(void *) *kept, const char *name)
{
    void *function = atomic_load_explicit(kept, memory_order_relaxed);
    if (!function) {
        function = tvg_resolve_next(name);
        atomic_store_explicit(kept, function, memory_order_relaxed);
    }
    return function;
}

static _Atomic(void *) real_dlsym, real_dlvsym, real_dlclose;

void tvg_dlsym_load(void)
{
    atomic_store(&real_dlsym, tvg_resolve_next_held("dlsym"));
    atomic_store(&real_dlvsym, tvg_resolve_next_held("dlvsym"));
    atomic_store(&real_dlclose, tvg_resolve_next_held("dlclose"));
}

/* Where a call goes on: jump to `jump` with the caller's arguments, or return `result` when that is NULL. */
struct choice {
    void *jump, *result;
};

static void *really(void *handle, const char *name, const char *version)
{
    if (version)
        return TVG_FUNCTION(dlvsym_function, real(&real_dlvsym, "dlvsym"))(handle, name, version);
    return TVG_FUNCTION(dlsym_function, real(&real_dlsym, "dlsym"))(handle, name);
}

/* Called from the assembly below. */
struct choice tvg_dlsym_choose(void *handle, const char *name, const char *version, const void *caller);
__attribute__((used)) struct choice tvg_dlsym_choose(void *handle, const char *name, const char *version, const void *caller)
{
    const struct choice pass = {version ? real(&real_dlvsym, "dlvsym") : real(&real_dlsym, "dlsym"), NULL};
    const struct tvg_catch *catch = handle == RTLD_NEXT ? NULL : tvg_catch_by_name(name);
    if (!catch || (catch->beyond && !tvg_all_operations()))
        return pass;
    tvg_load_event_poll();
    if (handle == RTLD_DEFAULT) {
        /* The answer is the shim's own name, or what stands before it. Without a real one it must be none, with dlerror() set. */
        if (tvg_resolve_in_scope(&catch->entry, caller))
            return pass;
        void *before = really(RTLD_DEFAULT, name, version);
        if (before && !tvg_is_own(before)) /* the program's own, or that of a preload in front */
            return (struct choice){NULL, before};
        return (struct choice){NULL, really(RTLD_NEXT, name, version)};
    }
    void *found = really(handle, name, version);
    if (!found)
        return (struct choice){NULL, NULL};
    if (tvg_is_own(found)) /* the handle of the program, whose scope has the shim in it */
        return (struct choice){NULL, tvg_resolve_in_scope(&catch->entry, NULL) ? found : really(RTLD_NEXT, name, version)};
    if (catch->bare && !tvg_object_defines(found, catch->bare_witness))
        return (struct choice){NULL, found};
    return (struct choice){NULL, tvg_catch_bind(catch, found)};
}

#if defined(__x86_64__)
__asm__(".text\n"
        ".globl dlsym\n.type dlsym,@function\ndlsym:\n.cfi_startproc\n\tendbr64\n"
        "\tpushq %rdi\n.cfi_adjust_cfa_offset 8\n\tpushq %rsi\n.cfi_adjust_cfa_offset 8\n\tsubq $8, %rsp\n.cfi_adjust_cfa_offset 8\n"
        "\txorl %edx, %edx\n\tmovq 24(%rsp), %rcx\n\tcall tvg_dlsym_choose\n"
        "\taddq $8, %rsp\n.cfi_adjust_cfa_offset -8\n\tpopq %rsi\n.cfi_adjust_cfa_offset -8\n\tpopq %rdi\n.cfi_adjust_cfa_offset -8\n"
        "\ttestq %rax, %rax\n\tje 1f\n\tjmp *%rax\n1:\tmovq %rdx, %rax\n\tret\n.cfi_endproc\n.size dlsym, .-dlsym\n"
        ".globl dlvsym\n.type dlvsym,@function\ndlvsym:\n.cfi_startproc\n\tendbr64\n"
        "\tpushq %rdi\n.cfi_adjust_cfa_offset 8\n\tpushq %rsi\n.cfi_adjust_cfa_offset 8\n\tpushq %rdx\n.cfi_adjust_cfa_offset 8\n"
        "\tmovq 24(%rsp), %rcx\n\tcall tvg_dlsym_choose\n\tmovq %rdx, %r11\n"
        "\tpopq %rdx\n.cfi_adjust_cfa_offset -8\n\tpopq %rsi\n.cfi_adjust_cfa_offset -8\n\tpopq %rdi\n.cfi_adjust_cfa_offset -8\n"
        "\ttestq %rax, %rax\n\tje 1f\n\tjmp *%rax\n1:\tmovq %r11, %rax\n\tret\n.cfi_endproc\n.size dlvsym, .-dlvsym\n");

/* A call by a name that is not always stood in for: all argument registers are kept, since it may be a function of any kind. */
__asm__(".text\n.hidden tvg_gate\n.globl tvg_gate\n.type tvg_gate,@function\ntvg_gate:\n.cfi_startproc\n"
        "\tpushq %rbp\n.cfi_adjust_cfa_offset 8\n.cfi_offset 6, -16\n\tmovq %rsp, %rbp\n.cfi_def_cfa_register 6\n\tsubq $208, %rsp\n"
        "\tmovq %rax, -8(%rbp)\n\tmovq %rdi, -16(%rbp)\n\tmovq %rsi, -24(%rbp)\n\tmovq %rdx, -32(%rbp)\n\tmovq %rcx, -40(%rbp)\n"
        "\tmovq %r8, -48(%rbp)\n\tmovq %r9, -56(%rbp)\n\tmovq %r10, -64(%rbp)\n\tmovq %r11, -72(%rbp)\n"
        "\tmovups %xmm0, -96(%rbp)\n\tmovups %xmm1, -112(%rbp)\n\tmovups %xmm2, -128(%rbp)\n\tmovups %xmm3, -144(%rbp)\n"
        "\tmovups %xmm4, -160(%rbp)\n\tmovups %xmm5, -176(%rbp)\n\tmovups %xmm6, -192(%rbp)\n\tmovups %xmm7, -208(%rbp)\n"
        "\tmovq %r11, %rdi\n\tmovq 8(%rbp), %rsi\n\tcall tvg_gate_choose\n"
        "\tmovups -96(%rbp), %xmm0\n\tmovups -112(%rbp), %xmm1\n\tmovups -128(%rbp), %xmm2\n\tmovups -144(%rbp), %xmm3\n"
        "\tmovups -160(%rbp), %xmm4\n\tmovups -176(%rbp), %xmm5\n\tmovups -192(%rbp), %xmm6\n\tmovups -208(%rbp), %xmm7\n"
        "\tmovq -16(%rbp), %rdi\n\tmovq -24(%rbp), %rsi\n\tmovq -32(%rbp), %rdx\n\tmovq -40(%rbp), %rcx\n"
        "\tmovq -48(%rbp), %r8\n\tmovq -56(%rbp), %r9\n\tmovq -64(%rbp), %r10\n"
        "\ttestq %rax, %rax\n\tje 1f\n\tmovq %rax, %r11\n\tmovq -8(%rbp), %rax\n\tleave\n.cfi_remember_state\n.cfi_def_cfa 7, 8\n\tjmp *%r11\n"
        "1:\t.cfi_restore_state\n\tmovq -72(%rbp), %r11\n\tmovq -8(%rbp), %rax\n\tleave\n.cfi_def_cfa 7, 8\n\tjmp *32(%r11)\n.cfi_endproc\n"
        ".size tvg_gate, .-tvg_gate\n");
#elif defined(__aarch64__)
__asm__(".text\n"
        ".globl dlsym\n.type dlsym,%function\ndlsym:\n.cfi_startproc\n\thint 34\n"
        "\tstp x29, x30, [sp, -32]!\n.cfi_def_cfa_offset 32\n.cfi_offset 29, -32\n.cfi_offset 30, -24\n\tmov x29, sp\n\tstp x0, x1, [sp, 16]\n"
        "\tmov x2, xzr\n\tmov x3, x30\n\tbl tvg_dlsym_choose\n\tmov x16, x0\n\tmov x17, x1\n"
        "\tldp x0, x1, [sp, 16]\n\tldp x29, x30, [sp], 32\n.cfi_restore 29\n.cfi_restore 30\n.cfi_def_cfa_offset 0\n"
        "\tcbz x16, 1f\n\tbr x16\n1:\tmov x0, x17\n\tret\n.cfi_endproc\n.size dlsym, .-dlsym\n"
        ".globl dlvsym\n.type dlvsym,%function\ndlvsym:\n.cfi_startproc\n\thint 34\n"
        "\tstp x29, x30, [sp, -48]!\n.cfi_def_cfa_offset 48\n.cfi_offset 29, -48\n.cfi_offset 30, -40\n\tmov x29, sp\n\tstp x0, x1, [sp, 16]\n\tstr x2, [sp, 32]\n"
        "\tmov x3, x30\n\tbl tvg_dlsym_choose\n\tmov x16, x0\n\tmov x17, x1\n"
        "\tldr x2, [sp, 32]\n\tldp x0, x1, [sp, 16]\n\tldp x29, x30, [sp], 48\n.cfi_restore 29\n.cfi_restore 30\n.cfi_def_cfa_offset 0\n"
        "\tcbz x16, 1f\n\tbr x16\n1:\tmov x0, x17\n\tret\n.cfi_endproc\n.size dlvsym, .-dlvsym\n");

__asm__(".text\n.hidden tvg_gate\n.globl tvg_gate\n.type tvg_gate,%function\ntvg_gate:\n.cfi_startproc\n"
        "\tstp x29, x30, [sp, -224]!\n.cfi_def_cfa_offset 224\n.cfi_offset 29, -224\n.cfi_offset 30, -216\n\tmov x29, sp\n"
        "\tstp x0, x1, [sp, 16]\n\tstp x2, x3, [sp, 32]\n\tstp x4, x5, [sp, 48]\n\tstp x6, x7, [sp, 64]\n\tstp x8, x17, [sp, 80]\n"
        "\tstp q0, q1, [sp, 96]\n\tstp q2, q3, [sp, 128]\n\tstp q4, q5, [sp, 160]\n\tstp q6, q7, [sp, 192]\n"
        "\tmov x0, x17\n\tmov x1, x30\n\tbl tvg_gate_choose\n\tmov x16, x0\n"
        "\tldp q0, q1, [sp, 96]\n\tldp q2, q3, [sp, 128]\n\tldp q4, q5, [sp, 160]\n\tldp q6, q7, [sp, 192]\n"
        "\tldp x0, x1, [sp, 16]\n\tldp x2, x3, [sp, 32]\n\tldp x4, x5, [sp, 48]\n\tldp x6, x7, [sp, 64]\n\tldp x8, x17, [sp, 80]\n"
        "\tldp x29, x30, [sp], 224\n.cfi_restore 29\n.cfi_restore 30\n.cfi_def_cfa_offset 0\n"
        "\tcbnz x16, 1f\n\tldr x16, [x17, 32]\n1:\tbr x16\n.cfi_endproc\n.size tvg_gate, .-tvg_gate\n");
#else
#error "no dlsym for this processor yet"
#endif

/* The real dlclose does not look at its caller. */
TVG_EXPORT int dlclose(void *handle)
{
    int result = TVG_FUNCTION(dlclose_function, real(&real_dlclose, "dlclose"))(handle);
    tvg_load_event_poll();
    return result;
}

__attribute__((constructor)) static void start(void)
{
    tvg_scope_init();
}
