/* Device files: finding, validating and loading coeffs/NAME.json. Every problem of a file is found and named, not only the first;
 * a file with a problem is never used. coeffs/SCHEMA.md says what the columns mean. */
#include "device.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef TVG_DATADIR
#define TVG_DATADIR "/usr/local/share/tvg"
#endif

enum { FILE_MAX_BYTES = 4 << 20, FOLDERS = 4 };

/* --- units: what a figure may be given in, and what turns it into SI ---------------------------------------------------- */
enum dimension { ENERGY, POWER, OPERATIONS, BYTES, TIME, RATIO };
static const struct unit {
    const char *name;
    enum dimension dimension;
    double factor;
} units[] = {
    {"fJ", ENERGY, 1e-15}, {"pJ", ENERGY, 1e-12}, {"nJ", ENERGY, 1e-9}, {"uJ", ENERGY, 1e-6}, {"mJ", ENERGY, 1e-3}, {"J", ENERGY, 1},
    {"mW", POWER, 1e-3}, {"W", POWER, 1},
    {"FLOP", OPERATIONS, 1}, {"MFLOP", OPERATIONS, 1e6}, {"GFLOP", OPERATIONS, 1e9}, {"TFLOP", OPERATIONS, 1e12}, {"PFLOP", OPERATIONS, 1e15},
    {"GOP", OPERATIONS, 1e9}, {"TOP", OPERATIONS, 1e12},
    {"B", BYTES, 1}, {"MB", BYTES, 1e6}, {"GB", BYTES, 1e9}, {"TB", BYTES, 1e12},
    {"ns", TIME, 1e-9}, {"us", TIME, 1e-6}, {"ms", TIME, 1e-3}, {"s", TIME, 1},
    {"ratio", RATIO, 1},
};
/* A denominator and what one of it is of the SI denominator that its use wants: a figure per bit is 8 times that per byte. */
static const struct denominator {
    const char *name;
    double per;
} denominators[] = {
    {"FLOP", 1}, {"OP", 1}, {"byte", 1}, {"bit", 8}, {"instruction", 1}, {"transaction", 1}, {"element", 1}, {"second", 1}, {"device", 1},
    {"core", 1}, {"chip", 1}, {"call", 1}, {"launch", 1}, {"none", 1},
};

/* What a row may be used for: where it goes, its dimension, the denominators it may have. */
#define AT(field) offsetof(struct tvg_device, field)
static const struct use {
    const char *name;
    size_t offset;
    bool typed; /* one coefficient per storage type */
    enum dimension dimension;
    const char *denominators[3];
} uses[] = {
    {"flop", AT(flop), true, ENERGY, {"FLOP", "OP", NULL}},
    {"peak", AT(peak), true, OPERATIONS, {"second", NULL, NULL}},
    {"byte_memory", AT(byte_memory), false, ENERGY, {"byte", "bit", NULL}},
    {"bandwidth", AT(bandwidth), false, BYTES, {"second", NULL, NULL}},
    {"bandwidth_core", AT(bandwidth_core), false, BYTES, {"second", NULL, NULL}},
    {"floor", AT(floor), false, POWER, {"device", NULL, NULL}},
    {"awake", AT(awake), false, POWER, {"device", NULL, NULL}},
    {"core_active", AT(core_active), false, POWER, {"core", NULL, NULL}},
    {"kernel_tensor", AT(kernel_tensor), false, POWER, {"device", NULL, NULL}},
    {"kernel_fma", AT(kernel_fma), false, POWER, {"device", NULL, NULL}},
    {"kernel_other", AT(kernel_other), false, POWER, {"device", NULL, NULL}},
    {"launch_floor", AT(launch_floor), false, TIME, {"call", "launch", NULL}},
    {"fma_128", AT(fma_128), false, ENERGY, {"instruction", NULL, NULL}},
    {"fma_256", AT(fma_256), false, ENERGY, {"instruction", NULL, NULL}},
    {"fma_512", AT(fma_512), false, ENERGY, {"instruction", NULL, NULL}},
    {"load", AT(load), false, ENERGY, {"instruction", NULL, NULL}},
    {"store", AT(store), false, ENERGY, {"instruction", NULL, NULL}},
    {"other_instruction", AT(other_instruction), false, ENERGY, {"instruction", NULL, NULL}},
};
enum { USE_COUNT = sizeof uses / sizeof *uses };

