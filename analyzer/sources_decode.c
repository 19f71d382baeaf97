/* Decoding of the blocks that sources write; see sources_decode.h. Payloads come from outside: every type and number is checked. */
#include "sources_decode.h"

#include <inttypes.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../trace/cursor.h"

/* --- reading msgpack maps -------------------------------------------------------------------------------------------------- */

static bool open_map(msgpack_unpacked *unpacked, const void *payload, size_t length)
{
    size_t offset = 0;
    struct tvg_cursor cursor = {payload, (const uint8_t *)payload + length};
    if (!tvg_cursor_skip(&cursor, 16)) return false; /* msgpack-c allocates what a count promises before it looks for it */
    msgpack_unpacked_init(unpacked);
    if (msgpack_unpack_next(unpacked, payload, length, &offset) == MSGPACK_UNPACK_SUCCESS && unpacked->data.type == MSGPACK_OBJECT_MAP) return true;
    msgpack_unpacked_destroy(unpacked);
    return false;
}

static const msgpack_object *member(const msgpack_object *map, const char *key)
{
    size_t length = strlen(key);
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        if (pair->key.type == MSGPACK_OBJECT_STR && pair->key.via.str.size == length && memcmp(pair->key.via.str.ptr, key, length) == 0) return &pair->val;
    }
    return NULL;
}

static const msgpack_object_array *array_member(const msgpack_object *map, const char *key)
{
    const msgpack_object *object = member(map, key);
    return object && object->type == MSGPACK_OBJECT_ARRAY ? &object->via.array : NULL;
}

static bool get_uint(const msgpack_object *object, uint64_t *value)
{
    if (!object || object->type != MSGPACK_OBJECT_POSITIVE_INTEGER) return false;
    *value = object->via.u64;
    return true;
}

static bool get_text(const msgpack_object *object, char *out, size_t capacity)
{
    if (!object || object->type != MSGPACK_OBJECT_STR) return false;
    size_t length = object->via.str.size < capacity ? object->via.str.size : capacity - 1;
    memcpy(out, object->via.str.ptr, length);
    out[length] = 0;
    return true;
}

/* `items` made to hold `needed` entries of `size` bytes, in steps of powers of two. NULL when there is no memory (the old array stays). */
static void *grown(void *items, uint32_t have, uint64_t needed, size_t size)
{
    uint64_t capacity = 16;
    if (needed > (1u << 28)) return NULL;
    if (have && needed <= have) return items;
    while (capacity < needed) capacity *= 2;
    uint64_t before = 16;
    while (before < have) before *= 2;
    return items && have && before >= needed ? items : realloc(items, capacity * size);
}

/* --- ENERGY ------------------------------------------------------------------------------------------------------------------ */

/* One meter as one process saw it. */
struct window {
    char host[64], name[64], boundary[24];
    uint32_t file;
    uint64_t range;              /* of the counter, in its unit */
    double scale;                /* uJ of one unit */
    uint64_t last_raw;
    uint64_t first_ns, last_ns;
    double counted;              /* units from first to last sample */
    uint32_t samples, wraps;
    struct tvg_board_state board; /* means as sums until the totals are made */
};

struct tvg_meters {
    struct window *windows;
    uint32_t window_count;
    struct tvg_meter_total *totals;
    uint64_t cost_before, cost_file; /* ns: of earlier files, of the present one */
    uint32_t file;
};

struct tvg_meters *tvg_meters_new(void)
{
    return calloc(1, sizeof(struct tvg_meters));
}

void tvg_meters_free(struct tvg_meters *meters)
{
    if (!meters) return;
    free(meters->windows);
    free(meters->totals);
    free(meters);
}

double tvg_meters_cost(const struct tvg_meters *meters)
{
    return 1e-9 * (double)(meters->cost_before + meters->cost_file);
}

