/* Estimates what ran while kernels were not recorded. What a library call launched in the samples, on average, it launched in the gaps, where calls are
 * recorded all the same: its time is a ratio times a count that is exact. Kernels that no call explains go by the launches counted at the
 * driver's door, where there are any, else by time; what graphs replay by the graphs launched.
 * Errors are those of ratio estimates between random groups of samples (Wolter, Introduction to Variance Estimation, ch. 2): with residuals
 * e_g = k_g - r c_g of each group, var(r) = G/(G-1) sum e_g^2 / (sum c_g)^2. What was recorded whole is counted as it is and says nothing of the rest. */
#include "sampling.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/kernels.h"
#include "profile.h"
#include "profile_build.h"

enum { GROUPS = TVG_WINDOW_GROUPS };
/* How an activity came to be launched. */
enum way { DIRECT = 0, GRAPH, WAYS };

struct calls {
    uint64_t whole, sample, gap;
    uint32_t group[GROUPS];
};
struct sums {
    double count, seconds, bytes, replays;
};
struct rows {
    struct sums whole[WAYS], sample[WAYS];
    float group[WAYS][GROUPS]; /* seconds in samples */
};
struct tvg_sampling {
    struct calls *calls;
    struct rows *rows;
    uint32_t call_capacity, row_capacity;
    struct tvg_sampled about;
    double gap_launches, gap_graphs, sample_launches, sample_graphs, whole_launches, whole_graphs, whole_seconds;
    double first_ns;                    /* the first activity: the first stretch that is recorded whole begins with it */
    double since_first_ns;              /* where those stretches end, one a process */
    uint32_t since_first;
    double launches[GROUPS], graphs[GROUPS], seconds[GROUPS];
    double worked_until_ns;
};

struct tvg_sampling *tvg_sampling_new(void)
{
    return calloc(1, sizeof(struct tvg_sampling));
}

void tvg_sampling_free(struct tvg_sampling *sampling)
{
    if (!sampling)
        return;
    free(sampling->calls);
    free(sampling->rows);
    free(sampling);
}

void tvg_sampling_process(struct tvg_sampling *sampling, const struct tvg_windows *windows)
{
    for (uint32_t i = 0; i < windows->count; i++) {
        const struct tvg_window *window = &windows->window[i];
        unsigned group = tvg_windows_group((int)i);
        double seconds = (window->close_ns - window->open_ns) * 1e-9;
        if (!isfinite(seconds))
            continue;
        if (window->whole) {
            sampling->whole_launches += (double)window->launches;
            sampling->whole_graphs += (double)window->graph_launches;
            sampling->whole_seconds += window->open_ns > 0 ? seconds : 0;
            sampling->since_first_ns += window->open_ns > 0 ? 0 : window->close_ns;
            sampling->since_first += !(window->open_ns > 0);
            continue;
        }
        sampling->about.windows++;
        sampling->about.window_seconds += seconds;
        sampling->seconds[group] += seconds;
        sampling->launches[group] += (double)window->launches;
        sampling->graphs[group] += (double)window->graph_launches;
        sampling->sample_launches += (double)window->launches;
        sampling->sample_graphs += (double)window->graph_launches;
    }
    sampling->about.gap_seconds += windows->gap_seconds;
    sampling->worked_until_ns = fmax(sampling->worked_until_ns, windows->worked_until_ns);
    sampling->gap_launches += (double)windows->gap_launches;
    sampling->gap_graphs += (double)windows->gap_graph_launches;
}

void tvg_sampling_tail(struct tvg_sampling *sampling, double seconds)
{
    double known = sampling->about.window_seconds + sampling->about.gap_seconds, more = known > 0 ? seconds / known : 0;
    sampling->gap_launches += more * (sampling->gap_launches + sampling->sample_launches);
    sampling->gap_graphs += more * (sampling->gap_graphs + sampling->sample_graphs);
    sampling->about.gap_seconds += seconds;
}

