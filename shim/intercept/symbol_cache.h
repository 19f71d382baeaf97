/* Where the rules' names stand in a large library's symbol table, kept from one process to the next: looking through a million names costs tens of
 * milliseconds each time. A folder of the user's own (TVG_CACHE); anything odd about it, and the table is looked through as if there were none. */
#ifndef TVG_SHIM_SYMBOL_CACHE_H
#define TVG_SHIM_SYMBOL_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum { TVG_SYMBOLS_MAX = 4096 };
struct tvg_symbols {
    uint32_t count; /* more than TVG_SYMBOLS_MAX: not all of them are here */
    uint32_t number[TVG_SYMBOLS_MAX];
};

/* Reads TVG_CACHE, XDG_CACHE_HOME and HOME. Once, at load. */
void tvg_symbol_cache_start(void);

/* What was written for this very file (device, inode, size, times) and these `rules` (a hash of all that decides what is looked for). The numbers are to be
 * checked: a symbol that is no longer what it was makes the list worth nothing. False: nothing is known. */
bool tvg_symbol_cache_read(const struct stat *file, uint64_t rules, struct tvg_symbols *symbols);
/* Keeps them, if that can be done quietly. */
void tvg_symbol_cache_write(const struct stat *file, uint64_t rules, const struct tvg_symbols *symbols);

#endif
