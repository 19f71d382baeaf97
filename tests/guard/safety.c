/* The hosts of tests/e2e/test_patch_safety.py: `safety SCENARIO FILE...` loads engines in every way there is and says what must be in its trace,
 * {"M": COUNT, ...}, as the hosts of guard.c do. It compares every product with its own; a wrong one is exit 1. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine.h"
#include "fake_blas.h"

static void say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fflush(stdout);
}

static void hurt(const char *what)
{
    const char *why = dlerror();
    fprintf(stderr, "host hurt: %s: %s\n", what, why ? why : "");
    _exit(1);
}

/* So that there is a trace, whatever comes of the engine. */
static void one_product(void)
{
    static float room[16];
    cblas_sgemm(101, 111, 111, 60, 2, 2, 1, room, 2, room, 2, 0, room, 2);
}

struct engine {
    void *handle;
    uintptr_t base;
    float (*run)(long, long), (*again)(long, long);
    engine_multiply *multiply;
};

static struct engine take(void *handle)
{
    struct engine engine = {.handle = handle};
    struct link_map *map;
    if (!handle || dlinfo(handle, RTLD_DI_LINKMAP, &map) != 0) hurt("dlopen");
    engine.base = map->l_addr;
    *(void **)&engine.run = dlsym(handle, "engine_run");
    *(void **)&engine.again = dlsym(handle, "engine_run_again");
    engine_multiply *(*pointer)(void);
    *(void **)&pointer = dlsym(handle, "engine_pointer");
    if (!engine.run || !engine.again || !pointer) hurt("dlsym");
    engine.multiply = pointer();
    return engine;
}

/* The products of engine_run, by definition. */
static float expected(long m, float bias)
{
    float sum = 0;
    for (long i = 0; i < m; i++)
        for (long j = 0; j < 3; j++) {
            float entry = bias;
            for (long p = 0; p < 2; p++) entry += (float)((i * 2 + p) % 7) * (float)((p * 3 + j) % 5);
            sum += entry;
        }
    return sum;
}

static void run(const struct engine *engine, long count, long m, float bias)
{
    if (engine->run(count, m) != expected(m, bias)) hurt("a product is wrong");
}

static __attribute__((noinline)) void call_from_here(const struct engine *engine, long count, long m, float bias)
{
    static const float a[4] = {1, 2, 3, 4}, b[4] = {5, 6, 7, 8};
    float c[128];
    for (long i = 0; i < count; i++) {
        memset(c, 0, sizeof c);
        engine->multiply(1, 1, m, a, m, b, 1, c, 1);
        float sum = bias;
        for (long p = 0; p < m; p++) sum += a[p] * b[p];
        if (c[0] != sum) hurt("a product called from outside is wrong");
    }
}

/* --- ways to load -------------------------------------------------------------------------------------------------------------------- */
static void plain(char **file)
{
    struct engine engine = take(dlopen(file[0], RTLD_NOW));
    one_product();
    run(&engine, 10, 1, 0);
    engine.again(5, 2);
    call_from_here(&engine, 3, 4, 0);
    say("{\"60\": 1, \"1\": 13, \"2\": 5}\n");
}

static void deepbind(char **file)
{
    struct engine engine = take(dlopen(file[0], RTLD_NOW | RTLD_DEEPBIND));
    one_product();
    run(&engine, 10, 3, 0);
    say("{\"60\": 1, \"3\": 10}\n");
}

static void relative(char **file)
{
    char path[4096];
    char *slash = strrchr(file[0], '/');
    *slash = 0;
    snprintf(path, sizeof path, "./%s", slash + 1);
    if (chdir(file[0]) != 0) hurt("chdir");
    struct engine engine = take(dlopen(path, RTLD_NOW));
    one_product();
    run(&engine, 10, 4, 0);
    say("{\"60\": 1, \"4\": 10}\n");
}

