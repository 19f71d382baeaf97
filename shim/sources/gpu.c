/* When GPU sources start, and the threads that sources run on. */
#include "gpu.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include <stdio.h>

#include "../record/record.h"
#include "tables.h"

/* Any trace must be open first: a source writes what it learns at once. tvg_block_append and tvg_note take care of that. */
void tvg_gpu_initialised(void)
{
    static atomic_flag begun = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&begun))
        tvg_sources_start_cuda();
}

void tvg_gpu_call_failed(const struct tvg_entry *entry, int status)
{
    int saved = errno;
    char detail[48];
    snprintf(detail, sizeof detail, "returned status %d: not counted", status);
    tvg_note("failed-call", entry->name, detail);
    errno = saved;
}

enum { THREAD_STACK = 256 * 1024 };

/* libpthread was a library of its own before glibc 2.34: without it there are no threads, and no need to fail to load for that. */
#pragma weak pthread_create

static void *run(void *body)
{
    void (*function)(void) = (void (*)(void))(uintptr_t)body;
    function();
    return NULL;
}

/* All signals stay with the host's own threads. */
bool tvg_source_thread(void (*body)(void))
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    if (!pthread_create || pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, THREAD_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, &attributes, run, (void *)(uintptr_t)body);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return failed == 0;
}
