/* Waits for the stand-in card in every way there is, by the driver calls that a process would make; each keeps errno. Ids are those of CUPTI's
 * headers. `streams`: a frame as a program with two streams computes it; `rules`: one call after the other; `pauses`: the same with pauses of recording; `graph`: waits for graphs;
 * `fork`: a child calls too. */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_gpu.h"

enum { CTX_SYNCHRONIZE = 17, MEM_FREE = 245, EVENT_RECORD = 119, EVENT_SYNCHRONIZE = 121, STREAM_SYNCHRONIZE = 126, STREAM_WAIT_EVENT = 295, EVENT_DESTROY = 325,
       STREAM_SYNCHRONIZE_PTSZ = 440, EVENT_RECORD_PTSZ = 441, STREAM_WAIT_EVENT_PTSZ = 436, BEGIN_CAPTURE_V2 = 539, END_CAPTURE = 497, CTX_SYNCHRONIZE_V2 = 800,
       MEMCPY_DTOH = 278, MEMCPY_DTOH_ASYNC = 279, EVENT_QUERY = 120 };
static void *const first = (void *)0xc0, *const second = (void *)0xc1, *const A = (void *)0x1000, *const B = (void *)0x2000, *const D = (void *)0x3000;
static void *const E = (void *)0xe000, *const F = (void *)0xf000;

static int call(uint32_t id, void *one, void *other, int status, uint64_t until)
{
    void *parameters[] = {one, other, NULL};
    errno = 123;
    int result = fake_cupti_driver(id, parameters, first, status, until);
    if (errno != 123)
        abort();
    return result;
}

static void *other_thread(void *unused)
{
    call(STREAM_SYNCHRONIZE_PTSZ, NULL, NULL, 0, 0);
    return unused;
}

/* What the trace should have of each is in test_gpu_sync.py, in this order. */
static void rules(void)
{
    call(STREAM_SYNCHRONIZE, A, NULL, 0, 0);
    call(STREAM_SYNCHRONIZE, NULL, NULL, 0, 0);
    call(STREAM_SYNCHRONIZE_PTSZ, NULL, NULL, 0, 0);
    call(STREAM_SYNCHRONIZE, (void *)2, NULL, 0, 0);
    call(STREAM_SYNCHRONIZE_PTSZ, (void *)1, NULL, 0, 0);
    call(STREAM_SYNCHRONIZE, D, NULL, 0, 0); /* another device's than the thread's context */
    call(CTX_SYNCHRONIZE, NULL, NULL, 0, 0);
    call(CTX_SYNCHRONIZE_V2, second, NULL, 0, 0);
    call(MEM_FREE, (void *)0x12345, NULL, 0, 0);
    call(EVENT_QUERY, E, NULL, 0, 0); /* no wait */
    /* events */
    call(EVENT_SYNCHRONIZE, E, NULL, 0, 0);       /* never recorded */
    call(EVENT_RECORD, E, A, 0, 0);               /* 1 */
    call(EVENT_RECORD_PTSZ, F, NULL, 0, 0);       /* 2 */
    call(STREAM_WAIT_EVENT, B, E, 0, 0);          /* 1 */
    call(STREAM_WAIT_EVENT_PTSZ, NULL, F, 0, 0);  /* 2 */
    call(EVENT_RECORD, E, B, 0, 0);               /* 3: the same object, another recording */
    call(EVENT_RECORD, E, A, 700, 0);             /* failed: nothing changed */
    call(EVENT_SYNCHRONIZE, E, NULL, 0, 0);       /* 3 */
    call(STREAM_SYNCHRONIZE, A, NULL, 700, 0);    /* failed */
    call(EVENT_DESTROY, E, NULL, 0, 0);
    call(STREAM_WAIT_EVENT, A, E, 0, 0);          /* another event at its address, never recorded */
    /* a capture in A that B joins: its events order nodes */
    call(BEGIN_CAPTURE_V2, A, NULL, 0, 0);
    call(EVENT_RECORD, E, A, 0, 0);
    call(STREAM_WAIT_EVENT, B, E, 0, 0);
    call(EVENT_RECORD, F, B, 0, 0);
    call(STREAM_WAIT_EVENT, A, F, 0, 0);
    call(END_CAPTURE, A, NULL, 908, 0);           /* by the wrong thread: it goes on */
    call(EVENT_RECORD, F, B, 0, 0);
    call(END_CAPTURE, A, NULL, 0, 0);
    call(EVENT_RECORD, F, B, 0, 0);               /* 4 */
    call(BEGIN_CAPTURE_V2, A, NULL, 0, 0);        /* and one that went wrong */
    call(EVENT_RECORD, E, A, 0, 0);
    call(END_CAPTURE, A, NULL, 901, 0);
    call(EVENT_RECORD, E, A, 0, 0);               /* 5 */
    /* a stream that went, and another one at its address */
    fake_cupti_stream(4, first, B);
    call(STREAM_SYNCHRONIZE, B, NULL, 0, 0);
    fake_cupti_stream(3, first, B);
    call(STREAM_SYNCHRONIZE, B, NULL, 0, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, other_thread, NULL);
    pthread_join(thread, NULL);
    call(MEMCPY_DTOH_ASYNC, NULL, NULL, 0, 0);
}

