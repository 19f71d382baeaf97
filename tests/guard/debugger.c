/* A debugger for test_patch_safety.py: `debugger before|behind PROGRAM` sets a breakpoint on the first byte of guard_multiply, before the shim's
 * first look (its opening of /proc/self/task) or when the program comes to main's first product, counts the hits and steps over them. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;

static void fail(const char *what)
{
    fprintf(stderr, "debugger: %s: %s\n", what, strerror(errno));
    if (child > 0) kill(child, SIGKILL);
    exit(1);
}

static int wait_for_stop(void)
{
    int status;
    if (waitpid(child, &status, 0) != child) fail("waitpid");
    if (WIFSTOPPED(status)) return WSTOPSIG(status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    fprintf(stderr, "debugger: status %#x\n", (unsigned)status);
    exit(1);
}

static void text_of(uintptr_t address, char *out, size_t capacity)
{
    size_t used = 0;
    while (used + sizeof(long) < capacity) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, child, address + used, NULL);
        if (errno) break;
        memcpy(out + used, &word, sizeof word);
        used += sizeof word;
        if (memchr(&word, 0, sizeof word)) break;
    }
    out[used] = 0;
}

/* Where guard_multiply is in the child: base from its maps, offset from the engine's symbol table. 0: not loaded yet. */
static uintptr_t find_function(void)
{
    char name[64], line[4400], path[4096] = "";
    unsigned long first, base = 0;
    snprintf(name, sizeof name, "/proc/%d/maps", (int)child);
    FILE *maps = fopen(name, "r");
    while (maps && !path[0] && fgets(line, sizeof line, maps))
        if (strstr(line, "libguard_engine") && sscanf(line, "%lx-%*x %*s %*x %*s %*u %4095s", &first, path) == 2) base = first;
    if (maps) fclose(maps);
    if (!path[0]) return 0;
    struct stat status;
    int descriptor = open(path, O_RDONLY);
    if (descriptor < 0 || fstat(descriptor, &status) != 0) fail(path);
    const char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *section = (const Elf64_Shdr *)(file + header->e_shoff);
    for (unsigned i = 0; i < header->e_shnum; i++) {
        if (section[i].sh_type != SHT_SYMTAB) continue;
        const Elf64_Sym *symbol = (const Elf64_Sym *)(file + section[i].sh_offset);
        for (size_t s = 0; s < section[i].sh_size / sizeof *symbol; s++)
            if (strcmp(file + section[section[i].sh_link].sh_offset + symbol[s].st_name, "guard_multiply") == 0) return base + symbol[s].st_value;
    }
    fail("no guard_multiply");
    return 0;
}

static uint8_t swap_byte(uintptr_t at, uint8_t byte)
{
    errno = 0;
    long word = ptrace(PTRACE_PEEKTEXT, child, at, NULL);
    if (errno) fail("peek");
    uint8_t was = (uint8_t)word;
    word = (word & ~0xffL) | byte;
    if (ptrace(PTRACE_POKETEXT, child, at, word) != 0) fail("poke");
    return was;
}

int main(int argc, char **argv)
{
    if (argc < 3) return 64;
    const char *preload = getenv("DEBUGGER_PRELOAD");
    int before = strcmp(argv[1], "before") == 0, hits = 0;
    alarm(30);
    if ((child = fork()) == 0) {
        alarm(30);
        setenv("LD_PRELOAD", preload ? preload : "", 1);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(99);
        execl(argv[2], argv[2], (char *)NULL);
        _exit(98);
    }
    if (wait_for_stop() != SIGTRAP) fail("exec");
    ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL));
    /* to the moment for the breakpoint, from one system call to the next */
    uintptr_t function = 0;
    for (;;) {
        struct user_regs_struct registers;
        char path[256] = "";
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
        if (wait_for_stop() != (SIGTRAP | 0x80)) fail("it ended before the moment came");
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        if (registers.orig_rax == SYS_openat) text_of(registers.rsi, path, sizeof path);
        /* "behind": the trace's file is opened at the first product, when all is patched */
        if (strcmp(path, "/proc/self/task") == 0 && before) break;
        if (strstr(path, ".tvg") && !before) break;
    }
    function = find_function();
    if (!function) fail("the engine is not loaded yet");
    uint8_t was = swap_byte(function, 0xcc);
    for (;;) {
        struct user_regs_struct registers;
        ptrace(PTRACE_CONT, child, NULL, NULL);
        int signal = wait_for_stop();
        if (signal == 0) break;
        ptrace(PTRACE_GETREGS, child, NULL, &registers);
        if (signal != SIGTRAP || registers.rip != function + 1) fail("another stop");
        hits++;
        registers.rip--;
        ptrace(PTRACE_SETREGS, child, NULL, &registers);
        swap_byte(function, was);
        ptrace(PTRACE_SINGLESTEP, child, NULL, NULL);
        if (wait_for_stop() != SIGTRAP) fail("step");
        swap_byte(function, 0xcc);
    }
    printf("hits %d\n", hits);
    return 0;
}
