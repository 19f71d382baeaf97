/* The wall time of a run, split into start, load, warm-up, steady, waiting and end, so that the parts sum to the whole.
 *   start    from the process's start to its first op
 *   load     from the first op to the first repeated pass (packing, converting), when passes were found
 *   warm-up  the first visit of each op, with the host time that led to it
 *   waiting  gaps of at least 1 ms between ops, as far as the thread and the process used no CPU in them
 *   end      from the last op to the process's end
 *   steady   the rest */
#include "profile_build.h"

const char *tvg_phase_name(enum tvg_phase_kind kind)
{
    static const char *const name[] = {"start", "load", "warm-up", "steady", "waiting", "end"};
    return (unsigned)kind < sizeof name / sizeof name[0] ? name[kind] : "other";
}

static double between(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

void tvg_waiting_add(struct tvg_waiting *waiting, const struct tvg_ops_info *info, const struct tvg_batch *batch, double seconds_per_tick,
                     uint64_t long_gap_ticks)
{
    if (!batch->count)
        return;
    uint64_t ticks = 0, cpu_ticks = 0, gaps[2] = {0, 0}, end = waiting->last_end;
    for (uint32_t row = 0; row < batch->count; row++) {
        uint64_t start = batch->start[row];
        if (end && start > end)
            gaps[start - end >= long_gap_ticks] += start - end;
        ticks += batch->duration[row];
        cpu_ticks += batch->duration[row] * batch->facts[batch->op[row]].threads;
        end = start + batch->duration[row];
    }
    waiting->last_end = end;
    waiting->ops += (double)ticks * seconds_per_tick;
    waiting->ops_cpu += (double)cpu_ticks * seconds_per_tick;
    waiting->long_gaps += (double)gaps[1] * seconds_per_tick;
    waiting->short_gaps += (double)gaps[0] * seconds_per_tick;
    double thread = (double)info->cpu_thread_ns * 1e-9, process = (double)info->cpu_process_ns * 1e-9;
    if (waiting->open) {
        thread -= (double)waiting->cpu_thread_ns * 1e-9;
        process -= (double)waiting->cpu_process_ns * 1e-9;
    } else { /* the readings at the first op are not known: the thread can have run all the time since, not longer */
        double since = info->anchor.ticks > batch->start[0] ? (double)(info->anchor.ticks - batch->start[0]) * seconds_per_tick : 0;
        thread = thread < since ? thread : since;
        process = process < since ? process : since;
    }
    waiting->cpu_thread += thread > 0 ? thread : 0;
    waiting->cpu_process += process > 0 ? process : 0;
    waiting->open = true;
    waiting->cpu_thread_ns = info->cpu_thread_ns;
    waiting->cpu_process_ns = info->cpu_process_ns;
}

/* CPU clocks are read once a block, so what was used in the gaps is what ops and short gaps leave over. A thread that shares its core with
 * others is off it inside ops too, without waiting for anything: an op is taken to have used only what its fastest call took. What the
 * library's other threads use during an op is taken as the op's. */
double tvg_waiting_seconds(const struct tvg_waiting *waiting, double undisturbed)
{
    double thread = waiting->cpu_thread - undisturbed * (waiting->ops + waiting->short_gaps);
    double process = waiting->cpu_process - waiting->ops_cpu - waiting->short_gaps;
    double used = thread > process ? thread : process;
    return between(waiting->long_gaps - (used > 0 ? used : 0), 0, waiting->long_gaps);
}

void tvg_phases_finish(struct tvg_profile *profile, const struct tvg_busy_result *busy, double seconds_per_tick, double start_seconds,
                       double end_seconds, double waiting_seconds)
{
    struct tvg_phase *phase = profile->phase;
    double middle = profile->wall_seconds - start_seconds - end_seconds;
    phase[TVG_PHASE_START].seconds = start_seconds;
    phase[TVG_PHASE_END].seconds = end_seconds;
    double load = (busy->busy[TVG_BUSY_LOAD] + busy->gap[TVG_BUSY_LOAD]) * seconds_per_tick;
    double first = (busy->busy[TVG_BUSY_FIRST] + busy->gap[TVG_BUSY_FIRST]) * seconds_per_tick;
    double gaps_first = busy->gap[TVG_BUSY_FIRST] * seconds_per_tick, gaps_steady = busy->gap[TVG_BUSY_STEADY] * seconds_per_tick;
    double waiting = between(waiting_seconds, 0, busy->long_gap * seconds_per_tick);
    waiting = between(waiting, 0, gaps_first + gaps_steady);
    double from_first = gaps_first + gaps_steady > 0 ? waiting * gaps_first / (gaps_first + gaps_steady) : 0;
    phase[TVG_PHASE_LOAD].seconds = between(load, 0, middle);
    phase[TVG_PHASE_WAITING].seconds = between(waiting, 0, middle - phase[TVG_PHASE_LOAD].seconds);
    phase[TVG_PHASE_WARMUP].seconds = between(first - from_first, 0, middle - phase[TVG_PHASE_LOAD].seconds - phase[TVG_PHASE_WAITING].seconds);
    phase[TVG_PHASE_STEADY].seconds = middle - phase[TVG_PHASE_LOAD].seconds - phase[TVG_PHASE_WAITING].seconds - phase[TVG_PHASE_WARMUP].seconds;
    for (uint32_t i = 0; i < profile->op_count; i++)
        for (int p = 0; p < 6; p++) {
            const struct tvg_op_stat *op = &profile->ops[i];
            phase[p].ops += op->count_by_phase[p];
            phase[p].op_seconds += op->seconds_by_phase[p];
            phase[p].flop += op->op.flop * op->count_by_phase[p];
        }
}
