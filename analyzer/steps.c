/* Repeated forward passes found in the op sequence.
 * A pass reads each weight once, at an address that stays. So: take the first ops of the busiest thread, count how often each operand address
 * comes (a run of calls on one address counts once); the count that most FLOP agree on is the number of passes; the first op whose address has
 * that count starts a pass (the anchor), if the ops between its visits repeat. Then stream: every visit of the anchor's address starts a step.
 * Steps are compared by their ops without lengths, runs of like ops taken as one, so that batch size and sequence length don't matter.
 * When the anchor stays away for long, a new one is learned. No anchor, no steps.
 * Where most FLOP have no addresses (cuDNN's graphs) a pass begins with a product whose weight's shape comes once in each: the sequence between its visits is
 * then always the same, and long enough not to be a layer's. What comes before the first anchor belongs to a pass as well: the last pass has it too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile_build.h"

enum {
    LEARN_OPS = 65536,       /* of one thread: learn when it has these many */
    LEARN_TOTAL = 262144,    /* of all threads: learn when they have these many */
    MAX_COUNT = 65536,
    FAMILIES = 4096,
    CLASSES = 64,
    SAMPLES = 512,
    TRIES = 4,
    RELEARN_MAX = 1 << 30,
    LEAD = 64,               /* symbols kept of what comes before the first anchor */
    SHAPES = 64,             /* candidates for an anchor by shape */
    PASS_SYMBOLS = 4,        /* a pass known by shapes alone has at least so many different ops in a row */
};

/* --- classes ------------------------------------------------------------------------------------------------------------ */

struct step_class {
    uint64_t signature;
    uint64_t count, ops, rows_min, rows_max;
    double rows, ticks, op_ticks, flop;
    uint64_t ticks_min, ticks_max;
    uint64_t sample[SAMPLES];   /* reservoir of step times */
    uint64_t attention;         /* steps with attention scores in them */
    double sequences;
    uint64_t growth;            /* steps one row long that followed a smaller one by the same difference */
    uint32_t anchor, last_product; /* op indices */
    uint32_t symbols;           /* length of the sequence */
    bool single;                /* one row a step */
};
struct tvg_step_table {
    struct step_class class[CLASSES];
    uint32_t count;
    uint64_t random;
};

struct tvg_step_table *tvg_step_table_new(void)
{
    struct tvg_step_table *table = calloc(1, sizeof *table);
    if (table)
        table->random = 0x2545f4914f6cdd1du;
    return table;
}

void tvg_step_table_free(struct tvg_step_table *table)
{
    free(table);
}

/* What a step has added up so far. */
struct tally {
    uint64_t end, op_ticks, ops, rows, size, signature;
    double flop, sequences;
    uint32_t symbols, last_symbol, last_product;
    bool attention, scores;
    uint64_t scores_side;
};

struct lane {
    bool used, in_step, after_anchor;
    uint64_t start;
    uint32_t anchor_op;
    struct tally now, kept;     /* kept: as it was when a known sequence was complete */
    uint64_t previous_size, previous_growth, previous_signature;
    uint64_t since_anchor;      /* ops */
    /* ops kept for learning */
    struct learn_op *learn;
    uint32_t learn_count, learn_capacity;
    uint32_t lead[LEAD], lead_count; /* the last symbols before the first anchor */
};

struct learn_op {
    uint64_t start, duration, a, b, c; /* a, b in the row-major view */
    uint32_t op;
};

struct tvg_steps {
    struct tvg_step_table *table;
    struct lane *lane;
    uint32_t lane_count;
    bool learned, failed_memory;
    uint64_t anchor;            /* address */
    bool anchor_is_a;           /* in the place of A, not of B */
    uint32_t anchor_family;     /* by shape, not by address; 0: by address */
    uint32_t family[FAMILIES];  /* open-addressing set of ops that have weights */
    uint64_t first_start;       /* ticks of the first step; 0: none yet */
    uint64_t learn_total, skip, next_skip, typical_ops;
    struct step_load { uint32_t op; uint64_t calls, ticks; } *load; /* before the first step */
    uint32_t load_count;
    uint32_t lengths[8];        /* sequence lengths of known classes */
    uint32_t length_count;
};