static const char *const boundaries[] = {"circuit", "device", "on-chip", "package", "board", "node", "facility", "specification", NULL};
/* How far a row can be trusted. Figures measured on this very part, and arithmetic on those, make a modelled figure; all others an estimate. */
static const struct tag {
    const char *name;
    enum tvg_basis basis;
} tags[] = {
    {"verified", TVG_BASIS_ESTIMATED}, {"digest", TVG_BASIS_ESTIMATED}, {"unverified", TVG_BASIS_ESTIMATED}, {"derived", TVG_BASIS_ESTIMATED},
    {"derived-measured", TVG_BASIS_MODELLED}, {"measured", TVG_BASIS_MODELLED},
};
/* Columns that every row has, beside use, type, value, low and high. */
static const char *const text_columns[] = {"unit", "denominator", "boundary", "includes", "data_pattern", "node", "device", "clock", "instrument",
                                           "uncertainty", "source", "tag", NULL};
static const char *const other_columns[] = {"use", "type", "what", "value", "low", "high", "samples", NULL};
static const char *const file_keys[] = {"$schema", "schema", "name", "title", "kind", "arch", "generic", "cores", "multiprocessors", "match", "notes", "rows", NULL};
static const char *const match_keys[] = {"cpu_id", "brand", "exclude", "gpu", NULL};

static bool listed(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(word, *words) == 0)
            return true;
    return false;
}
#define FIND(table, text) find_row(table, sizeof table / sizeof *table, sizeof *table, text)
static const void *find_row(const void *table, size_t count, size_t size, const char *name)
{
    const char *row = table;
    for (size_t i = 0; i < count; i++, row += size) {
        const char *row_name;
        memcpy(&row_name, row, sizeof row_name); /* every table's first member is its name */
        if (strcmp(row_name, name) == 0)
            return row;
    }
    return NULL;
}

/* --- validation: one pass over the parsed file, telling every problem ---------------------------------------------------- */
struct validation {
    void (*report)(const char *line, void *context);
    void *context;
    int problems;
    const char *file;
};

