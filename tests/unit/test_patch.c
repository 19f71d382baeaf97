/* Inline patches: code bytes are laid into pages, called, patched and called again; then every function of whole libraries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/intercept/patch.h"
#include "shim/intercept/relocate.h"

#if defined(__x86_64__) && defined(TVG_WITH_CAPSTONE)
#include <capstone/capstone.h>

/* The wrapper of all tests: its context says where the original is, and counts. It has a landing mark, as the shim's have. */
struct caught {
    void *original;
    uint64_t calls;
};
void test_wrapper(void);
__asm__(".text\n.globl test_wrapper\ntest_wrapper:\n\tendbr64\n\tlock incq 8(%r11)\n\tjmp *(%r11)\n");

typedef uint64_t function_of_two(uint64_t, uint64_t);

/* --- pages ---------------------------------------------------------------------------------------------------------------------------- */
enum { PAGE = 4096, DATA_AT = 2048 };
static const uint64_t page_data = 0x1122334455667788;

static uint8_t *lay(const void *code, size_t length, size_t at)
{
    uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(page != MAP_FAILED);
    memset(page, 0xcc, PAGE);
    memcpy(page + at, code, length);
    memcpy(page + DATA_AT, &page_data, sizeof page_data);
    assert_int_equal(mprotect(page, PAGE, PROT_READ | PROT_EXEC), 0);
    return page;
}

static void protection(const void *address, char out[5])
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long first, last;
    strcpy(out, "none");
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx %4s", &first, &last, out) == 3 && (uintptr_t)address >= first && (uintptr_t)address < last)
            break;
    fclose(maps);
}

static uint64_t call(const uint8_t *code, uint64_t a, uint64_t b)
{
    function_of_two *function;
    memcpy(&function, &code, sizeof function);
    return function(a, b);
}