struct tvg_steps *tvg_steps_new(struct tvg_step_table *table)
{
    struct tvg_steps *steps = calloc(1, sizeof *steps);
    if (steps)
        steps->table = table;
    return steps;
}

static void forget_learning(struct tvg_steps *steps)
{
    for (uint32_t i = 0; i < steps->lane_count; i++) {
        free(steps->lane[i].learn);
        steps->lane[i].learn = NULL;
        steps->lane[i].learn_count = steps->lane[i].learn_capacity = 0;
    }
    steps->learn_total = 0;
}

void tvg_steps_free(struct tvg_steps *steps)
{
    if (!steps)
        return;
    forget_learning(steps);
    free(steps->lane);
    free(steps->load);
    free(steps);
}

static bool has_weights(const struct tvg_steps *steps, uint32_t family)
{
    for (uint32_t i = family % FAMILIES, tries = 0; tries < 16; i = (i + 1) % FAMILIES, tries++) {
        if (steps->family[i] == family)
            return true;
        if (!steps->family[i])
            return false;
    }
    return false;
}

static void add_family(struct tvg_steps *steps, uint32_t family)
{
    for (uint32_t i = family % FAMILIES, tries = 0; tries < 16; i = (i + 1) % FAMILIES, tries++)
        if (!steps->family[i] || steps->family[i] == family) {
            steps->family[i] = family;
            return;
        }
}

/* An op in the sequence: with its weights' shape when it has weights, else by its function alone. */
static inline uint32_t symbol_of(const struct tvg_steps *steps, const struct tvg_op_facts *facts)
{
    return has_weights(steps, facts->family) ? facts->family : facts->symbol;
}

static inline uint64_t rows_of(const struct tvg_steps *steps, const struct tvg_op_facts *facts)
{
    return steps->anchor_is_a ? facts->cols : facts->rows;
}

static uint64_t key_of(const struct tally *tally)
{
    return tvg_mix(tally->signature, tally->rows == 1);
}

static struct step_class *find_class(struct tvg_step_table *table, uint64_t signature)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (table->class[i].signature == signature)
            return &table->class[i];
    return NULL;
}

static void know_length(struct tvg_steps *steps, uint32_t symbols)
{
    for (uint32_t i = 0; i < steps->length_count; i++)
        if (steps->lengths[i] == symbols)
            return;
    if (steps->length_count < sizeof steps->lengths / sizeof steps->lengths[0])
        steps->lengths[steps->length_count++] = symbols;
}

/* The last pass ends before the ops that a pass begins with and that come before its anchor: with some of them behind it, is it one that is known? */
static struct step_class *completed(struct tvg_step_table *table, const struct lane *lane, const struct tally *tally)
{
    for (uint32_t from = lane->lead_count; from-- > 0;) {
        struct tally longer = *tally;
        for (uint32_t i = from; i < lane->lead_count; i++)
            if (lane->lead[i] != longer.last_symbol) {
                longer.signature = tvg_mix(longer.signature, lane->lead[i]);
                longer.last_symbol = lane->lead[i];
            }
        struct step_class *class = find_class(table, key_of(&longer));
        if (class)
            return class;
    }
    return NULL;
}

