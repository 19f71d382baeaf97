/* Traces made in memory by the real encoder, for tests of the reader and as the fuzzer's seeds: a header, blocks of every kind, rings. */
#ifndef TRACE_MAKER_H
#define TRACE_MAKER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trace/block.h"
#include "trace/kernels.h"
#include "trace/rings.h"
#include "trace/samples.h"
#include "trace/sync.h"

enum { MAKER_PID = 4321, MAKER_SHIFT = 4, MAKER_TID = 5000 };
static const uint64_t MAKER_TICKS = 1000000000000, MAKER_MONO = 400000000000, MAKER_WALL = 1700000000000000000;
static const double MAKER_RATE = 2.5; /* ticks a ns */

struct maker {
    uint8_t *data;
    size_t length, capacity;
    size_t block_at[256]; /* where the blocks begin */
    uint32_t blocks;
};

static inline void maker_append(struct maker *maker, const void *data, size_t length)
{
    if (maker->length + length > maker->capacity) {
        maker->capacity = (maker->length + length) * 2;
        maker->data = realloc(maker->data, maker->capacity);
        if (!maker->data)
            abort();
    }
    memcpy(maker->data + maker->length, data, length);
    maker->length += length;
}

/* A whole block; nothing when the encoder ran out of room, which no caller here lets happen. */
static inline void maker_block(struct maker *maker, const void *block, size_t length)
{
    if (!length || maker->blocks == 256)
        abort();
    maker->block_at[maker->blocks++] = maker->length;
    maker_append(maker, block, length);
}

static inline void maker_free(struct maker *maker)
{
    free(maker->data);
    *maker = (struct maker){0};
}

static inline void maker_header(struct maker *maker, const char *rings)
{
    uint8_t out[8192];
    struct tvg_file_header header = {.pid = MAKER_PID, .ppid = 1, .tid = MAKER_TID, .grid_shift = MAKER_SHIFT, .ticks_are_tsc = true, .ticks_per_ns = MAKER_RATE,
                                     .anchor = {MAKER_TICKS, MAKER_MONO, MAKER_WALL}, .process_start_mono_ns = MAKER_MONO - 500000000,
                                     .command = "python infer.py", .host = "made", .rings = rings, .tool = "0.1.0"};
    size_t length = tvg_encode_file_header(out, sizeof out, &header);
    if (!length)
        abort();
    maker_append(maker, out, length);
}

/* Op `id`: a product whose m says which it is. */
static inline struct tvg_op maker_op(uint32_t id)
{
    struct tvg_op op = {.library = "libopenblas.so.0", .function = "cblas_sgemm", .kind = TVG_KIND_GEMM, .net = TVG_NET_SYMBOL, .type_a = TVG_TYPE_F32,
                        .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .device = -1, .threads = 2,
                        .flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO, .m = 8 + id, .n = 384, .k = 384, .lda = 384, .ldb = 384, .ldc = 384,
                        .caller_library = "_multiarray_umath.so", .caller_offset = 0x1000 + id};
    tvg_op_count(&op);
    return op;
}
static inline void maker_dict(struct maker *maker, uint32_t id)
{
    uint8_t out[4096];
    struct tvg_op op = maker_op(id);
    maker_block(maker, out, tvg_encode_dict(out, sizeof out, id, &op));
}

/* The time of a moment `ticks` after the trace began, as an anchor. */
static inline struct tvg_anchor maker_anchor(uint64_t ticks)
{
    uint64_t ns = (uint64_t)((double)ticks / MAKER_RATE);
    return (struct tvg_anchor){MAKER_TICKS + ticks, MAKER_MONO + ns, MAKER_WALL + ns};
}

/* An OPS block of `count` ring records. */
static inline void maker_ops(struct maker *maker, uint32_t ring, uint64_t sequence, const struct tvg_record *records, uint32_t count, uint64_t ticks)
{
    struct tvg_ops_info info = {.ring = ring, .tid = MAKER_TID + ring, .first_sequence = sequence, .count = count, .anchor = maker_anchor(ticks),
                                .cpu_process_ns = ticks, .cpu_thread_ns = ticks / 2, .encode_ticks = 100};
    uint8_t *out = malloc(TVG_OPS_ENCODED_MAX(count)), *scratch = malloc(TVG_OPS_SCRATCH(count));
    if (!out || !scratch)
        abort();
    maker_block(maker, out, tvg_encode_ops(out, &info, MAKER_SHIFT, records, scratch));
    free(out);
    free(scratch);
}

