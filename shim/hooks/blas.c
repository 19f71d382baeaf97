/* From a key back to the operation: what describe() says of a BLAS call. Runs once per distinct call, so it may take its time.
 * FLOP are those of the product asked for. A call that BLAS refuses (illegal character, negative size, too small a leading dimension), an
 * empty one, and one with alpha = 0 (by the definition of BLAS no product: A and B are not read) count none. */
#include "blas.h"

#include <string.h>

static void put_bits(uint64_t *word, unsigned at, unsigned width, uint64_t value)
{
    word[at / 64] |= value << at % 64;
    if (at % 64 + width > 64)
        word[at / 64 + 1] |= value >> (64 - at % 64);
}

static uint64_t get_bits(const uint64_t *word, unsigned at, unsigned width)
{
    uint64_t value = word[at / 64] >> at % 64;
    if (at % 64 + width > 64)
        value |= word[at / 64 + 1] << (64 - at % 64);
    return width == 64 ? value : value & ((1ull << width) - 1);
}

static unsigned wide_width(unsigned count)
{
    unsigned width = 256 / count;
    return width > 63 ? 63 : width;
}

void tvg_blas_pack_wide(struct tvg_key *key, const int64_t *value, unsigned count)
{
    unsigned width = wide_width(count);
    const int64_t highest = (1ll << (width - 1)) - 1, lowest = -highest - 1;
    key->word[0] |= (uint64_t)TVG_BIT_WIDE << 56;
    memset(key->word + 1, 0, 4 * sizeof *key->word);
    for (unsigned i = 0; i < count; i++) {
        int64_t clamped = value[i] > highest ? highest : value[i] < lowest ? lowest : value[i];
        put_bits(key->word + 1, i * width, width, (uint64_t)clamped & ((1ull << width) - 1));
    }
}

int64_t tvg_blas_unpack_wide(const struct tvg_key *key, unsigned index, unsigned count)
{
    unsigned width = wide_width(count);
    return (int64_t)(get_bits(key->word + 1, index * width, width) << (64 - width)) >> (64 - width);
}

static unsigned bits_of(const struct tvg_key *key)
{
    return (unsigned)(key->word[0] >> 56);
}

/* CBLAS enumerations and Fortran letters as one upper-case letter; 0 when the value means nothing. MKL: 151 packed, 161 and 162 which matrix. */
static char letter(enum tvg_blas_role role, const struct tvg_blas *blas, unsigned value)
{
    if (blas->fortran)
        return (char)(value & 0xdf);
    if (blas->by_number)
        switch (role) {
        case TVG_ROLE_TRANSA: case TVG_ROLE_TRANSB: case TVG_ROLE_TRANS: return value < 4 ? "NTCR"[value] : 0;
        case TVG_ROLE_UPLO: return value < 2 ? "LU"[value] : 0;
        case TVG_ROLE_SIDE: return value < 2 ? "LR"[value] : 0;
        case TVG_ROLE_DIAG: return value < 2 ? "NU"[value] : 0;
        default: return (char)value;
        }
    switch (role) {
    case TVG_ROLE_ORDER: return value == 101 ? 'R' : value == 102 ? 'C' : 0;
    case TVG_ROLE_TRANSA: case TVG_ROLE_TRANSB: case TVG_ROLE_TRANS:
        return value == 111 ? 'N' : value == 112 ? 'T' : value == 113 ? 'C' : value == 114 ? 'R' : value == 151 ? 'P' : 0;
    case TVG_ROLE_UPLO: return value == 121 ? 'U' : value == 122 ? 'L' : 0;
    case TVG_ROLE_DIAG: return value == 131 ? 'N' : value == 132 ? 'U' : 0;
    case TVG_ROLE_SIDE: return value == 141 ? 'L' : value == 142 ? 'R' : 0;
    case TVG_ROLE_IDENT: return value == 161 ? 'A' : value == 162 ? 'B' : 0;
    default: return (char)value;
    }
}

/* The arguments of one call, by role. */
struct arguments {
    char character[TVG_ROLE_COUNT];
    int64_t size[TVG_ROLE_COUNT];
    bool row_major, is_complex, has_types;
};

