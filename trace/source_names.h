/* What can be sampled beside the ops, by name and in the order of starting: the shim's table of sources, and what `tvg record --sources` takes. */
#ifndef TVG_SOURCE_NAMES_H
#define TVG_SOURCE_NAMES_H

#define TVG_SOURCE_NAMES(X) X(rapl) X(papi) X(stacks) X(nvml) X(cupti) X(dark)
/* Beside them TVG_SOURCES may hold these: nothing, those that a plain preload samples, and what every block of ops carries anyway. */
#define TVG_SOURCE_WORD_NONE "none"
#define TVG_SOURCE_WORD_DEFAULT "default"
#define TVG_SOURCE_WORD_CPUTIME "cputime"

#endif