__attribute__((format(printf, 3, 4))) static void problem(struct validation *v, const char *place, const char *format, ...)
{
    char text[512], line[1024], shown_file[300], shown_place[160], shown[560];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    v->problems++;
    if (!v->report)
        return;
    snprintf(line, sizeof line, "%s: %s%s%s", tvg_escape(shown_file, sizeof shown_file, v->file), tvg_escape(shown_place, sizeof shown_place, place),
             *place ? ": " : "", tvg_escape(shown, sizeof shown, text));
    v->report(line, v->context);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A row as C sees it once it holds. */
struct row {
    const struct use *use; /* NULL: evidence, shown but not used */
    enum tvg_type type;
    struct tvg_coefficient coefficient;
};

static bool number_of(struct validation *v, const char *place, const json_t *row, const char *key, double *value)
{
    const json_t *number = json_object_get(row, key);
    if (!number) {
        problem(v, place, "no %s: every figure has a value, a low and a high end", key);
        return false;
    }
    if (!json_is_number(number)) {
        problem(v, place, "%s is not a number", key);
        return false;
    }
    *value = json_number_value(number);
    if (!isfinite(*value) || *value < 0) {
        problem(v, place, "%s is %g: it must be finite and not below 0", key, *value);
        return false;
    }
    return true;
}

/* Checks one row, fills `out` when nothing is wrong with it; returns whether it is whole. */
static bool check_row(struct validation *v, const char *place, const json_t *row, struct row *out)
{
    int before = v->problems;
    memset(out, 0, sizeof *out);
    out->type = TVG_TYPE_COUNT;
    for (void *i = json_object_iter((json_t *)row); i; i = json_object_iter_next((json_t *)row, i)) {
        const char *key = json_object_iter_key(i);
        if (!listed(key, text_columns) && !listed(key, other_columns))
            problem(v, place, "unknown column \"%.60s\"", key);
    }
    for (const char *const *column = text_columns; *column; column++) {
        const json_t *text = json_object_get(row, *column);
        if (!text)
            problem(v, place, "no %s: the column is missing", *column);
        else if (!json_is_string(text))
            problem(v, place, "%s is not a text", *column);
        else if (!*json_string_value(text))
            problem(v, place, "%s is empty: say \"unknown\" or \"none\" where that is the truth", *column);
    }
    const json_t *samples = json_object_get(row, "samples");
    if (!samples || (!json_is_null(samples) && !(json_is_integer(samples) && json_integer_value(samples) >= 0)))
        problem(v, place, "no samples: a whole number of repetitions, or null where it is unknown");

    const char *use_name = text_of(row, "use");
    bool evidence = strcmp(use_name, "evidence") == 0;
    out->use = FIND(uses, use_name);
    if (!out->use && !evidence)
        problem(v, place, *use_name ? "unknown use \"%.60s\"" : "no use: what the figure is for%.0s", use_name);
    if (evidence && !*text_of(row, "what"))
        problem(v, place, "evidence without \"what\": say what was seen");
    const char *type_name = text_of(row, "type");
    if (out->use && out->use->typed) {
        out->type = tvg_type_by_name(type_name);
        if (out->type >= TVG_TYPE_COUNT || out->type == TVG_TYPE_NONE)
            problem(v, place, *type_name ? "unknown type \"%.40s\"" : "no type: a figure per FLOP or FLOP/s is that of one type%.0s", type_name);
    } else if (*type_name && !evidence) {
        problem(v, place, "a type where none belongs");
    }

    const char *unit_name = text_of(row, "unit"), *per = text_of(row, "denominator"), *boundary = text_of(row, "boundary"), *tag_name = text_of(row, "tag");
    const struct unit *unit = FIND(units, unit_name);
    const struct denominator *denominator = FIND(denominators, per);
    const struct tag *tag = FIND(tags, tag_name);
    if (*unit_name && !unit)
        problem(v, place, "unknown unit \"%.40s\"", unit_name);
    if (*per && !denominator)
        problem(v, place, "unknown denominator \"%.40s\"", per);
    if (*boundary && !listed(boundary, boundaries))
        problem(v, place, "unknown boundary \"%.40s\": circuit, device, on-chip, package, board, node, facility or specification", boundary);
    if (*tag_name && !tag)
        problem(v, place, "unknown tag \"%.40s\": verified, digest, unverified, derived, derived-measured or measured", tag_name);
    if (out->use && unit && unit->dimension != out->use->dimension)
        problem(v, place, "wrong unit: %s is not given in %s", out->use->name, unit->name);
    if (out->use && denominator && !listed(per, out->use->denominators))
        problem(v, place, "wrong denominator: %s is not given per %s", out->use->name, per);

    double value = 0, low = 0, high = 0;
    bool whole = number_of(v, place, row, "value", &value);
    whole &= number_of(v, place, row, "low", &low);
    whole &= number_of(v, place, row, "high", &high);
    if (whole && !(low <= value && value <= high))
        problem(v, place, "low %g, value %g, high %g are out of order", low, value, high);
    if (whole && out->use && value <= 0)
        problem(v, place, "value is 0: leave the row out where nothing is known");
    if (v->problems != before || evidence)
        return v->problems == before;

    double factor = unit->factor * denominator->per;
    out->coefficient = (struct tvg_coefficient){.known = true, .value = {value * factor, low * factor, high * factor}, .basis = tag->basis, .tag = tag_name,
                                                .source = text_of(row, "source"), .boundary = boundary};
    return true;
}

/* What a list of patterns must look like; absent is fine. */
static void check_patterns(struct validation *v, const json_t *match, const char *key)
{
    const json_t *list = json_object_get(match, key);
    if (!list)
        return;
    if (!json_is_array(list)) {
        problem(v, "match", "%s is not a list of patterns", key);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !*text || strlen(text) > 200)
            problem(v, "match", "%s[%zu] is not a pattern of 1 to 200 characters", key, i);
    }
}

