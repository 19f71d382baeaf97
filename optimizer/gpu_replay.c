/* Walks the timeline once with what ran and the changes beside it. Host: each launch comes a gap after the one before it on its thread; it waits where the
 * trace says so; where the trace has no waits, where a copy to the host or a full launch queue made it wait. Card: a kernel starts a launch latency after its launch and a change of kernels after
 * the one before it in its stream, whichever is later. Both paths are kept as they were seen, so that no change gives the run back exactly. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../analyzer/energy_gpu.h"
#include "gpu_replay.h"

/* ns. A launch takes some 6 us to the card when nothing is queued (least seen: 6.0 and 6.5 on one H100), kernels of a stream change in about 1 us; in a graph
 * the change takes 0.3 us. */
static const double LATENCY = 7e3, CHANGE = 1e3, CHANGE_IN_GRAPH = 300, LATE = 5e3;
/* A pause is a gap of at least this many usual gaps. With a full queue of launches the launching call blocks. */
static const double PAUSE_GAPS = 4;
enum { QUEUE = TVG_LAUNCHES_QUEUED, RING = 2 * TVG_LAUNCHES_QUEUED + 48 };

struct host {
    double launch_old, launch_new; /* of the last launch */
    double card_old, card_new;     /* when all that it launched has ended */
    double start_old[RING], start_new[RING]; /* of the last launches: when they began on the card */
    uint64_t launched, begun;      /* launches so far; those that had begun when the last one was made */
    uint32_t wait;                 /* the next of its recorded waits */
    bool open;
};
struct stream {
    double end_old, end_new;
};
struct walk {
    const struct tvg_timeline *timeline;
    double *row_new;               /* when each row's stream has got behind it, in the changed run */
    struct host *hosts;
    struct stream *streams;
    uint32_t stream_count;
    double end_old, end_new;
    double read_old, read_new; /* end of the last copy to the host that nobody has waited for yet; 0 none */
    double usual_gap;
};

static uint32_t owner_of(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    const struct tvg_gpu_activity *at = &profile->activity[row->activity];
    return at->cause != UINT32_MAX ? at->cause : at->op;
}

static bool is_read(const struct tvg_profile *profile, const struct tvg_launch *row)
{
    const struct tvg_op *op = &profile->ops[profile->activity[row->activity].op].op;
    return op->kind == TVG_KIND_COPY && op->function && strcmp(op->function, "memcpy DtoH") == 0; /* copies are few: kernels end at the first test */
}

/* Launches of a thread that had not begun on the card when it made the one before at `before`. */
static uint64_t waiting_of(struct host *host, double before)
{
    while (host->begun < host->launched && host->start_old[host->begun % RING] <= before)
        host->begun++;
    return host->launched - host->begun;
}

static void note_launch(struct host *host, double launch, double start)
{
    host->launch_old = launch;
    host->start_old[host->launched++ % RING] = start;
    host->open = true;
}

static double row_end(const struct walk *walk, uint32_t row)
{
    return (double)walk->timeline->rows[row].start_ns + walk->timeline->rows[row].duration_ns;
}

/* Goes through the recorded waits of lane `number` that lie between its last launch and the one at `launch`: what the host did between them takes as long as
 * it did, less what is spared; a wait ends as much behind what it waited for as it did. Gives when the last of them ended (or the last launch was made), in the run as
 * it was and (*now) in the changed one. */
static double through_waits(struct walk *walk, struct host *host, uint16_t number, double launch, double *spared, double *now)
{
    const struct tvg_timeline *timeline = walk->timeline;
    double was = host->launch_old;
    *now = host->launch_new;
    for (; host->wait < timeline->wait_count && timeline->waits[host->wait].host == number && (double)timeline->waits[host->wait].end_ns <= launch; host->wait++) {
        const struct tvg_wait *wait = &timeline->waits[host->wait];
        double start = (double)wait->start_ns, end = (double)wait->end_ns;
        if (start < was)
            continue;
        double gone = fmin(start - was, *spared), finished = wait->row != UINT32_MAX ? row_end(walk, wait->row) : 0;
        *spared -= isfinite(*spared) ? gone : 0;
        *now += start - was - gone;
        if (finished > start)
            *now = fmax(*now, walk->row_new[wait->row] + (end - finished));
        else
            *now = fmax(*now + (end - start), finished > 0 ? walk->row_new[wait->row] : 0);
        was = end;
    }
    return was;
}

