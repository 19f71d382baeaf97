/* The CUDA driver's door: GPU sources start when cuInit succeeded. Programs reach it by linking, by dlsym, or (a static or dynamic CUDA
 * runtime) through cuGetProcAddress, which hands out driver functions by name. */
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "../intercept/catch.h"
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../sources/gpu.h"

int tvg_hook_cuInit(unsigned flags);
TVG_HOOK_BODY int tvg_hook_cuInit(unsigned flags)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(unsigned) = (int (*)(unsigned))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int result = real(flags);
    int saved = errno;
    if (result == 0)
        tvg_gpu_initialised();
    errno = saved;
    return result;
}

/* Puts the wrapper in place of a function that the driver handed out under `symbol`. */
static void replace(const char *symbol, void **function, int version)
{
    if (!symbol || !function || !*function)
        return;
    static const char *const as_asked[] = {"cuInit", "cuGetProcAddress_v2", "cuLaunchKernel", "cuLaunchKernelEx", "cuLaunchCooperativeKernel", "cuGraphLaunch"};
    const char *name = NULL;
    if (strcmp(symbol, "cuGetProcAddress") == 0)
        name = version >= 12000 ? "cuGetProcAddress_v2" : "cuGetProcAddress";
    for (size_t i = 0; !name && i < sizeof as_asked / sizeof as_asked[0]; i++)
        if (strcmp(symbol, as_asked[i]) == 0)
            name = symbol;
    const struct tvg_catch *catch = name ? tvg_catch_by_name(name) : NULL;
    if (catch && !tvg_is_own(*function))
        *function = tvg_catch_bind(catch, *function);
}

int tvg_hook_cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags);
TVG_HOOK_BODY int tvg_hook_cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(const char *, void **, int, uint64_t) =
        (int (*)(const char *, void **, int, uint64_t))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int result = real(symbol, function, version, flags);
    if (result == 0)
        replace(symbol, function, version);
    return result;
}

int tvg_hook_cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, void *status);
TVG_HOOK_BODY int tvg_hook_cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, void *status)
{
    TVG_TAKE_ENTRY(entry);
    int (*real)(const char *, void **, int, uint64_t, void *) =
        (int (*)(const char *, void **, int, uint64_t, void *))(uintptr_t)tvg_target(entry, __builtin_return_address(0));
    int result = real(symbol, function, version, flags, status);
    if (result == 0)
        replace(symbol, function, version);
    return result;
}

/* A profiler of the host (torch.profiler, an NVIDIA tool) registers buffers of its own: CUPTI serves one client. */
int tvg_hook_cuptiActivityRegisterCallbacks(void *request, void *complete);
TVG_HOOK_BODY int tvg_hook_cuptiActivityRegisterCallbacks(void *request, void *complete)
{
    TVG_TAKE_ENTRY(entry);
    void *const caller = __builtin_return_address(0);
    int (*real)(void *, void *) = (int (*)(void *, void *))(uintptr_t)tvg_target(entry, caller);
    tvg_cupti_yield(tvg_object_name(caller, NULL));
    return real(request, complete);
}

/* So does the place of the one subscriber to its callbacks. */
int tvg_hook_cuptiSubscribe(void **subscriber, void *function, void *context);
TVG_HOOK_BODY int tvg_hook_cuptiSubscribe(void **subscriber, void *function, void *context)
{
    TVG_TAKE_ENTRY(entry);
    void *const caller = __builtin_return_address(0);
    int (*real)(void **, void *, void *) = (int (*)(void **, void *, void *))(uintptr_t)tvg_target(entry, caller);
    tvg_cupti_yield(tvg_object_name(caller, NULL));
    return real(subscriber, function, context);
}