/* In a name space of its own it runs as ever; nothing is seen of it. */
static void name_space(char **file)
{
    struct engine other = take(dlmopen(LM_ID_NEWLM, file[0], RTLD_NOW));
    run(&other, 7, 5, 0);
    struct engine engine = take(dlopen(file[0], RTLD_NOW));
    one_product();
    run(&other, 7, 5, 0);
    run(&engine, 9, 6, 0);
    dlclose(other.handle);
    run(&engine, 1, 6, 0);
    say("{\"60\": 1, \"6\": 10}\n");
}

/* Unloaded and loaded again, elsewhere, where another one lay, another file under the same calls from the same places. */
static void reopen(char **file)
{
    one_product();
    struct engine engine = take(dlopen(file[0], RTLD_NOW));
    run(&engine, 2, 7, 0);
    call_from_here(&engine, 2, 4, 0);
    uintptr_t first = engine.base;
    dlclose(engine.handle);
    /* what lies at the old place now is no engine: whoever still goes there falls */
    void *filler = mmap((void *)first, 1 << 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (filler == MAP_FAILED) hurt("the engine is still there");
    engine = take(dlopen(file[0], RTLD_NOW));
    if (engine.base == first) hurt("it came back to its place");
    run(&engine, 3, 7, 0);
    call_from_here(&engine, 3, 4, 0);
    dlclose(engine.handle);
    engine = take(dlopen(file[1], RTLD_NOW)); /* built with a bias: a call that reaches the old one's code gives another product */
    run(&engine, 4, 7, 1);
    call_from_here(&engine, 4, 4, 1);
    struct engine both = take(dlopen(file[0], RTLD_NOW));
    run(&both, 5, 7, 0);
    call_from_here(&both, 5, 4, 0);
    run(&engine, 1, 7, 1);
    call_from_here(&engine, 1, 4, 1);
    say("{\"60\": 1, \"7\": 15, \"1\": 15}\n");
}

static void reopen_often(char **file)
{
    one_product();
    for (int i = 0; i < 3000; i++) {
        struct engine engine = take(dlopen(file[i % 2], RTLD_NOW));
        call_from_here(&engine, 1, 4, (float)(i % 2));
        if (i % 100 == 0) run(&engine, 1, 8, (float)(i % 2));
        dlclose(engine.handle);
    }
    say("{\"60\": 1, \"1\": 3000, \"8\": 30}\n");
}

/* --- fork ------------------------------------------------------------------------------------------------------------------------------ */
static atomic_int stop, rounds;
static void *load_on_and_on(void *path)
{
    while (!atomic_load(&stop)) {
        struct engine engine = take(dlopen(path, RTLD_NOW));
        call_from_here(&engine, 1, 4, 0);
        dlclose(engine.handle);
        atomic_fetch_add(&rounds, 1);
    }
    return NULL;
}

/* Children are made while another thread loads and unloads; each records what it had in use and what it loads itself. */
static void fork_while_loading(char **file)
{
    enum { CHILDREN = 25 };
    pthread_t loader;
    struct engine mine = take(dlopen(file[1], RTLD_NOW));
    one_product();
    run(&mine, 1, 9, 1);
    pthread_create(&loader, NULL, load_on_and_on, file[0]);
    for (int i = 0; i < CHILDREN; i++) {
        int status;
        usleep(2000);
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            run(&mine, 2, 10, 1);
            _exit(0); /* exit() would wait for glibc's list of exit functions, which the other thread may have held: with the shim or without */
        }
        if (waitpid(child, &status, 0) != child || status != 0) {
            fprintf(stderr, "child %d: status %#x\n", i, (unsigned)status);
            _exit(1);
        }
        say("child %d {\"10\": 2}\n", (int)child);
    }
    atomic_store(&stop, 1);
    pthread_join(loader, NULL);
    run(&mine, 1, 9, 1);
    say("{\"60\": 1, \"9\": 2, \"1\": %d}\n", atomic_load(&rounds));
}

