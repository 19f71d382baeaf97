/* The op vocabulary: what one recorded operation is, in terms shared by the shim and the analyzer.
 * A struct tvg_op is a dictionary entry: everything about an operation but when it ran and on which addresses.
 * FLOP and byte counts are defined here once, so that both sides agree. */
#ifndef TVG_TRACE_OP_H
#define TVG_TRACE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Storage or compute type of an operand. The numbers are part of the trace format: append only. */
enum tvg_type {
    TVG_TYPE_NONE = 0,
    TVG_TYPE_F64, TVG_TYPE_F32, TVG_TYPE_TF32, TVG_TYPE_F16, TVG_TYPE_BF16,
    TVG_TYPE_F8_E4M3, TVG_TYPE_F8_E5M2, TVG_TYPE_F4_E2M1,
    TVG_TYPE_C64,  /* two f32 */
    TVG_TYPE_C128, /* two f64 */
    TVG_TYPE_I64, TVG_TYPE_I32, TVG_TYPE_I16, TVG_TYPE_I8, TVG_TYPE_U8, TVG_TYPE_I4, TVG_TYPE_U4, TVG_TYPE_BOOL,
    /* ggml block types: elements share scales, so bits per element are fractions (see tvg_type_info) */
    TVG_TYPE_Q4_0, TVG_TYPE_Q4_1, TVG_TYPE_Q5_0, TVG_TYPE_Q5_1, TVG_TYPE_Q8_0, TVG_TYPE_Q8_1,
    TVG_TYPE_Q2_K, TVG_TYPE_Q3_K, TVG_TYPE_Q4_K, TVG_TYPE_Q5_K, TVG_TYPE_Q6_K, TVG_TYPE_Q8_K,
    TVG_TYPE_IQ2_XXS, TVG_TYPE_IQ2_XS, TVG_TYPE_IQ3_XXS, TVG_TYPE_IQ1_S, TVG_TYPE_IQ4_NL, TVG_TYPE_IQ3_S,
    TVG_TYPE_IQ2_S, TVG_TYPE_IQ4_XS, TVG_TYPE_IQ1_M, TVG_TYPE_TQ1_0, TVG_TYPE_TQ2_0, TVG_TYPE_MXFP4,
    TVG_TYPE_COUNT
};

struct tvg_type_info {
    const char *name;        /* "f32", "q4_k": the name shown and accepted everywhere */
    uint16_t block_elements; /* elements that share one block; 1 for plain types */
    uint16_t block_bytes;    /* bytes of one block; 4-bit plain types are 2 elements in 1 byte */
    bool is_complex;
    bool is_integer;
};

/* Facts about `type`; for a number out of range the facts of TVG_TYPE_NONE ("none", 1 element, 0 bytes). Never NULL. */
const struct tvg_type_info *tvg_type_info(unsigned type);
/* Bytes that `elements` of `type` occupy, rounded up to whole blocks. */
uint64_t tvg_type_bytes(unsigned type, uint64_t elements);
/* The type named `name`, or TVG_TYPE_COUNT when no type has that name. */
enum tvg_type tvg_type_by_name(const char *name);

/* What an operation computes. Part of the trace format: append only. */
enum tvg_kind {
    TVG_KIND_OTHER = 0,
    TVG_KIND_GEMM,   /* C(m,n) = A(m,k) B(k,n), times batch */
    TVG_KIND_GEMMT,  /* gemm that updates one triangle of C(n,n) */
    TVG_KIND_GEMV,   /* y(m) = A(m,n) x(n); m, n as stored: rows and columns of A */
    TVG_KIND_GER,    /* A(m,n) += x y' */
    TVG_KIND_SYMM, TVG_KIND_HEMM, /* C(m,n), the symmetric operand is m x m (left) or n x n (right) */
    TVG_KIND_SYRK, TVG_KIND_HERK, TVG_KIND_SYR2K, TVG_KIND_HER2K, /* C(n,n) += A(n,k) A' */
    TVG_KIND_TRMM, TVG_KIND_TRSM, /* B(m,n), triangle m x m (left) or n x n (right) */
    TVG_KIND_GBMV, TVG_KIND_SYMV, TVG_KIND_SBMV, TVG_KIND_SPMV,     /* level 2; k holds the bandwidth (gbmv: kl + ku + 1) */
    TVG_KIND_TRMV, TVG_KIND_TBMV, TVG_KIND_TPMV, TVG_KIND_TRSV, TVG_KIND_TBSV, TVG_KIND_TPSV,
    TVG_KIND_SYR, TVG_KIND_SPR, TVG_KIND_SYR2, TVG_KIND_SPR2,
    TVG_KIND_PACK,   /* an operand rearranged for a later gemm */
    TVG_KIND_CONV,   /* dim[]: see tvg_op.dim */
    TVG_KIND_ATTENTION, TVG_KIND_RNN,
    TVG_KIND_SOFTMAX, TVG_KIND_NORM, TVG_KIND_ACTIVATION, TVG_KIND_ELEMENTWISE, TVG_KIND_REDUCE, TVG_KIND_POOL,
    TVG_KIND_EMBEDDING, TVG_KIND_ROPE, TVG_KIND_QUANTIZE, TVG_KIND_DEQUANTIZE,
    TVG_KIND_COPY, TVG_KIND_TRANSPOSE, TVG_KIND_MEMSET,
    TVG_KIND_COLLECTIVE, /* all-reduce, all-gather...: bytes, no FLOP */
    TVG_KIND_KERNEL,     /* a device kernel that no library call explains */
    TVG_KIND_SYNC, TVG_KIND_GRAPH,
    TVG_KIND_LAPACK,     /* a factorization, a solution or an inverse of A(m,n) or A(m,m); solutions: of n right sides; orgqr: k reflectors */
    TVG_KIND_COUNT
};
const char *tvg_kind_name(unsigned kind);          /* never NULL; "other" out of range */
enum tvg_kind tvg_kind_by_name(const char *name);  /* TVG_KIND_COUNT when unknown */

