/* Stands for libjax_common.so in test_engines_below.py: YNNPACK's names, which give ids and compute nothing, and XLA's call of Eigen, which is
 * done later on another thread. Built with its table of symbols, as the real one is. */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NAMED __attribute__((noinline, used))
static volatile int defined;

static void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

static int give_id(uint32_t *id)
{
    static uint32_t next = 100;
    defined++;
    if (*id == UINT32_MAX)
        *id = next++;
    return 0;
}

/* Numbers of types are this library's own. */
NAMED const char *_ZN3ynn9to_stringE8ynn_type(int type)
{
    static const char *const names[] = {"opaque", "int8", "fp32", "bf16", "int32"};
    defined++;
    return type >= 0 && type < 5 ? names[type] : "invalid";
}

NAMED int ynn_create_subgraph(uint32_t count, uint32_t flags, void **out)
{
    static char graphs[64];
    static int used;
    defined += (int)(count + flags);
    *out = &graphs[used++];
    return 0;
}
NAMED void ynn_delete_subgraph(void *graph) { defined += graph != NULL; }
NAMED int ynn_create_runtime(void *graph, void *pool, uint32_t flags, void **out)
{
    static char runtimes[64];
    static int used;
    defined += (graph != NULL) + (pool != NULL) + (int)flags;
    *out = &runtimes[used++];
    return 0;
}
NAMED void ynn_delete_runtime(void *runtime) { defined += runtime != NULL; }
NAMED int ynn_set_external_value_data(void *runtime, uint32_t id, void *data)
{
    defined += (runtime != NULL) + (int)id + (data != NULL);
    return 0;
}
NAMED int ynn_invoke_runtime(void *runtime)
{
    defined += runtime != NULL;
    sleep_ms(20);
    return 0;
}
NAMED int ynn_define_tensor(void *g, uint32_t type, size_t rank, const size_t *dims, const void *data, uint32_t flags, uint32_t *id)
{
    defined += (g != NULL) + (int)type + (int)rank + (dims != NULL) + (data != NULL) + (int)flags;
    return give_id(id);
}
NAMED int ynn_define_unary(void *g, int op, uint32_t a, uint32_t *id, uint32_t flags) { defined += (g != NULL) + op + (int)(a + flags); return give_id(id); }
NAMED int ynn_define_binary(void *g, int op, uint32_t a, uint32_t b, uint32_t *id, uint32_t flags) { defined += (g != NULL) + op + (int)(a + b + flags); return give_id(id); }
#define LISTED(name) \
    NAMED int name(void *g, size_t n, const void *list, uint32_t a, uint32_t *id, uint32_t flags) { defined += (g != NULL) + (int)n + (list != NULL) + (int)(a + flags); return give_id(id); }
LISTED(ynn_define_static_reshape) LISTED(ynn_define_static_transpose) LISTED(ynn_define_static_expand_dims) LISTED(ynn_define_static_broadcast)
NAMED int ynn_define_fuse_dim(void *g, int32_t axis, size_t n, uint32_t a, uint32_t *id, uint32_t flags) { defined += (g != NULL) + axis + (int)n + (int)(a + flags); return give_id(id); }
NAMED int ynn_define_split_dim(void *g, int32_t axis, size_t n, const size_t *splits, uint32_t a, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + axis + (int)n + (splits != NULL) + (int)(a + flags);
    return give_id(id);
}
NAMED int ynn_define_static_pad(void *g, size_t n, const int32_t *axes, const int64_t *pre, const int64_t *post, uint32_t a, uint32_t pad, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + (int)n + axes[0] + (int)pre[0] + (int)post[0] + (int)(a + pad + flags);
    return give_id(id);
}
NAMED int ynn_define_static_slice(void *g, size_t n, const int32_t *axes, const int64_t *begins, const int64_t *ends, const int64_t *strides, uint32_t a, uint32_t *id,
                                  uint32_t flags)
{
    defined += (g != NULL) + (int)n + axes[0] + (int)begins[0] + (int)ends[0] + (int)strides[0] + (int)(a + flags);
    return give_id(id);
}
NAMED int ynn_define_stencil_copy(void *g, size_t n, const int32_t *axes, const int32_t *new_axes, const size_t *dims, const size_t *strides, const size_t *dilations,
                                  uint32_t a, uint32_t pad, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + (int)n + axes[0] + new_axes[0] + (int)dims[0] + (int)strides[0] + (int)dilations[0] + (int)(a + pad + flags);
    return give_id(id);
}
NAMED int ynn_define_reduce(void *g, int op, size_t n, const int32_t *axes, uint32_t a, uint32_t b, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + op + (int)n + axes[0] + (int)(a + b + flags);
    return give_id(id);
}
NAMED int ynn_define_concatenate(void *g, int32_t axis, size_t n, const uint32_t *ids, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + axis + (int)n + (int)ids[0] + (int)flags;
    return give_id(id);
}
NAMED int ynn_define_dot(void *g, size_t sums, uint32_t a, uint32_t b, uint32_t c, uint32_t *id, uint32_t flags)
{
    defined += (g != NULL) + (int)sums + (int)(a + b + c + flags);
    return give_id(id);
}

/* absl::AnyInvocable<void()>; what stands for moving and destroying has changed places between its versions. */
struct invocable {
    void *state[2];
    void (*manage)(int what, void **from, void **to);
    void (*invoke)(void **state);
};
static int move;
void fake_set_move(int number) { move = number; }
static void empty(int what, void **from, void **to) { defined += what + (from == to); }

static void *later(void *argument)
{
    struct invocable *done = argument;
    sleep_ms(30);
    done->invoke(done->state);
    done->manage(!move, done->state, done->state);
    return NULL;
}

NAMED void _ZN3xla3cpu8internal11TypedMatMulIfffEEvPKN5Eigen16ThreadPoolDeviceEPvS7_S7_lllbbN4absl12lts_2099010112AnyInvocableIFvvEEE(
    const void *device, void *out, void *a, void *b, int64_t m, int64_t n, int64_t k, _Bool ta, _Bool tb, struct invocable *done)
{
    static struct invocable kept;
    pthread_t thread;
    printf("multiplies %p %p %p %p %d %d %d %d %d\n", device, out, a, b, (int)m, (int)n, (int)k, ta, tb);
    done->manage(move, done->state, kept.state);
    kept.manage = done->manage, kept.invoke = done->invoke;
    done->manage = empty, done->invoke = NULL;
    pthread_create(&thread, NULL, later, &kept);
    pthread_join(thread, NULL); /* so that the host needs not wait; the call below has long returned to Eigen's own thread in the real one */
}

/* The host's callback belongs to this library, as XLA's does. */
static int called, destroyed, moved;
static void own_manage(int what, void **from, void **to)
{
    if (what == move) {
        memcpy(to, from, 2 * sizeof *to);
        moved++;
    } else
        destroyed += from[0] == &called;
}
static void own_invoke(void **state) { called += state[0] == &called; }

void fake_multiply(int number)
{
    static float a[64], b[64], c[64];
    fake_set_move(number);
    struct invocable done = {{&called, NULL}, own_manage, own_invoke};
    _ZN3xla3cpu8internal11TypedMatMulIfffEEvPKN5Eigen16ThreadPoolDeviceEPvS7_S7_lllbbN4absl12lts_2099010112AnyInvocableIFvvEEE(NULL, c, a, b, 20, 30, 40, 0, 1, &done);
    done.manage(!move, done.state, done.state);
    printf("called %d destroyed %d\n", called, destroyed);
    fflush(stdout);
}