/* --- kinds of instructions ---------------------------------------------------------------------------------------------------------------- */
#define CODE(...) {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})
/* Distance to the page's data from the end of an instruction at `end`; all code begins at 0. */
#define DATA(end) (uint8_t)(DATA_AT - (end)), (uint8_t)((DATA_AT - (end)) >> 8), 0, 0
#define BACK(distance) (uint8_t)(distance), (uint8_t)((distance) >> 8), 0xff, 0xff
static const struct kind {
    const char *name;
    uint8_t code[400];
    size_t length;
    size_t size;        /* what the patcher is told; 0: unknown */
    const char *refused; /* a part of the reason; NULL: patched, called and compared */
} kinds[] = {
    {"plain", CODE(0x89, 0xf8, 0x83, 0xc0, 0x07, 0xc3), 6, NULL},                                   /* mov edi, eax; add 7, eax; ret */
    {"exactly a jump long", CODE(0x31, 0xc0, 0xff, 0xc0, 0xc3), 5, NULL},                           /* xor; inc; ret */
    {"unknown size", CODE(0x48, 0x8d, 0x04, 0x37, 0x48, 0xff, 0xc0, 0xc3), 0, NULL},                /* lea (rdi,rsi); inc; ret */
    {"frame", CODE(0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x8d, 0x1c, 0x77, 0x48, 0x89, 0xd8, 0x5b, 0x5d, 0xc3), 15, NULL},
    {"stack protector", CODE(0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x48, 0x31, 0xc0, 0xc3), 13, NULL}, /* mov fs:0x28: absolute */
    {"lea rip", CODE(0x48, 0x8d, 0x05, DATA(7), 0xc3), 8, NULL},
    {"mov rip", CODE(0x48, 0x8b, 0x05, DATA(7), 0xc3), 8, NULL},
    {"mov rip, 32", CODE(0x8b, 0x05, DATA(6), 0xc3), 7, NULL},
    {"mov rip, 16", CODE(0x31, 0xc0, 0x66, 0x8b, 0x05, DATA(9), 0xc3), 10, NULL},
    {"movzx rip", CODE(0x0f, 0xb6, 0x05, DATA(7), 0xc3), 8, NULL},
    {"cmp rip, imm8", CODE(0x80, 0x3d, DATA(7), 0x88, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3), 14, NULL},
    {"cmp rip, imm16", CODE(0x66, 0x81, 0x3d, DATA(9), 0x88, 0x77, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3), 16, NULL},
    {"cmp rip, imm32", CODE(0x81, 0x3d, DATA(10), 0x88, 0x77, 0x66, 0x55, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0xc3), 17, NULL},
    {"imul rip, imm", CODE(0x69, 0x05, DATA(10), 3, 0, 0, 0, 0xc3), 11, NULL},
    {"movups rip", CODE(0x0f, 0x10, 0x05, DATA(7), 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0xc3), 13, NULL},
    {"movsd rip", CODE(0xf2, 0x0f, 0x10, 0x05, DATA(8), 0x66, 0x48, 0x0f, 0x7e, 0xc0, 0xc3), 14, NULL},
    {"fld rip", CODE(0xdd, 0x05, DATA(6), 0xdd, 0xd8, 0x31, 0xc0, 0xc3), 11, NULL},
    {"indirect jump rip", CODE(0xff, 0x25, DATA(6)), 6, "-"},     /* moved; the data is no address, so that it is not called */
    {"short jump out", CODE(0x31, 0xc0, 0x85, 0xff, 0x74, 0x03, 0x83, 0xc0, 0x09, 0x83, 0xc0, 0x01, 0xc3), 13, NULL}, /* je over the add */
    {"short jump right behind", CODE(0x85, 0xff, 0x75, 0x01, 0x90, 0x89, 0xf8, 0xc3), 8, NULL},     /* jne to byte 5 */
    {"near conditional jump", CODE(0x85, 0xff, 0x0f, 0x85, 3, 0, 0, 0, 0x31, 0xc0, 0xc3, 0x89, 0xf0, 0xc3), 14, NULL},
    {"jump first", CODE(0xe9, 2, 0, 0, 0, 0xcc, 0xcc, 0x89, 0xf8, 0xc3), 10, NULL},
    {"hinted jump", CODE(0x89, 0xf0, 0x85, 0xff, 0x3e, 0x74, 0x02, 0xff, 0xc0, 0x83, 0xc0, 0x01, 0xc3), 0, NULL},
    {"short jump first", CODE(0xeb, 0x05, 0x90, 0x90, 0x90, 0x90, 0x90, 0x89, 0xf8, 0xc3), 10, "ends before"},
    {"short jump inside", CODE(0x85, 0xff, 0x75, 0x00, 0x90, 0x89, 0xf8, 0xc3), 8, "jumps into"},   /* jne to byte 4 */
    {"short jump back inside", CODE(0x31, 0xc0, 0xff, 0xc0, 0xff, 0xcf, 0x75, 0xfa, 0xc3), 9, "jumps into"}, /* a loop that begins at byte 2 */
    {"the same, size unknown", CODE(0x31, 0xc0, 0xff, 0xc0, 0xff, 0xcf, 0x75, 0xfa, 0xc3), 0, "jumps into"},
    {"loop to its beginning", CODE(0xff, 0xcf, 0x85, 0xff, 0x90, 0x75, 0xf9, 0x89, 0xf8, 0xc3), 10, "jumps into"},
    {"jump behind what can't be decoded", CODE(0x89, 0xf8, 0x85, 0xff, 0x74, 0x01, 0x06, 0xeb, 0xf9, 0xc3), 10, "jumps into"},
    {"near jump back", CODE(0x89, 0xf8, 0x85, 0xff, 0x90, 0xc3, [300] = 0xe9, BACK(2 - 305)), 305, "jumps into"},
    {"near conditional jump back", CODE(0x89, 0xf8, 0x85, 0xff, 0x90, 0xc3, [300] = 0x0f, 0x84, BACK(4 - 306)), 306, "jumps into"},
    {"far from a jump into it", CODE(0x89, 0xf8, 0x85, 0xff, 0x90, 0xc3, [300] = 0xe9, BACK(5 - 305)), 305, NULL},
    {"recursion", /* sum of 1..edi, by calling its own beginning */
     CODE(0x31, 0xc0, 0x85, 0xff, 0x74, 0x11, 0x53, 0x89, 0xfb, 0x8d, 0x7f, 0xff, 0xe8, BACK(-17), 0x01, 0xd8, 0x5b, 0x90, 0x90, 0x90, 0xc3), 24, NULL},
    {"loop", CODE(0x48, 0x89, 0xf9, 0xe2, 0x02, 0x89, 0xf8, 0xc3), 8, "can't be moved"},
    {"loopne", CODE(0x48, 0x89, 0xf9, 0xe0, 0x02, 0x89, 0xf8, 0xc3), 8, "can't be moved"},
    {"jrcxz", CODE(0x48, 0x89, 0xf9, 0xe3, 0x02, 0x89, 0xf8, 0xc3), 8, "can't be moved"},
    {"jecxz", CODE(0x89, 0xf9, 0x67, 0xe3, 0x02, 0x89, 0xf8, 0xc3), 8, "can't be moved"},
    {"xbegin", CODE(0xc7, 0xf8, 2, 0, 0, 0, 0x89, 0xf8, 0xc3), 9, "can't be moved"},
    {"call", CODE(0xe8, 2, 0, 0, 0, 0x89, 0xf8, 0xc3), 8, "is a call"},
    {"call behind a push", CODE(0x50, 0xe8, 2, 0, 0, 0, 0x89, 0xf8, 0x5a, 0xc3), 10, "is a call"},
    {"indirect call", CODE(0xff, 0xd7, 0x89, 0xf8, 0x90, 0xc3), 6, "is a call"},
    {"call through memory", CODE(0xff, 0x15, DATA(6), 0xc3), 7, "is a call"},
    {"call behind the bytes", CODE(0x48, 0x83, 0xec, 0x08, 0x90, 0xe8, 5, 0, 0, 0, 0x48, 0x83, 0xc4, 0x08, 0xc3, 0x89, 0xf8, 0xc3), 18, NULL},
    {"endbr64 first", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x89, 0xf8, 0x83, 0xc0, 0x07, 0xc3), 10, NULL},
    {"endbr64, rip behind", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8b, 0x05, DATA(11), 0xc3), 12, NULL},
    {"endbr64, nothing behind", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0x89, 0xf8, 0xc3), 7, "shorter than a jump"},
    {"endbr64, jump back to it", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0xcf, 0x85, 0xff, 0x90, 0x75, 0xf5, 0xc3), 12, "jumps into"},
    {"bare return", CODE(0xc3, 0x90, 0x90, 0x90, 0x90, 0x90), 1, "shorter than a jump"},
    {"four bytes", CODE(0x89, 0xf8, 0x90, 0xc3, 0x90), 4, "shorter than a jump"},
    {"ends early, size unknown", CODE(0x89, 0xf8, 0xc3, 0x90, 0x90, 0x90), 0, "ends before"},
    {"ends in a trap, size unknown", CODE(0x89, 0xf8, 0x0f, 0x0b, 0x90, 0x90), 0, "ends before"},
    {"tail jump early, size unknown", CODE(0xff, 0xe7, 0x90, 0x90, 0x90, 0x90), 0, "ends before"},
    {"cut in an instruction", CODE(0x31, 0xc0, 0x48, 0x8b, 0x05, 0, 0, 0, 0), 6, "can't be decoded"},
    {"no instruction", CODE(0x06, 0x07, 0x16, 0x17, 0x1e, 0xc3), 6, "can't be decoded"},
    {"breakpoint first", CODE(0xcc, 0xf8, 0x83, 0xc0, 0x07, 0xc3), 6, "breakpoint"},
    {"breakpoint third", CODE(0x89, 0xf8, 0xcc, 0xc0, 0x07, 0xc3), 6, "breakpoint"},
    {"breakpoint behind endbr64", CODE(0xf3, 0x0f, 0x1e, 0xfa, 0xcc, 0xf8, 0x83, 0xc0, 0x07, 0xc3), 10, "breakpoint"},
    {"breakpoint on endbr64", CODE(0xcc, 0x0f, 0x1e, 0xfa, 0x89, 0xf8, 0x83, 0xc0, 0x07, 0xc3), 10, "breakpoint"},
    {"breakpoint behind the bytes", CODE(0x89, 0xf8, 0x83, 0xc0, 0x07, 0xcc, 0xc3), 7, "-"},
};

