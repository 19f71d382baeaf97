/* Launches of kernels and graphs, counted at the driver's door while CUPTI's recording is off: between windows (sources/kernel_windows.h) their number
 * is known, only their times are not. Programs get here as they get to cuInit; what is handed out as the variant for a thread's own stream is
 * counted under the same name. */
#include "../intercept/resolve.h"
#include "../intercept/wrapper.h"
#include "../sources/kernel_windows.h"

#define LAUNCH(what, type, ...)                                                                \
    TVG_TAKE_ENTRY(entry);                                                                     \
    type *real = TVG_FUNCTION(type, tvg_target(entry, __builtin_return_address(0)));           \
    tvg_windows_launched(what);                                                                \
    return real(__VA_ARGS__)

typedef int launch_kernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
launch_kernel tvg_hook_cuLaunchKernel;
TVG_HOOK_BODY int tvg_hook_cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared,
                                          void *stream, void **parameters, void **extra)
{
    LAUNCH(TVG_LAUNCHED_KERNEL, launch_kernel, function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream, parameters, extra);
}

typedef int launch_kernel_ex(const void *, void *, void **, void **);
launch_kernel_ex tvg_hook_cuLaunchKernelEx;
TVG_HOOK_BODY int tvg_hook_cuLaunchKernelEx(const void *configuration, void *function, void **parameters, void **extra)
{
    LAUNCH(TVG_LAUNCHED_KERNEL, launch_kernel_ex, configuration, function, parameters, extra);
}

typedef int launch_cooperative(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **);
launch_cooperative tvg_hook_cuLaunchCooperativeKernel;
TVG_HOOK_BODY int tvg_hook_cuLaunchCooperativeKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                                                     unsigned shared, void *stream, void **parameters)
{
    LAUNCH(TVG_LAUNCHED_KERNEL, launch_cooperative, function, grid_x, grid_y, grid_z, block_x, block_y, block_z, shared, stream, parameters);
}

typedef int launch_graph(void *, void *);
launch_graph tvg_hook_cuGraphLaunch;
TVG_HOOK_BODY int tvg_hook_cuGraphLaunch(void *graph, void *stream)
{
    LAUNCH(TVG_LAUNCHED_GRAPH, launch_graph, graph, stream);
}
