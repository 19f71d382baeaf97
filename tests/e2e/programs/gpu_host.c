/* A host of the stand-ins: finds cuInit as the CUDA runtime does, computes, launches a kernel of its own, uses energy. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fake_gpu.h"
int cublasSgemm_v2(void *, int, int, int, int, int, const float *, const float *, int, const float *, int, const float *, float *, int);
int cuptiActivityRegisterCallbacks(void *, void *);
static void nobody(void) {}

int main(int count, char **arguments)
{
    const char *how = count > 1 ? arguments[1] : "";
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW);
    int (*find)(const char *, void **, int, uint64_t, void *) = (int (*)(const char *, void **, int, uint64_t, void *))(uintptr_t)dlsym(cuda, "cuGetProcAddress_v2");
    void *init = 0;
    if (!find || find("cuInit", &init, 12000, 0, 0) != 0 || ((int (*)(unsigned))(uintptr_t)init)(0) != 0)
        return 9;
    float one = 1, room[4] = {0};
    for (int i = 0; i < 20; i++) {
        int status = cublasSgemm_v2(0, 0, 1, 96, 64, 32, &one, room, 96, room, 64, &one, room, 96);
        fake_cupti_launch("elementwise_kernel", 5000, 256);
        fake_nvml_add(2000);
        struct timespec pause = {0, 25000000};
        nanosleep(&pause, 0);
        if (status)
            return 8;
    }
    if (cublasSgemm_v2(0, 0, 0, -1, 1, 1, &one, room, 1, room, 1, &one, room, 1) != 7)
        return 7;
    if (strcmp(how, "graph") == 0) { /* two products and a kernel captured; replayed five times */
        fake_cupti_capture(1);
        cublasSgemm_v2(0, 0, 1, 8, 8, 8, &one, room, 8, room, 8, &one, room, 8);
        fake_cupti_launch("elementwise_kernel", 0, 1);
        cublasSgemm_v2(0, 0, 1, 8, 8, 8, &one, room, 8, room, 8, &one, room, 8);
        fake_cupti_capture(0);
        for (int i = 0; i < 5; i++)
            fake_cupti_replay();
    }
    if (strcmp(how, "profiler") == 0) {
        cuptiActivityRegisterCallbacks((void *)(uintptr_t)nobody, (void *)(uintptr_t)nobody);
        puts("the host's own profiler is on");
    }
    puts("done");
    fflush(stdout);
    if (strcmp(how, "_exit") == 0)
        _exit(3);
    if (strcmp(how, "kill") == 0)
        abort();
    return 0;
}