/* Paused in between: nothing is recorded then, but what events mean and streams do is followed. */
static void pauses(void)
{
    void (*pause_it)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "tvg_pause"), (*resume)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "tvg_resume");
    call(EVENT_RECORD, E, A, 0, 0);               /* 1 */
    call(EVENT_RECORD, F, A, 0, 0);               /* 2 */
    pause_it();
    call(EVENT_RECORD, E, B, 0, 0);
    call(STREAM_SYNCHRONIZE, B, NULL, 0, 0);
    call(BEGIN_CAPTURE_V2, A, NULL, 0, 0);
    call(EVENT_RECORD, E, A, 0, 0);
    call(STREAM_WAIT_EVENT, B, E, 0, 0);
    resume();
    call(EVENT_RECORD, E, B, 0, 0);               /* captured, as B joined */
    call(STREAM_WAIT_EVENT, D, F, 0, 0);          /* 2 */
    call(END_CAPTURE, A, NULL, 0, 0);
    call(STREAM_WAIT_EVENT, A, E, 907, 0);
    pause_it();
    call(EVENT_RECORD, E, B, 0, 0);
    resume();
    call(STREAM_WAIT_EVENT, A, E, 0, 0);          /* recorded, but in the pause */
    call(EVENT_RECORD, E, B, 0, 0);               /* 3 */
}

/* Two streams that take turns by events; the host waits in each way. Times by the stand-in's card. */
static void streams(void)
{
    for (int i = 0; i < 20; i++) {
        uint64_t made = fake_cupti_kernel(13, "make_kernel", 0, 4000000);
        call(EVENT_RECORD, E, A, 0, 0);
        call(STREAM_WAIT_EVENT, B, E, 0, 0);
        uint64_t used = fake_cupti_kernel(14, "use_kernel", made, 2000000);
        call(EVENT_SYNCHRONIZE, E, NULL, 0, made);
        call(STREAM_SYNCHRONIZE, B, NULL, 0, used);
        fake_cupti_copy(MEMCPY_DTOH, 14, 4096, 1000000, 1);
        fake_cupti_copy(MEMCPY_DTOH_ASYNC, 14, 4096, 100000, 0);
        call(CTX_SYNCHRONIZE, NULL, NULL, 0, fake_cupti_kernel(13, "last_kernel", 0, 1000000));
        fake_cupti_until(fake_cupti_until(0) + 2000000); /* the host's own work */
    }
}

int main(int count, char **arguments)
{
    const char *how = count > 1 ? arguments[1] : "";
    int (*init)(unsigned) = (int (*)(unsigned))(uintptr_t)dlsym(dlopen("libcuda.so.1", RTLD_NOW), "cuInit");
    if (!init || init(0) != 0)
        return 9;
    fake_cupti_stream(3, first, A);
    fake_cupti_stream(3, first, B);
    fake_cupti_stream(3, second, D);
    if (strcmp(how, "rules") == 0)
        rules();
    if (strcmp(how, "pauses") == 0)
        pauses();
    for (int i = 0; i < 10 && strcmp(how, "graph") == 0; i++)
        call(STREAM_SYNCHRONIZE, A, NULL, 0, fake_cupti_graph(A, 20, "node_kernel", 3000000));
    if (strcmp(how, "streams") == 0)
        streams();
    if (strcmp(how, "fork") == 0) {
        call(STREAM_SYNCHRONIZE, A, NULL, 0, 0);
        fflush(stdout);
        pid_t child = fork();
        for (int i = 0; i < (child ? 1 : 100000); i++) /* more than fit into what is kept */
            call(child ? STREAM_SYNCHRONIZE : CTX_SYNCHRONIZE, B, NULL, 0, 0);
        int status = 0;
        if (!child)
            exit(0);
        if (waitpid(child, &status, 0) != child || status != 0)
            return 8;
    }
    puts("done");
    return 0;
}