static struct window *find_window(struct tvg_meters *meters, uint32_t file, const char *host, const char *name)
{
    for (uint32_t i = meters->window_count; i-- > 0;)
        if (meters->windows[i].file == file && strcmp(meters->windows[i].name, name) == 0) return &meters->windows[i];
    struct window *windows = grown(meters->windows, meters->window_count, (uint64_t)meters->window_count + 1, sizeof *windows);
    if (!windows) return NULL;
    meters->windows = windows;
    struct window *window = &windows[meters->window_count++];
    memset(window, 0, sizeof *window);
    window->file = file;
    snprintf(window->host, sizeof window->host, "%s", host ? host : "");
    snprintf(window->name, sizeof window->name, "%s", name);
    return window;
}

/* Units from one reading to a later one; counts a wrap. A counter of unknown range that fell was reset: nothing is known of that span. */
static double difference(uint64_t before, uint64_t after, uint64_t range, uint32_t *wraps)
{
    if (after >= before) return (double)(after - before);
    if (range == 0 || before > range) return 0;
    (*wraps)++;
    return (double)(range - before) + (double)after + 1;
}

static bool get_number(const msgpack_object *object, double *value)
{
    if (!object) return false;
    if (object->type == MSGPACK_OBJECT_POSITIVE_INTEGER) *value = (double)object->via.u64;
    else if (object->type == MSGPACK_OBJECT_FLOAT64 || object->type == MSGPACK_OBJECT_FLOAT32) *value = object->via.f64;
    else return false;
    return isfinite(*value) && *value >= 0;
}

static void take_board(struct tvg_board_state *board, const msgpack_object *map)
{
    static const char *const part_key[TVG_BOARD_PARTS] = {"sm_active", "sm_occupancy", "tensor_active", "fp32_active", "dram_active"};
    double watts, mhz, celsius, percent;
    uint64_t bits;
    if (get_number(member(map, "rest_mw"), &watts) && get_number(member(map, "rest_sm_mhz"), &mhz) && get_uint(member(map, "rest_processes"), &bits)) {
        board->rest_known = true;
        board->rest_watts = 1e-3 * watts;
        board->rest_sm_mhz = mhz;
        board->rest_processes = bits;
    }
    if (get_number(member(map, "sm_mhz"), &mhz)) board->sm_mhz = fmax(board->sm_mhz, mhz);
    if (get_uint(member(map, "throttle"), &bits)) board->throttle |= bits;
    if (get_uint(member(map, "processes"), &bits)) {
        board->processes = bits > board->processes ? bits : board->processes;
        board->processes_mean += (double)bits;
        board->process_counts++;
    }
    if (get_number(member(map, "power_mw"), &watts) && get_number(member(map, "celsius"), &celsius)) {
        board->watts += 1e-3 * watts;
        board->celsius += celsius;
        board->states++;
    }
    for (int i = 0; i < TVG_BOARD_PARTS; i++)
        if (get_number(member(map, part_key[i]), &percent)) {
            board->part[i] += 0.01 * fmin(percent, 100);
            board->part_samples[i]++;
        }
}

/* Adds the sums of one process's view of a board to another's. */
static void join_boards(struct tvg_board_state *all, const struct tvg_board_state *one)
{
    if (one->rest_known && (!all->rest_known || one->rest_processes < all->rest_processes)) {
        all->rest_known = true;
        all->rest_watts = one->rest_watts;
        all->rest_sm_mhz = one->rest_sm_mhz;
        all->rest_processes = one->rest_processes;
    }
    all->sm_mhz = fmax(all->sm_mhz, one->sm_mhz);
    all->throttle |= one->throttle;
    all->processes = one->processes > all->processes ? one->processes : all->processes;
    all->processes_mean += one->processes_mean;
    all->process_counts += one->process_counts;
    all->watts += one->watts;
    all->celsius += one->celsius;
    all->states += one->states;
    for (int i = 0; i < TVG_BOARD_PARTS; i++) {
        all->part[i] += one->part[i];
        all->part_samples[i] += one->part_samples[i];
    }
}