static void each_kind(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct kind *kind = &kinds[i];
        static const uint64_t argument[][2] = {{0, 0}, {1, 5}, {5, 1}, {7, 900}};
        uint8_t *page = lay(kind->code, kind->length, 0), before[PAGE];
        uint64_t result[4] = {0};
        struct caught caught = {NULL, 0};
        const char *reason = NULL;
        bool called = !kind->refused;
        char now[5];
        memcpy(before, page, PAGE);
        for (int call_number = 0; called && call_number < 4; call_number++)
            result[call_number] = call(page, argument[call_number][0], argument[call_number][1]);
        caught.original = tvg_patch_function(page, kind->size, (void *)(uintptr_t)test_wrapper, &caught, &reason);
        protection(page, now);
        assert_string_equal(now, "r-xp");
        if (kind->refused && strcmp(kind->refused, "-") != 0) {
            if (caught.original || !reason || !strstr(reason, kind->refused))
                fail_msg("%s: %s instead of \"%s\"", kind->name, caught.original ? "patched" : reason ? reason : "no reason", kind->refused);
            assert_memory_equal(page, before, PAGE);
            munmap(page, PAGE);
            continue;
        }
        if (!caught.original)
            fail_msg("%s: refused: %s", kind->name, reason);
        /* five bytes have changed, behind an endbr64 that stays; the original is a landing place */
        size_t kept = memcmp(before, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0;
        assert_memory_equal(page, before, kept);
        assert_int_equal(page[kept], 0xe9);
        assert_memory_equal(page + kept + TVG_PATCH_BYTES, before + kept + TVG_PATCH_BYTES, PAGE - kept - TVG_PATCH_BYTES);
        assert_memory_equal(caught.original, "\xf3\x0f\x1e\xfa", 4);
        for (int call_number = 0; called && call_number < 4; call_number++) {
            uint64_t calls = caught.calls, a = argument[call_number][0], b = argument[call_number][1];
            if (call(page, a, b) != result[call_number])
                fail_msg("%s(%u, %u): another result", kind->name, (unsigned)a, (unsigned)b);
            assert_int_equal(caught.calls, calls + 1 + (strcmp(kind->name, "recursion") == 0 ? a : 0));
            calls = caught.calls;
            assert_int_equal(call(caught.original, a, b), result[call_number]);
            assert_int_equal(caught.calls, calls + (strcmp(kind->name, "recursion") == 0 ? a : 0));
        }
        munmap(page, PAGE);
    }
}

