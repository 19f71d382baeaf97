"""Small ONNX models in ONNX Runtime: an encoder and a residual CNN, float or quantized, at one level of graph optimization.

Prints one JSON object: a digest of the outputs, the FLOP of each product of the model as written, from ONNX's own shape inference, and the
products that the runtime's profile lists, each with the elements of its first input and of its output (it leaves out rearranged weights).
Arguments: a folder, the model (encoder, cnn), how (float, dynamic, qdq), the level (disable, basic, extended, all).
"""
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnxruntime import quantization

WIDTH, HEADS, INNER, TOKENS = 64, 4, 128, 24
generator = np.random.default_rng(3)


class Model:
    def __init__(self):
        self.nodes, self.weights = [], []

    def weight(self, name, *shape):
        self.weights.append(numpy_helper.from_array((generator.standard_normal(shape) * 0.1).astype(np.float32), name))
        return name

    def node(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def linear(self, x, name, inputs, outputs):
        product = self.node("MatMul", [x, self.weight(name + "_w", inputs, outputs)], name + "_product")
        return self.node("Add", [product, self.weight(name + "_b", outputs)], name)

    def conv(self, x, name, outputs, inputs, size, **attributes):
        return self.node("Conv", [x, self.weight(name + "_w", outputs, inputs, size, size), self.weight(name + "_b", outputs)], name, **attributes)

    def finish(self, x, shape, result, outputs):
        graph = helper.make_graph(self.nodes, "model", [helper.make_tensor_value_info(x, TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(result, TensorProto.FLOAT, outputs)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        onnx.checker.check_model(model)
        return model


def encoder():
    m, x = Model(), "x"
    m.weights += [numpy_helper.from_array(np.array([0, 0, HEADS, WIDTH // HEADS]), "split"), numpy_helper.from_array(np.array([0, 0, WIDTH]), "merge")]
    for layer in range(2):
        p = f"l{layer}_"
        heads = []
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            split = m.node("Reshape", [m.linear(x, p + part, WIDTH, WIDTH), "split"], p + part + "_split")
            heads.append(m.node("Transpose", [split], p + part + "_heads", perm=order))
        scores = m.node("Softmax", [m.node("MatMul", heads[:2], p + "scores")], p + "weights", axis=-1)
        mixed = m.node("Transpose", [m.node("MatMul", [scores, heads[2]], p + "mixed")], p + "mixed_t", perm=[0, 2, 1, 3])
        x = m.node("Add", [x, m.linear(m.node("Reshape", [mixed, "merge"], p + "merged"), p + "o", WIDTH, WIDTH)], p + "attended")
        x = m.node("Add", [x, m.linear(m.node("Relu", [m.linear(x, p + "up", WIDTH, INNER)], p + "relu"), p + "down", INNER, WIDTH)], p + "out")
    flat = m.node("Flatten", [x], "flat", axis=1)
    m.node("Gemm", [flat, m.weight("head_w", 32, WIDTH * TOKENS), m.weight("head_b", 32)], "y", transB=1)
    return m.finish("x", [2, TOKENS, WIDTH], "y", [2, 32]), [2, TOKENS, WIDTH]


def cnn():
    m = Model()
    x = m.node("Relu", [m.conv("x", "stem", 16, 3, 7, strides=[2, 2], pads=[3] * 4)], "stem_relu")
    x = m.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for block in "ab":
        y = m.node("Relu", [m.conv(x, block + "1", 16, 16, 3, pads=[1] * 4)], block + "1_relu")
        x = m.node("Relu", [m.node("Add", [x, m.conv(y, block + "2", 16, 16, 3, pads=[1] * 4)], block + "_sum")], block + "_out")
    x = m.node("ConvTranspose", [x, m.weight("up_w", 16, 16, 2, 2)], "up", strides=[2, 2])
    x = m.conv(m.conv(x, "depthwise", 16, 1, 3, group=16, pads=[1] * 4), "down", 32, 16, 1, strides=[2, 2])
    flat = m.node("Flatten", [m.node("GlobalAveragePool", [x], "mean")], "flat")
    m.node("Gemm", [flat, m.weight("fc_w", 32, 10), m.weight("fc_b", 10)], "y")
    return m.finish("x", [1, 3, 64, 64], "y", [1, 10]), [1, 3, 64, 64]


def product_flop(kind, inputs, output):
    """FLOP of one product from its input and output shapes, by the definition of the operator (no first operand here is transposed)."""
    if kind == "ConvTranspose":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if kind == "Conv":
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    return 2 * math.prod(inputs[0]) * output[-1]


def written(model):
    model = shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    shapes |= {w.name: list(w.dims) for w in model.graph.initializer}
    return sorted(product_flop(n.op_type, [shapes[i] for i in n.input], shapes[n.output[0]])
                  for n in model.graph.node if n.op_type in ("MatMul", "Gemm", "Conv", "ConvTranspose"))


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, shape):
        self.left = [{"x": np.random.default_rng(5).standard_normal(shape).astype(np.float32)}]

    def get_next(self):
        return self.left.pop() if self.left else None


def main():
    folder, which, how, level = sys.argv[1:]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model, shape = {"encoder": encoder, "cnn": cnn}[which]()
    path = folder / "model.onnx"
    onnx.save(model, path)
    if how != "float" and not (folder / "quantized.onnx").exists():
        if how == "dynamic":
            quantization.quantize_dynamic(path, folder / "quantized.onnx")
        else:
            quantization.quantize_static(path, folder / "quantized.onnx", Calibration(shape), quant_format=quantization.QuantFormat.QDQ)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_" + {"disable": "DISABLE_ALL"}.get(level, "ENABLE_" + level.upper()))
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(path if how == "float" else folder / "quantized.onnx", options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"x": np.random.default_rng(9).standard_normal(shape).astype(np.float32)})
    events = json.loads(pathlib.Path(session.end_profiling()).read_text())
    products = []
    for event in events:
        arguments = event.get("args", {})
        kind = arguments.get("op_name", "")
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time") and ("MatMul" in kind or "Gemm" in kind or "Conv" in kind):
            first, output = (list(arguments[which][0].values())[0] for which in ("input_type_shape", "output_type_shape"))
            products.append([kind, math.prod(first), math.prod(output)])
    # FLOP of the whole graph as written: fusion and quantization change the operators, not the products.
    print(json.dumps({"version": onnxruntime.__version__, "digest": hashlib.sha256(b"".join(o.tobytes() for o in outputs)).hexdigest(),
                      "written": written(model), "products": products}))


if __name__ == "__main__":
    main()
