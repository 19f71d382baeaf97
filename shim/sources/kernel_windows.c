/* Decides when kernels are recorded: see kernel_windows.h.
 * While the estimated cost is small, all the time; else in windows whose place and length vary, so that they don't keep step with periodic work. */
#include "kernel_windows.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../trace/block.h"
#include "../record/record.h"
#include "../record/sys.h"
#include "tables.h"

static const double MS = 1e6; /* ns */
/* ns that recording one kernel costs, measured on H100s: launched, 1.3 us of the host's, 1.0 of them in CUPTI; replayed by a graph, 7 % of a graph of 400
 * kernels of 2 us each. */
enum { LAUNCHED_COSTS = 1300, REPLAYED_COSTS = 140 };
/* Shares of the host's time: above the first, windows; below the second, all again; in windows, what they may cost. */
static const double TOO_MUCH = 0.015, LITTLE = 0.012, WINDOWS_MAY_COST = 0.01;
static const double LEAST_SHARE = 0.05, MOST_SHARE = 0.5, MOST_SHARE_ASKED = 0.25;
static const double WINDOW_NS = 70e6, WINDOW_SPREAD = 3.0 / 7, GAP_SPREAD = 0.5; /* windows of 40 to 100 ms */
/* The beginning is recorded whole: so much of the card's activity or so many kernels, so that short runs have no gaps. */
static const double WHOLE_NS = 5e9;
enum { WHOLE_KERNELS = 200000, TICK_MS = 200, RATE_TICKS = 6, CLOSE_MS = 2, DRAIN_MS = 10 };

static enum { AUTOMATIC = 0, ALL, ASKED, GIVEN } policy; /* by TVG_KERNELS: "auto" or unset, "all", "windows", MS/MS */
static double given_window, given_period;                /* ns */
static char meaningless[32];

_Atomic uint32_t tvg_window_open = 1;
static _Atomic bool begun, stopped;
static _Atomic uint64_t decoded, cost_ns, outside_ns; /* kernels; what recording them cost; the latest start of one of no window */
static uint32_t number = 1;

static enum { WHOLE, WINDOW, GAP } state;
static bool paused_by_host;
static double until_ns;             /* of a window, a gap; of WHOLE: the next look */
static double opened_ns, cost;      /* of the window; share of the time that recording costs while it is on */
static uint64_t cost_before;
static double first_ns;             /* when the first kernel was learnt of; 0: none yet */
static struct { double ns, cost_ns; } history[RATE_TICKS];
static unsigned ticks;
static pthread_mutex_t switching = PTHREAD_MUTEX_INITIALIZER;
static struct tvg_windows_switch to;
static uint64_t random_state;

bool tvg_windows_begun(void) { return atomic_load_explicit(&begun, memory_order_acquire); }
void tvg_windows_decoded(uint64_t count, uint64_t replayed)
{
    atomic_store_explicit(&cost_ns, count * LAUNCHED_COSTS + replayed * REPLAYED_COSTS, memory_order_relaxed);
    atomic_store_explicit(&decoded, count + replayed, memory_order_relaxed);
}
void tvg_windows_outside(uint64_t start_ns)
{
    if (start_ns > atomic_load_explicit(&outside_ns, memory_order_relaxed))
        atomic_store_explicit(&outside_ns, start_ns, memory_order_relaxed);
}

/* --- launches ----------------------------------------------------------------------------------------------------------- */
/* Threads spread over places of their own, so that they don't fight for a cache line; more threads than places share. */
enum { PLACES = 32 };
static struct place {
    _Atomic uint64_t count[TVG_LAUNCHED_KINDS];
} __attribute__((aligned(64))) places[PLACES];
static _Atomic uint32_t next_place;
static __thread struct place *own_place __attribute__((tls_model("initial-exec")));

void tvg_windows_launched(enum tvg_launched what)
{
    if (tvg_paused())
        return;
    if (__builtin_expect(!own_place, 0))
        own_place = &places[atomic_fetch_add_explicit(&next_place, 1, memory_order_relaxed) % PLACES];
    atomic_fetch_add_explicit(&own_place->count[what], 1, memory_order_relaxed);
}

static uint64_t launched(enum tvg_launched what)
{
    uint64_t sum = 0;
    for (int i = 0; i < PLACES; i++)
        sum += atomic_load_explicit(&places[i].count[what], memory_order_relaxed);
    return sum;
}

