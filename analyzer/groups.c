/* Runs of consecutive calls of one thread that share an operand: what could be one call. Counts are exact for every run that is in
 * the table; runs that found no room are counted. */
#include <stdlib.h>
#include <string.h>

#include "profile_build.h"

enum { SLOTS = 8192, MAX_GROUPS = SLOTS / 2, MEMBERS = 8 };

struct tvg_groups {
    struct tvg_group slot[SLOTS]; /* count 0: empty */
    uint32_t used;
    uint64_t overflow;
};

struct tvg_groups *tvg_groups_new(void)
{
    return calloc(1, sizeof(struct tvg_groups));
}

void tvg_groups_free(struct tvg_groups *groups)
{
    free(groups);
}

static bool same(const struct tvg_group *a, const struct tvg_group *b)
{
    return a->kind == b->kind && a->member_count == b->member_count && a->run_length == b->run_length && a->independent == b->independent &&
           memcmp(a->member, b->member, a->member_count * sizeof a->member[0]) == 0;
}

static void count(struct tvg_groups *groups, const struct tvg_group *group)
{
    uint64_t h = tvg_mix(group->kind * 2u + group->independent, group->run_length);
    for (uint32_t i = 0; i < group->member_count; i++)
        h = tvg_mix(h, group->member[i]);
    for (uint32_t i = (uint32_t)(h % SLOTS);; i = (i + 1) % SLOTS) {
        struct tvg_group *slot = &groups->slot[i];
        if (slot->count && same(slot, group)) {
            slot->count++;
            return;
        }
        if (!slot->count) {
            if (groups->used == MAX_GROUPS) {
                groups->overflow++;
                return;
            }
            groups->used++;
            *slot = *group;
            slot->count = 1;
            return;
        }
    }
}

static void close_run(struct tvg_groups *groups, struct tvg_group_lane *lane, int which)
{
    if (!lane->run[which].length)
        return;
    struct tvg_group group = {.kind = which ? TVG_GROUP_SAME_B : TVG_GROUP_SAME_A, .member_count = lane->run[which].member_count,
                              .run_length = lane->run[which].length, .independent = lane->run[which].independent};
    memcpy(group.member, lane->run[which].member, sizeof group.member);
    count(groups, &group);
    lane->run[which].length = 0;
}

void tvg_groups_close(struct tvg_groups *groups, struct tvg_group_lane *lane)
{
    close_run(groups, lane, 0);
    close_run(groups, lane, 1);
    lane->last.a = lane->last.b = 0;
}

static bool meets(uint64_t address, uint64_t bytes, uint64_t low, uint64_t high)
{
    return address < high && low < address + bytes;
}

static void begin(struct tvg_group_lane *lane, int which, const struct tvg_op_facts *facts)
{
    lane->run[which].length = lane->run[which].member_count = 1;
    lane->run[which].member[0] = lane->last.op;
    lane->run[which].independent = facts->span_a && facts->span_b && facts->span_c;
    lane->run[which].written_low = lane->last.c;
    lane->run[which].written_high = lane->last.c + facts->span_c;
}

/* Puts the call into the run; what an earlier member wrote may not be what this one reads. */
static void extend(struct tvg_group_lane *lane, int which, const struct tvg_op_facts *facts, const struct tvg_group_call *call)
{
    uint64_t low = lane->run[which].written_low, high = lane->run[which].written_high;
    if (!facts->span_a || !facts->span_b || !facts->span_c || meets(call->a, facts->span_a, low, high) || meets(call->b, facts->span_b, low, high))
        lane->run[which].independent = false;
    if (call->c < low)
        lane->run[which].written_low = call->c;
    if (call->c + facts->span_c > high)
        lane->run[which].written_high = call->c + facts->span_c;
    lane->run[which].length++;
    if (lane->run[which].member_count < MEMBERS)
        lane->run[which].member[lane->run[which].member_count++] = call->op;
}

void tvg_groups_add(struct tvg_groups *groups, struct tvg_group_lane *lane, const struct tvg_batch *batch)
{
    for (uint32_t row = 0; row < batch->count; row++) {
        const struct tvg_op_facts *facts = &batch->facts[batch->op[row]];
        if (!facts->product) {
            tvg_groups_close(groups, lane);
            continue;
        }
        struct tvg_group_call call = {facts->swapped ? batch->b[row] : batch->a[row], facts->swapped ? batch->a[row] : batch->b[row], batch->c[row],
                                      batch->op[row]};
        const struct tvg_group_call *last = &lane->last;
        bool same_a = call.a == last->a && call.a && call.b != last->b, same_b = call.b == last->b && call.b && call.a != last->a;
        if (same_a | same_b | (lane->run[0].length != 0) | (lane->run[1].length != 0))
            for (int which = 0; which < 2; which++) {
                if (which ? same_b : same_a) {
                    if (!lane->run[which].length)
                        begin(lane, which, &batch->facts[last->op]);
                    extend(lane, which, facts, &call);
                } else
                    close_run(groups, lane, which);
            }
        lane->last = call;
    }
}

static int by_count(const void *left, const void *right)
{
    const struct tvg_group *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->run_length != b->run_length)
        return a->run_length < b->run_length ? 1 : -1;
    return memcmp(a->member, b->member, sizeof a->member);
}

uint64_t tvg_groups_finish(struct tvg_groups *groups, struct tvg_arena *arena, struct tvg_group **out, uint32_t *out_count)
{
    *out_count = 0;
    *out = tvg_arena_alloc(arena, (groups->used + 1) * sizeof **out);
    for (uint32_t i = 0; i < SLOTS && *out; i++)
        if (groups->slot[i].count)
            (*out)[(*out_count)++] = groups->slot[i];
    if (*out_count)
        qsort(*out, *out_count, sizeof **out, by_count);
    return groups->overflow;
}
