/* Turns spec tables into C: one body for each entry point, element type and integer width, one stub for each spelling.
 *   specgen FILE.spec            the C on standard output
 *   specgen --list FILE.spec...  one line for each spelling: name, body, integer bits, "bare" or "-" */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_LENGTH = 192, ARGS_MAX = 40, SPELLINGS_MAX = 24, TYPES_MAX = 32, SEEN_MAX = 8192, NUMBERS_PER_FILE = 8192 };

enum class { CHARACTER, DIMENSION, STRIDE, SCALAR, REAL_SCALAR, POINTER, VALUE, GROUP_COUNT };
static const struct role {
    const char *name;
    enum class class;
    const char *constant; /* enum tvg_blas_role, for characters and dimensions */
} roles[] = {
    {"order", CHARACTER, "ORDER"}, {"transa", CHARACTER, "TRANSA"}, {"transb", CHARACTER, "TRANSB"}, {"trans", CHARACTER, "TRANS"},
    {"uplo", CHARACTER, "UPLO"}, {"side", CHARACTER, "SIDE"}, {"diag", CHARACTER, "DIAG"}, {"ident", CHARACTER, "IDENT"},
    {"offset", CHARACTER, "OFFSET"}, {"typea", CHARACTER, "TYPEA"}, {"typec", CHARACTER, "TYPEC"}, {"compute", CHARACTER, "COMPUTE"},
    {"packeda", CHARACTER, "PACKEDA"}, {"packedb", CHARACTER, "PACKEDB"},
    {"m", DIMENSION, "M"}, {"n", DIMENSION, "N"}, {"k", DIMENSION, "K"}, {"kl", DIMENSION, "KL"}, {"ku", DIMENSION, "KU"},
    {"lda", DIMENSION, "LDA"}, {"ldb", DIMENSION, "LDB"}, {"ldc", DIMENSION, "LDC"}, {"incx", DIMENSION, "INCX"}, {"incy", DIMENSION, "INCY"},
    {"batch", DIMENSION, "BATCH"},
    {"stridea", STRIDE, NULL}, {"strideb", STRIDE, NULL}, {"stridec", STRIDE, NULL},
    {"alpha", SCALAR, NULL}, {"beta", SCALAR, NULL}, {"ralpha", REAL_SCALAR, NULL}, {"rbeta", REAL_SCALAR, NULL},
    {"a", POINTER, NULL}, {"b", POINTER, NULL}, {"c", POINTER, NULL}, {"x", POINTER, NULL}, {"y", POINTER, NULL}, {"p", POINTER, NULL},
    {"sizes", POINTER, NULL}, {"va", VALUE, NULL}, {"vb", VALUE, NULL}, {"groups", GROUP_COUNT, NULL},
};

struct argument {
    const struct role *role;
    bool array;
    char operand[3]; /* recorded as these operands, of a, b and c */
    char name[16];
};

struct element_type {
    char letter[16];
    char storage[4][12]; /* a b c compute */
    char scalar[8];     /* float double c64 c128 half */
};

struct spelling {
    char pattern[32];
    bool wide, bare;
};

enum convention { CBLAS, FORTRAN, CUBLAS, ATEN, CONVENTIONS };

struct line {
    char kind[16], pattern[160], flags[8][40];
    struct argument args[ARGS_MAX];
    int arg_count, flag_count;
    bool returns, fortran;
    enum convention convention;
};

static struct element_type types[TYPES_MAX];
static const char *const convention_names[CONVENTIONS] = {"cblas", "fortran", "cublas", "aten"};
static struct spelling spellings[CONVENTIONS][SPELLINGS_MAX];
static int type_count, spelling_count[CONVENTIONS], number, first_number, line_number;
static enum convention convention;
static char libraries[512];
static const char *file_name;
static enum { TO_C, TO_LIST } output;
static char *seen[SEEN_MAX];
static int seen_count;

static void fail(const char *what, const char *word)
{
    fprintf(stderr, "%s:%d: %s%s%s\n", file_name, line_number, what, word ? ": " : "", word ? word : "");
    exit(1);
}