/* --- the trace ------------------------------------------------------------------------------------------------------------ */

/* `whole`: what is recorded from here on is so for an open time, not as a sample. */
static void say(const char *kind, uint64_t mono_ns, bool whole)
{
    uint8_t block[256];
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "kind", kind);
    tvg_map_double(&map, "value", whole);
    tvg_map_uint(&map, "mono_ns", mono_ns);
    tvg_map_uint(&map, "tid", (uint64_t)tvg_sys_gettid());
    tvg_map_uint(&map, "launches", launched(TVG_LAUNCHED_KERNEL));
    tvg_map_uint(&map, "graph_launches", launched(TVG_LAUNCHED_GRAPH));
    size_t length = tvg_map_end(&map, TVG_BLOCK_MARK);
    if (length)
        tvg_block_append(block, length);
}

/* --- settings --------------------------------------------------------------------------------------------------------------- */

void tvg_windows_configure(void)
{
    const char *value = secure_getenv("TVG_KERNELS");
    char *rest = NULL;
    if (!value || !*value || strcmp(value, "auto") == 0)
        return;
    if (strcmp(value, "all") == 0)
        policy = ALL;
    else if (strcmp(value, "windows") == 0)
        policy = ASKED;
    else {
        double window = strtod(value, &rest), period = *rest == '/' ? strtod(rest + 1, &rest) : 0;
        if (*rest == 0 && window >= 1 && period > window && period <= 1e6) {
            policy = GIVEN;
            given_window = window * MS;
            given_period = period * MS;
        } else {
            strncpy(meaningless, value, sizeof meaningless - 1);
        }
    }
}

/* --- when ------------------------------------------------------------------------------------------------------------------- */

/* An even spread over 1 - spread .. 1 + spread. */
static double jitter(double spread)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return 1 + spread * (2 * (double)(random_state >> 11) / 0x1p53 - 1);
}

static double window_length(void)
{
    return (policy == GIVEN ? given_window : WINDOW_NS) * jitter(WINDOW_SPREAD);
}

static double gap_length(void)
{
    if (policy == GIVEN)
        return (given_period - given_window) * jitter(GAP_SPREAD);
    double most = policy == ASKED ? MOST_SHARE_ASKED : MOST_SHARE;
    double share = cost > 0 ? WINDOWS_MAY_COST / cost : most;
    share = share < LEAST_SHARE ? LEAST_SHARE : share > most ? most : share;
    return WINDOW_NS * (1 - share) / share * jitter(GAP_SPREAD);
}

/* What recording cost over the last second and a bit, of that time. 0 while that is not known yet. */
static double recent_cost(double now)
{
    unsigned oldest = ticks % RATE_TICKS;
    double since = history[oldest].ns, before = history[oldest].cost_ns, spent = (double)atomic_load_explicit(&cost_ns, memory_order_relaxed);
    history[oldest].ns = now;
    history[oldest].cost_ns = spent;
    ticks++;
    return since > 0 ? (spent - before) / (now - since) : 0;
}

static void sleep_ms(long ms)
{
    struct timespec pause = {0, ms * 1000000L};
    nanosleep(&pause, NULL);
}

/* Closes the window for launches at once, and CUPTI's recording when what belongs to the window has been seen: library calls that are still in
 * progress end first, then a kernel of no window begins on the card. At most some 12 ms. Where the card is further behind, CUPTI delivers what
 * was launched while it recorded. */
static void close_window(double now)
{
    pthread_mutex_lock(&switching);
    if (paused_by_host || stopped) {
        pthread_mutex_unlock(&switching);
        return;
    }
    uint64_t closed_ns = tvg_mono_ns();
    atomic_store_explicit(&begun, true, memory_order_release);
    atomic_store_explicit(&tvg_window_open, 0, memory_order_seq_cst);
    say("kernels-off", closed_ns, false);
    state = GAP;
    until_ns = now + gap_length();
    pthread_mutex_unlock(&switching);
    for (long waited = 0; waited < CLOSE_MS + DRAIN_MS && !atomic_load(&stopped); waited += CLOSE_MS) {
        sleep_ms(CLOSE_MS);
        to.flush();
        if (atomic_load_explicit(&outside_ns, memory_order_relaxed) >= closed_ns)
            break;
    }
    pthread_mutex_lock(&switching);
    if (!stopped)
        to.set_recording(false);
    pthread_mutex_unlock(&switching);
}

