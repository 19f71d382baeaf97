#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "fake_gpu.h"
#include "shim/sources/cupti_abi.h"

static void (*request)(uint8_t **, size_t *, size_t *);
static void (*complete)(void *, uint32_t, uint8_t *, size_t, size_t);
static uint64_t (*now)(void);
static uint8_t *buffer;
static size_t size, used;
static uint64_t last_end;    /* of the records in it */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* launches and flushes come from different threads */
static uint32_t correlation;
static int enabled[64], registrations;
static int callback[1024];   /* ids of driver calls that are called back */
static int serial;           /* one kernel after the other */
static uint64_t card_free;   /* when it has ended what it has */
static fake_launch *route;   /* the driver's door, as the process was given it */
static struct fake_total totals[FAKE_TOTALS];
static void (*subscribed)(void *, int, uint32_t, const void *);
static uint64_t node_count;  /* nodes made so far: a node's id, and its handle */
static uint64_t capture[64]; /* the graph being captured, or captured */
static const char *capture_name[64];
static int captured, capturing;

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
int cuptiSubscribe(void **handle, void *function, void *context)
{
    (void)context;
    if (subscribed)
        return CUPTI_TAKEN;
    *handle = &subscribed;
    subscribed = (void (*)(void *, int, uint32_t, const void *))(uintptr_t)function;
    return 0;
}
int cuptiUnsubscribe(void *handle) { (void)handle; subscribed = NULL; return 0; }
int cuptiEnableCallback(uint32_t on, void *handle, int domain, uint32_t id) 
{
    (void)handle;
    if (domain == CUPTI_DOMAIN_DRIVER && id < 1024)
        callback[id] = (int)on;
    return 0;
}
int cuptiGetGraphNodeId(void *node, uint64_t *id) { *id = (uint64_t)(uintptr_t)node; return 0; }
/* Contexts are 0xc0 and up, one a device. Streams are 0x1000 (13), 0x2000 (14), all of the first device, and 0x3000 (15) of the second. */
int cuptiGetDeviceId(void *context, uint32_t *device) { *device = (uint32_t)(uintptr_t)context - 0xc0; return 0; }
int cuptiGetStreamIdEx(void *context, void *stream, uint8_t per_thread, uint32_t *id)
{
    uintptr_t number = (uintptr_t)stream;
    if ((number && number < 0x1000) || (context && number && (number == 0x3000) != ((uintptr_t)context == 0xc1)))
        return 8; /* CUPTI_ERROR_INVALID_STREAM */
    *id = number ? 12 + (uint32_t)(number >> 12) : per_thread ? 8 : 7;
    return 0;
}
int cuptiGetResultString(int result, const char **text) { (void)result; *text = "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"; return 0; }