static struct tvg_coefficient *slot(struct tvg_device *device, const struct row *row)
{
    struct tvg_coefficient *at = (struct tvg_coefficient *)((char *)device + row->use->offset);
    return row->use->typed ? at + row->type : at;
}

/* Checks a whole file and fills `device` (zeroed before) with the rows that hold. */
static void check_file(struct validation *v, const json_t *root, struct tvg_device *device)
{
    if (!json_is_object(root)) {
        problem(v, "", "not a device file: the outermost value is not an object");
        return;
    }
    for (void *i = json_object_iter((json_t *)root); i; i = json_object_iter_next((json_t *)root, i))
        if (!listed(json_object_iter_key(i), file_keys))
            problem(v, "", "unknown key \"%.60s\"", json_object_iter_key(i));
    if (strcmp(text_of(root, "schema"), "tvg-device-1") != 0)
        problem(v, "", "schema is not \"tvg-device-1\"");
    const char *name = text_of(root, "name");
    if (!*name || strlen(name) > 60 || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
        problem(v, "", "name is missing or has other characters than a-z, 0-9 and -");
    if (!*text_of(root, "title"))
        problem(v, "", "no title");
    const char *kind = text_of(root, "kind");
    bool cpu = strcmp(kind, "cpu") == 0, gpu = strcmp(kind, "gpu") == 0;
    if (!cpu && !gpu)
        problem(v, "", "kind is neither \"cpu\" nor \"gpu\"");
    const json_t *cores = json_object_get(root, "cores");
    if (cpu && !(json_is_integer(cores) && json_integer_value(cores) > 0 && json_integer_value(cores) < 100000))
        problem(v, "", "no cores: a CPU's peak, bandwidth and floor are those of a number of physical cores");
    if (gpu && cores)
        problem(v, "", "cores in a GPU's file");
    const json_t *multiprocessors = json_object_get(root, "multiprocessors");
    if (gpu && !(json_is_integer(multiprocessors) && json_integer_value(multiprocessors) > 0 && json_integer_value(multiprocessors) < 100000))
        problem(v, "", "no multiprocessors: how far a kernel's blocks fill a GPU is told by their number");
    if (cpu && multiprocessors)
        problem(v, "", "multiprocessors in a CPU's file");
    const char *arch = text_of(root, "arch");
    if (cpu && strcmp(arch, "x86-64") != 0 && strcmp(arch, "aarch64") != 0)
        problem(v, "", "arch is neither \"x86-64\" nor \"aarch64\"");
    const json_t *generic = json_object_get(root, "generic"), *match = json_object_get(root, "match");
    if (generic && !json_is_boolean(generic))
        problem(v, "", "generic is neither true nor false");
    if (match && !json_is_object(match))
        problem(v, "", "match is not an object");
    if (json_is_object(match)) {
        for (void *i = json_object_iter((json_t *)match); i; i = json_object_iter_next((json_t *)match, i))
            if (!listed(json_object_iter_key(i), match_keys))
                problem(v, "match", "unknown key \"%.60s\"", json_object_iter_key(i));
        for (const char *const *key = match_keys; *key; key++)
            check_patterns(v, match, *key);
    }
    const json_t *rows = json_object_get(root, "rows");
    if (!json_is_array(rows) || json_array_size(rows) == 0) {
        problem(v, "", "no rows");
        return;
    }
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *json = json_array_get(rows, i);
        char place[160];
        snprintf(place, sizeof place, "rows[%zu]", i);
        if (!json_is_object(json)) {
            problem(v, place, "not an object");
            continue;
        }
        snprintf(place, sizeof place, "rows[%zu] (%.40s%s%.20s)", i, text_of(json, "use"), *text_of(json, "type") ? " " : "", text_of(json, "type"));
        struct row row;
        bool whole = check_row(v, place, json, &row);
        if (!row.use || (row.use->typed && row.type >= TVG_TYPE_COUNT))
            continue;
        struct tvg_coefficient *at = slot(device, &row);
        if (at->known)
            problem(v, place, "duplicate: an earlier row has the same use%s", row.use->typed ? " and type" : "");
        else if (whole)
            *at = row.coefficient;
        else
            at->known = true; /* so that a second one is told as a duplicate; a file with problems is not used */
    }
    if (cpu || gpu) {
        const struct { bool needed; const struct tvg_coefficient *at; const char *use; } needs[] = {
            {true, &device->byte_memory, "byte_memory"}, {true, &device->bandwidth, "bandwidth"}, {true, &device->floor, "floor"},
            {true, &device->launch_floor, "launch_floor"}, {cpu, &device->core_active, "core_active"}, {gpu, &device->awake, "awake"},
            {gpu, &device->kernel_tensor, "kernel_tensor"}, {gpu, &device->kernel_fma, "kernel_fma"}, {gpu, &device->kernel_other, "kernel_other"},
            {true, &device->flop[TVG_TYPE_F32], "flop f32"}, {true, &device->peak[TVG_TYPE_F32], "peak f32"}};
        for (size_t i = 0; i < sizeof needs / sizeof *needs; i++)
            if (needs[i].needed && !needs[i].at->known)
                problem(v, "", "no row for %s: a %s cannot be priced without it", needs[i].use, kind);
        for (int type = 0; type < TVG_TYPE_COUNT; type++)
            if (device->flop[type].known != device->peak[type].known)
                problem(v, "", "%s %s without %s %s: a type has both its energy and its rate, or neither", device->flop[type].known ? "flop" : "peak",
                        tvg_type_info((unsigned)type)->name, device->flop[type].known ? "peak" : "flop", tvg_type_info((unsigned)type)->name);
    }
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */
static char *read_all(const char *path, size_t *length, struct tvg_error *error)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        tvg_fail(error, path, NULL, "tvg coeffs list names the device files", "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    char *text = malloc(FILE_MAX_BYTES + 1);
    size_t got = text ? fread(text, 1, FILE_MAX_BYTES + 1, file) : 0;
    int failed = ferror(file), reason = errno;
    fclose(file);
    if (!text || failed || got > FILE_MAX_BYTES) {
        free(text);
        tvg_fail(error, path, NULL, "give a device file", "%s", !text ? "out of memory" : failed ? strerror(reason) : "longer than 4 MiB: not a device file");
        return NULL;
    }
    *length = got;
    return text;
}

static json_t *parse(const char *text, size_t length, const char *file, struct tvg_error *error)
{
    json_error_t json_error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &json_error);
    if (!root) {
        char place[64];
        snprintf(place, sizeof place, "line %d, column %d", json_error.line, json_error.column);
        tvg_fail(error, file, place, "mend the file", "not JSON: %.150s", json_error.text);
    }
    return root;
}

