/* The MANIFEST block: what machine and process this trace is of. Written once when the trace opens, from CPUID and small files, without malloc.
 * No argument, path or variable that could hold a secret goes in: the program's and script's names, and the listed variables alone. */
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "../../trace/block.h"
#include "../record/record.h"
#include "tables.h"

enum { BLOCK_SIZE = 256 * 1024, CORES_READ_MAX = 128 };

static char text[8192];
static uint8_t block[BLOCK_SIZE];

/* Thread, rank and device variables. A name that ends in '*' is a prefix. */
static const char *const variables[] = {
    "OMP_*", "KMP_*", "GOMP_*", "MKL_*", "BLIS_*", "OPENBLAS_NUM_THREADS", "GOTO_NUM_THREADS", "NUMEXPR_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_MAX_CPU_ISA", "RANK", "LOCAL_RANK", "GROUP_RANK", "WORLD_SIZE",
    "LOCAL_WORLD_SIZE", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_JOB_ID", "SLURM_CPUS_PER_TASK", "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "PMI_RANK", "PMI_SIZE", "PMIX_RANK", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    "CUDA_DEVICE_ORDER", "NVIDIA_TF32_OVERRIDE", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "MALLOC_ARENA_MAX", "TVG_OPS", "TVG_SOURCES", "TVG_STACKS",
    NULL};

/* Instruction set extensions that decide which low-precision kernels a CPU can run, as /proc/cpuinfo spells them. */
static const char *const extensions[] = {"sse4_2", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16",
                                         "amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "asimd", "asimddp", "asimdhp", "bf16", "i8mm", "sve", "sve2", "sme", NULL};

/* All values are strings (trace/FORMAT.md). */
static void put_number(struct tvg_map *map, const char *key, uint64_t value)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    tvg_map_string(map, key, number);
}

/* --- small parsers ---------------------------------------------------------------------------------------------------- */

/* How many numbers a list like "0-3,8" has. */
static unsigned list_count(const char *list)
{
    unsigned count = 0;
    while (*list >= '0' && *list <= '9') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (*end == '-') last = strtoul(end + 1, &end, 10);
        if (last >= first) count += (unsigned)(last - first + 1);
        list = *end == ',' ? end + 1 : end;
        if (*end != ',') break;
    }
    return count;
}

/* Copies the value of the first line "key : value" of `from` to `out`; false when there is none. */
static bool line_value(const char *from, const char *key, char *out, size_t capacity)
{
    size_t length = strlen(key);
    for (const char *line = from; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, length) != 0) continue;
        const char *p = line + length;
        while (*p == ' ' || *p == '\t') p++;
        if (*p != ':') continue;
        p++;
        while (*p == ' ' || *p == '\t') p++;
        size_t n = strcspn(p, "\n");
        if (n >= capacity) n = capacity - 1;
        memcpy(out, p, n);
        out[n] = 0;
        return true;
    }
    return false;
}

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *p = words; (p = strstr(p, word)); p += length)
        if ((p == words || p[-1] == ' ') && (p[length] == ' ' || p[length] == 0)) return true;
    return false;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* --- the machine ------------------------------------------------------------------------------------------------------- */

static void write_cpu(struct tvg_map *map)
{
    char value[256], vendor[16] = "", brand[64] = "", id[64];
    unsigned family = 0, model = 0, stepping = 0;
    bool hypervisor = false;
    char hypervisor_name[16] = "";
    if (tvg_sysfs_read("/proc/cpuinfo", text, 4096) < 0) text[0] = 0;
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (__get_cpuid(0, &a, &b, &c, &d)) {
        memcpy(vendor, &b, 4);
        memcpy(vendor + 4, &d, 4);
        memcpy(vendor + 8, &c, 4);
    }
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        stepping = a & 15;
        model = (a >> 4) & 15;
        family = (a >> 8) & 15;
        if (family == 6 || family == 15) model |= ((a >> 16) & 15) << 4;
        if (family == 15) family += (a >> 20) & 255;
        hypervisor = c >> 31;
    }
    if (hypervisor) {
        __cpuid(0x40000000, a, b, c, d);
        memcpy(hypervisor_name, &b, 4);
        memcpy(hypervisor_name + 4, &c, 4);
        memcpy(hypervisor_name + 8, &d, 4);
        for (char *p = hypervisor_name; *p; p++)
            if (*p < ' ' || *p > '~') *p = 0;
    }
    for (unsigned leaf = 0; leaf < 3; leaf++)
        if (__get_cpuid(0x80000002 + leaf, &a, &b, &c, &d)) {
            unsigned word[4] = {a, b, c, d};
            memcpy(brand + 16 * leaf, word, 16);
        }
