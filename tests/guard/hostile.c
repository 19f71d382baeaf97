/* The hosts of tests/e2e/test_hostile.py: calls that go on while the ground is pulled from under the trace. `hostile SCENARIO` prints how many
 * ops it made and exits 0 when it was itself not hurt. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fake_blas.h"

static float room[16];
static volatile sig_atomic_t size_signals;

static void gemms(int count, int m)
{
    for (int i = 0; i < count; i++) cblas_sgemm(101, 111, 111, m, 2, 3, 1, room, 3, room, 2, 0, room, 2);
}
/* Addresses without a pattern, so that blocks stay big. */
static void scattered(int count, int m)
{
    unsigned long x = 88172645463325252u;
    for (int i = 0; i < count; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        cblas_sgemm(101, 111, 111, m, 2, 3, 1, (float *)(x & 0x7ffffffff000), 3, (float *)(x * 31 & 0x7ffffffff000), 2, 0, room, 2);
    }
}
static void count_signal(int number)
{
    (void)number;
    size_signals++;
}

static int plain(void)
{
    gemms(10000, 1);
    return 10000;
}
static int much(void)
{
    scattered(200000, 1);
    return 200000;
}
/* A file-size limit: the host's own handler must not hear of the recorder's growth, and its own growth must still be refused. */
static int size_limit(void)
{
    struct rlimit limit = {65536, 65536};
    signal(SIGXFSZ, count_signal);
    setrlimit(RLIMIT_FSIZE, &limit);
    scattered(100000, 1);
    if (size_signals) exit(3);
    int own = open(getenv("HOSTILE_FILE"), O_CREAT | O_WRONLY, 0600);
    char page[4096] = {0};
    long wrote = 0;
    for (int i = 0; i < 20; i++) wrote += write(own, page, sizeof page) > 0;
    if (wrote != 16 || size_signals != 4) exit(4);
    return 100000;
}
/* Set again by the host after the trace is open, default action: death. */
static int late_size_limit(void)
{
    struct rlimit limit = {65536, 65536};
    gemms(10, 1);
    setrlimit(RLIMIT_FSIZE, &limit);
    scattered(100000, 1);
    return 100010;
}
static int closes_all(void)
{
    gemms(10, 1);
    for (int round = 0; round < 5; round++) {
        for (int i = 3; i < 4096; i++) close(i);
        /* The numbers come into use again, for files of the host. */
        int own = open(getenv("HOSTILE_FILE"), O_CREAT | O_RDWR, 0600);
        for (int i = 500; i < 600; i++) dup2(own, i);
        gemms(10000, 1);
        struct stat about;
        if (fstat(own, &about) || about.st_size != 0) exit(3); /* something of ours went into the host's file */
    }
    return 50010;
}
static int removed(void)
{
    gemms(10000, 1);
    unlink(getenv("HOSTILE_FILE"));
    gemms(10000, 1);
    return 20000;
}
/* Kills what a compute process never needs once it runs; what is left is what libraries commonly ask for. */
static int filtered(void)
{
    static const int rare[] = {SYS_fallocate, SYS_unlinkat, SYS_mkdirat, SYS_ptrace, SYS_process_vm_readv, SYS_perf_event_open, SYS_statfs, SYS_fstatfs};
    struct sock_filter program[32];
    unsigned n = 0;
    gemms(10, 1);
    program[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < sizeof rare / sizeof *rare; i++) {
        program[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)rare[i], 0, 1);
        program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    }
    program[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {(unsigned short)n, program};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) exit(77);
    gemms(50000, 1);
    printf("50010\n");
    fflush(stdout);
    _exit(0); /* a clean end unlinks */
}

static const struct { const char *name; int (*run)(void); } scenarios[] = {
    {"plain", plain}, {"much", much}, {"size_limit", size_limit}, {"late_size_limit", late_size_limit}, {"closes_all", closes_all}, {"removed", removed}, {"filtered", filtered},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            printf("%d\n", scenarios[i].run());
            return 0;
        }
    return 2;
}
