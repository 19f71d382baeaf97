"""A CNN and an attention layer as .tflite models, and their inference by LiteRT or by TensorFlow Lite.

Arguments: make FOLDER (asks for tensorflow), or run FOLDER MODEL HOW RUNTIME: MODEL cnn or attention; HOW float, dynamic or int8; RUNTIME litert,
litert-builtin (without XNNPACK), tensorflow or compiled (LiteRT's own interface). Prints one JSON object: a digest of the outputs and the FLOP of each product."""
import hashlib
import json
import pathlib
import sys

import numpy as np

RUNS = 3
IMAGE, SEQUENCE, WIDTH, HEADS = (2, 32, 32, 3), (2, 20, 64), 64, 4
PIXELS = 2 * 8 * 8
PRODUCTS = {  # by the textbook, 2 for each multiplication and addition
    "cnn": [2 * PIXELS * 16 * 7 * 7 * 3, 2 * PIXELS * 16 * 3 * 3, 2 * PIXELS * 32 * 16, 2 * PIXELS * 3 * 3 * 32 * 8, 2 * 2 * 2048 * 24],
    "attention": [2 * 40 * WIDTH * WIDTH] * 4 + [2 * 2 * HEADS * 20 * 20 * 16] * 2,
}


def inputs(model):
    return np.random.default_rng(1).standard_normal(IMAGE if model == "cnn" else SEQUENCE).astype(np.float32)


def make(folder):
    import tensorflow as tf

    generator = np.random.default_rng(0)

    def tensor(*shape):
        return tf.constant(generator.standard_normal(shape).astype(np.float32) * np.float32(0.1))

    kernels = [tensor(7, 7, 3, 16), tensor(3, 3, 16, 1), tensor(1, 1, 16, 32), tensor(3, 3, 8, 32), tensor(16 * 16 * 8, 24)]
    weights = [tensor(WIDTH, WIDTH) for _ in range(4)]

    @tf.function(input_signature=[tf.TensorSpec(IMAGE, tf.float32)])
    def cnn(x):
        x = tf.nn.relu(tf.nn.conv2d(x, kernels[0], 4, "SAME"))
        x = tf.nn.depthwise_conv2d(x, kernels[1], [1, 1, 1, 1], "SAME")
        x = tf.nn.relu(tf.nn.conv2d(x, kernels[2], 1, "SAME"))
        x = tf.nn.conv2d_transpose(x, kernels[3], (2, 16, 16, 8), 2, "SAME")
        return tf.reshape(x, [2, -1]) @ kernels[4]

    @tf.function(input_signature=[tf.TensorSpec(SEQUENCE, tf.float32)])
    def attention(x):
        flat = tf.reshape(x, [-1, WIDTH])
        q, k, v = (tf.transpose(tf.reshape(flat @ w, [2, 20, HEADS, 16]), [0, 2, 1, 3]) for w in weights[:3])
        mixed = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v)
        return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, WIDTH]) @ weights[3]

    for name, function in (("cnn", cnn), ("attention", attention)):
        for how in ("float", "dynamic", "int8"):
            converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
            if how != "float":
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if how == "int8":
                converter.representative_dataset = lambda: ([inputs(name)] for _ in range(4))
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            (folder / f"{name}-{how}.tflite").write_bytes(converter.convert())


def run(path, model, runtime):
    if runtime == "compiled":
        from ai_edge_litert.compiled_model import CompiledModel

        compiled = CompiledModel.from_file(str(path))
        given, taken = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
        given[0].write(inputs(model))
        for _ in range(RUNS):
            compiled.run_by_index(0, given, taken)
        return taken[0].read(48 if model == "cnn" else 40 * WIDTH, np.float32).tobytes()
    if runtime == "tensorflow":
        import tensorflow as tf

        interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    else:
        from ai_edge_litert import interpreter as litert

        resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if runtime == "litert-builtin" else litert.OpResolverType.AUTO
        interpreter = litert.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inputs(model))
    for _ in range(RUNS):
        interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes()


folder = pathlib.Path(sys.argv[2])
if sys.argv[1] == "make":
    make(folder)
else:
    _, _, _, model, how, runtime = sys.argv
    digest = hashlib.sha256(run(folder / f"{model}-{how}.tflite", model, runtime)).hexdigest()
    print(json.dumps({"digest": digest, "products": sorted(RUNS * PRODUCTS[model])}))