static struct arguments unpack_chars(const struct tvg_blas *blas, const struct tvg_key *key)
{
    struct arguments arg = {.is_complex = tvg_type_info(blas->type_c)->is_complex};
    for (unsigned i = 0; blas->chars[i] != TVG_ROLE_END; i++)
        arg.character[blas->chars[i]] = letter(blas->chars[i], blas, key->word[0] >> (16 + 8 * i) & 0xff);
    if (blas->fortran || blas->by_number)
        arg.character[TVG_ROLE_ORDER] = blas->flags & TVG_OP_ROW_MAJOR ? 'R' : 'C';
    for (unsigned i = 0; blas->chars[i] != TVG_ROLE_END; i++)
        arg.has_types |= blas->chars[i] == TVG_ROLE_TYPEA;
    if (blas->gpu && arg.has_types)
        arg.is_complex |= tvg_type_info(tvg_cuda_type((uint8_t)arg.character[TVG_ROLE_TYPEA]))->is_complex;
    /* pack size queries have no order */
    arg.row_major = arg.character[TVG_ROLE_ORDER] == 'R';
    return arg;
}

static void unpack_sizes(const struct tvg_blas *blas, const struct tvg_key *key, struct arguments *arg)
{
    unsigned count = 0;
    while (blas->dims[count] != TVG_ROLE_END)
        count++;
    for (unsigned i = 0; i < count; i++)
        arg->size[blas->dims[i]] = bits_of(key) & TVG_BIT_WIDE ? tvg_blas_unpack_wide(key, i, count)
                                                               : (int32_t)(key->word[1 + i / 2] >> (i % 2 * 32));
}

static bool is_trans(char c)
{
    return c == 'T' || c == 'C';
}

/* A leading dimension is at least the stored rows (column-major) or columns (row-major). */
static bool holds(const struct arguments *arg, enum tvg_blas_role leading, int64_t rows, int64_t columns)
{
    int64_t least = arg->row_major ? columns : rows;
    return arg->size[leading] >= (least > 1 ? least : 1);
}

static bool one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

static bool has_role(const struct tvg_blas *blas, unsigned role)
{
    for (unsigned i = 0; blas->chars[i] != TVG_ROLE_END; i++)
        if (blas->chars[i] == role)
            return true;
    for (unsigned i = 0; blas->dims[i] != TVG_ROLE_END; i++)
        if (blas->dims[i] == role)
            return true;
    return false;
}

