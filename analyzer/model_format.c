/* Recognising models by content. A file is read by short reads at known places, so that a model of many gigabytes costs nothing;
 * whatever it claims is checked against its size. */
#include "model_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *path;
    int descriptor;
    uint64_t size;
};

/* What a look at one file says. */
enum verdict { IS_NOT, IS, IS_BROKEN /* with the error written */ };

const char *tvg_model_format_name(enum tvg_model_format format)
{
    static const char *const names[] = {
        [TVG_MODEL_GGUF] = "GGUF model",          [TVG_MODEL_ONNX] = "ONNX model",
        [TVG_MODEL_TORCHSCRIPT] = "TorchScript program", [TVG_MODEL_TORCH_EXPORT] = "torch.export program",
        [TVG_MODEL_TRANSFORMERS] = "transformers model", [TVG_MODEL_SAVED_MODEL] = "TensorFlow SavedModel",
        [TVG_MODEL_KERAS] = "Keras model",        [TVG_MODEL_TFLITE] = "TensorFlow Lite model",
        [TVG_MODEL_CTRANSLATE2] = "CTranslate2 model",
    };
    return names[format];
}

static bool get(const struct file *file, uint64_t offset, void *out, size_t bytes)
{
    return offset <= file->size && bytes <= file->size - offset && pread(file->descriptor, out, bytes, (off_t)offset) == (ssize_t)bytes;
}

static uint64_t little(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    for (int i = count - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* --- protocol buffers: the fields of the outermost message ------------------------------------------------------------------------ */

enum { VARINT = 0, LENGTH = 2 };
struct field {
    unsigned number, wire;
};
static const struct field onnx_fields[] = {{1, VARINT}, {2, LENGTH}, {3, LENGTH}, {4, LENGTH}, {5, VARINT}, {6, LENGTH}, {7, LENGTH}, {8, LENGTH}, {14, LENGTH}, {20, LENGTH}, {25, LENGTH}, {26, LENGTH}, {0, 0}};
static const struct field saved_model_fields[] = {{1, VARINT}, {2, LENGTH}, {0, 0}};

static bool varint(const struct file *file, uint64_t *offset, uint64_t *value)
{
    uint8_t byte;
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!get(file, (*offset)++, &byte, 1)) return false;
        *value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) return true;
    }
    return false;
}

/* Whether the file is one message of these fields, with field 1 (a version from 1 to 100) and field `body` among them. A message that begins so but
 * does not reach its end is broken. */
static enum verdict look_at_message(const struct file *file, const struct field *fields, unsigned body, const char *what, struct tvg_error *error)
{
    uint64_t offset = 0, key, value;
    bool version = false, has_body = false;
    while (offset < file->size) {
        uint64_t at = offset;
        const struct field *field = fields;
        bool read = varint(file, &offset, &key);
        while (read && field->number && (field->number != key >> 3 || field->wire != (key & 7))) field++;
        if (read && !field->number) break;
        read = read && varint(file, &offset, &value);
        if (read && field->number == 1) {
            if (value < 1 || value > 100) return IS_NOT;
            version = true;
        }
        if (!read || (field->wire == LENGTH && value > file->size - offset)) {
            if (!version || (read && field->number != body && !has_body)) return IS_NOT;
            char place[64];
            snprintf(place, sizeof place, "offset %" PRIu64, at);
            tvg_fail(error, file->path, place, "copy or download it again", "%s is cut off: %" PRIu64 " bytes are there", what, file->size);
            return IS_BROKEN;
        }
        if (field->wire == LENGTH) offset += value;
        has_body |= field->number == body;
    }
    if (offset == file->size && version && has_body) return IS;
    return IS_NOT;
}

/* --- zip archives: the names in the directory at the end --------------------------------------------------------------------------- */

struct entries {
    bool constants, pickle, exported, keras_weights, keras_config;
};

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static void take_entry(struct entries *entries, const char *name)
{
    entries->constants |= ends_with(name, "/constants.pkl");
    entries->pickle |= ends_with(name, "/data.pkl");
    entries->exported |= ends_with(name, "/archive_format") || ends_with(name, "serialized_exported_program.json");
    entries->keras_weights |= strcmp(name, "model.weights.h5") == 0;
    entries->keras_config |= strcmp(name, "config.json") == 0;
}