/* When the host makes its next launch, in the changed run. `spared`: at most this much of its own work before the launch goes. */
static double next_launch(struct walk *walk, struct host *host, uint16_t number, double launch, double spared, enum tvg_wait_reading reading)
{
    bool known = walk->timeline->waits_known;
    double now = 0, was = known ? through_waits(walk, host, number, launch, &spared, &now) : host->launch_old;
    if (was > host->launch_old)
        return now + launch - was - fmin(launch - was, spared);
    double card_old = host->card_old, card_new = host->card_new, before = host->launch_old, gap = launch - before, issue = fmin(gap, walk->usual_gap);
    uint64_t waiting = waiting_of(host, before);
    double waited_old = 0, waited_new = 0;
    if (!known && walk->read_old > before && walk->read_old <= launch) { /* a copy to the host: certain */
        waited_old = walk->read_old;
        waited_new = walk->read_new;
        walk->read_old = 0;
    } else if (waiting >= QUEUE && waiting < RING && host->start_old[host->begun % RING] > before && host->start_old[host->begun % RING] <= launch) {
        waited_old = host->start_old[host->begun % RING];
        waited_new = host->start_new[host->begun % RING];
    } else if (!known && reading == TVG_WAIT_IS_CARD && gap > PAUSE_GAPS * walk->usual_gap && card_old > before + gap / 2 && card_old <= launch) {
        waited_old = card_old;
        waited_new = card_new;
    }
    if (waited_old > 0)
        return fmax(host->launch_new + fmin(issue, waited_old - before), waited_new) + (launch - waited_old);
    double next = host->launch_new + gap - fmin(gap, spared);
    if (!known && isfinite(spared) && gap > PAUSE_GAPS * walk->usual_gap && card_old > 0 && card_old <= launch) /* it may have waited: it does not go on sooner after the card is done than it did */
        next = fmax(next, card_new + (launch - card_old));
    return next;
}

/* A kernel that began long after its launch and its own stream let it, just as another stream came to an end, waited for an event of that stream: the stream,
 * or NULL. For traces that hold no events: this is what they look like. */
static const struct stream *waited_for(const struct walk *walk, const struct stream *own, double start)
{
    static const double EVENT = 5e3; /* ns from the end of one stream's work to the start of another's */
    const struct stream *latest = NULL;
    for (uint32_t i = 0; i < walk->stream_count; i++) {
        const struct stream *other = &walk->streams[i];
        if (other != own && other->end_old <= start && other->end_old > start - EVENT && (!latest || other->end_old > latest->end_old))
            latest = other;
    }
    return latest;
}

/* Puts one activity on its lane: `count` of them of `each` ns where one of `duration` was. */
static void on_card(struct walk *walk, struct stream *stream, const struct tvg_launch *row, double launch_new, double each, double change_limit)
{
    double start = (double)row->start_ns, end = start + row->duration_ns, launch = (double)row->launch_ns;
    bool queued = stream->end_old > launch + LATENCY; /* the stream, not the launch, set the start */
    double latency = queued ? fmin(LATENCY, start - launch) : start - launch;
    double change = queued ? start - stream->end_old : fmin(CHANGE, start - stream->end_old); /* below 0: it began before the one before it had ended */
    double start_new = stream->end_new + fmin(change, change_limit);
    bool late = row->launch_ns && start - fmax(launch + LATENCY, stream->end_old + CHANGE) > LATE;
    const struct stream *other = late && !walk->timeline->waits_known ? waited_for(walk, stream, start) : NULL;
    double other_old = row->after ? row_end(walk, row->after - 1) : other ? other->end_old : 0;
    double other_new = row->after ? walk->row_new[row->after - 1] : other ? other->end_new : 0;
    if (late && other_old > 0)
        start_new = fmax(stream->end_new + fmin(CHANGE, change_limit), fmax(launch_new + LATENCY, other_new + (start - other_old)));
    else if (row->launch_ns)
        start_new = fmax(fmax(start_new, launch_new + latency), row->after ? other_new + fmin(CHANGE, start - other_old) : 0); /* an event that it did not wait for, and now may */
    else /* whoever launched it did so as before: a copy follows what it copies */
        start_new = stream->end_old > 0 ? stream->end_new + fmax(0, start - stream->end_old) : start;
    stream->end_old = fmax(stream->end_old, end);
    stream->end_new = fmax(stream->end_new, start_new + each);
    walk->end_old = fmax(walk->end_old, end);
    walk->end_new = fmax(walk->end_new, stream->end_new);
}

