/* `tvg ops`: a row per distinct operation, or per library, function or kind. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../device.h"
#include "../energy.h"
#include "../profile.h"
#include "command.h"

enum { BY = 256, SORT, TOP, DEVICE, GPU, CHARGE };
enum { TOP_DEFAULT = 40 };

static const struct tvg_option options[] = {
    {BY, "by", "WHAT", "one row per op (the default), library, function or kind"},
    {SORT, "sort", "WHAT", "time (the default), calls, flop, bytes, speed, joules or name"},
    {TOP, "top", "N", "the first N rows, the rest in one (default 40; 0: all; --json: all)"},
    {DEVICE, "device", "NAME|FILE", "price with this device file, not the one that fits the CPU"},
    {GPU, "gpu", "NAME|FILE", "the same for GPU operations"},
    {CHARGE, "charge", "WHO", "as in tvg report; it moves no op's joules"},
    {0, NULL, NULL, NULL},
};

static const struct tvg_usage usage = {
    .name = "ops",
    .arguments = "TRACE|RUN... [options]",
    .summary = "The operations of a run: calls, FLOP, bytes, time, speed and joules of each. Calls from several places in a program are one row.",
    .options = options,
    .json = true,
    .details = "FLOP are 2 per real multiply-add and 8 per complex one; bytes are the least that must move: every operand once. s is summed over threads.\n"
               "J is the modelled energy above the package floor, scaled to the meter when there is one; its interval and basis are in --json.\n"
               "GPU ops: above a card that is awake; the type is that of the kernel that ran. A kernel that no library call explains has its own name, and its\n"
               "blocks and their threads (grid/block) for a shape.\n"
               "Prefixes are those of SI: 1.23m s is 1.23 milliseconds.",
};

enum by { BY_OP, BY_LIBRARY, BY_FUNCTION, BY_KIND };
static const char *const by_names[] = {"op", "library", "function", "kind", NULL};
enum sort { SORT_TIME, SORT_CALLS, SORT_FLOP, SORT_BYTES, SORT_SPEED, SORT_JOULES, SORT_NAME };
static const char *const sort_names[] = {"time", "calls", "flop", "bytes", "speed", "joules", "name", NULL};

struct row {
    const struct tvg_op *op;  /* of the first that went into it */
    const char *name;         /* of the group; NULL for single ops */
    uint64_t ops, calls, repeats;
    double flop, bytes, seconds, seconds_min, seconds_max;
    struct tvg_interval joules;
};

struct request {
    unsigned by, sort, charge; /* enum by, enum sort, enum tvg_charge */
    double top;
    const char *device, *gpu;
    bool json;
    struct tvg_style style;
};

static const char *text(const char *value)
{
    return value ? value : "?";
}

static bool same_row(const struct tvg_op *a, const struct tvg_op *b, enum by by)
{
    switch (by) {
    case BY_LIBRARY:
        return strcmp(text(a->library), text(b->library)) == 0;
    case BY_FUNCTION:
        return strcmp(text(a->function), text(b->function)) == 0;
    case BY_KIND:
        return a->kind == b->kind;
    default:
        return a->kind == b->kind && a->m == b->m && a->n == b->n && a->k == b->k && a->batch == b->batch && a->type_a == b->type_a &&
               a->type_b == b->type_b && a->type_c == b->type_c && a->type_compute == b->type_compute && a->on_gpu == b->on_gpu &&
               a->dim_count == b->dim_count && memcmp(a->dim, b->dim, a->dim_count * sizeof a->dim[0]) == 0 && a->flop == b->flop &&
               strcmp(text(a->function), text(b->function)) == 0 && strcmp(text(a->library), text(b->library)) == 0 &&
               strcmp(text(a->name), text(b->name)) == 0;
    }
}

