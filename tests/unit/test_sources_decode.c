/* Decoding of what sources write: meters joined over processes against a simulated counter, sums of counters, stacks, names of addresses,
 * and payloads that lie. Blocks are made by the writer that the shim uses. */
#include <inttypes.h>
#include <link.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../analyzer/sources_decode.h"
#include "../../trace/block.h"

static uint8_t block[8192];
static size_t block_length;
static const void *payload(void) { return block + sizeof(struct tvg_block_header); }
static size_t payload_length(void) { return block_length - sizeof(struct tvg_block_header); }

/* --- meters ------------------------------------------------------------------------------------------------------------------ */

static void make_sample(const char *meter, uint64_t range, uint64_t ns, uint64_t value, uint64_t cost)
{
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "meter", meter);
    tvg_map_string(&map, "boundary", "package");
    tvg_map_string(&map, "unit", "uJ");
    tvg_map_uint(&map, "range", range);
    tvg_map_array(&map, "ns", 1);
    tvg_map_uint(&map, NULL, ns);
    tvg_map_array(&map, "value", 1);
    tvg_map_uint(&map, NULL, value);
    tvg_map_uint(&map, "cost", cost);
    block_length = tvg_map_end(&map, TVG_BLOCK_ENERGY);
    assert_true(block_length > 0);
}

enum { WATTS = 200, METER_RANGE = 99999999 }; /* wraps every 100 J: each half second */

/* The counter of a meter that draws WATTS from time 0 on. */
static uint64_t counter_at(uint64_t ns) { return ns / 1000 * WATTS % (METER_RANGE + 1ull); }

static void sample_process(struct tvg_meters *meters, uint32_t file, const char *host, uint64_t from_ms, uint64_t to_ms)
{
    for (uint64_t ms = from_ms;; ms = ms + 100 < to_ms ? ms + 100 : to_ms) {
        make_sample("package-0", METER_RANGE, ms * 1000000, counter_at(ms * 1000000), ms - from_ms);
        assert_true(tvg_meters_add(meters, file, host, payload(), payload_length()));
        if (ms == to_ms) break;
    }
}

static void test_one_process_wraps(void **state)
{
    uint32_t count;
    struct tvg_meters *meters = tvg_meters_new();
    (void)state;
    sample_process(meters, 0, "a", 130, 5130);
    const struct tvg_meter_total *total = tvg_meters_totals(meters, &count);
    assert_int_equal(count, 1);
    assert_true(fabs(total->joules - 5.0 * WATTS) < 1e-6);
    assert_true(fabs(total->seconds - 5.0) < 1e-9);
    assert_int_equal(total->wraps, 10);
    assert_string_equal(total->name, "package-0");
    assert_string_equal(total->boundary, "package");
    assert_true(fabs(tvg_meters_cost(meters) - 5000e-9) < 1e-12);
    tvg_meters_free(meters);
}

/* Joules of a run are WATTS times the union of its processes' windows, however these lie. */
static void test_processes_are_joined(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 300; round++) {
        struct tvg_meters *meters = tvg_meters_new();
        bool covered[4000] = {false};
        int processes = 1 + rand() % 5;
        for (int i = 0; i < processes; i++) {
            uint64_t from = (uint64_t)(rand() % 2000), to = from + 1 + (uint64_t)(rand() % 1900);
            sample_process(meters, (uint32_t)i, "a", from, to);
            for (uint64_t ms = from; ms < to; ms++) covered[ms] = true;
        }
        double seconds = 0;
        for (int ms = 0; ms < 4000; ms++) seconds += covered[ms] ? 1e-3 : 0;
        uint32_t count;
        const struct tvg_meter_total *total = tvg_meters_totals(meters, &count);
        assert_int_equal(count, 1);
        assert_true(fabs(total->seconds - seconds) < 1e-9);
        assert_true(fabs(total->joules - seconds * WATTS) < 1e-3);
        tvg_meters_free(meters);
    }
}

static void test_hosts_are_not_joined(void **state)
{
    uint32_t count;
    struct tvg_meters *meters = tvg_meters_new();
    (void)state;
    sample_process(meters, 0, "a", 0, 1000);
    sample_process(meters, 1, "b", 0, 1000);
    const struct tvg_meter_total *total = tvg_meters_totals(meters, &count);
    assert_int_equal(count, 2);
    assert_true(fabs(total[0].joules + total[1].joules - 2.0 * WATTS) < 1e-6);
    assert_string_not_equal(total[0].host, total[1].host);
    tvg_meters_free(meters);
}

static void test_a_reset_of_unknown_range_counts_nothing(void **state)
{
    uint32_t count;
    struct tvg_meters *meters = tvg_meters_new();
    (void)state;
    uint64_t values[] = {5000000, 7000000, 1000000, 4000000};
    for (uint64_t i = 0; i < 4; i++) {
        make_sample("psys", 0, i * 1000000000, values[i], 0);
        assert_true(tvg_meters_add(meters, 0, "a", payload(), payload_length()));
    }
    assert_true(fabs(tvg_meters_totals(meters, &count)->joules - 5.0) < 1e-9);
    tvg_meters_free(meters);
}

