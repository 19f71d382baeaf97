/* The hosts of tests/e2e/test_guard.py: `guard SCENARIO` behaves as the guard contract's line of that name describes (shim/record/guard.h).
 * Ops are told apart by m. Each scenario prints what must be in its own trace: {"M": COUNT, ...}; it exits 1 when the host itself was hurt. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "fake_blas.h"

extern char **environ;
static float room[16];

static void __attribute__((noinline)) gemm(int m, int n, int k)
{
    cblas_sgemm(101, 111, 111, m, n, k, 1, room, k, room, n, 0, room, n);
}
static void gemms(int count, int m)
{
    for (int i = 0; i < count; i++) gemm(m, 2, 3);
}
static void __attribute__((noinline)) deeper(int depth, int count, int m)
{
    char space[200];
    memset(space, depth, sizeof space);
    __asm__ volatile("" ::"r"(space) : "memory");
    if (depth) deeper(depth - 1, count, m);
    else gemms(count, m);
    __asm__ volatile("" ::"r"(space) : "memory");
}
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
    fprintf(stderr, "host hurt: %s\n", what);
    _exit(1);
}
static void handle(int number, void (*handler)(int), int flags)
{
    struct sigaction action = {0};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigaction(number, &action, NULL);
}

static void outermost(void)
{
    gemms(100, 1);
    int m = 2, n = 2, k = 3;
    float one = 1;
    for (int i = 0; i < 10; i++) sgemm_("n", "n", &m, &n, &k, &one, room, &m, room, &k, &one, room, &m);
    say("{\"1\": 100, \"2\": 10}\n");
}

static void keeps_errno(void)
{
    fake_blas_errno = EDOM;
    for (int i = 0; i < 30000; i++) {
        errno = 77;
        gemm(1 + i % 50, i / 1000, 3);
        if (errno != EDOM) hurt("errno");
    }
    say("{\"all\": 30000}\n");
}

static volatile sig_atomic_t handled;
static void blas_handler(int number)
{
    (void)number;
    int saved = errno;
    gemm(7, 7, 7);
    handled++;
    errno = saved;
}
static void raise_once(void)
{
    static volatile int inside;
    if (inside) return;
    inside = 1;
    raise(SIGUSR1);
    inside = 0;
}
static void signal_in_call(void)
{
    handle(SIGUSR1, blas_handler, 0);
    fake_blas_inside = raise_once;
    gemms(100, 1);
    fake_blas_inside = NULL;
    if (handled != 100) hurt("handler");
    gemms(50, 2);
    say("{\"1\": 100, \"2\": 50}\n");
}

static void storm(int count)
{
    struct itimerval often = {{0, 60}, {0, 60}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    for (int i = 0; i < count; i++) gemm(1, 2, i % 97 ? 3 : 100 + i / 97);
    setitimer(ITIMER_REAL, &never, NULL);
}
static void signal_storm(void)
{
    handle(SIGALRM, blas_handler, SA_RESTART);
    storm(400000);
    say("{\"1\": 400000, \"at most 7\": %d}\n", (int)handled);
}

static sigjmp_buf out_of_handler;
static void jumping_handler(int number)
{
    (void)number;
    fake_blas_inside = NULL;
    siglongjmp(out_of_handler, 1);
}
static void calling_handler(int number)
{
    (void)number;
    fake_blas_inside = NULL;
    void jump_inside(void);
    fake_blas_inside = jump_inside;
    gemm(7, 7, 7);
}
void jump_inside(void);
void jump_inside(void)
{
    fake_blas_inside = NULL;
    siglongjmp(out_of_handler, 1);
}
static void raise_user2(void)
{
    raise(SIGUSR2);
}
static void *alternate_thread(void *stack)
{
    stack_t alternate = {0};
    alternate.ss_sp = stack;
    alternate.ss_size = 65536;
    if (sigaltstack(&alternate, NULL)) hurt("sigaltstack");
    handle(SIGUSR1, blas_handler, SA_ONSTACK);
    fake_blas_inside = raise_once;
    gemms(50, 1); /* handlers inside calls, on a stack above or below ours */
    fake_blas_inside = NULL;
    handle(SIGALRM, blas_handler, SA_ONSTACK | SA_RESTART);
    sigset_t alarm_set;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_set, NULL);
    storm(200000);
    pthread_sigmask(SIG_BLOCK, &alarm_set, NULL);
    /* A handler on that stack leaves a recorded call by a jump; and one is left inside a call of its own. */
    handle(SIGUSR2, jumping_handler, SA_ONSTACK);
    if (sigsetjmp(out_of_handler, 1) == 0) {
        fake_blas_inside = raise_user2;
        gemm(5, 5, 5);
        hurt("no jump");
    }
    gemms(1000, 2);
    handle(SIGUSR2, calling_handler, SA_ONSTACK);
    if (sigsetjmp(out_of_handler, 1) == 0) {
        raise(SIGUSR2);
        hurt("no jump");
    }
    gemms(1000, 3);
    alternate.ss_flags = SS_DISABLE;
    sigaltstack(&alternate, NULL);
    return NULL;
}
static void alternate_stack(void)
{
    pthread_t thread;
    sigset_t alarm_set;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarm_set, NULL); /* the thread alone takes it */
    char *space = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstack(&attributes, space + (16 << 20), 1 << 20);
    for (int high = 0; high < 2; high++) {
        if (pthread_create(&thread, &attributes, alternate_thread, high ? space + (32 << 20) : space)) hurt("thread");
        pthread_join(thread, NULL);
    }
    say("{\"1\": 400100, \"at least 2\": 1984, \"at most 2\": 2000, \"at least 3\": 1984, \"at most 3\": 2000, \"at most 7\": %d}\n", (int)handled);
}

