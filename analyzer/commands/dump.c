/* `tvg dump`: every recorded op as a line of JSON, and with --blocks every other block too. What an op is, is rendered once per op id. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../../trace/cursor.h"
#include "../../trace/sync.h"
#include "../reader.h"
#include "../run.h"
#include "command.h"
#include "samples.h"

enum { OPTION_BLOCKS = 256, OPTION_LIMIT, OPTION_FOLDED, OPTION_COUNTERS };

static const struct tvg_usage usage = {
    .name = "dump",
    .arguments = "TRACE|RUN...",
    .summary = "Prints every recorded operation, one JSON object a line.",
    .details = "Times: start_ns is CLOCK_MONOTONIC, duration_ns a length, both nanoseconds, on the trace's time grid. a, b, c: operand addresses.\n"
               "seq counts the lines of a trace; ops of one thread are in order, threads take turns by blocks.\n"
               "A damaged trace gives what is whole, and a warning.\n"
               "--folded is the input of flame graph programs: frames joined by ';', outermost first, the op last. An op's time goes to its stacks by the\n"
               "calls that lie between their samples. --counters counts the calling thread alone, not the library's own threads.",
    .options = (const struct tvg_option[]){{OPTION_BLOCKS, "blocks", NULL, "print the other blocks too (manifest, coverage, energy...)"},
                                           {OPTION_LIMIT, "limit", "N", "stop after N ops of each trace"},
                                           {OPTION_FOLDED, "folded", NULL, "instead: sampled call stacks, folded, with microseconds (record --stacks)"},
                                           {OPTION_COUNTERS, "counters", NULL, "instead: a line per op that was counted (record --sources +papi)"},
                                           {0, NULL, NULL, NULL}},
};

static const char *const block_names[] = {"", "ops", "dict", "manifest", "coverage", "energy", "counters", "stacks", "mark", "thread", "lost", "kernels", "end", "samples", "sync"};

static void set_string(json_t *object, const char *key, const char *value)
{
    char shown[4096];
    if (value)
        json_object_set_new(object, key, json_string(tvg_escape(shown, sizeof shown, value)));
}

static void set_integer(json_t *object, const char *key, int64_t value)
{
    if (value)
        json_object_set_new(object, key, json_integer(value));
}

/* JSON integers are signed: what is larger is given as a real. */
static json_t *unsigned_json(uint64_t value)
{
    return value <= INT64_MAX ? json_integer((json_int_t)value) : json_real((double)value);
}

static json_t *flags_json(uint32_t flags)
{
    static const char *const names[] = {"trans_a", "trans_b", "conj_a", "conj_b", "row_major", "right", "upper", "unit_diag", "packed_a", "packed_b",
                                        "beta_zero", "batch_strided", "batch_pointers", "batch_grouped", "ilp64", "three_m", "dims_unsure", "flop_given", "time_shared"};
    json_t *list = json_array();
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (flags >> i & 1)
            json_array_append_new(list, json_string(names[i]));
    return list;
}

/* The fields of an op as JSON text without the braces; the caller frees it. */
static char *render(const struct tvg_op *op, uint32_t id)
{
    json_t *object = json_object();
    json_object_set_new(object, "op", json_integer(id));
    set_string(object, "library", op->library);
    set_string(object, "function", op->function);
    set_string(object, "name", op->name);
    json_object_set_new(object, "kind", json_string(tvg_kind_name(op->kind)));
    json_object_set_new(object, "net", json_string(tvg_net_name(op->net)));
    json_object_set_new(object, "types", json_pack("[s,s,s,s]", tvg_type_info(op->type_a)->name, tvg_type_info(op->type_b)->name,
                                                   tvg_type_info(op->type_c)->name, tvg_type_info(op->type_compute)->name));
    json_object_set_new(object, "m", json_integer(op->m));
    json_object_set_new(object, "n", json_integer(op->n));
    json_object_set_new(object, "k", json_integer(op->k));
    set_integer(object, "batch", op->batch);
    set_integer(object, "lda", op->lda);
    set_integer(object, "ldb", op->ldb);
    set_integer(object, "ldc", op->ldc);
    set_integer(object, "stride_a", op->stride_a);
    set_integer(object, "stride_b", op->stride_b);
    set_integer(object, "stride_c", op->stride_c);
    if (op->dim_count) {
        json_t *dims = json_array();
        for (unsigned i = 0; i < op->dim_count && i < TVG_DIMS_MAX; i++)
            json_array_append_new(dims, json_integer(op->dim[i]));
        json_object_set_new(object, "dims", dims);
    }
    json_object_set_new(object, "flags", flags_json(op->flags));
    set_integer(object, "epilogue", op->epilogue);
    set_integer(object, "threads", op->threads);
    if (op->on_gpu)
        json_object_set_new(object, "device", json_integer(op->device));
    set_string(object, "caller", op->caller_library);
    if (op->caller_library)
        json_object_set_new(object, "caller_offset", unsigned_json(op->caller_offset));
    json_object_set_new(object, "flop", unsigned_json(op->flop));
    json_object_set_new(object, "bytes", unsigned_json(op->bytes));
    char *text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(17)), *fields = text ? strndup(text + 1, strlen(text) - 2) : NULL;
    free(text);
    json_decref(object);
    return fields;
}

