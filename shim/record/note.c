/* Coverage notes: what was seen, caught, refused or lost, each said once. Before there is a trace they wait in a static buffer. */
#include <string.h>

#include "state.h"
#include "sys.h"

enum { SEEN_SLOTS = 2048, WAITING_BYTES = 32768, NOTE_BYTES = 1024 };

static tvg_lock lock;
static uint64_t seen[SEEN_SLOTS]; /* hashes of (what, subject): open addressing, 0 empty */
static uint32_t seen_count;
static uint8_t waiting[WAITING_BYTES];
static size_t waiting_used;
static bool overflow_said;
static bool caught;

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return (hash ^ 0xff) * 0x100000001b3u;
}

/* True when it is new and was remembered. */
static bool remember(uint64_t hash)
{
    if (hash == 0) hash = 1;
    for (uint64_t i = hash;; i++) {
        uint64_t *slot = &seen[i % SEEN_SLOTS];
        if (*slot == hash) return false;
        if (*slot == 0) {
            if (seen_count >= SEEN_SLOTS * 3 / 4) return false;
            *slot = hash;
            seen_count++;
            return true;
        }
    }
}

static size_t encode(uint8_t *out, size_t capacity, const char *what, const char *subject, const char *detail)
{
    struct tvg_map map;
    tvg_map_begin(&map, out, capacity);
    tvg_map_string(&map, "what", what);
    tvg_map_string(&map, "subject", subject);
    tvg_map_string(&map, "detail", detail);
    tvg_map_uint(&map, "mono_ns", tvg_clock_monotonic());
    return tvg_map_end(&map, TVG_BLOCK_COVERAGE);
}

static void cut(char *out, size_t capacity, const char *text)
{
    tvg_text_add(out, capacity, 0, text ? text : "");
}

void tvg_note(const char *what, const char *subject, const char *detail)
{
    char short_subject[400], short_detail[400];
    uint8_t block[NOTE_BYTES];
    struct tvg_quiet quiet;
    if (tvg_settings.off) return;
    tvg_quiet_begin(&quiet);
    cut(short_subject, sizeof short_subject, subject);
    cut(short_detail, sizeof short_detail, detail);
    uint64_t hash = hash_text(hash_text(0xcbf29ce484222325u, what), short_subject);
    tvg_lock_take(&lock);
    if (strcmp(what, "caught") == 0) caught = true;
    bool fresh = remember(hash), full = seen_count >= SEEN_SLOTS * 3 / 4 && !overflow_said;
    if (full) overflow_said = true;
    size_t length = fresh ? encode(block, sizeof block, what, short_subject, detail ? short_detail : NULL) : 0;
    bool now = tvg_state.recording;
    if (length && !now) {
        if (waiting_used + length <= sizeof waiting) {
            memcpy(waiting + waiting_used, block, length);
            waiting_used += length;
        } else {
            full = !overflow_said;
            overflow_said = true;
        }
    }
    tvg_lock_drop(&lock);
    if (length && now) tvg_file_write(block, length);
    if (full && now) {
        length = encode(block, sizeof block, "limit", "coverage notes", "more was seen than the shim remembers: later notes are missing");
        if (length) tvg_file_write(block, length);
    }
    tvg_quiet_end(&quiet);
}

/* When the trace has just been opened: from here on, and not a note later, they go straight to it. */
void tvg_notes_flush(void)
{
    tvg_lock_take(&lock);
    size_t length = waiting_used;
    waiting_used = 0;
    bool full = overflow_said;
    __atomic_store_n(&tvg_state.recording, true, __ATOMIC_RELEASE);
    tvg_lock_drop(&lock);
    if (length) tvg_file_write(waiting, length);
    if (full) {
        uint8_t block[NOTE_BYTES];
        length = encode(block, sizeof block, "limit", "coverage notes", "more was seen than the shim remembers: later notes are missing");
        if (length) tvg_file_write(block, length);
    }
}

bool tvg_notes_caught(void)
{
    return caught;
}

/* In a forked child: what its parent said is said again for the child's own trace only when it comes up again. */
void tvg_notes_forget(void)
{
    memset(seen, 0, sizeof seen);
    seen_count = 0;
    waiting_used = 0;
    overflow_said = false;
}
