/* The host of test_guard.py's dlclose: `unload FIRST SECOND` loads, uses and unloads two plugins by turns; each brings its own BLAS. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 0; i < 10 && argc > 2; i++) {
        void *plugin = dlopen(argv[1 + i % 2], RTLD_NOW | RTLD_LOCAL);
        void (*use)(int, int) = plugin ? (void (*)(int, int))dlsym(plugin, "use") : NULL;
        if (!use) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        use(10, 1 + i % 2);
        dlclose(plugin);
    }
    printf("{\"1\": 50, \"2\": 50}\n");
    return 0;
}
