/* Arbitrary bytes as a trace: read, profiled, priced, reported. Nothing may crash, hang, or print JSON that is none.
 * The mutator seals blocks again, so that what lies behind the checksums is reached. */
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "analyzer/report/report.h"
#include "tests/trace_maker.h"
#include "trace/check.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t capacity);

static struct tvg_device *cpu, *gpu;
static int file = -1, rings = -1;
static char folder[] = "/tmp/tvg-fuzz.XXXXXX", path[64], rings_path[80];

static void clean_up(void)
{
    unlink(path);
    unlink(rings_path);
    rmdir(folder);
}

/* TVG_COEFFS names the folder of device files; TVG_FUZZ_SEEDS, when set, a folder to write the seeds to. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct tvg_error error;
    (void)argc, (void)argv;
    if (!tvg_device_load(&cpu, "generic-x86-64", &error) || !tvg_device_load(&gpu, "h100-sxm", &error)) {
        fprintf(stderr, "%s\n", error.message);
        exit(2);
    }
    if (!mkdtemp(folder))
        abort();
    snprintf(path, sizeof path, "%s/trace.tvg", folder);
    snprintf(rings_path, sizeof rings_path, "%s.rings", path);
    file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    rings = open(rings_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || rings < 0 || atexit(clean_up) != 0)
        abort();
    const char *seeds = getenv("TVG_FUZZ_SEEDS");
    for (uint32_t threads = 0; seeds && threads < 4; threads++) {
        struct maker maker = maker_full(threads, 50);
        char name[512];
        snprintf(name, sizeof name, "%s/full-%u", seeds, (unsigned)threads);
        maker_save(&maker, name, maker.length);
        snprintf(name, sizeof name, "%s/killed-%u", seeds, (unsigned)threads);
        maker.length = maker.block_at[maker.blocks - 1]; /* no END, and rings */
        struct maker side = {0};
        maker_rings(&side, 8, threads);
        for (uint32_t ring = 0; ring < threads; ring++) {
            maker_ring(&side, 8, ring, 51 + ring * 3, 50);
            for (uint32_t i = 0; i < 8; i++)
                ((struct tvg_record *)(void *)(side.data + TVG_RINGS_PAGE * (2 + 2 * (size_t)ring)))[i] = maker_record(ring, 60 + i, 8);
        }
        maker_append(&maker, side.data, side.length);
        maker_free(&side);
        maker_save(&maker, name, maker.length);
        maker_free(&maker);
    }
    return 0;
}

static void examine_report(const struct tvg_report *report)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    tvg_report_json(report, out);
    fclose(out);
    json_error_t error;
    json_t *parsed = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (!parsed) {
        fprintf(stderr, "no JSON: %s at %d:%d\n", error.text, error.line, error.column);
        abort();
    }
    json_decref(parsed);
    free(text);
    text = NULL;
    out = open_memstream(&text, &length);
    tvg_report_text(report, out);
    fclose(out);
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\n') || text[i] == 0x7f)
            abort(); /* a control character reached the terminal */
    free(text);
}