/* Record `number` of a ring: times on the grid, so that what is read equals what was written. */
static inline struct tvg_record maker_record(uint32_t ring, uint64_t number, uint32_t ops)
{
    return (struct tvg_record){.start = MAKER_TICKS + (number * 1000 + ring * 100) * 16, .duration = (uint32_t)(16 * (100 + number % 700)), .op_id = (uint32_t)(number % ops),
                               .a = 0x7f0000000000 + number % 5 * 4096, .b = 0x7e0000000000 + number % 7 * 0x240000, .c = 0x7f0000000000 + number % 11 * 64};
}

static inline void maker_end(struct maker *maker, uint64_t ops, uint64_t ticks)
{
    uint8_t out[1024];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, "mono_ns", maker_anchor(ticks).mono_ns);
    tvg_map_uint(&map, "ops", ops);
    tvg_map_uint(&map, "lost", 0);
    tvg_map_uint(&map, "encode_ticks", 1000);
    tvg_map_uint(&map, "longest_ticks", 500);
    tvg_map_uint(&map, "cpu_process_ns", ticks);
    tvg_map_string(&map, "how", "exit");
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_END));
}

/* --- one block of each other kind --- */

static inline void maker_manifest(struct maker *maker, const char *const *pairs)
{
    uint8_t out[8192];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    for (; pairs[0]; pairs += 2)
        tvg_map_string(&map, pairs[0], pairs[1]);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_MANIFEST));
}
static inline void maker_note(struct maker *maker, const char *what, const char *subject, const char *detail)
{
    uint8_t out[4096];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_string(&map, "what", what);
    tvg_map_string(&map, "subject", subject);
    tvg_map_string(&map, "detail", detail);
    tvg_map_uint(&map, "mono_ns", MAKER_MONO);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_COVERAGE));
}
static inline void maker_energy(struct maker *maker, const char *meter, const char *boundary, const char *unit, uint64_t range, uint32_t samples)
{
    uint8_t out[8192];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_string(&map, "meter", meter);
    tvg_map_string(&map, "boundary", boundary);
    tvg_map_string(&map, "unit", unit);
    tvg_map_uint(&map, "range", range);
    tvg_map_array(&map, "ns", samples);
    for (uint32_t i = 0; i < samples; i++)
        tvg_map_uint(&map, NULL, MAKER_MONO + i * 100000ull);
    tvg_map_array(&map, "value", samples);
    for (uint32_t i = 0; i < samples; i++)
        tvg_map_uint(&map, NULL, (900000 + i * 40000ull) % (range ? range + 1 : UINT64_MAX));
    tvg_map_uint(&map, "cost", 20000);
    if (strncmp(meter, "GPU", 3) == 0) {
        tvg_map_uint(&map, "power_mw", 300000);
        tvg_map_uint(&map, "sm_mhz", 1980);
        tvg_map_uint(&map, "utilization", 80);
        tvg_map_uint(&map, "processes", 1);
    }
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_ENERGY));
}
static inline void maker_counters(struct maker *maker)
{
    uint8_t out[4096];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_string(&map, "scope", "calling thread");
    tvg_map_array(&map, "events", 2);
    tvg_map_string(&map, NULL, "PAPI_TOT_INS");
    tvg_map_string(&map, NULL, "perf::TASK-CLOCK");
    tvg_map_array(&map, "rows", 2);
    for (uint32_t op = 0; op < 2; op++) {
        tvg_map_array(&map, NULL, 4);
        tvg_map_uint(&map, NULL, op ? UINT32_MAX : 0);
        tvg_map_uint(&map, NULL, 10);
        tvg_map_uint(&map, NULL, 123456789);
        tvg_map_uint(&map, NULL, 34567);
    }
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_COUNTERS));
}
static inline void maker_stacks(struct maker *maker)
{
    uint8_t out[4096];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_array(&map, "libs", 1);
    tvg_map_array(&map, NULL, 3);
    tvg_map_uint(&map, NULL, 0);
    tvg_map_string(&map, NULL, "/usr/lib/x86_64-linux-gnu/libc.so.6");
    tvg_map_binary(&map, NULL, "\1\2\3\4", 4);
    tvg_map_array(&map, "stacks", 1);
    tvg_map_array(&map, NULL, 5);
    tvg_map_uint(&map, NULL, 0);
    tvg_map_uint(&map, NULL, 0);
    tvg_map_uint(&map, NULL, 0x1234);
    tvg_map_uint(&map, NULL, UINT32_MAX);
    tvg_map_uint(&map, NULL, 0x7f0000001234);
    tvg_map_array(&map, "samples", 1);
    tvg_map_array(&map, NULL, 3);
    tvg_map_uint(&map, NULL, 0);
    tvg_map_uint(&map, NULL, 0);
    tvg_map_uint(&map, NULL, 1);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_STACKS));
}
static inline void maker_mark(struct maker *maker, const char *kind, double value, uint64_t ticks)
{
    uint8_t out[1024];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_string(&map, "kind", kind);
    tvg_map_double(&map, "value", value);
    tvg_map_uint(&map, "mono_ns", maker_anchor(ticks).mono_ns);
    tvg_map_uint(&map, "tid", MAKER_TID);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_MARK));
}
static inline void maker_thread(struct maker *maker, uint32_t ring, const char *name)
{
    uint8_t out[1024];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, "tid", MAKER_TID + ring);
    tvg_map_uint(&map, "ring", ring);
    tvg_map_string(&map, "name", name);
    tvg_map_uint(&map, "mono_ns", MAKER_MONO);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_THREAD));
}
static inline void maker_lost(struct maker *maker, uint32_t ring, uint64_t count, const char *why)
{
    uint8_t out[1024];
    struct tvg_map map;
    tvg_map_begin(&map, out, sizeof out);
    tvg_map_uint(&map, "ring", ring);
    tvg_map_uint(&map, "tid", MAKER_TID + ring);
    tvg_map_uint(&map, "count", count);
    tvg_map_string(&map, "why", why);
    tvg_map_uint(&map, "mono_ns", MAKER_MONO);
    maker_block(maker, out, tvg_map_end(&map, TVG_BLOCK_LOST));
}
/* `count` activities of op `op`, launched by op `cause`. */
static inline void maker_kernels(struct maker *maker, int device, uint32_t op, uint32_t cause, uint32_t count)
{
    struct tvg_kernel rows[64];
    uint8_t out[TVG_KERNELS_ENCODED_MAX(64)], scratch[TVG_KERNELS_SCRATCH(64)];
    for (uint32_t i = 0; i < count && i < 64; i++)
        rows[i] = (struct tvg_kernel){.start_ns = MAKER_MONO + i * 20000, .duration_ns = 5000 + i * 100, .launch_ns = MAKER_MONO + i * 20000 - 3000, .bytes = i % 8 ? 0 : 4096,
                                      .op_id = op, .cause = cause, .tid = MAKER_TID, .stream = 7};
    maker_block(maker, out, tvg_encode_kernels(out, sizeof out, device, rows, count < 64 ? count : 64, scratch));
}