#else
    if (line_value(text, "CPU implementer", value, sizeof value)) snprintf(vendor, sizeof vendor, "%.15s", value);
    if (line_value(text, "CPU architecture", value, sizeof value)) family = (unsigned)strtoul(value, NULL, 0);
    if (line_value(text, "CPU part", value, sizeof value)) model = (unsigned)strtoul(value, NULL, 0);
    if (line_value(text, "CPU revision", value, sizeof value)) stepping = (unsigned)strtoul(value, NULL, 0);
    if (line_value(text, "model name", value, sizeof value)) snprintf(brand, sizeof brand, "%.63s", value);
#endif
    char *start = brand;
    while (*start == ' ') start++;
    for (size_t n = strlen(start); n && start[n - 1] == ' '; n--) start[n - 1] = 0;
    tvg_map_string(map, "cpu.model", start);
    tvg_map_string(map, "cpu.vendor", vendor);
    put_number(map, "cpu.family", family);
    put_number(map, "cpu.model_number", model);
    put_number(map, "cpu.stepping", stepping);
    snprintf(id, sizeof id, "%s-%u-%u", vendor, family, model);
    tvg_map_string(map, "cpu.id", id);
    if (line_value(text, "microcode", value, sizeof value)) tvg_map_string(map, "cpu.microcode", value);
    static char flags[4096];
    if (line_value(text, "flags", flags, sizeof flags) || line_value(text, "Features", flags, sizeof flags)) {
        size_t used = 0;
        value[0] = 0;
        for (int i = 0; extensions[i]; i++)
            if (has_word(flags, extensions[i])) used += (size_t)snprintf(value + used, sizeof value - used, "%s%s", used ? " " : "", extensions[i]);
        tvg_map_string(map, "cpu.flags", value);
    }
    put_number(map, "virtual", hypervisor);
    if (hypervisor_name[0]) tvg_map_string(map, "hypervisor", hypervisor_name);
    if (tvg_sysfs_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", value, sizeof value) > 0) tvg_map_string(map, "cpu.governor", value);
    if (tvg_sysfs_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver", value, sizeof value) > 0) tvg_map_string(map, "cpu.frequency_driver", value);
    if (tvg_sysfs_read("/sys/devices/system/clocksource/clocksource0/current_clocksource", value, sizeof value) > 0) tvg_map_string(map, "kernel.clock_source", value);
}

/* Physical cores: the processors that come first among their hardware threads. Above CORES_READ_MAX processors, by the share that processor 0 has. */
static unsigned cores_physical(unsigned online)
{
    unsigned cores = 0, seen = 0;
    char path[96], list[256];
    for (unsigned cpu = 0; cpu < CORES_READ_MAX && seen < online; cpu++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
        if (tvg_sysfs_read(path, list, sizeof list) <= 0) {
            if (cpu > online + 64) break;
            continue;
        }
        seen++;
        if (cpu == 0 && online > CORES_READ_MAX) {
            unsigned siblings = list_count(list);
            return siblings ? online / siblings : online;
        }
        if (strtoul(list, NULL, 10) == cpu) cores++;
    }
    return cores;
}

static void write_processors(struct tvg_map *map)
{
    static unsigned long mask[8192 / 8 / sizeof(unsigned long)];
    char value[512];
    unsigned online = 0;
    if (tvg_sysfs_read("/sys/devices/system/cpu/online", value, sizeof value) > 0) online = list_count(value);
    if (online) {
        unsigned cores = cores_physical(online);
        put_number(map, "cpu.online", online);
        if (cores) put_number(map, "cpu.cores", cores);
    }
    long bytes = syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    if (bytes > 0) {
        unsigned allowed = 0;
        for (size_t i = 0; i < (size_t)bytes / sizeof mask[0]; i++) allowed += (unsigned)__builtin_popcountl(mask[i]);
        put_number(map, "cpu.allowed", allowed);
    }
    if (tvg_sysfs_read("/sys/devices/system/node/online", value, sizeof value) > 0) put_number(map, "numa.nodes", list_count(value));
    if (tvg_sysfs_read("/proc/meminfo", value, sizeof value) > 0) {
        char number[64];
        if (line_value(value, "MemTotal", number, sizeof number)) put_number(map, "memory.total", strtoull(number, NULL, 10) * 1024);
    }
}

/* --- control groups: the least limit from the process's group up to the root ----------------------------------------------- */

/* The group's path in the line of /proc/self/cgroup whose controller list has `controller` ("" for version 2). */
static bool group_path(const char *file, const char *controller, char *out, size_t capacity)
{
    size_t length = strlen(controller);
    for (const char *line = file; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        const char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
        if (!second) return false;
        bool match = false;
        if (length == 0) match = second == first + 1;
        else
            for (const char *p = first + 1; p < second; p++)
                if ((p == first + 1 || p[-1] == ',') && strncmp(p, controller, length) == 0 && (p[length] == ',' || p[length] == ':')) match = true;
        if (!match) continue;
        size_t n = strcspn(second + 1, "\n");
        if (n >= capacity) return false;
        memcpy(out, second + 1, n);
        out[n] = 0;
        return true;
    }
    return false;
}

/* Cuts the last part of a path. False at the root. */
static bool parent_group(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || (slash == path && !path[1])) return false;
    if (slash == path) path[1] = 0;
    else *slash = 0;
    return true;
}