double tvg_sampling_worked_until(const struct tvg_sampling *sampling)
{
    return sampling->worked_until_ns;
}

static bool room(void **array, uint32_t *capacity, uint32_t index, size_t size)
{
    if (index < *capacity)
        return true;
    uint32_t wanted = *capacity ? *capacity : 256;
    while (wanted <= index)
        wanted *= 2;
    unsigned char *grown = realloc(*array, wanted * size);
    if (!grown)
        return false;
    memset(grown + *capacity * size, 0, (wanted - *capacity) * size);
    *array = grown;
    *capacity = wanted;
    return true;
}

bool tvg_sampling_call(struct tvg_sampling *sampling, const struct tvg_windows *windows, uint32_t op, int window)
{
    void *array = sampling->calls;
    if (!room(&array, &sampling->call_capacity, op, sizeof *sampling->calls))
        return false;
    sampling->calls = array;
    struct calls *calls = &sampling->calls[op];
    if (window < 0)
        calls->gap++;
    else if (windows->window[window].whole)
        calls->whole++;
    else {
        calls->sample++;
        calls->group[tvg_windows_group(window)]++;
    }
    return true;
}

bool tvg_sampling_row(struct tvg_sampling *sampling, const struct tvg_windows *windows, uint32_t activity, int window, const struct tvg_kernel *row)
{
    void *array = sampling->rows;
    if (!room(&array, &sampling->row_capacity, activity, sizeof *sampling->rows))
        return false;
    sampling->rows = array;
    struct rows *rows = &sampling->rows[activity];
    enum way way = row->graph ? GRAPH : DIRECT;
    struct sums *sums = windows->window[window].whole ? &rows->whole[way] : &rows->sample[way];
    double seconds = (double)row->duration_ns * 1e-9, start = (double)row->start_ns;
    if (!(sampling->first_ns > 0) || start < sampling->first_ns)
        sampling->first_ns = start;
    sums->count++;
    sums->seconds += seconds;
    sums->bytes += (double)row->bytes;
    sums->replays += row->replayed == 1;
    if (!windows->window[window].whole)
        rows->group[way][tvg_windows_group(window)] += (float)seconds;
    return true;
}

/* --- the estimate ----------------------------------------------------------------------------------------------------------- */

/* Student's t, 97.5 %, within 1 % from two degrees of freedom on (expansion about the normal's). */
static double t_quantile(uint32_t degrees)
{
    static const double small[] = {0, 12.706, 4.303, 3.182, 2.776, 2.571};
    double v = degrees;
    return degrees < sizeof small / sizeof small[0] ? small[degrees] : 1.96 + 2.372 / v + 2.822 / (v * v);
}

static const struct calls *calls_of(const struct tvg_sampling *sampling, uint32_t op)
{
    static const struct calls none;
    return op < sampling->call_capacity ? &sampling->calls[op] : &none;
}

static const struct rows *rows_of(const struct tvg_sampling *sampling, uint32_t activity)
{
    static const struct rows none;
    return activity < sampling->row_capacity ? &sampling->rows[activity] : &none;
}

static uint32_t owner_of(const struct tvg_gpu_activity *at)
{
    return at->cause != UINT32_MAX ? at->cause : at->op;
}

/* How much of something there was in the gaps, and in each group of the samples. */
struct scale {
    double gap, sample, whole;
    double group[GROUPS];
};