static jmp_buf out_of_call;
static void jump(void)
{
    fake_blas_inside = NULL;
    longjmp(out_of_call, 1);
}
static void leave_call(void)
{
    if (setjmp(out_of_call) == 0) {
        fake_blas_inside = jump;
        deeper(3, 1, 5);
        hurt("no jump");
    }
}
static void by_longjmp(void)
{
    for (int i = 0; i < 10; i++) {
        leave_call();
        gemms(100, 1);       /* from above the frame that was left */
        leave_call();
        deeper(40, 100, 2);  /* from below it: a few may be taken for nested, 16 calls at most */
    }
    say("{\"1\": 1000, \"at least 2\": 920, \"at most 2\": 1000}\n");
}

static void wait_inside(void)
{
    for (;;) pause();
}
static void *cancelled(void *unused)
{
    gemms(10, 1);
    fake_blas_inside = wait_inside;
    gemm(5, 5, 5);
    return unused;
}
static void *calls_then_ends(void *m)
{
    gemms(10, (int)(intptr_t)m);
    return NULL;
}
static void cancel(void)
{
    pthread_t thread;
    for (int i = 0; i < 5; i++) {
        pthread_create(&thread, NULL, cancelled, NULL);
        usleep(20000);
        pthread_cancel(thread);
        pthread_join(thread, NULL);
        fake_blas_inside = NULL;
        pthread_create(&thread, NULL, calls_then_ends, (void *)2);
        pthread_join(thread, NULL);
    }
    say("{\"1\": 50, \"2\": 50}\n");
}

static ucontext_t contexts[3], main_context;
static char stacks[3][65536];
static int current;
static void switch_inside(void)
{
    fake_blas_inside = NULL;
    swapcontext(&contexts[current], &main_context);
}
static void on_stack(void)
{
    for (int i = 0; i < 100; i++) {
        gemm(1, 2, 3);
        swapcontext(&contexts[current], &main_context);
    }
    if (current == 2) { /* the highest stack stays inside a call for good */
        fake_blas_inside = switch_inside;
        gemm(5, 5, 5);
    }
    gemms(1000, 2);
    swapcontext(&contexts[current], &main_context);
}
static void coroutine(void)
{
    for (int i = 0; i < 3; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = sizeof stacks[i];
        makecontext(&contexts[i], on_stack, 0);
    }
    for (int round = 0; round < 100; round++)
        for (current = 0; current < 3; current++) swapcontext(&main_context, &contexts[current]);
    for (current = 2; current >= 0; current--) swapcontext(&main_context, &contexts[current]);
    say("{\"1\": 300, \"at least 2\": 1980, \"at most 2\": 2000}\n");
}