/* A msgpack value as JSON. Payloads have passed tvg_msgpack_check: at most 16 deep. */
static json_t *value_json(struct tvg_cursor *cursor)
{
    struct tvg_token token = tvg_cursor_next(cursor);
    switch (token.kind) {
    case TVG_TOKEN_BOOL:
        return json_boolean(token.uint);
    case TVG_TOKEN_UINT:
        return unsigned_json(token.uint);
    case TVG_TOKEN_INT:
        return json_integer(token.integer);
    case TVG_TOKEN_DOUBLE: {
        json_t *real = json_real(token.real);
        return real ? real : json_null(); /* not a number, infinite */
    }
    case TVG_TOKEN_STRING: {
        size_t room = 4 * (size_t)token.length + 1;
        char *raw = strndup((const char *)token.data, token.length), *shown = malloc(room);
        json_t *string = raw && shown ? json_string(tvg_escape(shown, room, raw)) : json_null();
        free(raw);
        free(shown);
        return string;
    }
    case TVG_TOKEN_BINARY: {
        char *hex = malloc(2 * (size_t)token.length + 1);
        if (!hex)
            return json_null();
        for (uint32_t i = 0; i < token.length; i++)
            snprintf(hex + 2 * (size_t)i, 3, "%02x", token.data[i]);
        hex[2 * (size_t)token.length] = 0;
        json_t *string = json_string(hex);
        free(hex);
        return string;
    }
    case TVG_TOKEN_ARRAY: {
        json_t *array = json_array();
        for (uint32_t i = 0; i < token.length; i++)
            json_array_append_new(array, value_json(cursor));
        return array;
    }
    case TVG_TOKEN_MAP: {
        json_t *object = json_object();
        for (uint32_t i = 0; i < token.length; i++) {
            json_t *key = value_json(cursor), *value = value_json(cursor);
            char number[32];
            snprintf(number, sizeof number, "%u", i);
            json_object_set_new(object, json_is_string(key) ? json_string_value(key) : number, value);
            json_decref(key);
        }
        return object;
    }
    default:
        return json_null();
    }
}

/* A SYNC block by its rows; what a row does not have is left out. NULL when it contradicts itself. */
static json_t *sync_json(const struct tvg_event *event)
{
    static struct tvg_sync rows[TVG_SYNC_MAX];
    static unsigned char scratch[TVG_SYNC_SCRATCH(TVG_SYNC_MAX)];
    long count = tvg_decode_sync(event->payload, event->length, rows, scratch, sizeof scratch);
    json_t *list = count < 0 ? NULL : json_array();
    for (long i = 0; i < count; i++) {
        json_t *row = json_pack("{s:s, s:I, s:o, s:o}", "kind", tvg_sync_name(rows[i].kind), "thread", (json_int_t)rows[i].tid, "start_ns", unsigned_json(rows[i].start_ns), "duration_ns",
                                unsigned_json(rows[i].duration_ns));
        if (rows[i].device != TVG_SYNC_UNKNOWN)
            json_object_set_new(row, "device", json_integer(rows[i].device));
        if (rows[i].stream != TVG_SYNC_UNKNOWN)
            json_object_set_new(row, "stream", json_integer(rows[i].stream));
        if (rows[i].event)
            json_object_set_new(row, "event", unsigned_json(rows[i].event));
        json_array_append_new(list, row);
    }
    return list;
}

static void dump_block(const struct tvg_event *event)
{
    struct tvg_cursor cursor = {event->payload, (const uint8_t *)event->payload + event->length};
    json_t *value = event->block == TVG_BLOCK_SYNC ? sync_json(event) : NULL;
    json_t *line = json_pack("{s:s, s:I, s:o}", "block", block_names[event->block], "offset", (json_int_t)event->offset, "value", value ? value : value_json(&cursor));
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(line);
}

/* Rendered ops by id. */
struct cache {
    char **fields;
    uint32_t count;
};

