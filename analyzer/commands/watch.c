/* Sampling the CPU time of processes from outside; see watch.h. Where the kernel does not permit it, their CPU time is known without its objects. */
#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "../../trace/block.h"
#include "../../trace/perf_ring.h"
#include "../../trace/samples.h"
#include "../reader.h"
#include "program.h"

enum { TICK_NS = 50000000, LOOK_EVERY = 2 /* ticks */, WORTH_NS = 100000000, PROCESSES_MAX = 4096, THREADS_MAX = 4096 };

struct thread {
    pid_t tid;
    struct perf_event_mmap_page *ring;
    bool alive;
};

struct process {
    pid_t pid, parent;
    bool sampled, has_trace, alive;  /* sampled: it used CPU time, and had no trace then */
    uint64_t began_ns, since_ns, before_ns, cpu_ns;
    char command[2048], name[64];
    const char *why;                 /* the shim is not in it; NULL: it is, or that can't be told */
    struct thread *threads;
    uint32_t thread_count;
    struct tvg_mapping *mappings;
    uint32_t mapping_count;
    bool may_read, dirty;            /* mappings: may be read again in this tick; are older than a look */
    struct { enum tvg_object_kind kind; char *name; } objects[TVG_OBJECTS_MAX];
    uint32_t object_count;
    struct tvg_cpu_sample *samples;
    size_t sample_count, sample_capacity;
    uint32_t *weight;                /* of each sample, in periods */
    uint64_t turn, kept, lost;
    uint32_t keep_one_of;
    bool kernel;
    int refused;                     /* errno of the first event that was refused */
};

struct tvg_watch {
    pid_t root;
    char folder[4096], shim[256]; /* file name */
    struct process **process;
    uint32_t count;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t end;
    bool stopped;
    size_t ring_bytes;
};

bool tvg_watch_wanted(const char *sources)
{
    if (!sources || *sources == '+')
        return true;
    for (const char *at = sources; *at;) {
        size_t length = strcspn(at, ", ");
        if ((length == 4 && strncmp(at, "dark", 4) == 0) || (length == 7 && strncmp(at, "default", 7) == 0))
            return true;
        at += length;
        at += strspn(at, ", ");
    }
    return false;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec : 0;
}

/* CPU time that a process has used; 0 when it is gone. */
static uint64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) == 0 ? clock_ns(clock) : 0;
}

/* A small file of /proc/PID, zero-terminated. Returns its length. */
static size_t read_small(pid_t pid, const char *name, char *out, size_t capacity)
{
    char path[400];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = descriptor < 0 ? 0 : read(descriptor, out, capacity - 1);
    if (descriptor >= 0)
        close(descriptor);
    out[got > 0 ? got : 0] = 0;
    return got > 0 ? (size_t)got : 0;
}

/* --- which processes ------------------------------------------------------------------------------------------------------------- */

static struct process *process_of(struct tvg_watch *watch, pid_t pid)
{
    for (uint32_t i = 0; i < watch->count; i++)
        if (watch->process[i]->pid == pid)
            return watch->process[i];
    if (watch->count == PROCESSES_MAX)
        return NULL;
    struct process *process = calloc(1, sizeof *process);
    struct process **grown = process ? realloc(watch->process, (watch->count + 1) * sizeof *grown) : NULL;
    if (!grown) {
        free(process);
        return NULL;
    }
    watch->process = grown;
    *process = (struct process){.pid = pid, .keep_one_of = 1, .kernel = true};
    return grown[watch->count++] = process;
}

/* Meets `pid` and its descendants. */
static void meet_family(struct tvg_watch *watch, pid_t pid, int depth)
{
    char path[64], list[8192];
    struct process *process = process_of(watch, pid);
    if (!process || depth > 32)
        return;
    process->alive = true;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char name[300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof name, "task/%s/children", entry->d_name);
        read_small(pid, name, list, sizeof list);
        for (char *at = list, *end; (end = NULL, strtol(at, &end, 10)) > 0 && end != at; at = end)
            meet_family(watch, (pid_t)strtol(at, NULL, 10), depth + 1);
    }
    if (folder)
        closedir(folder);
}

