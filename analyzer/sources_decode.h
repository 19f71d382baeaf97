/* Decodes the ENERGY, COUNTERS, STACKS and MANIFEST blocks of a trace (payloads as tvg_reader_next gives them; keys in trace/FORMAT.md)
 * and names the addresses of stacks. A damaged or hostile payload makes a function return false and changes nothing. */
#ifndef TVG_SOURCES_DECODE_H
#define TVG_SOURCES_DECODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- ENERGY: meters, unwrapped and joined over the processes of a run ------------------------------------------------------ */

struct tvg_meters; /* all meters of a run */

/* What a board (GPU) said of itself beside its counter; all zero for other meters. */
enum tvg_board_part { TVG_BOARD_SM, TVG_BOARD_OCCUPANCY, TVG_BOARD_TENSOR, TVG_BOARD_FP32, TVG_BOARD_DRAM, TVG_BOARD_PARTS };
struct tvg_board_state {
    bool rest_known;        /* the three below: right after cuInit, before the process had a context on it */
    double rest_watts, rest_sm_mhz;
    uint64_t rest_processes;
    double sm_mhz;          /* highest seen; 0 never said */
    uint64_t throttle;      /* every reason that was seen, NVML's bit mask */
    uint64_t processes;     /* most seen at once, this one included */
    double processes_mean;  /* mean over the samples that said it */
    uint32_t process_counts;/* how many did */
    double watts, celsius;  /* means of what the driver said */
    uint32_t states;        /* how often it did */
    double part[TVG_BOARD_PARTS]; /* mean share of the time in which each was at work, 0 to 1 */
    uint32_t part_samples[TVG_BOARD_PARTS];
};

struct tvg_meter_total {
    char host[64];
    char name[64];      /* "package-0", "dram-0", "psys" */
    char boundary[24];  /* package, dram, platform */
    double joules;      /* from the first to the last sample of the run, wraps undone; several processes' windows are joined, not added */
    double first_ns, last_ns; /* CLOCK_MONOTONIC of these samples */
    double seconds;     /* covered by samples: last - first, less gaps between processes */
    uint32_t samples, wraps;
    struct tvg_board_state board;
};

struct tvg_meters *tvg_meters_new(void);
/* A block of the process `file` (any number that is the same for blocks of one trace file) on `host` (of the trace's header: processes of one
 * host read the same meters). Blocks of one file come in order, files one after another. */
bool tvg_meters_add(struct tvg_meters *meters, uint32_t file, const char *host, const void *payload, size_t length);
/* What taking the samples has cost the recorded processes, in seconds. */
double tvg_meters_cost(const struct tvg_meters *meters);
/* Totals, valid until the next call; *count of them. */
const struct tvg_meter_total *tvg_meters_totals(struct tvg_meters *meters, uint32_t *count);
void tvg_meters_free(struct tvg_meters *meters);

/* One sample as it was read. */
struct tvg_energy_sample {
    const char *meter, *boundary;
    uint64_t ns;                       /* CLOCK_MONOTONIC */
    double joules, range_joules;       /* the counter, and what it wraps at (0: never) */
    double watts, sm_mhz, celsius, processes; /* of boards, now and then; NAN when this block does not say */
};
/* Calls `sample` for each of a block, in order; strings live during the call only. False when the payload is no ENERGY block. */
bool tvg_energy_each(const void *payload, size_t length, void (*sample)(const struct tvg_energy_sample *sample, void *context), void *context);

/* --- COUNTERS: events per op, summed over blocks ---------------------------------------------------------------------------- */

enum { TVG_COUNTER_EVENTS_MAX = 8 };
struct tvg_counters {
    uint32_t event_count;
    char event[TVG_COUNTER_EVENTS_MAX][64];  /* "PAPI_TOT_INS", "perf::TASK-CLOCK" (ns) */
    uint32_t row_count;
    struct tvg_counter_row {
        uint32_t op_id;                      /* TVG_OP_ID_NONE: ops beyond the counters' table */
        uint64_t calls;                      /* calls that were counted */
        uint64_t value[TVG_COUNTER_EVENTS_MAX];
    } *rows;                                 /* sorted by op id */
};
/* Adds a block to `counters` (zero-initialised before the first). One process a struct: op ids are the process's own. */
bool tvg_counters_add(struct tvg_counters *counters, const void *payload, size_t length);
const struct tvg_counter_row *tvg_counters_find(const struct tvg_counters *counters, uint32_t op_id);
void tvg_counters_free(struct tvg_counters *counters);

/* --- STACKS: sampled call stacks per op --------------------------------------------------------------------------------------- */

struct tvg_stack_frame {
    uint32_t library;   /* index into libraries, or TVG_STACK_NO_LIBRARY: offset is then the address itself */
    uint64_t offset;    /* of the return address from the library's load base */
};
#define TVG_STACK_NO_LIBRARY 0xffffffffu
struct tvg_stacks {
    uint32_t library_count;
    struct tvg_stack_library { char *path, *build_id; } *libraries; /* build_id in hex, "" when there is none */
    uint32_t stack_count;
    struct tvg_stack {
        uint32_t frame_count;
        struct tvg_stack_frame *frames;      /* innermost first */
    } *stacks;                               /* index: the stack id */
    uint32_t sample_count;
    struct tvg_stack_sample {
        uint32_t op_id, stack;
        uint64_t occurrence;                 /* it was taken at this call of the op: 1, 2, 4, ... */
    } *samples;
};
/* Adds a block to `stacks` (zero-initialised before the first). One process a struct. */
bool tvg_stacks_add(struct tvg_stacks *stacks, const void *payload, size_t length);
void tvg_stacks_free(struct tvg_stacks *stacks);

/* Names addresses: function names from the library's .symtab, else .dynsym, on this machine. */
struct tvg_symbols;
struct tvg_symbols *tvg_symbols_new(void);
/* Writes "function+0x12 (libfoo.so)", or "libfoo.so+0x1234" when the file is absent, another build (by build-id) or has no name there.
 * Not escaped: use tvg_escape before showing. Returns `out`. */
char *tvg_symbols_name(struct tvg_symbols *symbols, const struct tvg_stack_library *library, uint64_t offset, char *out, size_t capacity);
void tvg_symbols_free(struct tvg_symbols *symbols);

/* --- MANIFEST: the machine and the process as flat pairs ------------------------------------------------------------------------ */

/* Calls `pair` for each entry: "cpu.model", "env.OMP_NUM_THREADS". Values are strings in version 1; should a later one nest, keys are joined by a
 * dot, numbers come as decimal text, binary as hex. Strings live during the call only. */
bool tvg_manifest_read(const void *payload, size_t length, void (*pair)(const char *key, const char *value, void *context), void *context);

#endif