/* Waits and events of ring 0's thread around the kernels of maker_kernels: every kind in turn. */
static inline void maker_sync(struct maker *maker, uint32_t count)
{
    struct tvg_sync rows[64];
    uint8_t out[TVG_SYNC_ENCODED_MAX(64)], scratch[TVG_SYNC_SCRATCH(64)];
    for (uint32_t i = 0; i < count && i < 64; i++)
        rows[i] = (struct tvg_sync){.start_ns = MAKER_MONO + i * 20000 + 1000, .duration_ns = 6000 + i, .event = i / 3, .kind = 1 + i % (TVG_SYNC_KINDS - 1), .tid = MAKER_TID,
                                    .device = i % 5 ? 0 : TVG_SYNC_UNKNOWN, .stream = i % 4 ? 7 : TVG_SYNC_UNKNOWN};
    maker_block(maker, out, tvg_encode_sync(out, sizeof out, rows, count < 64 ? count : 64, scratch));
}

/* `count` samples of the thread of ring 0, `every_ns` apart; object 0 is the library of maker_op, object 1 the program. */
static inline void maker_samples(struct maker *maker, uint32_t count, uint64_t every_ns)
{
    static const struct tvg_sampled_object objects[] = {{0, TVG_OBJECT_FILE, "libopenblas.so.0", 16}, {1, TVG_OBJECT_FILE, "python3.11", 10}};
    struct tvg_cpu_sample samples[64];
    struct tvg_samples_info info = {.period_ns = every_ns, .before_ns = 1000000, .lost = 2, .cost_ns = 5000, .kernel = true, .count = count < 64 ? count : 64};
    uint8_t out[TVG_SAMPLES_ENCODED_MAX(64, 2)], scratch[TVG_SAMPLES_SCRATCH(64)];
    for (uint32_t i = 0; i < info.count; i++)
        samples[i] = (struct tvg_cpu_sample){.mono_ns = MAKER_MONO + i * every_ns, .tid = MAKER_TID, .object = i % 2};
    maker_block(maker, out, tvg_encode_samples(out, sizeof out, &info, samples, objects, 2, scratch));
}

