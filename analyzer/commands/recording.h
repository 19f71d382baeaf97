/* One command run under the shim, its traces in a folder: what tvg record and tvg run share. */
#ifndef TVG_RECORDING_H
#define TVG_RECORDING_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "program.h"

/* What the traces of a run tell at a glance. */
struct tvg_seen {
    uint64_t ops, bytes, lost;
    uint32_t traces, without_ops, unreadable, unfinished, not_crash_safe, children_lost;
    char child_lost[400], not_entered[400], found[128], refused[512];
    bool shim_saw_library;
};

struct tvg_recording {
    const char *name;    /* of the tvg command, for messages */
    const char *output;  /* the folder for the traces, made, or empty; NULL: tvg-LABEL-TIME */
    const char *label;
    const char *sources, *operations; /* TVG_SOURCES, TVG_OPS, or NULL */
    bool stacks;
    struct tvg_program program; /* what follows is filled */
    char folder[PATH_MAX];      /* as people call it */
    bool gone;                  /* it was made, and removed again since no trace came */
    int status;                 /* of wait() */
    struct tvg_seen seen;
};

/* Runs `command` (found by PATH, NULL-terminated), passes signals on, waits, and looks at its traces. TVG_EXIT_OK when it ran, whatever became of it;
 * else TVG_EXIT_NOT_FOUND, TVG_EXIT_NOT_EXECUTABLE or TVG_EXIT_BAD after a message on stderr. */
int tvg_recording_run(struct tvg_recording *recording, char **command);

/* On stderr: how much was recorded and where, and what was not and why; `quiet`: only what went wrong. */
void tvg_recording_summary(const struct tvg_recording *recording, bool quiet);

#endif