struct first_problem {
    char line[1024];
};
static void keep_first(const char *line, void *context)
{
    struct first_problem *first = context;
    if (!first->line[0])
        snprintf(first->line, sizeof first->line, "%s", line);
}

bool tvg_device_parse(struct tvg_device **out, const char *text, size_t length, const char *file, struct tvg_error *error)
{
    *out = NULL;
    json_t *root = parse(text, length, file, error);
    if (!root)
        return false;
    struct tvg_device *device = calloc(1, sizeof *device);
    if (!device) {
        json_decref(root);
        return tvg_fail(error, file, NULL, NULL, "out of memory");
    }
    device->json = root;
    struct first_problem first = {""};
    struct validation v = {keep_first, &first, 0, file};
    check_file(&v, root, device);
    device->name = strdup(text_of(root, "name"));
    device->title = strdup(text_of(root, "title"));
    device->kind = strdup(text_of(root, "kind"));
    device->path = strdup(file);
    device->generic = json_is_true(json_object_get(root, "generic"));
    device->cores = (int)json_integer_value(json_object_get(root, "cores"));
    device->multiprocessors = (int)json_integer_value(json_object_get(root, "multiprocessors"));
    if (!device->awake.known) /* a CPU has one floor */
        device->awake = device->floor;
    if (v.problems || !device->name || !device->title || !device->kind || !device->path) {
        tvg_fail(error, NULL, NULL, "tvg coeffs check FILE lists all", "%.700s (%d problem%s)", v.problems ? first.line : "out of memory", v.problems,
                 v.problems == 1 ? "" : "s");
        tvg_device_free(device);
        return false;
    }
    *out = device;
    return true;
}