static void open_window(bool whole)
{
    pthread_mutex_lock(&switching);
    if (!paused_by_host && !stopped) {
        if (state != GAP || to.set_recording(true)) {
            atomic_store_explicit(&tvg_window_open, ++number ? number : ++number, memory_order_seq_cst);
            uint64_t now = tvg_mono_ns();
            say("kernels-on", now, whole);
            state = whole ? WHOLE : WINDOW;
            opened_ns = (double)now;
            cost_before = atomic_load(&cost_ns);
            until_ns = opened_ns + (whole ? TICK_MS * MS : window_length());
            ticks = 0;
            memset(history, 0, sizeof history);
        } else {
            tvg_note("source-partial", "cupti", "recording could not be switched on again: kernels from here on are not seen");
            until_ns = 1e300;
        }
    }
    pthread_mutex_unlock(&switching);
}

/* WHOLE: is it too much? */
static void look(double now)
{
    uint64_t kernels = atomic_load_explicit(&decoded, memory_order_relaxed);
    if (kernels && !first_ns)
        first_ns = now;
    double recent = recent_cost(now);
    until_ns = now + TICK_MS * MS;
    if (policy == ALL || !kernels)
        return;
    bool past_beginning = kernels >= WHOLE_KERNELS || now - first_ns >= WHOLE_NS;
    if (policy == AUTOMATIC && !(past_beginning && recent > TOO_MUCH))
        return;
    cost = recent;
    if (policy == AUTOMATIC)
        close_window(now);
    else
        open_window(false);
}

/* WINDOW: it is over. */
static void end_window(double now)
{
    double seen = ((double)atomic_load(&cost_ns) - (double)cost_before) / (now - opened_ns);
    cost = seen > cost / 2 ? seen : cost / 2; /* records come late: one window with few says little */
    if (policy == AUTOMATIC && cost < LITTLE)
        open_window(true);
    else
        close_window(now);
}

uint64_t tvg_windows_step(void)
{
    double now = (double)tvg_mono_ns();
    if (now >= until_ns && !paused_by_host) {
        if (state == WHOLE)
            look(now);
        else if (state == WINDOW)
            end_window(now);
        else
            open_window(false);
        now = (double)tvg_mono_ns();
    }
    double left = until_ns - now, longest = TICK_MS * MS;
    return (uint64_t)(left < MS ? MS : left > longest ? longest : left);
}

void tvg_windows_start(const struct tvg_windows_switch *how)
{
    to = *how;
    random_state = ((tvg_mono_ns() * 0x9e3779b97f4a7c15u) ^ ((uint64_t)tvg_sys_getpid() << 32)) | 1;
    state = WHOLE;
    until_ns = 0;
    if (meaningless[0])
        tvg_note("setting-refused", "TVG_KERNELS", "none of \"auto\", \"all\", \"windows\" and MS/MS (a window's length, a period's): \"auto\" holds");
}

void tvg_windows_pause(bool paused)
{
    pthread_mutex_lock(&switching);
    paused_by_host = paused;
    if (!stopped && state == WINDOW && paused) { /* cut short; the next one opens when the host goes on */
        atomic_store_explicit(&begun, true, memory_order_release);
        atomic_store_explicit(&tvg_window_open, 0, memory_order_seq_cst);
        say("kernels-off", tvg_mono_ns(), false);
        state = GAP;
        until_ns = 0;
    }
    if (!stopped && (paused || state == WHOLE))
        to.set_recording(!paused);
    memset(history, 0, sizeof history);
    ticks = 0;
    pthread_mutex_unlock(&switching);
}

void tvg_windows_stop(void)
{
    pthread_mutex_lock(&switching);
    bool open = !atomic_exchange(&stopped, true) && tvg_windows_begun() && state != GAP;
    if (open)
        say("kernels-off", tvg_mono_ns(), false);
    pthread_mutex_unlock(&switching);
}

void tvg_windows_end(void)
{
    if (tvg_windows_begun())
        say("kernels-end", tvg_mono_ns(), false);
}
