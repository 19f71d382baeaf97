/* Asking the dynamic linker for its objects. The C library does not take the linker's lock for a fork: a child of a process whose other threads
 * were just asking would wait for ever. A fork waits for the shim's own questions, a tenth of a second at most; where another thread was loading
 * or unloading a library, the child finds the lock taken for good, and walks the linker's list without it. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/uio.h>
#include <time.h>

#include "state.h"
#include "sys.h"

static uint32_t asking, forking;
static __thread uint32_t depth __attribute__((tls_model("initial-exec")));

/* The lock that dl_iterate_phdr takes: found among the linker's variables as the one that this thread holds inside it and not outside. NULL: not found. */
static const int *linker_lock;

enum { LOCKED = 0, DEPTH = 1, OWNER = 2, KIND = 4, WORDS = 5, HELD_MAX = 8 }; /* words of a recursive mutex, as glibc has had them for ever */
struct search {
    const int *begin, *end;
    const int *held[HELD_MAX];
    int held_count;
};

static int look_for_held(struct search *search, const int *found[HELD_MAX])
{
    int count = 0, self = (int)tvg_sys_gettid();
    for (const int *at = search->begin; at + WORDS <= search->end && count < HELD_MAX; at += 2)
        if (at[LOCKED] && at[DEPTH] == 1 && at[OWNER] == self && at[KIND] == PTHREAD_MUTEX_RECURSIVE) found[count++] = at;
    return count;
}

static int look_inside(struct dl_phdr_info *info, size_t size, void *context)
{
    struct search *search = context;
    const int *inside[HELD_MAX];
    int count = look_for_held(search, inside);
    (void)info, (void)size;
    for (int i = 0; i < count; i++) {
        bool before = false;
        for (int k = 0; k < search->held_count; k++) before |= search->held[k] == inside[i];
        if (!before) linker_lock = inside[i];
    }
    return 1;
}

static void find_lock(void)
{
    char *variables = dlsym(RTLD_DEFAULT, "_rtld_global"); /* private to glibc; how long it is, its symbol says */
    const ElfW(Sym) *symbol = NULL;
    Dl_info info;
    if (!variables || !dladdr1(variables, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol || info.dli_saddr != variables) return;
    struct search search = {.begin = (const int *)(const void *)variables, .end = (const int *)(const void *)(variables + symbol->st_size / 8 * 8)};
    search.held_count = look_for_held(&search, search.held);
    dl_iterate_phdr(look_inside, &search);
}

/* True in a forked child that was born while another thread of its parent held the lock: nobody is left to release it. */
static bool orphaned;
static bool lock_is_lost(void)
{
    return orphaned && __atomic_load_n(&linker_lock[LOCKED], __ATOMIC_RELAXED) != 0;
}

static bool copy_from(void *to, uintptr_t from, size_t bytes)
{
    struct iovec here = {to, bytes}, there = {(void *)from, bytes};
    return tvg_sys6(SYS_process_vm_readv, tvg_sys_getpid(), (long)&here, 1, (long)&there, 1, 0) == (long)bytes;
}

/* The same questions, answered from the public list. An object whose headers do not lie at its load address, or can't be read, is passed over. */
static int walk_without_lock(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context)
{
    enum { OBJECTS_MAX = 1 << 16, HEADERS_MAX = 64 };
    int result = 0, count = 0;
    struct link_map object;
    for (uintptr_t at = (uintptr_t)_r_debug.r_map; at && !result && count < OBJECTS_MAX && copy_from(&object, at, sizeof object); at = (uintptr_t)object.l_next, count++) {
        ElfW(Ehdr) header;
        ElfW(Phdr) first;
        struct dl_phdr_info info = {.dlpi_addr = object.l_addr, .dlpi_name = object.l_name};
        if (count == 0) { /* the program: it may have no load address */
            info.dlpi_phdr = (const ElfW(Phdr) *)getauxval(AT_PHDR);
            info.dlpi_phnum = (ElfW(Half))getauxval(AT_PHNUM);
        } else if (copy_from(&header, object.l_addr, sizeof header) && memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_phentsize == sizeof first) {
            info.dlpi_phdr = (const ElfW(Phdr) *)(object.l_addr + header.e_phoff);
            info.dlpi_phnum = header.e_phnum;
        }
        if (info.dlpi_phdr && info.dlpi_phnum <= HEADERS_MAX && copy_from(&first, (uintptr_t)info.dlpi_phdr, sizeof first)) result = visit(&info, sizeof info, context);
    }
    return result;
}

int tvg_linker_iterate(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet); /* a handler that forks must not find us inside */
    if (depth++ == 0)
        for (;;) {
            while (__atomic_load_n(&forking, __ATOMIC_SEQ_CST)) tvg_sys6(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
            __atomic_add_fetch(&asking, 1, __ATOMIC_SEQ_CST);
            if (!__atomic_load_n(&forking, __ATOMIC_SEQ_CST)) break;
            __atomic_sub_fetch(&asking, 1, __ATOMIC_SEQ_CST);
        }
    int result = lock_is_lost() ? walk_without_lock(visit, context) : dl_iterate_phdr(visit, context);
    if (--depth == 0) __atomic_sub_fetch(&asking, 1, __ATOMIC_SEQ_CST);
    tvg_quiet_end(&quiet);
    return result;
}

static void before_fork(void)
{
    uint64_t begin = tvg_clock_monotonic();
    __atomic_add_fetch(&forking, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&asking, __ATOMIC_SEQ_CST) && tvg_clock_monotonic() - begin < 100000000) tvg_sys6(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

static void after_fork(void)
{
    __atomic_sub_fetch(&forking, 1, __ATOMIC_SEQ_CST);
}

static void in_child(void)
{
    asking = forking = 0;
    orphaned = linker_lock && __atomic_load_n(&linker_lock[LOCKED], __ATOMIC_RELAXED) != 0;
}

void tvg_linker_load(void)
{
    find_lock();
    pthread_atfork(before_fork, after_fork, in_child);
}
