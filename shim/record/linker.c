/* Asking the dynamic linker for its objects, without handing a forked child the linker's lock.
 * The C library does not take that lock for a fork; a child of a process whose other threads were just asking would wait for ever. Hosts
 * seldom ask, the shim does at each new kind of call: so a fork waits for the shim's questions, and no more than a tenth of a second. */
#include <link.h>
#include <pthread.h>
#include <time.h>

#include "state.h"
#include "sys.h"

static uint32_t asking, forking;
static __thread uint32_t depth __attribute__((tls_model("initial-exec")));

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
    int result = dl_iterate_phdr(visit, context);
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
}

void tvg_linker_load(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}