/* The last function of a mapping: nothing behind it may be read. */
static void at_the_end_of_a_mapping(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x48, 0x8d, 0x04, 0x37, 0x48, 0xff, 0xc0, 0xc3};
    uint8_t *area = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(area + PAGE - sizeof code, code, sizeof code);
    mprotect(area, PAGE, PROT_READ | PROT_EXEC);
    mprotect(area + PAGE, PAGE, PROT_NONE);
    struct caught caught = {NULL, 0};
    const char *reason = NULL;
    caught.original = tvg_patch_function(area + PAGE - sizeof code, 0, (void *)(uintptr_t)test_wrapper, &caught, &reason);
    assert_non_null(caught.original);
    assert_int_equal(call(area + PAGE - sizeof code, 2, 3), 6);
    assert_int_equal(caught.calls, 1);
}

/* --- what the kernel may refuse ---------------------------------------------------------------------------------------------------------- */
/* From here on the call fails with EPERM; mprotect: only when it asks for write and execute permission together. */
static void refuse(long number, bool only_write_and_execute)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, only_write_and_execute ? PROT_WRITE | PROT_EXEC : 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, only_write_and_execute ? PROT_WRITE | PROT_EXEC : 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(99);
}

/* In a child, as a filter stays for good. Each step's failure has its own exit status. */
static void refusals(void **state)
{
    (void)state;
    enum { ROUNDS = 3 };
    for (int round = 0; round < ROUNDS; round++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            uint8_t *page = lay(kinds[0].code, kinds[0].length, 100), *code = page + 100, before[PAGE];
            struct caught caught = {NULL, 0};
            const char *reason = "";
            char now[5];
            alarm(20);
            memcpy(before, page, PAGE);
            if (round < 2)
                refuse(SYS_pwrite64, false);
            else
                refuse(SYS_memfd_create, false);
            if (round == 1)
                refuse(SYS_mprotect, true);
            caught.original = tvg_patch_function(code, kinds[0].size, (void *)(uintptr_t)test_wrapper, &caught, &reason);
            protection(page, now);
            if (strcmp(now, "r-xp") != 0)
                _exit(1);
            if ((caught.original != NULL) != (round == 0))
                _exit(2);
            if (round > 0 && (memcmp(page, before, PAGE) != 0 || !strstr(reason, round == 1 ? "can't be written" : "no executable memory")))
                _exit(3);
            if (call(code, 5, 0) != 12 || caught.calls != (round == 0))
                _exit(4);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* Text that was writable stays so. */
static void protection_is_kept(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        uint8_t *page = lay(kinds[0].code, kinds[0].length, 0);
        struct caught caught = {NULL, 0};
        const char *reason;
        char now[5];
        alarm(20);
        mprotect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
        refuse(SYS_pwrite64, false);
        caught.original = tvg_patch_function(page, kinds[0].size, (void *)(uintptr_t)test_wrapper, &caught, &reason);
        protection(page, now);
        _exit(caught.original && strcmp(now, "rwxp") == 0 && call(page, 5, 0) == 12 && caught.calls == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* --- stubs ------------------------------------------------------------------------------------------------------------------------------ */
/* mov VALUE, eax; ret */
static uint8_t *returning(uint32_t value)
{
    uint8_t code[] = {0xb8, (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24), 0xc3};
    return lay(code, sizeof code, 0);
}

/* A child inherits stubs that its parent runs: what it patches must not change them, nor the other way round. */
static void fork_then_patch_on_both_sides(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    static struct caught caught[2 * COUNT];
    uint8_t *page[2 * COUNT];
    const char *reason = NULL;
    int status, from_child[2], to_child[2];
    char byte = 0;
    assert_int_equal(pipe(from_child), 0);
    assert_int_equal(pipe(to_child), 0);
    for (int i = 0; i < COUNT; i++) {
        page[i] = returning((uint32_t)i);
        caught[i].original = tvg_patch_function(page[i], 6, (void *)(uintptr_t)test_wrapper, &caught[i], &reason);
        assert_non_null(caught[i].original);
    }
    pid_t child = fork();
    /* both go on, with functions that differ */
    int add = child == 0 ? 1000 : 2000;
    for (int i = COUNT; i < 2 * COUNT; i++) {
        page[i] = returning((uint32_t)(i + add));
        caught[i].original = tvg_patch_function(page[i], 6, (void *)(uintptr_t)test_wrapper, &caught[i], &reason);
        if (child == 0 && !caught[i].original)
            _exit(1);
        assert_non_null(caught[i].original);
    }
    /* each looks only when the other has patched */
    if (child == 0) {
        alarm(20);
        if (write(from_child[1], "x", 1) != 1 || read(to_child[0], &byte, 1) != 1)
            _exit(2);
    } else {
        assert_int_equal(read(from_child[0], &byte, 1), 1);
        assert_int_equal(write(to_child[1], "x", 1), 1);
    }
    bool right = true;
    for (int i = 0; i < 2 * COUNT; i++)
        right &= call(page[i], 0, 0) == (uint64_t)(i < COUNT ? i : i + add) && caught[i].calls == 1;
    if (child == 0)
        _exit(right ? 0 : 3);
    assert_true(right);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* A library that comes and goes all day. */
static void memory_is_used_again(void **state)
{
    (void)state;
    struct caught caught = {NULL, 0};
    const char *reason = NULL;
    for (uint32_t i = 0; i < 100000; i++) {
        static uint8_t *page;
        const void *begin, *end;
        if (page == NULL)
            page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memcpy(page, "\xb8", 1);
        memcpy(page + 1, &i, 4);
        memcpy(page + 5, "\xc3", 1);
        caught.original = tvg_patch_function(page, 6, (void *)(uintptr_t)test_wrapper, &caught, &reason);
        if (!caught.original)
            fail_msg("after %u: %s", i, reason);
        if (i % 97 == 0)
            assert_int_equal(call(page, 0, 0), i);
        tvg_patch_forget(caught.original, &begin, &end);
        assert_true((const char *)caught.original > (const char *)begin && (const char *)caught.original < (const char *)end);
    }
}

/* --- an empty function, while threads run it ----------------------------------------------------------------------------------------------- */
static atomic_int stop, stood_in;
static _Atomic(const uint8_t *) running;
static void stand_in(void)
{
    atomic_fetch_add_explicit(&stood_in, 1, memory_order_relaxed);
}

static void *call_on_and_on(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop))
        call(atomic_load(&running), 0, 0);
    return NULL;
}

static void an_empty_function_that_runs(void **state)
{
    (void)state;
    enum { ROUNDS = 300, THREADS = 2 };
    static const uint8_t empty[16] = {0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x0f, 0x1f, 0x40, 0};
    static const uint8_t marked[16] = {0xf3, 0x0f, 0x1e, 0xfa, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0, 0x90};
    pthread_t thread[THREADS];
    atomic_store(&stop, 0);
    atomic_store(&running, lay(empty, sizeof empty, 0));
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, call_on_and_on, NULL), 0);
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t *page = lay(round % 2 ? empty : marked, 16, 0);
        const char *reason = NULL;
        atomic_store(&running, page);
        if (round % 8 == 0)
            usleep(300);
        assert_int_equal(tvg_patch_empty_function(page, (void *)(uintptr_t)stand_in, &reason), 0);
        int before = atomic_load(&stood_in);
        call(page, 0, 0);
        assert_true(atomic_load(&stood_in) > before);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
}

static void empty_functions_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t code[32];
        size_t at;
        const char *reason;
    } bad[] = {
        {{0x90, 0xc3}, 0, "bare return"},
        {{0xcc, 0x90, 0x90, 0x90, 0x90, 0x90}, 0, "breakpoint"},
        {{0xf3, 0x0f, 0x1e, 0xfa, 0xcc, 0x90, 0x90, 0x90, 0x90}, 0, "breakpoint"},
        {{0xc3, 0x90, 0x90, 0x55, 0x90, 0x90}, 0, "too closely"},
        {{0xc3, 0x90, 0x90, 0x90, 0x90, 0x90}, 12, "too closely"}, /* the next 16 bytes are another's */
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint8_t *page = lay(bad[i].code, sizeof bad[i].code, bad[i].at), before[PAGE];
        const char *reason = "";
        memcpy(before, page, PAGE);
        assert_int_equal(tvg_patch_empty_function(page + bad[i].at, (void *)(uintptr_t)stand_in, &reason), -1);
        assert_non_null(strstr(reason, bad[i].reason));
        assert_memory_equal(page, before, PAGE);
    }
}