/* What BLAS itself checks before it computes. */
static bool is_legal(const struct tvg_blas *blas, const struct arguments *arg)
{
    const char *c = arg->character;
    const int64_t *s = arg->size;
    for (unsigned i = 0; blas->dims[i] != TVG_ROLE_END; i++) {
        unsigned role = blas->dims[i];
        if ((role == TVG_ROLE_INCX || role == TVG_ROLE_INCY) ? s[role] == 0 : s[role] < 0)
            return false;
    }
    for (unsigned i = 0; blas->chars[i] != TVG_ROLE_END; i++) {
        static const char *const legal[TVG_ROLE_COUNT] = {
            [TVG_ROLE_ORDER] = "RC", [TVG_ROLE_TRANSA] = "NTCRP", [TVG_ROLE_TRANSB] = "NTCRP", [TVG_ROLE_TRANS] = "NTCR",
            [TVG_ROLE_UPLO] = "UL", [TVG_ROLE_SIDE] = "LR", [TVG_ROLE_DIAG] = "NU", [TVG_ROLE_IDENT] = "AB"};
        unsigned role = blas->chars[i];
        if (legal[role] && !one_of(c[role], legal[role]))
            return false;
    }
    bool left = c[TVG_ROLE_SIDE] != 'R';
    int64_t m = s[TVG_ROLE_M], n = s[TVG_ROLE_N], k = s[TVG_ROLE_K], order = left ? m : n;
    bool ta = is_trans(c[TVG_ROLE_TRANSA]), tb = is_trans(c[TVG_ROLE_TRANSB]), t = is_trans(c[TVG_ROLE_TRANS]);
    switch (blas->kind) {
    case TVG_KIND_GEMMT:
        if (has_role(blas, TVG_ROLE_TRANS)) /* syrkx: A and B lie alike */
            return holds(arg, TVG_ROLE_LDA, t ? k : n, t ? n : k) && holds(arg, TVG_ROLE_LDB, t ? k : n, t ? n : k) && holds(arg, TVG_ROLE_LDC, n, n);
        m = n; /* fall through */
    case TVG_KIND_GEMM:
        return (c[TVG_ROLE_TRANSA] == 'P' || c[TVG_ROLE_PACKEDA] || holds(arg, TVG_ROLE_LDA, ta ? k : m, ta ? m : k)) &&
               (c[TVG_ROLE_TRANSB] == 'P' || c[TVG_ROLE_PACKEDB] || holds(arg, TVG_ROLE_LDB, tb ? n : k, tb ? k : n)) && holds(arg, TVG_ROLE_LDC, m, n);
    case TVG_KIND_SYMM: case TVG_KIND_HEMM:
        return (!has_role(blas, TVG_ROLE_LDA) || holds(arg, TVG_ROLE_LDA, order, order)) && holds(arg, TVG_ROLE_LDB, m, n) && holds(arg, TVG_ROLE_LDC, m, n);
    case TVG_KIND_SYRK: case TVG_KIND_HERK: case TVG_KIND_SYR2K: case TVG_KIND_HER2K: {
        bool hermitian = blas->kind == TVG_KIND_HERK || blas->kind == TVG_KIND_HER2K;
        bool second = blas->kind == TVG_KIND_SYR2K || blas->kind == TVG_KIND_HER2K;
        return one_of(c[TVG_ROLE_TRANS], hermitian ? "NC" : arg->is_complex ? "NT" : "NTC") && holds(arg, TVG_ROLE_LDA, t ? k : n, t ? n : k) &&
               (!second || holds(arg, TVG_ROLE_LDB, t ? k : n, t ? n : k)) && holds(arg, TVG_ROLE_LDC, n, n);
    }
    case TVG_KIND_TRMM: case TVG_KIND_TRSM:
        return holds(arg, TVG_ROLE_LDA, order, order) && holds(arg, TVG_ROLE_LDB, m, n);
    case TVG_KIND_GEMV: case TVG_KIND_GER:
        return holds(arg, TVG_ROLE_LDA, m, n);
    case TVG_KIND_GBMV:
        return s[TVG_ROLE_LDA] >= s[TVG_ROLE_KL] + s[TVG_ROLE_KU] + 1;
    case TVG_KIND_SBMV: case TVG_KIND_TBMV: case TVG_KIND_TBSV:
        return s[TVG_ROLE_LDA] >= k + 1;
    case TVG_KIND_SYMV: case TVG_KIND_TRMV: case TVG_KIND_TRSV: case TVG_KIND_SYR: case TVG_KIND_SYR2:
        return holds(arg, TVG_ROLE_LDA, n, n);
    default:
        return true;
    }
}

