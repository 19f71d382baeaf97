/* What can be told of a command before it runs: where it is, whether a preload reaches it, what it links; and where the shim is. */
#ifndef TVG_PROGRAM_H
#define TVG_PROGRAM_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "../result.h"

enum { TVG_EXIT_NOT_EXECUTABLE = 126, TVG_EXIT_NOT_FOUND = 127 }; /* as shells say it */

struct tvg_program {
    char path[PATH_MAX];         /* the file that is executed */
    char binary[PATH_MAX];       /* the ELF file that runs in the end: path itself, or the script's interpreter */
    char script_interpreter[PATH_MAX]; /* "" when path is no script */
    char loader[256];            /* PT_INTERP of binary, "" when static */
    bool elf;                    /* binary is an ELF file */
    bool other_machine;          /* of another processor or word size: the shim can't be loaded into it */
    bool is_static;              /* has no loader: a preload never reaches it */
    bool secure;                 /* setuid, setgid or file capabilities (for a user who is not root): the loader ignores the preload */
    bool through_wrapper;        /* sudo, ssh, docker, ...: starts the real command with another environment or elsewhere */
    char asan[64];               /* "libasan.so.8" when it needs that library, else "" */
    bool asan_static;            /* has AddressSanitizer linked in */
};

/* Finds `name` as execvp would (PATH when it has no slash) and looks into it. Returns 0, TVG_EXIT_NOT_FOUND or TVG_EXIT_NOT_EXECUTABLE
 * (with program->path filled as far as known). */
int tvg_program_find(struct tvg_program *program, const char *name);

/* The libraries that the loader would map for program->binary, by its own listing (nothing of the program runs). Calls `library` with each
 * path or name. False when it can't be listed. */
bool tvg_program_libraries(const struct tvg_program *program, void (*library)(const char *path, void *context), void *context);

/* Finds libtvgshim.so: $TVG_SHIM, beside the tvg binary, in ../lib beside its folder. */
bool tvg_shim_find(char path[PATH_MAX], struct tvg_error *error);

/* The value of LD_PRELOAD that records `program`: a needed AddressSanitizer library first (it insists), the shim, then what was there. malloc'ed. */
char *tvg_preload_value(const struct tvg_program *program, const char *shim);

#endif
