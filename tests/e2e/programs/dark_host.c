/* A host whose CPU time is known: each argument is a step, WHAT:MILLISECONDS of the CPU time of the thread that does it.
 * blas (calls of cblas_sgemm), loop (its own loop), lib:MS:PATH (spin() of a library), thread:MS:PATH (that in a new thread), jit (code made at run
 * time), paused (its own loop between tvg_pause and tvg_resume), fork (a child that does blas and loop), filter (perf_event_open refused by a system
 * call filter from here on), fds (prints how many descriptors are open). */
#include <cblas.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void blas(double ms)
{
    static float a[128 * 128], b[128 * 128], c[128 * 128];
    for (double end = cpu_ms() + ms; cpu_ms() < end;)
        for (int i = 0; i < 20; i++)
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 128, 128, 128, 1, a, 128, b, 128, 0, c, 128);
}

static void loop(double ms)
{
    volatile double sum = 0;
    for (double end = cpu_ms() + ms; cpu_ms() < end;)
        for (int i = 0; i < 300000; i++)
            sum += i;
}

static void repeat(double ms, void (*spin)(long))
{
    for (double end = cpu_ms() + ms; cpu_ms() < end;)
        spin(500000);
}

static void library(double ms, const char *path)
{
    void *handle = dlopen(path, RTLD_NOW);
    void (*spin)(long) = handle ? (void (*)(long))dlsym(handle, "spin") : NULL;
    if (!spin)
        exit(3);
    repeat(ms, spin);
}

struct job {
    double ms;
    const char *path;
};
static void *in_thread(void *argument)
{
    const struct job *job = argument;
    library(job->ms, job->path);
    return NULL;
}

static void thread(double ms, const char *path)
{
    struct job job = {ms, path};
    pthread_t id;
    if (pthread_create(&id, NULL, in_thread, &job) != 0)
        exit(3);
    pthread_join(id, NULL);
}

static void jit(double ms)
{
    static const unsigned char code[] = {0x48, 0x89, 0xf8, 0x48, 0xff, 0xc8, 0x75, 0xfb, 0xc3}; /* mov rax, rdi; dec rax; jnz -5; ret */
    void *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(place, code, sizeof code);
    mprotect(place, 4096, PROT_READ | PROT_EXEC);
    repeat(ms, (void (*)(long))place);
}

static void paused(double ms)
{
    void (*function)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "tvg_pause");
    if (function)
        function();
    loop(ms);
    function = (void (*)(void))dlsym(RTLD_DEFAULT, "tvg_resume");
    if (function)
        function();
}

static void in_child(double ms)
{
    pid_t child = fork();
    if (child == 0) {
        blas(ms);
        loop(ms);
        exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    if (status != 0)
        exit(3);
}

static void filter(void)
{
    struct sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_perf_event_open, 0, 1),
                                    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog all = {sizeof program / sizeof program[0], program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all) != 0)
        exit(3);
}

static void descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (folder && readdir(folder))
        count++;
    printf("%d\n", count);
    closedir(folder);
}

int main(int count, char **steps)
{
    for (int i = 1; i < count; i++) {
        char what[16] = "";
        int used = 0;
        double ms = 0;
        sscanf(steps[i], "%15[^:]:%lf:%n", what, &ms, &used);
        const char *path = steps[i] + used;
        if (strcmp(what, "blas") == 0) blas(ms);
        else if (strcmp(what, "loop") == 0) loop(ms);
        else if (strcmp(what, "lib") == 0) library(ms, path);
        else if (strcmp(what, "thread") == 0) thread(ms, path);
        else if (strcmp(what, "jit") == 0) jit(ms);
        else if (strcmp(what, "paused") == 0) paused(ms);
        else if (strcmp(what, "fork") == 0) in_child(ms);
        else if (strcmp(what, "filter") == 0) filter();
        else if (strcmp(what, "fds") == 0) descriptors();
        else return 2;
    }
    return 0;
}