/* --- whole libraries ------------------------------------------------------------------------------------------------------------------------- */
struct library {
    const char *name;
    struct link_map *map;
    uint8_t *file;
    const Elf64_Sym *symbols;
    size_t count, bytes;
};

/* `wanted`: as dlopen takes it. */
static struct library open_library(const char *wanted)
{
    struct library library = {.name = wanted};
    struct stat status;
    void *handle = dlopen(wanted, RTLD_NOW);
    if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &library.map) != 0)
        fail_msg("%s: %s", wanted, dlerror());
    int descriptor = open(library.map->l_name, O_RDONLY);
    assert_int_equal(fstat(descriptor, &status), 0);
    library.bytes = (size_t)status.st_size;
    library.file = mmap(NULL, library.bytes, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)library.file;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(library.file + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++)
        if (section[i].sh_type == SHT_SYMTAB || (section[i].sh_type == SHT_DYNSYM && !library.symbols)) {
            library.symbols = (const Elf64_Sym *)(library.file + section[i].sh_offset);
            library.count = section[i].sh_size / sizeof *library.symbols;
        }
    return library;
}

static bool is_function(const Elf64_Sym *symbol)
{
    return ELF64_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF && symbol->st_size > 0;
}

/* What an instruction does, as far as its place matters: the address it refers to, or 0. */
static uint64_t refers_to(const cs_insn *instruction)
{
    const cs_x86 *x86 = &instruction->detail->x86;
    bool branches = false;
    for (int i = 0; i < instruction->detail->groups_count; i++)
        branches |= instruction->detail->groups[i] == CS_GRP_JUMP || instruction->detail->groups[i] == CS_GRP_CALL;
    if (branches && x86->op_count && x86->operands[0].type == X86_OP_IMM)
        return (uint64_t)x86->operands[0].imm;
    for (int i = 0; i < x86->op_count; i++)
        if (x86->operands[i].type == X86_OP_MEM && x86->operands[i].mem.base == X86_REG_RIP)
            return instruction->address + instruction->size + (uint64_t)x86->operands[i].mem.disp;
    return 0;
}

