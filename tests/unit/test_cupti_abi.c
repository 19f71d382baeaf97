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

/* Ids as cupti_driver_cbid.h has them, and what CUPTI passes as their arguments (generated_cuda_meta.h). */
static void calls_are_those_of_the_documented_interface(void **unused)
{
    (void)unused;
    static const struct { uint16_t id; uint8_t call; } known[] = {
        {17 /* cuCtxSynchronize */, CUPTI_CALL_WAIT_CONTEXT}, {119 /* cuEventRecord */, CUPTI_CALL_EVENT_RECORD}, {121 /* cuEventSynchronize */, CUPTI_CALL_WAIT_EVENT},
        {126 /* cuStreamSynchronize */, CUPTI_CALL_WAIT_STREAM}, {295 /* cuStreamWaitEvent */, CUPTI_CALL_STREAM_WAIT}, {307 /* cuLaunchKernel */, CUPTI_CALL_LAUNCH},
        {278 /* cuMemcpyDtoH_v2 */, CUPTI_CALL_COPY}, {279 /* cuMemcpyDtoHAsync_v2 */, CUPTI_CALL_COPY}, {422 /* cuMemcpyDtoHAsync_v2_ptsz */, CUPTI_CALL_COPY},
        {249 /* cuMemsetD8_v2 */, CUPTI_CALL_LAUNCH}, {436 /* cuStreamWaitEvent_ptsz */, CUPTI_CALL_STREAM_WAIT | CUPTI_CALL_PER_THREAD},
        {440 /* cuStreamSynchronize_ptsz */, CUPTI_CALL_WAIT_STREAM | CUPTI_CALL_PER_THREAD}, {441 /* cuEventRecord_ptsz */, CUPTI_CALL_EVENT_RECORD | CUPTI_CALL_PER_THREAD},
        {514 /* cuGraphLaunch */, CUPTI_CALL_GRAPH_LAUNCH}, {540 /* cuStreamBeginCapture_v2_ptsz */, CUPTI_CALL_CAPTURE_BEGIN | CUPTI_CALL_PER_THREAD},
        {497 /* cuStreamEndCapture */, CUPTI_CALL_CAPTURE_END}, {325 /* cuEventDestroy_v2 */, CUPTI_CALL_EVENT_DESTROY}, {245 /* cuMemFree_v2 */, CUPTI_CALL_FREE},
        {800 /* cuCtxSynchronize_v2 */, CUPTI_CALL_WAIT_THAT_CONTEXT}, {120 /* cuEventQuery */, CUPTI_CALL_NONE}, {125 /* cuStreamQuery */, CUPTI_CALL_NONE},
        {243 /* cuMemAlloc_v2 */, CUPTI_CALL_NONE}, {294 /* cuMemAllocHost_v2 */, CUPTI_CALL_NONE}};
    uint8_t call[CUPTI_DRIVER_CALLS] = {0};
    for (size_t i = 0; i < sizeof cupti_driver_calls / sizeof cupti_driver_calls[0]; i++)
        for (uint32_t id = cupti_driver_calls[i].first; id <= cupti_driver_calls[i].last; id++) {
            assert_true(id < CUPTI_DRIVER_CALLS);
            assert_int_equal(call[id], CUPTI_CALL_NONE); /* none is said twice */
            call[id] = cupti_driver_calls[i].call;
        }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        assert_int_equal(call[known[i].id], known[i].call);
    assert_int_equal(offsetof(struct cupti_callback_data, function_params), 16);
    assert_int_equal(offsetof(struct cupti_callback_data, return_value), 24);
    assert_int_equal(offsetof(struct cupti_callback_data, context), 40);
    assert_int_equal(offsetof(struct cupti_resource_data, stream), 8);
    assert_int_equal(offsetof(struct cupti_record_call, stream), 8);
    assert_int_equal(offsetof(struct cupti_wait_call, event), 8);
    assert_int_equal(offsetof(struct cupti_graph_launch, stream), 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(offsets_are_those_of_the_documented_interface), cmocka_unit_test(calls_are_those_of_the_documented_interface)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