/* The ratio to the gaps, by what an op's work goes with. */
static struct scale scale_of(const struct tvg_sampling *sampling, uint32_t cause, enum way way)
{
    struct scale scale = {0};
    const struct calls *calls = cause != UINT32_MAX ? calls_of(sampling, cause) : NULL;
    const double *group = sampling->seconds;
    scale.gap = sampling->about.gap_seconds;
    scale.sample = sampling->about.window_seconds;
    scale.whole = sampling->whole_seconds + fmax(0, sampling->since_first_ns - sampling->since_first * sampling->first_ns) * 1e-9;
    if (way == DIRECT && calls && calls->whole + calls->sample + calls->gap > 0) {
        scale.gap = (double)calls->gap;
        scale.sample = (double)calls->sample;
        scale.whole = (double)calls->whole;
        for (int g = 0; g < GROUPS; g++)
            scale.group[g] = calls->group[g];
        return scale;
    }
    if (way == GRAPH && sampling->sample_graphs + sampling->whole_graphs > 0) {
        scale.gap = sampling->gap_graphs;
        scale.sample = sampling->sample_graphs;
        scale.whole = sampling->whole_graphs;
        group = sampling->graphs;
    } else if (way == DIRECT && sampling->about.scaled_by == TVG_SAMPLED_BY_LAUNCHES) {
        scale.gap = sampling->gap_launches;
        scale.sample = sampling->sample_launches;
        scale.whole = sampling->whole_launches;
        group = sampling->launches;
    }
    memcpy(scale.group, group, sizeof scale.group);
    return scale;
}

/* 95 % error of the gaps' time, where the groups' times were `seconds`; their residuals, as they bear on the gaps, are added to `residual`.
 * Negative: too few samples to tell. */
static double error_of(const struct scale *scale, const double seconds[GROUPS], double residual[GROUPS])
{
    double sum = 0, squares = 0;
    uint32_t groups = 0;
    for (int g = 0; g < GROUPS; g++) {
        sum += seconds[g];
        groups += scale->group[g] > 0;
    }
    if (groups < 2 || !(scale->sample > 0))
        return -1;
    double ratio = sum / scale->sample, reach = scale->gap / scale->sample;
    for (int g = 0; g < GROUPS; g++) {
        double e = (seconds[g] - ratio * scale->group[g]) * reach;
        squares += e * e;
        residual[g] += e;
    }
    double own = 1 + (reach > 0 ? 1 / reach : 0); /* the gaps vary as the samples do */
    return t_quantile(groups - 1) * sqrt(own * squares * groups / (groups - 1));
}

static void add(struct tvg_gpu_activity *at, const struct sums *sums, double factor, struct tvg_sampled_card *card, bool transfer)
{
    double count = sums->count * factor, seconds = sums->seconds * factor;
    at->count += (uint64_t)llround(fmin(count, 1e15));
    at->replays += (uint64_t)llround(fmin(sums->replays * factor, 1e15));
    at->seconds += seconds;
    at->bytes += sums->bytes * factor;
    *(transfer ? &card->more_transfers : &card->more_kernels) += count;
    *(transfer ? &card->more_transfer_seconds : &card->more_seconds) += seconds;
    if (!transfer && at->cause != UINT32_MAX)
        card->more_caused_seconds += seconds;
}

struct order {
    uint32_t owner, activity;
};

static int by_owner(const void *left, const void *right)
{
    const struct order *a = left, *b = right;
    if (a->owner != b->owner)
        return a->owner < b->owner ? -1 : 1;
    return (a->activity > b->activity) - (a->activity < b->activity);
}