static void child_ends(pid_t child)
{
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) hurt("child");
}
/* In a child: its own expectation, under a name of its own. */
static void child_says(const char *what)
{
    printf("child %d %s\n", (int)getpid(), what);
    fflush(stdout);
}
static void by_fork(void)
{
    gemms(10, 1);
    pid_t child = fork();
    if (child == 0) {
        gemms(20, 2);
        gemms(5000, 1);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            gemms(3, 3);
            child_says("{\"3\": 3}");
            exit(0);
        }
        child_ends(grandchild);
        gemms(1, 2);
        child_says("{\"2\": 21, \"1\": 5000}");
        exit(0);
    }
    gemms(10, 1);
    child_ends(child);
    child = fork();
    if (child == 0) _exit(0); /* no op, no trace */
    child_ends(child);
    gemms(10, 4);
    say("{\"1\": 20, \"4\": 10}\n");
}
static void raw_clone(void)
{
    gemms(10, 1);
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) {
        gemms(20, 2);
        child_says("{\"2\": 20}");
        _exit(0);
    }
    child_ends(child);
    gemms(10, 1);
    say("{\"1\": 20}\n");
}
static void fork_here(void)
{
    fake_blas_inside = NULL;
    pid_t child = fork();
    if (child == 0) return; /* comes back out of the call, in the child */
    child_ends(child);
}
static void fork_in_call(void)
{
    pid_t self = getpid();
    gemms(10, 1);
    fake_blas_inside = fork_here;
    gemm(5, 5, 5);
    if (getpid() != self) {
        gemms(4, 2);
        child_says("{\"2\": 4}");
        exit(0);
    }
    gemms(10, 1);
    say("{\"1\": 20, \"5\": 1}\n");
}
static volatile int stop;
static unsigned long counts[8];
static void *calls_until_stop(void *number)
{
    unsigned long count = 0;
    while (!stop) {
        gemm(1, 2, 3 + (int)(count % 997 == 0 ? count : 0));
        count++;
    }
    counts[(intptr_t)number] = count;
    return NULL;
}
static void fork_threads(void)
{
    pthread_t threads[3];
    for (intptr_t i = 0; i < 3; i++) pthread_create(&threads[i], NULL, calls_until_stop, (void *)i);
    for (int i = 0; i < 40; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            gemms(5, 2);
            child_says("{\"2\": 5}");
            _exit(0);
        }
        child_ends(child);
    }
    stop = 1;
    unsigned long all = 0;
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        all += counts[i];
    }
    say("{\"1\": %lu}\n", all);
}
static void by_vfork(void)
{
    char *const command[] = {"/bin/true", NULL};
    gemms(10, 1);
    pid_t child = vfork();
    if (child == 0) {
        execv(command[0], command);
        _exit(1);
    }
    child_ends(child);
    if (posix_spawn(&child, command[0], NULL, NULL, command, environ)) hurt("posix_spawn");
    child_ends(child);
    gemms(10, 1);
    say("{\"1\": 20}\n");
}
static void by_exec(void)
{
    gemms(10, 1);
    say("{\"1\": 10}\n");
    execl("/proc/self/exe", "guard-again", "outermost", (char *)NULL);
}

static void thread_exit(void)
{
    pthread_t threads[4];
    for (int round = 0; round < 25; round++) {
        for (intptr_t i = 0; i < 4; i++) pthread_create(&threads[i], NULL, calls_then_ends, (void *)(i + 1));
        for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    }
    say("{\"1\": 250, \"2\": 250, \"3\": 250, \"4\": 250}\n");
}
static pthread_key_t late_key;
static void late_calls(void *value)
{
    gemms(5, 2);
    if (value == (void *)1) pthread_setspecific(late_key, (void *)2); /* another turn */
}
static void *has_destructor(void *unused)
{
    gemms(5, 1);
    pthread_setspecific(late_key, (void *)1);
    return unused;
}
static void thread_destructor(void)
{
    pthread_t thread;
    pthread_key_create(&late_key, late_calls);
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread, NULL, has_destructor, NULL);
        pthread_join(thread, NULL);
    }
    say("{\"1\": 15, \"2\": 30}\n");
}