static void profile_and_report(void)
{
    struct tvg_profile *profile = NULL;
    struct tvg_energy *energy = NULL;
    struct tvg_error error = {""};
    if (!tvg_profile_load(&profile, path, NULL, &error)) {
        if (profile || !error.message[0])
            abort();
        return;
    }
    if (tvg_energy_price(&energy, profile, cpu, gpu, TVG_CHARGE_AUTO, &error)) {
        struct tvg_rewrite_context context = {.device = cpu, .gpu = gpu, .cores = profile->cpus_allowed};
        struct tvg_report report = {.path = "fuzz", .profile = profile, .device = cpu, .gpu = gpu, .energy = energy, .context = &context, .full = true};
        if (tvg_report_build(&report, NULL, 0, &error))
            examine_report(&report);
        tvg_report_clear(&report);
        tvg_energy_free(energy);
    }
    tvg_profile_free(profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* what follows the last rings mark is the side file */
    size_t trace = size;
    for (size_t at = 0; at + 8 <= size; at++)
        if (memcmp(data + at, TVG_RINGS_MAGIC, 8) == 0)
            trace = at;
    if (ftruncate(file, 0) != 0 || pwrite(file, data, trace, 0) != (ssize_t)trace || ftruncate(rings, 0) != 0 ||
        pwrite(rings, data + trace, size - trace, 0) != (ssize_t)(size - trace))
        abort();
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_error error = {""};
    if (!tvg_reader_open(&reader, path, &error)) {
        if (reader || !error.message[0])
            abort(); /* refused without a message */
        return 0;
    }
    uint64_t sum = 0;
    while (tvg_reader_next(reader, &event)) {
        if (event.kind != TVG_EVENT_OPS)
            continue;
        for (uint32_t row = 0; row < event.info->count; row++) {
            if (event.columns->op_id[row] >= tvg_reader_op_count(reader))
                abort();
            sum += event.columns->start[row] ^ strlen(tvg_reader_op(reader, event.columns->op_id[row])->function);
        }
        if (!(tvg_reader_mono_ns(reader, sum) <= INFINITY))
            abort(); /* not a number */
    }
    if (tvg_reader_bytes_read(reader) != tvg_reader_bytes_total(reader))
        abort(); /* it stopped before the end */
    tvg_reader_close(reader);
    profile_and_report();
    return 0;
}

/* Length of the block at `at` when its mark is there and it fits, else 0. */
static size_t block_length(const uint8_t *data, size_t size, size_t at)
{
    struct tvg_block_header header;
    if (size - at < sizeof header)
        return 0;
    memcpy(&header, data + at, sizeof header);
    return header.magic == TVG_BLOCK_MAGIC && header.length <= size - at - sizeof header ? sizeof header + header.length : 0;
}

static void seal_header(uint8_t *data, size_t size)
{
    struct tvg_file_prefix prefix;
    if (size < sizeof prefix)
        return;
    memcpy(&prefix, data, sizeof prefix);
    if (prefix.length <= size - sizeof prefix)
        prefix.payload_check = tvg_checksum(data + sizeof prefix, prefix.length);
    prefix.prefix_check = tvg_checksum(&prefix, offsetof(struct tvg_file_prefix, prefix_check));
    memcpy(data, &prefix, sizeof prefix);
}

/* One block's payload (or the header's map) is mutated and sealed again; sometimes blocks change places, and now and then bytes change anywhere. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t capacity, unsigned seed)
{
    struct tvg_file_prefix prefix;
    size_t at[512], count = 0, from;
    if (size < sizeof prefix || seed % 16 == 0)
        return LLVMFuzzerMutate(data, size, capacity);
    memcpy(&prefix, data, sizeof prefix);
    from = sizeof prefix + prefix.length;
    if (from > size)
        return LLVMFuzzerMutate(data, size, capacity);
    for (size_t place = from; place < size && count < 512;) {
        size_t length = block_length(data, size, place);
        if (!length)
            break;
        at[count++] = place;
        place += length;
    }
    if (count == 0 || seed % 32 == 1) {
        size_t room = prefix.length;
        uint8_t *map = malloc(room ? room : 1);
        memcpy(map, data + sizeof prefix, room);
        size_t made = LLVMFuzzerMutate(map, room, room);
        memcpy(data + sizeof prefix, map, made);
        free(map);
        seal_header(data, size);
        return size;
    }
    size_t chosen = at[(seed >> 5) % count], length = block_length(data, size, chosen), tail = size - chosen - length;
    if (seed % 16 == 2 && size + length <= capacity) { /* once more */
        memmove(data + chosen + length, data + chosen, length + tail);
        return size + length;
    }
    if (seed % 16 == 3) { /* left out */
        memmove(data + chosen, data + chosen + length, tail);
        return size - length;
    }
    struct tvg_block_header header;
    memcpy(&header, data + chosen, sizeof header);
    size_t room = header.length + (capacity - size < 256 ? capacity - size : 256);
    uint8_t *block = malloc(sizeof header + room + 1);
    memcpy(block + sizeof header, data + chosen + sizeof header, header.length);
    size_t made = LLVMFuzzerMutate(block + sizeof header, header.length, room);
    size_t whole = tvg_block_seal(block, seed % 16 == 4 ? (enum tvg_block_kind)((seed >> 8) % 16) : (enum tvg_block_kind)header.kind, made);
    memmove(data + chosen + whole, data + chosen + length, tail);
    memcpy(data + chosen, block, whole);
    free(block);
    return size - length + whole;
}