static void copy(char *to, size_t size, const char *from)
{
    if (strlen(from) >= size)
        fail("too long", from);
    strcpy(to, from);
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

static bool has_flag(const struct line *line, const char *flag)
{
    for (int i = 0; i < line->flag_count; i++)
        if (strcmp(line->flags[i], flag) == 0)
            return true;
    return false;
}

static const struct argument *find(const struct line *line, const char *name)
{
    for (int i = 0; i < line->arg_count; i++)
        if (strcmp(line->args[i].name, name) == 0)
            return &line->args[i];
    return NULL;
}

static const struct argument *find_operand(const struct line *line, char operand)
{
    for (int i = 0; i < line->arg_count; i++)
        if (strchr(line->args[i].operand, operand))
            return &line->args[i];
    return NULL;
}

/* The C type that carries an argument through unchanged. Integers by value always travel as 64 bits: whatever width the host meant. */
static const char *c_type(const struct line *line, const struct argument *arg, const struct element_type *type)
{
    if (arg->array || line->fortran || arg->role->class == POINTER)
        return "const void *";
    if (arg->role->class == SCALAR && type->scalar[0] == 'c' && line->convention == CUBLAS)
        return type->scalar[1] == '6' ? "struct tvg_complex64 " : "struct tvg_complex128 ";
    if (arg->role->class == SCALAR && type->scalar[0] != 'h')
        return type->scalar[0] == 'c' ? "const void *" : type->scalar[0] == 'f' ? "float " : "double ";
    if (arg->role->class == REAL_SCALAR)
        return strcmp(type->scalar, "c64") == 0 || type->scalar[0] == 'f' ? "float " : "double ";
    return "int64_t ";
}

/* An expression that is true when the scalar is zero. */
static void print_zero_test(const struct line *line, const struct argument *arg, const struct element_type *type)
{
    bool is_complex = type->scalar[0] == 'c', single = strcmp(type->scalar, "c64") == 0 || type->scalar[0] == 'f';
    if (type->scalar[0] == 'h')
        printf("tvg_zero_%shalf(%s)", line->fortran ? "p" : "", arg->name);
    else if (arg->role->class == SCALAR && is_complex)
        printf("tvg_zero_pc%s(%s%s)", single ? "64" : "128", line->convention == CUBLAS ? "&" : "", arg->name);
    else
        printf("tvg_zero_%sf%s(%s)", line->fortran ? "p" : "", single ? "32" : "64", arg->name);
}

static void print_integer(const struct line *line, const char *name, bool wide)
{
    if (line->fortran)
        printf("tvg_int%d_at(%s)", wide ? 64 : 32, name);
    else
        printf("%s%s", wide ? "" : "(int32_t)", name);
}

/* Number of hidden string lengths: one for each character argument, behind all others, as Fortran compilers pass them. */
static int hidden_lengths(const struct line *line)
{
    int count = 0;
    for (int i = 0; line->fortran && i < line->arg_count; i++)
        count += line->args[i].role->class == CHARACTER;
    return count;
}

static void print_parameters(const struct line *line, const struct element_type *type, bool with_types)
{
    for (int i = 0; i < line->arg_count; i++)
        printf("%s%s%s", i ? ", " : "", with_types ? c_type(line, &line->args[i], type) : "", line->args[i].name);
    for (int i = 0; i < hidden_lengths(line); i++)
        printf(", %slength%d", with_types ? "int64_t " : "", i);
}

static void print_upper(const char *text)
{
    for (; *text; text++)
        putchar(toupper((unsigned char)*text));
}

/* Options of a line that always hold for its ops. */
static const struct { const char *word, *constant; } op_flags[] = {
    {"three_m", "TVG_OP_THREE_M"}, {"row_major", "TVG_OP_ROW_MAJOR"}, {"pointers", "TVG_OP_BATCH_POINTERS"}, {"written", "TVG_OP_BETA_ZERO"}};

static void print_constants(const struct line *line, const struct element_type *type, const char *body, bool wide)
{
    printf("static const struct tvg_blas detail_%s = {.kind = TVG_KIND_", body);
    print_upper(line->kind);
    static const char *const field[4] = {"type_a", "type_b", "type_c", "type_compute"};
    for (int i = 0; i < 4; i++) {
        printf(", .%s = TVG_TYPE_", field[i]);
        print_upper(type->storage[i]);
    }
    for (int i = 0; i < line->flag_count; i++)
        if (strncmp(line->flags[i], "as=", 3) == 0)
            printf(", .label = \"%s\"", line->flags[i] + 3);
    printf(", .fortran = %d, .by_number = %d, .gpu = %d, .wide_int = %d, .chars = {", line->fortran || has_flag(line, "letters"),
           line->convention == CUBLAS || line->convention == ATEN, line->convention == CUBLAS, wide);
    for (int i = 0; i < line->arg_count; i++)
        if (line->args[i].role->class == CHARACTER)
            printf("TVG_ROLE_%s, ", line->args[i].role->constant);
    printf("0}, .dims = {");
    for (int i = 0; i < line->arg_count; i++)
        if (line->args[i].role->class == DIMENSION)
            printf("TVG_ROLE_%s, ", line->args[i].role->constant);
    printf("0}, .flags = 0%s", wide ? " | TVG_OP_ILP64" : "");
    for (size_t i = 0; i < sizeof op_flags / sizeof *op_flags; i++)
        if (has_flag(line, op_flags[i].word))
            printf(" | %s", op_flags[i].constant);
    printf("};\n");
}

static void print_word0(const struct line *line, const struct element_type *type)
{
    printf("    key.word[0] = entry->number");
    int shift = 16;
    for (int i = 0; i < line->arg_count; i++)
        if (line->args[i].role->class == CHARACTER) {
            printf(line->fortran ? " | tvg_char_at(%s) << %d" : " | (uint64_t)(uint8_t)%s << %d", line->args[i].name, shift);
            shift += 8;
        }
    if (shift > 56)
        fail("more than five characters", line->pattern);
    static const char *const scalar[] = {"alpha", "beta"};
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < line->arg_count; i++) {
            const struct argument *arg = &line->args[i];
            if ((arg->role->class == SCALAR || arg->role->class == REAL_SCALAR) && strstr(arg->name, scalar[s])) {
                printf(" | (uint64_t)");
                print_zero_test(line, arg, type);
                printf(" << %d", 56 + s);
            }
        }
    printf(";\n");
}

