/* What `tvg dump --folded` and `--counters` print of one trace: sampled call stacks, and counters per op. */
#ifndef TVG_SAMPLES_H
#define TVG_SAMPLES_H

#include "../result.h"

/* Folded stacks on stdout, a line each: frames from the outermost to the op, joined by ';', a blank, microseconds spent in the op. What the trace says of
 * an op's time goes to its stacks by the calls that lie between their samples. Fails when the file can't be opened. */
bool tvg_dump_folded(const char *file, struct tvg_error *error);
/* A JSON line per op that was counted: process, op, function, m, n, k, calls counted, a member for each event. */
bool tvg_dump_counters(const char *file, struct tvg_error *error);

#endif