/* Parent and child load different engines at the same places of the stubs' memory, then call them all. */
static void fork_then_load(char **file)
{
    int to_child[2], to_parent[2], status;
    char byte = 0;
    struct engine before = take(dlopen(file[0], RTLD_NOW));
    one_product();
    run(&before, 1, 11, 0);
    if (pipe(to_child) != 0 || pipe(to_parent) != 0) hurt("pipe");
    pid_t child = fork();
    struct engine own = take(dlopen(file[child == 0 ? 1 : 2], RTLD_NOW));
    float bias = child == 0 ? 1 : 2;
    if (child == 0) {
        alarm(20);
        if (write(to_parent[1], "x", 1) != 1 || read(to_child[0], &byte, 1) != 1) hurt("pipe");
    } else if (write(to_child[1], "x", 1) != 1 || read(to_parent[0], &byte, 1) != 1) {
        hurt("pipe");
    }
    run(&own, 3, 12, bias);
    run(&before, 2, 11, 0);
    if (child == 0) exit(0);
    if (waitpid(child, &status, 0) != child || status != 0) hurt("child");
    say("child %d {\"12\": 3, \"11\": 2}\n{\"60\": 1, \"11\": 3, \"12\": 3}\n", (int)child);
}

/* --- a kernel that refuses ---------------------------------------------------------------------------------------------------------------- */
/* The call fails with EPERM from now on; mprotect and mmap only where they ask for a page that is writable and executable. */
static void refuse(long number, bool only_write_and_execute)
{
    uint32_t bits = only_write_and_execute ? PROT_WRITE | PROT_EXEC : 0;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, bits),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, bits, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) hurt("seccomp");
}

static void refused_text(char **file)
{
    one_product();
    refuse(SYS_pwrite64, false);
    refuse(SYS_mprotect, true);
    struct engine engine = take(dlopen(file[0], RTLD_NOW));
    run(&engine, 10, 13, 0);
    say("{\"60\": 1}\n");
}

/* Only /proc/self/mem is refused: mprotect does it, and the text is as it was. */
static void refused_writing(char **file)
{
    one_product();
    refuse(SYS_pwrite64, false);
    struct engine engine = take(dlopen(file[0], RTLD_NOW));
    run(&engine, 10, 14, 0);
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (strstr(line, "rwx")) hurt("a page is writable and executable");
    fclose(maps);
    say("{\"60\": 1, \"14\": 10}\n");
}

/* --- a shim that comes late ---------------------------------------------------------------------------------------------------------------- */
static void *wait_for_the_end(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) usleep(1000);
    return NULL;
}

/* file: an engine in use, one that comes later, the shim. */
static void late_shim(char **file)
{
    pthread_t thread;
    struct engine first = take(dlopen(file[0], RTLD_NOW));
    pthread_create(&thread, NULL, wait_for_the_end, NULL);
    if (!dlopen(file[2], RTLD_NOW | RTLD_GLOBAL)) hurt("the shim");
    run(&first, 5, 15, 0);
    struct engine second = take(dlopen(file[1], RTLD_NOW));
    run(&second, 6, 16, 1);
    atomic_store(&stop, 1);
    pthread_join(thread, NULL);
    say("{\"16\": 6}\n");
}

/* The same with one thread: what is there can still be patched. */
static void late_shim_alone(char **file)
{
    struct engine first = take(dlopen(file[0], RTLD_NOW));
    if (!dlopen(file[2], RTLD_NOW | RTLD_GLOBAL)) hurt("the shim");
    run(&first, 5, 15, 0);
    say("{\"15\": 5}\n");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(char **file);
    } scenarios[] = {{"plain", plain},
                     {"deepbind", deepbind},
                     {"relative", relative},
                     {"name_space", name_space},
                     {"reopen", reopen},
                     {"reopen_often", reopen_often},
                     {"fork_while_loading", fork_while_loading},
                     {"fork_then_load", fork_then_load},
                     {"refused_text", refused_text},
                     {"refused_writing", refused_writing},
                     {"late_shim", late_shim},
                     {"late_shim_alone", late_shim_alone}};
    alarm(40);
    for (size_t i = 0; argc > 2 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            scenarios[i].run(argv + 2);
            return 0;
        }
    return 64;
}