/* What becomes of each op's activities. */
struct change {
    float factor;    /* on the time of those that stay */
    float kept;      /* share that stays */
    float added;     /* launches added for each activity, kept or not */
    float added_ns;  /* of one added launch */
    float due_kept, due_added; /* what the rounding owes so far */
    uint8_t role_gone;
};

static struct change *changes_of(const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *stretch, const double *rows_of, const double *left)
{
    struct change *changes = calloc(profile->op_count + 1u, sizeof *changes);
    for (uint32_t i = 0; changes && i < profile->op_count; i++) {
        const struct tvg_op_stat *old = &profile->ops[i], *new = &rewritten->ops[i];
        double kept = old->count ? (double)new->count / (double)old->count : 1;
        double time = left[i] > 0 && kept > 0 ? new->seconds / left[i] / kept : 1;
        changes[i] = (struct change){.factor = (float)(time * (stretch ? stretch[i] : 1)), .kept = (float)kept, .due_kept = 0.5f, .role_gone = new->role_gone};
    }
    for (uint32_t i = profile->op_count; changes && i < rewritten->op_count; i++) {
        const struct tvg_op_stat *added = &rewritten->ops[i];
        if (!added->follows || added->follows > profile->op_count || !added->count || !(rows_of[added->follows - 1] > 0))
            continue;
        struct change *at = &changes[added->follows - 1];
        double each = added->seconds / (double)added->count * (stretch ? stretch[i] : 1) * 1e9, share = (double)added->count / rows_of[added->follows - 1];
        at->added_ns = (float)((at->added_ns * at->added + each * share) / (at->added + share));
        at->added += (float)share;
    }
    return changes;
}

/* Activities of each op in the whole run. */
static double *rows_of_ops(const struct tvg_profile *profile)
{
    double *rows = calloc(profile->op_count + 1u, sizeof *rows);
    for (uint32_t i = 0; rows && i < profile->activity_count; i++) {
        const struct tvg_gpu_activity *at = &profile->activity[i];
        rows[at->cause != UINT32_MAX ? at->cause : at->op] += (double)at->count;
    }
    return rows;
}

static void step(struct walk *walk, const struct tvg_profile *profile, const struct tvg_launch *row, struct change *change, enum tvg_wait_reading reading, bool covered, bool head)
{
    struct host *host = &walk->hosts[row->host];
    struct stream *stream = &walk->streams[row->stream];
    double launch = (double)row->launch_ns, launch_new = 0, limit = covered ? CHANGE_IN_GRAPH : INFINITY;
    bool gone = change->role_gone && profile->activity[row->activity].traits.role == change->role_gone;
    change->due_kept += gone ? 0 : change->kept;
    bool kept = !gone && change->due_kept >= 1;
    change->due_kept -= kept;
    if (row->launch_ns) {
        /* A launch that goes takes a usual gap with it; a pass that a graph replays takes all of the host's work within it. */
        double spared = row->in_graph ? 0 : covered && !head ? INFINITY : kept ? 0 : walk->usual_gap;
        launch_new = !host->open ? launch : next_launch(walk, host, row->host, launch, spared, reading);
        host->launch_new = launch_new;
        note_launch(host, launch, (double)row->start_ns);
    }
    on_card(walk, stream, row, launch_new, kept ? row->duration_ns * (double)change->factor : 0, kept ? limit : 0);
    if (row->launch_ns)
        host->start_new[(host->launched - 1) % RING] = stream->end_new - (kept ? row->duration_ns * (double)change->factor : 0);
    for (change->due_added += change->added; change->due_added >= 1; change->due_added--) {
        host->launch_new += row->launch_ns && !covered ? walk->usual_gap : 0;
        stream->end_new = fmax(stream->end_new + fmin(CHANGE, limit), host->launch_new + (covered ? 0 : LATENCY)) + (double)change->added_ns;
        walk->end_new = fmax(walk->end_new, stream->end_new);
    }
    if (row->launch_ns) {
        host->card_old = fmax(host->card_old, stream->end_old);
        host->card_new = fmax(host->card_new, stream->end_new);
    }
    walk->row_new[row - walk->timeline->rows] = stream->end_new;
    if (is_read(profile, row)) {
        walk->read_old = stream->end_old;
        walk->read_new = stream->end_new;
    }
}

