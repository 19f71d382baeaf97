/* The records of CUPTI as tvg wrote them down: offsets as the headers of CUDA 11.0 to 13.0 have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shim/sources/cupti_abi.h"

static void offsets_are_those_of_the_documented_interface(void **unused)
{
    (void)unused;
    assert_int_equal(offsetof(struct cupti_kernel, registers), 6);
    assert_int_equal(offsetof(struct cupti_kernel, start), 16);
    assert_int_equal(offsetof(struct cupti_kernel, device), 40);
    assert_int_equal(offsetof(struct cupti_kernel, grid), 52);
    assert_int_equal(offsetof(struct cupti_kernel, static_shared), 76);
    assert_int_equal(offsetof(struct cupti_kernel, correlation), 92);
    assert_int_equal(offsetof(struct cupti_kernel, name), 104);
    assert_int_equal(offsetof(struct cupti_kernel, graph_node), 144);
    assert_int_equal(offsetof(struct cupti_kernel, graph), 156);
    assert_int_equal(offsetof(struct cupti_memcpy, bytes), 8);
    assert_int_equal(offsetof(struct cupti_memcpy, correlation), 44);
    assert_int_equal(offsetof(struct cupti_memset, correlation), 44);
    assert_int_equal(offsetof(struct cupti_memcpy, graph_node), 64);
    assert_int_equal(offsetof(struct cupti_memset, graph_node), 64);
    assert_int_equal(offsetof(struct cupti_callback_data, correlation), 64);
    assert_int_equal(offsetof(struct cupti_resource_data, descriptor), 16);
    assert_int_equal(offsetof(struct cupti_graph_data, node), 16);
    assert_int_equal(offsetof(struct cupti_graph_data, node_type), 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(offsets_are_those_of_the_documented_interface)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
