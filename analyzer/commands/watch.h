/* Processes of a recorded command that the shim does not see into, or in which it saw no op: their CPU time sampled from outside. */
#ifndef TVG_WATCH_H
#define TVG_WATCH_H

#include <stdbool.h>
#include <sys/types.h>

struct tvg_watch;

/* Watches `root` and what descends from it, from a thread of ours: a process is sampled once it has used 0.1 CPU s, unless it has a trace in `folder`
 * by then, which has samples of its own. `shim`: the file whose absence from a process is told. NULL when no thread can be made. */
struct tvg_watch *tvg_watch_start(pid_t root, const char *folder, const char *shim);
/* Takes what is left: to be called when `root` has ended and was not waited for yet. */
void tvg_watch_end(struct tvg_watch *watch);
/* Writes what was sampled: into the trace of a process that left one without ops, else into a new one that says why the shim was not there. Frees
 * `watch`, which may be NULL. */
void tvg_watch_write(struct tvg_watch *watch);

/* True when a list as in TVG_SOURCES (NULL: none given) has the source "dark" in it. */
bool tvg_watch_wanted(const char *sources);

#endif