static void exit_handler(void)
{
    gemms(7, 2);
}
static void late_destructor(void)
{
    atexit(exit_handler);
    gemms(10, 1);
    /* and the object late_objects.c brings destructors (m 4) */
    say("{\"1\": 10, \"2\": 7, \"3\": 6, \"4\": 8}\n");
}
static void exit_inside(void)
{
    fake_blas_inside = NULL;
    exit(0);
}
static void exit_in_call(void)
{
    gemms(10, 1);
    say("{\"1\": 10}\n");
    fake_blas_inside = exit_inside;
    gemm(5, 5, 5);
}
static void underscore_exit(void)
{
    gemms(5000, 1);
    say("{\"1\": 5000}\n");
    _exit(0);
}
static void by_sigterm(void)
{
    gemms(5000, 1);
    say("{\"1\": 5000}\n");
    raise(SIGTERM);
}
/* Counts finished ops of each thread in the file named by the environment, until it is killed. */
static unsigned long *finished;
static void *counts_until_killed(void *number)
{
    volatile unsigned long *mine = finished + 8 * (intptr_t)number;
    for (unsigned long i = 0;; i++) {
        gemm(1 + (int)(intptr_t)number, 2, 3 + (int)(i % 1009 == 0 ? i / 1009 : 0));
        *mine = i + 1;
    }
    return NULL;
}
static void by_sigkill(void)
{
    pthread_t thread;
    int shared = open(getenv("GUARD_FINISHED"), O_RDWR);
    finished = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared, 0);
    if (finished == MAP_FAILED) hurt("mapping");
    for (intptr_t i = 0; i < 4; i++) pthread_create(&thread, NULL, counts_until_killed, (void *)i);
    for (;;) pause();
}

static void pauses(void)
{
    void (*off)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "tvg_pause");
    void (*on)(void) = (void (*)(void))dlsym(RTLD_DEFAULT, "tvg_resume");
    void (*tokens)(uint64_t) = (void (*)(uint64_t))dlsym(RTLD_DEFAULT, "tvg_tokens");
    if (!off || !on || !tokens) hurt("names");
    off();
    gemms(10, 9);
    on();
    gemms(10, 1);
    tokens(12);
    off();
    gemms(10000, 9);
    on();
    gemms(10, 2);
    tokens(30);
    say("{\"1\": 10, \"2\": 10}\n");
}
static void dictionary_full(void)
{
    for (int round = 0; round < 3; round++)
        for (int m = 1; m <= 500; m++) {
            gemm(m, 2, 3);
            gemm(m, 2, 3);
        }
    say("{");
    for (int m = 1; m <= 500; m++) say("%s\"%d\": 6", m > 1 ? ", " : "", m);
    say("}\n");
}
static void inert(void)
{
    say("{}\n");
}

static const struct { const char *name; void (*run)(void); } scenarios[] = {
    {"outermost", outermost}, {"errno", keeps_errno}, {"signal_in_call", signal_in_call}, {"signal_storm", signal_storm}, {"alternate_stack", alternate_stack},
    {"longjmp", by_longjmp}, {"cancel", cancel}, {"coroutine", coroutine}, {"fork", by_fork}, {"raw_clone", raw_clone}, {"fork_in_call", fork_in_call},
    {"fork_threads", fork_threads}, {"vfork", by_vfork}, {"exec", by_exec}, {"thread_exit", thread_exit}, {"thread_destructor", thread_destructor},
    {"late_destructor", late_destructor}, {"exit_in_call", exit_in_call}, {"underscore_exit", underscore_exit}, {"sigterm", by_sigterm}, {"sigkill", by_sigkill},
    {"pause", pauses}, {"dictionary_full", dictionary_full}, {"inert", inert},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(argv[1], scenarios[i].name) == 0) {
            scenarios[i].run();
            return 0;
        }
    fprintf(stderr, "unknown scenario\n");
    return 2;
}