/* Every function of the library is moved to `out` and decoded again there: the same instructions, on the same addresses. Returns how many. */
static size_t move_all(const struct library *library, uint8_t *out, uintptr_t runs_at, size_t *refused)
{
    struct {
        const char *reason;
        size_t count;
    } reasons[16] = {{0}};
    size_t moved = 0;
    for (size_t i = 0; i < library->count; i++) {
        const Elf64_Sym *symbol = &library->symbols[i];
        if (!is_function(symbol) || symbol->st_size < 16)
            continue;
        const uint8_t *code = (const uint8_t *)library->map->l_addr + symbol->st_value;
        struct tvg_function function = {code, symbol->st_size, memcmp(code, "\xf3\x0f\x1e\xfa", 4) == 0 ? 4 : 0};
        size_t consumed = 0;
        const char *reason = NULL;
        size_t written = tvg_relocate(&function, TVG_PATCH_BYTES, out, runs_at, &consumed, &reason);
        if (!written) {
            size_t at = 0;
            while (reasons[at].reason && strcmp(reasons[at].reason, reason) != 0)
                at++;
            reasons[at].reason = reason;
            reasons[at].count++;
            continue;
        }
        assert_true(written <= TVG_RELOCATED_MAX && consumed >= TVG_PATCH_BYTES && function.kept + consumed <= symbol->st_size);
        moved++;
        csh handle;
        cs_insn *was, *is;
        /* the handle of tvg_relocate is void by now; one of our own would share its memory, so it is opened the same way */
        assert_int_equal(cs_open(CS_ARCH_X86, CS_MODE_64, &handle), CS_ERR_OK);
        cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
        was = cs_malloc(handle);
        is = cs_malloc(handle);
        const uint8_t *was_at = code + function.kept, *is_at = out;
        uint64_t was_address = (uint64_t)(uintptr_t)was_at, is_address = runs_at;
        size_t was_left = consumed, is_left = written;
        while (was_left) {
            assert_true(cs_disasm_iter(handle, &was_at, &was_left, &was_address, was));
            assert_true(cs_disasm_iter(handle, &is_at, &is_left, &is_address, is));
            if (was->id != is->id || refers_to(was) != refers_to(is) || was->detail->x86.op_count != is->detail->x86.op_count)
                fail_msg("%s: function at %#lx: instruction at +%lu differs", library->name, (unsigned long)symbol->st_value,
                         (unsigned long)(was->address - (uint64_t)(uintptr_t)code));
            for (int o = 0; o < was->detail->x86.op_count; o++) {
                cs_x86_op a = was->detail->x86.operands[o], b = is->detail->x86.operands[o];
                assert_int_equal(a.type, b.type);
                assert_int_equal(a.size, b.size);
                if (a.type == X86_OP_REG)
                    assert_int_equal(a.reg, b.reg);
                else if (a.type == X86_OP_IMM && !refers_to(was))
                    assert_int_equal(a.imm, b.imm);
                else if (a.type == X86_OP_MEM)
                    assert_true(a.mem.base == b.mem.base && a.mem.index == b.mem.index && a.mem.scale == b.mem.scale &&
                                a.mem.segment == b.mem.segment && (a.mem.base == X86_REG_RIP || a.mem.disp == b.mem.disp));
            }
        }
        assert_int_equal(is_left, 0);
    }
    *refused = 0;
    for (size_t at = 0; at < 16 && reasons[at].reason; at++) {
        print_message("  %5zu: %s\n", reasons[at].count, reasons[at].reason);
        *refused += reasons[at].count;
    }
    return moved;
}