static void print_plain_key(const struct line *line, const struct element_type *type, bool wide)
{
    const char *dim[16];
    int dims = 0;
    for (int i = 0; i < line->arg_count; i++)
        if (line->args[i].role->class == DIMENSION) {
            if (dims == 8)
                fail("more than eight dimensions", line->pattern);
            dim[dims++] = line->args[i].name;
        }
    print_word0(line, type);
    for (int i = 0; i < dims; i++) {
        printf("    const int64_t d%d = ", i);
        print_integer(line, dim[i], wide);
        printf(";\n");
    }
    for (int word = 0; word < 4; word++) {
        if (2 * word + 1 < dims)
            printf("    key.word[%d] = tvg_pair(d%d, d%d);\n", word + 1, 2 * word, 2 * word + 1);
        else if (2 * word < dims)
            printf("    key.word[%d] = (uint32_t)d%d;\n", word + 1, 2 * word);
        else
            printf("    key.word[%d] = 0;\n", word + 1);
    }
    if (wide && dims > 0) {
        printf("    if (TVG_UNLIKELY((uint64_t)(");
        for (int i = 0; i < dims; i++)
            printf("%sd%d", i ? " | " : "", i);
        printf(") >> 31)) {\n        const int64_t all[] = {");
        for (int i = 0; i < dims; i++)
            printf("%sd%d", i ? ", " : "", i);
        printf("};\n        tvg_blas_pack_wide(&key, all, %d);\n    }\n", dims);
    }
}

static void print_strided_key(const struct line *line, const struct element_type *type, bool wide)
{
    static const char *const size[7] = {"m", "n", "k", "lda", "ldb", "ldc", "batch"}, *const stride[3] = {"stridea", "strideb", "stridec"};
    print_word0(line, type);
    printf("    const int64_t size[7] = {");
    for (int i = 0; i < 7; i++) {
        if (!find(line, size[i]))
            fail("strided needs", size[i]);
        print_integer(line, size[i], wide);
        printf(", ");
    }
    printf("};\n    const int64_t stride[3] = {");
    for (int i = 0; i < 3; i++) {
        print_integer(line, stride[i], wide || line->convention == CUBLAS); /* long long in both widths */
        printf(", ");
    }
    printf("};\n    tvg_blas_pack_strided(&key, size, stride);\n");
}

static void print_groups_key(const struct line *line, const char *body, bool wide)
{
    static const char *const dim[6] = {"m", "n", "k", "lda", "ldb", "ldc"};
    printf("    key.word[0] = entry->number;\n    const struct tvg_blas_groups all = {.chars = {");
    for (int i = 0; i < line->arg_count; i++)
        if (line->args[i].role->class == CHARACTER && line->args[i].array)
            printf("%s, ", line->args[i].name);
    printf("}, .dims = {");
    for (int i = 0; i < 6; i++)
        printf("%s, ", find(line, dim[i]) ? dim[i] : "NULL");
    printf("}, .alpha = alpha, .beta = %s, .a = a, .b = b, .c = %s, .order = %s, .count = ", find(line, "beta") ? "beta" : "NULL",
           find(line, "c") ? "c" : "NULL", find(line, "order") ? "order" : "0");
    print_integer(line, "groups", wide);
    printf(", .sizes = sizes};\n    tvg_blas_pack_groups(&key, &detail_%s, &all);\n", body);
}

static void print_body(const struct line *line, const struct element_type *type, const char *body, bool wide)
{
    const char *result = line->returns ? "int64_t" : "void", *kept = line->returns ? "int64_t result = " : "";
    bool groups = has_flag(line, "groups");
    print_constants(line, type, body, wide);
    printf("typedef %s real_%s(", result, body);
    print_parameters(line, type, true);
    printf(");\nTVG_BODY %s body_%s(", result, body);
    print_parameters(line, type, true);
    printf(")\n{\n    TVG_TAKE_ENTRY(entry);\n    void *const caller = __builtin_return_address(0);\n"
           "    struct tvg_call call __attribute__((cleanup(tvg_call_release)));\n"
           "    if (TVG_UNLIKELY(%s!tvg_call_begin(&call, __builtin_frame_address(0)))) {\n        %sTVG_FUNCTION(real_%s, tvg_target(entry, caller))(",
           has_flag(line, "panel") ? "tvg_is_panel(c) || " : "", line->returns ? "return " : "", body);
    print_parameters(line, type, false);
    printf(");\n%s    }\n    struct tvg_key key;\n", line->returns ? "" : "        return;\n");
    if (groups)
        print_groups_key(line, body, wide);
    else if (has_flag(line, "strided"))
        print_strided_key(line, type, wide);
    else
        print_plain_key(line, type, wide);
    printf("    key.word[5] = (uintptr_t)caller;\n"
           "    struct tvg_slot *const slot = tvg_slot_find(&call, entry, &key);\n"
           "    void *target = TVG_LIKELY(slot != NULL) ? slot->target : NULL;\n"
           "    if (TVG_UNLIKELY(target == NULL))\n        target = tvg_target(entry, caller);\n");
    if (groups) {
        printf("    const void *const first[3] = {");
        for (char operand = 'a'; operand <= 'c'; operand++) {
            const struct argument *arg = find_operand(line, operand);
            if (arg)
                printf("tvg_blas_first(%s, all.count > 0), ", arg->name);
            else
                printf("NULL, ");
        }
        printf("};\n");
    }
    bool gpu = line->convention == CUBLAS; /* a call that returns an error computed nothing */
    printf("    %s;\n    %sTVG_FUNCTION(real_%s, target)(", gpu ? "tvg_gpu_call_begin(&call, slot)" : "call.start = tvg_now()", kept, body);
    print_parameters(line, type, false);
    printf(");\n    if (%sTVG_LIKELY(slot != NULL))\n        tvg_call_end(&call, slot", !gpu ? "" : line->returns ? "tvg_gpu_call_ran(entry, (int32_t)result) && " : "tvg_gpu_call_ran(entry, 0) && ");
    for (char operand = 'a'; operand <= 'c'; operand++) {
        if (groups)
            printf(", first[%d]", operand - 'a');
        else
            printf(", %s", find_operand(line, operand) ? find_operand(line, operand)->name : "NULL");
    }
    printf(");\n%s}\n\n", line->returns ? "    return result;\n" : "");
}

