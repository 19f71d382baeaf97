/* Hand-written hooks for tests of the recorder alone: what the spec tables generate, for two names, with the simplest resolution. */
#include <dlfcn.h>
#include <string.h>

#include "shim/intercept/resolve.h"
#include "shim/record/record.h"

typedef void cblas_sgemm_function(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
typedef void sgemm_function(const char *, const char *, const int *, const int *, const int *, const float *, const float *, const int *, const float *,
                            const int *, const float *, float *, const int *);

#ifdef TVG_STAND_IN_ALONE
#include "shim/intercept/inline.h"
#include "shim/hooks/threads.h"
#include "shim/sources/tables.h"
uint16_t tvg_library_threads(const void *function)
{
    (void)function;
    return 0;
}
const void *tvg_inline_code(const void *original)
{
    return original;
}
bool tvg_sources_per_op;
void tvg_sources_configure(void) {}
void tvg_sources_start(void) {}
void tvg_sources_block(void) {}
void tvg_sources_stop(void) {}
void tvg_sources_pause(bool pause) { (void)pause; }
void tvg_manifest_write(void) {}
const struct tvg_source tvg_source_dark;
bool tvg_source_is_named(const struct tvg_source *source)
{
    (void)source;
    return false;
}
void tvg_sources_begin(const struct tvg_slot *slot) { (void)slot; }
void tvg_sources_end(const struct tvg_slot *slot) { (void)slot; }
#endif

static void describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    (void)entry;
    op->kind = TVG_KIND_GEMM;
    op->type_a = op->type_b = op->type_c = op->type_compute = TVG_TYPE_F32;
    op->m = (int64_t)key->word[1];
    op->n = (int64_t)key->word[2];
    op->k = (int64_t)key->word[3];
    op->lda = (int32_t)key->word[4];
    op->ldb = (int32_t)(key->word[4] >> 32);
    op->ldc = (int32_t)(key->word[0] >> 32);
}

static const struct tvg_entry cblas_entry = {"cblas_sgemm", describe, NULL, 0, TVG_NET_SYMBOL};
static const struct tvg_entry fortran_entry = {"sgemm_", describe, NULL, 1, TVG_NET_SYMBOL};

void *tvg_resolve(const struct tvg_entry *entry, const void *caller)
{
    (void)caller;
    return dlsym(RTLD_NEXT, entry->name);
}

const char *tvg_object_name(const void *address, void **base)
{
    Dl_info info;
    if (!address || !dladdr(address, &info) || !info.dli_fname) return "";
    if (base) *base = info.dli_fbase;
    const char *slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

TVG_EXPORT cblas_sgemm_function cblas_sgemm;
TVG_EXPORT void cblas_sgemm(int order, int transa, int transb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                            float beta, float *c, int ldc)
{
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0))) {
        ((cblas_sgemm_function *)tvg_resolve(&cblas_entry, __builtin_return_address(0)))(order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    struct tvg_key key = {{cblas_entry.number | (uint64_t)(order & 0xf) << 16 | (uint64_t)(transa & 3) << 20 | (uint64_t)(transb & 3) << 24 | (uint64_t)(uint32_t)ldc << 32,
                           (uint64_t)m, (uint64_t)n, (uint64_t)k, (uint32_t)lda | (uint64_t)(uint32_t)ldb << 32, (uintptr_t)__builtin_return_address(0)}};
    struct tvg_slot *slot = tvg_slot_find(&call, &cblas_entry, &key);
    cblas_sgemm_function *real = (cblas_sgemm_function *)slot->target;
    call.start = tvg_now();
    real(order, transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    tvg_call_end(&call, slot, a, b, c);
}

TVG_EXPORT sgemm_function sgemm_;
TVG_EXPORT void sgemm_(const char *transa, const char *transb, const int *m, const int *n, const int *k, const float *alpha, const float *a, const int *lda,
                       const float *b, const int *ldb, const float *beta, float *c, const int *ldc)
{
    struct tvg_call call __attribute__((cleanup(tvg_call_release)));
    if (!tvg_call_begin(&call, __builtin_frame_address(0))) {
        ((sgemm_function *)tvg_resolve(&fortran_entry, __builtin_return_address(0)))(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    struct tvg_key key = {{fortran_entry.number | (uint64_t)(*transa & 0xff) << 16 | (uint64_t)(*transb & 0xff) << 24 | (uint64_t)(uint32_t)*ldc << 32,
                           (uint64_t)*m, (uint64_t)*n, (uint64_t)*k, (uint32_t)*lda | (uint64_t)(uint32_t)*ldb << 32, (uintptr_t)__builtin_return_address(0)}};
    struct tvg_slot *slot = tvg_slot_find(&call, &fortran_entry, &key);
    sgemm_function *real = (sgemm_function *)slot->target;
    call.start = tvg_now();
    real(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    tvg_call_end(&call, slot, a, b, c);
}