/* `cut`: no op of the thread follows, so the step may be part of one. */
static void close_step(struct tvg_steps *steps, struct lane *lane, bool cut)
{
    if (!lane->in_step)
        return;
    lane->in_step = false;
    struct tvg_step_table *table = steps->table;
    struct tally *tally = &lane->now;
    struct step_class *class = find_class(table, key_of(tally));
    if (!class && lane->kept.ops && (class = find_class(table, key_of(&lane->kept))))
        tally = &lane->kept; /* a whole known step, then ops that belong to none */
    if (!class && cut)
        class = completed(table, lane, tally);
    if (!class && cut && table->count)
        return;
    if (!class && table->count < CLASSES) {
        class = &table->class[table->count++];
        *class = (struct step_class){.signature = key_of(tally), .rows_min = UINT64_MAX, .ticks_min = UINT64_MAX, .symbols = tally->symbols,
                                     .anchor = lane->anchor_op, .last_product = tally->last_product, .single = tally->rows == 1};
        know_length(steps, tally->symbols);
    } else if (!class)
        class = &table->class[CLASSES - 1];
    uint64_t ticks = tally->end - lane->start;
    if (class->count < SAMPLES)
        class->sample[class->count] = ticks;
    else {
        table->random = table->random * 6364136223846793005u + 1442695040888963407u;
        uint64_t place = (table->random >> 16) % (class->count + 1);
        if (place < SAMPLES)
            class->sample[place] = ticks;
    }
    class->count++;
    class->ops += tally->ops;
    class->ticks += (double)ticks;
    class->op_ticks += (double)tally->op_ticks;
    class->flop += tally->flop;
    class->rows += (double)tally->rows;
    if (ticks < class->ticks_min)
        class->ticks_min = ticks;
    if (ticks > class->ticks_max)
        class->ticks_max = ticks;
    if (tally->rows < class->rows_min)
        class->rows_min = tally->rows;
    if (tally->rows > class->rows_max)
        class->rows_max = tally->rows;
    class->attention += tally->attention;
    class->sequences += tally->sequences;
    if (class->single && lane->previous_signature == class->signature && tally->size > lane->previous_size) {
        uint64_t growth = tally->size - lane->previous_size;
        class->growth += growth == lane->previous_growth;
        lane->previous_growth = growth;
    }
    lane->previous_signature = class->signature;
    lane->previous_size = tally->size;
}

static inline bool is_anchor(const struct tvg_steps *steps, const struct tvg_op_facts *facts, uint64_t a, uint64_t b)
{
    bool found = __builtin_expect(steps->anchor_family != 0, 0) ? facts->family == steps->anchor_family : (steps->anchor_is_a ? a : b) == steps->anchor;
    return found && facts->product;
}

static __attribute__((noinline, cold)) void lead_on(struct lane *lane, uint32_t symbol)
{
    if (lane->lead_count && lane->lead[lane->lead_count - 1] == symbol)
        return;
    if (lane->lead_count == LEAD)
        memmove(lane->lead, lane->lead + 1, --lane->lead_count * sizeof *lane->lead);
    lane->lead[lane->lead_count++] = symbol;
}

/* Takes one op into the lane's step. */
static inline void step_op(struct tvg_steps *steps, struct lane *lane, const struct tvg_op_facts *facts, uint32_t op, uint64_t a, uint64_t b,
                           uint64_t start, uint64_t duration)
{
    bool anchor = is_anchor(steps, facts, a, b);
    if (anchor && !lane->after_anchor) {
        close_step(steps, lane, false);
        lane->in_step = true;
        lane->start = start;
        lane->anchor_op = op;
        lane->since_anchor = 0;
        memset(&lane->now, 0, sizeof lane->now);
        lane->kept.ops = 0;
        if (!steps->first_start || start < steps->first_start)
            steps->first_start = start;
    }
    lane->after_anchor = anchor;
    lane->since_anchor++;
    if (__builtin_expect(!lane->in_step, 0)) {
        if (!steps->first_start || start < steps->first_start)
            lead_on(lane, symbol_of(steps, facts));
        return;
    }
    struct tally *now = &lane->now;
    uint32_t symbol = symbol_of(steps, facts);
    if (symbol != now->last_symbol) {
        for (uint32_t i = 0; i < steps->length_count; i++)
            if (steps->lengths[i] == now->symbols)
                lane->kept = *now;
        now->signature = tvg_mix(now->signature, symbol);
        now->symbols++;
        now->last_symbol = symbol;
    }
    now->ops++;
    now->op_ticks += duration;
    now->size += facts->size;
    now->flop += facts->flop;
    uint64_t end = start + duration;
    if (end > now->end)
        now->end = end;
    if (!facts->product)
        return;
    if (anchor)
        now->rows += rows_of(steps, facts);
    if (symbol == facts->family)
        now->last_product = op;
    /* attention in an encoder: scores of side x side where the side divides the rows of the pass, then a product of that depth */
    if (now->scores && facts->depth == now->scores_side) {
        if (!now->attention)
            now->sequences = (double)now->rows / (double)now->scores_side;
        now->attention = true;
    }
    if (facts->square && now->rows && now->rows % facts->rows == 0 && symbol != facts->family) {
        now->scores = true;
        now->scores_side = facts->rows;
    } else if (symbol == facts->family)
        now->scores = false;
}

/* --- learning ------------------------------------------------------------------------------------------------------------ */