static void least(double *limit, double value)
{
    if (value > 0 && (*limit == 0 || value < *limit)) *limit = value;
}

static void write_groups(struct tvg_map *map)
{
    char group[384], path[512], value[64];
    double cpus = 0, memory = 0;
    if (tvg_sysfs_read("/proc/self/cgroup", text, sizeof text) <= 0) return;
    if (group_path(text, "", group, sizeof group))
        do {
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
            if (tvg_sysfs_read(path, value, sizeof value) > 0 && value[0] != 'm') {
                char *end;
                double quota = (double)strtoull(value, &end, 10), period = (double)strtoull(end, NULL, 10);
                if (period > 0) least(&cpus, quota / period);
            }
            snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.max", group);
            if (tvg_sysfs_read(path, value, sizeof value) > 0 && value[0] != 'm') least(&memory, (double)strtoull(value, NULL, 10));
        } while (parent_group(group));
    if (group_path(text, "cpu", group, sizeof group))
        do {
            uint64_t period = 0;
            snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_period_us", group);
            if (!tvg_sysfs_number(path, &period)) continue;
            snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", group);
            if (tvg_sysfs_read(path, value, sizeof value) > 0 && value[0] != '-' && period) least(&cpus, (double)strtoull(value, NULL, 10) / (double)period);
        } while (parent_group(group));
    if (group_path(text, "memory", group, sizeof group))
        do {
            uint64_t limit;
            snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.limit_in_bytes", group);
            if (tvg_sysfs_number(path, &limit) && limit < (1ull << 62)) least(&memory, (double)limit); /* "no limit" is a huge number */
        } while (parent_group(group));
    if (cpus > 0) {
        snprintf(value, sizeof value, "%.3f", cpus);
        tvg_map_string(map, "cgroup.cpu.max", value);
    }
    if (memory > 0) put_number(map, "cgroup.memory.max", (uint64_t)memory);
}

/* --- the process ---------------------------------------------------------------------------------------------------------- */

static bool is_interpreter(const char *name)
{
    static const char *const list[] = {"python", "pypy", "perl", "ruby", "node", "julia", "Rscript", "bash", "sh", "dash", "zsh", "java", "lua", NULL};
    for (int i = 0; list[i]; i++) {
        size_t length = strlen(list[i]);
        if (strncmp(name, list[i], length) == 0 && name[length + strspn(name + length, "0123456789.")] == 0) return true; /* python3.11 */
    }
    return false;
}

