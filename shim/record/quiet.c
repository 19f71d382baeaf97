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

void tvg_lock_take(tvg_lock *lock)
{
    for (unsigned spins = 0; __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE); spins++)
        if (spins > 64) tvg_sys6(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}

void tvg_lock_drop(tvg_lock *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}