/* Everything about an op that does not depend on its sizes. */
static void describe_call(const struct tvg_entry *entry, const struct tvg_key *key, const struct arguments *arg, struct tvg_op *op)
{
    const struct tvg_blas *blas = entry->detail;
    op->kind = blas->kind;
    if (blas->label)
        op->function = blas->label;
    op->type_a = blas->type_a, op->type_b = blas->type_b, op->type_c = blas->type_c, op->type_compute = blas->type_compute;
    if (arg->row_major && op->type_a == TVG_TYPE_I8 && op->type_b == TVG_TYPE_U8)
        op->type_a = TVG_TYPE_U8, op->type_b = TVG_TYPE_I8;
    op->flags = blas->flags;
    if (blas->gpu) {
        op->on_gpu = 1;
        if (arg->has_types) {
            op->type_a = op->type_b = tvg_cuda_type((uint8_t)arg->character[TVG_ROLE_TYPEA]);
            op->type_c = tvg_cuda_type((uint8_t)arg->character[TVG_ROLE_TYPEC]);
            op->type_compute = tvg_cublas_compute((uint8_t)arg->character[TVG_ROLE_COMPUTE], op->type_a);
            op->name = tvg_cublas_emulation((uint8_t)arg->character[TVG_ROLE_COMPUTE]);
        }
    }
    if (op->library && (strstr(op->library, "ilp64") || strstr(op->library, "blas64")))
        op->flags |= TVG_OP_ILP64;
    if (bits_of(key) & TVG_BIT_LONG_INT)
        op->flags |= TVG_OP_ILP64;
    if (bits_of(key) & TVG_BIT_BETA_ZERO)
        op->flags |= TVG_OP_BETA_ZERO;
    if (arg->row_major)
        op->flags |= TVG_OP_ROW_MAJOR;
    const char *c = arg->character;
    char a = c[TVG_ROLE_TRANSA] ? c[TVG_ROLE_TRANSA] : c[TVG_ROLE_TRANS], b = c[TVG_ROLE_TRANSB];
    if (is_trans(a))
        op->flags |= TVG_OP_TRANS_A;
    if (is_trans(b) || (blas->kind == TVG_KIND_GEMMT && has_role(blas, TVG_ROLE_TRANS) && !is_trans(a)))
        op->flags |= TVG_OP_TRANS_B;
    if (arg->is_complex && (a == 'C' || a == 'R'))
        op->flags |= TVG_OP_CONJ_A;
    if (arg->is_complex && (b == 'C' || b == 'R'))
        op->flags |= TVG_OP_CONJ_B;
    if (a == 'P' || c[TVG_ROLE_PACKEDA])
        op->flags |= TVG_OP_PACKED_A;
    if (b == 'P' || c[TVG_ROLE_PACKEDB])
        op->flags |= TVG_OP_PACKED_B;
    if (c[TVG_ROLE_SIDE] == 'R')
        op->flags |= TVG_OP_RIGHT;
    if (c[TVG_ROLE_UPLO] == 'U')
        op->flags |= TVG_OP_UPPER;
    if (c[TVG_ROLE_DIAG] == 'U')
        op->flags |= TVG_OP_UNIT_DIAG;
}

static int64_t not_negative(int64_t value)
{
    return value > 0 ? value : 0;
}

static void count_none(struct tvg_op *op)
{
    op->flags |= TVG_OP_FLOP_GIVEN;
    op->flop = op->bytes = op->bytes_a = op->bytes_b = op->bytes_c = 0;
}

/* alpha = 0: the output is scaled or cleared, the operands are not read; an update by nothing does nothing. */
static void count_no_product(struct tvg_op *op)
{
    tvg_op_count(op);
    uint64_t written = op->bytes_c;
    if (op->kind == TVG_KIND_GER || op->kind == TVG_KIND_SYR || op->kind == TVG_KIND_SPR || op->kind == TVG_KIND_SYR2 || op->kind == TVG_KIND_SPR2)
        written = 0;
    count_none(op);
    op->bytes = op->bytes_c = written;
}

/* Leading dimensions; for vectors the increment stands in that place. Rank-one updates write the matrix: there it is operand C. */
static void set_leading(const struct tvg_blas *blas, const int64_t *s, struct tvg_op *op)
{
    switch (blas->kind) {
    case TVG_KIND_GER: case TVG_KIND_SYR: case TVG_KIND_SPR: case TVG_KIND_SYR2: case TVG_KIND_SPR2:
        op->lda = s[TVG_ROLE_INCX], op->ldb = s[TVG_ROLE_INCY], op->ldc = s[TVG_ROLE_LDA];
        break;
    default:
        op->lda = s[TVG_ROLE_LDA];
        op->ldb = s[TVG_ROLE_LDB] ? s[TVG_ROLE_LDB] : s[TVG_ROLE_INCX];
        op->ldc = s[TVG_ROLE_LDC] ? s[TVG_ROLE_LDC] : s[TVG_ROLE_INCY];
    }
}