static void mean_board(struct tvg_board_state *board)
{
    if (board->process_counts) board->processes_mean /= board->process_counts;
    if (board->states) board->watts /= board->states, board->celsius /= board->states;
    for (int i = 0; i < TVG_BOARD_PARTS; i++)
        if (board->part_samples[i]) board->part[i] /= board->part_samples[i];
}

bool tvg_meters_add(struct tvg_meters *meters, uint32_t file, const char *host, const void *payload, size_t length)
{
    msgpack_unpacked unpacked;
    char name[64], unit[8] = "uJ";
    uint64_t range = 0, cost;
    if (!open_map(&unpacked, payload, length)) return false;
    const msgpack_object *map = &unpacked.data;
    const msgpack_object_array *times = array_member(map, "ns"), *values = array_member(map, "value");
    bool good = get_text(member(map, "meter"), name, sizeof name) && times && values && times->size == values->size;
    get_text(member(map, "unit"), unit, sizeof unit);
    double scale = strcmp(unit, "uJ") == 0 ? 1 : strcmp(unit, "mJ") == 0 ? 1e3 : strcmp(unit, "J") == 0 ? 1e6 : 0;
    good = good && scale > 0;
    for (uint32_t i = 0; good && i < times->size; i++)
        good = times->ptr[i].type == MSGPACK_OBJECT_POSITIVE_INTEGER && values->ptr[i].type == MSGPACK_OBJECT_POSITIVE_INTEGER;
    struct window *window = good ? find_window(meters, file, host, name) : NULL;
    if (window) {
        get_uint(member(map, "range"), &range);
        get_text(member(map, "boundary"), window->boundary, sizeof window->boundary);
        window->range = range;
        window->scale = scale;
        take_board(&window->board, map);
        if (get_uint(member(map, "cost"), &cost)) {
            if (meters->file != file) meters->cost_before += meters->cost_file;
            meters->file = file;
            meters->cost_file = cost;
        }
        for (uint32_t i = 0; i < times->size; i++) {
            uint64_t ns = times->ptr[i].via.u64, raw = values->ptr[i].via.u64;
            if (window->samples == 0) {
                window->first_ns = ns;
            } else if (ns < window->last_ns) {
                continue;
            } else {
                window->counted += difference(window->last_raw, raw, range, &window->wraps);
            }
            window->last_raw = raw;
            window->last_ns = ns;
            window->samples++;
        }
    }
    msgpack_unpacked_destroy(&unpacked);
    return window != NULL;
}

static double number_or_nan(const msgpack_object *map, const char *key, double scale)
{
    uint64_t value;
    return get_uint(member(map, key), &value) ? (double)value * scale : NAN;
}

bool tvg_energy_each(const void *payload, size_t length, void (*each)(const struct tvg_energy_sample *sample, void *context), void *context)
{
    msgpack_unpacked unpacked;
    char name[64], boundary[24] = "", unit[8] = "uJ";
    uint64_t range = 0;
    if (!open_map(&unpacked, payload, length)) return false;
    const msgpack_object *map = &unpacked.data;
    const msgpack_object_array *times = array_member(map, "ns"), *values = array_member(map, "value");
    bool good = get_text(member(map, "meter"), name, sizeof name) && times && values && times->size == values->size;
    get_text(member(map, "unit"), unit, sizeof unit);
    get_text(member(map, "boundary"), boundary, sizeof boundary);
    get_uint(member(map, "range"), &range);
    double scale = strcmp(unit, "uJ") == 0 ? 1e-6 : strcmp(unit, "mJ") == 0 ? 1e-3 : strcmp(unit, "J") == 0 ? 1 : 0;
    good = good && scale > 0;
    for (uint32_t i = 0; good && i < times->size; i++) {
        uint64_t ns, value;
        bool last = i + 1 == times->size;
        if (!get_uint(&times->ptr[i], &ns) || !get_uint(&values->ptr[i], &value)) continue;
        struct tvg_energy_sample sample = {name, boundary, ns, (double)value * scale, range ? ((double)range + 1) * scale : 0, NAN, NAN, NAN, NAN};
        if (last) { /* the board's state goes with its last sample */
            sample.watts = number_or_nan(map, "power_mw", 1e-3);
            sample.sm_mhz = number_or_nan(map, "sm_mhz", 1);
            sample.celsius = number_or_nan(map, "celsius", 1);
            sample.processes = number_or_nan(map, "processes", 1);
        }
        each(&sample, context);
    }
    msgpack_unpacked_destroy(&unpacked);
    return good;
}

