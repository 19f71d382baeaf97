/* CPU samples as they lie in a SAMPLES block: when, on which thread, in which object a thread was found running.
 * Columns of zigzag varint differences. FORMAT.md, "SAMPLES", is the specification. */
#ifndef TVG_TRACE_SAMPLES_H
#define TVG_TRACE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the code lies in. The numbers are part of the trace format: append only. */
enum tvg_object_kind {
    TVG_OBJECT_FILE = 0,  /* a program or library; name: its file name */
    TVG_OBJECT_MADE,      /* memory that holds code made at run time (a just-in-time compiler's); name: "" */
    TVG_OBJECT_COMPILED,  /* a library that a framework compiled for this run (torch.compile); name: its file name */
    TVG_OBJECT_KERNEL,    /* the kernel, on the process's behalf; name: "" */
    TVG_OBJECT_UNKNOWN,   /* the address lies in no mapping that was seen */
    TVG_OBJECT_KINDS
};

struct tvg_cpu_sample {
    uint64_t mono_ns; /* CLOCK_MONOTONIC; kept to the microsecond */
    uint32_t tid;
    uint32_t object;  /* index of an object that an `objects` entry of this process's trace names */
};

struct tvg_sampled_object {
    uint32_t index;
    uint32_t kind;      /* enum tvg_object_kind; a reader takes what it does not know for TVG_OBJECT_UNKNOWN */
    const char *name;   /* zero-terminated for the encoder; `length` bytes from the decoder */
    uint32_t length;
};

struct tvg_samples_info {
    uint64_t period_ns; /* CPU time that each sample of the block stands for */
    uint64_t since_ns;  /* CLOCK_MONOTONIC: when sampling began */
    uint64_t before_ns; /* CPU time that the process had used by then */
    uint64_t lost;      /* samples that found no room, since the process began */
    uint64_t cost_ns;   /* what sampling has cost the process so far */
    bool kernel;        /* time in the kernel is sampled too */
    uint32_t count;     /* samples in the block */
};

enum { TVG_SAMPLES_MAX = 1024, TVG_SAMPLE_BYTES = 20, TVG_OBJECTS_MAX = 1024, TVG_OBJECT_NAME_MAX = 200 };
#define TVG_SAMPLES_ENCODED_MAX(samples, objects) (512u + (size_t)(samples) * TVG_SAMPLE_BYTES + (size_t)(objects) * (TVG_OBJECT_NAME_MAX + 16u))
#define TVG_SAMPLES_SCRATCH(samples) ((size_t)(samples) * TVG_SAMPLE_BYTES)

enum { TVG_THIN_AFTER = 1 << 17 }; /* samples of a process after which only every second is kept: the samples of a run are bounded */

/* What a mapping holds, by its name as /proc/PID/maps and the kernel's mmap records have it (`path`, zero-terminated, may be ""): kind and, in
 * `name` (TVG_OBJECT_NAME_MAX bytes), the name that is shown: folders are left out, they may hold secrets. */
enum tvg_object_kind tvg_object_of_path(const char *path, char *name);

/* One line of /proc/PID/maps: true for an executable mapping, with its addresses, kind and name as tvg_object_of_path gives them. */
struct tvg_mapping {
    uint64_t begin, end;
    enum tvg_object_kind kind;
    char name[TVG_OBJECT_NAME_MAX];
};
bool tvg_mapping_of_line(const char *line, struct tvg_mapping *mapping);

/* Encodes info->count samples (at most TVG_SAMPLES_MAX) and the objects that no block named before, as a whole block at `out`
 * (TVG_SAMPLES_ENCODED_MAX bytes); `scratch` is the caller's. Returns bytes written, 0 when they do not fit. */
size_t tvg_encode_samples(void *out, size_t capacity, const struct tvg_samples_info *info, const struct tvg_cpu_sample *samples,
                          const struct tvg_sampled_object *objects, uint32_t object_count, void *scratch);
/* Decodes a payload: `samples` has room for TVG_SAMPLES_MAX, `object` (or NULL) is called for each object named, its name in the payload.
 * Returns 0, or -1 when the payload contradicts itself; then `object` was not called. */
int tvg_decode_samples(const void *payload, size_t length, struct tvg_samples_info *info, struct tvg_cpu_sample *samples,
                       void (*object)(const struct tvg_sampled_object *object, void *context), void *context);

#endif
