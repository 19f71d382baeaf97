/* hostile_trace OUT: a trace, whole by every checksum, whose names try to take over the terminal that shows them. */
#include "tests/trace_maker.h"

/* valid UTF-8 all through, and the same with sequences that are none */
#define VALID "\033]0;owned\007\033[2J\r\n\t\xe2\x80\xae gpj \xe2\x81\xa6 \xc2\x9b" "31m\177\"\\"
#define EVIL VALID " \xff\xfe \xc0\xaf \xed\xa0\x80"

int main(int count, char **arguments)
{
    static const char *const pairs[] = {"cpu.model", EVIL, "cpu.id", "AuthenticAMD-26-2", "cpu.online", "8", "cpu.allowed", "2", "cpu.cores", "8", "exe", EVIL, "command", VALID,
                                        "script", EVIL, "env.OMP_NUM_THREADS", VALID, "gpu.0.name", EVIL, "library." EVIL, EVIL, NULL, NULL};
    if (count != 2)
        return 2;
    uint8_t out[8192];
    struct maker maker = {0};
    struct tvg_file_header header = {.pid = MAKER_PID, .ppid = 1, .tid = MAKER_TID, .grid_shift = MAKER_SHIFT, .ticks_are_tsc = true, .ticks_per_ns = MAKER_RATE,
                                     .anchor = {MAKER_TICKS, MAKER_MONO, MAKER_WALL}, .process_start_mono_ns = MAKER_MONO - 500000000, .command = EVIL, .host = EVIL,
                                     .rings = EVIL, .tool = EVIL};
    maker_append(&maker, out, tvg_encode_file_header(out, sizeof out, &header));
    maker_manifest(&maker, pairs);
    static const char *const words[] = {"library", "caught", "found-not-catchable", "source-on", "source-refused", "source-limited", "unknown-version", "clock", "output", "limit",
                                        "gpu", "lost", "failed-call", EVIL};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        maker_note(&maker, words[i], VALID, i % 2 ? EVIL : VALID);
    for (uint32_t id = 0; id < 2; id++) {
        struct tvg_op op = maker_op(id);
        op.library = op.function = op.name = op.caller_library = id ? VALID : EVIL;
        op.kind = id == 1 ? TVG_KIND_KERNEL : op.kind;
        op.on_gpu = id == 1;
        op.device = id == 1 ? 0 : -1;
        maker_block(&maker, out, tvg_encode_dict(out, sizeof out, id, &op));
    }
    maker_thread(&maker, 0, EVIL);
    struct tvg_record records[41];
    tvg_record_thread(&records[0], MAKER_TICKS, MAKER_TID);
    for (uint32_t i = 0; i < 40; i++)
        records[1 + i] = maker_record(0, i, 2);
    maker_ops(&maker, 0, 0, records, 41, 41 * 16000);
    maker_energy(&maker, EVIL, EVIL, "uJ", 1000000, 6);
    maker_energy(&maker, "package-0", "package", "uJ", 1000000, 6);
    maker_mark(&maker, EVIL, 3, 1000);
    maker_mark(&maker, "image", 3, 1000);
    maker_kernels(&maker, 0, 1, 0, 10);
    maker_counters(&maker);
    maker_stacks(&maker);
    maker_lost(&maker, 0, 2, EVIL);
    maker_end(&maker, 40, 41 * 16000);
    maker_save(&maker, arguments[1], maker.length);
    maker_free(&maker);
    return 0;
}
