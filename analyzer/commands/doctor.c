/* tvg doctor: what this machine and a command allow to be measured, and how to allow more. It changes nothing. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "command.h"
#include "doctor_meter.h"
#include "program.h"

enum { METER = 256 };
static const struct tvg_option options[] = {{METER, "meter", NULL, "instead: the phase test of the GPUs' energy meters; keeps each card busy for some 15 seconds"},
                                            {0, NULL, NULL, NULL}};

static const struct tvg_usage usage = {
    .name = "doctor",
    .arguments = "[--json] [--meter] [-- CMD]",
    .summary = "What this machine, and CMD, allow to be measured, and how to allow more. Changes nothing and does not run CMD.",
    .details = "Each line: ok, limited (works in part) or missing; below it what was found and what to do. Exit code 0 whatever was found.\n\n"
               "--meter is the one thing that uses a card: bursts of a quarter of the counter's tick at four phases of it. A meter that integrates gives the same joules at\n"
               "each; one that looks at a part of each tick does not, and short runs can't be measured with it.",
    .options = options,
    .json = true,
    .stop_at_operand = true,
};

enum status { OK = 0, LIMITED, MISSING };
static const char *const status_name[] = {"ok", "limited", "missing"};

/* --- the list of findings ------------------------------------------------------------------------------------------------------- */

struct finding {
    const char *name, *title;
    enum status status;
    char found[768], mend[768];
};

struct findings {
    struct finding list[32];
    int count;
};

static struct finding *add(struct findings *findings, const char *name, const char *title)
{
    struct finding *finding = &findings->list[findings->count < 31 ? findings->count++ : 31];
    memset(finding, 0, sizeof *finding);
    finding->name = name;
    finding->title = title;
    return finding;
}

static void say(struct finding *finding, enum status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct finding *finding, enum status status, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(finding->found, sizeof finding->found, format, list);
    va_end(list);
    finding->status = status;
}

