/* Raw system calls for the slow path: they never touch errno, run no cancellation point and no code of the host.
 * Each gives the kernel's answer: a value, or a negated errno. */
#ifndef TVG_SHIM_SYS_H
#define TVG_SHIM_SYS_H

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static inline long tvg_sys6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
#else
#error "system call sequence unknown for this processor"
#endif
}

static inline long tvg_sys_open(const char *path, int flags, int mode)
{
    return tvg_sys6(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}
static inline long tvg_sys_close(int descriptor)
{
    return tvg_sys6(SYS_close, descriptor, 0, 0, 0, 0, 0);
}
static inline long tvg_sys_read(int descriptor, void *out, size_t length)
{
    return tvg_sys6(SYS_read, descriptor, (long)out, (long)length, 0, 0, 0);
}
static inline long tvg_sys_write(int descriptor, const void *data, size_t length)
{
    return tvg_sys6(SYS_write, descriptor, (long)data, (long)length, 0, 0, 0);
}
static inline long tvg_sys_fcntl(int descriptor, int command, long argument)
{
    return tvg_sys6(SYS_fcntl, descriptor, command, argument, 0, 0, 0);
}
static inline long tvg_sys_fstat(int descriptor, struct stat *out)
{
    return tvg_sys6(SYS_fstat, descriptor, (long)out, 0, 0, 0, 0);
}
static inline long tvg_sys_unlink(const char *path)
{
    return tvg_sys6(SYS_unlinkat, AT_FDCWD, (long)path, 0, 0, 0, 0);
}
static inline long tvg_sys_mkdir(const char *path, int mode)
{
    return tvg_sys6(SYS_mkdirat, AT_FDCWD, (long)path, mode, 0, 0, 0);
}
static inline long tvg_sys_getpid(void)
{
    return tvg_sys6(SYS_getpid, 0, 0, 0, 0, 0, 0);
}
static inline long tvg_sys_gettid(void)
{
    return tvg_sys6(SYS_gettid, 0, 0, 0, 0, 0, 0);
}
static inline long tvg_sys_madvise(void *address, size_t length, int advice)
{
    return tvg_sys6(SYS_madvise, (long)address, (long)length, advice, 0, 0, 0);
}
/* NULL when the kernel refused. */
static inline void *tvg_sys_mmap(size_t length, int protection, int flags, int descriptor, uint64_t offset)
{
    long result = tvg_sys6(SYS_mmap, 0, (long)length, protection, flags, descriptor, (long)offset);
    return result < 0 && result > -4096 ? NULL : (void *)result;
}
static inline void *tvg_sys_memory(size_t length)
{
    return tvg_sys_mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

#endif
