/* A device file: energy and peak rates as data with provenance, loaded from coeffs/ NAME.json and validated.
 * Every coefficient carries its unit, denominator, boundary, source and tag; see coeffs/SCHEMA.md. */
#ifndef TVG_DEVICE_H
#define TVG_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "../trace/op.h"
#include "interval.h"
#include "result.h"

struct tvg_coefficient {
    bool known;
    struct tvg_interval value; /* in the SI unit of its use: J per byte, J per FLOP, W, FLOP/s, byte/s, J per instruction */
    enum tvg_basis basis;      /* modelled when calibrated or measured on this part, estimated otherwise */
    const char *tag, *source, *boundary;
};

struct tvg_device {
    char *name;        /* "h100-sxm" */
    char *title;       /* "NVIDIA H100 80GB HBM3" */
    char *kind;        /* "cpu" or "gpu" */
    bool guessed;      /* chosen because nothing matched: say so */
    struct tvg_coefficient flop[TVG_TYPE_COUNT];  /* marginal energy per FLOP by compute type, above awake/floor */
    struct tvg_coefficient peak[TVG_TYPE_COUNT];  /* dense FLOP/s by compute type, whole device */
    struct tvg_coefficient byte_memory;           /* J per byte from and to main memory, above awake/floor */
    struct tvg_coefficient bandwidth;             /* bytes/s, whole device */
    struct tvg_coefficient bandwidth_core;        /* bytes/s one core moves alone (CPU): c cores get min(bandwidth, c x this) */
    struct tvg_coefficient floor;                 /* W: package floor (CPU) or board at rest (GPU) */
    struct tvg_coefficient awake;                 /* W: board with a live context (GPU); CPU: equals floor */
    struct tvg_coefficient core_active;           /* W per busy core above the floor: other CPU work outside recorded ops */
    /* W above awake while a kernel of that class fills the card (GPU): matrix units, vector multiply-add, all else */
    struct tvg_coefficient kernel_tensor, kernel_fma, kernel_other;
    struct tvg_coefficient launch_floor;          /* s: the shortest time of one op or kernel */
    /* cross-check model: J per instruction by class; FMA by vector width in bits */
    struct tvg_coefficient fma_128, fma_256, fma_512, load, store, other_instruction;
    int cores;         /* physical cores that `peak`, `bandwidth` and `floor` refer to; 0 for GPU. c cores have peak x c / cores. */
    int multiprocessors; /* of a GPU; 0 for CPU */
    bool generic;      /* a file for parts that no other file matches */
    char *path;        /* the file, or what tvg_device_parse was told */
    void *json;        /* the parsed file, for `tvg coeffs show`, rows and sources included */
};

/* `name` is a name in the coeffs folder or a path (contains '/' or ends in .json). Fails on unknown names (listing the known) and on invalid files. */
bool tvg_device_load(struct tvg_device **device, const char *name, struct tvg_error *error);
/* The device file whose `match` fits the CPU ("vendor-family-model", brand string) or GPU name; the generic one with guessed = true when none does. */
bool tvg_device_choose_cpu(struct tvg_device **device, const char *cpu_id, const char *brand, struct tvg_error *error);
bool tvg_device_choose_gpu(struct tvg_device **device, const char *gpu_name, struct tvg_error *error);
/* The same from memory: `file` names the text in messages. */
bool tvg_device_parse(struct tvg_device **device, const char *text, size_t length, const char *file, struct tvg_error *error);
/* All problems of a file, one line each, through `report`; returns their number, -1 when it can't be read. */
int tvg_device_check(const char *path, void (*report)(const char *line, void *context), void *context);
/* Names of all device files, sorted, NULL-terminated; free with tvg_device_list_free. They come from $TVG_COEFFS, from ../coeffs and ../share/tvg/coeffs
 * beside the program and from the installed share/tvg/coeffs; of two files with one name the first found counts. */
char **tvg_device_list(void);
/* The path of the device file `name`; false when there is none. */
bool tvg_device_path(const char *name, char *path, size_t capacity);
void tvg_device_list_free(char **names);
void tvg_device_free(struct tvg_device *device);

#endif