static void mend(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void mend(struct finding *finding, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(finding->mend, sizeof finding->mend, format, list);
    va_end(list);
}

/* --- reading /sys and /proc, below TVG_SYSFS_ROOT (a stand-in tree for tests) ------------------------------------------------------ */

static const char *rooted(char out[PATH_MAX], const char *path)
{
    const char *root = secure_getenv("TVG_SYSFS_ROOT");
    snprintf(out, PATH_MAX, "%s%s", root ? root : "", path);
    return out;
}

static bool read_text(const char *path, char *out, size_t capacity)
{
    char full[PATH_MAX];
    FILE *in = fopen(rooted(full, path), "re");
    if (!in) return false;
    size_t n = fread(out, 1, capacity - 1, in);
    bool good = !ferror(in);
    int cause = errno;
    fclose(in);
    while (n && (out[n - 1] == '\n' || out[n - 1] == ' ')) n--;
    out[n] = 0;
    errno = cause;
    return good;
}

/* --- energy --------------------------------------------------------------------------------------------------------------------------- */

static int by_name(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

static void check_rapl(struct findings *findings)
{
    struct finding *finding = add(findings, "rapl", "CPU energy meters (RAPL)");
    char path[PATH_MAX], *zones[64], title[64], value[64], readable[256] = "", denied[256] = "";
    int zone_count = 0;
    DIR *folder = opendir(rooted(path, "/sys/class/powercap"));
    if (folder) {
        for (struct dirent *entry; zone_count < 64 && (entry = readdir(folder));)
            if (strncmp(entry->d_name, "intel-rapl", 10) == 0 && strchr(entry->d_name, ':')) zones[zone_count++] = strdup(entry->d_name);
        closedir(folder);
        qsort(zones, (size_t)zone_count, sizeof zones[0], by_name);
    }
    int can = 0, cannot = 0;
    for (int i = 0; i < zone_count; i++) {
        char name[PATH_MAX], *list;
        snprintf(name, sizeof name, "/sys/class/powercap/%s/name", zones[i] ? zones[i] : "");
        if (!read_text(name, title, sizeof title)) title[0] = 0;
        if (strncmp(title, "package", 7) == 0 || strcmp(title, "dram") == 0 || strcmp(title, "psys") == 0) {
            snprintf(name, sizeof name, "/sys/class/powercap/%s/energy_uj", zones[i] ? zones[i] : "");
            bool good = read_text(name, value, sizeof value);
            list = good ? readable : denied;
            *(good ? &can : &cannot) += 1;
            size_t used = strlen(list);
            snprintf(list + used, 256 - used, "%s%s (%s)", used ? ", " : "", title, zones[i] ? zones[i] : "");
        }
        free(zones[i]);
    }
    if (can && !cannot) say(finding, OK, "readable: %s", readable);
    else if (can + cannot) {
        say(finding, can ? LIMITED : MISSING, "permission denied: %s%s%s", denied, can ? "; readable: " : "", readable);
        mend(finding,
             "until the next boot: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj\n"
             "for good: write the next line to /etc/udev/rules.d/70-tvg-rapl.rules, then sudo udevadm control --reload; sudo udevadm trigger -s powercap\n"
             "SUBSYSTEM==\"powercap\", KERNEL==\"intel-rapl:*\", RUN+=\"/bin/chmod a+r /sys%%p/energy_uj\"\n"
             "(who reads these meters quickly can tell something of what other processes do: on a machine with other users give them to a group instead)");
    } else {
        say(finding, MISSING, "no meter under /sys/class/powercap/intel-rapl:*: CPU energy is estimated, with a band");
        mend(finding, "in a virtual machine the host would have to pass them through; on bare metal: sudo modprobe intel_rapl_msr (AMD too; kernel 5.8 or newer)");
    }
}

/* --- counters ------------------------------------------------------------------------------------------------------------------------- */

/* 0 when the event counts, else errno. */
static int try_event(uint32_t type, uint64_t config, bool exclude_kernel)
{
    struct perf_event_attr attributes = {.size = sizeof attributes, .type = type, .config = config, .exclude_kernel = exclude_kernel, .exclude_hv = 1};
    long descriptor = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
    if (descriptor < 0) return errno;
    for (int i = 0; i < 100000; i++) __asm__ volatile(""); /* something to count */
    uint64_t value = 0;
    ssize_t got = read((int)descriptor, &value, sizeof value);
    close((int)descriptor);
    return got == sizeof value && value > 0 ? 0 : ENOENT;
}

static void check_perf(struct findings *findings)
{
    struct finding *finding = add(findings, "pmu", "hardware counters (PMU)");
    char level[32] = "?";
    read_text("/proc/sys/kernel/perf_event_paranoid", level, sizeof level);
    int cause = try_event(PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, true);
    if (cause == 0) say(finding, OK, "instructions count in user mode; perf_event_paranoid is %s", level);
    else if (cause == EACCES || cause == EPERM) {
        say(finding, MISSING, "not permitted; perf_event_paranoid is %s", level);
        mend(finding, "sudo sysctl kernel.perf_event_paranoid=2 (in a container: a seccomp profile that lets perf_event_open pass, or --cap-add PERFMON)");
    } else {
        say(finding, MISSING, "this machine shows no PMU (%s); perf_event_paranoid is %s", strerror(cause), level);
        mend(finding, "virtual machines need a virtual PMU: choose an instance type that has one, or QEMU's -cpu host,pmu=on");
    }
    finding = add(findings, "software-events", "software events (CPU samples: dark time; page faults)");
    cause = try_event(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK, true);
    if (cause == 0) say(finding, OK, "they count for a user's own processes: where CPU time outside recorded ops went can be told");
    else {
        say(finding, MISSING, "%s; perf_event_paranoid is %s", strerror(cause), level);
        mend(finding, "sudo sysctl kernel.perf_event_paranoid=2 (in a container: a seccomp profile that lets perf_event_open pass)");
    }
}

/* The first of `names` that loads; its path in `path`. */
static void *open_library(const char *const *names, char path[PATH_MAX])
{
    for (int i = 0; names[i]; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library) {
            snprintf(path, PATH_MAX, "%s", names[i]);
            return library;
        }
    }
    return NULL;
}

static void check_libraries(struct findings *findings)
{
    static const char *const papi[] = {"libpapi.so.7.2", "libpapi.so.7.1", "libpapi.so.7.0", "libpapi.so.7", "libpapi.so.6.0", "libpapi.so.6", "libpapi.so.5.7", "libpapi.so", NULL};
    static const char *const unwind[] = {"libunwind.so.8", "libunwind.so.1", NULL};
    char path[PATH_MAX];
    struct finding *finding = add(findings, "papi", "PAPI (counters per operation: --sources +papi)");
    void *library = open_library(papi, path);
    if (library && dlsym(library, "PAPI_library_init")) say(finding, OK, "%s; without a PMU that it knows, tvg counts software events instead", path);
    else {
        say(finding, LIMITED, "not installed: --sources papi counts software events only");
        mend(finding, "install libpapi (Debian: libpapi7.0 or libpapi-dev)");
    }
    if (library) dlclose(library);
    finding = add(findings, "libunwind", "libunwind (call stacks: --stacks)");
    library = open_library(unwind, path);
    if (library && dlsym(library, "unw_backtrace")) say(finding, OK, "%s", path);
    else {
        say(finding, MISSING, "not installed: no call stacks");
        mend(finding, "install libunwind (Debian: libunwind8)");
    }
    if (library) dlclose(library);
}

/* --- GPU -------------------------------------------------------------------------------------------------------------------------------- */

static void check_gpu(struct findings *findings)
{
    static const char *const nvml[] = {"libnvidia-ml.so.1", "libnvidia-ml.so", NULL};
    static const char *const cupti[] = {"libcupti.so", "libcupti.so.13", "libcupti.so.12", "libcupti.so.11.8", "libcupti.so.11.2", NULL};
    char path[PATH_MAX], text[4096];
    struct finding *finding = add(findings, "nvml", "GPU energy meter (NVML)");
    void *library = open_library(nvml, path);
    unsigned count = 0;
    bool have_gpu = false;
    if (!library) {
        say(finding, MISSING, "no NVIDIA driver here (libnvidia-ml.so.1 is not installed)");
        mend(finding, "needed for GPU work only: install the driver; in a container start it with --gpus all");
    } else {
        int (*init)(void), (*get_count)(unsigned *), (*get)(unsigned, void **), (*energy)(void *, unsigned long long *), (*get_name)(void *, char *, unsigned), (*shutdown)(void);
        *(void **)&init = dlsym(library, "nvmlInit_v2");
        *(void **)&get_count = dlsym(library, "nvmlDeviceGetCount_v2");
        *(void **)&get = dlsym(library, "nvmlDeviceGetHandleByIndex_v2");
        *(void **)&get_name = dlsym(library, "nvmlDeviceGetName");
        *(void **)&energy = dlsym(library, "nvmlDeviceGetTotalEnergyConsumption");
        *(void **)&shutdown = dlsym(library, "nvmlShutdown");
        int code = init && get_count && get && get_name && shutdown ? init() : -1;
        if (code != 0) {
            say(finding, MISSING, "%s is there, but does not start (nvmlInit: %d)", path, code);
            mend(finding, "check the driver: nvidia-smi; in a container start it with --gpus all");
        } else {
            unsigned with_energy = 0;
            char names[512] = "";
            get_count(&count);
            for (unsigned i = 0; i < count; i++) {
                void *device;
                char name[96] = "?";
                unsigned long long mj;
                if (get(i, &device) != 0) continue;
                get_name(device, name, sizeof name);
                if (energy && energy(device, &mj) == 0) with_energy++;
                size_t used = strlen(names);
                snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", name);
            }
            have_gpu = count > 0;
            if (count == 0) say(finding, MISSING, "the driver shows no GPU");
            else if (with_energy == count) say(finding, OK, "%s: each with an energy counter", names);
            else {
                say(finding, LIMITED, "%s: %u of %u have an energy counter", names, with_energy, count);
                mend(finding, "cards before Volta have none: their power is sampled instead");
            }
            shutdown();
        }
        dlclose(library);
    }
    finding = add(findings, "cupti", "GPU activity (CUPTI)");
    library = open_library(cupti, path);
    if (!have_gpu) {
        say(finding, MISSING, "%s; no GPU to use it on", library ? path : "libcupti.so is not in the library path");
        mend(finding, "needed for GPU work only: comes with the CUDA toolkit and with the Python package nvidia-cuda-cupti");
    } else if (!library) {
        say(finding, LIMITED, "libcupti.so is not in the library path; a program's own copy is used when it has one");
        mend(finding, "add CUDA's extras/CUPTI/lib64 to LD_LIBRARY_PATH");
    } else if (read_text("/proc/driver/nvidia/params", text, sizeof text) && strstr(text, "RmProfilingAdminOnly: 1") && geteuid() != 0) {
        say(finding, LIMITED, "%s; activity works, counters are for administrators", path);
        mend(finding, "options nvidia NVreg_RestrictProfilingToAdminUsers=0 in /etc/modprobe.d/, then load the driver again");
    } else {
        say(finding, OK, "%s", path);
    }
    if (library) dlclose(library);
}

/* Spreads above these are no noise: 5 % is a board's own gain, and a phase's mean wanders by its noise. */
static void check_meters(struct findings *findings)
{
    static const double gain = 0.05, noises = 4;
    char why[256];
    for (int device = 0; device < 16; device++) {
        struct tvg_meter_test test;
        bool tested = tvg_meter_test(&test, device, why);
        if (!tested && !why[0]) break;
        struct finding *finding = add(findings, "meter", "GPU energy meter, phase test");
        if (!tested) {
            say(finding, MISSING, "card %d: %s", device, why);
            mend(finding, "run it on a machine with an NVIDIA card that nobody else uses; in a container start it with --gpus all");
            if (device == 0 || !test.name[0]) break;
            continue;
        }
        bool depends = test.spread > fmax(gain, noises * test.noise);
        say(finding, depends ? LIMITED : OK, "card %d, %s: counter moves every %.0f ms, %.1f W awake; bursts of %.1f ms at 0, 1/4, 1/2, 3/4 of its tick: %.1f, %.1f, %.1f, %.1f W above that (%d each, +-%.1f %%): "
            "%.1f %% apart, %s", device, test.name, test.period_s * 1e3, test.awake_watts, test.burst_s * 1e3, test.watts[0], test.watts[1], test.watts[2], test.watts[3], test.repeats,
            100 * test.noise, 100 * test.spread, depends ? "which depends on when the work runs" : "no dependence on the phase");
        if (depends) mend(finding, "measure runs of many ticks only, repeat them at several start delays, and see that nobody else uses the card meanwhile");
    }
}

/* --- clock, limits, the shim -------------------------------------------------------------------------------------------------------------- */

static void check_clock(struct findings *findings)
{
    struct finding *finding = add(findings, "clock", "time stamps");
    char source[64] = "?";
    bool invariant = false;
    read_text("/sys/devices/system/clocksource/clocksource0/current_clocksource", source, sizeof source);
#if defined(__x86_64__)
    unsigned a, b, c, d;
    if (__get_cpuid(0x80000007, &a, &b, &c, &d)) invariant = d >> 8 & 1;
#else
    invariant = true;
#endif
    bool trusted = strcmp(source, "tsc") == 0 || strcmp(source, "kvm-clock") == 0 || strncmp(source, "hyperv", 6) == 0 || strcmp(source, "arch_sys_counter") == 0;
    if (invariant && trusted) say(finding, OK, "the processor's time stamp counter (clock source %s)", source);
    else {
        say(finding, LIMITED, "CLOCK_MONOTONIC: %s, clock source %s: each operation costs some 60 ns more to record",
            invariant ? "the time stamp counter is invariant" : "the time stamp counter is not invariant", source);
        if (invariant) mend(finding, "if the kernel allows: echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource");
    }
}

static void check_governor(struct findings *findings)
{
    struct finding *finding = add(findings, "governor", "clock frequency");
    char governor[64];
    if (!read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor))
        say(finding, OK, "no governor is shown (the host or the firmware decides): repeat runs to see how far they spread");
    else if (strcmp(governor, "performance") == 0) say(finding, OK, "governor %s", governor);
    else {
        say(finding, LIMITED, "governor %s: times depend on what ran before", governor);
        mend(finding, "for comparisons: sudo cpupower frequency-set -g performance");
    }
}