struct address {
    uint64_t key;
    uint32_t count, shape; /* shape: hash of cols and depth; MIXED when they changed: no weight */
    double flop;
};
enum { MIXED = 1 };

/* Open addressing, sized by the ops learned from: most runs are short, and sweeping room for the longest one took a hundred times their time. */
struct addresses {
    struct address *slot;
    uint32_t mask;
};

static bool addresses_make(struct addresses *table, uint32_t ops)
{
    uint32_t size = 64;
    while (size < 4 * ops)
        size *= 2;
    table->slot = calloc(size, sizeof *table->slot);
    table->mask = size - 1;
    return table->slot != NULL;
}

static struct address *address_slot(const struct addresses *table, uint64_t key)
{
    uint64_t i = tvg_mix(7, key) >> 20;
    for (;; i++) {
        struct address *slot = &table->slot[i & table->mask];
        if (slot->key == key || !slot->key)
            return slot;
    }
}

/* Share of the ops from the first to the last visit of the anchor that lie in steps whose sequence comes at least twice; 0 when there are
 * fewer than two whole steps or steps of one op. *uniform: the share in the one sequence that has most of them, 0 when that is short. Uses the
 * anchor and families set in `steps`. */
static double repeating(const struct tvg_steps *steps, const struct learn_op *ops, uint32_t count, const struct tvg_op_facts *facts, double *uniform)
{
    struct { uint64_t signature, steps, ops, symbols; } seen[CLASSES];
    uint32_t seen_count = 0, symbols = 0;
    uint64_t signature = 0, length = 0, total = 0, whole = 0, in_repeated = 0, largest = 0;
    uint32_t last_symbol = 0;
    bool in = false, after = false;
    for (uint32_t i = 0; i <= count; i++) {
        bool anchor = i < count && is_anchor(steps, &facts[ops[i].op], ops[i].a, ops[i].b);
        if (i == count || (anchor && !after)) {
            if (in) { /* the last one, at i == count, may be cut or have more at its end: it neither helps nor harms */
                uint32_t s = 0;
                while (s < seen_count && seen[s].signature != signature)
                    s++;
                if (s < seen_count) {
                    seen[s].steps++;
                    seen[s].ops += length;
                } else if (i < count && seen_count < CLASSES) {
                    seen[seen_count].signature = signature;
                    seen[seen_count].steps = 1;
                    seen[seen_count].symbols = symbols;
                    seen[seen_count++].ops = length;
                }
                if (i < count || s < seen_count)
                    total += length, whole++;
                if (length > largest)
                    largest = length;
            }
            in = true;
            signature = length = last_symbol = symbols = 0;
        }
        if (i == count)
            break;
        after = anchor;
        if (!in)
            continue;
        uint32_t symbol = symbol_of(steps, &facts[ops[i].op]);
        if (symbol != last_symbol) {
            signature = tvg_mix(signature, symbol);
            symbols++;
        }
        last_symbol = symbol;
        length++;
    }
    uint64_t most = 0;
    for (uint32_t s = 0; s < seen_count; s++)
        if (seen[s].steps > 1) {
            in_repeated += seen[s].ops;
            most = seen[s].symbols >= PASS_SYMBOLS && seen[s].ops > most ? seen[s].ops : most;
        }
    *uniform = whole >= 2 && total ? (double)most / (double)total : 0;
    return whole >= 2 && largest > 1 && total ? (double)in_repeated / (double)total : 0;
}

/* Takes the addresses that came `least` to `most` times for weights: the first of them is the anchor. An op has weights when most of its
 * calls are on such addresses: activations have such a count by chance. Returns where the anchor came first. */
static uint32_t choose(struct tvg_steps *steps, const struct addresses *table, int role, uint32_t least, uint32_t most, const struct learn_op *ops,
                       uint32_t count, const struct tvg_op_facts *facts)
{
    uint32_t first = UINT32_MAX;
    struct { uint32_t family, calls, matched; } seen[FAMILIES] = {{0}};
    memset(steps->family, 0, sizeof steps->family);
    steps->anchor_is_a = role == 0;
    steps->anchor_family = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key = role ? ops[i].b : ops[i].a;
        if (!facts[ops[i].op].product || !key)
            continue;
        const struct address *slot = address_slot(table, key);
        uint32_t family = facts[ops[i].op].family, at = family % FAMILIES, tries = 0;
        bool matched = slot->count >= least && slot->count <= most && slot->shape != MIXED;
        while (seen[at].family && seen[at].family != family && ++tries < 16)
            at = (at + 1) % FAMILIES;
        if (tries < 16) {
            seen[at].family = family;
            seen[at].calls++;
            seen[at].matched += matched;
        }
        if (matched && first == UINT32_MAX) {
            first = i;
            steps->anchor = key;
        }
    }
    for (uint32_t i = 0; i < FAMILIES; i++)
        if (2 * seen[i].matched > seen[i].calls)
            add_family(steps, seen[i].family);
    return first;
}