void tvg_blas_describe(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    const struct tvg_blas *blas = entry->detail;
    struct arguments arg = unpack_chars(blas, key);
    unpack_sizes(blas, key, &arg);
    describe_call(entry, key, &arg, op);
    const int64_t *s = arg.size;
    set_leading(blas, s, op);
    op->m = not_negative(s[TVG_ROLE_M]), op->n = not_negative(s[TVG_ROLE_N]), op->k = not_negative(s[TVG_ROLE_K]);
    for (unsigned i = 0; blas->dims[i] != TVG_ROLE_END; i++)
        if (!blas->wide_int && s[blas->dims[i]] < 0 && blas->dims[i] != TVG_ROLE_INCX && blas->dims[i] != TVG_ROLE_INCY)
            op->flags |= TVG_OP_DIMS_UNSURE; /* illegal in 32 bits; in 64 bits it may be the lower half of a size beyond 2^31 */
    if (s[TVG_ROLE_BATCH]) {
        op->batch = not_negative(s[TVG_ROLE_BATCH]);
        if (blas->kind == TVG_KIND_GEMM || blas->flags & TVG_OP_BATCH_POINTERS)
            op->flags |= TVG_OP_BATCH_POINTERS;
        else { /* distances are not kept: different operands is the usual case */
            op->flags |= TVG_OP_BATCH_STRIDED;
            op->stride_a = op->stride_b = op->stride_c = 1;
        }
    }
    if (blas->kind == TVG_KIND_GBMV) {
        op->k = not_negative(s[TVG_ROLE_KL]) + not_negative(s[TVG_ROLE_KU]) + 1;
        op->dim_count = 2;
        op->dim[0] = not_negative(s[TVG_ROLE_KL]), op->dim[1] = not_negative(s[TVG_ROLE_KU]);
    }
    if (blas->kind == TVG_KIND_PACK) {
        bool is_b = arg.character[TVG_ROLE_IDENT] == 'B';
        op->flags |= is_b ? TVG_OP_PACKED_B : TVG_OP_PACKED_A;
        if (is_b) {
            op->m = 0;
            op->type_a = op->type_b;
        } else
            op->n = 0;
        op->type_b = TVG_TYPE_NONE;
        op->type_c = op->type_a;
    }
    if (blas->kind == TVG_KIND_OTHER || !is_legal(blas, &arg))
        count_none(op);
    else if (bits_of(key) & TVG_BIT_ALPHA_ZERO && blas->kind != TVG_KIND_PACK)
        count_no_product(op);
    else
        tvg_op_count(op);
}

/* --- a batch at constant distances: seven sizes of 20 bits and three strides of 38 ------------------------------------------------- */
enum { SIZE_BITS = 20, STRIDE_BITS = 38, STRIDES_AT = 7 * SIZE_BITS };

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

void tvg_blas_pack_strided(struct tvg_key *key, const int64_t size[7], const int64_t stride[3])
{
    bool fits = true;
    for (unsigned i = 0; i < 7; i++)
        fits &= (uint64_t)size[i] >> SIZE_BITS == 0;
    for (unsigned i = 0; i < 3; i++)
        fits &= (uint64_t)stride[i] >> STRIDE_BITS == 0;
    memset(key->word + 1, 0, 4 * sizeof *key->word);
    if (fits) {
        for (unsigned i = 0; i < 7; i++)
            put_bits(key->word + 1, i * SIZE_BITS, SIZE_BITS, (uint64_t)size[i]);
        for (unsigned i = 0; i < 3; i++)
            put_bits(key->word + 1, STRIDES_AT + i * STRIDE_BITS, STRIDE_BITS, (uint64_t)stride[i]);
        return;
    }
    /* Sizes stay exact up to 48 bits for m, n, k and batch; a hash of the rest keeps calls apart. */
    uint64_t hash = 1;
    for (unsigned i = 3; i < 6; i++)
        hash = mix(hash, (uint64_t)size[i]);
    for (unsigned i = 0; i < 3; i++)
        hash = mix(hash, (uint64_t)stride[i]);
    const int64_t exact[5] = {size[0], size[1], size[2], size[6], (int64_t)(hash >> 16)};
    tvg_blas_pack_wide(key, exact, 5);
}