bool tvg_gpu_replay(double *saved, const struct tvg_profile *profile, const struct tvg_profile *rewritten, const double *stretch, enum tvg_wait_reading reading)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    *saved = 0;
    if (!timeline->count)
        return true;
    struct walk walk = {.timeline = timeline, .row_new = calloc(timeline->count, sizeof *walk.row_new), .hosts = calloc(timeline->host_count + 1u, sizeof *walk.hosts), .streams = calloc(timeline->stream_count + 1u, sizeof *walk.streams), .stream_count = timeline->stream_count, .usual_gap = timeline->usual_gap_ns};
    double *rows = rows_of_ops(profile);
    double *left = tvg_seconds_left(profile, rewritten);
    struct change *changes = rows && left ? changes_of(profile, rewritten, stretch, rows, left) : NULL;
    struct tvg_cycles cycles = {0};
    bool ready = walk.row_new && walk.hosts && walk.streams && changes && (!rewritten->graph_replay || tvg_cycles_find(&cycles, profile));
    for (uint32_t i = timeline->wait_count; ready && i-- > 0;)
        walk.hosts[timeline->waits[i].host].wait = i;
    for (uint32_t i = 0; ready && i < timeline->count; i++) {
        const struct tvg_launch *row = &timeline->rows[i];
        step(&walk, profile, row, &changes[owner_of(profile, row)], reading, cycles.covered && cycles.covered[i], cycles.head && cycles.head[i]);
    }
    for (unsigned i = 0; ready && i < timeline->host_count; i++)
        if (walk.hosts[i].open) { /* a thread that launches no more may still have work: it goes on as long as it did */
            walk.end_old = fmax(walk.end_old, walk.hosts[i].launch_old);
            walk.end_new = fmax(walk.end_new, walk.hosts[i].launch_new);
        }
    if (ready)
        *saved = (walk.end_old - walk.end_new) * 1e-9 * (timeline->seconds_kept > 0 ? timeline->seconds / timeline->seconds_kept : 1);
    tvg_cycles_free(&cycles);
    free(walk.row_new);
    free(walk.hosts);
    free(walk.streams);
    free(rows);
    free(left);
    free(changes);
    return ready;
}

/* --- launches that repeat -------------------------------------------------------------------------------------------------------- */

void tvg_cycles_free(struct tvg_cycles *cycles)
{
    free(cycles->covered);
    free(cycles->head);
    *cycles = (struct tvg_cycles){0};
}

/* Candidates: how far apart the launches of one kernel are. The pass is the distance at which most kernels meet themselves again; of equally good ones
 * the shortest. */
static uint32_t period_of(const uint32_t *kind, uint32_t count)
{
    enum { CANDIDATES = 64, WINDOW = 1 << 15 };
    uint32_t candidate[CANDIDATES], candidates = 0, best = 0;
    double best_share = 0.5;
    uint32_t from = count > WINDOW ? (count - WINDOW) / 2 : 0, to = count > WINDOW ? from + WINDOW : count; /* the middle: warm-up lies before it */
    for (uint32_t probe = 0; probe < 4; probe++) {
        uint32_t at = from + (to - from) / 5 * (probe + 1);
        for (uint32_t i = at + 1, found = 0; i < to && found < CANDIDATES / 4 && candidates < CANDIDATES; i++)
            if (kind[i] == kind[at]) {
                candidate[candidates++] = i - at;
                found++;
            }
    }
    for (uint32_t c = 0; c < candidates; c++) {
        uint32_t period = candidate[c], same = 0;
        if (to - from < 3 * period)
            continue;
        for (uint32_t i = from + period; i < to; i++)
            same += kind[i] == kind[i - period];
        double share = (double)same / (double)(to - from - period);
        if (share > best_share + 0.02 || (share > best_share - 0.02 && period < best && share > 0.5)) {
            best_share = fmax(best_share, share);
            best = period;
        }
    }
    return best;
}