static int by_meter_and_time(const void *x, const void *y)
{
    const struct window *a = x, *b = y;
    int order = strcmp(a->host, b->host);
    if (!order) order = strcmp(a->name, b->name);
    return order ? order : (a->first_ns > b->first_ns) - (a->first_ns < b->first_ns);
}

const struct tvg_meter_total *tvg_meters_totals(struct tvg_meters *meters, uint32_t *count)
{
    struct tvg_meter_total *total = NULL;
    uint64_t last_raw = 0, last_ns = 0;
    *count = 0;
    if (meters->window_count == 0) return NULL;
    struct tvg_meter_total *totals = realloc(meters->totals, meters->window_count * sizeof *totals);
    if (!totals) return NULL;
    meters->totals = totals;
    qsort(meters->windows, meters->window_count, sizeof *meters->windows, by_meter_and_time);
    for (uint32_t i = 0; i < meters->window_count; i++) {
        const struct window *window = &meters->windows[i];
        if (!total || strcmp(total->host, window->host) != 0 || strcmp(total->name, window->name) != 0) {
            total = &totals[(*count)++];
            memset(total, 0, sizeof *total);
            memcpy(total->host, window->host, sizeof total->host);
            memcpy(total->name, window->name, sizeof total->name);
            memcpy(total->boundary, window->boundary, sizeof total->boundary);
            total->first_ns = (double)window->first_ns;
            last_ns = window->first_ns;
            last_raw = 0;
        }
        total->samples += window->samples;
        join_boards(&total->board, &window->board);
        if (window->last_ns <= last_ns) continue; /* within what other processes have seen */
        double seconds = 1e-9 * (double)(window->last_ns - (window->first_ns > last_ns ? window->first_ns : last_ns)), counted = window->counted;
        total->wraps += window->wraps;
        if (window->first_ns < last_ns) {
            /* the two overlap: of this one only what comes after the other's last reading; how often it wrapped in there follows from its power */
            uint32_t wraps = 0;
            double whole = 1e-9 * (double)(window->last_ns - window->first_ns), expected = whole > 0 ? counted * seconds / whole : 0;
            counted = difference(last_raw, window->last_raw, window->range, &wraps);
            if (window->range && expected > counted) counted += ((double)window->range + 1) * floor((expected - counted) / ((double)window->range + 1) + 0.5);
        }
        total->joules += 1e-6 * window->scale * counted;
        total->seconds += seconds;
        total->last_ns = (double)window->last_ns;
        last_ns = window->last_ns;
        last_raw = window->last_raw;
    }
    for (uint32_t i = 0; i < *count; i++) mean_board(&totals[i].board);
    return totals;
}

/* --- COUNTERS ---------------------------------------------------------------------------------------------------------------- */

static int by_op(const void *x, const void *y)
{
    const struct tvg_counter_row *a = x, *b = y;
    return (a->op_id > b->op_id) - (a->op_id < b->op_id);
}

