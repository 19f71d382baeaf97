/* TensorFlow's own batched products on the CPU: Eigen computes them inline, so their sizes are not known. That they ran is said. */
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../record/record.h"

typedef void batch_matmul_function(void *kernel, void *context);
batch_matmul_function tvg_hook_tensorflow_batch_matmul;
TVG_HOOK_BODY void tvg_hook_tensorflow_batch_matmul(void *kernel, void *context)
{
    TVG_TAKE_ENTRY(entry);
    static bool said;
    if (!__atomic_load_n(&said, __ATOMIC_RELAXED)) {
        __atomic_store_n(&said, true, __ATOMIC_RELAXED);
        tvg_note("found-not-catchable", "BatchMatMul", "TensorFlow's batched products run inside Eigen here (its oneDNN kernels are off): they are not counted");
    }
    TVG_FUNCTION(batch_matmul_function, tvg_target(entry, NULL))(kernel, context);
}
