/* What kind of model a file or folder is: tiny ones written here byte by byte after the formats' descriptions, and what is none, cut off, or only weights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../analyzer/model_format.h"

static char folder[64];
static struct tvg_error error;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tvg-model.XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t count)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void assert_is(const char *name, enum tvg_model_format format, const char *opened)
{
    struct tvg_model model;
    bool known = tvg_model_recognise(path_of(name), &model, &error);
    if (!known) print_message("%s\n", error.message);
    assert_true(known);
    assert_int_equal(model.format, format);
    assert_string_equal(model.path, path_of(opened));
}

static void assert_refused(const char *name, const char *file, const char *reason)
{
    struct tvg_model model;
    assert_false(tvg_model_recognise(path_of(name), &model, &error));
    if (!strstr(error.message, reason) || !strstr(error.message, path_of(file))) print_message("%s\n", error.message);
    assert_non_null(strstr(error.message, reason));
    assert_non_null(strstr(error.message, path_of(file)));
}

/* --- files ------------------------------------------------------------------------------------------------------------------------------ */

/* ModelProto: ir_version 8, producer "pytorch", graph of 5 bytes, one opset. */
static const uint8_t onnx[] = "\x08\x08\x12\x07pytorch\x3a\x05\x0a\x03" "abc\x42\x02\x10\x11";

static void onnx_by_its_fields(void **state)
{
    (void)state;
    put("model.bin", onnx, sizeof onnx - 1);
    assert_is("model.bin", TVG_MODEL_ONNX, "model.bin");
    put("cut.onnx", onnx, sizeof onnx - 1 - 6);
    assert_refused("cut.onnx", "cut.onnx", "cut off: 16 bytes");
    put("no-graph.onnx", onnx, 11);
    assert_refused("no-graph.onnx", "no-graph.onnx", "no model that tvg run knows");
    put("other-field.onnx", "\x08\x08\x3a\x01z\x4a\x01z", 8); /* field 9 is none of a ModelProto */
    assert_refused("other-field.onnx", "other-field.onnx", "no model that tvg run knows");
}

