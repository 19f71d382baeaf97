/* A host that launches many short kernels through the driver's door, products, kernels of its own and graphs, and prints what truly ran: names,
 * counts, ns. How long kernels take drifts, so that windows of recording differ.   windows_host SECONDS [pause|profiler|_exit|idle|fork]
 * FAKE_TURN_US: microseconds from one turn to the next (100). FAKE_NO_DOOR: kernels don't come through cuLaunchKernel. */
#include <dlfcn.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fake_gpu.h"
int cublasSgemm_v2(void *, int, int, int, int, int, const float *, const float *, int, const float *, int, const float *, float *, int);
int cuptiActivityRegisterCallbacks(void *, void *);
static void nobody(void) {}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec * 1e-9;
}

int main(int count, char **arguments)
{
    double seconds = count > 1 ? atof(arguments[1]) : 1;
    const char *how = count > 2 ? arguments[2] : "";
    void *cuda = dlopen("libcuda.so.1", RTLD_NOW), *init = 0, *launch = 0, *graph = 0;
    int (*find)(const char *, void **, int, uint64_t, void *) = (int (*)(const char *, void **, int, uint64_t, void *))(uintptr_t)dlsym(cuda, "cuGetProcAddress_v2");
    if (!find || find("cuInit", &init, 12000, 0, 0) != 0 || find("cuLaunchKernel", &launch, 12000, 2, 0) != 0 || find("cuGraphLaunch", &graph, 12000, 0, 0) != 0 ||
        ((int (*)(unsigned))(uintptr_t)init)(0) != 0)
        return 9;
    fake_cupti_serial(getenv("FAKE_NO_DOOR") ? NULL : (fake_launch *)(uintptr_t)launch);
    void (*pause_recording)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "tvg_pause"), (*resume)(void) = (void (*)(void))(uintptr_t)dlsym(RTLD_DEFAULT, "tvg_resume");
    float one = 1, room[4] = {0};
    fake_cupti_capture(1);
    cublasSgemm_v2(0, 0, 1, 8, 8, 8, &one, room, 8, room, 8, &one, room, 8);
    fake_cupti_capture(0);
    double begun = now(), due = begun, turn = (getenv("FAKE_TURN_US") ? atof(getenv("FAKE_TURN_US")) : 100) * 1e-6;
    unsigned long turns = 0, small = 0, large = 0, replays = 0, forked = 0;
    for (; now() < begun + seconds; turns++, due += turn) {
        double drift = 1 + 0.25 * sin((due - begun) * 9) + 0.2 * ((double)rand() / RAND_MAX - 0.5);
        while (now() < due)
            ;
        if (now() > due + 5e-3)
            due = now(); /* a busy machine: don't make up for it */
        fake_cublas_takes((uint64_t)(8000 * drift));
        cublasSgemm_v2(0, 0, 1, 96, 64, 32, &one, room, 96, room, 64, &one, room, 96);
        small++;
        if (turns % 3 == 0) {
            fake_cublas_takes((uint64_t)(20000 * drift));
            cublasSgemm_v2(0, 0, 1, 200, 64, 32, &one, room, 200, room, 64, &one, room, 200);
            large++;
        }
        fake_cupti_launch("elementwise_kernel", (uint64_t)(4000 * drift), 256);
        if (turns % 8 == 0) {
            ((int (*)(void *, void *))(uintptr_t)graph)(0, 0);
            replays++;
        }
        if (turns % 100 == 0)
            fake_nvml_add(2000);
        double part = (now() - begun) / seconds;
        if (strcmp(how, "pause") == 0 && part > 0.4 && part < 0.6) {
            pause_recording();
            while (now() < begun + 0.6 * seconds)
                ;
            resume();
            due = now();
        }
        if (strcmp(how, "idle") == 0 && part > 0.3 && part < 0.6) {
            usleep((useconds_t)(0.3 * seconds * 1e6));
            due = now();
        }
        if (strcmp(how, "fork") == 0 && part > 0.5 && !forked++) {
            pid_t child = fork();
            if (child == 0) {
                for (int i = 0; i < 100; i++)
                    cublasSgemm_v2(0, 0, 1, 77, 64, 32, &one, room, 77, room, 64, &one, room, 77);
                return 0;
            }
            int status = 0;
            if (waitpid(child, &status, 0) != child || status != 0)
                return 8;
            due = now();
        }
        if (strcmp(how, "profiler") == 0 && part > 0.5) {
            cuptiActivityRegisterCallbacks((void *)(uintptr_t)nobody, (void *)(uintptr_t)nobody);
            break;
        }
    }
    printf("{\"small\": %lu, \"large\": %lu, \"replays\": %lu, \"seconds\": %f, \"kernels\": {", small, large, replays, now() - begun);
    const struct fake_total *total = fake_cupti_totals();
    for (int i = 0; total[i].name; i++)
        printf("%s\"%s\": [%lu, %lu]", i ? ", " : "", total[i].name, (unsigned long)total[i].count, (unsigned long)total[i].ns);
    puts("}}");
    fflush(stdout);
    if (strcmp(how, "_exit") == 0)
        _exit(3);
    return 0;
}