void tvg_blas_describe_strided(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    const struct tvg_blas *blas = entry->detail;
    struct arguments arg = unpack_chars(blas, key);
    bool wide = bits_of(key) & TVG_BIT_WIDE;
    describe_call(entry, key, &arg, op);
    op->flags |= TVG_OP_BATCH_STRIDED;
    int64_t *s = arg.size;
    if (wide) {
        s[TVG_ROLE_M] = tvg_blas_unpack_wide(key, 0, 5), s[TVG_ROLE_N] = tvg_blas_unpack_wide(key, 1, 5);
        s[TVG_ROLE_K] = tvg_blas_unpack_wide(key, 2, 5), s[TVG_ROLE_BATCH] = tvg_blas_unpack_wide(key, 3, 5);
        op->stride_a = op->stride_b = 1; /* not kept: different matrices is the usual case */
    } else {
        static const uint8_t role[7] = {TVG_ROLE_M, TVG_ROLE_N, TVG_ROLE_K, TVG_ROLE_LDA, TVG_ROLE_LDB, TVG_ROLE_LDC, TVG_ROLE_BATCH};
        for (unsigned i = 0; i < 7; i++)
            s[role[i]] = (int64_t)get_bits(key->word + 1, i * SIZE_BITS, SIZE_BITS);
        op->stride_a = (int64_t)get_bits(key->word + 1, STRIDES_AT, STRIDE_BITS);
        op->stride_b = (int64_t)get_bits(key->word + 1, STRIDES_AT + STRIDE_BITS, STRIDE_BITS);
        op->stride_c = (int64_t)get_bits(key->word + 1, STRIDES_AT + 2 * STRIDE_BITS, STRIDE_BITS);
    }
    set_leading(blas, s, op);
    op->m = not_negative(s[TVG_ROLE_M]), op->n = not_negative(s[TVG_ROLE_N]), op->k = not_negative(s[TVG_ROLE_K]);
    op->batch = not_negative(s[TVG_ROLE_BATCH]);
    bool negative = s[TVG_ROLE_M] < 0 || s[TVG_ROLE_N] < 0 || s[TVG_ROLE_K] < 0;
    if (op->batch == 0 || negative || (!wide && !is_legal(blas, &arg)))
        count_none(op);
    else if (bits_of(key) & TVG_BIT_ALPHA_ZERO)
        count_no_product(op);
    else
        tvg_op_count(op);
}

/* --- a batch behind pointers: groups of equal shape ----------------------------------------------------------------------------------- */
static int64_t element(const void *array, int64_t index, bool long_int)
{
    if (!array)
        return 0;
    return long_int ? tvg_int64_at((const char *)array + 8 * index) : tvg_int32_at((const char *)array + 4 * index);
}

static bool scalar_is_zero(const struct tvg_blas *blas, const void *array, int64_t index)
{
    if (!array)
        return false;
    switch (blas->type_c == TVG_TYPE_BF16 ? TVG_TYPE_BF16 : blas->type_compute) {
    case TVG_TYPE_F64: return tvg_zero_pf64((const char *)array + 8 * index);
    case TVG_TYPE_C64: return tvg_zero_pc64((const char *)array + 8 * index);
    case TVG_TYPE_C128: return tvg_zero_pc128((const char *)array + 16 * index);
    case TVG_TYPE_BF16: return tvg_zero_phalf((const char *)array + 2 * index);
    default: return tvg_zero_pf32((const char *)array + 4 * index);
    }
}

static unsigned group_char(const struct tvg_blas *blas, const void *array, int64_t index)
{
    return blas->fortran ? (unsigned)tvg_char_at((const char *)array + index) : (unsigned)tvg_int32_at((const char *)array + 4 * index) & 0xff;
}

/* A plain name may be called with 64-bit integers. An output's leading dimension is at least 1, so a zero where the second 32-bit one
 * would be is the upper half of the first 64-bit one. */
static bool is_long_int(const struct tvg_blas *blas, const struct tvg_blas_groups *groups)
{
    const void *leading = groups->dims[5] ? groups->dims[5] : groups->dims[4];
    return blas->wide_int || (groups->count > 1 && leading && tvg_int32_at((const char *)leading + 4) == 0);
}