/* The anchor by shape: of the products' shapes the one between whose visits the ops come most uniformly, the first of equals. False: none does nearly always. */
static bool learn_shapes(struct tvg_steps *steps, const struct learn_op *ops, uint32_t count, const struct tvg_op_facts *facts)
{
    const double nearly_always = 0.9;
    uint32_t candidate[SHAPES], candidates = 0, visits = 0, best = 0;
    double most = nearly_always;
    memset(steps->family, 0, sizeof steps->family);
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_op_facts *fact = &facts[ops[i].op];
        uint32_t c = 0;
        if (!fact->product)
            continue;
        add_family(steps, fact->family);
        while (c < candidates && candidate[c] != fact->family)
            c++;
        if (c == candidates && candidates < SHAPES)
            candidate[candidates++] = fact->family;
    }
    for (uint32_t c = 0; c < candidates; c++) {
        double uniform;
        steps->anchor_family = candidate[c];
        repeating(steps, ops, count, facts, &uniform);
        if (uniform > most * 1.0001) {
            most = uniform;
            best = candidate[c];
        }
    }
    steps->anchor_family = best;
    for (uint32_t i = 0; i < count && best; i++)
        visits += facts[ops[i].op].family == best;
    steps->typical_ops = visits ? count / visits + 1 : count;
    return best != 0;
}

/* Sets anchor and families from the ops of one thread. False: nothing repeats. */
static bool learn(struct tvg_steps *steps, const struct learn_op *ops, uint32_t count, const struct tvg_op_facts *facts)
{
    struct addresses table[2] = {{NULL, 0}, {NULL, 0}};
    uint32_t most = count < MAX_COUNT ? count + 1 : MAX_COUNT; /* one more than any address can come */
    double *agreed[2] = {calloc(most, sizeof(double)), calloc(most, sizeof(double))};
    bool found = false;
    if (!addresses_make(&table[0], count) || !addresses_make(&table[1], count) || !agreed[0] || !agreed[1]) {
        steps->failed_memory = true;
        goto out;
    }
    double flop = 0, without_address = 0;
    uint64_t previous[2] = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        const struct tvg_op_facts *fact = &facts[ops[i].op];
        uint64_t key[2] = {ops[i].a, ops[i].b};
        for (int role = 0; role < 2; role++) {
            if (!fact->product || !key[role]) {
                previous[role] = 0;
                continue;
            }
            struct address *slot = address_slot(&table[role], key[role]);
            uint32_t shape = (uint32_t)(tvg_mix(role ? fact->cols : fact->rows, fact->depth) >> 16) | 2;
            if (!slot->key) {
                slot->key = key[role];
                slot->shape = shape;
            }
            if (slot->shape != shape)
                slot->shape = MIXED;
            slot->count += key[role] != previous[role];
            slot->flop += fact->flop;
            previous[role] = key[role];
        }
        flop += fact->product ? fact->flop : 0;
        without_address += fact->product && !key[0] && !key[1] ? fact->flop : 0;
    }
    for (int role = 0; role < 2; role++)
        for (uint32_t i = 0; i < count; i++) { /* what an op has written is no weight: activations change places in a few buffers */
            struct address *slot = address_slot(&table[role], ops[i].c);
            if (ops[i].c && slot->key)
                slot->shape = MIXED;
        }
    for (int role = 0; role < 2; role++)
        for (uint32_t i = 0; i <= table[role].mask; i++) {
            const struct address *slot = &table[role].slot[i];
            if (slot->key && slot->shape != MIXED && slot->count < most)
                agreed[role][slot->count] += slot->flop;
        }

    for (int attempt = 0; attempt < TRIES && !found; attempt++) {
        int role = -1;
        uint32_t peak = 0;
        for (int r = 1; r >= 0; r--)
            for (uint32_t c = 2; c < most; c++)
                if (agreed[r][c] > (peak ? agreed[role][peak] * 1.000001 : 0.15 * flop)) {
                    peak = c;
                    role = r;
                }
        if (!peak)
            break;
        /* The window may cut the last pass, so that one more or one less belongs to it; or that is chance. Which repeats best? */
        const uint32_t choice[3][2] = {{peak, peak + 1}, {peak - 1 < 2 ? peak : peak - 1, peak}, {peak, peak}};
        double best = 0;
        uint32_t best_first = 0, best_choice = 0;
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t first = choose(steps, &table[role], role, choice[i][0], choice[i][1], ops, count, facts);
            double uniform, share = floor(20 * repeating(steps, ops, count, facts, &uniform));
            if (share > best || (share == best && best > 0 && first < best_first)) {
                best = share;
                best_first = first;
                best_choice = i;
            }
        }
        if (best >= 10) {
            choose(steps, &table[role], role, choice[best_choice][0], choice[best_choice][1], ops, count, facts);
            steps->typical_ops = count / peak + 1;
            found = true;
        } else {
            agreed[role][peak] = 0;
        }
    }
    if (!found && without_address > flop / 2)
        found = learn_shapes(steps, ops, count, facts);
