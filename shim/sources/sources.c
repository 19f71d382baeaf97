/* The table of sources, which of them this run uses, and the calls that the recorder makes.
 * Adding a source: one file, its name in trace/source_names.h. */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../trace/source_names.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "tables.h"

#define ENTRY(name) &tvg_source_##name,
const struct tvg_source *const tvg_sources[] = {TVG_SOURCE_NAMES(ENTRY) NULL};
#undef ENTRY
enum { SOURCE_MAX = sizeof tvg_sources / sizeof tvg_sources[0] };

bool tvg_sources_per_op;
static int state; /* enum state */
static bool wanted[SOURCE_MAX];
static bool named[SOURCE_MAX]; /* in TVG_SOURCES, by its own name */
static bool started[SOURCE_MAX];
static char root[256];
static char unknown[64]; /* the first name in TVG_SOURCES that no source has: said when the trace opens */

enum state { NOT_STARTED = 0, STARTED, STOPPED };

static bool per_op(int i)
{
    return tvg_sources[i]->on_begin || tvg_sources[i]->on_end;
}

static void choose_defaults(void)
{
    for (int i = 0; tvg_sources[i]; i++)
        if (tvg_sources[i]->by_default) wanted[i] = true;
}

static bool is(const char *name, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(word, name, length) == 0;
}

static void choose(const char *name, size_t length)
{
    if (length == 0 || is(name, length, TVG_SOURCE_WORD_NONE) || is(name, length, TVG_SOURCE_WORD_CPUTIME)) return;
    if (is(name, length, TVG_SOURCE_WORD_DEFAULT)) {
        choose_defaults();
        return;
    }
    bool by_name = name[length - 1] != '?'; /* "dark?": as if it were a default, where it is safe to try */
    size_t bare = length - !by_name;
    for (int i = 0; tvg_sources[i]; i++)
        if (is(name, bare, tvg_sources[i]->name)) {
            wanted[i] = true;
            named[i] = by_name;
            return;
        }
    if (unknown[0]) return;
    if (length >= sizeof unknown) length = sizeof unknown - 1;
    memcpy(unknown, name, length);
    unknown[length] = 0;
}

void tvg_sources_configure(void)
{
    const char *list = secure_getenv("TVG_SOURCES");
    const char *stacks = secure_getenv("TVG_STACKS");
    const char *tree = secure_getenv("TVG_SYSFS_ROOT");
    memset(wanted, 0, sizeof wanted);
    memset(named, 0, sizeof named);
    if (!list) choose_defaults();
    else {
        if (*list == '+') {
            choose_defaults();
            list++;
        }
        while (*list) {
            size_t length = strcspn(list, ", ");
            choose(list, length);
            list += length;
            list += strspn(list, ", ");
        }
    }
    if (stacks && *stacks && strcmp(stacks, "0") != 0) choose("stacks", 6);
    root[0] = 0;
    if (tree && strlen(tree) < sizeof root) strcpy(root, tree);
    for (int i = 0; tvg_sources[i]; i++)
        if (wanted[i]) {
            if (tvg_sources[i]->prepare) tvg_sources[i]->prepare();
            /* set before any thread records: one that begins while another starts the sources would never learn of them */
            if (per_op(i)) tvg_sources_per_op = true;
        }
}

bool tvg_source_is_named(const struct tvg_source *source)
{
    for (int i = 0; tvg_sources[i]; i++)
        if (tvg_sources[i] == source) return named[i];
    return false;
}

const char *tvg_sources_root(void)
{
    return root;
}

void tvg_sources_start(void)
{
    int saved = errno;
    bool any = false;
    tvg_manifest_write();
    if (unknown[0]) tvg_note("source-refused", unknown, "TVG_SOURCES names a source that does not exist");
    for (int i = 0; tvg_sources[i]; i++) {
        if (!wanted[i] || tvg_sources[i]->with_cuda) continue;
        started[i] = tvg_sources[i]->start();
        if (started[i]) tvg_note("source-on", tvg_sources[i]->name, "");
        if (started[i] && per_op(i)) any = true;
    }
    __atomic_store_n(&tvg_sources_per_op, any, __ATOMIC_RELEASE);
    __atomic_store_n(&state, STARTED, __ATOMIC_RELEASE);
    errno = saved;
}

void tvg_sources_start_cuda(void)
{
    int saved = errno;
    for (int i = 0; tvg_sources[i]; i++)
        if (wanted[i] && tvg_sources[i]->with_cuda && !started[i]) {
            started[i] = tvg_sources[i]->start();
            if (started[i]) tvg_note("source-on", tvg_sources[i]->name, "");
        }
    errno = saved;
}

void tvg_sources_pause(bool paused)
{
    int saved = errno;
    for (int i = 0; tvg_sources[i]; i++)
        if (started[i] && tvg_sources[i]->pause) tvg_sources[i]->pause(paused);
    errno = saved;
}

void tvg_sources_block(void)
{
    int saved = errno;
    for (int i = 0; tvg_sources[i]; i++)
        if (started[i] && tvg_sources[i]->on_block) tvg_sources[i]->on_block();
    errno = saved;
}

void tvg_sources_stop(void)
{
    int saved = errno;
    __atomic_store_n(&tvg_sources_per_op, false, __ATOMIC_RELEASE);
    __atomic_store_n(&state, STOPPED, __ATOMIC_RELEASE);
    for (int i = 0; tvg_sources[i]; i++)
        if (started[i]) {
            started[i] = false;
            if (tvg_sources[i]->stop) tvg_sources[i]->stop();
        }
    errno = saved;
}

/* Another thread's first op may be starting the sources: waits for that, at most 50 ms, so that counts are whole. */
static void wait_for_start(void)
{
    for (int i = 0; i < 500 && __atomic_load_n(&state, __ATOMIC_ACQUIRE) == NOT_STARTED; i++) {
        struct timespec moment = {.tv_nsec = 100000};
        tvg_sys6(SYS_nanosleep, (long)&moment, 0, 0, 0, 0, 0);
    }
}

void tvg_sources_begin(const struct tvg_slot *slot)
{
    int saved = errno;
    if (__builtin_expect(__atomic_load_n(&state, __ATOMIC_ACQUIRE) == NOT_STARTED, 0)) wait_for_start();
    for (int i = 0; tvg_sources[i]; i++)
        if (started[i] && tvg_sources[i]->on_begin) tvg_sources[i]->on_begin(slot);
    errno = saved;
}

void tvg_sources_end(const struct tvg_slot *slot)
{
    int saved = errno;
    for (int i = 0; tvg_sources[i]; i++)
        if (started[i] && tvg_sources[i]->on_end) tvg_sources[i]->on_end(slot);
    errno = saved;
}