/* --- counters ------------------------------------------------------------------------------------------------------------------ */

static void make_counters(const char *event, const uint64_t (*rows)[3], uint32_t count)
{
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_array(&map, "events", 1);
    tvg_map_string(&map, NULL, event);
    tvg_map_array(&map, "rows", count);
    for (uint32_t i = 0; i < count; i++) {
        tvg_map_array(&map, NULL, 3);
        for (int k = 0; k < 3; k++) tvg_map_uint(&map, NULL, rows[i][k]);
    }
    block_length = tvg_map_end(&map, TVG_BLOCK_COUNTERS);
}

static void test_counters_add_up(void **state)
{
    struct tvg_counters counters = {0};
    (void)state;
    make_counters("PAPI_TOT_INS", (const uint64_t[][3]){{9, 1, 100}, {2, 3, 50}, {9, 1, 1}}, 3);
    assert_true(tvg_counters_add(&counters, payload(), payload_length()));
    make_counters("PAPI_TOT_INS", (const uint64_t[][3]){{2, 1, 5}, {4294967295u, 7, 8}, {0, 1, 1ull << 60}}, 3);
    assert_true(tvg_counters_add(&counters, payload(), payload_length()));
    assert_int_equal(counters.row_count, 4);
    assert_string_equal(counters.event[0], "PAPI_TOT_INS");
    assert_int_equal(tvg_counters_find(&counters, 9)->value[0], 101);
    assert_int_equal(tvg_counters_find(&counters, 9)->calls, 2);
    assert_int_equal(tvg_counters_find(&counters, 2)->value[0], 55);
    assert_int_equal(tvg_counters_find(&counters, 2)->calls, 4);
    assert_true(tvg_counters_find(&counters, 0)->value[0] == 1ull << 60);
    assert_int_equal(tvg_counters_find(&counters, TVG_OP_ID_NONE)->calls, 7);
    assert_null(tvg_counters_find(&counters, 3));
    make_counters("another", (const uint64_t[][3]){{2, 1, 5}}, 1);
    assert_false(tvg_counters_add(&counters, payload(), payload_length()));
    assert_int_equal(tvg_counters_find(&counters, 2)->value[0], 55);
    tvg_counters_free(&counters);
}

/* --- stacks ---------------------------------------------------------------------------------------------------------------------- */

static void make_stacks(uint32_t library, uint32_t stack, uint32_t frames)
{
    struct tvg_map map;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_array(&map, "libs", 1);
    tvg_map_array(&map, NULL, 3);
    tvg_map_uint(&map, NULL, library);
    tvg_map_string(&map, NULL, "/lib/libfoo.so");
    tvg_map_binary(&map, NULL, "\x01\xab", 2);
    tvg_map_array(&map, "stacks", 1);
    tvg_map_array(&map, NULL, 1 + 2 * frames);
    tvg_map_uint(&map, NULL, stack);
    for (uint32_t i = 0; i < frames; i++) {
        tvg_map_uint(&map, NULL, library);
        tvg_map_uint(&map, NULL, 1000 + i);
    }
    tvg_map_array(&map, "samples", 2);
    for (uint32_t i = 0; i < 2; i++) {
        tvg_map_array(&map, NULL, 3);
        tvg_map_uint(&map, NULL, 5 + i);
        tvg_map_uint(&map, NULL, stack);
        tvg_map_uint(&map, NULL, 1u << i);
    }
    block_length = tvg_map_end(&map, TVG_BLOCK_STACKS);
}

static void test_stacks_collect(void **state)
{
    struct tvg_stacks stacks = {0};
    (void)state;
    make_stacks(1, 0, 3);
    assert_true(tvg_stacks_add(&stacks, payload(), payload_length()));
    for (uint32_t i = 1; i < 40; i++) {
        make_stacks(i % 3, i, 2);
        assert_true(tvg_stacks_add(&stacks, payload(), payload_length()));
    }
    assert_int_equal(stacks.library_count, 3);
    assert_string_equal(stacks.libraries[1].path, "/lib/libfoo.so");
    assert_string_equal(stacks.libraries[1].build_id, "01ab");
    assert_int_equal(stacks.stack_count, 40);
    assert_int_equal(stacks.stacks[0].frame_count, 3);
    assert_int_equal(stacks.stacks[0].frames[2].offset, 1002);
    assert_int_equal(stacks.stacks[39].frames[1].library, 0);
    assert_int_equal(stacks.sample_count, 80);
    assert_int_equal(stacks.samples[79].op_id, 6);
    assert_int_equal(stacks.samples[79].stack, 39);
    assert_int_equal(stacks.samples[79].occurrence, 2);
    tvg_stacks_free(&stacks);
}