static const uint8_t group_dims[6] = {TVG_ROLE_M, TVG_ROLE_N, TVG_ROLE_K, TVG_ROLE_LDA, TVG_ROLE_LDB, TVG_ROLE_LDC};

void tvg_blas_pack_groups(struct tvg_key *key, const struct tvg_blas *blas, const struct tvg_blas_groups *groups)
{
    memset(key->word + 1, 0, 4 * sizeof *key->word);
    unsigned first_char = blas->fortran ? 0 : 1;
    if (!blas->fortran)
        key->word[0] |= (uint64_t)(groups->order & 0xff) << 16;
    if (groups->count <= 0)
        return;
    bool long_int = is_long_int(blas, groups);
    if (long_int && !blas->wide_int)
        key->word[0] |= (uint64_t)TVG_BIT_LONG_INT << 56;
    if (groups->count == 1) {
        for (unsigned i = 0; blas->chars[first_char + i] != TVG_ROLE_END; i++)
            key->word[0] |= (uint64_t)group_char(blas, groups->chars[i], 0) << (16 + 8 * (first_char + i));
        key->word[0] |= (uint64_t)scalar_is_zero(blas, groups->alpha, 0) << 56 | (uint64_t)scalar_is_zero(blas, groups->beta, 0) << 57;
        int64_t size[7], any = 0;
        for (unsigned i = 0; i < 6; i++)
            any |= size[i] = element(groups->dims[i], 0, long_int);
        any |= size[6] = element(groups->sizes, 0, long_int);
        if ((uint64_t)any >> 31)
            tvg_blas_pack_wide(key, size, 7);
        else
            for (unsigned i = 0; i < 7; i++)
                key->word[1 + i / 2] |= (uint64_t)size[i] << (i % 2 * 32);
        return;
    }
    uint64_t hash = 1, flop = 0, bytes = 0, calls = 0;
    for (int64_t g = 0; g < groups->count; g++) {
        struct tvg_key one = {{0}};
        for (unsigned i = 0; blas->chars[first_char + i] != TVG_ROLE_END; i++)
            one.word[0] |= (uint64_t)group_char(blas, groups->chars[i], g) << (16 + 8 * (first_char + i));
        one.word[0] |= key->word[0] & 0xff0000 & (blas->fortran ? 0 : ~0ull);
        struct arguments arg = unpack_chars(blas, &one);
        for (unsigned i = 0; i < 6; i++)
            hash = mix(hash, (uint64_t)(arg.size[group_dims[i]] = element(groups->dims[i], g, long_int)));
        int64_t batch = element(groups->sizes, g, long_int);
        bool no_product = scalar_is_zero(blas, groups->alpha, g), beta_zero = scalar_is_zero(blas, groups->beta, g);
        hash = mix(mix(hash, (uint64_t)batch), one.word[0] | (uint64_t)no_product << 56 | (uint64_t)beta_zero << 57);
        if (batch <= 0 || !is_legal(blas, &arg))
            continue;
        calls += (uint64_t)batch;
        struct tvg_op op = {.kind = blas->kind, .type_a = blas->type_a, .type_b = blas->type_b, .type_c = blas->type_c,
            .type_compute = blas->type_compute, .m = arg.size[TVG_ROLE_M], .n = arg.size[TVG_ROLE_N], .k = arg.size[TVG_ROLE_K], .batch = batch};
        op.flags = (beta_zero ? TVG_OP_BETA_ZERO : 0) | (arg.character[TVG_ROLE_SIDE] == 'R' ? TVG_OP_RIGHT : 0);
        if (no_product)
            count_no_product(&op);
        else
            tvg_op_count(&op);
        flop = flop + op.flop < flop ? UINT64_MAX : flop + op.flop;
        bytes = bytes + op.bytes < bytes ? UINT64_MAX : bytes + op.bytes;
    }
    key->word[0] |= (uint64_t)TVG_BIT_GROUPS << 56;
    key->word[1] = hash, key->word[2] = flop, key->word[3] = bytes;
    key->word[4] = (uint32_t)calls | (uint64_t)groups->count << 32;
}

