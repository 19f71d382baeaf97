/* The one error idiom of the analyzer: a function that can fail returns bool and takes a struct tvg_error that says file, place,
 * cause and mend in one message. The command line turns it into a line on stderr and exit code 2. */
#ifndef TVG_RESULT_H
#define TVG_RESULT_H

#include <stdarg.h>
#include <stdbool.h>

struct tvg_error {
    char message[1024]; /* "run.tvg: offset 24: the header's checksum does not hold; record the run again" */
};

/* Writes the message and returns false, so that `return tvg_fail(error, ...)` reads well. `file`, `place`, `mend` may be NULL.
 * Anything that came from outside is escaped (tvg_escape) before it is put in. */
bool tvg_fail(struct tvg_error *error, const char *file, const char *place, const char *mend, const char *cause_format, ...)
    __attribute__((format(printf, 5, 6)));

/* Copies `text` to `out` with control characters, escape sequences, invalid UTF-8 and bidirectional controls shown as \xNN. Returns `out`. */
char *tvg_escape(char *out, unsigned long capacity, const char *text);

#endif