/* A spelling pattern applied to a name: @ is the name, ^ the name in upper case. */
static void spell(char *out, size_t size, const char *pattern, const char *name)
{
    size_t used = 0;
    for (; *pattern; pattern++) {
        const char *source = *pattern == '@' || *pattern == '^' ? name : NULL;
        size_t length = source ? strlen(source) : 1;
        if (used + length + 1 > size)
            fail("name too long", name);
        for (size_t i = 0; i < length; i++)
            out[used++] = source ? (*pattern == '^' ? (char)toupper((unsigned char)source[i]) : source[i]) : *pattern;
    }
    out[used] = 0;
}

static void print_spelling(const struct line *line, const struct spelling *spelling, const char *name, const char *body)
{
    char symbol[NAME_MAX_LENGTH], witness[NAME_MAX_LENGTH];
    spell(symbol, sizeof symbol, spelling->pattern, name);
    for (int i = 0; i < seen_count; i++)
        if (strcmp(seen[i], symbol) == 0)
            fail("spelled twice", symbol);
    if (seen_count == SEEN_MAX)
        fail("too many names", symbol);
    seen[seen_count++] = strdup(symbol);
    if (number >= first_number + NUMBERS_PER_FILE)
        fail("more names than numbers in a file", symbol);
    if (output == TO_LIST)
        printf("%s\t%s\t%d\t%s\n", symbol, body, spelling->wide ? 64 : 32, spelling->bare ? "bare" : "-");
    else {
        spell(witness, sizeof witness, "@_", name);
        const char *describe = has_flag(line, "groups") ? "_groups" : has_flag(line, "strided") ? "_strided" : "";
        printf("extern const char tvg_stub_%d[] __attribute__((visibility(\"hidden\")));\n"
               "static const struct tvg_catch tvg_catch_%d TVG_CATCH_SECTION = {{\"%s\", tvg_blas_describe%s, &detail_%s, %d, TVG_NET_SYMBOL},\n"
               "    (void (*)(void))body_%s, (void *)tvg_stub_%d, 0x%08xu, %d, 0, ",
               number, number, symbol, describe, body, number, body, number, gnu_hash(symbol), spelling->bare);
        printf(spelling->bare ? "\"%s\"};\n" : "NULL};\n", witness);
        printf("TVG_STUB%s(\"%s\", \"tvg_stub_%d\", \"tvg_catch_%d\", \"body_%s\");\n", spelling->bare ? "_GATED" : "", symbol, number, number, body);
    }
    number++;
}

/* Takes "+all" from the end of a line: true when it was there. */
static bool take_option(char *rest, const char *option)
{
    char *found = strstr(rest, option);
    if (!found || (found[strlen(option)] && !isspace((unsigned char)found[strlen(option)])))
        return false;
    memset(found, ' ', strlen(option));
    return true;
}

/* What a line ends with: "+all", and for hooks "+spelled". */
static bool take_all(char *rest, bool *spelled)
{
    bool all = take_option(rest, "+all");
    if (spelled)
        *spelled = take_option(rest, "+spelled");
    if (strchr(rest, '+'))
        fail("no such option", strchr(rest, '+'));
    return all;
}

static void print_hook(const char *name, const char *body, const char *describe, bool all)
{
    for (int i = 0; i < seen_count; i++)
        if (strcmp(seen[i], name) == 0)
            fail("spelled twice", name);
    if (seen_count == SEEN_MAX || number >= first_number + NUMBERS_PER_FILE)
        fail("too many names", name);
    seen[seen_count++] = strdup(name);
    if (output == TO_LIST)
        printf("%s\t%s\t64\thook\n", name, body);
    else {
        if (describe)
            printf("tvg_describe %s;\n", describe);
        printf("extern const char tvg_stub_%d[] __attribute__((visibility(\"hidden\")));\nvoid %s(void);\n"
               "static const struct tvg_catch tvg_catch_%d TVG_CATCH_SECTION = {{\"%s\", %s, NULL, %d, TVG_NET_SYMBOL},\n"
               "    %s, (void *)tvg_stub_%d, 0x%08xu, 0, %d, NULL};\nTVG_STUB%s(\"%s\", \"tvg_stub_%d\", \"tvg_catch_%d\", \"%s\");\n",
               number, body, number, name, describe ? describe : "NULL", number, body, number, gnu_hash(name), all, all ? "_GATED" : "", name, number,
               number, body);
    }
    number++;
}