/* The script among an interpreter's arguments: "infer.py", "-m module", "-c" (never the code), or "" . Only an interpreter's operand is known to
 * be a file's name and no secret. `arguments` is the zero-separated list after argv[0]. */
static void script_name(const char *arguments, const char *end, char *out, size_t capacity)
{
    out[0] = 0;
    for (const char *p = arguments; p < end; p += strlen(p) + 1) {
        if (strcmp(p, "-c") == 0 || strcmp(p, "-e") == 0) {
            snprintf(out, capacity, "%s", p);
            return;
        }
        if (strcmp(p, "-m") == 0) {
            const char *module = p + 3;
            snprintf(out, capacity, "-m %s", module < end ? module : "");
            return;
        }
        if (strcmp(p, "-W") == 0 || strcmp(p, "-X") == 0) {
            p += strlen(p) + 1;
            if (p >= end) return;
            continue;
        }
        if (*p == '-') continue;
        snprintf(out, capacity, "%s", base_name(p));
        return;
    }
}

static void write_process(struct tvg_map *map)
{
    char value[512], script[192];
    struct utsname name;
    const char *libc = gnu_get_libc_version();
    tvg_map_string(map, "libc", libc);
    if (uname(&name) == 0) {
        tvg_map_string(map, "kernel", name.release);
        tvg_map_string(map, "machine", name.machine);
    }
    ssize_t n = readlink("/proc/self/exe", value, sizeof value - 1);
    if (n > 0) {
        value[n] = 0;
        tvg_map_string(map, "exe", base_name(value));
    }
    n = tvg_sysfs_read("/proc/self/cmdline", text, sizeof text);
    if (n > 0) {
        const char *command = base_name(text);
        tvg_map_string(map, "command", command);
        if (is_interpreter(command)) {
            script_name(text + strlen(text) + 1, text + n, script, sizeof script);
            if (script[0]) tvg_map_string(map, "script", script);
        }
    }
    if (tvg_sysfs_read("/proc/sys/kernel/perf_event_paranoid", value, sizeof value) > 0) tvg_map_string(map, "kernel.perf_event_paranoid", value);
}

static bool is_listed(const char *assignment)
{
    size_t name = strcspn(assignment, "=");
    for (int i = 0; variables[i]; i++) {
        size_t length = strlen(variables[i]);
        if (variables[i][length - 1] == '*' ? name >= length - 1 && memcmp(assignment, variables[i], length - 1) == 0
                                            : name == length && memcmp(assignment, variables[i], length) == 0)
            return true;
    }
    return false;
}

static void write_variables(struct tvg_map *map)
{
    for (char **p = environ; p && *p; p++) {
        char key[80];
        size_t length = strcspn(*p, "=");
        if ((*p)[length] != '=' || length + 5 > sizeof key || !is_listed(*p)) continue;
        memcpy(key, "env.", 4);
        memcpy(key + 4, *p, length);
        key[4 + length] = 0;
        tvg_map_string(map, key, *p + length + 1);
    }
}

/* --- loaded libraries ------------------------------------------------------------------------------------------------------ */

static int write_library(struct dl_phdr_info *info, size_t size, void *context)
{
    struct tvg_map *map = context;
    char key[128], hex[2 * TVG_BUILD_ID_MAX + 1] = "";
    uint8_t build_id[TVG_BUILD_ID_MAX];
    (void)size;
    if (!info->dlpi_name || !*info->dlpi_name) return 0; /* the program itself and the vdso */
    snprintf(key, sizeof key, "library.%s", base_name(info->dlpi_name));
    size_t length = tvg_build_id(info, build_id);
    for (size_t i = 0; i < length; i++) snprintf(hex + 2 * i, 3, "%02x", build_id[i]);
    tvg_map_string(map, key, hex);
    return 0;
}

void tvg_manifest_write(void)
{
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "tool", TVG_VERSION);
    write_process(&map);
    write_cpu(&map);
    write_processors(&map);
    write_groups(&map);
    write_variables(&map);
    tvg_linker_iterate(write_library, &map); /* takes the loader's write lock, not the one held while constructors run */
    size_t length = tvg_map_end(&map, TVG_BLOCK_MANIFEST);
    if (length) tvg_block_append(block, length);
    else tvg_note("source-limited", "manifest", "too large for its buffer: not written");
}
