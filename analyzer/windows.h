/* When kernels were recorded: the windows of a trace that was recorded in windows (FORMAT.md, "MARK"). */
#ifndef TVG_WINDOWS_H
#define TVG_WINDOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "reader.h"

enum { TVG_WINDOW_GROUPS = 16 }; /* samples are dealt out to so many groups: what lies between the groups is the sampling error */

struct tvg_window {
    double open_ns, close_ns; /* CLOCK_MONOTONIC */
    bool whole;               /* recorded for an open time, not as a sample */
    uint64_t launches, graph_launches; /* of kernels and graphs in it, as counted at the driver's door */
};
struct tvg_windows {
    struct tvg_window *window; /* in order of time; all else is gap */
    uint32_t count;
    double gap_seconds;        /* between the windows and after the last, what the host paused left out */
    uint64_t gap_launches, gap_graph_launches;
    double end_ns;             /* the last moment that is known to lie in a window or a gap */
    double worked_until_ns;    /* the end of the last gap, where something was launched in it and the process ended in it; else 0 */
    bool open_end;             /* a gap follows, of which nothing is known: the process was killed */
};

/* The windows of a trace, which has to be read for them before its ops are. NULL: it has no gap, or can't be read. */
struct tvg_windows *tvg_windows_read(const char *path);
/* The window in which a library call that began at `mono_ns` lies: an index, or -1 for a gap. */
int tvg_windows_of_call(const struct tvg_windows *windows, double mono_ns);
/* The window that an activity belongs to: that of its launch, which the recorder let in, or, where no launch is known, the one in which it starts. */
int tvg_windows_of_row(const struct tvg_windows *windows, uint64_t launch_ns, uint64_t start_ns);
/* The group of a sample. */
static inline unsigned tvg_windows_group(int window)
{
    return (unsigned)window % TVG_WINDOW_GROUPS;
}
void tvg_windows_free(struct tvg_windows *windows);

#endif
