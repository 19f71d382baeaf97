/* Arbitrary bytes as a device file: parsed, checked and, when it holds, used. Nothing of it may crash or give a figure that is not finite. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/device.h"
#include "analyzer/energy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tvg_device *device;
    struct tvg_error error;
    memset(&error, 0, sizeof error);
    if (!tvg_device_parse(&device, (const char *)data, size, "fuzz", &error)) {
        if (device || !error.message[0])
            abort(); /* refused without a message, or with a device */
        return 0;
    }
    struct tvg_op op = {.kind = TVG_KIND_GEMM, .type_a = TVG_TYPE_F32, .type_b = TVG_TYPE_F32, .type_c = TVG_TYPE_F32, .type_compute = TVG_TYPE_F32,
                        .m = 64, .n = 64, .k = 64, .threads = 1};
    tvg_op_count(&op);
    struct tvg_interval joules = tvg_energy_of_op(&op, 10, device);
    double seconds = tvg_roofline_seconds(&op, device, 1);
    if (!isfinite(joules.value) || !(joules.low <= joules.value && joules.value <= joules.high) || !(seconds >= 0) || !device->name[0])
        abort();
    tvg_device_free(device);
    return 0;
}