/* Where the directory lies and how many entries it has; the 64-bit record counts when there is one. */
static bool find_directory(const struct file *file, uint64_t *start, uint64_t *count)
{
    static const uint8_t mark[] = {'P', 'K', 5, 6}, locator_mark[] = {'P', 'K', 6, 7}, wide_mark[] = {'P', 'K', 6, 6};
    enum { END = 22, COMMENT_MAX = 65535, LOCATOR = 20, WIDE = 56 };
    uint64_t tail = file->size < END + COMMENT_MAX ? file->size : END + COMMENT_MAX, end = 0;
    uint8_t *bytes = malloc(tail), locator[LOCATOR], wide[WIDE];
    bool found = false;
    if (!bytes || tail < END || !get(file, file->size - tail, bytes, tail)) {
        free(bytes);
        return false;
    }
    for (uint64_t i = tail - END + 1; i-- > 0 && !found;)
        if (memcmp(bytes + i, mark, sizeof mark) == 0) {
            found = true;
            end = file->size - tail + i;
            *count = little(bytes + i + 10, 2);
            *start = little(bytes + i + 16, 4);
        }
    free(bytes);
    if (found && end >= LOCATOR && get(file, end - LOCATOR, locator, LOCATOR) && memcmp(locator, locator_mark, sizeof locator_mark) == 0 &&
        get(file, little(locator + 8, 8), wide, WIDE) && memcmp(wide, wide_mark, sizeof wide_mark) == 0) {
        *count = little(wide + 32, 8);
        *start = little(wide + 48, 8);
    }
    return found;
}

static bool read_directory(const struct file *file, struct entries *entries)
{
    static const uint8_t mark[] = {'P', 'K', 1, 2};
    uint64_t at, count;
    if (!find_directory(file, &at, &count)) return false;
    for (uint64_t i = 0; i < count; i++) {
        uint8_t head[46];
        char name[1024] = "";
        if (!get(file, at, head, sizeof head) || memcmp(head, mark, sizeof mark) != 0) return false;
        uint64_t length = little(head + 28, 2), kept = length < sizeof name - 1 ? length : sizeof name - 1;
        if (!get(file, at + sizeof head, name, kept)) return false;
        take_entry(entries, name);
        at += sizeof head + length + little(head + 30, 2) + little(head + 32, 2);
    }
    return true;
}

static bool look_at_zip(const struct file *file, struct tvg_model *model, struct tvg_error *error)
{
    struct entries entries = {0};
    if (!read_directory(file, &entries)) return tvg_fail(error, file->path, NULL, "copy or download it again", "a zip archive (TorchScript?) without its directory: it is cut off");
    if (entries.constants) model->format = TVG_MODEL_TORCHSCRIPT;
    else if (entries.exported) model->format = TVG_MODEL_TORCH_EXPORT;
    else if (entries.keras_weights && entries.keras_config) model->format = TVG_MODEL_KERAS;
    else if (entries.pickle)
        return tvg_fail(error, file->path, NULL, "save the model by torch.jit.save or torch.export.save, or give the folder that has its config.json",
                        "holds weights only (torch.save), not the program that uses them");
    else return tvg_fail(error, file->path, NULL, NULL, "a zip archive, but none of TorchScript, torch.export or Keras");
    return true;
}

/* --- JSON ---------------------------------------------------------------------------------------------------------------------------- */

/* The object in the file `name` of `folder`, or NULL: absent (no error written, *absent set) or broken. */
static json_t *read_json(const char *folder, const char *name, bool *absent, struct tvg_error *error)
{
    char path[PATH_MAX + 256];
    json_error_t problem;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    *absent = access(path, F_OK) != 0;
    if (*absent) return NULL;
    json_t *root = json_load_file(path, 0, &problem);
    if (!root) {
        char place[64], reason[256];
        snprintf(place, sizeof place, "line %d", problem.line);
        tvg_fail(error, path, problem.line > 0 ? place : NULL, NULL, "%s", tvg_escape(reason, sizeof reason, problem.text));
    }
    return root;
}

