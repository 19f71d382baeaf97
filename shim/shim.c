/* Where the dynamic linker enters and leaves the shim. */
#include "intercept/inline.h"
#include "intercept/preload.h"
#include "record/state.h"

static void __attribute__((constructor)) load(int argc, char **argv, char **envp)
{
    tvg_load(argc, argv, envp);
    if (!tvg_settings.off && !tvg_preload_look())
        tvg_settings.off = true;
    tvg_rings_load();
    tvg_linker_load();
    if (!tvg_settings.off)
        tvg_inline_start();
}

static void __attribute__((destructor)) unload(void)
{
    tvg_process_end();
}