/* The gaps' part of all activities of one op. Returns the 95 % error of its time in s; what can't be told is added to `unknown`, too. */
static double estimate(const struct tvg_sampling *sampling, struct tvg_profile *profile, const struct order *order, uint32_t count, struct tvg_sampled_card *cards, int card_count,
                       double residual[GROUPS], double *unknown)
{
    double squares = 0, lump = 0;
    uint32_t cause = profile->activity[order[0].activity].cause;
    for (int way = DIRECT; way < WAYS; way++) {
        struct scale scale = scale_of(sampling, cause, way);
        double seconds[GROUPS] = {0}, more = 0;
        bool by_whole = !(scale.sample > 0) && scale.whole > 0; /* it was in no sample: as it was before */
        double factor = by_whole ? scale.gap / scale.whole : scale.sample > 0 ? scale.gap / scale.sample : 0;
        for (uint32_t i = 0; i < count; i++) {
            struct tvg_gpu_activity *at = &profile->activity[order[i].activity];
            const struct rows *rows = rows_of(sampling, order[i].activity);
            const struct sums *sums = by_whole ? &rows->whole[way] : &rows->sample[way];
            if (at->device < 0 || at->device >= card_count || !(sums->count > 0))
                continue;
            add(at, sums, factor, &cards[at->device], at->bytes > 0);
            more += sums->seconds * factor;
            for (int g = 0; g < GROUPS; g++)
                seconds[g] += rows->group[way][g];
        }
        double error = by_whole ? -1 : error_of(&scale, seconds, residual);
        if (error < 0)
            lump += more;
        else
            squares += error * error;
    }
    *unknown += lump;
    return sqrt(squares) + lump;
}

static bool has_rows(const struct order *order, uint32_t count, uint32_t owner, uint32_t *first)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (order[middle].owner < owner)
            low = middle + 1;
        else
            high = middle;
    }
    *first = low;
    return low < count && order[low].owner == owner;
}

/* The op that ran most like `op`, which was never called in a window: the same function in the same types, nearest in FLOP. UINT32_MAX: none. */
static uint32_t relative_of(const struct tvg_profile *profile, const struct order *order, uint32_t count, uint32_t op)
{
    const struct tvg_op *own = &profile->ops[op].op;
    uint32_t best = UINT32_MAX;
    double nearest = INFINITY;
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_op *other = &profile->ops[order[i].owner].op;
        if ((i && order[i].owner == order[i - 1].owner) || profile->activity[order[i].activity].cause == UINT32_MAX || other->kind != own->kind || other->type_a != own->type_a ||
            strcmp(other->function, own->function) != 0)
            continue;
        double away = own->flop && other->flop ? fabs(log((double)own->flop / (double)other->flop)) : 0;
        if (away < nearest) {
            nearest = away;
            best = order[i].owner;
        }
    }
    return best;
}

/* An op that was called in gaps alone gets kernels as its relative has them, by calls and FLOP. Nobody knows how far off that is. */
static double adopt(struct tvg_sampling *sampling, struct tvg_profile *profile, const struct order *order, uint32_t count, uint32_t op, uint32_t relative, struct tvg_sampled_card *cards,
                    int card_count, uint32_t capacity)
{
    const struct calls *own = calls_of(sampling, op), *other = calls_of(sampling, relative);
    double of_calls = (double)(other->whole + other->sample + other->gap), each = of_calls > 0 ? (double)own->gap / of_calls : 0, more = 0;
    double longer = profile->ops[op].op.flop && profile->ops[relative].op.flop ? (double)profile->ops[op].op.flop / (double)profile->ops[relative].op.flop : 1;
    uint32_t first;
    if (!has_rows(order, count, relative, &first))
        return 0;
    for (uint32_t i = first; i < count && order[i].owner == relative && profile->activity_count < capacity; i++) {
        const struct tvg_gpu_activity *from = &profile->activity[order[i].activity];
        if (from->device < 0 || from->device >= card_count || from->bytes > 0)
            continue;
        struct tvg_gpu_activity *at = &profile->activity[profile->activity_count++];
        struct sums sums = {.count = (double)from->count, .seconds = from->seconds * longer};
        *at = (struct tvg_gpu_activity){.op = from->op, .cause = op, .device = from->device};
        add(at, &sums, each, &cards[at->device], false);
        more += at->seconds;
    }
    return more;
}

static bool never_seen(const struct tvg_sampling *sampling, uint32_t op)
{
    const struct calls *calls = calls_of(sampling, op);
    return calls->gap && !calls->sample && !calls->whole;
}