static bool load_path(struct tvg_device **device, const char *path, struct tvg_error *error)
{
    size_t length;
    *device = NULL;
    char *text = read_all(path, &length, error);
    if (!text)
        return false;
    bool loaded = tvg_device_parse(device, text, length, path, error);
    free(text);
    return loaded;
}

int tvg_device_check(const char *path, void (*report)(const char *line, void *context), void *context)
{
    struct tvg_error error;
    size_t length;
    char *text = read_all(path, &length, &error);
    if (!text) {
        if (report)
            report(error.message, context);
        return -1;
    }
    json_t *root = parse(text, length, path, &error);
    free(text);
    if (!root) {
        if (report)
            report(error.message, context);
        return 1;
    }
    struct tvg_device *device = calloc(1, sizeof *device);
    struct validation v = {report, context, 0, path};
    if (device)
        check_file(&v, root, device);
    else
        problem(&v, "", "out of memory");
    const char *base = strrchr(path, '/'), *name = text_of(root, "name");
    base = base ? base + 1 : path;
    size_t stem = strlen(base) > 5 && strcmp(base + strlen(base) - 5, ".json") == 0 ? strlen(base) - 5 : strlen(base);
    if (*name && (strlen(name) != stem || strncmp(name, base, stem) != 0))
        problem(&v, "", "name \"%.60s\" is not the file's name", name);
    free(device);
    json_decref(root);
    return v.problems;
}