/* The trace of process `pid` in the run's folder; false when it has none. */
static bool trace_of(const struct tvg_watch *watch, pid_t pid, char *path, size_t size)
{
    char ending[32];
    snprintf(ending, sizeof ending, "-%d.tvg", (int)pid);
    DIR *folder = opendir(watch->folder);
    bool found = false;
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name), tail = strlen(ending);
        found = length > tail && strcmp(entry->d_name + length - tail, ending) == 0;
        if (found)
            snprintf(path, size, "%s/%s", watch->folder, entry->d_name);
    }
    if (folder)
        closedir(folder);
    return found;
}

/* Whether the process has a file of that name mapped. -1: that can't be read. */
static int maps_file(pid_t pid, const char *name)
{
    char path[64], *line = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *in = fopen(path, "re");
    int found = -1;
    while (in && found != 1 && getline(&line, &capacity, in) > 0) {
        const char *base = strrchr(line, '/');
        line[strcspn(line, "\n")] = 0;
        found = base && strcmp(base + 1, name) == 0;
    }
    free(line);
    if (in)
        fclose(in);
    return found;
}

static bool environment_has(pid_t pid, const char *shim)
{
    static const char name[] = "LD_PRELOAD=";
    char path[64], *entry = NULL;
    size_t capacity = 0;
    bool found = false;
    snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
    FILE *in = fopen(path, "re");
    while (in && !found && getdelim(&entry, &capacity, 0, in) > 0)
        found = strncmp(entry, name, sizeof name - 1) == 0 && strstr(entry, shim);
    free(entry);
    if (in)
        fclose(in);
    return found;
}

/* Why the shim is not in a process, whose loader had all the time it needs; NULL when it is. As `before` where it can't be looked into, as at its end. */
static const char *why_without(const struct tvg_watch *watch, pid_t pid, const char *before)
{
    static struct tvg_program program;
    char exe[64];
    int mapped = maps_file(pid, watch->shim);
    snprintf(exe, sizeof exe, "/proc/%d/exe", (int)pid);
    if (mapped == 1)
        return NULL;
    if (tvg_program_find(&program, exe) == 0) {
        if (program.is_static)
            return "it is statically linked: no preload reaches it";
        if (program.other_machine)
            return "it is built for another processor or word size than the shim";
        if (program.secure)
            return "it is setuid, setgid or has file capabilities: the loader ignores preloads there";
    }
    if (mapped < 0)
        return before;
    return environment_has(pid, watch->shim) ? "its loader did not take the preload" : "it was started with an environment without the shim in LD_PRELOAD";
}

/* What the trace will say of the process; while it lives. */
static void describe(struct process *process)
{
    char stat[1024];
    size_t length = read_small(process->pid, "cmdline", process->command, sizeof process->command);
    const char *base = strrchr(process->command, '/'); /* of argument 0: the others come behind its end */
    snprintf(process->name, sizeof process->name, "%.63s", base ? base + 1 : process->command);
    for (char *p = process->name; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '%' || (unsigned char)*p >= 127)
            *p = '_';
    for (size_t i = 0; i + 1 < length; i++)
        if (!process->command[i])
            process->command[i] = ' ';
    read_small(process->pid, "stat", stat, sizeof stat);
    const char *at = strrchr(stat, ')'); /* field 22 is its start, in clock ticks since the machine's */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    uint64_t now = clock_ns(CLOCK_MONOTONIC), asleep = clock_ns(CLOCK_BOOTTIME) - now;
    uint64_t start = at ? strtoull(at, NULL, 10) * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK)) : 0;
    process->began_ns = start > asleep && start - asleep < now ? start - asleep : now;
}

/* --- sampling --------------------------------------------------------------------------------------------------------------------- */