static void check_limits(struct findings *findings)
{
    struct finding *finding = add(findings, "limits", "container and affinity");
    char groups[4096] = "", cpu[128] = "", memory[128] = "", text[64];
    cpu_set_t set;
    double cpus = 0;
    int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (read_text("/proc/self/cgroup", groups, sizeof groups)) {
        /* version 2, then the mount of version 1's controllers; in a container its own group is the root of what it sees */
        const char *path = strstr(groups, "0::/");
        char group[512] = "", name[640];
        if (path) snprintf(group, sizeof group, "%.*s", (int)strcspn(path + 3, "\n"), path + 3);
        for (;;) {
            snprintf(name, sizeof name, "/sys/fs/cgroup%s/cpu.max", group);
            if (read_text(name, text, sizeof text) && text[0] != 'm') {
                double quota = 0, period = 0;
                if (sscanf(text, "%lf %lf", &quota, &period) == 2 && period > 0 && (cpus == 0 || quota / period < cpus)) cpus = quota / period;
            }
            snprintf(name, sizeof name, "/sys/fs/cgroup%s/memory.max", group);
            if (!memory[0] && read_text(name, text, sizeof text) && text[0] != 'm') snprintf(memory, sizeof memory, "memory limit %.0f MiB", strtod(text, NULL) / 1048576);
            char *slash = strrchr(group, '/');
            if (!slash) break;
            *slash = 0;
        }
        if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", text, sizeof text) && text[0] != '-') {
            double quota = strtod(text, NULL);
            if (read_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us", text, sizeof text) && strtod(text, NULL) > 0 && (cpus == 0 || quota / strtod(text, NULL) < cpus)) cpus = quota / strtod(text, NULL);
        }
        if (!memory[0] && read_text("/sys/fs/cgroup/memory/memory.limit_in_bytes", text, sizeof text) && strtod(text, NULL) < 4e18)
            snprintf(memory, sizeof memory, "memory limit %.0f MiB", strtod(text, NULL) / 1048576);
    }
    if (cpus > 0) snprintf(cpu, sizeof cpu, "CPU quota %.2f CPUs, ", cpus);
    bool limited = (cpus > 0 && cpus < (double)allowed) || allowed < online;
    say(finding, limited ? LIMITED : OK, "%d of %ld CPUs allowed, %s%s", allowed, online, cpu, memory[0] ? memory : "no memory limit");
    if (cpus > 0 && cpus < (double)allowed) mend(finding, "libraries start a thread for each of the %d CPUs and are then throttled: set OMP_NUM_THREADS=%d", allowed, (int)(cpus < 1 ? 1 : cpus));
}