/* --- names ------------------------------------------------------------------------------------------------------------------------- */

__attribute__((noinline)) int a_function_to_be_named(int x);
__attribute__((noinline)) int a_function_to_be_named(int x)
{
    __asm__ volatile("" : "+r"(x));
    return x * 3;
}

static int own_base(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    *(uint64_t *)context = info->dlpi_addr;
    return 1;
}

static void test_addresses_are_named(void **state)
{
    char path[4096], out[256];
    uint64_t base = 0;
    struct tvg_symbols *symbols = tvg_symbols_new();
    (void)state;
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    assert_true(n > 0);
    path[n] = 0;
    dl_iterate_phdr(own_base, &base);
    uint64_t offset = (uint64_t)(uintptr_t)a_function_to_be_named - base + 2;
    struct tvg_stack_library library = {path, (char[]){""}};
    assert_non_null(strstr(tvg_symbols_name(symbols, &library, offset, out, sizeof out), "a_function_to_be_named+0x2 (test_sources_decode)"));
    library.build_id = (char[]){"00ff"}; /* another build: a name would be a guess */
    char expected[256];
    snprintf(expected, sizeof expected, "test_sources_decode+0x%" PRIx64, offset);
    assert_string_equal(tvg_symbols_name(symbols, &library, offset, out, sizeof out), expected);
    struct tvg_stack_library gone = {(char[]){"/no/such/libgone.so"}, (char[]){""}};
    assert_string_equal(tvg_symbols_name(symbols, &gone, 0x12, out, sizeof out), "libgone.so+0x12");
    assert_string_equal(tvg_symbols_name(symbols, NULL, 0x12, out, sizeof out), "0x12");
    assert_int_equal(a_function_to_be_named(2), 6);
    tvg_symbols_free(symbols);
}

/* --- manifest and lies ----------------------------------------------------------------------------------------------------------------- */

static void keep(const char *key, const char *value, void *context)
{
    char *out = context;
    size_t used = strlen(out);
    snprintf(out + used, 512 - used, "%s=%s;", key, value);
}

static void test_manifest_pairs(void **state)
{
    struct tvg_map map;
    char out[512] = "";
    (void)state;
    tvg_map_begin(&map, block, sizeof block);
    tvg_map_string(&map, "cpu.model", "A CPU");
    tvg_map_map(&map, "later", 2);
    tvg_map_uint(&map, "n", 7);
    tvg_map_binary(&map, "id", "\x0f\xf0", 2);
    tvg_map_array(&map, "list", 1);
    tvg_map_int(&map, NULL, -3);
    block_length = tvg_map_end(&map, TVG_BLOCK_MANIFEST);
    assert_true(tvg_manifest_read(payload(), payload_length(), keep, out));
    assert_string_equal(out, "cpu.model=A CPU;later.n=7;later.id=0ff0;list.0=-3;");
}

/* A payload with bytes changed or cut off is refused or taken, but never crashes (the sanitizer build watches). */
static void test_damaged_payloads(void **state)
{
    uint8_t damaged[sizeof block];
    (void)state;
    srand(11);
    for (int kind = 0; kind < 3; kind++) {
        if (kind == 0) make_sample("package-0", 100, 5, 6, 7);
        if (kind == 1) make_counters("x", (const uint64_t[][3]){{9, 1, 100}, {2, 3, 50}}, 2);
        if (kind == 2) make_stacks(2, 3, 4);
        for (int round = 0; round < 20000; round++) {
            size_t length = payload_length();
            memcpy(damaged, payload(), length);
            for (int i = rand() % 3; i >= 0; i--) damaged[(size_t)rand() % length] = (uint8_t)rand();
            if (rand() % 4 == 0) length = (size_t)rand() % length;
            struct tvg_meters *meters = tvg_meters_new();
            struct tvg_counters counters = {0};
            struct tvg_stacks stacks = {0};
            char out[512] = "";
            uint32_t count;
            tvg_meters_add(meters, 0, "a", damaged, length);
            tvg_meters_totals(meters, &count);
            tvg_counters_add(&counters, damaged, length);
            tvg_stacks_add(&stacks, damaged, length);
            tvg_manifest_read(damaged, length, keep, out);
            tvg_meters_free(meters);
            tvg_counters_free(&counters);
            tvg_stacks_free(&stacks);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_process_wraps), cmocka_unit_test(test_processes_are_joined), cmocka_unit_test(test_hosts_are_not_joined),
        cmocka_unit_test(test_a_reset_of_unknown_range_counts_nothing), cmocka_unit_test(test_counters_add_up), cmocka_unit_test(test_stacks_collect),
        cmocka_unit_test(test_addresses_are_named), cmocka_unit_test(test_manifest_pairs), cmocka_unit_test(test_damaged_payloads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