static const char *fields_of(struct cache *cache, const struct tvg_reader *reader, uint32_t id)
{
    if (id >= cache->count) {
        uint32_t count = tvg_reader_op_count(reader) > id ? tvg_reader_op_count(reader) : id + 1;
        char **fields = realloc(cache->fields, count * sizeof *fields);
        if (!fields)
            return "\"op\":null";
        memset(fields + cache->count, 0, (count - cache->count) * sizeof *fields);
        cache->fields = fields;
        cache->count = count;
    }
    if (!cache->fields[id])
        cache->fields[id] = render(tvg_reader_op(reader, id), id);
    return cache->fields[id] ? cache->fields[id] : "\"op\":null";
}

static void warn(const char *file, const struct tvg_damage *damage)
{
    char name[512];
    if (damage->blocks_damaged || damage->cut_off || damage->ops_lost)
        fprintf(stderr, "tvg dump: %s: warning: %s; what is whole was printed (tvg check says more)\n", tvg_escape(name, sizeof name, file),
                damage->blocks_damaged ? "damaged" : damage->cut_off ? "cut off" : "ops were lost while recording");
}

static bool dump(const char *file, bool blocks, uint64_t limit, struct tvg_error *error)
{
    struct tvg_reader *reader;
    struct tvg_event event;
    struct cache cache = {0};
    uint64_t seq = 0;
    if (!tvg_reader_open(&reader, file, error))
        return false;
    uint32_t pid = tvg_reader_header(reader)->pid;
    while (seq < limit && tvg_reader_next(reader, &event) && !ferror(stdout)) {
        if (event.kind == TVG_EVENT_BLOCK) {
            if (blocks)
                dump_block(&event);
            continue;
        }
        double rate = tvg_reader_ticks_per_ns(reader);
        const struct tvg_ops_columns *columns = event.columns;
        for (uint32_t i = 0; i < event.info->count && seq < limit; i++, seq++)
            printf("{\"seq\":%" PRIu64 ",\"process\":%" PRIu32 ",\"thread\":%" PRIu32 ",\"start_ns\":%.1f,\"duration_ns\":%.1f,\"a\":\"0x%" PRIx64
                   "\",\"b\":\"0x%" PRIx64 "\",\"c\":\"0x%" PRIx64 "\",%s}\n",
                   seq, pid, event.info->tid, tvg_reader_mono_ns(reader, columns->start[i]), (double)columns->duration[i] / rate, columns->a[i],
                   columns->b[i], columns->c[i], fields_of(&cache, reader, columns->op_id[i]));
    }
    warn(file, tvg_reader_damage(reader));
    for (uint32_t i = 0; i < cache.count; i++)
        free(cache.fields[i]);
    free(cache.fields);
    tvg_reader_close(reader);
    return true;
}

int tvg_command_dump(int argc, char **argv)
{
    struct tvg_arguments arguments;
    const struct tvg_option *option;
    bool blocks = false, folded = false, counters = false;
    double limit = 0;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    while ((option = tvg_arguments_next(&arguments))) {
        if (option->id == OPTION_BLOCKS)
            blocks = true;
        else if (option->id == OPTION_FOLDED)
            folded = true;
        else if (option->id == OPTION_COUNTERS)
            counters = true;
        else if (option->id == OPTION_LIMIT && (!tvg_number(arguments.value, &limit) || limit < 1 || limit > 1e18 || limit != floor(limit)))
            return tvg_command_misuse("dump", "--limit is a whole number from 1 on");
    }
    if (arguments.stop)
        return arguments.exit_code;
    if (folded + counters + (blocks || limit > 0) > 1)
        return tvg_command_misuse("dump", "--folded and --counters each print something else: give one of them, without --blocks and --limit");
    if (arguments.operand_count == 0)
        return tvg_command_misuse("dump", "give a trace or a run folder");

    int exit_code = TVG_EXIT_OK;
    for (int i = 0; i < arguments.operand_count; i++) {
        struct tvg_error error;
        char **files;
        uint32_t count;
        if (!tvg_run_list(arguments.operand[i], &files, &count, &error)) {
            exit_code = tvg_command_fail("dump", &error);
            continue;
        }
        for (uint32_t j = 0; j < count; j++)
            if (!(folded ? tvg_dump_folded(files[j], &error)
                  : counters ? tvg_dump_counters(files[j], &error) : dump(files[j], blocks, limit ? (uint64_t)limit : UINT64_MAX, &error)))
                exit_code = tvg_command_fail("dump", &error);
        tvg_run_free(files, count);
    }
    return exit_code;
}
