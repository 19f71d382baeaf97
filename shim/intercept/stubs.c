/* Executable memory is mapped twice (one view to write, one to run), so no page is ever writable and executable at once.
 * A forked child shares the pages with its parent: it runs what is there, and writes into areas of its own. */
#include "stubs.h"

#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../record/sys.h"

#if defined(__x86_64__)

enum { POOL_BYTES = 65536, PIECES = POOL_BYTES / TVG_STUB_BYTES, POOLS_MAX = 64, FREE_END = 0xffff };

struct pool {
    uint8_t *run, *write;
    long owner;                /* the process that may write here */
    uint16_t used, first_free; /* pieces ever taken; head of the list of those given back, FREE_END: none */
    uint16_t next_free[PIECES];
};
static struct pool pools[POOLS_MAX];
static size_t pool_count;

static bool within_reach(uintptr_t from, uintptr_t to)
{
    intptr_t distance = (intptr_t)(to - from);
    return distance > -0x7ff00000L && distance < 0x7ff00000L;
}

/* Tries addresses on both sides of `near`, further out each time, without ever replacing a mapping. */
static uint8_t *map_near(uintptr_t near, int descriptor)
{
    for (uintptr_t step = 0; step < 0x78000000UL; step += step < 0x1000000UL ? 0x100000UL : 0x1000000UL) {
        for (int side = -1; side <= 1; side += 2) {
            uintptr_t base = (side < 0 ? near - step : near + step) & ~(uintptr_t)(POOL_BYTES - 1);
            if (base < 0x10000 || !within_reach(near, base))
                continue;
            void *at = mmap((void *)base, POOL_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, descriptor, 0);
            if (at == MAP_FAILED)
                continue;
            if ((uintptr_t)at == base)
                return at;
            munmap(at, POOL_BYTES); /* a kernel before 4.17 takes the address as a hint only */
        }
    }
    return NULL;
}

static struct pool *make_pool(uintptr_t near)
{
    if (pool_count == POOLS_MAX)
        return NULL;
    int descriptor = (int)syscall(SYS_memfd_create, "tvg-stubs", MFD_CLOEXEC);
    if (descriptor < 0)
        return NULL;
    struct pool *pool = &pools[pool_count];
    void *write = ftruncate(descriptor, POOL_BYTES) == 0 ? mmap(NULL, POOL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) : MAP_FAILED;
    uint8_t *run = write != MAP_FAILED ? map_near(near, descriptor) : NULL;
    if (!run && write != MAP_FAILED)
        munmap(write, POOL_BYTES);
    close(descriptor);
    if (!run)
        return NULL;
    pool->run = run;
    pool->write = write;
    pool->owner = tvg_sys_getpid();
    pool->used = 0;
    pool->first_free = FREE_END;
    pool_count++;
    return pool;
}

bool tvg_stub_take(uintptr_t near, struct tvg_stub *stub)
{
    long self = tvg_sys_getpid();
    struct pool *pool = NULL;
    for (size_t i = 0; i < pool_count && !pool; i++)
        if (pools[i].owner == self && (pools[i].used < PIECES || pools[i].first_free != FREE_END) && within_reach(near, (uintptr_t)pools[i].run))
            pool = &pools[i];
    if (!pool && !(pool = make_pool(near)))
        return false;
    size_t piece = pool->first_free != FREE_END ? pool->first_free : pool->used;
    if (piece == pool->used)
        pool->used++;
    else
        pool->first_free = pool->next_free[piece];
    *stub = (struct tvg_stub){pool->write + piece * TVG_STUB_BYTES, pool->run + piece * TVG_STUB_BYTES};
    return true;
}

void tvg_stub_give_back(const uint8_t *run)
{
    long self = tvg_sys_getpid();
    for (size_t i = 0; i < pool_count; i++) {
        struct pool *pool = &pools[i];
        if (pool->owner != self || run < pool->run || run >= pool->run + POOL_BYTES)
            continue; /* a parent's piece stays as it is: the parent may run it */
        uint16_t piece = (uint16_t)((size_t)(run - pool->run) / TVG_STUB_BYTES);
        pool->next_free[piece] = pool->first_free;
        pool->first_free = piece;
    }
}

#else
bool tvg_stub_take(uintptr_t near, struct tvg_stub *stub)
{
    (void)near, (void)stub;
    return false;
}
void tvg_stub_give_back(const uint8_t *run)
{
    (void)run;
}
#endif