static void print_spelled_hook(const char *name, const char *body, const char *describe, bool all)
{
    char symbol[NAME_MAX_LENGTH];
    for (int i = 0; i < spelling_count[convention]; i++) {
        spell(symbol, sizeof symbol, spellings[convention][i].pattern, name);
        print_hook(symbol, body, describe, all);
    }
}

/* hook NAME BODY [DESCRIBE] [+all] [+spelled]: the call is no product whose arguments make the op; a body written by hand (shim/hooks) stands for it. +spelled:
 * a name for each spelling of the convention, and for each letter where NAME begins with some in brackets: [sd]gesv. */
static void read_hook(char **rest)
{
    bool spelled, all = take_all(*rest, &spelled);
    const char *name = strtok_r(NULL, " \t\n", rest), *body = name ? strtok_r(NULL, " \t\n", rest) : NULL;
    const char *describe = body ? strtok_r(NULL, " \t\n", rest) : NULL, *close = name ? strchr(name, ']') : NULL;
    char one[NAME_MAX_LENGTH];
    if (!body || (describe && strtok_r(NULL, " \t\n", rest)) || (spelled && (name[0] == '[') != (close != NULL)))
        fail("hook NAME BODY [DESCRIBE] [+all] [+spelled]", name);
    if (!spelled)
        print_hook(name, body, describe, all);
    else if (!close)
        print_spelled_hook(name, body, describe, all);
    else
        for (const char *letter = name + 1; letter < close; letter++) {
            snprintf(one, sizeof one, "%c%s", *letter, close + 1);
            print_spelled_hook(one, body, describe, all);
        }
}

/* inline NAME BODY|- [+all]: patched in the libraries named by the last `libraries` line, or only found there. */
struct rule {
    const char *name, *describe, *detail, *body, *by, *witness; /* by, slot, witness: as in struct tvg_inline_rule */
    int slot;
    bool all;
};

static void print_rule(struct rule rule)
{
    if (!libraries[0])
        fail("inline needs a libraries line before it", rule.name);
    bool open = rule.name[strlen(rule.name) - 1] == '*' && strcmp(rule.by, "TVG_BY_SYMBOL") == 0;
    if (open && strlen(rule.name) <= 24)
        fail("a name that ends in * needs 24 letters before it", rule.name);
    if (output == TO_LIST)
        printf("%s\t%s\t64\tinline\n", rule.name, rule.body);
    else
        printf("static const struct tvg_inline_rule tvg_rule_%d TVG_INLINE_SECTION = {{{\"%s\", %s, %s, 0, TVG_NET_INLINE},\n"
               "    (void (*)(void))%s, NULL, 0x%08xu, 0, %d, NULL}, \"%s\", %s, %d, %s%s%s};\n\n",
               number, rule.name, rule.describe, rule.detail, rule.body, open ? 0 : gnu_hash(rule.name), rule.all, libraries, rule.by, rule.slot,
               rule.witness ? "\"" : "", rule.witness ? rule.witness : "NULL", rule.witness ? "\"" : "");
    number++;
}

static void read_inline(char **rest)
{
    bool described = take_option(*rest, "+described"), all = take_all(*rest, NULL);
    const char *name = strtok_r(NULL, " \t\n", rest), *body = name ? strtok_r(NULL, " \t\n", rest) : NULL;
    const char *mark = name ? strchr(name, '?') : NULL, *word = body ? strtok_r(NULL, " \t\n", rest) : NULL;
    if (!body || !mark != !word)
        fail("inline NAME BODY [+described] [+all], inline NAME -, or inline NAME? BODY WORD...", name);
    bool only_found = strcmp(body, "-") == 0;
    if (output == TO_C && !only_found)
        printf("void %s(void);\n", body);
    struct rule rule = {name, described ? "tvg_described" : "NULL", "NULL", only_found ? "NULL" : body, "TVG_BY_SYMBOL", NULL, 0, all};
    if (!mark)
        print_rule(rule);
    for (; word; word = strtok_r(NULL, " \t\n", rest)) {
        char whole[2 * NAME_MAX_LENGTH + 64];
        if (snprintf(whole, sizeof whole, "%.*s%s%s", (int)(mark - name), name, word, mark + 1) >= (int)sizeof whole)
            fail("too long", word);
        rule.name = whole;
        print_rule(rule);
    }
}

/* vtable CLASS SLOT BODY|- [DESCRIBE] [+all]    the same for the virtual function in a slot, counted from 0, of the class with that typeinfo name;
 *                                          a '*' at its end stands for any ending
 * derived CLASS SLOT BODY|- [DESCRIBE] [+all]   of every class that derives from it
 * override CLASS SLOT BODY WITNESS [+all]  in the first slot from that one on where CLASS has a function other than WITNESS's */