out:
    for (int role = 0; role < 2; role++) {
        free(table[role].slot);
        free(agreed[role]);
    }
    return found;
}

static void keep_load(struct tvg_steps *steps, const struct lane *lane)
{
    for (uint32_t i = 0; i < lane->learn_count; i++) {
        const struct learn_op *op = &lane->learn[i];
        if (op->start >= steps->first_start)
            continue;
        struct step_load *load = steps->load;
        uint32_t at = 0;
        while (at < steps->load_count && load[at].op != op->op)
            at++;
        if (at == steps->load_count) {
            if ((at & (at - 1)) == 0 && !(load = realloc(load, (at ? 2 * (size_t)at : 1) * sizeof *load))) {
                steps->failed_memory = true;
                return;
            }
            steps->load = load;
            load[steps->load_count++] = (struct step_load){.op = op->op};
        }
        load[at].calls++;
        load[at].ticks += op->duration;
    }
}

/* Learns from the thread with most ops; then streams what was kept of every thread. */
static void learn_now(struct tvg_steps *steps, const struct tvg_op_facts *facts)
{
    struct lane *busiest = NULL;
    for (uint32_t i = 0; i < steps->lane_count; i++)
        if (steps->lane[i].learn_count && (!busiest || steps->lane[i].learn_count > busiest->learn_count))
            busiest = &steps->lane[i];
    if (!busiest)
        return;
    bool was_first = !steps->first_start;
    if (learn(steps, busiest->learn, busiest->learn_count, facts)) {
        steps->learned = true;
        steps->next_skip = 0;
        for (uint32_t l = 0; l < steps->lane_count; l++) {
            struct lane *lane = &steps->lane[l];
            lane->after_anchor = false;
            for (uint32_t i = 0; i < lane->learn_count; i++) {
                const struct learn_op *op = &lane->learn[i];
                step_op(steps, lane, &facts[op->op], op->op, op->a, op->b, op->start, op->duration);
            }
        }
        if (was_first && steps->first_start)
            for (uint32_t l = 0; l < steps->lane_count; l++)
                keep_load(steps, &steps->lane[l]);
    } else { /* nothing repeats here: look again later, ever less often */
        steps->skip = steps->next_skip = steps->next_skip ? steps->next_skip * 2 : LEARN_OPS;
        if (steps->next_skip > RELEARN_MAX)
            steps->next_skip = RELEARN_MAX;
    }
    forget_learning(steps);
}

