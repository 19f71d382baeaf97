/* The manifest of a made-up machine: a stand-in tree of /sys and /proc, what is read from it, and that nothing secret is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "../../analyzer/sources_decode.h"

/* The shim's own files, with the recorder stood in for below. */
#include "../../shim/sources/files.c"
#define text manifest_text
#define block manifest_block
#include "../../shim/sources/manifest.c"
#undef text
#undef block

static char root[64];
static uint8_t written[262144];
static size_t written_length;

const char *tvg_sources_root(void) { return root; }
void tvg_note(const char *what, const char *subject, const char *detail) { fail_msg("%s %s %s", what, subject, detail); }
int tvg_linker_iterate(int (*visit)(struct dl_phdr_info *, size_t, void *), void *context) { return dl_iterate_phdr(visit, context); }
bool tvg_block_append(const void *block, size_t length)
{
    memcpy(written, block, length);
    written_length = length;
    return true;
}

static void put(const char *path, const char *text, size_t length)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *out = fopen(full, "w");
    assert_non_null(out);
    fwrite(text, 1, length, out);
    fclose(out);
}
#define PUT(path, text) put(path, text, sizeof text - 1)

struct pairs {
    char key[128][96], value[128][256];
    int count;
};

static void keep(const char *key, const char *value, void *context)
{
    struct pairs *pairs = context;
    assert_true(pairs->count < 128);
    snprintf(pairs->key[pairs->count], 96, "%s", key);
    snprintf(pairs->value[pairs->count++], 256, "%s", value);
}

static struct pairs pairs;
static const char *value_of(const char *key)
{
    for (int i = 0; i < pairs.count; i++)
        if (strcmp(pairs.key[i], key) == 0) return pairs.value[i];
    return NULL;
}

static void write_and_read(void)
{
    pairs.count = 0;
    written_length = 0;
    tvg_manifest_write();
    assert_true(written_length > sizeof(struct tvg_block_header));
    assert_true(tvg_manifest_read(written + sizeof(struct tvg_block_header), written_length - sizeof(struct tvg_block_header), keep, &pairs));
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/tvg-unit-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void test_machine(void **state)
{
    (void)state;
    PUT("/proc/cpuinfo", "processor\t: 0\nmicrocode\t: 0xabc\nflags\t\t: fpu sse4_2 avx2 avx512fake avx_vnni amx_bf16\n");
    PUT("/proc/meminfo", "MemTotal:       1024 kB\nMemFree: 1 kB\n");
    PUT("/sys/devices/system/cpu/online", "0-3,8-11\n");
    PUT("/sys/devices/system/node/online", "0-1\n");
    PUT("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
    /* processors 0-3 and 8-11: core n has the hardware threads n and n + 8 */
    for (int cpu = 0; cpu < 4; cpu++)
        for (int thread = 0; thread < 2; thread++) {
            char path[128], list[16];
            snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu + 8 * thread);
            put(path, list, (size_t)snprintf(list, sizeof list, "%d,%d\n", cpu, cpu + 8));
        }
    write_and_read();
    assert_string_equal(value_of("cpu.microcode"), "0xabc");
    assert_string_equal(value_of("cpu.flags"), "sse4_2 avx2 avx_vnni amx_bf16");
    assert_string_equal(value_of("cpu.online"), "8");
    assert_string_equal(value_of("cpu.cores"), "4");
    assert_string_equal(value_of("cpu.governor"), "powersave");
    assert_string_equal(value_of("numa.nodes"), "2");
    assert_string_equal(value_of("memory.total"), "1048576");
    assert_null(value_of("cgroup.cpu.max"));
    assert_null(value_of("cgroup.memory.max"));
}

static void test_limits_of_version_2_are_the_least_on_the_way_up(void **state)
{
    (void)state;
    PUT("/proc/self/cgroup", "0::/pod/box\n");
    PUT("/sys/fs/cgroup/pod/box/cpu.max", "max 100000\n");
    PUT("/sys/fs/cgroup/pod/cpu.max", "250000 100000\n");
    PUT("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    PUT("/sys/fs/cgroup/pod/box/memory.max", "5000\n");
    PUT("/sys/fs/cgroup/pod/memory.max", "max\n");
    write_and_read();
    assert_string_equal(value_of("cgroup.cpu.max"), "2.500");
    assert_string_equal(value_of("cgroup.memory.max"), "5000");
}

static void test_limits_of_version_1(void **state)
{
    (void)state;
    PUT("/proc/self/cgroup", "9:cpuset:/x\n5:cpu,cpuacct:/box\n4:memory:/box\n0::/\n");
    PUT("/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "50000\n");
    PUT("/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "25000\n");
    PUT("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    PUT("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    PUT("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "7000\n");
    PUT("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    write_and_read();
    assert_string_equal(value_of("cgroup.cpu.max"), "0.500");
    assert_string_equal(value_of("cgroup.memory.max"), "7000");
}

static void command_line(const char *words, size_t length, const char *command, const char *script)
{
    put("/proc/self/cmdline", words, length);
    write_and_read();
    assert_string_equal(value_of("command"), command);
    if (script) assert_string_equal(value_of("script"), script);
    else assert_null(value_of("script"));
    for (size_t i = 0; i + 6 < written_length; i++) assert_memory_not_equal(written + i, "SECRET", 6);
}
#define COMMAND_LINE(words, command, script) command_line(words, sizeof words, command, script)

static void test_arguments_stay_out(void **state)
{
    (void)state;
    setenv("API_KEY", "SECRET", 1);
    setenv("OMP_NUM_THREADS", "5", 1);
    COMMAND_LINE("/usr/bin/python3.11\0-X\0dev\0-u\0/home/SECRET/infer.py\0--key\0SECRET", "python3.11", "infer.py");
    assert_string_equal(value_of("env.OMP_NUM_THREADS"), "5");
    assert_null(value_of("env.API_KEY"));
    COMMAND_LINE("python\0-c\0print('SECRET')", "python", "-c");
    COMMAND_LINE("python3\0-m\0torch.run\0SECRET", "python3", "-m torch.run");
    COMMAND_LINE("./llama-cli\0-p\0SECRET\0SECRET", "llama-cli", NULL);
    COMMAND_LINE("pythonic\0SECRET", "pythonic", NULL);
    COMMAND_LINE("python3", "python3", NULL);
    unsetenv("API_KEY");
}

static void test_nothing_to_read(void **state)
{
    (void)state;
    write_and_read();
    assert_null(value_of("cpu.online"));
    assert_null(value_of("memory.total"));
    assert_null(value_of("cpu.governor"));
    assert_non_null(value_of("kernel"));
    assert_non_null(value_of("cpu.allowed"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_machine, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_limits_of_version_2_are_the_least_on_the_way_up, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_limits_of_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_arguments_stay_out, make_root, remove_root),
        cmocka_unit_test_setup_teardown(test_nothing_to_read, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
