/* A host that opens, calls and closes libraries as its arguments say, for tests of which function a call reaches.
 *   open=PATH, global=PATH, deep=PATH   dlopen with RTLD_LOCAL, RTLD_GLOBAL, RTLD_DEEPBIND; handles count from 0
 *   run=N      calls the `run` of handle N          at=N      keeps the address of its `run`; `same` says whether the last two kept are equal
 *   close=N    dlclose                              look=N    cblas_sgemm by dlsym from handle N, and calls it
 *   default    the same from RTLD_DEFAULT           main      from dlopen(NULL)
 *   pending    a failed dlopen leaves a message; a call follows; the message is still there */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void gemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
static float x[64];

static void try(void *handle)
{
    dlerror();
    gemm *function = (gemm *)dlsym(handle, "cblas_sgemm");
    const char *message = dlerror();
    if (!function)
        printf("none, %s\n", message && strstr(message, "cblas_sgemm") ? "and said so" : "but no message");
    else
        function(102, 111, 111, 2, 2, 2, 1, x, 2, x, 2, 0, x, 2);
}

int main(int argc, char **argv)
{
    void *handle[16], *at[2] = {NULL, NULL};
    int handles = 0;
    setvbuf(stdout, NULL, _IONBF, 0);
    for (int i = 1; i < argc; i++) {
        char *value = strchr(argv[i], '=');
        int n = value ? atoi(value + 1) : 0;
        if (value)
            *value++ = 0;
        if (strcmp(argv[i], "open") == 0 || strcmp(argv[i], "global") == 0 || strcmp(argv[i], "deep") == 0) {
            int flags = argv[i][0] == 'g' ? RTLD_GLOBAL : argv[i][0] == 'd' ? RTLD_DEEPBIND : RTLD_LOCAL;
            if (!(handle[handles++] = dlopen(value, RTLD_NOW | flags)))
                printf("cannot open: %s\n", dlerror());
        } else if (strcmp(argv[i], "run") == 0)
            ((void (*)(void))dlsym(handle[n], "run"))();
        else if (strcmp(argv[i], "at") == 0) {
            at[0] = at[1];
            at[1] = dlsym(handle[n], "run");
        } else if (strcmp(argv[i], "same") == 0)
            fprintf(stderr, "%s\n", at[0] == at[1] ? "same address" : "other address");
        else if (strcmp(argv[i], "close") == 0)
            printf("closed %d\n", dlclose(handle[n]));
        else if (strcmp(argv[i], "look") == 0)
            try(handle[n]);
        else if (strcmp(argv[i], "default") == 0)
            try(RTLD_DEFAULT);
        else if (strcmp(argv[i], "main") == 0)
            try(dlopen(NULL, RTLD_NOW));
        else if (strcmp(argv[i], "pending") == 0) {
            dlopen("/nonexistent.so", RTLD_NOW);
            ((void (*)(void))dlsym(handle[0], "run"))();
            dlopen("/nonexistent.so", RTLD_NOW);
            void (*run)(void) = (void (*)(void))at[1];
            run();
            printf("%s\n", dlerror());
        } else
            return 2;
    }
    return 0;
}