/* A trace with every kind of block; ops of `threads` rings, `records` of each. */
static inline struct maker maker_full(uint32_t threads, uint32_t records)
{
    static const char *const pairs[] = {"cpu.model", "AMD EPYC 9575F 64-Core Processor", "cpu.id", "AuthenticAMD-26-2", "cpu.online", "8", "cpu.allowed", "2", "cpu.cores", "8",
                                        "exe", "python3.11", "command", "python3.11", "script", "infer.py", "env.OMP_NUM_THREADS", "2", "gpu.0.name", "NVIDIA H100 80GB HBM3",
                                        "gpu.0.uuid", "GPU-0", "gpu.driver", "570", "sources", "rapl,papi", "library.libopenblas.so.0", "0011aa", NULL, NULL};
    struct maker maker = {0};
    struct tvg_record *batch = malloc((records + 1) * sizeof *batch);
    if (!batch)
        abort();
    maker_header(&maker, "");
    maker_manifest(&maker, pairs);
    maker_note(&maker, "caught", "cblas_sgemm", "symbol: libopenblas.so.0");
    maker_note(&maker, "source-refused", "rapl", "no permission");
    maker_note(&maker, "gpu", "GPU 0", "NVIDIA H100 80GB HBM3");
    for (uint32_t id = 0; id < 8; id++)
        maker_dict(&maker, id);
    uint8_t out[4096];
    struct tvg_op kernel = {.library = "GPU 0", .function = "sm90_xmma_gemm_f32f32", .name = "sm90_xmma_gemm_f32f32", .kind = TVG_KIND_KERNEL, .net = TVG_NET_ACTIVITY, .on_gpu = 1,
                            .dim_count = 6, .dim = {128, 1, 1, 256, 1, 1}};
    maker_block(&maker, out, tvg_encode_dict(out, sizeof out, 8, &kernel));
    for (uint32_t ring = 0; ring < threads; ring++) {
        maker_thread(&maker, ring, "worker");
        tvg_record_thread(&batch[0], MAKER_TICKS, MAKER_TID + ring);
        for (uint32_t i = 0; i < records; i++)
            batch[1 + i] = maker_record(ring, i, 8);
        maker_ops(&maker, ring, 0, batch, records + 1, (records + 1) * 16000);
    }
    maker_energy(&maker, "package-0", "package", "uJ", 1000000, 6);
    maker_energy(&maker, "dram-0", "dram", "uJ", 0, 6);
    maker_energy(&maker, "GPU 0", "board", "mJ", 0, 6);
    maker_counters(&maker);
    maker_stacks(&maker);
    maker_mark(&maker, "step", 1, 1000);
    maker_mark(&maker, "output_token", 12, 5000);
    maker_mark(&maker, "pause", 0, 6000);
    maker_mark(&maker, "resume", 0, 7000);
    maker_kernels(&maker, 0, 8, 0, 40);
    maker_sync(&maker, 40);
    maker_samples(&maker, 40, 3000);
    maker_lost(&maker, 0, 3, "no space left on device");
    maker_end(&maker, (uint64_t)threads * records, (records + 1) * 16000);
    free(batch);
    return maker;
}

/* A rings file of one ring beside the trace: records `records[0 .. committed)` as a live process of this `slots` would have them. */
static inline void maker_rings(struct maker *maker, uint32_t slots, uint32_t ring_count)
{
    struct tvg_rings_header header = {.pid = MAKER_PID, .slots = slots, .start_mono_ns = MAKER_MONO - 500000000};
    static const uint8_t zero[TVG_RINGS_PAGE];
    uint8_t page[TVG_RINGS_PAGE] = {0};
    tvg_rings_header_seal(&header);
    memcpy(page, &header, sizeof header);
    maker_append(maker, page, sizeof page);
    for (uint64_t left = (uint64_t)ring_count * header.ring_bytes; left; left -= left < sizeof zero ? left : sizeof zero)
        maker_append(maker, zero, left < sizeof zero ? left : sizeof zero);
}
static inline struct tvg_ring *maker_ring(struct maker *maker, uint32_t slots, uint32_t number, uint64_t committed, uint64_t encoded)
{
    struct tvg_ring *ring = (struct tvg_ring *)(void *)(maker->data + TVG_RINGS_PAGE + (size_t)number * tvg_ring_bytes(slots));
    *ring = (struct tvg_ring){.committed = committed, .encoded = encoded, .number = number, .tid = MAKER_TID + number, .state = TVG_RING_OWNED, .slots = slots,
                              .anchor = maker_anchor(0)};
    return ring;
}

static inline void maker_save(const struct maker *maker, const char *path, size_t length)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(maker->data, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

#endif
