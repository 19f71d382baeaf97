/* A host of LiteRT's C library: runs each signature's model on the CPU with inputs of one pattern.
 * Arguments: RUNS MODEL... Prints one JSON object: for each model a sum over the bytes of its outputs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef void *handle;
struct ranked { int32_t type; uint32_t layout[17]; };
int LiteRtCreateEnvironment(int, const void *, handle *);
int LiteRtCreateModelFromFile(handle, const char *, handle *);
int LiteRtCreateOptions(handle *);
int LiteRtSetOptionsHardwareAccelerators(handle, int);
int LiteRtCreateCompiledModel(handle, handle, handle, handle *);
int LiteRtRunCompiledModel(handle, size_t, size_t, handle *, size_t, handle *);
void LiteRtDestroyCompiledModel(handle);
void LiteRtDestroyModel(handle);
int LiteRtGetModelSignature(handle, size_t, handle *);
int LiteRtGetNumSignatureInputs(handle, size_t *);
int LiteRtGetNumSignatureOutputs(handle, size_t *);
int LiteRtGetSignatureInputTensorByIndex(handle, size_t, handle *);
int LiteRtGetSignatureOutputTensorByIndex(handle, size_t, handle *);
int LiteRtGetRankedTensorType(handle, struct ranked *);
int LiteRtGetCompiledModelInputBufferRequirements(handle, size_t, size_t, handle *);
int LiteRtGetCompiledModelOutputBufferRequirements(handle, size_t, size_t, handle *);
int LiteRtCreateManagedTensorBufferFromRequirements(handle, const struct ranked *, handle, handle *);
int LiteRtGetTensorBufferPackedSize(handle, size_t *);
int LiteRtLockTensorBuffer(handle, void **, int);
int LiteRtUnlockTensorBuffer(handle);

enum { CPU = 1, READ = 0, WRITE = 1, TENSORS_MAX = 16, FLOAT = 1 };

static void must(int status, const char *what)
{
    if (status != 0) {
        fprintf(stderr, "%s: status %d\n", what, status);
        exit(1);
    }
}
#define MUST(call) must(call, #call)

static uint64_t run(handle environment, const char *path, int runs)
{
    handle model, options, compiled, signature, requirements, tensor, given[TENSORS_MAX], taken[TENSORS_MAX];
    size_t inputs, outputs, size;
    struct ranked type;
    void *memory;
    uint64_t sum = 14695981039346656037u;
    MUST(LiteRtCreateModelFromFile(environment, path, &model));
    MUST(LiteRtCreateOptions(&options));
    MUST(LiteRtSetOptionsHardwareAccelerators(options, CPU));
    MUST(LiteRtCreateCompiledModel(environment, model, options, &compiled));
    MUST(LiteRtGetModelSignature(model, 0, &signature));
    MUST(LiteRtGetNumSignatureInputs(signature, &inputs));
    MUST(LiteRtGetNumSignatureOutputs(signature, &outputs));
    for (size_t i = 0; i < inputs; i++) {
        MUST(LiteRtGetSignatureInputTensorByIndex(signature, i, &tensor));
        MUST(LiteRtGetRankedTensorType(tensor, &type));
        MUST(LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, i, &requirements));
        MUST(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &given[i]));
        MUST(LiteRtGetTensorBufferPackedSize(given[i], &size));
        MUST(LiteRtLockTensorBuffer(given[i], &memory, WRITE));
        for (size_t j = 0; type.type == FLOAT && j < size / sizeof(float); j++)
            ((float *)memory)[j] = (float)(j % 17) / 16 - 0.5f;
        MUST(LiteRtUnlockTensorBuffer(given[i]));
    }
    for (size_t i = 0; i < outputs; i++) {
        MUST(LiteRtGetSignatureOutputTensorByIndex(signature, i, &tensor));
        MUST(LiteRtGetRankedTensorType(tensor, &type));
        MUST(LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, i, &requirements));
        MUST(LiteRtCreateManagedTensorBufferFromRequirements(environment, &type, requirements, &taken[i]));
    }
    for (int i = 0; i < runs; i++)
        MUST(LiteRtRunCompiledModel(compiled, 0, inputs, given, outputs, taken));
    for (size_t i = 0; i < outputs; i++) {
        MUST(LiteRtGetTensorBufferPackedSize(taken[i], &size));
        MUST(LiteRtLockTensorBuffer(taken[i], &memory, READ));
        for (size_t j = 0; j < size; j++)
            sum = (sum ^ ((unsigned char *)memory)[j]) * 1099511628211u;
        MUST(LiteRtUnlockTensorBuffer(taken[i]));
    }
    LiteRtDestroyCompiledModel(compiled);
    LiteRtDestroyModel(model);
    return sum;
}

int main(int count, char **arguments)
{
    handle environment;
    MUST(LiteRtCreateEnvironment(0, NULL, &environment));
    printf("{\"sums\": [");
    for (int i = 2; i < count; i++)
        printf("%s\"%016llx\"", i > 2 ? ", " : "", (unsigned long long)run(environment, arguments[i], atoi(arguments[1])));
    printf("]}\n");
    return 0;
}