static struct perf_event_mmap_page *open_ring(const struct tvg_watch *watch, struct process *process, pid_t tid)
{
    struct perf_event_attr attributes = tvg_perf_sampling(process->kernel);
    long descriptor = syscall(SYS_perf_event_open, &attributes, tid, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (descriptor < 0 && process->kernel) {
        process->kernel = false;
        return open_ring(watch, process, tid);
    }
    void *ring = descriptor < 0 ? MAP_FAILED : mmap(NULL, watch->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, (int)descriptor, 0);
    if (ring == MAP_FAILED && errno != ESRCH && !process->refused)
        process->refused = errno;
    if (descriptor >= 0)
        close((int)descriptor);
    return ring == MAP_FAILED ? NULL : ring;
}

static void meet_threads(const struct tvg_watch *watch, struct process *process)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)process->pid);
    DIR *folder = opendir(path);
    if (!folder)
        return;
    for (uint32_t i = 0; i < process->thread_count; i++)
        process->threads[i].alive = false;
    for (struct dirent *entry; (entry = readdir(folder));) {
        pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);
        uint32_t i = 0;
        while (i < process->thread_count && process->threads[i].tid != tid)
            i++;
        if (tid > 0 && i == process->thread_count && i < THREADS_MAX) {
            struct thread *grown = realloc(process->threads, (i + 1) * sizeof *grown);
            if (!grown)
                break;
            process->threads = grown;
            grown[process->thread_count++] = (struct thread){.tid = tid, .ring = open_ring(watch, process, tid)};
        }
        if (tid > 0 && i < process->thread_count)
            process->threads[i].alive = true;
    }
    closedir(folder);
}

static void read_mappings(struct process *process)
{
    char path[64], *line = NULL;
    size_t capacity = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)process->pid);
    FILE *in = fopen(path, "re");
    uint32_t count = 0;
    process->may_read = process->dirty = false;
    struct tvg_mapping found;
    while (in && getline(&line, &capacity, in) > 0) {
        line[strcspn(line, "\n")] = 0;
        if (!tvg_mapping_of_line(line, &found))
            continue;
        if ((count & (count - 1)) == 0) {
            struct tvg_mapping *grown = realloc(process->mappings, (count ? 2 * (size_t)count : 1) * sizeof *grown);
            if (!grown)
                break;
            process->mappings = grown;
        }
        process->mappings[count++] = found;
    }
    if (count) /* a process that has gone has none: what it had holds */
        process->mapping_count = count;
    free(line);
    if (in)
        fclose(in);
}