static uint64_t hash_row(const struct tvg_op *op, enum by by)
{
    uint64_t h = by;
    const char *name = by == BY_LIBRARY ? op->library : by == BY_KIND ? NULL : op->function;
    for (; name && *name; name++)
        h = h * 31 + (unsigned char)*name;
    if (by == BY_KIND)
        h = op->kind;
    if (by == BY_OP)
        h = ((h * 31 + (uint64_t)op->m) * 31 + (uint64_t)op->n) * 31 + (uint64_t)op->k;
    h *= 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

/* Rows of the profile; *count of them; NULL when memory is out. */
static struct row *make_rows(const struct tvg_profile *profile, const struct tvg_energy *energy, enum by by, uint32_t *count)
{
    uint32_t slots = 2 * profile->op_count + 16;
    struct row *rows = calloc(profile->op_count + 1, sizeof *rows);
    uint32_t *slot = calloc(slots, sizeof *slot);
    *count = 0;
    if (!rows || !slot) {
        free(rows);
        free(slot);
        return NULL;
    }
    for (uint32_t i = 0; i < profile->op_count; i++) {
        const struct tvg_op_stat *stat = &profile->ops[i];
        if (!stat->count)
            continue;
        uint32_t at = (uint32_t)(hash_row(&stat->op, by) % slots);
        while (slot[at] && !same_row(rows[slot[at] - 1].op, &stat->op, by))
            at = (at + 1) % slots;
        if (!slot[at]) {
            slot[at] = ++*count;
            rows[*count - 1] = (struct row){.op = &stat->op, .seconds_min = INFINITY,
                                            .name = by == BY_LIBRARY    ? text(stat->op.library)
                                                    : by == BY_FUNCTION ? text(stat->op.function)
                                                    : by == BY_KIND     ? tvg_kind_name(stat->op.kind)
                                                                        : NULL};
        }
        struct row *row = &rows[slot[at] - 1];
        row->ops++;
        row->calls += stat->count;
        row->repeats += stat->repeats;
        row->flop += (double)stat->op.flop * (double)stat->count;
        row->bytes += (double)stat->op.bytes * (double)stat->count;
        row->seconds += stat->seconds;
        row->seconds_min = fmin(row->seconds_min, stat->seconds_min);
        row->seconds_max = fmax(row->seconds_max, stat->seconds_max);
        row->joules = tvg_interval_add(row->joules, energy->per_op[i]);
    }
    free(slot);
    return rows;
}

static enum sort sorting;

static double sort_value(const struct row *row)
{
    switch (sorting) {
    case SORT_CALLS:
        return (double)row->calls;
    case SORT_FLOP:
        return row->flop;
    case SORT_BYTES:
        return row->bytes;
    case SORT_SPEED:
        return row->seconds > 0 ? row->flop / row->seconds : 0;
    case SORT_JOULES:
        return row->joules.value;
    default:
        return row->seconds;
    }
}

static int by_value(const void *left, const void *right)
{
    const struct row *a = left, *b = right;
    double va = sort_value(a), vb = sort_value(b);
    if (sorting != SORT_NAME && va != vb)
        return va < vb ? 1 : -1;
    int order = strcmp(a->name ? a->name : text(a->op->function), b->name ? b->name : text(b->op->function));
    if (order)
        return order;
    if (a->op->m != b->op->m)
        return a->op->m < b->op->m ? -1 : 1;
    if (a->op->n != b->op->n)
        return a->op->n < b->op->n ? -1 : 1;
    return (a->op->k > b->op->k) - (a->op->k < b->op->k);
}

/* Five characters at most: "1.23G", "12.3m", "123", "0". */
static const char *si(char out[16], double value)
{
    static const char prefix[] = "num kMGTPE";
    if (!(value > 0) || !isfinite(value)) {
        snprintf(out, 16, value == 0 ? "0" : "-");
        return out;
    }
    int at = 3;
    while (value >= 999.5 && at < 9)
        value /= 1000, at++;
    while (value < 0.9995 && at > 0)
        value *= 1000, at--;
    char mark[2] = {prefix[at] == ' ' ? '\0' : prefix[at], '\0'};
    if (value < 0.9995)
        snprintf(out, 16, "%.2f%s", value, mark);
    else
        snprintf(out, 16, "%.*f%s", value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2, value, mark);
    return out;
}

/* `width` columns of `name`, escaped; what does not fit is cut in the middle, since ends tell names apart. */
static const char *fit(char *out, size_t size, const char *name, int width)
{
    char whole[512];
    tvg_escape(whole, sizeof whole, name);
    int length = (int)strlen(whole);
    if (length <= width)
        snprintf(out, size, "%s", whole);
    else
        snprintf(out, size, "%.*s~%s", width / 2, whole, whole + length - (width - width / 2 - 1));
    return out;
}

static const char *type_of(const struct tvg_op *op)
{
    unsigned type = op->type_a == op->type_b || op->type_b == TVG_TYPE_NONE ? op->type_a : op->type_b;
    if (op->on_gpu && op->type_compute != TVG_TYPE_NONE) /* that of the kernel that ran: fp32 may be TF32 */
        type = op->type_compute;
    bool is_8_bit_float = type == TVG_TYPE_F8_E4M3 || type == TVG_TYPE_F8_E5M2; /* --json tells which: the column has four places */
    return is_8_bit_float ? "fp8" : tvg_type_info(type)->name;
}

static const char *shape_of(char *out, size_t size, const struct tvg_op *op)
{
    size_t used = 0;
    out[0] = '\0';
    if (op->dim_count) {
        for (unsigned i = 0; i < op->dim_count && i < TVG_DIMS_MAX && used < size - 24; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "x" : "", (long long)op->dim[i]);
        return out;
    }
    if (op->batch > 1)
        used += (size_t)snprintf(out, size, "%lld*", (long long)op->batch);
    const int64_t extent[] = {op->m, op->n, op->k};
    bool any = false;
    for (int i = 0; i < 3; i++)
        if (extent[i]) {
            used += (size_t)snprintf(out + used, size - used, "%s%lld", any ? "x" : "", (long long)extent[i]);
            any = true;
        }
    return out;
}

static void print_figures(const struct row *row)
{
    char flop[16], bytes[16], seconds[16], speed[16], joules[16];
    printf(" %5s %5s %5s %6s %5s\n", si(flop, row->flop), si(bytes, row->bytes), si(seconds, row->seconds),
           si(speed, row->seconds > 0 ? row->flop / row->seconds : 0), si(joules, row->joules.value));
}

/* A kernel's blocks and their threads; trace/op.h has the order. */
static const char *grid_of(char *out, size_t size, const struct tvg_op *op)
{
    size_t used = 0;
    for (int d = 0; d < 2; d++) {
        const int64_t *extent = &op->dim[3 * d];
        int last = 2;
        while (last > 0 && extent[last] <= 1)
            last--;
        for (int i = 0; i <= last; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%lld", i ? "x" : d ? "/" : "", (long long)extent[i]);
    }
    return out;
}

static void print_row(const struct row *row)
{
    char name[128], title[256], shape[600], cut[64], calls[32];
    if (row->calls < 10000000)
        snprintf(calls, sizeof calls, "%llu", (unsigned long long)row->calls);
    else
        si(calls, (double)row->calls);
    if (row->name)
        printf("%7s %6llu %-34s", calls, (unsigned long long)row->ops, fit(name, sizeof name, row->name, 34));
    else if (row->op->kind == TVG_KIND_KERNEL && row->op->name)
        printf("%7s %-25s %15s", calls, fit(name, sizeof name, tvg_kernel_title(title, sizeof title, row->op->name), 25), fit(cut, sizeof cut, grid_of(shape, sizeof shape, row->op), 15));
    else
        printf("%7s %-20s %-4.4s %15s", calls, fit(name, sizeof name, text(row->op->function), 20), type_of(row->op),
               fit(cut, sizeof cut, shape_of(shape, sizeof shape, row->op), 15));
    print_figures(row);
}

static void add_row(struct row *to, const struct row *row)
{
    to->ops += row->ops;
    to->calls += row->calls;
    to->flop += row->flop;
    to->bytes += row->bytes;
    to->seconds += row->seconds;
    to->joules = tvg_interval_add(to->joules, row->joules);
}

static void print_sum(const char *what, const struct row *row)
{
    char calls[32];
    if (row->calls < 10000000)
        snprintf(calls, sizeof calls, "%llu", (unsigned long long)row->calls);
    else
        si(calls, (double)row->calls);
    printf("%7s %-41.41s", calls, what);
    print_figures(row);
}

static void print_text(const char *path, const struct tvg_profile *profile, const struct tvg_device *device, const struct tvg_device *gpu, const struct tvg_energy *energy,
                       const struct row *rows, uint32_t count, const struct request *request)
{
    char shown[256];
    struct tvg_style style = request->style;
    struct row total = {0};
    for (uint32_t i = 0; i < count; i++)
        add_row(&total, &rows[i]);
    printf("%s%.80s%s\n", style.bold, tvg_escape(shown, sizeof shown, path), style.off);
    bool boards = energy->board_seconds > 0;
    const struct tvg_device *priced = boards ? gpu : device;
    printf("%llu calls of %llu ops. J: %s, %s%s, above %s.\n", (unsigned long long)total.calls, (unsigned long long)total.ops,
           tvg_basis_name(energy->parts_basis), priced->name, priced->guessed ? " (a guess)" : "", boards ? "a card that is awake" : "the package floor");
    if (energy->meter_seconds > 0)
        printf("The model, times %.2f to fit the meter (tvg report says how sure).\n", energy->meter_scale);
    if (profile->damage.ops_lost)
        printf("%llu more ops were lost while recording.\n", (unsigned long long)profile->damage.ops_lost);
    uint32_t limit = request->top > 0 && request->top < count ? (uint32_t)request->top : count;
    if (request->by == BY_OP)
        printf("%s\n%7s %-20s %-4s %15s %5s %5s %5s %6s %5s%s\n", style.dim, "calls", "function", "type", "m x n x k", "FLOP", "bytes", "s", "FLOP/s", "J",
               style.off);
    else
        printf("%s\n%7s %6s %-34s %5s %5s %5s %6s %5s%s\n", style.dim, "calls", "ops", by_names[request->by], "FLOP", "bytes", "s", "FLOP/s", "J",
               style.off);
    bool sections = request->by == BY_OP;
    struct row rest = {0};
    for (uint32_t i = limit; i < count; i++)
        add_row(&rest, &rows[i]);
    for (uint32_t i = 0; i < limit; i++) { /* libraries in order of their first row, each with its rows */
        bool seen = false;
        for (uint32_t j = 0; j < i && sections && !seen; j++)
            seen = strcmp(text(rows[j].op->library), text(rows[i].op->library)) == 0;
        if (seen)
            continue;
        if (sections)
            printf("%s%s%s\n", style.bold, fit(shown, sizeof shown, text(rows[i].op->library), 79), style.off);
        for (uint32_t j = i; j < limit; j++)
            if (!sections ? j == i : strcmp(text(rows[j].op->library), text(rows[i].op->library)) == 0)
                print_row(&rows[j]);
    }
    if (limit < count) {
        snprintf(shown, sizeof shown, "in %u more rows (--top 0)", count - limit);
        print_sum(shown, &rest);
    }
    print_sum("total", &total);
}

static json_t *string(const char *value)
{
    char shown[4096];
    return json_string(tvg_escape(shown, sizeof shown, text(value)));
}

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *joules(struct tvg_interval value, enum tvg_basis basis)
{
    return json_pack("{s:o, s:o, s:o, s:s}", "value", figure(value.value), "low", figure(value.low), "high", figure(value.high), "basis", tvg_basis_name(basis));
}

static json_t *row_json(const struct row *row, const struct tvg_energy *energy)
{
    json_t *object = json_object();
    const struct tvg_op *op = row->op;
    if (row->name)
        json_object_set_new(object, "name", string(row->name));
    else {
        json_object_set_new(object, "library", string(op->library));
        json_object_set_new(object, "function", string(op->function));
        json_object_set_new(object, "name", op->name ? string(op->name) : json_null());
        json_object_set_new(object, "kind", json_string(tvg_kind_name(op->kind)));
        json_object_set_new(object, "net", json_string(tvg_net_name(op->net)));
        json_object_set_new(object, "types", json_pack("[s, s, s, s]", tvg_type_info(op->type_a)->name, tvg_type_info(op->type_b)->name,
                                                       tvg_type_info(op->type_c)->name, tvg_type_info(op->type_compute)->name));
        json_object_set_new(object, "m", json_integer(op->m));
        json_object_set_new(object, "n", json_integer(op->n));
        json_object_set_new(object, "k", json_integer(op->k));
        json_object_set_new(object, "batch", json_integer(op->batch > 0 ? op->batch : 1));
        if (op->dim_count) {
            json_t *dims = json_array();
            for (unsigned i = 0; i < op->dim_count && i < TVG_DIMS_MAX; i++)
                json_array_append_new(dims, json_integer(op->dim[i]));
            json_object_set_new(object, "dims", dims);
        }
        json_object_set_new(object, "gpu", json_boolean(op->on_gpu));
        json_object_set_new(object, "flop_per_call", json_integer((json_int_t)op->flop));
    }
    json_object_set_new(object, "ops", json_integer((json_int_t)row->ops));
    json_object_set_new(object, "count", json_integer((json_int_t)row->calls));
    json_object_set_new(object, "repeats", json_integer((json_int_t)row->repeats));
    json_object_set_new(object, "flop", figure(row->flop));
    json_object_set_new(object, "bytes", figure(row->bytes));
    json_object_set_new(object, "time_s", figure(row->seconds));
    json_object_set_new(object, "time_min_s", figure(row->seconds_min));
    json_object_set_new(object, "time_max_s", figure(row->seconds_max));
    json_object_set_new(object, "flop_per_s", figure(row->seconds > 0 ? row->flop / row->seconds : 0));
    json_object_set_new(object, "energy_j", joules(row->joules, energy->parts_basis));
    return object;
}

static void print_json(const char *path, const struct tvg_device *device, const struct tvg_device *gpu, const struct tvg_energy *energy, const struct row *rows, uint32_t count,
                       const struct request *request)
{
    struct row total = {0};
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        add_row(&total, &rows[i]);
        json_array_append_new(list, row_json(&rows[i], energy));
    }
    const struct tvg_device *priced = energy->board_seconds > 0 ? gpu : device;
    json_t *root = json_pack("{s:o, s:s, s:s, s:b, s:s, s:o, s:o}", "trace", string(path), "by", by_names[request->by], "device", priced->name, "device_guessed",
                             priced->guessed, "boundary", energy->boundary, "rows", list, "totals",
                             json_pack("{s:I, s:I, s:o, s:o, s:o, s:o}", "ops", (json_int_t)total.ops, "count", (json_int_t)total.calls, "flop", figure(total.flop),
                                       "bytes", figure(total.bytes), "time_s", figure(total.seconds), "energy_j", joules(total.joules, energy->parts_basis)));
    json_dumpf(root, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(root);
}

static bool show(const char *path, const struct request *request, struct tvg_error *error)
{
    struct tvg_progress progress = {.what = "reading"};
    struct tvg_profile_options reading = {.progress = tvg_progress, .context = &progress};
    struct tvg_profile *profile = NULL;
    struct tvg_device *device = NULL, *gpu = NULL;
    struct tvg_energy *energy = NULL;
    bool done = tvg_profile_load(&profile, path, &reading, error);
    tvg_progress_end(&progress);
    done = done && tvg_devices_choose(&device, &gpu, profile, request->device, request->gpu, error) && tvg_energy_price(&energy, profile, device, gpu, request->charge, error);
    if (done) {
        uint32_t count;
        struct row *rows = make_rows(profile, energy, request->by, &count);
        if (!rows)
            done = tvg_fail(error, path, NULL, NULL, "out of memory");
        else {
            sorting = request->sort;
            qsort(rows, count, sizeof *rows, by_value);
            if (request->json)
                print_json(path, device, gpu, energy, rows, count, request);
            else
                print_text(path, profile, device, gpu, energy, rows, count, request);
        }
        free(rows);
    }
    tvg_energy_free(energy);
    if (gpu)
        tvg_device_free(gpu);
    if (device)
        tvg_device_free(device);
    tvg_profile_free(profile);
    return done;
}

static int take(struct request *request, int id, const char *value)
{
    char shown[128];
    switch (id) {
    case BY: return tvg_command_choose("ops", "by", value, by_names, &request->by);
    case SORT: return tvg_command_choose("ops", "sort", value, sort_names, &request->sort);
    case TOP:
        if (!tvg_number(value, &request->top) || request->top < 0 || request->top != floor(request->top))
            return tvg_command_misuse("ops", "--top %s: it takes a whole number, 0 for all rows", tvg_escape(shown, sizeof shown, value));
        return TVG_EXIT_OK;
    case DEVICE: request->device = value; return TVG_EXIT_OK;
    case GPU: request->gpu = value; return TVG_EXIT_OK;
    default: return tvg_command_choose("ops", "charge", value, tvg_charge_names, &request->charge);
    }
}

int tvg_command_ops(int argc, char **argv)
{
    struct request request = {.top = TOP_DEFAULT, .charge = TVG_CHARGE_AUTO};
    struct tvg_arguments arguments;
    const struct tvg_option *option;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) {
        int bad = take(&request, option->id, arguments.value);
        if (bad)
            return bad;
    }
    if (arguments.stop)
        return arguments.exit_code;
    if (arguments.operand_count == 0)
        return tvg_command_misuse("ops", "which trace? Give a .tvg file or a run folder");
    if (arguments.json && arguments.operand_count > 1)
        return tvg_command_misuse("ops", "--json takes one trace or run folder at a time: call it once for each");
    request.json = arguments.json;
    request.style = tvg_style(arguments.color && !arguments.json);
    for (int i = 0; i < arguments.operand_count; i++) {
        struct tvg_error error = {""};
        if (i)
            printf("\n");
        if (!show(arguments.operand[i], &request, &error))
            return tvg_command_fail("ops", &error);
    }
    return TVG_EXIT_OK;
}