static size_t length_of(const void *record)
{
    uint32_t kind;
    memcpy(&kind, record, sizeof kind);
    return kind == CUPTI_KIND_CONCURRENT_KERNEL ? 216 : 80;
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
    pthread_mutex_lock(&lock);
    uint8_t *full = used && (flag || last_end <= now()) ? buffer : NULL; /* unless forced, no buffer that holds what has not ended */
    size_t bytes = used;
    if (full) {
        buffer = NULL;
        used = 0;
    }
    pthread_mutex_unlock(&lock);
    if (full)
        complete(NULL, 0, full, size, bytes);
    return 0;
}
static void put(const void *record, size_t bytes)
{
    if (!buffer) {
        size_t most;
        request(&buffer, &size, &most);
    }
    if (buffer && used + bytes > size) {
        complete(NULL, 0, buffer, size, used);
        used = 0;
        request(&buffer, &size, &(size_t){0});
    }
    if (!buffer)
        return;
    memcpy(buffer + used, record, bytes);
    used += bytes;
}
static void count(const char *name, uint64_t ns)
{
    for (int i = 0; i < FAKE_TOTALS; i++)
        if (!totals[i].name || strcmp(totals[i].name, name) == 0) {
            totals[i].name = name;
            totals[i].count++;
            totals[i].ns += ns;
            return;
        }
}
const struct fake_total *fake_cupti_totals(void) { return totals; }
/* A kernel runs, recorded or not. */
static void put_kernel(const char *name, uint64_t at, uint64_t ns, int blocks, uint64_t node)
{
    count(name, ns);
    if (serial) {
        at = at > card_free ? at : card_free;
        card_free = at + ns;
    }
    if (!enabled[CUPTI_KIND_CONCURRENT_KERNEL] || !request)
        return;
    pthread_mutex_lock(&lock);
    uint8_t bytes[216] = {0};
    struct cupti_kernel kernel = {.kind = CUPTI_KIND_CONCURRENT_KERNEL, .registers = 32, .start = at, .end = at + ns, .device = 0, .stream = 7, .grid = {blocks, 1, 1}, .block = {128, 1, 1},
                                  .correlation = correlation, .name = name, .graph_node = node, .graph = node ? 2 : 0};
    memcpy(bytes, &kernel, sizeof kernel);
    put(bytes, sizeof bytes);
    last_end = at + ns;
    pthread_mutex_unlock(&lock);
}
static void say_driver(uint32_t id)
{
    struct cupti_callback_data data = {.site = CUPTI_SITE_ENTER, .correlation = ++correlation};
    if (subscribed && callback[id])
        subscribed(NULL, CUPTI_DOMAIN_DRIVER, id, &data);
}
static void say_node(uint32_t id, uint64_t node, uint64_t original)
{
    struct cupti_graph_data graph = {.node = (void *)(uintptr_t)node, .original_node = (void *)(uintptr_t)original, .node_type = CUPTI_NODE_KERNEL};
    struct cupti_resource_data resource = {.descriptor = &graph};
    if (subscribed)
        subscribed(NULL, CUPTI_DOMAIN_RESOURCE, id, &resource);
}
void fake_cupti_run(const char *name, uint64_t ns, int blocks)
{
    if (capturing) {
        say_driver(307);
        capture_name[captured] = name;
        capture[captured++] = ++node_count;
        say_node(CUPTI_RESOURCE_GRAPHNODE_CREATED, node_count, 0);
        return;
    }
    if (!now)
        return;
    say_driver(307);
    put_kernel(name, now() + 1000, ns, blocks, 0);
}
void fake_cupti_launch(const char *name, uint64_t ns, int blocks)
{
    if (route)
        route((void *)(uintptr_t)name, (unsigned)blocks, 1, 1, 128, 1, 1, (unsigned)ns, NULL, NULL, NULL);
    else
        fake_cupti_run(name, ns, blocks);
}
void fake_cupti_serial(fake_launch *through)
{
    serial = 1;
    route = through;
}
void fake_cupti_capture(int on)
{
    capturing = on;
    for (int i = 0; !on && i < captured; i++) { /* instantiated: every node is copied, and the copy is what replays */
        say_node(CUPTI_RESOURCE_GRAPHNODE_CREATED, ++node_count, 0);
        say_node(CUPTI_RESOURCE_GRAPHNODE_CLONED, node_count, capture[i]);
        capture[i] = node_count;
    }
}
void fake_cupti_replay(void)
{
    say_driver(514);
    uint64_t at = now() + 1000;
    for (int i = 0; i < captured; i++, at += 60000)
        put_kernel(capture_name[i], at, serial ? 1500 : 50000, 64, capture[i]);
}

