/* How the arguments of a BLAS call become a key, and what describe() needs to read the key again.
 * Key: word 0 is number | five characters (order, trans, uplo...) | flags; words 1 to 4 are up to eight 32-bit dimensions in the order of
 * the argument list; word 5 is the return address. Decoding is left to describe(), which runs once per distinct call. */
#ifndef TVG_SHIM_HOOKS_BLAS_H
#define TVG_SHIM_HOOKS_BLAS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "../record/record.h"

enum tvg_blas_role {
    TVG_ROLE_END = 0,
    /* characters: enumerations in CBLAS, letters in Fortran */
    TVG_ROLE_ORDER, TVG_ROLE_TRANSA, TVG_ROLE_TRANSB, TVG_ROLE_TRANS, TVG_ROLE_UPLO, TVG_ROLE_SIDE, TVG_ROLE_DIAG, TVG_ROLE_IDENT, TVG_ROLE_OFFSET,
    TVG_ROLE_TYPEA, TVG_ROLE_TYPEC, TVG_ROLE_COMPUTE, /* cudaDataType of A and of C, cublasComputeType */
    TVG_ROLE_PACKEDA, TVG_ROLE_PACKEDB, /* 0 or 1 */
    /* dimensions */
    TVG_ROLE_M, TVG_ROLE_N, TVG_ROLE_K, TVG_ROLE_KL, TVG_ROLE_KU, TVG_ROLE_LDA, TVG_ROLE_LDB, TVG_ROLE_LDC, TVG_ROLE_INCX, TVG_ROLE_INCY,
    TVG_ROLE_BATCH, TVG_ROLE_COUNT
};
enum { TVG_BLAS_CHARS = 5, TVG_BLAS_DIMS = 8 };

/* Bits 56 and up of word 0. */
enum tvg_blas_bit {
    TVG_BIT_ALPHA_ZERO = 1, /* no product was asked for: by the definition of BLAS, A and B are not read */
    TVG_BIT_BETA_ZERO = 2,
    TVG_BIT_WIDE = 4,       /* a dimension needs more than 31 bits: words 1 to 4 hold 256 / count bits for each */
    TVG_BIT_GROUPS = 8,     /* several groups: words 1 to 4 are hash, FLOP, least bytes, calls | groups << 32 */
    TVG_BIT_LONG_INT = 16,  /* the integers of a plain name turned out to be 64 bits wide */
};

/* The constants of one entry point, shared by its spellings. */
struct tvg_blas {
    uint16_t kind; /* enum tvg_kind */
    uint8_t type_a, type_b, type_c, type_compute;
    uint8_t fortran;   /* characters are letters, there is no order (and cuBLAS's old interface) */
    uint8_t by_number; /* enumerations count from 0, column-major: cuBLAS, ATen */
    uint8_t gpu;
    uint8_t wide_int;  /* integers are 64 bits wide by name */
    uint8_t chars[TVG_BLAS_CHARS + 1], dims[TVG_BLAS_DIMS + 1]; /* enum tvg_blas_role, in key order */
    uint32_t flags;    /* enum tvg_op_flag that always hold */
    const char *label; /* what people know it by, where the name is a mangled one; NULL: the name */
};

/* The storage type behind a cudaDataType, and what a cublasComputeType computes in; TVG_TYPE_NONE when unknown. */
uint8_t tvg_cuda_type(unsigned cuda_data_type);
uint8_t tvg_cublas_compute(unsigned compute_type, uint8_t storage);
/* What there is to say of a cublasComputeType that is no type of the hardware's: it is emulated; else NULL. */
const char *tvg_cublas_emulation(unsigned compute_type);

tvg_describe tvg_blas_describe;         /* one product */
tvg_describe tvg_blas_describe_strided; /* keys of tvg_blas_pack_strided */
tvg_describe tvg_blas_describe_groups;  /* keys of tvg_blas_pack_groups */

/* Words 1 to 4 when a dimension does not fit 31 bits: `count` values of 256 / count bits each, clamped. */
void tvg_blas_pack_wide(struct tvg_key *key, const int64_t *value, unsigned count);
/* Value `index` of `count` packed by tvg_blas_pack_wide. */
int64_t tvg_blas_unpack_wide(const struct tvg_key *key, unsigned index, unsigned count);

/* m n k lda ldb ldc batch, stridea strideb stridec. Fits sizes below 2^20 and strides below 2^38; else leading dimensions and strides
 * are kept as a hash, so that calls stay apart. */
void tvg_blas_pack_strided(struct tvg_key *key, const int64_t size[7], const int64_t stride[3]);

/* The arrays of a pointer-batched call, one member per group. NULL where the call has none. Integers are 4 or 8 bytes wide. */
struct tvg_blas_groups {
    const void *chars[4]; /* transa transb, or side uplo transa diag */
    const void *dims[6];  /* m n k lda ldb ldc, or m n - lda ldb - */
    const void *alpha, *beta;
    const void *const *a, *const *b, *const *c;
    int64_t order, count;
    const void *sizes;
};
/* Words 0 (characters and flags) to 4 of a grouped call. */
void tvg_blas_pack_groups(struct tvg_key *key, const struct tvg_blas *blas, const struct tvg_blas_groups *groups);
/* Whether a product that writes to `c` is a panel of one that is being recorded, maybe by another thread (panel.h). */
bool tvg_is_panel(const void *c);

/* The first operand of an array of pointers, or NULL. */
static inline const void *tvg_blas_first(const void *const *array, bool any)
{
    return any && array ? array[0] : NULL;
}

static inline bool tvg_zero_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits << 1 == 0;
}

static inline bool tvg_zero_f64(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits << 1 == 0;
}

static inline bool tvg_zero_pf32(const void *value)
{
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    return bits << 1 == 0;
}

static inline bool tvg_zero_pf64(const void *value)
{
    uint64_t bits;
    memcpy(&bits, value, sizeof bits);
    return bits << 1 == 0;
}

static inline bool tvg_zero_pc64(const void *value)
{
    uint64_t bits;
    memcpy(&bits, value, sizeof bits);
    return (bits & 0x7fffffff7fffffffu) == 0;
}

static inline bool tvg_zero_pc128(const void *value)
{
    uint64_t bits[2];
    memcpy(bits, value, sizeof bits);
    return (bits[0] | bits[1]) << 1 == 0;
}

static inline bool tvg_zero_half(int64_t bits)
{
    return (bits & 0x7fff) == 0;
}

static inline bool tvg_zero_phalf(const void *value)
{
    uint16_t bits;
    memcpy(&bits, value, sizeof bits);
    return (bits & 0x7fff) == 0;
}

/* Complex numbers by value, as C has them. */
struct tvg_complex64 {
    float re, im;
};
struct tvg_complex128 {
    double re, im;
};

/* Integers and characters behind Fortran's pointers. */
static inline int64_t tvg_int32_at(const void *p)
{
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline int64_t tvg_int64_at(const void *p)
{
    int64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint64_t tvg_char_at(const void *p)
{
    return *(const unsigned char *)p;
}

/* Two dimensions in one word. */
static inline uint64_t tvg_pair(int64_t low, int64_t high)
{
    return (uint32_t)low | (uint64_t)high << 32;
}

#endif
