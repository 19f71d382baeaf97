/* A host of ONNX Runtime's C library: runs models listed in a file, each once, on one thread.
 * Lines: "model FILE", then for each input "input NAME TYPE FILE RANK DIM...", then "output NAME" for each output, then "run".
 * Prints one JSON object: the library's version, for each model the digest of its outputs, or null when the library refuses it.
 * The table of the API only grows, so that the numbers of its functions stay what they are. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ort_api_base {
    void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
};
extern const struct ort_api_base *OrtGetApiBase(void);

enum { GET_ERROR_MESSAGE = 2, CREATE_ENV = 3, CREATE_SESSION = 7, RUN = 9, CREATE_SESSION_OPTIONS = 10, SET_GRAPH_OPTIMIZATION_LEVEL = 23,
       SET_INTRA_OP_THREADS = 24, CREATE_TENSOR_WITH_DATA = 49, GET_TENSOR_DATA = 51, GET_ELEMENT_COUNT = 64, GET_TENSOR_SHAPE = 65,
       GET_ELEMENT_TYPE = 60, CREATE_CPU_MEMORY_INFO = 69, RELEASE_STATUS = 93, RELEASE_SESSION = 95, RELEASE_VALUE = 96, RELEASE_SHAPE = 99 };
enum { API_VERSION = 16, INPUTS_MAX = 32, LINE_MAX_LENGTH = 1024 };

static void *const *api;
#define CALL(number, type, ...) ((void *(*) type)api[number])(__VA_ARGS__)

static int failed(void *status)
{
    if (!status)
        return 0;
    fprintf(stderr, "%s\n", ((const char *(*)(void *))api[GET_ERROR_MESSAGE])(status));
    ((void (*)(void *))api[RELEASE_STATUS])(status);
    return 1;
}

static void must(void *status)
{
    if (failed(status))
        exit(1);
}

static size_t element_bytes(int type)
{
    static const uint8_t bytes[] = {0, 4, 1, 1, 2, 2, 4, 8, 0, 1, 2, 8};
    return type > 0 && type < (int)sizeof bytes ? bytes[type] : 0;
}

static void *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        exit(2);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    void *data = malloc(*length + 1);
    if (!data || fread(data, 1, *length, file) != *length)
        exit(2);
    fclose(file);
    return data;
}

/* FNV-1a. */
static uint64_t digest(uint64_t hash, const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * 0x100000001b3u;
    return hash;
}

static struct {
    char model[LINE_MAX_LENGTH], names[2 * INPUTS_MAX][64];
    const char *inputs[INPUTS_MAX], *outputs[INPUTS_MAX];
    void *values[INPUTS_MAX], *results[INPUTS_MAX], *data[INPUTS_MAX];
    size_t input_count, output_count;
} job;

static void add_input(char *rest, const void *memory)
{
    char path[LINE_MAX_LENGTH];
    int64_t dims[8];
    int type, rank, used;
    if (sscanf(rest, "%63s %d %1023s %d%n", job.names[job.input_count], &type, path, &rank, &used) != 4 || rank > 8)
        exit(2);
    for (int i = 0; i < rank; i++)
        dims[i] = strtoll(rest + used, &rest, 10), used = 0;
    size_t length, at = job.input_count++;
    job.inputs[at] = job.names[at];
    job.data[at] = read_file(path, &length);
    must(CALL(CREATE_TENSOR_WITH_DATA, (const void *, void *, size_t, const int64_t *, size_t, int, void **), memory, job.data[at], length, dims, (size_t)rank, type,
              &job.values[at]));
}

static void run_job(void *environment, void *options, int first)
{
    void *session = NULL;
    uint64_t hash = 0xcbf29ce484222325u;
    int refused = failed(CALL(CREATE_SESSION, (void *, const char *, void *, void **), environment, job.model, options, &session)) ||
                  failed(CALL(RUN, (void *, void *, const char **, void *const *, size_t, const char **, size_t, void **), session, NULL, job.inputs, job.values,
                              job.input_count, job.outputs, job.output_count, job.results));
    for (size_t i = 0; !refused && i < job.output_count; i++) {
        void *data, *shape;
        size_t elements;
        int type;
        must(CALL(GET_TENSOR_DATA, (void *, void **), job.results[i], &data));
        must(CALL(GET_TENSOR_SHAPE, (void *, void **), job.results[i], &shape));
        must(CALL(GET_ELEMENT_COUNT, (void *, size_t *), shape, &elements));
        must(CALL(GET_ELEMENT_TYPE, (void *, int *), shape, &type));
        hash = digest(hash, data, elements * element_bytes(type));
        ((void (*)(void *))api[RELEASE_SHAPE])(shape);
    }
    printf(refused ? "%snull" : "%s\"%016llx\"", first ? "" : ", ", (unsigned long long)hash);
    for (size_t i = 0; i < job.input_count; i++) {
        ((void (*)(void *))api[RELEASE_VALUE])(job.values[i]);
        free(job.data[i]);
    }
    for (size_t i = 0; i < job.output_count; i++)
        ((void (*)(void *))api[RELEASE_VALUE])(job.results[i]);
    ((void (*)(void *))api[RELEASE_SESSION])(session);
    memset(&job, 0, sizeof job);
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_LENGTH], word[16];
    void *environment, *options, *memory;
    FILE *list = argc > 1 ? fopen(argv[1], "r") : NULL;
    const struct ort_api_base *base = OrtGetApiBase();
    api = base->get_api(API_VERSION);
    if (!list || !api)
        return 2;
    must(CALL(CREATE_ENV, (int, const char *, void **), 4, "host", &environment));
    must(CALL(CREATE_SESSION_OPTIONS, (void **), &options));
    must(CALL(SET_GRAPH_OPTIMIZATION_LEVEL, (void *, int), options, argc > 2 ? atoi(argv[2]) : 0));
    must(CALL(SET_INTRA_OP_THREADS, (void *, int), options, 1));
    must(CALL(CREATE_CPU_MEMORY_INFO, (int, int, void **), 1, 0, &memory));
    printf("{\"version\": \"%s\", \"outputs\": [", base->get_version());
    for (int first = 1; fgets(line, sizeof line, list);) {
        int used = 0;
        sscanf(line, "%15s %n", word, &used);
        line[strcspn(line, "\n")] = 0;
        if (strcmp(word, "model") == 0)
            strcpy(job.model, line + used);
        else if (strcmp(word, "input") == 0)
            add_input(line + used, memory);
        else if (strcmp(word, "output") == 0) {
            job.outputs[job.output_count] = strcpy(job.names[INPUTS_MAX + job.output_count], line + used);
            job.output_count++;
        } else
            run_job(environment, options, first), first = 0;
    }
    puts("]}");
    return 0;
}
