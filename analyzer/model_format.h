/* What kind of inference model a file or folder is, told by its content; its name and extension are not asked. */
#ifndef TVG_MODEL_FORMAT_H
#define TVG_MODEL_FORMAT_H

#include <limits.h>
#include <stdbool.h>

#include "result.h"

enum tvg_model_format {
    TVG_MODEL_GGUF,
    TVG_MODEL_ONNX,
    TVG_MODEL_TORCHSCRIPT,  /* torch.jit.save */
    TVG_MODEL_TORCH_EXPORT, /* torch.export.save */
    TVG_MODEL_TRANSFORMERS, /* folder: config.json and weights */
    TVG_MODEL_SAVED_MODEL,  /* folder: saved_model.pb */
    TVG_MODEL_KERAS,
    TVG_MODEL_TFLITE,
    TVG_MODEL_CTRANSLATE2,  /* folder: model.bin and config.json */
};

struct tvg_model {
    enum tvg_model_format format;
    char path[PATH_MAX]; /* what the runtime opens: the file or folder itself, the one model in a folder, the folder of a weights file */
};

/* "ONNX model", for messages. */
const char *tvg_model_format_name(enum tvg_model_format format);

/* Looks at the file or folder `path`. False with an error that names the file and the reason when it is no model, cut off, or holds weights without the
 * program that uses them. Only the headers are read: a model that passes may still be refused by its runtime. */
bool tvg_model_recognise(const char *path, struct tvg_model *model, struct tvg_error *error);

#endif
