/* The third net: functions that their own library calls directly are patched at names from its symbol table, when it is loaded, before its
 * constructors run. Which names in which libraries: `inline` lines of the spec tables. */
#ifndef TVG_SHIM_INLINE_H
#define TVG_SHIM_INLINE_H

#include "wrapper.h"

/* One rule: a name, the body that stands for it, and where it is looked for. */
struct tvg_inline_rule {
    struct tvg_catch catch;  /* the entry, body and hash that each patched address gets a copy of; body NULL: only found, for tvg_inline_symbol */
    const char *libraries;   /* beginnings of file names, separated by blanks */
    enum { TVG_BY_SYMBOL, TVG_BY_CLASS, TVG_BY_BASE } by; /* the name is a symbol's; a class's typeinfo name (a '*' at its end: whatever follows); a base class's */
    unsigned slot;           /* of classes: which virtual function (vtable.h) */
    const char *witness;     /* not NULL: the first slot from there on that this class does not have in common */
};
extern const struct tvg_inline_rule __start_tvg_inline_rules[] __attribute__((visibility("hidden")));
extern const struct tvg_inline_rule __stop_tvg_inline_rules[] __attribute__((visibility("hidden")));
/* Rules stay in the order of the tables, which says what an earlier line keeps from a later one: gcc would turn it round, clang does not. */
#if defined(__GNUC__) && !defined(__clang__)
#define TVG_INLINE_SECTION __attribute__((section("tvg_inline_rules"), used, aligned(8), no_reorder))
#else
#define TVG_INLINE_SECTION __attribute__((section("tvg_inline_rules"), used, aligned(8)))
#endif

/* Patches what is loaded already and asks the dynamic linker to be told of what comes. Once, at load. */
void tvg_inline_start(void);
/* The address of a name that a rule looks for, in the object that holds `code` (NULL: in any); NULL when it has none. */
void *tvg_inline_symbol(const void *code, const char *name);

/* Where the object lies that holds `code`, if a rule found something in it. */
bool tvg_inline_object(const void *code, uintptr_t *begin, uintptr_t *end);

/* For a relocated original (what a patched function's wrapper calls), the function's own address; any other address unchanged. */
const void *tvg_inline_code(const void *original);

/* The name that a rule found at this address, before it was patched; NULL: none did. */
const char *tvg_inline_name(const void *address);

#endif