static const char *const libraries[] = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libopenblas.so.0", "libgfortran.so.5"};
enum { LIBRARIES = sizeof libraries / sizeof *libraries };

static void whole_libraries_moved(void **state)
{
    (void)state;
    size_t all = 0;
    for (int i = 0; i < LIBRARIES; i++) {
        struct library library = open_library(libraries[i]);
        uint8_t out[TVG_RELOCATED_MAX];
        size_t refused, moved;
        for (int side = 0; side < 2; side++) { /* to run before the library, and behind it */
            moved = move_all(&library, out, library.map->l_addr + (uintptr_t)(side ? 0x40000000L : -0x40000000L), &refused);
            print_message("%s: %zu functions moved, %zu refused\n", library.name, moved, refused);
            assert_true(moved > 10 * refused);
        }
        all += moved;
    }
    print_message("%zu functions\n", all);
    assert_true(all > 15000);
}

/* Patches every function that can be. */
static struct caught *patch_all(const struct library *library, size_t *patched)
{
    struct caught *caught = calloc(library->count, sizeof *caught);
    *patched = 0;
    for (size_t i = 0; i < library->count; i++) {
        const Elf64_Sym *symbol = &library->symbols[i];
        const char *reason = NULL;
        void *code = (void *)(library->map->l_addr + symbol->st_value);
        bool again = false; /* one function under several names */
        if (!is_function(symbol))
            continue;
        again = ((uint8_t *)code)[0] == 0xe9;
        if (!again)
            caught[i].original = tvg_patch_function(code, symbol->st_size, (void *)(uintptr_t)test_wrapper, &caught[i], &reason);
        *patched += caught[i].original != NULL;
    }
    return caught;
}

