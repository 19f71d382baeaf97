/* tracegen OUT.tvg [OPS [THREADS [mixed]]]: a trace of OPS operations (10 million by default) through the real encoder, as an encoder model's
 * forward passes would leave it: weights' addresses come again every pass, activations move as malloc moves them, times vary as times do. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../trace/rings.h"

enum { LAYERS = 6, SHAPES = 8, OPS_A_LAYER = 8, LENGTHS = 40, GRID_SHIFT = 5, THREADS_MAX = 64 };
static const double TICKS_PER_NS = 2.45;

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}
static double uniform(void)
{
    return (double)(random64() >> 11) / (double)(1ull << 53);
}

/* One encoder layer: projections to query, key, value; scores and context per head, batched; output; feed-forward up and down; and a
 * vector product, so that not all is gemm. n and k of 384-wide MiniLM; m is the number of tokens. */
static const struct shape { int n, k, batch; const char *function; } shapes[SHAPES] = {
    {384, 384, 1, "cblas_sgemm"}, {384, 384, 1, "cblas_sgemm"}, {384, 384, 1, "cblas_sgemm"}, {0, 32, 12, "cblas_sgemm_batch_strided"},
    {32, 0, 12, "cblas_sgemm_batch_strided"}, {384, 384, 1, "cblas_sgemm"}, {1536, 384, 1, "cblas_sgemm"}, {384, 1536, 1, "cblas_sgemm"},
};

static struct tvg_op op_of(int shape, int tokens)
{
    const struct shape *s = &shapes[shape];
    struct tvg_op op = {.library = "libopenblas.so.0", .function = s->function, .kind = TVG_KIND_GEMM, .net = TVG_NET_SYMBOL, .type_a = TVG_TYPE_F32,
                        .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32, .device = -1, .threads = 2,
                        .flags = TVG_OP_ROW_MAJOR | TVG_OP_BETA_ZERO, .m = tokens, .n = s->n ? s->n : tokens, .k = s->k ? s->k : tokens,
                        .batch = s->batch > 1 ? s->batch : 0, .caller = 0x7f0000001000 + (uint64_t)shape * 64, .caller_library = "_multiarray_umath.so",
                        .caller_offset = 0x1000 + (uint64_t)shape * 64};
    if (op.batch) {
        op.flags |= TVG_OP_BATCH_STRIDED;
        op.stride_a = op.m * op.k, op.stride_b = op.k * op.n, op.stride_c = op.m * op.n;
    }
    op.lda = op.k, op.ldb = op.n, op.ldc = op.n;
    tvg_op_count(&op);
    return op;
}

static int out;
static uint64_t written;
static void append(const void *data, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = write(out, (const char *)data + done, length - done);
        if (got < 0) {
            perror("tracegen");
            exit(1);
        }
        done += (size_t)got;
    }
    written += length;
}

/* One thread's model: where it is in its pass. */
struct stream {
    uint64_t now, sequence, heap;
    int layer, step, length;
    double jitter;
    uint64_t activation[4];
    struct tvg_record records[TVG_RING_SLOTS];
    uint32_t filled;
};

static uint64_t place(struct stream *stream, size_t bytes)
{
    /* malloc gives a few places again and again, by size */
    return stream->heap + (bytes / 4096 % 23) * 0x40000 + (random64() % 8 == 0) * 0x10000;
}

static void one_op(struct stream *stream, int thread, bool mixed)
{
    if (stream->layer == 0 && stream->step == 0) {
        stream->length = mixed ? (int)(random64() % LENGTHS) : 17;
        stream->now += (uint64_t)(TICKS_PER_NS * (20000 + 30000 * uniform()));
    }
    int tokens = 8 + stream->length;
    struct tvg_op op = op_of(stream->step, tokens);
    uint64_t weights = 0x7e0000000000 + (uint64_t)(stream->layer * OPS_A_LAYER + stream->step) * 0x240000;
    double ns = 900 + (double)op.flop / 60 * (1 + 0.03 * uniform()) + (random64() % 64 == 0 ? 4000 * uniform() : 0);
    uint64_t result = place(stream, (size_t)op.m * (size_t)op.n * 4);
    struct tvg_record *record = &stream->records[stream->filled++];
    stream->now += (uint64_t)(TICKS_PER_NS * (700 + 500 * uniform()));
    *record = (struct tvg_record){.start = stream->now, .duration = (uint32_t)(TICKS_PER_NS * ns), .op_id = (uint32_t)(stream->length * SHAPES + stream->step),
                                  .a = stream->activation[stream->step % 3], .b = op.batch ? stream->activation[3] : weights, .c = result};
    stream->now += record->duration;
    stream->activation[stream->step % 4] = result;
    (void)thread;
    if (++stream->step == OPS_A_LAYER) {
        stream->step = 0;
        stream->layer = (stream->layer + 1) % LAYERS;
    }
}

