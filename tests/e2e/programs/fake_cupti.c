#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "fake_gpu.h"
#include "shim/sources/cupti_abi.h"

static void (*request)(uint8_t **, size_t *, size_t *);
static void (*complete)(void *, uint32_t, uint8_t *, size_t, size_t);
static uint64_t (*now)(void);
static uint8_t *buffer;
static size_t size, used;
static uint32_t correlation;
static uint64_t external[16];
static int depth, enabled[64], registrations;

int cuptiActivityRegisterCallbacks(void *r, void *c)
{
    request = (void (*)(uint8_t **, size_t *, size_t *))(uintptr_t)r;
    complete = (void (*)(void *, uint32_t, uint8_t *, size_t, size_t))(uintptr_t)c;
    registrations++;
    return getenv("FAKE_CUPTI_REFUSES") ? CUPTI_REFUSED_PRIVILEGES : 0;
}
int cuptiActivityRegisterTimestampCallback(uint64_t (*f)(void)) { now = f; return 0; }
int cuptiActivityEnable(int kind) { enabled[kind] = 1; return 0; }
int cuptiActivityDisable(int kind) { enabled[kind] = 0; return 0; }
int cuptiActivityEnableRuntimeApi(uint32_t id, uint8_t on) { (void)id, (void)on; return 0; }
int cuptiActivityEnableDriverApi(uint32_t id, uint8_t on) { (void)id, (void)on; return 0; }
int cuptiActivityPushExternalCorrelationId(int kind, uint64_t id) { (void)kind; external[depth++] = id; return 0; }
int cuptiActivityPopExternalCorrelationId(int kind, uint64_t *last) { (void)kind; *last = external[--depth]; return 0; }
int cuptiGetResultString(int result, const char **text) { (void)result; *text = "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"; return 0; }

static size_t length_of(const void *record)
{
    uint32_t kind;
    memcpy(&kind, record, sizeof kind);
    return kind == CUPTI_KIND_CONCURRENT_KERNEL ? 216 : kind == CUPTI_KIND_EXTERNAL_CORRELATION ? 24 : 40;
}
int cuptiActivityGetNextRecord(uint8_t *b, size_t valid, void **record)
{
    size_t at = *record ? (size_t)((uint8_t *)*record - b) + length_of(*record) : 0;
    if (at >= valid)
        return 12;
    *record = b + at;
    return 0;
}
int cuptiActivityFlushAll(uint32_t flag)
{
    (void)flag;
    if (buffer && used) {
        uint8_t *full = buffer;
        size_t bytes = used;
        buffer = NULL;
        used = 0;
        complete(NULL, 0, full, size, bytes);
    }
    return 0;
}
static void put(const void *record, size_t bytes)
{
    if (!buffer) {
        size_t most;
        request(&buffer, &size, &most);
    }
    if (!buffer || used + bytes > size)
        return;
    memcpy(buffer + used, record, bytes);
    used += bytes;
}
void fake_cupti_launch(const char *name, uint64_t ns, int blocks)
{
    if (!enabled[CUPTI_KIND_CONCURRENT_KERNEL] || !request)
        return;
    uint64_t at = now();
    correlation++;
    struct cupti_api api = {.kind = CUPTI_KIND_RUNTIME, .callback = 211, .start = at, .end = at + 500, .process = (uint32_t)getpid(), .thread = (uint32_t)syscall(SYS_gettid), .correlation = correlation};
    struct cupti_external tie = {.kind = CUPTI_KIND_EXTERNAL_CORRELATION, .external_kind = CUPTI_EXTERNAL_CUSTOM0, .external_id = depth ? external[depth - 1] : 0, .correlation = correlation};
    uint8_t bytes[216] = {0};
    struct cupti_kernel kernel = {.kind = CUPTI_KIND_CONCURRENT_KERNEL, .registers = 32, .start = at + 1000, .end = at + 1000 + ns, .device = 0, .stream = 7, .grid = {blocks, 1, 1}, .block = {128, 1, 1},
                                  .correlation = correlation, .name = name};
    memcpy(bytes, &kernel, sizeof kernel);
    put(bytes, sizeof bytes); /* before its launch, as happens when buffers of two threads come in another order */
    if (depth)
        put(&tie, 24);
    put(&api, sizeof api);
}