/* How a call was caught. Part of the trace format: append only. */
enum tvg_net { TVG_NET_NONE = 0, TVG_NET_SYMBOL, TVG_NET_DLSYM, TVG_NET_INLINE, TVG_NET_VTABLE, TVG_NET_ACTIVITY, TVG_NET_COUNT };
const char *tvg_net_name(unsigned net);

/* Layout and variant flags. Part of the trace format: append only. */
enum tvg_op_flag {
    TVG_OP_TRANS_A = 1u << 0, TVG_OP_TRANS_B = 1u << 1,
    TVG_OP_CONJ_A = 1u << 2, TVG_OP_CONJ_B = 1u << 3,
    TVG_OP_ROW_MAJOR = 1u << 4,
    TVG_OP_RIGHT = 1u << 5,   /* the structured operand is on the right */
    TVG_OP_UPPER = 1u << 6,
    TVG_OP_UNIT_DIAG = 1u << 7,
    TVG_OP_PACKED_A = 1u << 8, TVG_OP_PACKED_B = 1u << 9, /* operand was rearranged by an earlier pack call */
    TVG_OP_BETA_ZERO = 1u << 10, /* C is written only, not read */
    TVG_OP_BATCH_STRIDED = 1u << 11, TVG_OP_BATCH_POINTERS = 1u << 12, TVG_OP_BATCH_GROUPED = 1u << 13,
    TVG_OP_ILP64 = 1u << 14,
    TVG_OP_THREE_M = 1u << 15,  /* complex product by three real ones: FLOP are still those of the product asked for */
    TVG_OP_DIMS_UNSURE = 1u << 16, /* the interface leaves a dimension ambiguous; FLOP are an inference */
    TVG_OP_FLOP_GIVEN = 1u << 17,  /* flop and bytes were set by the hook, not by tvg_op_count() */
    TVG_OP_TIME_SHARED = 1u << 18, /* the op's time is its modelled share of a longer call's measured time */
};

enum tvg_epilogue { TVG_EPILOGUE_NONE = 0, TVG_EPILOGUE_BIAS = 1, TVG_EPILOGUE_RELU = 2, TVG_EPILOGUE_GELU = 4, TVG_EPILOGUE_SILU = 8,
                    TVG_EPILOGUE_SUM = 16, TVG_EPILOGUE_SCALE = 32, TVG_EPILOGUE_OTHER = 64 };

enum { TVG_DIMS_MAX = 24 };

/* One dictionary entry. Zero-initialised fields mean "not applicable". Strings are borrowed: valid as long as their owner (the
 * spec tables in the shim, the reader's arena in the analyzer). Integers are what the caller passed, after sign checks by the hook. */
struct tvg_op {
    const char *library;  /* file name of the object that computes: "libopenblas.so.0" */
    const char *function; /* the name that was called: "cblas_sgemm" */
    const char *name;     /* a name of the instance (graph node, kernel), or NULL */
    uint16_t kind;        /* enum tvg_kind */
    uint8_t net;          /* enum tvg_net */
    uint8_t type_a, type_b, type_c, type_compute; /* enum tvg_type */
    uint8_t on_gpu;       /* 0 CPU, 1 GPU */
    int16_t device;       /* GPU ordinal, or -1 */
    uint16_t threads;     /* threads the library may use, 0 unknown */
    uint32_t flags;       /* enum tvg_op_flag */
    uint32_t epilogue;    /* enum tvg_epilogue */
    int64_t m, n, k, batch; /* batch 0 counts as 1 for kinds that have one */
    int64_t lda, ldb, ldc;
    int64_t stride_a, stride_b, stride_c; /* elements between batch members; 0 = the same operand for all */
    uint8_t dim_count;    /* gbmv: kl,ku; conv: N,C,spatial in..,K,spatial kernel..,spatial out..,groups; attention: B,Hq,Hkv,Lq,Lkv,D,causal; else tensor dims */
    uint8_t dim_spatial;  /* conv: number of spatial dimensions */
    int64_t dim[TVG_DIMS_MAX];
    uint64_t caller;      /* return address of the call, in the process */
    const char *caller_library; /* file name of the calling object, or NULL */
    uint64_t caller_offset;     /* caller minus load address of caller_library */
    uint64_t flop;        /* floating (or integer) operations: 2 per real multiply-add, 8 per complex one */
    uint64_t bytes;       /* least bytes: every operand read once, outputs written once (and read when beta != 0) */
    uint64_t bytes_a, bytes_b, bytes_c; /* parts of it */
};

/* Fills flop, bytes, bytes_a, bytes_b, bytes_c from the shape, unless TVG_OP_FLOP_GIVEN is set. A call with an empty dimension
 * counts 0 FLOP. Formulas: gemm 2mnk; gemmt n(n+1)k; syrk n(n+1)k; syr2k 2n(n+1)k; symm 2m^2n (left) or 2mn^2; trmm, trsm m^2n or mn^2;
 * gemv 2mn; symv 2n^2; trmv n^2; ger 2mn; syr n(n+1); banded by the band's length; conv 2 N K prod(out) prod(kernel) C/groups;
 * attention 4 B Hq Lq Lkv D (causal: exact half with the diagonal). Complex types count 4 times these. Saturates instead of wrapping. */
void tvg_op_count(struct tvg_op *op);

#endif