static const struct tvg_mapping *find(const struct process *process, uint64_t address)
{
    uint32_t low = 0, high = process->mapping_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (address >= process->mappings[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < process->mapping_count && address >= process->mappings[low].begin ? &process->mappings[low] : NULL;
}

static uint32_t object_index(struct process *process, enum tvg_object_kind kind, const char *name)
{
    for (uint32_t i = 0; i < process->object_count; i++)
        if (process->objects[i].kind == kind && strcmp(process->objects[i].name, name) == 0)
            return i;
    char *copy = process->object_count < TVG_OBJECTS_MAX - 1 ? strdup(name) : NULL;
    if (!copy)
        return TVG_OBJECTS_MAX - 1; /* no name: unknown */
    process->objects[process->object_count].kind = kind;
    process->objects[process->object_count].name = copy;
    return process->object_count++;
}

static void keep(struct process *process, const union tvg_perf_record *record)
{
    if (process->turn++ % process->keep_one_of)
        return;
    if (process->sample_count == process->sample_capacity) {
        size_t capacity = process->sample_capacity ? 2 * process->sample_capacity : 1024;
        struct tvg_cpu_sample *samples = realloc(process->samples, capacity * sizeof *samples);
        if (samples)
            process->samples = samples;
        uint32_t *weight = realloc(process->weight, capacity * sizeof *weight);
        if (weight)
            process->weight = weight;
        if (!samples || !weight)
            return;
        process->sample_capacity = capacity;
    }
    uint32_t object;
    if (tvg_perf_in_kernel(record)) {
        object = object_index(process, TVG_OBJECT_KERNEL, "");
    } else {
        const struct tvg_mapping *mapping = process->dirty ? NULL : find(process, record->sample.address);
        if (!mapping && process->may_read) {
            read_mappings(process);
            mapping = find(process, record->sample.address);
        }
        object = mapping ? object_index(process, mapping->kind, mapping->name) : object_index(process, TVG_OBJECT_UNKNOWN, "");
    }
    process->samples[process->sample_count] = (struct tvg_cpu_sample){record->sample.time, record->sample.tid, object};
    process->weight[process->sample_count++] = process->keep_one_of;
    if (++process->kept == TVG_THIN_AFTER) {
        process->kept = 0;
        process->keep_one_of *= 2;
    }
}

static void drain(const struct tvg_watch *watch, struct process *process, bool last)
{
    union tvg_perf_record record;
    for (uint32_t i = 0; i < process->thread_count;) {
        struct thread *thread = &process->threads[i];
        uint64_t tail = thread->ring ? thread->ring->data_tail : 0;
        while (thread->ring && tvg_perf_next(thread->ring, &tail, &record))
            if (record.header.type == PERF_RECORD_LOST)
                process->lost += record.lost.lost;
            else
                keep(process, &record);
        if (thread->alive && !last) {
            i++;
            continue;
        }
        if (thread->ring)
            munmap(thread->ring, watch->ring_bytes);
        *thread = process->threads[--process->thread_count];
    }
}

/* One look. `family`: at which processes there are, too. */
static void tick(struct tvg_watch *watch, bool family, bool last)
{
    char path[4400];
    if (family) {
        for (uint32_t i = 0; i < watch->count; i++)
            watch->process[i]->alive = false;
        meet_family(watch, watch->root, 0);
    }
    for (uint32_t i = 0; i < watch->count; i++) {
        struct process *process = watch->process[i];
        if (process->has_trace || (!process->alive && !process->thread_count))
            continue;
        uint64_t cpu = cpu_of(process->pid);
        if (cpu > process->cpu_ns)
            process->cpu_ns = cpu;
        if (process->cpu_ns < WORTH_NS)
            continue;
        if (!last && (family || !process->sampled) && trace_of(watch, process->pid, path, sizeof path)) {
            process->has_trace = true; /* it samples itself from here on, or is at its end */
            drain(watch, process, true);
            continue;
        }
        if (!process->sampled) {
            process->sampled = true;
            process->since_ns = clock_ns(CLOCK_MONOTONIC);
            process->before_ns = cpu;
            describe(process);
            read_mappings(process);
        }
        process->may_read = !last;
        process->dirty |= family;
        if (family && process->alive)
            process->why = why_without(watch, process->pid, process->why); /* each time: it may have executed another program, or been met while it did */
        if (!last)
            meet_threads(watch, process);
        drain(watch, process, last);
    }
}

static void *watching(void *argument)
{
    struct tvg_watch *watch = argument;
    pthread_mutex_lock(&watch->lock);
    for (unsigned turn = 0; !watch->stopped; turn++) {
        tick(watch, turn % LOOK_EVERY == 0, false);
        uint64_t until = clock_ns(CLOCK_REALTIME) + TICK_NS;
        struct timespec moment = {.tv_sec = (time_t)(until / 1000000000u), .tv_nsec = (long)(until % 1000000000u)};
        pthread_cond_timedwait(&watch->end, &watch->lock, &moment);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

struct tvg_watch *tvg_watch_start(pid_t root, const char *folder, const char *shim)
{
    const char *slash = strrchr(shim, '/');
    struct tvg_watch *watch = calloc(1, sizeof *watch);
    sigset_t all, before;
    if (!watch)
        return NULL;
    watch->root = root;
    watch->ring_bytes = (1 + TVG_PERF_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    snprintf(watch->folder, sizeof watch->folder, "%s", folder);
    snprintf(watch->shim, sizeof watch->shim, "%s", slash ? slash + 1 : shim);
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->end, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&watch->thread, NULL, watching, watch);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return watch;
    free(watch);
    return NULL;
}

void tvg_watch_end(struct tvg_watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    tick(watch, false, true);
    watch->stopped = true;
    pthread_cond_signal(&watch->end);
    pthread_mutex_unlock(&watch->lock);
    pthread_join(watch->thread, NULL);
}

/* --- writing ------------------------------------------------------------------------------------------------------------------------ */

static bool put(FILE *out, const void *data, size_t length)
{
    return length && fwrite(data, 1, length, out) == length;
}

/* SAMPLES blocks: one weight a block. Their objects' indices begin with `base`. */
static bool put_samples(FILE *out, const struct process *process, uint32_t base)
{
    static struct tvg_sampled_object objects[TVG_OBJECTS_MAX];
    size_t capacity = TVG_SAMPLES_ENCODED_MAX(TVG_SAMPLES_MAX, TVG_OBJECTS_MAX), from = 0;
    uint8_t *block = malloc(capacity), *scratch = malloc(TVG_SAMPLES_SCRATCH(TVG_SAMPLES_MAX));
    bool held = block && scratch;
    for (uint32_t i = 0; i < process->object_count; i++)
        objects[i] = (struct tvg_sampled_object){base + i, process->objects[i].kind, process->objects[i].name, 0};
    while (held && from < process->sample_count) {
        size_t count = 1;
        while (count < TVG_SAMPLES_MAX && from + count < process->sample_count && process->weight[from + count] == process->weight[from])
            count++;
        const struct tvg_samples_info info = {.period_ns = (uint64_t)TVG_PERF_PERIOD_NS * process->weight[from], .since_ns = process->since_ns, .before_ns = process->before_ns, .lost = process->lost,
                                              .kernel = process->kernel, .count = (uint32_t)count};
        held = put(out, block, tvg_encode_samples(block, capacity, &info, process->samples + from, objects, from == 0 ? process->object_count : 0, scratch));
        from += count;
    }
    free(block);
    free(scratch);
    return held;
}

static bool put_note(FILE *out, const char *what, const char *subject, const char *detail)
{
    uint8_t block[2048];
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "what", what);
    tvg_map_string(&map, "subject", subject);
    tvg_map_string(&map, "detail", detail);
    tvg_map_uint(&map, "mono_ns", clock_ns(CLOCK_MONOTONIC));
    return put(out, block, tvg_map_end(&map, TVG_BLOCK_COVERAGE));
}

static bool put_refusal(FILE *out, const struct process *process)
{
    char detail[128];
    if (!process->refused || process->sample_count)
        return true;
    snprintf(detail, sizeof detail, "perf_event_open: %s: where CPU time went is not known (tvg doctor)", strerror(process->refused));
    return put_note(out, "source-refused", "dark", detail);
}

/* The value of a line of /proc/cpuinfo; "" when there is none. */
static void cpu_fact(const char *text, const char *key, char *out, size_t size)
{
    const char *line = strstr(text, key), *colon = line ? strchr(line, ':') : NULL;
    snprintf(out, size, "%.*s", colon ? (int)strcspn(colon + 1, "\n") - 1 : 0, colon ? colon + 2 : "");
}

static bool put_manifest(FILE *out, const struct process *process)
{
    uint8_t block[2048];
    char text[4096], vendor[64], family[16], model[16], value[160];
    cpu_set_t allowed;
    struct tvg_map map;
    int descriptor = open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC);
    ssize_t got = descriptor < 0 ? 0 : read(descriptor, text, sizeof text - 1);
    if (descriptor >= 0)
        close(descriptor);
    text[got > 0 ? got : 0] = 0;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "command", process->name);
    tvg_map_string(&map, "tool", TVG_VERSION);
    cpu_fact(text, "model name\t", value, sizeof value);
    if (*value)
        tvg_map_string(&map, "cpu.model", value);
    cpu_fact(text, "vendor_id\t", vendor, sizeof vendor);
    cpu_fact(text, "cpu family\t", family, sizeof family);
    cpu_fact(text, "model\t", model, sizeof model);
    snprintf(value, sizeof value, "%s-%s-%s", vendor, family, model);
    if (*vendor && *family && *model)
        tvg_map_string(&map, "cpu.id", value);
    snprintf(value, sizeof value, "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    tvg_map_string(&map, "cpu.online", value);
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        snprintf(value, sizeof value, "%d", CPU_COUNT(&allowed));
        tvg_map_string(&map, "cpu.allowed", value);
    }
    return put(out, block, tvg_map_end(&map, TVG_BLOCK_MANIFEST));
}

static bool put_header(FILE *out, const struct process *process)
{
    uint8_t header[8192];
    struct utsname names = {.nodename = ""};
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    uname(&names);
    const struct tvg_file_header info = {.pid = (uint32_t)process->pid, .tid = (uint32_t)process->pid, .ticks_per_ns = 1, .anchor = {now, now, clock_ns(CLOCK_REALTIME)},
                                         .process_start_mono_ns = process->began_ns, .command = process->command, .host = names.nodename, .rings = "", .tool = TVG_VERSION};
    return put(out, header, tvg_encode_file_header(header, sizeof header, &info));
}

static bool put_end(FILE *out, const struct process *process)
{
    uint8_t block[256];
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_uint(&map, "ops", 0);
    tvg_map_string(&map, "how", "watched");
    tvg_map_uint(&map, "mono_ns", clock_ns(CLOCK_MONOTONIC));
    tvg_map_uint(&map, "cpu_process_ns", process->cpu_ns);
    return put(out, block, tvg_map_end(&map, TVG_BLOCK_END));
}

static void write_trace(const struct tvg_watch *watch, const struct process *process)
{
    static const char unknown[] = "it ended by a signal or _exit before it ran an op, or can't be looked into";
    char path[4400];
    snprintf(path, sizeof path, "%s/%s-%d.tvg", watch->folder, process->name, (int)process->pid);
    FILE *out = fopen(path, "wxe");
    if (!out)
        return;
    const char *what = process->pid == watch->root || !process->why ? "not-entered" : "child-without-preload";
    bool whole = put_header(out, process) && put_manifest(out, process) && put_note(out, what, process->name, process->why ? process->why : unknown) && put_refusal(out, process) &&
                 put_samples(out, process, 0) && put_end(out, process);
    if (fclose(out) != 0 || !whole)
        unlink(path);
}

/* What a trace has of its own. */
struct own {
    uint64_t end, since_ns; /* where END begins, or the file ends; when the process began to sample itself */
    uint32_t objects;       /* one past the largest index */
    bool samples;
};

static void take_object(const struct tvg_sampled_object *object, void *context)
{
    struct own *own = context;
    if (object->index >= own->objects)
        own->objects = object->index + 1;
}

static bool look_at(const char *path, struct own *own)
{
    static struct tvg_cpu_sample samples[TVG_SAMPLES_MAX];
    struct tvg_reader *reader;
    struct tvg_event event;
    struct tvg_samples_info info;
    struct tvg_error ignored;
    if (!tvg_reader_open(&reader, path, &ignored))
        return false;
    *own = (struct own){.end = tvg_reader_bytes_total(reader), .since_ns = UINT64_MAX};
    while (tvg_reader_next_of(reader, TVG_BLOCK_SAMPLES, &event))
        if (tvg_decode_samples(event.payload, event.length, &info, samples, take_object, own) == 0) {
            own->samples = true;
            own->since_ns = info.since_ns;
        }
    tvg_reader_close(reader);
    if (!tvg_reader_open(&reader, path, &ignored))
        return false;
    if (tvg_reader_next_of(reader, TVG_BLOCK_END, &event))
        own->end = event.offset;
    tvg_reader_close(reader);
    return true;
}

/* Puts the samples into the trace of a process that has ended, before its END: all of them when it has none, else those from before it sampled itself. */
static void add_to_trace(struct process *process, const char *path)
{
    struct own own;
    size_t kept = 0;
    if (!look_at(path, &own) || own.objects + process->object_count > TVG_OBJECTS_MAX)
        return;
    for (size_t i = 0; i < process->sample_count; i++)
        if (process->samples[i].mono_ns < own.since_ns) {
            if (process->samples[i].object < process->object_count)
                process->samples[i].object += own.objects;
            process->samples[kept] = process->samples[i];
            process->weight[kept++] = process->weight[i];
        }
    process->sample_count = kept;
    if (own.samples && kept == 0)
        return;
    uint8_t tail[4096];
    FILE *file = fopen(path, "r+e");
    size_t length = file && fseeko(file, (off_t)own.end, SEEK_SET) == 0 ? fread(tail, 1, sizeof tail, file) : 0;
    if (file && length < sizeof tail && fseeko(file, (off_t)own.end, SEEK_SET) == 0) {
        bool whole = put_refusal(file, process) && put_samples(file, process, own.objects) && (!length || put(file, tail, length)) && fflush(file) == 0;
        if (!whole && ftruncate(fileno(file), (off_t)own.end) == 0 && fseeko(file, (off_t)own.end, SEEK_SET) == 0) /* as it was */
            put(file, tail, length);
    }
    if (file)
        fclose(file);
}

static void free_process(struct process *process)
{
    for (uint32_t i = 0; i < process->object_count; i++)
        free(process->objects[i].name);
    free(process->threads);
    free(process->mappings);
    free(process->samples);
    free(process->weight);
    free(process);
}

void tvg_watch_write(struct tvg_watch *watch)
{
    char path[4400];
    if (!watch)
        return;
    for (uint32_t i = 0; i < watch->count; i++) {
        struct process *process = watch->process[i];
        if (process->sampled) {
            if (trace_of(watch, process->pid, path, sizeof path))
                add_to_trace(process, path);
            else
                write_trace(watch, process);
        }
        free_process(process);
    }
    free(watch->process);
    free(watch);
}