/* safetensors: the length of a JSON header, the header, the tensors it places. */
static enum verdict look_at_safetensors(const struct file *file, struct tvg_error *error)
{
    enum { HEADER_MAX = 100 << 20 };
    uint8_t head[9];
    if (!get(file, 0, head, sizeof head) || head[8] != '{') return IS_NOT;
    uint64_t length = little(head, 8), end = 0;
    if (length < 2 || length > HEADER_MAX) return IS_NOT;
    char *text = length <= file->size - 8 ? malloc(length) : NULL;
    if (text && !get(file, 8, text, length)) {
        free(text);
        text = NULL;
    }
    json_t *root = text ? json_loadb(text, length, 0, NULL) : NULL;
    const char *name;
    json_t *tensor;
    json_object_foreach(root, name, tensor)
    {
        json_int_t stop = json_integer_value(json_array_get(json_object_get(tensor, "data_offsets"), 1));
        if (stop > 0 && (uint64_t)stop > end) end = (uint64_t)stop;
    }
    free(text);
    bool header = root != NULL;
    json_decref(root);
    if (header && end <= file->size - 8 - length) return IS;
    tvg_fail(error, file->path, NULL, "copy or download it again", "a safetensors file that is cut off or damaged: its header does not fit its %" PRIu64 " bytes", file->size);
    return IS_BROKEN;
}

/* --- single files -------------------------------------------------------------------------------------------------------------------- */

static const struct magic {
    const char *bytes;
    unsigned offset, length;
    int format;          /* -1: not a model that can be run, for this reason: */
    const char *reason, *mend;
} magics[] = {
    {"GGUF", 0, 4, TVG_MODEL_GGUF, NULL, NULL},
    {"TFL3", 4, 4, TVG_MODEL_TFLITE, NULL, NULL},
    {"lmgg", 0, 4, -1, "a ggml file of before GGUF (whisper.cpp's models are), which has no runner", "put tvg record -- before the program that runs it"},
    {"version https://git-lfs", 0, 23, -1, "a Git LFS pointer, not the model itself", "run git lfs pull in its repository"},
    {"<!DOCTYPE", 0, 9, -1, "a web page, not a model", "download the file itself"},
    {"<html", 0, 5, -1, "a web page, not a model", "download the file itself"},
    {"\x89HDF", 0, 4, -1, "an HDF5 file, which has no runner", "save the Keras model with the extension .keras, or as a SavedModel"},
    {"\x80\x02", 0, 2, -1, "a Python pickle: weights without the program that uses them", "save the model by torch.jit.save or torch.export.save, or give the folder that has its config.json"},
};

