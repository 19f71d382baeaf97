/* What the host says of its own work: units, pause and resume, the end of warm-up. Each is one MARK block. */
#include "../sources/source.h"
#include "state.h"
#include "sys.h"

void tvg_mark(const char *kind, double value)
{
    uint8_t block[256];
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "kind", kind);
    tvg_map_double(&map, "value", value);
    tvg_map_uint(&map, "mono_ns", tvg_clock_monotonic());
    tvg_map_uint(&map, "tid", (uint64_t)tvg_sys_gettid());
    size_t length = tvg_map_end(&map, TVG_BLOCK_MARK);
    if (length) tvg_file_write(block, length);
}

static void mark(const char *kind, double value)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    if (tvg_process_start()) tvg_mark(kind, value);
    tvg_quiet_end(&quiet);
}

void tvg_mark_units(const char *kind, double value)
{
    char name[64];
    if (!kind || !*kind || !(value > 0)) return;
    tvg_text_add(name, sizeof name, 0, kind);
    mark(name, value);
}

TVG_EXPORT void tvg_tokens(uint64_t count)
{
    tvg_mark_units("output_token", (double)count);
}

TVG_EXPORT void tvg_units(const char *kind, double value)
{
    tvg_mark_units(kind, value);
}

TVG_EXPORT void tvg_warmup_done(void)
{
    mark("warmup-end", 0);
}

bool tvg_paused(void)
{
    return __atomic_load_n(&tvg_state.paused, __ATOMIC_ACQUIRE) != 0;
}

/* Pausing before the first op leaves no trace: the word is set odd when the process starts to record. */
TVG_EXPORT void tvg_pause(void)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    if (!__atomic_exchange_n(&tvg_state.paused, 1, __ATOMIC_ACQ_REL) && tvg_recording()) {
        __atomic_or_fetch(tvg_generation, 1, __ATOMIC_RELEASE);
        tvg_mark("pause", 0);
        tvg_sources_pause(true);
    }
    tvg_quiet_end(&quiet);
}

TVG_EXPORT void tvg_resume(void)
{
    struct tvg_quiet quiet;
    tvg_quiet_begin(&quiet);
    if (__atomic_exchange_n(&tvg_state.paused, 0, __ATOMIC_ACQ_REL) && tvg_recording()) {
        tvg_sources_pause(false);
        tvg_mark("resume", 0);
        __atomic_and_fetch(tvg_generation, ~(uint64_t)1, __ATOMIC_RELEASE);
    }
    tvg_quiet_end(&quiet);
}