int main(int argc, char **argv)
{
    uint64_t ops = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
    int threads = argc > 3 ? atoi(argv[3]) : 2;
    bool mixed = argc > 4 && strcmp(argv[4], "mixed") == 0;
    if (argc < 2 || threads < 1 || threads > THREADS_MAX || ops < 1) {
        fprintf(stderr, "usage: tracegen OUT.tvg [OPS [THREADS [mixed]]]\n");
        return 2;
    }
    out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    static uint8_t block[TVG_OPS_ENCODED_MAX(TVG_RING_SLOTS)], scratch[TVG_OPS_SCRATCH(TVG_RING_SLOTS)];
    struct stream *streams = calloc((size_t)threads, sizeof *streams);
    if (out < 0 || !streams) {
        perror(argv[1]);
        return 1;
    }
    const uint64_t ticks0 = 1000000000000, mono0 = 400000000000, wall0 = 1700000000000000000;
    struct tvg_file_header header = {.pid = 4321, .ppid = 1, .tid = 4321, .grid_shift = GRID_SHIFT, .ticks_are_tsc = true, .ticks_per_ns = TICKS_PER_NS,
                                     .anchor = {ticks0, mono0, wall0}, .process_start_mono_ns = mono0 - 500000000, .command = "tracegen",
                                     .host = "synthetic", .rings = "", .tool = TVG_VERSION};
    append(block, tvg_encode_file_header(block, sizeof block, &header));
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "cpu_brand", "synthetic");
    tvg_map_uint(&map, "cpus_online", 2);
    tvg_map_uint(&map, "cpus_allowed", 2);
    tvg_map_uint(&map, "cores_physical", 2);
    append(block, tvg_map_end(&map, TVG_BLOCK_MANIFEST));
    for (int length = 0; length < LENGTHS; length++)
        for (int shape = 0; shape < SHAPES; shape++) {
            struct tvg_op op = op_of(shape, 8 + length);
            append(block, tvg_encode_dict(block, sizeof block, (uint32_t)(length * SHAPES + shape), &op));
        }
    for (int t = 0; t < threads; t++) {
        streams[t].now = ticks0 + (uint64_t)t * 12345;
        streams[t].heap = 0x7f5500000000 + (uint64_t)t * 0x8000000;
        tvg_record_thread(&streams[t].records[streams[t].filled++], ticks0, 4321 + (uint32_t)t);
    }
    uint64_t made = 0, last = ticks0;
    for (int t = 0; made < ops; t = (t + 1) % threads) {
        struct stream *stream = &streams[t];
        while (stream->filled < TVG_RING_SLOTS && made < ops) {
            one_op(stream, t, mixed);
            made++;
        }
        uint64_t ns = (uint64_t)((double)(stream->now - ticks0) / TICKS_PER_NS);
        struct tvg_ops_info info = {.ring = (uint32_t)t, .tid = 4321 + (uint32_t)t, .first_sequence = stream->sequence, .count = stream->filled,
                                    .anchor = {stream->now, mono0 + ns, wall0 + ns}, .cpu_process_ns = ns * (uint64_t)threads, .cpu_thread_ns = ns,
                                    .encode_ticks = 100000};
        append(block, tvg_encode_ops(block, &info, GRID_SHIFT, stream->records, scratch));
        stream->sequence += stream->filled;
        stream->filled = 0;
        last = stream->now > last ? stream->now : last;
    }
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_uint(&map, "mono_ns", mono0 + (uint64_t)((double)(last - ticks0) / TICKS_PER_NS));
    tvg_map_uint(&map, "ops", made);
    tvg_map_uint(&map, "lost", 0);
    append(block, tvg_map_end(&map, TVG_BLOCK_END));
    printf("%llu ops, %llu bytes, %.2f bytes an op\n", (unsigned long long)made, (unsigned long long)written, (double)written / (double)made);
    free(streams);
    return close(out) == 0 ? 0 : 1;
}