static void check_shim(struct findings *findings)
{
    struct finding *finding = add(findings, "shim", "the shim");
    struct tvg_error error;
    char path[PATH_MAX];
    int status = 0;
    if (!tvg_shim_find(path, &error)) {
        say(finding, MISSING, "%.700s", error.message);
        mend(finding, "make, or set TVG_SHIM to the path of libtvgshim.so");
        return;
    }
    /* is it loaded without a complaint of the dynamic linker? */
    int ends[2];
    char complaint[256] = "";
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        setenv("LD_PRELOAD", path, 1);
        unsetenv("TVG_LOG");
        execl("/bin/true", "true", (char *)NULL);
        _exit(0);
    }
    close(ends[1]);
    ssize_t got = read(ends[0], complaint, sizeof complaint - 1);
    if (got > 0) complaint[got] = 0;
    close(ends[0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (child > 0 && status == 0 && got == 0) say(finding, OK, "%s", path);
    else {
        complaint[strcspn(complaint, "\n")] = 0;
        say(finding, MISSING, "%s can't be loaded: %s", path, complaint[0] ? complaint : "/bin/true fails under it");
        mend(finding, "build it on this machine: make");
    }
}

/* --- the command ------------------------------------------------------------------------------------------------------------------------------ */

struct blas {
    char list[512];
};

/* Libraries that hold matrix multiplications, by the start of their file names. */
static void see_library(const char *path, void *context)
{
    static const char *const known[] = {"libopenblas", "libblas", "libcblas", "libblis", "libflexiblas", "libmkl", "libatlas", "libsatlas", "libtatlas", "libgslcblas", "libnvpl_blas", "libarmpl",
                                        "libdnnl", "libonnxruntime", "libtorch_cpu", "libggml", "libllama", "libcublas", "libcudnn", "libtensorflow", "libopenvino", "libctranslate2", NULL};
    struct blas *blas = context;
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (int i = 0; known[i]; i++)
        if (strncmp(base, known[i], strlen(known[i])) == 0) {
            size_t used = strlen(blas->list);
            snprintf(blas->list + used, sizeof blas->list - used, "%s%s", used ? ", " : "", path);
            return;
        }
}

static void check_command(struct findings *findings, const char *name)
{
    struct tvg_program program;
    struct blas blas = {""};
    struct finding *finding = add(findings, "command", "the command");
    int code = tvg_program_find(&program, name);
    if (code) {
        say(finding, MISSING, "%.500s: %s", program.path, code == TVG_EXIT_NOT_FOUND ? "not found" : "not executable");
        mend(finding, "%s", code == TVG_EXIT_NOT_FOUND ? "check PATH, or give its path" : "chmod +x, or start it by its interpreter");
        return;
    }
    if (program.script_interpreter[0]) say(finding, OK, "%.350s, a script for %.350s", program.path, program.binary);
    else say(finding, OK, "%.700s", program.path);
    finding = add(findings, "preload", "does the shim reach it");
    if (!program.elf) {
        say(finding, MISSING, "not an ELF program, nor a script whose interpreter is here");
    } else if (program.other_machine) {
        say(finding, MISSING, "it is built for another processor or word size than the shim");
    } else if (program.is_static) {
        say(finding, MISSING, "it is statically linked: no preload reaches it");
        mend(finding, "use a dynamically linked build of it");
    } else if (program.secure) {
        say(finding, MISSING, "it is setuid, setgid or has file capabilities: the loader ignores preloads there");
        mend(finding, "run a copy without these rights, or run it as root");
    } else if (program.through_wrapper) {
        say(finding, LIMITED, "it starts the real command with another environment or elsewhere");
        mend(finding, "put tvg behind it: sudo tvg record -- CMD");
    } else if (program.asan[0]) {
        say(finding, OK, "yes; built with AddressSanitizer: %s is preloaded before the shim", program.asan);
    } else {
        say(finding, OK, "yes, through %s", program.loader);
    }
    finding = add(findings, "blas", "what it links");
    if (program.is_static || program.other_machine || !program.elf) say(finding, MISSING, "unknown");
    else if (!tvg_program_libraries(&program, see_library, &blas)) say(finding, LIMITED, "its libraries could not be listed");
    else if (blas.list[0]) say(finding, OK, "%s", blas.list);
    else {
        say(finding, LIMITED, "none of the libraries that tvg knows at its start");
        mend(finding, "no fault when it loads them as it runs, as Python's modules do, or starts a child that does: tvg record tells what was caught");
    }
}

/* --- output ------------------------------------------------------------------------------------------------------------------------------------ */

static int print_json(const struct findings *findings)
{
    json_t *list = json_array();
    char text[2048];
    for (int i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        json_t *entry = json_pack("{s:s, s:s, s:s}", "name", finding->name, "title", finding->title, "status", status_name[finding->status]);
        json_object_set_new(entry, "found", json_string(tvg_escape(text, sizeof text, finding->found)));
        json_object_set_new(entry, "mend", finding->mend[0] ? json_string(finding->mend) : json_null());
        json_array_append_new(list, entry);
    }
    json_t *root = json_pack("{s:o}", "checks", list);
    if (!root) return TVG_EXIT_BAD;
    json_dumpf(root, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(root);
    return TVG_EXIT_OK;
}

static void print_text(const struct findings *findings, struct tvg_style style)
{
    char text[2048];
    for (int i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        const char *color = finding->status == OK ? style.green : finding->status == LIMITED ? style.yellow : style.red;
        printf("%s%-7s%s  %s%s%s\n         %s\n", color, status_name[finding->status], style.off, style.bold, finding->title, style.off,
               tvg_escape(text, sizeof text, finding->found));
        for (const char *line = finding->mend; *line;) {
            size_t length = strcspn(line, "\n");
            printf("         %s%.*s%s\n", style.dim, (int)length, line, style.off);
            line += length + (line[length] == '\n');
        }
    }
}

int tvg_command_doctor(int argc, char **argv)
{
    struct tvg_arguments arguments;
    static struct findings findings;
    tvg_arguments_begin(&arguments, &usage, argc, argv);
    bool meter = false;
    for (const struct tvg_option *option; (option = tvg_arguments_next(&arguments));)
        meter |= option->id == METER;
    if (arguments.stop) return arguments.exit_code;
    findings.count = 0;
    if (meter) {
        if (arguments.operand_count) return tvg_command_misuse("doctor", "--meter takes no command");
        check_meters(&findings);
        if (arguments.json) return print_json(&findings);
        print_text(&findings, tvg_style(arguments.color));
        return TVG_EXIT_OK;
    }
    if (arguments.operand_count) check_command(&findings, arguments.operand[0]);
    check_shim(&findings);
    check_rapl(&findings);
    check_perf(&findings);
    check_libraries(&findings);
    check_gpu(&findings);
    check_clock(&findings);
    check_governor(&findings);
    check_limits(&findings);
    if (arguments.json) return print_json(&findings);
    print_text(&findings, tvg_style(arguments.color));
    return TVG_EXIT_OK;
}