static bool keep_for_learning(struct tvg_steps *steps, struct lane *lane, const struct tvg_batch *batch, uint32_t from)
{
    for (uint32_t row = from; row < batch->count && !steps->failed_memory; row++) {
        if (steps->skip) {
            steps->skip--;
            continue;
        }
        if (lane->learn_count == lane->learn_capacity) {
            uint32_t capacity = lane->learn_capacity ? lane->learn_capacity * 2 : 1024;
            struct learn_op *grown = realloc(lane->learn, capacity * sizeof *grown);
            if (!grown)
                return false;
            lane->learn = grown;
            lane->learn_capacity = capacity;
        }
        const struct tvg_op_facts *facts = &batch->facts[batch->op[row]];
        lane->learn[lane->learn_count++] = (struct learn_op){batch->start[row], batch->duration[row], facts->swapped ? batch->b[row] : batch->a[row],
                                                             facts->swapped ? batch->a[row] : batch->b[row], batch->c[row], batch->op[row]};
        if (lane->learn_count >= LEARN_OPS || ++steps->learn_total >= LEARN_TOTAL) {
            learn_now(steps, batch->facts);
            if (steps->learned) {
                for (row++; row < batch->count; row++) {
                    const struct tvg_op_facts *fact = &batch->facts[batch->op[row]];
                    step_op(steps, lane, fact, batch->op[row], tvg_batch_a(batch, row), tvg_batch_b(batch, row), batch->start[row],
                            batch->duration[row]);
                }
                return true;
            }
        }
    }
    return !steps->failed_memory;
}

bool tvg_steps_add(struct tvg_steps *steps, uint32_t number, const struct tvg_batch *batch)
{
    if (number >= steps->lane_count) {
        uint32_t count = steps->lane_count ? steps->lane_count : 4;
        while (count <= number)
            count *= 2;
        struct lane *grown = realloc(steps->lane, count * sizeof *grown);
        if (!grown)
            return false;
        memset(grown + steps->lane_count, 0, (count - steps->lane_count) * sizeof *grown);
        steps->lane = grown;
        steps->lane_count = count;
    }
    struct lane *lane = &steps->lane[number];
    lane->used = true;
    if (!steps->learned)
        return keep_for_learning(steps, lane, batch, 0);
    for (uint32_t row = 0; row < batch->count; row++)
        step_op(steps, lane, &batch->facts[batch->op[row]], batch->op[row], tvg_batch_a(batch, row), tvg_batch_b(batch, row), batch->start[row],
                batch->duration[row]);
    uint64_t long_away = 8 * steps->typical_ops;
    if (long_away < LEARN_OPS)
        long_away = LEARN_OPS;
    if (lane->since_anchor > long_away) { /* dried up, unless another thread still visits it */
        for (uint32_t i = 0; i < steps->lane_count; i++)
            if (steps->lane[i].in_step && steps->lane[i].since_anchor <= long_away)
                return true;
        tvg_steps_end_lane(steps, number);
        for (uint32_t i = 0; i < steps->lane_count; i++)
            close_step(steps, &steps->lane[i], true);
        steps->learned = false;
        steps->skip = steps->next_skip = 0;
    }
    return true;
}

void tvg_steps_end_lane(struct tvg_steps *steps, uint32_t number)
{
    if (number >= steps->lane_count)
        return;
    struct lane *lane = &steps->lane[number];
    close_step(steps, lane, true);
    lane->previous_signature = 0;
    lane->after_anchor = false;
    lane->since_anchor = 0;
}

bool tvg_steps_end(struct tvg_steps *steps, const struct tvg_op_facts *facts)
{
    if (!steps->learned)
        learn_now(steps, facts);
    for (uint32_t i = 0; i < steps->lane_count; i++)
        close_step(steps, &steps->lane[i], true);
    return !steps->failed_memory;
}

uint64_t tvg_steps_first(const struct tvg_steps *steps)
{
    return steps->first_start;
}

void tvg_steps_load(const struct tvg_steps *steps, void (*each)(uint32_t index, uint64_t calls, uint64_t ticks, void *context), void *context)
{
    for (uint32_t i = 0; i < steps->load_count; i++)
        each(steps->load[i].op, steps->load[i].calls, steps->load[i].ticks, context);
}

/* --- what is shown ---------------------------------------------------------------------------------------------------------- */

