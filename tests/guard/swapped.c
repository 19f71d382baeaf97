/* For test_patch_safety.py: `swapped ENGINE OTHER SHIM`: the engine's file is replaced by another one after it was loaded; then the shim comes. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

#include "engine.h"

static float (*load(const char *path))(long, long)
{
    void *handle = dlopen(path, RTLD_NOW);
    float (*run)(long, long) = NULL;
    if (handle) *(void **)&run = dlsym(handle, "engine_run");
    if (!run) fprintf(stderr, "%s\n", dlerror());
    return run;
}

int main(int argc, char **argv)
{
    char scratch[4200];
    alarm(30);
    if (argc < 4) return 64;
    float (*engine)(long, long) = load(argv[1]);
    snprintf(scratch, sizeof scratch, "%s.new", argv[1]);
    FILE *from = fopen(argv[2], "r"), *to = fopen(scratch, "w");
    if (!engine || !from || !to) return 1;
    for (int byte; (byte = getc(from)) != EOF;) putc(byte, to);
    if (fclose(to) != 0 || rename(scratch, argv[1]) != 0 || !dlopen(argv[3], RTLD_NOW)) return 2;
    float (*other)(long, long) = load(argv[2]);
    float first = engine(3, 1), second = other ? other(3, 1) : -1;
    return first == 7 && second == first + 3 ? 0 : (printf("%g %g\n", first, second), 3);
}