static void read_vtable(const char *keyword, char **rest)
{
    bool all = take_all(*rest, NULL), override = strcmp(keyword, "override") == 0;
    const char *name = strtok_r(NULL, " \t\n", rest), *slot = name ? strtok_r(NULL, " \t\n", rest) : NULL;
    const char *body = slot ? strtok_r(NULL, " \t\n", rest) : NULL, *more = body ? strtok_r(NULL, " \t\n", rest) : NULL;
    if (!body || (override && !more) || strtok_r(NULL, " \t\n", rest))
        fail("vtable CLASS SLOT BODY [DESCRIBE], derived CLASS SLOT BODY [DESCRIBE], or override CLASS SLOT BODY WITNESS", name);
    bool only_found = strcmp(body, "-") == 0;
    if (output == TO_C && !only_found)
        printf("void %s(void);\n", body);
    if (output == TO_C && more && !override)
        printf("tvg_describe %s;\n", more);
    print_rule((struct rule){name, more && !override ? more : "NULL", "NULL", only_found ? "NULL" : body,
                             strcmp(keyword, "derived") == 0 ? "TVG_BY_BASE" : "TVG_BY_CLASS", override ? more : NULL, atoi(slot), all});
}

static void expand(const struct line *line, const struct element_type *type)
{
    char name[NAME_MAX_LENGTH];
    const char *mark = strchr(line->pattern, '?');
    if (mark)
        snprintf(name, sizeof name, "%.*s%.16s%.159s", (int)(mark - line->pattern), line->pattern, type->letter, mark + 1);
    else
        copy(name, sizeof name, line->pattern);
    if (has_flag(line, "inline")) {
        char body[NAME_MAX_LENGTH + 16], detail[NAME_MAX_LENGTH + 32], function[NAME_MAX_LENGTH + 32];
        snprintf(body, sizeof body, "%s_64", name);
        snprintf(detail, sizeof detail, "&detail_%s", body);
        snprintf(function, sizeof function, "body_%s", body);
        if (output == TO_C)
            print_body(line, type, body, true);
        print_rule((struct rule){name, has_flag(line, "strided") ? "tvg_blas_describe_strided" : "tvg_blas_describe", detail, function, "TVG_BY_SYMBOL",
                                 NULL, 0, has_flag(line, "all")});
        return;
    }
    for (int wide = 0; wide < 2; wide++) {
        char body[NAME_MAX_LENGTH + 16];
        bool printed = false;
        snprintf(body, sizeof body, "%s%s_%d", name, line->fortran ? "_fortran" : has_flag(line, "letters") ? "_letters" : "", wide ? 64 : 32);
        for (int i = 0; i < spelling_count[line->convention]; i++) {
            const struct spelling *spelling = &spellings[line->convention][i];
            if (spelling->wide != wide)
                continue;
            if (!printed && output == TO_C)
                print_body(line, type, body, wide);
            printed = true;
            print_spelling(line, spelling, name, body);
        }
    }
}

static const struct element_type *type_named(const char *letter);

/* What an argument of a `tensors` line is. */
struct tensor_role {
    const char *word;
    enum { PASSED, PACKED, TENSOR_A, TENSOR_B, TENSOR_C, TENSOR_AC, ALSO, OPTIONALLY } role;
    int offset; /* from the address that is given to where the tensor lies */
};
static const struct tensor_role tensor_roles[] = {
    {"p", PASSED, 0}, {"d", PASSED, 0}, {"this", PACKED, 0}, {"a", TENSOR_A, 0}, {"b", TENSOR_B, 0}, {"c", TENSOR_C, 0}, {"ac", TENSOR_AC, 0},
    {"e", ALSO, 0}, {"o", OPTIONALLY, 1}, {"result", TENSOR_C, 0}, {"results3", TENSOR_C, 16}}; /* a tuple's first lies last */

/* A `tensors` line without its words: the patterns of label and name, and the body's parts. */
struct tensors {
    const char *kind, *label, *type, *name;
    char list[512], typed[512], operand[4][48], also[256];
    bool all, otherwise;
};

/* '?' is the word; <...> is an identifier behind its length, as in mangled names. */
static void fill_pattern(char *out, size_t size, const char *pattern, const char *word)
{
    char identifier[NAME_MAX_LENGTH];
    size_t used = 0;
    for (; *pattern && used + 1 < size; pattern++) {
        const char *end = *pattern == '<' ? strchr(pattern, '>') : NULL;
        if (*pattern == '?' && word)
            used += (size_t)snprintf(out + used, size - used, "%s", word);
        else if (end) {
            char inner[NAME_MAX_LENGTH];
            snprintf(inner, sizeof inner, "%.*s", (int)(end - pattern - 1), pattern + 1);
            fill_pattern(identifier, sizeof identifier, inner, word);
            used += (size_t)snprintf(out + used, size - used, "%zu%s", strlen(identifier), identifier);
            pattern = end;
        } else
            out[used++] = *pattern;
    }
    if (used + 1 >= size)
        fail("too long", pattern);
    out[used] = 0;
}