static int by_ticks(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static int by_time(const void *left, const void *right)
{
    const struct tvg_step_class *a = left, *b = right;
    return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

/* Logits: the last product with weights is more than twice as wide as deep. */
static bool ends_wide(const struct step_class *class, const struct tvg_op_stat *ops)
{
    struct tvg_op_facts facts;
    tvg_op_facts_of(&facts, &ops[class->last_product].op);
    return facts.product && facts.cols > 2 * facts.depth && facts.depth > 0;
}

static void describe_anchor(char *out, size_t capacity, const struct tvg_op *op)
{
    char function[48];
    tvg_escape(function, sizeof function, op->function ? op->function : "?");
    if (op->kind == TVG_KIND_GEMV)
        snprintf(out, capacity, "%s m=%lld n=%lld", function, (long long)op->m, (long long)op->n);
    else if (op->kind == TVG_KIND_CONV && op->dim_count > (unsigned)op->dim_spatial + 2)
        snprintf(out, capacity, "%s %lld -> %lld channels", function, (long long)op->dim[1], (long long)op->dim[2 + op->dim_spatial]);
    else if (op->flags & TVG_OP_ROW_MAJOR)
        snprintf(out, capacity, "%s m=* n=%lld k=%lld", function, (long long)op->n, (long long)op->k);
    else
        snprintf(out, capacity, "%s m=%lld n=* k=%lld", function, (long long)op->m, (long long)op->k);
}

/* A decode step has one row, and either what it attends to grows by the same amount each time, or the same weights were visited with many
 * rows before (a prefill) and it ends in logits. */
bool tvg_step_table_finish(struct tvg_step_table *table, struct tvg_arena *arena, const struct tvg_op_stat *ops, double ticks_per_second, const double *grown,
                           struct tvg_step_class **out, uint32_t *count, struct tvg_step_summary *summary)
{
    *count = 0;
    *out = tvg_arena_alloc(arena, (table->count + 1) * sizeof **out);
    if (!*out)
        return false;
    bool long_steps = false, decode = false;
    for (uint32_t i = 0; i < table->count; i++)
        long_steps |= !table->class[i].single;
    bool is_decode[CLASSES] = {false};
    for (uint32_t i = 0; i < table->count; i++) {
        const struct step_class *class = &table->class[i];
        is_decode[i] = class->single && class->count > 1 && (2 * class->growth >= class->count || (long_steps && ends_wide(class, ops)));
        decode |= is_decode[i];
        summary->projection |= is_decode[i] && ends_wide(class, ops);
    }
    for (uint32_t i = 0; i < table->count; i++) {
        struct step_class *class = &table->class[i];
        struct tvg_step_class *shown = &(*out)[(*count)++];
        uint32_t samples = class->count < SAMPLES ? (uint32_t)class->count : SAMPLES;
        qsort(class->sample, samples, sizeof class->sample[0], by_ticks);
        bool attention = 2 * class->attention >= class->count;
        shown->kind = is_decode[i] ? TVG_STEP_DECODE : decode && !class->single ? TVG_STEP_PREFILL : TVG_STEP_PASS;
        shown->count = class->count;
        shown->ops = (class->ops + class->count / 2) / class->count;
        shown->rows_min = class->rows_min;
        shown->rows_max = class->rows_max;
        shown->seconds = class->ticks / ticks_per_second;
        shown->seconds_min = (double)class->ticks_min / ticks_per_second;
        shown->seconds_max = (double)class->ticks_max / ticks_per_second;
        shown->seconds_median = (double)class->sample[samples / 2] / ticks_per_second;
        shown->op_seconds = class->op_ticks / ticks_per_second;
        shown->flop = class->flop;
        describe_anchor(shown->anchor, sizeof shown->anchor, &ops[class->anchor].op);
        double times = grown ? grown[class->anchor] : 1;
        if (grown && (fabs(grown[class->last_product] / times - 1) > 1e-3 /* numbers of replays may be estimates */ || class->rows_min != class->rows_max))
            summary->partly_replayed = true;
        uint64_t steps = (uint64_t)llround((double)class->count * times);
        summary->steps += steps;
        if (shown->kind == TVG_STEP_DECODE) {
            summary->decode_steps += steps;
            summary->decode_rows += class->rows * times;
        } else if (shown->kind == TVG_STEP_PREFILL) {
            summary->prefill_steps += steps;
            summary->prefill_rows += class->rows * times;
        } else if (attention) {
            summary->encoder_steps += steps;
            summary->encoder_rows += class->rows * times;
            summary->encoder_sequences += class->sequences * times;
        }
    }
    qsort(*out, *count, sizeof **out, by_time);
    return true;
}
