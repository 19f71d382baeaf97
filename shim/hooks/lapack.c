/* LAPACK: factorizations and solutions whose FLOP follow from their sizes are ops; that the others were called is said. FLOP by LAPACK Working Note 41 (the
 * multiplications and additions of its tables; complex ones 6 and 2 each). All arguments are pointers, or lengths of strings behind them. */
#include <errno.h>
#include <string.h>

#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"
#include "described.h"

enum { ARGUMENTS = 28, NONE = 0xff };
/* As many words as any of the routines has arguments; those behind the last are the caller's own, handed on unread. */
#define EACH(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26)
#define PARAMETER(i) uintptr_t a##i,
#define VALUE(i) a##i,
typedef uintptr_t lapack_function(EACH(PARAMETER) uintptr_t a27);

struct work {
    double multiplications, additions;
};

static struct work lu(double m, double n, double k)
{
    (void)k;
    double l = m < n ? m : n, w = m < n ? n : m; /* the shorter side, the longer */
    return (struct work){l * (l * (w - l / 3 - 1) + w) / 2 + 2 * l / 3, l * (l * (w - l / 3) - w) / 2 + l / 6};
}

static struct work lu_solution(double n, double columns, double k)
{
    (void)k;
    return (struct work){columns * n * n, columns * n * (n - 1)};
}

static struct work lu_inverse(double n, double same, double k)
{
    (void)same, (void)k;
    return (struct work){n * (5.0 / 6 + n * (2 * n / 3 + 0.5)), n * (5.0 / 6 + n * (2 * n / 3 - 1.5))};
}

static struct work cholesky(double n, double same, double k)
{
    (void)same, (void)k;
    return (struct work){n * ((n / 6 + 0.5) * n + 1.0 / 3), n * (n * n / 6 - 1.0 / 6)};
}

static struct work cholesky_solution(double n, double columns, double k)
{
    (void)k;
    return (struct work){columns * n * (n + 1), columns * n * (n - 1)};
}

static struct work both(struct work a, struct work b)
{
    return (struct work){a.multiplications + b.multiplications, a.additions + b.additions};
}

static struct work lu_driver(double n, double columns, double k)
{
    return both(lu(n, n, k), lu_solution(n, columns, k));
}

static struct work cholesky_driver(double n, double columns, double k)
{
    return both(cholesky(n, n, k), cholesky_solution(n, columns, k));
}

static struct work qr(double m, double n, double k)
{
    (void)k;
    if (m > n)
        return (struct work){n * (n * (0.5 - n / 3 + m) + m + 23.0 / 6), n * (n * (0.5 - n / 3 + m) + 5.0 / 6)};
    return (struct work){m * (m * (-0.5 - m / 3 + n) + 2 * n + 23.0 / 6), m * (m * (-0.5 - m / 3 + n) + n + 5.0 / 6)};
}

static struct work qr_matrix(double m, double n, double k)
{
    return (struct work){2 * m * n * k - (m + n) * k * k + 2 * k * k * k / 3 + 2 * n * k - k * k - 5 * k / 3, 2 * m * n * k - (m + n) * k * k + 2 * k * k * k / 3 + n * k - m * k + k / 3};
}

/* Where each argument stands, counted from 0. `columns` of right sides, in `b`, solved for in place; a routine without them writes A. */
static const struct routine {
    const char *name; /* behind the letter of its type */
    uint8_t m, n, k, a, lda, b, lwork, info;
    struct work (*work)(double m, double n, double k);
    struct work (*stopped)(double m, double n, double k); /* what was done where info is above 0; NULL: all of it. Cholesky: up to that order */
} routines[] = {
    {"gesv", 0, 1, NONE, 2, 3, 5, NONE, 7, lu_driver, lu},
    {"getrf", 0, 1, NONE, 2, 3, NONE, NONE, 5, lu, NULL},
    {"getrs", 1, 2, NONE, 3, 4, 6, NONE, 8, lu_solution, NULL},
    {"getri", 0, 0, NONE, 1, 2, NONE, 5, 6, lu_inverse, NULL},
    {"posv", 1, 2, NONE, 3, 4, 5, NONE, 7, cholesky_driver, cholesky},
    {"potrf", 1, 1, NONE, 2, 3, NONE, NONE, 4, cholesky, cholesky},
    {"potrs", 1, 2, NONE, 3, 4, 5, NONE, 7, cholesky_solution, NULL},
    {"geqrf", 0, 1, NONE, 2, 3, NONE, 6, 7, qr, NULL},
    {"orgqr", 0, 1, 2, 3, 4, NONE, 7, 8, qr_matrix, NULL},
    {"ungqr", 0, 1, 2, 3, 4, NONE, 7, 8, qr_matrix, NULL},
};

/* The routine's letter and name without prefix: "dgesv_64_" of "scipy_dgesv_64_". */
static const char *bare(const char *name)
{
    return strncmp(name, "scipy_", 6) == 0 ? name + 6 : name;
}

static const struct routine *routine_of(const char *name)
{
    name = bare(name);
    for (size_t i = 0; i < sizeof routines / sizeof *routines; i++) {
        size_t length = strlen(routines[i].name), same = 0;
        while (same < length && (name[1 + same] | 0x20) == routines[i].name[same]) same++;
        if (same == length) return &routines[i];
    }
    return NULL;
}

static bool is_wide(const char *name)
{
    return strstr(name, "64_") != NULL;
}

static int64_t integer(uintptr_t at, bool wide)
{
    if (!at) return 0;
    return wide ? *(const int64_t *)at : *(const int32_t *)at;
}

