/* Who waited for whom: the host's recorded waits laid over the time in which a card worked, launch by launch. */
#include <math.h>
#include <stdlib.h>

#include "profile_build.h"

struct stretch { /* of time in which the card worked; `before`: how long it had until then */
    double start, end, before;
};
struct card {
    struct stretch *busy;
    double *started; /* begins of what was launched one by one */
    uint32_t busy_count, started_count;
};

static int by_start(const void *left, const void *right)
{
    const struct stretch *a = left, *b = right;
    return (a->start > b->start) - (a->start < b->start);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* How long the card had worked by a moment. */
static double worked_until(const struct card *card, double moment)
{
    uint32_t low = 0, high = card->busy_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (card->busy[middle].start < moment)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? card->busy[low - 1].before + fmin(moment, card->busy[low - 1].end) - card->busy[low - 1].start : 0;
}

static uint32_t started_by(const struct card *card, double moment)
{
    uint32_t low = 0, high = card->started_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (card->started[middle] <= moment)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t first_wait(const struct tvg_timeline *timeline, uint16_t host, double ends_after)
{
    uint32_t low = 0, high = timeline->wait_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct tvg_wait *wait = &timeline->waits[middle];
        if (wait->host < host || (wait->host == host && (double)wait->end_ns <= ends_after))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double seconds(double ns) { return ns * 1e-9; }

/* From one launch to the next, made by `host`. */
static void lay(struct tvg_gpu_waits *waits, const struct tvg_timeline *timeline, const struct card *card, uint16_t host, double from, double to, bool full)
{
    double working = worked_until(card, to) - worked_until(card, from), waited_working = 0, waited = 0;
    for (uint32_t i = first_wait(timeline, host, from); i < timeline->wait_count && timeline->waits[i].host == host && (double)timeline->waits[i].start_ns < to; i++) {
        double start = fmax(from, (double)timeline->waits[i].start_ns), end = fmin(to, (double)timeline->waits[i].end_ns);
        if (end <= start)
            continue;
        waited += end - start;
        waited_working += worked_until(card, end) - worked_until(card, start);
    }
    double rest = fmax(0, working - waited_working), idle = fmax(0, to - from - working), returning = fmin(idle, fmax(0, waited - waited_working));
    waits->span += seconds(to - from);
    waits->host_waited += seconds(waited_working);
    *(full ? &waits->queue_full : &waits->both) += seconds(rest);
    waits->returning += seconds(returning);
    waits->card_waited += seconds(idle - returning);
}

static bool is_of(const struct tvg_profile *profile, const struct tvg_launch *row, const struct tvg_gpu *gpu)
{
    return profile->activity[row->activity].device == gpu->device;
}

/* From the first work of a window of recording to its last; rows from `first` on. Gives where the next one begins. */
static uint32_t lay_window(struct tvg_gpu *gpu, const struct tvg_profile *profile, const struct card *card, uint32_t first)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    double reached = INFINITY, end = 0;
    uint32_t behind = first, launched = 0, started = 0;
    uint16_t host = 0;
    for (; behind < timeline->count && timeline->rows[behind].window == timeline->rows[first].window; behind++) {
        const struct tvg_launch *row = &timeline->rows[behind];
        if (!is_of(profile, row, gpu))
            continue;
        reached = fmin(reached, (double)row->start_ns);
        end = fmax(end, (double)row->start_ns + row->duration_ns);
    }
    if (end > 0)
        started = started_by(card, reached - 1);
    for (uint32_t i = first; i < behind; i++) {
        const struct tvg_launch *row = &timeline->rows[i];
        if (!row->launch_ns || !is_of(profile, row, gpu))
            continue;
        host = row->host;
        if ((double)row->launch_ns > reached) {
            uint32_t begun = started_by(card, reached) - started;
            double to = fmin(end, (double)row->launch_ns);
            lay(&gpu->waits, timeline, card, host, reached, to, launched > begun && launched - begun >= TVG_LAUNCHES_QUEUED);
            reached = to;
        }
        launched += !row->in_graph;
    }
    if (end > reached)
        lay(&gpu->waits, timeline, card, host, reached, end, false);
    return behind;
}

static void lay_card(struct tvg_gpu *gpu, const struct tvg_profile *profile, struct card *card)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    uint32_t rows = 0;
    for (uint32_t i = 0; i < timeline->count; i++) {
        const struct tvg_launch *row = &timeline->rows[i];
        if (!is_of(profile, row, gpu))
            continue;
        card->busy[rows++] = (struct stretch){(double)row->start_ns, (double)row->start_ns + row->duration_ns, 0};
        if (row->launch_ns && !row->in_graph)
            card->started[card->started_count++] = (double)row->start_ns;
    }
    if (!rows)
        return;
    qsort(card->busy, rows, sizeof *card->busy, by_start);
    qsort(card->started, card->started_count, sizeof *card->started, by_value);
    for (uint32_t i = 0; i < rows; i++) {
        struct stretch *last = card->busy_count ? &card->busy[card->busy_count - 1] : NULL;
        if (last && card->busy[i].start <= last->end)
            last->end = fmax(last->end, card->busy[i].end);
        else {
            card->busy[i].before = last ? last->before + last->end - last->start : 0;
            card->busy[card->busy_count++] = card->busy[i];
        }
    }
    for (uint32_t i = 0; i < timeline->count;)
        i = lay_window(gpu, profile, card, i);
}

bool tvg_gpu_lay_waits(struct tvg_profile *profile)
{
    const struct tvg_timeline *timeline = &profile->timeline;
    bool good = true, windowed = false;
    for (uint32_t i = 0; i < timeline->count; i++)
        windowed |= timeline->rows[i].window != 0;
    for (uint32_t i = 0; good && timeline->waits_known && i < profile->gpu_count; i++) {
        if (windowed && profile->gpus[i].processes > 1)
            continue; /* each has windows of its own */
        struct card card = {.busy = malloc((timeline->count + 1u) * sizeof *card.busy), .started = malloc((timeline->count + 1u) * sizeof *card.started)};
        if ((good = card.busy && card.started))
            lay_card(&profile->gpus[i], profile, &card);
        free(card.busy);
        free(card.started);
    }
    return good;
}