static void magic_words(void **state)
{
    (void)state;
    put("a.onnx", "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    assert_is("a.onnx", TVG_MODEL_GGUF, "a.onnx");
    put("b", "\x1c\0\0\0TFL3\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    assert_is("b", TVG_MODEL_TFLITE, "b");
    put("cut.gguf", "GGUF\3\0", 6);
    assert_refused("cut.gguf", "cut.gguf", "cut off: 6 bytes");
    put_text("pointer.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    assert_refused("pointer.gguf", "pointer.gguf", "git lfs pull");
    put_text("page.gguf", "<!DOCTYPE html><html></html>");
    assert_refused("page.gguf", "page.gguf", "a web page");
    put("old.pt", "\x80\x02}q\0.", 6);
    assert_refused("old.pt", "old.pt", "pickle");
    put("empty.onnx", "", 0);
    assert_refused("empty.onnx", "empty.onnx", "is empty");
    put_text("notes.txt", "nothing of the kind");
    assert_refused("notes.txt", "notes.txt", "no model that tvg run knows");
    assert_refused("absent.gguf", "absent.gguf", "No such file");
}

/* A zip archive of empty files, only what its directory needs. */
static size_t zip(uint8_t *out, const char *const *names)
{
    size_t at = 0, start, count = 0;
    memcpy(out, "PK\3\4", 4);
    start = at = 64;
    for (; *names; names++, count++) {
        memset(out + at, 0, 46);
        memcpy(out + at, "PK\1\2", 4);
        out[at + 28] = (uint8_t)strlen(*names);
        memcpy(out + at + 46, *names, strlen(*names));
        at += 46 + strlen(*names);
    }
    memset(out + at, 0, 22);
    memcpy(out + at, "PK\5\6", 4);
    out[at + 10] = (uint8_t)count;
    out[at + 16] = (uint8_t)start;
    return at + 22;
}

static void zip_archives_by_their_entries(void **state)
{
    (void)state;
    uint8_t bytes[1024] = {0};
    static const struct {
        const char *names[4];
        enum tvg_model_format format;
    } cases[] = {
        {{"net/data.pkl", "net/code/__torch__.py", "net/constants.pkl"}, TVG_MODEL_TORCHSCRIPT},
        {{"net/data/weights/weight_0", "net/archive_format", "net/models/model.json"}, TVG_MODEL_TORCH_EXPORT},
        {{"metadata.json", "config.json", "model.weights.h5"}, TVG_MODEL_KERAS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("archive", bytes, zip(bytes, cases[i].names));
        assert_is("archive", cases[i].format, "archive");
    }
    const char *weights[] = {"net/data.pkl", "net/byteorder", NULL}, *other[] = {"readme.txt", NULL};
    size_t size = zip(bytes, weights);
    put("weights.pt", bytes, size);
    assert_refused("weights.pt", "weights.pt", "weights only");
    put("cut.pt", bytes, size - 30);
    assert_refused("cut.pt", "cut.pt", "cut off");
    put("other.zip", bytes, zip(bytes, other));
    assert_refused("other.zip", "other.zip", "none of TorchScript");
}

/* --- folders ------------------------------------------------------------------------------------------------------------------------------ */

static size_t safetensors(uint8_t *out)
{
    const char *header = "{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    memset(out, 0, 8);
    out[0] = (uint8_t)strlen(header);
    memcpy(out + 8, header, strlen(header));
    memset(out + 8 + strlen(header), 0, 8);
    return 8 + strlen(header) + 8;
}

static void a_folder_of_weights_and_configuration(void **state)
{
    (void)state;
    uint8_t bytes[256];
    size_t size = safetensors(bytes);
    mkdir(path_of("llama"), 0700);
    put("llama/model.safetensors", bytes, size);
    assert_refused("llama/model.safetensors", "llama/model.safetensors", "no config.json");
    put_text("llama/config.json", "{\"model_type\": \"llama\"}");
    assert_is("llama", TVG_MODEL_TRANSFORMERS, "llama");
    assert_is("llama/model.safetensors", TVG_MODEL_TRANSFORMERS, "llama");
    put("llama/model.safetensors", bytes, size - 1);
    assert_refused("llama", "llama/model.safetensors", "cut off or damaged");
    put("llama/model.safetensors", bytes, size);
    put_text("llama/config.json", "{\"model_type\": \n]");
    assert_refused("llama", "llama/config.json", "line 2");
    put_text("llama/config.json", "{}");
    assert_refused("llama", "llama/config.json", "neither a model_type nor architectures");
    put_text("llama/config.json", "{\"model_type\": \"llama\"}");
    assert_int_equal(unlink(path_of("llama/model.safetensors")), 0);
    assert_refused("llama", "llama", "no weights");
}

static void ctranslate2_and_saved_model_folders(void **state)
{
    (void)state;
    mkdir(path_of("ct2"), 0700);
    put("ct2/model.bin", "\6\0\0\0\x10\0TransformerSpec\0rest", 26);
    put_text("ct2/config.json", "{}");
    assert_is("ct2", TVG_MODEL_CTRANSLATE2, "ct2");
    mkdir(path_of("saved"), 0700);
    put("saved/saved_model.pb", "\x08\x01\x12\x03" "abc", 7);
    assert_is("saved", TVG_MODEL_SAVED_MODEL, "saved");
    assert_is("saved/saved_model.pb", TVG_MODEL_SAVED_MODEL, "saved");
    put("saved/saved_model.pb", "\x08\x01\x12\x03" "ab", 6);
    assert_refused("saved", "saved/saved_model.pb", "cut off");
}

static void the_one_model_in_a_folder(void **state)
{
    (void)state;
    mkdir(path_of("one"), 0700);
    assert_refused("one", "one", "without a model");
    put("one/model.onnx", onnx, sizeof onnx - 1);
    put_text("one/config.json", "{\"model_type\": \"bert\"}");
    put_text("one/tokenizer.json", "{}");
    assert_is("one", TVG_MODEL_ONNX, "one/model.onnx");
    put("one/other.onnx", onnx, sizeof onnx - 1);
    assert_refused("one", "one", "model.onnx, other.onnx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(onnx_by_its_fields, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(magic_words, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(zip_archives_by_their_entries, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_of_weights_and_configuration, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(ctranslate2_and_saved_model_folders, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_one_model_in_a_folder, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
