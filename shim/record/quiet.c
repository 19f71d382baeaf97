/* The slow path's surroundings: signals blocked by raw system calls, errno kept, a spin lock. */
#include <errno.h>
#include <sched.h>

#include "state.h"
#include "sys.h"

void tvg_quiet_begin(struct tvg_quiet *quiet)
{
    uint64_t all = ~(uint64_t)0;
    quiet->saved_errno = errno;
    quiet->mask = 0;
    tvg_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&all, (long)&quiet->mask, TVG_SIGNAL_BYTES, 0, 0);
}

void tvg_quiet_end(const struct tvg_quiet *quiet)
{
    tvg_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&quiet->mask, 0, TVG_SIGNAL_BYTES, 0, 0);
    errno = quiet->saved_errno;
}

/* A lock holds its owner's process id: in a forked child one that a thread of the parent held is free. The id is known while the process records. */
void tvg_lock_take(tvg_lock *lock)
{
    uint32_t self = tvg_generation_word() ? tvg_state.pid : (uint32_t)tvg_sys_getpid();
    for (unsigned spins = 0;; spins++) {
        uint32_t owner = __atomic_load_n(lock, __ATOMIC_RELAXED);
        if (owner != self && __atomic_compare_exchange_n(lock, &owner, self, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
        if (spins > 64) tvg_sys6(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
    }
}

void tvg_lock_drop(tvg_lock *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