static uint64_t mix(uint64_t hash, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

/* Results of what libm offers, and of products and a factorisation of OpenBLAS. */
static uint64_t work(const struct library *blas)
{
    typedef double one_double(double);
    typedef double two_doubles(double, double);
    typedef void dgemm_function(int, int, int, int, int, int, double, const double *, int, const double *, int, double, double *, int);
    typedef void dgesv_function(const int *, const int *, double *, const int *, int *, double *, const int *, int *);
    static const char *const of_one[] = {"sin",    "cos",  "tan",  "exp",  "log",  "sqrt", "erf",   "lgamma", "tgamma",
                                         "asin",   "atan", "sinh", "cbrt", "j0",   "floor", "rint", "expm1"};
    static const char *const of_two[] = {"pow", "atan2", "fmod", "hypot", "remainder", "nextafter", "fdim"};
    uint64_t hash = 1469598103934665603u;
    void *math = dlopen("libm.so.6", RTLD_NOW);
    for (int i = 0; i < 400; i++) {
        double x = 0.01 * i - 1.5, y = 0.03 * i + 0.1;
        for (size_t f = 0; f < sizeof of_one / sizeof *of_one; f++) {
            double value = __extension__((one_double *)dlsym(math, of_one[f]))(x);
            hash = mix(hash, &value, sizeof value);
        }
        for (size_t f = 0; f < sizeof of_two / sizeof *of_two; f++) {
            double value = __extension__((two_doubles *)dlsym(math, of_two[f]))(x, y);
            hash = mix(hash, &value, sizeof value);
        }
    }
    enum { N = 50 };
    static double a[N * N], b[N * N], c[N * N];
    int n = N, info = 0, pivot[N];
    void *handle = dlopen(blas->name, RTLD_NOW);
    for (int i = 0; i < N * N; i++)
        a[i] = (i * 37 % 101) * 0.1 - 3, b[i] = (i * 53 % 97) * 0.2 - 5, c[i] = 0;
    __extension__((dgemm_function *)dlsym(handle, "cblas_dgemm"))(101, 111, 112, N, N, N, 0.5, a, N, b, N, 0, c, N);
    __extension__((dgesv_function *)dlsym(handle, "dgesv_"))(&n, &n, a, &n, pivot, c, &n, &info);
    hash = mix(hash, a, sizeof a);
    return mix(hash, c, sizeof c);
}

/* All of libm and of a BLAS patched in place: the same results to the last bit, and the wrappers were passed. In a child, which ends with it. */
static void whole_libraries_patched(void **state)
{
    (void)state;
    int status, report[2];
    assert_int_equal(pipe(report), 0);
    pid_t child = fork();
    if (child == 0) {
        struct library math = open_library("libm.so.6"), blas = open_library("libopenblas.so.0");
        size_t figures[4] = {0};
        uint64_t before = work(&blas);
        alarm(60);
        struct caught *caught[2] = {patch_all(&math, &figures[0]), patch_all(&blas, &figures[1])};
        uint64_t after = work(&blas);
        for (int l = 0; l < 2; l++)
            for (size_t i = 0; i < (l ? blas.count : math.count); i++) {
                figures[2] += caught[l][i].calls > 0;
                figures[3] += caught[l][i].calls;
            }
        if (write(report[1], figures, sizeof figures) != sizeof figures)
            _exit(2);
        _exit(before == after ? 0 : 1);
    }
    size_t figures[4] = {0};
    close(report[1]);
    assert_int_equal(read(report[0], figures, sizeof figures), sizeof figures);
    assert_int_equal(waitpid(child, &status, 0), child);
    print_message("%zu of libm and %zu of OpenBLAS patched; %zu of them were called, %zu times\n", figures[0], figures[1], figures[2], figures[3]);
    assert_int_equal(status, 0);
    assert_true(figures[0] > 300 && figures[1] > 5000 && figures[2] > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind),
        cmocka_unit_test(at_the_end_of_a_mapping),
        cmocka_unit_test(refusals),
        cmocka_unit_test(protection_is_kept),
        cmocka_unit_test(fork_then_patch_on_both_sides),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(an_empty_function_that_runs),
        cmocka_unit_test(empty_functions_refused),
        cmocka_unit_test(whole_libraries_moved),
        cmocka_unit_test(whole_libraries_patched),
    };
    alarm(120);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

/* Without a decoder nothing is patched, and that is said. */
static void refused_without_decoder(void **state)
{
    (void)state;
    const char *reason = NULL;
    assert_null(tvg_patch_function((void *)(uintptr_t)refused_without_decoder, 100, NULL, NULL, &reason));
    assert_int_equal(tvg_patch_empty_function((void *)(uintptr_t)refused_without_decoder, NULL, &reason), -1);
    assert_non_null(strstr(reason, "no instruction decoder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(refused_without_decoder)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