bool tvg_counters_add(struct tvg_counters *counters, const void *payload, size_t length)
{
    msgpack_unpacked unpacked;
    if (!open_map(&unpacked, payload, length)) return false;
    const msgpack_object_array *names = array_member(&unpacked.data, "events"), *rows = array_member(&unpacked.data, "rows");
    bool good = names && rows && names->size >= 1 && names->size <= TVG_COUNTER_EVENTS_MAX && (!counters->event_count || counters->event_count == names->size);
    for (uint32_t i = 0; good && i < names->size; i++) {
        char name[64];
        good = get_text(&names->ptr[i], name, sizeof name) && (!counters->event_count || strcmp(name, counters->event[i]) == 0);
    }
    for (uint32_t i = 0; good && i < rows->size; i++) {
        const msgpack_object *row = &rows->ptr[i];
        good = row->type == MSGPACK_OBJECT_ARRAY && row->via.array.size == 2 + names->size;
        for (uint32_t k = 0; good && k < row->via.array.size; k++) good = row->via.array.ptr[k].type == MSGPACK_OBJECT_POSITIVE_INTEGER;
        if (good) good = row->via.array.ptr[0].via.u64 <= UINT32_MAX;
    }
    struct tvg_counter_row *grow = NULL;
    if (good && rows->size) {
        grow = realloc(counters->rows, ((size_t)counters->row_count + rows->size) * sizeof *grow);
        good = grow != NULL;
    }
    if (good) {
        if (grow) counters->rows = grow;
        if (!counters->event_count)
            for (uint32_t i = 0; i < names->size; i++) get_text(&names->ptr[i], counters->event[i], sizeof counters->event[i]);
        counters->event_count = names->size;
        uint32_t sorted = counters->row_count;
        for (uint32_t i = 0; i < rows->size; i++) {
            const msgpack_object *field = rows->ptr[i].via.array.ptr;
            struct tvg_counter_row key = {.op_id = (uint32_t)field[0].via.u64};
            struct tvg_counter_row *row = sorted ? bsearch(&key, counters->rows, sorted, sizeof key, by_op) : NULL;
            for (uint32_t k = sorted; !row && k < counters->row_count; k++)
                if (counters->rows[k].op_id == key.op_id) row = &counters->rows[k];
            if (!row) {
                row = &counters->rows[counters->row_count++];
                *row = key;
            }
            row->calls += field[1].via.u64;
            for (uint32_t k = 0; k < names->size; k++) row->value[k] += field[2 + k].via.u64;
        }
        if (counters->row_count) qsort(counters->rows, counters->row_count, sizeof *counters->rows, by_op);
    }
    msgpack_unpacked_destroy(&unpacked);
    return good;
}

const struct tvg_counter_row *tvg_counters_find(const struct tvg_counters *counters, uint32_t op_id)
{
    struct tvg_counter_row key = {.op_id = op_id};
    return counters->row_count ? bsearch(&key, counters->rows, counters->row_count, sizeof key, by_op) : NULL;
}

void tvg_counters_free(struct tvg_counters *counters)
{
    free(counters->rows);
    memset(counters, 0, sizeof *counters);
}

/* --- STACKS ------------------------------------------------------------------------------------------------------------------ */

static char *hex(const char *data, uint32_t length)
{
    char *out = malloc(2 * (size_t)length + 1);
    if (!out) return NULL;
    out[0] = 0;
    for (uint32_t i = 0; i < length; i++) sprintf(out + 2 * (size_t)i, "%02x", (unsigned char)data[i]);
    return out;
}

enum { STACK_IDS_MAX = 1 << 24, STACK_LIBRARIES_MAX = 1 << 16, STACK_FRAMES_MAX = 1 << 12 };

static bool check_libraries(const msgpack_object_array *list)
{
    for (uint32_t i = 0; i < list->size; i++) {
        const msgpack_object *entry = &list->ptr[i];
        uint64_t index;
        if (entry->type != MSGPACK_OBJECT_ARRAY || entry->via.array.size < 3 || !get_uint(&entry->via.array.ptr[0], &index) || index >= STACK_LIBRARIES_MAX ||
            entry->via.array.ptr[1].type != MSGPACK_OBJECT_STR || entry->via.array.ptr[2].type != MSGPACK_OBJECT_BIN || entry->via.array.ptr[2].via.bin.size > 64)
            return false;
    }
    return true;
}

