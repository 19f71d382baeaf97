/* What the files of the recorder share among themselves. Nothing outside shim/record/ includes it. */
#ifndef TVG_SHIM_STATE_H
#define TVG_SHIM_STATE_H

#include <signal.h>

#include "../../trace/block.h"
#include "../../trace/rings.h"
#include "quiet.h"
#include "record.h"

enum { TVG_PATH_MAX = 1024, TVG_SIGNAL_BYTES = 8 };
/* tvg_slot.flags: the op has no id, its map is written inline with each call; its caller or target was unloaded, and another slot stands for the key. */
enum { TVG_SLOT_WIDE = 1, TVG_SLOT_GONE = 2 };
enum { TVG_ENTRY_INTERNED = 0xfff0, TVG_ENTRY_NONE = 0xffff };

/* What a ring's owner needs on the slow path. */
struct tvg_thread_slow {
    struct tvg_thread *next;     /* all threads of this process, newest first */
    uint64_t epoch;              /* the process that made it: a forked child has another */
    uint64_t rings_epoch;        /* the rings file it lies in */
    tvg_lock encoding;           /* owner against the final flush */
    uint32_t owned;              /* 1 while a thread has it */
    uint32_t tid;                /* thread of the first record not yet encoded */
    uint32_t owner_tid;
    uint64_t extra, extra_encoded; /* slots that are no ops of their own: hand-overs, long, wide, padding; under `encoding` */
    uint64_t encode_ticks;       /* of the previous block */
    struct tvg_slot wide;        /* the op that has no id */
    uint32_t wide_length;
    struct tvg_op op;            /* room to describe a new op */
    uint8_t map[TVG_WIDE_MAX];   /* the encoded wide op */
    uint8_t block[TVG_WIDE_MAX + 1024]; /* room for a small block */
    uint8_t *encoded, *scratch;  /* room for tvg_encode_ops */
};

/* Set at load, never changed later. */
struct tvg_settings {
    bool off;                    /* setuid, or TVG_OUT is unusable */
    bool log;
    bool without_ops;            /* TVG_WITHOUT_OPS: a process that used CPU time leaves a trace though it ran no op */
    bool all_operations;         /* TVG_OPS=all */
    char out[TVG_PATH_MAX];      /* template with an absolute folder */
    char temporary[256];         /* $TMPDIR */
    char command[64];            /* base name of argv[0] */
    uint32_t dictionary_max;
    uint64_t load_mono_ns;
    uint64_t load_ticks;
};
extern struct tvg_settings tvg_settings;

/* Changes as the process runs; private to the process and rebuilt in a forked child. */
struct tvg_state {
    uint32_t pid;
    uint64_t epoch;              /* counts processes since the first ancestor */
    uint64_t generation;         /* the last even word given out */
    uint32_t paused;
    bool recording;              /* the trace file is open */
    bool failed;                 /* no trace can be made: pass through */
    bool ended;                  /* an END block was written */
    bool ending;                 /* the process is about to exit: no source is started any more */
    uint64_t ended_ops;
    tvg_lock starting;
    struct tvg_thread *threads;
    double ticks_per_ns;
    unsigned grid_shift;
    uint64_t op_ticks;           /* what recording one op takes, measured at the start, encoding not counted */
    uint64_t encode_ticks, encode_blocks, encode_longest; /* of all rings */
    uint64_t start_mono_ns;
    uint64_t recorded;           /* ops in written blocks */
    uint64_t lost;               /* ops that could not be written */
    uint64_t lost_unsaid;        /* of these, not yet in a LOST block */
    int lost_error;              /* negated errno of the last failure */
    uint64_t clamped;            /* durations that came out negative */
    uint64_t dead_frames;        /* calls that never returned to their wrapper */
};
extern struct tvg_state tvg_state;

/* load.c */
void tvg_linker_load(void); /* linker.c */
void tvg_rings_load(void); /* ring.c */
void tvg_load(int argc, char **argv, char **envp);
/* process.c: makes the process ready to record, after a fork too. False when it can't. Inside a quiet section. */
bool tvg_process_start(void);
void tvg_process_end(void);
/* A ring for the calling thread, in tvg_guard.thread. Inside a quiet section. NULL when there is no memory. */
struct tvg_thread *tvg_thread_attach(void);
/* Puts `next` where the ring's committed count says, after a writer was interrupted for good. */
void tvg_thread_resync(struct tvg_thread *thread);
/* ring.c */
void tvg_ring_encode(struct tvg_thread *thread);
void tvg_ring_put(struct tvg_thread *thread, uint64_t start, uint64_t duration, uint32_t op_id, uint64_t a, uint64_t b, uint64_t c, const void *wide, uint32_t wide_length);
bool tvg_rings_open(const char *path);
void tvg_rings_close(bool keep);
const char *tvg_rings_path(void);
struct tvg_ring *tvg_ring_make(uint32_t *number);
extern uint64_t tvg_rings_epoch;
/* dictionary.c */
bool tvg_dictionary_start(void);
extern struct tvg_slot tvg_slot_none;
/* file.c */
bool tvg_file_open(void);
bool tvg_file_write(const void *data, size_t length);
bool tvg_file_write_ops(const void *data, size_t length, uint64_t ops);
void tvg_file_forget(void);
void tvg_file_say_lost(void);
const char *tvg_file_path(void);
void tvg_lost(uint64_t ops, long cause);
/* note.c */
void tvg_notes_flush(void);
void tvg_notes_forget(void);
bool tvg_notes_caught(void);     /* a function of an inference library was caught, here or before a fork */
/* mark.c */
void tvg_mark(const char *kind, double value);
/* clock.c */
void tvg_clock_choose(void);
void tvg_clock_anchor(struct tvg_anchor *anchor);
uint64_t tvg_clock_cpu_process(void);
uint64_t tvg_clock_cpu_thread(void);
/* Ticks of one ns, from the time since load; spins for some 20 us at most when that is too short. */
double tvg_clock_rate(void);
/* text.c: small formatting without the C library's locale and locks. Both cut at capacity and return the used length. */
size_t tvg_text_add(char *out, size_t capacity, size_t used, const char *text);
size_t tvg_text_number(char *out, size_t capacity, size_t used, uint64_t value);

#endif