/* --- calls that wait, streams of their own ------------------------------------------------------------------------------------- */
static uint64_t stream_free[32]; /* when a stream has ended what it has */
static uint32_t say_call(int site, uint32_t id, const void *parameters, void *context, uint32_t number, int status)
{
    struct cupti_callback_data data = {.site = site, .function_params = parameters, .context = context, .correlation = number, .return_value = &status};
    if (subscribed && callback[id])
        subscribed(NULL, CUPTI_DOMAIN_DRIVER, id, &data);
    return number;
}
uint64_t fake_cupti_until(uint64_t at)
{
    while (now() < at) {
        uint64_t left = at - now();
        nanosleep(&(struct timespec){0, left < 1000000000 ? (long)left : 999999999}, NULL);
    }
    return now();
}
int fake_cupti_driver(uint32_t id, const void *parameters, void *context, int status, uint64_t until)
{
    uint32_t number = say_call(CUPTI_SITE_ENTER, id, parameters, context, ++correlation, 0);
    fake_cupti_until(until);
    say_call(CUPTI_SITE_EXIT, id, parameters, context, number, status);
    return status;
}
void fake_cupti_stream(uint32_t id, void *context, void *stream)
{
    struct cupti_resource_data resource = {.context = context, .stream = stream};
    if (subscribed)
        subscribed(NULL, CUPTI_DOMAIN_RESOURCE, id, &resource);
}
void fake_cupti_node(void) { say_node(CUPTI_RESOURCE_GRAPHNODE_CREATED, ++node_count, 0); }
static uint64_t take_stream(uint32_t stream, uint64_t after, uint64_t ns)
{
    uint64_t at = now() + 7000;
    at = at > stream_free[stream] + 1000 ? at : stream_free[stream] + 1000;
    at = at > after + 2000 ? at : after + 2000;
    return stream_free[stream] = at + ns;
}
uint64_t fake_cupti_kernel(uint32_t stream, const char *name, uint64_t after, uint64_t ns)
{
    uint32_t number = say_call(CUPTI_SITE_ENTER, 307, NULL, NULL, ++correlation, 0);
    uint64_t end = take_stream(stream, after, ns);
    say_call(CUPTI_SITE_EXIT, 307, NULL, NULL, number, 0);
    pthread_mutex_lock(&lock);
    uint8_t bytes[216] = {0};
    struct cupti_kernel kernel = {.kind = CUPTI_KIND_CONCURRENT_KERNEL, .start = end - ns, .end = end, .stream = stream, .grid = {64, 1, 1}, .block = {128, 1, 1}, .correlation = number, .name = name};
    memcpy(bytes, &kernel, sizeof kernel);
    put(bytes, sizeof bytes);
    last_end = end;
    pthread_mutex_unlock(&lock);
    return end;
}
uint64_t fake_cupti_graph(void *stream, uint32_t runs_in, const char *name, uint64_t ns)
{
    void *parameters[] = {NULL, stream};
    uint32_t number = say_call(CUPTI_SITE_ENTER, 514, parameters, (void *)0xc0, ++correlation, 0);
    uint64_t end = take_stream(runs_in, 0, ns);
    say_call(CUPTI_SITE_EXIT, 514, parameters, (void *)0xc0, number, 0);
    pthread_mutex_lock(&lock);
    uint8_t bytes[216] = {0};
    struct cupti_kernel kernel = {.kind = CUPTI_KIND_CONCURRENT_KERNEL, .start = end - ns, .end = end, .stream = runs_in, .grid = {64, 1, 1}, .block = {128, 1, 1}, .correlation = number,
                                  .name = name, .graph_node = 0x77, .graph = 3};
    memcpy(bytes, &kernel, sizeof kernel);
    put(bytes, sizeof bytes);
    last_end = end;
    pthread_mutex_unlock(&lock);
    return end;
}
uint64_t fake_cupti_copy(uint32_t id, uint32_t stream, uint64_t bytes_moved, uint64_t ns, int waits)
{
    uint32_t number = say_call(CUPTI_SITE_ENTER, id, NULL, (void *)0xc0, ++correlation, 0);
    uint64_t end = take_stream(stream, 0, ns);
    pthread_mutex_lock(&lock);
    uint8_t bytes[80] = {0};
    struct cupti_memcpy copy = {.kind = CUPTI_KIND_MEMCPY, .copy_kind = 2, .bytes = bytes_moved, .start = end - ns, .end = end, .stream = stream, .correlation = number};
    memcpy(bytes, &copy, sizeof copy < sizeof bytes ? sizeof copy : sizeof bytes);
    put(bytes, sizeof bytes);
    last_end = end;
    pthread_mutex_unlock(&lock);
    if (waits)
        fake_cupti_until(end);
    say_call(CUPTI_SITE_EXIT, id, NULL, (void *)0xc0, number, 0);
    return end;
}
