/* Names to catches, and the stubs that dlsym() hands out: a fixed number of them lie in the shim's own text, so that no code is made at run time. */
#include "catch.h"

#include <stdatomic.h>
#include <string.h>

#include "elf.h"

enum { INDEX_SIZE = 1 << 14, BOUND_MAX = 4096, BOUND_FIRST_NUMBER = 0x8000 };

/* --- names ---------------------------------------------------------------------------------------------------------------------------- */
/* Open addressing by hash; 0 is free. Filled once; threads that fill it at the same time write the same. */
static uint16_t index_of[INDEX_SIZE];
static bool first_letter[256]; /* most of what a process looks up begins with none of these */
static _Atomic bool index_ready;

static void fill_index(void)
{
    unsigned count = (unsigned)(__stop_tvg_catches - __start_tvg_catches);
    for (unsigned i = 0; i < count; i++) {
        first_letter[(unsigned char)__start_tvg_catches[i].entry.name[0]] = true;
        uint32_t at = __start_tvg_catches[i].gnu_hash * 0x9e3779b1u >> 18;
        while (index_of[at] != 0 && index_of[at] != i + 1)
            at = (at + 1) % INDEX_SIZE;
        index_of[at] = (uint16_t)(i + 1);
    }
    atomic_store_explicit(&index_ready, true, memory_order_release);
}

const struct tvg_catch *tvg_catch_by_name(const char *name)
{
    if (!atomic_load_explicit(&index_ready, memory_order_acquire))
        fill_index();
    if (!name || !first_letter[(unsigned char)name[0]] || strlen(name) > 64)
        return NULL;
    uint32_t hash = tvg_gnu_hash(name);
    for (uint32_t at = hash * 0x9e3779b1u >> 18; index_of[at] != 0; at = (at + 1) % INDEX_SIZE) {
        const struct tvg_catch *catch = &__start_tvg_catches[index_of[at] - 1];
        if (catch->gnu_hash == hash && strcmp(catch->entry.name, name) == 0)
            return catch;
    }
    return NULL;
}

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));

bool tvg_is_own(const void *address)
{
    return (const char *)address >= __ehdr_start && (const char *)address < _end;
}

/* --- bound stubs ------------------------------------------------------------------------------------------------------------------------ */
__attribute__((visibility("hidden"))) struct tvg_catch tvg_bound[BOUND_MAX];
extern const char tvg_bound_stubs[] __attribute__((visibility("hidden")));
static _Atomic uint32_t bound_used;
static _Atomic uint32_t bound_ready[BOUND_MAX];

_Static_assert(sizeof(struct tvg_catch) == 64 && offsetof(struct tvg_catch, body) == 32, "tvg_bound_stubs depends on these");
#if defined(__x86_64__)
enum { BOUND_STUB_BYTES = 32 };
__asm__(".text\n.p2align 5\n.hidden tvg_bound_stubs\n.globl tvg_bound_stubs\ntvg_bound_stubs:\n"
        ".set tvg_at, 0\n.rept 4096\n\tendbr64\n\tleaq tvg_bound+tvg_at(%rip), %r11\n\tjmp *tvg_bound+tvg_at+32(%rip)\n\t.p2align 5\n"
        ".set tvg_at, tvg_at + 64\n.endr\n");
#elif defined(__aarch64__)
enum { BOUND_STUB_BYTES = 32 };
__asm__(".text\n.p2align 5\n.hidden tvg_bound_stubs\n.globl tvg_bound_stubs\ntvg_bound_stubs:\n"
        ".set tvg_at, 0\n.rept 4096\n\thint 34\n\tadrp x17, tvg_bound+tvg_at\n\tadd x17, x17, :lo12:tvg_bound+tvg_at\n\tldr x16, [x17, 32]\n\tbr x16\n\t.p2align 5\n"
        ".set tvg_at, tvg_at + 64\n.endr\n");
#endif

bool tvg_catch_is_bound(const struct tvg_catch *catch)
{
    return catch >= tvg_bound && catch < tvg_bound + BOUND_MAX;
}

void *tvg_catch_stub(const struct tvg_catch *bound)
{
    return (void *)(tvg_bound_stubs + BOUND_STUB_BYTES * (bound - tvg_bound));
}

struct tvg_catch *tvg_catch_reserve(const struct tvg_catch *template, uint8_t net, void **stub)
{
    uint32_t mine = atomic_fetch_add(&bound_used, 1);
    if (mine >= BOUND_MAX) {
        atomic_store(&bound_used, BOUND_MAX);
        return NULL;
    }
    tvg_bound[mine] = *template;
    tvg_bound[mine].entry.number = (uint16_t)(BOUND_FIRST_NUMBER + mine);
    tvg_bound[mine].entry.net = net;
    *stub = tvg_catch_stub(&tvg_bound[mine]);
    return &tvg_bound[mine];
}

void *tvg_catch_bind(const struct tvg_catch *catch, void *target)
{
    uint32_t used = atomic_load_explicit(&bound_used, memory_order_acquire);
    for (uint32_t i = 0; i < used && i < BOUND_MAX; i++)
        if (atomic_load_explicit(&bound_ready[i], memory_order_acquire) && tvg_bound[i].exported == target &&
            tvg_bound[i].gnu_hash == catch->gnu_hash && strcmp(tvg_bound[i].entry.name, catch->entry.name) == 0)
            return (void *)(tvg_bound_stubs + BOUND_STUB_BYTES * i);
    void *stub;
    struct tvg_catch *bound = tvg_catch_reserve(catch, TVG_NET_DLSYM, &stub);
    if (!bound) {
        tvg_note("found-not-catchable", catch->entry.name, "dlsym was asked for more different functions than there is room for");
        return target;
    }
    bound->exported = target;
    atomic_store_explicit(&bound_ready[bound - tvg_bound], 1, memory_order_release);
    return stub;
}