/* Where a pass begins, from launch `base` on: behind the longest gap of the host, on average over the window that looks like a pass after a pass. */
static uint32_t begin_of(const struct tvg_timeline *timeline, const uint32_t *row_of, const uint32_t *kind, uint32_t count, uint32_t base, uint32_t period)
{
    uint32_t best = base;
    double longest = -1;
    for (uint32_t phase = 0; phase < period; phase++) {
        double gap = 0, seen = 0;
        for (uint32_t turn = 0; turn < 8; turn++) {
            uint32_t at = base + phase + turn * period;
            if (at == 0 || at >= count || kind[at] != kind[base + phase < count ? base + phase : at])
                continue;
            gap += (double)timeline->rows[row_of[at]].launch_ns - (double)timeline->rows[row_of[at - 1]].launch_ns;
            seen++;
        }
        if (seen > 0 && gap / seen > longest) {
            longest = gap / seen;
            best = base + phase;
        }
    }
    return best + period <= count ? best : best - period;
}

/* Marks one pass: rows first .. last of the timeline. */
static void cover(struct tvg_cycles *cycles, const struct tvg_profile *profile, uint32_t first, uint32_t last)
{
    bool fresh = true;
    for (uint32_t row = first; row <= last; row++) {
        const struct tvg_launch *at = &profile->timeline.rows[row];
        if (is_read(profile, at)) {
            cycles->reads++;
            fresh = true; /* the host looks at what came back: another graph begins */
        } else if (at->launch_ns && !at->in_graph) {
            cycles->covered[row] = 1;
            cycles->head[row] = fresh;
            fresh = false;
            cycles->covered_rows++;
            cycles->seconds += at->duration_ns * 1e-9;
            if (profile->activity[at->activity].traits.role == TVG_ROLE_ATTENTION)
                cycles->attention_seconds += at->duration_ns * 1e-9;
        }
    }
    cycles->passes++;
}

bool tvg_cycles_find(struct tvg_cycles *cycles, const struct tvg_profile *profile)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    *cycles = (struct tvg_cycles){.covered = calloc(timeline->count + 1u, 1), .head = calloc(timeline->count + 1u, 1)};
    uint32_t *kind = malloc((timeline->count + 1u) * sizeof *kind), *row_of = malloc((timeline->count + 1u) * sizeof *row_of), count = 0;
    bool ready = cycles->covered && cycles->head && kind && row_of, captured = false;
    for (uint32_t i = 0; ready && i < timeline->count; i++)
        if (timeline->rows[i].launch_ns && !timeline->rows[i].in_graph) {
            kind[count] = timeline->rows[i].activity;
            row_of[count++] = i;
        }
    uint32_t period = ready ? period_of(kind, count) : 0;
    /* Where kernels were recorded in windows, the middle may be the edge of one, and what is found there no pass. */
    for (uint32_t part = 4; period && !cycles->passes && part < 8; part++) {
        uint32_t base = (uint32_t)((uint64_t)count * (part < 5 ? part : 8 - part) / 8) / period * period;
        uint32_t pattern = begin_of(timeline, row_of, kind, count, base, period);
        captured = false;
        for (uint32_t i = 0; i + period <= count;) {
            uint32_t same = 0;
            while (same < period && kind[i + same] == kind[pattern + same])
                same++;
            if (same < period) {
                i++;
                continue;
            }
            if (captured) /* the first one is the capture */
                cover(cycles, profile, row_of[i], row_of[i + period - 1]);
            captured = true;
            i += period;
        }
    }
    cycles->period = cycles->passes ? period : 0;
    free(kind);
    free(row_of);
    if (!ready)
        tvg_cycles_free(cycles);
    return ready;
}
