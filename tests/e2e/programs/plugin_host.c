/* Loads the plugin named by its argument, runs it, unloads it, and all that once more. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    for (int i = 0; argc > 1 && i < 2; i++) {
        void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        int (*run)(void) = plugin ? (int (*)(void))dlsym(plugin, "run") : NULL;
        if (!run) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        printf("gives %d\n", run());
        dlclose(plugin);
    }
    return argc < 2;
}