static bool check_stacks(const msgpack_object_array *list)
{
    for (uint32_t i = 0; i < list->size; i++) {
        const msgpack_object *entry = &list->ptr[i];
        if (entry->type != MSGPACK_OBJECT_ARRAY || entry->via.array.size % 2 != 1 || entry->via.array.size > 2 * STACK_FRAMES_MAX) return false;
        for (uint32_t k = 0; k < entry->via.array.size; k++)
            if (entry->via.array.ptr[k].type != MSGPACK_OBJECT_POSITIVE_INTEGER) return false;
        if (entry->via.array.ptr[0].via.u64 >= STACK_IDS_MAX) return false;
        for (uint32_t k = 1; k < entry->via.array.size; k += 2)
            if (entry->via.array.ptr[k].via.u64 > UINT32_MAX) return false;
    }
    return true;
}

static bool check_samples(const msgpack_object_array *list)
{
    for (uint32_t i = 0; i < list->size; i++) {
        const msgpack_object *entry = &list->ptr[i];
        uint64_t op_id, stack, occurrence;
        if (entry->type != MSGPACK_OBJECT_ARRAY || entry->via.array.size < 3 || !get_uint(&entry->via.array.ptr[0], &op_id) || op_id > UINT32_MAX ||
            !get_uint(&entry->via.array.ptr[1], &stack) || stack >= STACK_IDS_MAX || !get_uint(&entry->via.array.ptr[2], &occurrence))
            return false;
    }
    return true;
}

static bool add_library(struct tvg_stacks *stacks, const msgpack_object *field)
{
    uint32_t index = (uint32_t)field[0].via.u64;
    struct tvg_stack_library *libraries = grown(stacks->libraries, stacks->library_count, (uint64_t)index + 1, sizeof *libraries);
    if (!libraries) return false;
    stacks->libraries = libraries;
    while (stacks->library_count <= index) libraries[stacks->library_count++] = (struct tvg_stack_library){NULL, NULL};
    char *path = strndup(field[1].via.str.ptr, field[1].via.str.size), *build_id = hex(field[2].via.bin.ptr, field[2].via.bin.size);
    if (!path || !build_id) {
        free(path);
        free(build_id);
        return false;
    }
    free(libraries[index].path);
    free(libraries[index].build_id);
    libraries[index] = (struct tvg_stack_library){path, build_id};
    return true;
}

static bool add_stack(struct tvg_stacks *stacks, const msgpack_object_array *entry)
{
    uint32_t id = (uint32_t)entry->ptr[0].via.u64, count = (entry->size - 1) / 2;
    struct tvg_stack *list = grown(stacks->stacks, stacks->stack_count, (uint64_t)id + 1, sizeof *list);
    if (!list) return false;
    stacks->stacks = list;
    while (stacks->stack_count <= id) list[stacks->stack_count++] = (struct tvg_stack){0, NULL};
    struct tvg_stack_frame *frames = calloc(count ? count : 1, sizeof *frames);
    if (!frames) return false;
    for (uint32_t i = 0; i < count; i++)
        frames[i] = (struct tvg_stack_frame){(uint32_t)entry->ptr[1 + 2 * i].via.u64, entry->ptr[2 + 2 * i].via.u64};
    free(list[id].frames);
    list[id] = (struct tvg_stack){count, frames};
    return true;
}

