/* The products that run, a few at a time, in places that are claimed by the address of their result. */
#include "panel.h"

#include <stddef.h>

#include "blas.h"

enum { RUNNING_MAX = 64 };

/* Products that are running: where their results lie. */
static struct tvg_product {
    uintptr_t begin, end;
    bool deep; /* Eigen may cut it along k, into results of its own */
} running[RUNNING_MAX];
static int running_count;

struct tvg_product *tvg_product_begin(const void *c, uint64_t bytes, bool deep)
{
    for (int i = 0; i < RUNNING_MAX; i++) {
        uintptr_t free = 0;
        if (__atomic_load_n(&running[i].begin, __ATOMIC_RELAXED) || !__atomic_compare_exchange_n(&running[i].begin, &free, (uintptr_t)c, false,
                                                                                                 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            continue;
        __atomic_store_n(&running[i].end, (uintptr_t)c + bytes, __ATOMIC_RELEASE);
        __atomic_store_n(&running[i].deep, deep, __ATOMIC_RELEASE);
        __atomic_fetch_add(&running_count, 1, __ATOMIC_ACQ_REL);
        return &running[i];
    }
    return NULL;
}

void tvg_product_end(struct tvg_product *product)
{
    if (!product)
        return;
    __atomic_fetch_sub(&running_count, 1, __ATOMIC_ACQ_REL);
    __atomic_store_n(&product->deep, false, __ATOMIC_RELEASE);
    __atomic_store_n(&product->end, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&product->begin, 0, __ATOMIC_RELEASE);
}

/* A panel of a product cut along k writes to memory of Eigen's: while such a one runs, any panel is taken for its. */
bool tvg_is_panel(const void *c)
{
    if (!__atomic_load_n(&running_count, __ATOMIC_ACQUIRE))
        return false;
    for (int i = 0; i < RUNNING_MAX; i++) {
        uintptr_t begin = __atomic_load_n(&running[i].begin, __ATOMIC_ACQUIRE);
        if (begin && (((uintptr_t)c >= begin && (uintptr_t)c < __atomic_load_n(&running[i].end, __ATOMIC_ACQUIRE)) ||
                      __atomic_load_n(&running[i].deep, __ATOMIC_ACQUIRE)))
            return true;
    }
    return false;
}