static void print_tensors(const struct tensors *line, const char *word)
{
    char name[NAME_MAX_LENGTH], label[NAME_MAX_LENGTH], detail[64], body[64];
    fill_pattern(name, sizeof name, line->name, word);
    fill_pattern(label, sizeof label, line->label, word);
    snprintf(detail, sizeof detail, "&torch_%d", number);
    snprintf(body, sizeof body, "body_torch_%d", number);
    if (output == TO_C) {
        printf("static const struct tvg_torch torch_%d = {\"%s\", TVG_KIND_", number, label);
        print_upper(line->kind);
        for (int i = 0; i < 4; i++) {
            printf(", TVG_TYPE_");
            print_upper(strcmp(line->type, "-") == 0 ? "none" : type_named(line->type)->storage[i]);
        }
        printf("};\ntypedef uintptr_t real_torch_%d(%s);\nTVG_BODY uintptr_t %s(%s)\n{\n    TVG_TAKE_ENTRY(entry);\n"
               "    const struct tvg_torch_operands operands = {%s, %s, %s, %s, {%s}};\n    TVG_TORCH_%s(entry, real_torch_%d, (%s), operands);\n}\n",
               number, line->typed, body, line->typed, line->operand[0], line->operand[1], line->operand[2], line->operand[3], line->also[0] ? line->also : "0",
               line->otherwise ? "OTHERWISE" : "BODY", number, line->list);
    }
    print_rule((struct rule){name, "tvg_torch_describe", detail, body, "TVG_BY_SYMBOL", NULL, 0, line->all});
}

/* tensors KIND LABEL TYPE NAME | ARGUMENTS [+all] [+otherwise] [= WORDS]: functions of PyTorch, patched as inline ones are. */
static void read_tensors(char **rest)
{
    struct tensors line = {.kind = strtok_r(NULL, " \t\n", rest), .label = strtok_r(NULL, " \t\n", rest), .type = strtok_r(NULL, " \t\n", rest),
                           .name = strtok_r(NULL, " \t\n", rest), .operand = {"NULL", "NULL", "NULL", "NULL"}};
    char *word = strtok_r(NULL, " \t\n", rest);
    int count = 0;
    if (!word || strcmp(word, "|") != 0)
        fail("tensors KIND LABEL TYPE NAME | ARGUMENTS", line.name);
    while ((word = strtok_r(NULL, " \t\n", rest)) != NULL && strcmp(word, "=") != 0) {
        const struct tensor_role *role = tensor_roles, *end = tensor_roles + sizeof tensor_roles / sizeof *tensor_roles;
        if (strcmp(word, "+all") == 0 || strcmp(word, "+otherwise") == 0) {
            *(word[1] == 'a' ? &line.all : &line.otherwise) = true;
            continue;
        }
        while (role < end && strcmp(role->word, word) != 0)
            role++;
        if (role == end)
            fail("no such argument", word);
        size_t used = strlen(line.list), used_typed = strlen(line.typed), used_also = strlen(line.also);
        snprintf(line.list + used, sizeof line.list - used, "%sx%d", count ? ", " : "", count);
        snprintf(line.typed + used_typed, sizeof line.typed - used_typed, "%s%s x%d", count ? ", " : "", word[0] == 'd' ? "double" : "uintptr_t", count);
        if (role->role == ALSO || role->role == OPTIONALLY)
            snprintf(line.also + used_also, sizeof line.also - used_also, "x%d + %d, ", count, role->offset);
        else if (role->role != PASSED)
            for (int i = 0; i < 4; i++)
                if (i + PACKED == (int)role->role || (role->role == TENSOR_AC && (i == 1 || i == 3)))
                    snprintf(line.operand[i], sizeof line.operand[i], "(const void *)(x%d + %d)", count, role->offset);
        if (++count == ARGS_MAX)
            fail("too many arguments", line.name);
    }
    if (!word)
        print_tensors(&line, NULL);
    else
        while ((word = strtok_r(NULL, " \t\n", rest)) != NULL)
            print_tensors(&line, word);
}

static const struct element_type *type_named(const char *letter)
{
    for (int i = 0; i < type_count; i++)
        if (strcmp(types[i].letter, letter) == 0)
            return &types[i];
    fail("no such type", letter);
    return NULL;
}

static void read_argument(struct line *line, char *word)
{
    struct argument *arg = &line->args[line->arg_count++];
    if (line->arg_count == ARGS_MAX)
        fail("too many arguments", line->pattern);
    char *operand = strchr(word, ':'), *array;
    if (operand)
        *operand++ = 0;
    if ((array = strstr(word, "[]")) != NULL) {
        *array = 0;
        arg->array = true;
    }
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(roles[i].name, word) == 0)
            arg->role = &roles[i];
    if (!arg->role)
        fail("no such argument", word);
    copy(arg->name, sizeof arg->name, word);
    for (int i = 0, same = 1; i < line->arg_count - 1; i++)
        if (line->args[i].role == arg->role) {
            if (strcmp(word, "p") != 0)
                fail("argument given twice", word);
            snprintf(arg->name, sizeof arg->name, "p%d", ++same);
        }
    if (operand)
        copy(arg->operand, sizeof arg->operand, operand);
    else if (arg->role->class == POINTER && word[1] == 0 && word[0] != 'p')
        arg->operand[0] = word[0] == 'x' ? 'b' : word[0] == 'y' ? 'c' : word[0];
}