bool tvg_stacks_add(struct tvg_stacks *stacks, const void *payload, size_t length)
{
    msgpack_unpacked unpacked;
    if (!open_map(&unpacked, payload, length)) return false;
    const msgpack_object_array *libraries = array_member(&unpacked.data, "libs"), *list = array_member(&unpacked.data, "stacks"),
                               *samples = array_member(&unpacked.data, "samples");
    bool good = libraries && list && samples && check_libraries(libraries) && check_stacks(list) && check_samples(samples);
    for (uint32_t i = 0; good && i < libraries->size; i++) good = add_library(stacks, libraries->ptr[i].via.array.ptr);
    for (uint32_t i = 0; good && i < list->size; i++) good = add_stack(stacks, &list->ptr[i].via.array);
    for (uint32_t i = 0; good && i < samples->size; i++) {
        const msgpack_object *field = samples->ptr[i].via.array.ptr;
        struct tvg_stack_sample *grow = grown(stacks->samples, stacks->sample_count, (uint64_t)stacks->sample_count + 1, sizeof *grow);
        if (!(good = grow != NULL)) break;
        stacks->samples = grow;
        grow[stacks->sample_count++] = (struct tvg_stack_sample){(uint32_t)field[0].via.u64, (uint32_t)field[1].via.u64, field[2].via.u64};
    }
    msgpack_unpacked_destroy(&unpacked);
    return good;
}

void tvg_stacks_free(struct tvg_stacks *stacks)
{
    for (uint32_t i = 0; i < stacks->library_count; i++) {
        free(stacks->libraries[i].path);
        free(stacks->libraries[i].build_id);
    }
    for (uint32_t i = 0; i < stacks->stack_count; i++) free(stacks->stacks[i].frames);
    free(stacks->libraries);
    free(stacks->stacks);
    free(stacks->samples);
    memset(stacks, 0, sizeof *stacks);
}

/* --- MANIFEST ---------------------------------------------------------------------------------------------------------------- */

struct walk {
    void (*pair)(const char *key, const char *value, void *context);
    void *context;
    char key[256];
};

static void walk_object(struct walk *walk, size_t used, const msgpack_object *object, int depth);

static void walk_member(struct walk *walk, size_t used, const char *name, size_t length, const msgpack_object *object, int depth)
{
    size_t start = used;
    if (used + length + 2 >= sizeof walk->key) return; /* no key of ours is so long */
    if (used) walk->key[used++] = '.';
    memcpy(walk->key + used, name, length);
    used += length;
    walk->key[used] = 0;
    walk_object(walk, used, object, depth + 1);
    walk->key[start] = 0;
}

static void walk_object(struct walk *walk, size_t used, const msgpack_object *object, int depth)
{
    char number[40], *text = NULL;
    if (depth > 8) return;
    switch (object->type) {
    case MSGPACK_OBJECT_MAP:
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            const msgpack_object_kv *pair = &object->via.map.ptr[i];
            if (pair->key.type == MSGPACK_OBJECT_STR) walk_member(walk, used, pair->key.via.str.ptr, pair->key.via.str.size, &pair->val, depth);
        }
        return;
    case MSGPACK_OBJECT_ARRAY:
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            int length = snprintf(number, sizeof number, "%" PRIu32, i);
            walk_member(walk, used, number, (size_t)length, &object->via.array.ptr[i], depth);
        }
        return;
    case MSGPACK_OBJECT_STR:
        text = strndup(object->via.str.ptr, object->via.str.size);
        break;
    case MSGPACK_OBJECT_BIN:
        text = hex(object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        snprintf(number, sizeof number, "%" PRIu64, object->via.u64);
        walk->pair(walk->key, number, walk->context);
        return;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        snprintf(number, sizeof number, "%" PRId64, object->via.i64);
        walk->pair(walk->key, number, walk->context);
        return;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        snprintf(number, sizeof number, "%.17g", object->via.f64);
        walk->pair(walk->key, number, walk->context);
        return;
    case MSGPACK_OBJECT_BOOLEAN:
        walk->pair(walk->key, object->via.boolean ? "1" : "0", walk->context);
        return;
    default:
        return;
    }
    if (text) walk->pair(walk->key, text, walk->context);
    free(text);
}

bool tvg_manifest_read(const void *payload, size_t length, void (*pair)(const char *key, const char *value, void *context), void *context)
{
    msgpack_unpacked unpacked;
    struct walk walk = {.pair = pair, .context = context};
    if (!open_map(&unpacked, payload, length)) return false;
    walk_object(&walk, 0, &unpacked.data, 0);
    msgpack_unpacked_destroy(&unpacked);
    return true;
}
