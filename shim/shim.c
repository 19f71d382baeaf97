/* Where the dynamic linker enters and leaves the shim. */
#include "intercept/inline.h"
#include "record/state.h"

static void __attribute__((constructor)) load(int argc, char **argv, char **envp)
{
    tvg_load(argc, argv, envp);
    tvg_rings_load();
    tvg_linker_load();
    tvg_inline_start();
}

static void __attribute__((destructor)) unload(void)
{
    tvg_process_end();
}