static bool has_name(const char *folder, const char *name)
{
    char path[PATH_MAX + 256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* A file that is part of a model: its folder is the model. */
static bool take_folder_of(const char *path, const char *needed, struct tvg_model *model, struct tvg_error *error)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    else strcpy(folder, ".");
    if (!has_name(folder, needed))
        return tvg_fail(error, path, NULL, "put it beside the weights", "holds weights only, and no %s lies beside it to say which program uses them", needed);
    return tvg_model_recognise(folder, model, error);
}

static bool look_at_file(const struct file *file, struct tvg_model *model, struct tvg_error *error)
{
    uint8_t head[32] = {0};
    static const uint8_t zip[] = {'P', 'K', 3, 4};
    if (file->size == 0) return tvg_fail(error, file->path, NULL, NULL, "is empty");
    if (!get(file, 0, head, file->size < sizeof head ? file->size : sizeof head)) return tvg_fail(error, file->path, NULL, NULL, "can't be read: %s", strerror(errno));
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (memcmp(head + magics[i].offset, magics[i].bytes, magics[i].length) == 0) {
            if (magics[i].format < 0) return tvg_fail(error, file->path, NULL, magics[i].mend, "%s", magics[i].reason);
            model->format = (enum tvg_model_format)magics[i].format;
            if (file->size < 24) return tvg_fail(error, file->path, NULL, "copy or download it again", "a %s cut off: %" PRIu64 " bytes are there", tvg_model_format_name(model->format), file->size);
            return true;
        }
    if (memcmp(head, zip, sizeof zip) == 0) return look_at_zip(file, model, error);
    enum verdict verdict = look_at_message(file, onnx_fields, 7, "an ONNX model that", error);
    if (verdict == IS_BROKEN) return false;
    if (verdict == IS) model->format = TVG_MODEL_ONNX;
    return verdict == IS || tvg_fail(error, file->path, NULL, "tvg run --help lists the formats", "no model that tvg run knows, by its content");
}

static bool open_file(struct file *file, const char *path, struct tvg_error *error)
{
    struct stat status;
    *file = (struct file){.path = path, .descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file->descriptor < 0) return tvg_fail(error, path, NULL, NULL, "%s", strerror(errno));
    bool regular = fstat(file->descriptor, &status) == 0 && S_ISREG(status.st_mode);
    if (!regular) {
        close(file->descriptor);
        return tvg_fail(error, path, NULL, NULL, "is neither a file nor a folder");
    }
    file->size = (uint64_t)status.st_size;
    return true;
}

/* --- folders --------------------------------------------------------------------------------------------------------------------------- */

/* CTranslate2's model.bin: a version, the length of a name, the name of the specification. */
static bool is_ctranslate2(const char *folder)
{
    char path[PATH_MAX + 16];
    struct file file;
    struct tvg_error ignored;
    uint8_t head[6];
    char name[128] = "";
    snprintf(path, sizeof path, "%s/model.bin", folder);
    if (!open_file(&file, path, &ignored)) return false;
    bool is = get(&file, 0, head, sizeof head) && little(head, 4) >= 1 && little(head, 4) <= 100 && little(head + 4, 2) > 4 && little(head + 4, 2) < sizeof name &&
              get(&file, sizeof head, name, little(head + 4, 2)) && ends_with(name, "Spec");
    close(file.descriptor);
    return is;
}

static bool look_at_saved_model(const char *folder, struct tvg_model *model, struct tvg_error *error)
{
    char path[PATH_MAX + 32];
    struct file file;
    model->format = TVG_MODEL_SAVED_MODEL;
    if (!has_name(folder, "saved_model.pb")) return true; /* saved_model.pbtxt: text, its reader says more */
    snprintf(path, sizeof path, "%s/saved_model.pb", folder);
    if (!open_file(&file, path, error)) return false;
    enum verdict verdict = look_at_message(&file, saved_model_fields, 2, "a SavedModel that", error);
    close(file.descriptor);
    return verdict == IS || (verdict == IS_NOT && tvg_fail(error, path, NULL, "copy or download it again", "is no SavedModel, by its content"));
}

static bool look_at_transformers(const char *folder, char **names, int count, struct tvg_model *model, struct tvg_error *error)
{
    bool absent, named, weights = has_name(folder, "pytorch_model.bin") || has_name(folder, "pytorch_model.bin.index.json");
    json_t *config = read_json(folder, "config.json", &absent, error);
    if (!config) return false;
    named = json_object_get(config, "model_type") || json_object_get(config, "architectures");
    json_decref(config);
    char path[PATH_MAX + 300];
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (!named) return tvg_fail(error, path, NULL, NULL, "names neither a model_type nor architectures: not the configuration of a transformers model");
    for (int i = 0; i < count; i++) {
        struct file file;
        if (!ends_with(names[i], ".safetensors")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (!open_file(&file, path, error)) return false;
        enum verdict verdict = look_at_safetensors(&file, error);
        close(file.descriptor);
        if (verdict == IS_BROKEN) return false;
        if (verdict == IS_NOT) return tvg_fail(error, path, NULL, "copy or download it again", "is no safetensors file, by its content");
        weights = true;
    }
    model->format = TVG_MODEL_TRANSFORMERS;
    return weights || tvg_fail(error, folder, NULL, "put model.safetensors or pytorch_model.bin there", "has a config.json but no weights");
}

/* The one model file in a folder that is none itself; several are refused. */
static enum verdict look_for_file(const char *folder, char **names, int count, struct tvg_model *model, struct tvg_error *error)
{
    char found[PATH_MAX] = "", path[PATH_MAX + 300];
    for (int i = 0; i < count; i++) {
        struct file file;
        struct tvg_error ignored;
        struct tvg_model candidate;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (strlen(path) >= sizeof candidate.path || !open_file(&file, path, &ignored)) continue;
        bool is = look_at_file(&file, &candidate, &ignored);
        close(file.descriptor);
        if (!is) continue;
        if (found[0]) {
            tvg_fail(error, folder, NULL, "name one of them", "holds several models: %.200s, %.200s", strrchr(found, '/') + 1, names[i]);
            return IS_BROKEN;
        }
        memcpy(found, path, strlen(path) + 1);
        model->format = candidate.format;
    }
    if (!found[0]) return IS_NOT;
    memcpy(model->path, found, sizeof found);
    return IS;
}

static bool look_at_folder(const char *folder, char **names, int count, struct tvg_model *model, struct tvg_error *error)
{
    if (has_name(folder, "saved_model.pb") || has_name(folder, "saved_model.pbtxt")) return look_at_saved_model(folder, model, error);
    if (is_ctranslate2(folder)) {
        model->format = TVG_MODEL_CTRANSLATE2;
        return true;
    }
    bool weights = has_name(folder, "pytorch_model.bin");
    for (int i = 0; i < count; i++) weights |= ends_with(names[i], ".safetensors");
    bool config = has_name(folder, "config.json");
    if (config && weights) return look_at_transformers(folder, names, count, model, error);
    enum verdict verdict = look_for_file(folder, names, count, model, error);
    if (verdict != IS_NOT) return verdict == IS;
    if (config) return look_at_transformers(folder, names, count, model, error); /* says what is missing */
    return tvg_fail(error, folder, NULL, "tvg run --help lists the formats", "a folder without a model that tvg run knows");
}

/* Names in the folder, sorted. -1 with an error when it can't be read. */
static int list(const char *folder, char ***names, struct tvg_error *error)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    if (count < 0) {
        tvg_fail(error, folder, NULL, NULL, "can't be listed: %s", strerror(errno));
        return -1;
    }
    *names = calloc((size_t)count + 1, sizeof **names);
    for (int i = 0; i < count; i++) {
        if (*names) (*names)[i] = strdup(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (*names) return count;
    tvg_fail(error, folder, NULL, NULL, "out of memory");
    return -1;
}

bool tvg_model_recognise(const char *path, struct tvg_model *model, struct tvg_error *error)
{
    struct stat status;
    struct file file;
    char **names;
    *model = (struct tvg_model){0};
    if (strlen(path) >= sizeof model->path) return tvg_fail(error, path, NULL, NULL, "the path is too long");
    strcpy(model->path, path);
    if (stat(path, &status) != 0) return tvg_fail(error, path, NULL, NULL, "%s", strerror(errno));
    if (!S_ISDIR(status.st_mode)) {
        if (!open_file(&file, path, error)) return false;
        enum verdict weights = look_at_safetensors(&file, error);
        const char *slash = strrchr(path, '/');
        bool saved_model = strcmp(slash ? slash + 1 : path, "saved_model.pb") == 0;
        bool known = weights == IS_NOT && !saved_model && look_at_file(&file, model, error);
        close(file.descriptor);
        if (weights == IS) return take_folder_of(path, "config.json", model, error);
        return saved_model ? take_folder_of(path, "saved_model.pb", model, error) : known;
    }
    int count = list(path, &names, error);
    if (count < 0) return false;
    bool known = look_at_folder(path, names, count, model, error);
    for (int i = 0; i < count; i++) free(names[i]);
    free(names);
    return known;
}