/* --- the folder --------------------------------------------------------------------------------------------------------- */
static int folders(char paths[FOLDERS][4096])
{
    int count = 0;
    const char *given = secure_getenv("TVG_COEFFS");
    if (given && *given && strlen(given) < 3000)
        snprintf(paths[count++], 4096, "%s", given);
    char program[3000];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (length > 0) {
        program[length] = '\0';
        char *slash = strrchr(program, '/');
        if (slash) {
            *slash = '\0';
            snprintf(paths[count++], 4096, "%s/../coeffs", program);
            snprintf(paths[count++], 4096, "%s/../share/tvg/coeffs", program); /* installed, wherever it was moved to */
        }
    }
    snprintf(paths[count++], 4096, "%s/coeffs", TVG_DATADIR);
    return count;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **tvg_device_list(void)
{
    char paths[FOLDERS][4096];
    int folder_count = folders(paths);
    size_t count = 0, capacity = 0;
    char **names = calloc(1, sizeof *names);
    for (int i = 0; names && i < folder_count; i++) {
        DIR *directory = opendir(paths[i]);
        if (!directory)
            continue;
        for (struct dirent *entry; (entry = readdir(directory));) {
            size_t length = strlen(entry->d_name);
            if (length < 6 || entry->d_name[0] == '.' || strcmp(entry->d_name + length - 5, ".json") != 0 || strcmp(entry->d_name, "schema.json") == 0)
                continue;
            bool known = false;
            for (size_t j = 0; j < count && !known; j++)
                known = strlen(names[j]) == length - 5 && strncmp(names[j], entry->d_name, length - 5) == 0;
            if (known)
                continue;
            if (count + 1 >= capacity) {
                capacity = capacity ? 2 * capacity : 32;
                char **grown = realloc(names, capacity * sizeof *names);
                if (!grown)
                    break;
                names = grown;
            }
            char *name = strndup(entry->d_name, length - 5);
            if (!name)
                break;
            names[count++] = name;
            names[count] = NULL;
        }
        closedir(directory);
    }
    if (names)
        qsort(names, count, sizeof *names, by_name);
    return names;
}

void tvg_device_list_free(char **names)
{
    for (char **name = names; name && *name; name++)
        free(*name);
    free(names);
}

bool tvg_device_path(const char *name, char *path, size_t capacity)
{
    char paths[FOLDERS][4096];
    int folder_count = folders(paths);
    for (int i = 0; i < folder_count && *name && *name != '.' && !strchr(name, '/'); i++) {
        if ((size_t)snprintf(path, capacity, "%s/%s.json", paths[i], name) < capacity && access(path, F_OK) == 0)
            return true;
    }
    return false;
}

bool tvg_device_load(struct tvg_device **device, const char *name, struct tvg_error *error)
{
    *device = NULL;
    size_t length = strlen(name);
    if (strchr(name, '/') || (length > 5 && strcmp(name + length - 5, ".json") == 0))
        return load_path(device, name, error);
    char path[4400];
    if (tvg_device_path(name, path, sizeof path))
        return load_path(device, path, error);
    char known[600] = "";
    char **names = tvg_device_list();
    for (char **each = names; each && *each; each++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", *each);
    }
    tvg_device_list_free(names);
    if (!*known)
        return tvg_fail(error, NULL, NULL, "set TVG_COEFFS to the folder that holds the device files", "no device file named %.100s: none was found at all", name);
    return tvg_fail(error, NULL, NULL, "or give the path of a device file", "no device file named %.100s; there are %.350s", name, known);
}

/* --- choosing ----------------------------------------------------------------------------------------------------------- */
static bool matches(const struct tvg_device *device, const char *key, const char *text)
{
    const json_t *list = json_object_get(json_object_get(device->json, "match"), key);
    if (!text || !*text || strlen(text) > 500)
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (fnmatch(json_string_value(json_array_get(list, i)), text, FNM_CASEFOLD) == 0)
            return true;
    return false;
}

static const char *arch_of(const char *cpu_id)
{
    if (cpu_id && *cpu_id) {
        if (strncasecmp(cpu_id, "ARM", 3) == 0 || strncasecmp(cpu_id, "aarch64", 7) == 0 || strncasecmp(cpu_id, "0x", 2) == 0 || strncasecmp(cpu_id, "Ampere", 6) == 0)
            return "aarch64";
        return "x86-64";
    }
#if defined(__aarch64__)
    return "aarch64";
#else
    return "x86-64";
#endif
}

/* Goes through all files of `kind`; `first` beats `second`: the model's own name says more than a family number that parts share.
 * A file with a problem is passed over: `tvg coeffs list` marks it. */
static bool choose(struct tvg_device **out, const char *kind, const char *first_key, const char *first, const char *second_key, const char *second,
                   const char *arch, struct tvg_error *error)
{
    struct tvg_device *best = NULL;
    int best_score = 0;
    char **names = tvg_device_list();
    for (char **name = names; name && *name; name++) {
        struct tvg_device *device;
        struct tvg_error ignored;
        if (!tvg_device_load(&device, *name, &ignored))
            continue;
        int score = 0;
        if (strcmp(device->kind, kind) == 0 && !(first && matches(device, "exclude", first))) {
            if (device->generic)
                score = !arch || strcmp(text_of(device->json, "arch"), arch) == 0 ? 1 : 0;
            else if (matches(device, first_key, first))
                score = 3;
            else if (second_key && matches(device, second_key, second))
                score = 2;
        }
        if (score > best_score) {
            tvg_device_free(best);
            best = device;
            best_score = score;
        } else {
            tvg_device_free(device);
        }
    }
    tvg_device_list_free(names);
    if (!best)
        return tvg_fail(error, NULL, NULL, "name one with --device, or set TVG_COEFFS to their folder", "no device file fits this %s", kind);
    best->guessed = best_score == 1;
    *out = best;
    return true;
}

bool tvg_device_choose_cpu(struct tvg_device **device, const char *cpu_id, const char *brand, struct tvg_error *error)
{
    *device = NULL;
    return choose(device, "cpu", "brand", brand, "cpu_id", cpu_id, arch_of(cpu_id), error);
}

bool tvg_device_choose_gpu(struct tvg_device **device, const char *gpu_name, struct tvg_error *error)
{
    *device = NULL;
    return choose(device, "gpu", "gpu", gpu_name, NULL, NULL, NULL, error);
}

void tvg_device_free(struct tvg_device *device)
{
    if (!device)
        return;
    json_decref(device->json);
    free(device->name);
    free(device->title);
    free(device->kind);
    free(device->path);
    free(device);
}