uint32_t tvg_sampling_room(const struct tvg_sampling *sampling, const struct tvg_profile *profile)
{
    enum { KERNELS_A_CALL = 8 };
    uint32_t unseen = 0;
    for (uint32_t i = 0; i < profile->op_count; i++)
        unseen += never_seen(sampling, i);
    return unseen * KERNELS_A_CALL;
}

/* Do the launches that were counted belong to the kernels that were recorded? */
static void judge_launches(struct tvg_sampling *sampling, const struct tvg_profile *profile)
{
    static const double door_missed = 1.25, losses = 0.05;
    double kernels = 0, whole = 0;
    for (uint32_t i = 0; i < profile->activity_count; i++)
        if (!(profile->activity[i].bytes > 0)) {
            kernels += rows_of(sampling, i)->sample[DIRECT].count;
            whole += rows_of(sampling, i)->whole[DIRECT].count;
        }
    bool sampled = sampling->sample_launches > 0;
    bool counted = sampled ? kernels < door_missed * sampling->sample_launches : whole < door_missed * sampling->whole_launches;
    sampling->about.scaled_by = counted ? TVG_SAMPLED_BY_LAUNCHES : TVG_SAMPLED_BY_TIME;
    double missing = counted && sampled ? 1 - kernels / sampling->sample_launches : 0;
    sampling->about.missing = missing > losses ? missing : 0;
}

bool tvg_sampling_finish(struct tvg_sampling *sampling, struct tvg_profile *profile, struct tvg_sampled_card *cards, int card_count)
{
    uint32_t count = profile->activity_count, capacity = count + tvg_sampling_room(sampling, profile);
    struct order *order = malloc((count + 1u) * sizeof *order);
    double *error = calloc(profile->op_count + 1u, sizeof *error);
    double residual[GROUPS] = {0}, unknown = 0, squares = 0, total = 0;
    if (!order || !error) {
        free(order);
        free(error);
        return false;
    }
    judge_launches(sampling, profile);
    for (uint32_t i = 0; i < count; i++)
        order[i] = (struct order){owner_of(&profile->activity[i]), i};
    qsort(order, count, sizeof *order, by_owner);
    for (uint32_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && order[next].owner == order[i].owner; next++)
            ;
        error[order[i].owner] = estimate(sampling, profile, &order[i], next - i, cards, card_count, residual, &unknown);
    }
    for (uint32_t i = 0, first; i < profile->op_count; i++) {
        uint32_t relative = never_seen(sampling, i) && !has_rows(order, count, i, &first) ? relative_of(profile, order, count, i) : UINT32_MAX;
        sampling->about.unseen_ops += never_seen(sampling, i);
        if (relative == UINT32_MAX)
            continue;
        error[i] = adopt(sampling, profile, order, count, i, relative, cards, card_count, capacity);
        unknown += error[i];
    }
    double *seconds = calloc(profile->op_count + 1u, sizeof *seconds);
    for (uint32_t i = 0; seconds && i < profile->activity_count; i++) {
        seconds[owner_of(&profile->activity[i])] += profile->activity[i].seconds;
        total += profile->activity[i].seconds;
    }
    for (uint32_t i = 0; seconds && i < profile->op_count; i++)
        profile->ops[i].sampling_error = seconds[i] > 0 ? error[i] / seconds[i] : 0;
    uint32_t groups = 0;
    for (int g = 0; g < GROUPS; g++) {
        squares += residual[g] * residual[g];
        groups += sampling->seconds[g] > 0;
    }
    double reach = sampling->about.window_seconds > 0 ? sampling->about.gap_seconds / sampling->about.window_seconds : 0;
    double own = 1 + (reach > 0 ? 1 / reach : 0);
    double together = groups > 1 ? t_quantile(groups - 1) * sqrt(own * squares * groups / (groups - 1)) : 0;
    sampling->about.error = total > 0 ? (together + unknown) / total : 0;
    profile->sampled = sampling->about;
    free(order);
    free(error);
    bool done = seconds != NULL;
    free(seconds);
    return done;
}