void tvg_blas_describe_groups(const struct tvg_entry *entry, const struct tvg_key *key, struct tvg_op *op)
{
    const struct tvg_blas *blas = entry->detail;
    struct arguments arg = unpack_chars(blas, key);
    describe_call(entry, key, &arg, op);
    op->flags |= TVG_OP_BATCH_POINTERS;
    if (bits_of(key) & TVG_BIT_GROUPS) { /* shapes differ: only the sums are kept */
        op->flags |= TVG_OP_BATCH_GROUPED | TVG_OP_FLOP_GIVEN;
        op->batch = (uint32_t)key->word[4];
        op->flop = key->word[2];
        op->bytes = key->word[3];
        return;
    }
    int64_t size[7];
    for (unsigned i = 0; i < 7; i++)
        size[i] = bits_of(key) & TVG_BIT_WIDE ? tvg_blas_unpack_wide(key, i, 7) : (int32_t)(key->word[1 + i / 2] >> (i % 2 * 32));
    for (unsigned i = 0; i < 6; i++)
        arg.size[group_dims[i]] = size[i];
    set_leading(blas, arg.size, op);
    op->m = not_negative(size[0]), op->n = not_negative(size[1]), op->k = not_negative(size[2]), op->batch = not_negative(size[6]);
    if (op->batch == 0 || !is_legal(blas, &arg))
        count_none(op);
    else if (bits_of(key) & TVG_BIT_ALPHA_ZERO)
        count_no_product(op);
    else
        tvg_op_count(op);
}

/* --- cuBLAS enumerations ---------------------------------------------------------------------------------------------------------------- */
uint8_t tvg_cuda_type(unsigned type)
{
    static const uint8_t table[] = {
        [0] = TVG_TYPE_F32, [1] = TVG_TYPE_F64, [2] = TVG_TYPE_F16, [3] = TVG_TYPE_I8, [4] = TVG_TYPE_C64, [5] = TVG_TYPE_C128,
        [8] = TVG_TYPE_U8, [10] = TVG_TYPE_I32, [14] = TVG_TYPE_BF16, [16] = TVG_TYPE_I4, [18] = TVG_TYPE_U4, [20] = TVG_TYPE_I16,
        [12] = TVG_TYPE_I32, [22] = TVG_TYPE_I16, [26] = TVG_TYPE_I64, /* unsigned */
        [24] = TVG_TYPE_I64, [28] = TVG_TYPE_F8_E4M3, [29] = TVG_TYPE_F8_E5M2, [33] = TVG_TYPE_F4_E2M1};
    return type < sizeof table ? table[type] : TVG_TYPE_NONE;
}

const char *tvg_cublas_emulation(unsigned compute)
{
    return compute == 78 ? "emulated by 9 bf16 products" : compute == 79 ? "emulated in fixed point" : NULL;
}

/* The type that multipliers work in. cuBLAS accumulates half types in f32 by default; what is priced is the unit that multiplies. Old code
 * passes a cudaDataType where newer code passes a cublasComputeType. */
uint8_t tvg_cublas_compute(unsigned compute, uint8_t storage)
{
    switch (compute) {
    case 64: case 65: return TVG_TYPE_F16;
    case 68: case 69: /* f32 accumulation: half and fp8 operands go through their own units */
        return storage == TVG_TYPE_F64 || storage == TVG_TYPE_C64 ? TVG_TYPE_F32 : storage;
    case 74: return TVG_TYPE_F16;  /* 32F_FAST_16F */
    case 75: return TVG_TYPE_BF16; /* 32F_FAST_16BF */
    case 77: return TVG_TYPE_TF32; /* 32F_FAST_TF32 */
    case 70: case 71: case 79: return TVG_TYPE_F64;
    case 78: return TVG_TYPE_F32; /* by nine products of bf16 */
    case 72: case 73: return TVG_TYPE_I8;
    case 0: return storage == TVG_TYPE_C64 ? TVG_TYPE_F32 : storage;
    case 1: return TVG_TYPE_F64;
    case 2: return TVG_TYPE_F16;
    case 10: return TVG_TYPE_I8;
    default: return storage;
    }
}