static uint64_t flop_of(struct work work, bool is_complex)
{
    double flop = is_complex ? 6 * work.multiplications + 2 * work.additions : work.multiplications + work.additions;
    return flop > 0 ? (uint64_t)(flop + 0.5) : 0;
}

/* False where there is nothing to record: a question for the size of the workspace, or sizes that LAPACK refuses. */
static bool describe(struct tvg_op *op, const struct routine *routine, const char *name, const uintptr_t *argument)
{
    bool wide = is_wide(name);
    int64_t m = integer(argument[routine->m], wide), n = integer(argument[routine->n], wide), k = routine->k == NONE ? 0 : integer(argument[routine->k], wide);
    static const struct { char letter; uint8_t type; } types[] = {{'s', TVG_TYPE_F32}, {'d', TVG_TYPE_F64}, {'c', TVG_TYPE_C64}, {'z', TVG_TYPE_C128}};
    uint8_t type = TVG_TYPE_NONE;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((bare(name)[0] | 0x20) == types[i].letter) type = types[i].type;
    if (m < 0 || n < 0 || k < 0 || (routine->lwork != NONE && integer(argument[routine->lwork], wide) == -1)) return false;
    *op = (struct tvg_op){.kind = TVG_KIND_LAPACK, .function = name, .type_a = type, .type_b = routine->b == NONE ? TVG_TYPE_NONE : type, .type_c = type, .type_compute = type,
                          .device = -1, .flags = TVG_OP_FLOP_GIVEN | (wide ? TVG_OP_ILP64 : 0u), .m = m, .n = n, .k = k, .lda = integer(argument[routine->lda], wide)};
    op->net = TVG_NET_SYMBOL;
    op->flop = flop_of(routine->work((double)m, (double)n, (double)k), tvg_type_info(type)->is_complex);
    op->bytes_a = tvg_type_bytes(type, (uint64_t)m * (uint64_t)(routine->b == NONE ? n : m));
    op->bytes_c = routine->b == NONE ? op->bytes_a : tvg_type_bytes(type, 2 * (uint64_t)m * (uint64_t)n); /* written; right sides are read and written */
    op->bytes = op->bytes_a + op->bytes_c;
    return true;
}

lapack_function tvg_hook_lapack;
TVG_HOOK_BODY uintptr_t tvg_hook_lapack(EACH(PARAMETER) uintptr_t a27)
{
    TVG_TAKE_ENTRY(entry);
    void *const target = tvg_target(entry, __builtin_return_address(0)), *const caller = __builtin_return_address(0);
    lapack_function *const real = TVG_FUNCTION(lapack_function, target);
    const uintptr_t argument[ARGUMENTS] = {EACH(VALUE) a27};
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0)))
        return real(EACH(VALUE) a27);
    int saved = errno;
    struct tvg_op op;
    const struct routine *const routine = routine_of(entry->name);
    if (!routine || !describe(&op, routine, entry->name, argument)) {
        tvg_call_release(&call);
        call.thread = NULL;
        errno = saved;
        return real(EACH(VALUE) a27);
    }
    struct tvg_slot *slot = tvg_slot_described(&call, entry, &op, caller);
    errno = saved;
    call.start = tvg_now();
    uintptr_t result = real(EACH(VALUE) a27);
    int64_t info = integer(argument[routine->info], is_wide(entry->name));
    if (info < 0 || (info > 0 && routine->stopped)) { /* refused, or it stopped: a matrix that is singular or not positive definite */
        int after = errno;
        double order = info < 0 ? 0 : routine->stopped == cholesky ? (double)(info - 1) : (double)op.m;
        op.flop = info < 0 ? 0 : flop_of(routine->stopped(order, order, 0), tvg_type_info(op.type_a)->is_complex);
        slot = tvg_slot_described(&call, entry, &op, caller);
        errno = after;
    }
    tvg_call_end(&call, slot, (const void *)argument[routine->a], NULL, (const void *)argument[routine->b == NONE ? routine->a : routine->b]);
    return result;
}

lapack_function tvg_hook_lapack_uncounted;
TVG_HOOK_BODY uintptr_t tvg_hook_lapack_uncounted(EACH(PARAMETER) uintptr_t a27)
{
    TVG_TAKE_ENTRY(entry);
    static char said[64][8]; /* the routines that were said, without letter and spelling */
    static tvg_lock turn;
    char name[sizeof said[0]] = "";
    const char *start = bare(entry->name) + 1;
    for (size_t i = 0; i < sizeof name - 1 && start[i] && start[i] != '_' && !(start[i] >= '0' && start[i] <= '9'); i++) name[i] = (char)(start[i] | 0x20);
    size_t at = 0;
    while (at < sizeof said / sizeof *said && said[at][0] && strcmp(said[at], name) != 0) at++;
    if (at < sizeof said / sizeof *said && !said[at][0]) {
        int saved = errno;
        bool first = false;
        tvg_lock_take(&turn);
        if (!said[at][0]) {
            memcpy(said[at], name, sizeof name);
            first = true;
        }
        tvg_lock_drop(&turn);
        if (first) {
            tvg_note("found-not-catchable", entry->name, "called; its FLOP depend on the data: not counted, nor are products that its library has inside");
            tvg_recording_begin();
        }
        errno = saved;
    }
    return TVG_FUNCTION(lapack_function, tvg_target(entry, __builtin_return_address(0)))(EACH(VALUE) a27);
}