static void read_entry(char *kind, char **rest)
{
    struct line line = {.fortran = convention == FORTRAN, .convention = convention};
    const char *letters[TYPES_MAX];
    int letter_count = 0;
    char *word = strtok_r(NULL, " \t\n", rest);
    copy(line.kind, sizeof line.kind, kind);
    if (!word)
        fail("a name is missing behind", kind);
    copy(line.pattern, sizeof line.pattern, word);
    while ((word = strtok_r(NULL, " \t\n", rest)) != NULL && strcmp(word, "|") != 0)
        letters[letter_count++] = word;
    if (!word)
        fail("'|' is missing behind the types", line.pattern);
    while ((word = strtok_r(NULL, " \t\n", rest)) != NULL) {
        if (word[0] == '+')
            copy(line.flags[line.flag_count++], sizeof line.flags[0], word + 1);
        else if (strcmp(word, "->") == 0) {
            strtok_r(NULL, " \t\n", rest);
            line.returns = true;
        } else
            read_argument(&line, word);
    }
    for (int i = 0; i < letter_count; i++)
        expand(&line, type_named(letters[i]));
}

static void read_spellings(char **rest)
{
    char *word;
    spelling_count[convention] = 0;
    while ((word = strtok_r(NULL, " \t\n", rest)) != NULL) {
        if (spelling_count[convention] == SPELLINGS_MAX)
            fail("too many spellings", word);
        struct spelling *spelling = &spellings[convention][spelling_count[convention]++];
        char *wide = strstr(word, "=64");
        if (wide)
            *wide = 0;
        *spelling = (struct spelling){.wide = wide != NULL, .bare = word[0] == '!'};
        copy(spelling->pattern, sizeof spelling->pattern, word + spelling->bare);
    }
}

static void read_type(char **rest)
{
    struct element_type *type = &types[type_count++];
    char *word = strtok_r(NULL, " \t\n", rest);
    if (type_count == TYPES_MAX || !word)
        fail("too many types, or no name", NULL);
    copy(type->letter, sizeof type->letter, word);
    for (int i = 0; i < 4; i++) {
        if (!(word = strtok_r(NULL, " \t\n", rest)))
            fail("a type needs storage of a, b, c and compute", type->letter);
        copy(type->storage[i], sizeof type->storage[i], word);
    }
    if (!(word = strtok_r(NULL, " \t\n", rest)))
        fail("a type needs a scalar", type->letter);
    copy(type->scalar, sizeof type->scalar, word);
}

static void read_convention(const char *name)
{
    for (convention = 0; convention < CONVENTIONS; convention++)
        if (name && strcmp(name, convention_names[convention]) == 0)
            return;
    fail("no such convention", name);
}

static void read_libraries(const char *rest)
{
    while (isspace((unsigned char)*rest))
        rest++;
    copy(libraries, sizeof libraries, rest);
    for (size_t length = strlen(libraries); length > 0 && isspace((unsigned char)libraries[length - 1]);)
        libraries[--length] = 0;
}

static void read_file(const char *path)
{
    char text[2048];
    FILE *file = fopen(path, "r");
    file_name = path;
    line_number = 0;
    if (!file)
        fail("cannot be opened", NULL);
    while (fgets(text, sizeof text, file)) {
        line_number++;
        char *comment = strchr(text, '#'), *rest = NULL;
        if (comment)
            *comment = 0;
        char *word = strtok_r(text, " \t\n", &rest);
        if (!word)
            continue;
        if (strcmp(word, "convention") == 0)
            read_convention(strtok_r(NULL, " \t\n", &rest));
        else if (strcmp(word, "spellings") == 0)
            read_spellings(&rest);
        else if (strcmp(word, "type") == 0)
            read_type(&rest);
        else if (strcmp(word, "hook") == 0)
            read_hook(&rest);
        else if (strcmp(word, "inline") == 0)
            read_inline(&rest);
        else if (strcmp(word, "vtable") == 0 || strcmp(word, "derived") == 0 || strcmp(word, "override") == 0)
            read_vtable(word, &rest);
        else if (strcmp(word, "tensors") == 0)
            read_tensors(&rest);
        else if (strcmp(word, "libraries") == 0)
            read_libraries(rest);
        else if (strcmp(word, "numbers") == 0)
            first_number = number = atoi(strtok_r(NULL, " \t\n", &rest));
        else
            read_entry(word, &rest);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    int first = 1;
    if (argc > 1 && argv[1][0] == '-') {
        output = TO_LIST;
        first = 2;
    }
    if (first >= argc) {
        fprintf(stderr, "use: specgen FILE.spec | --list FILE.spec...\n");
        return 1;
    }
    if (output == TO_C)
        printf("/* Made by specgen from %s: change that instead. */\n#include \"shim/hooks/blas.h\"\n#include \"shim/hooks/described.h\"\n#include \"shim/hooks/torch.h\"\n#include \"shim/intercept/inline.h\"\n#include \"shim/hooks/gpu_call.h\"\n\n", argv[first]);
    for (int i = first; i < argc; i++) {
        type_count = spelling_count[0] = spelling_count[1] = 0;
        read_file(argv[i]);
    }
    return fflush(stdout) != 0 || ferror(stdout);
}
