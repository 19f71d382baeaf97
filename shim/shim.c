/* Where the dynamic linker enters and leaves the shim. */
#include "intercept/catch.h"
#include "intercept/inline.h"
#include "intercept/preload.h"
#include "intercept/sanitizer.h"
#include "record/state.h"

static void __attribute__((constructor)) load(int argc, char **argv, char **envp)
{
    tvg_dlsym_load(); /* sanitizers look their functions up */
    tvg_sanitizer_start();
    tvg_load(argc, argv, envp);
    if (!tvg_settings.off && !tvg_preload_look())
        tvg_settings.off = true;
    tvg_dlsym_load(); /* past a copy of the shim */
    tvg_rings_load();
    tvg_linker_load();
    if (!tvg_settings.off)
        tvg_inline_start();
}

static void __attribute__((destructor)) unload(void)
{
    tvg_process_end();
}
