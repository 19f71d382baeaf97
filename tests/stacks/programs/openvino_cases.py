"""Small ONNX models in OpenVINO on the CPU. Prints one JSON object: a digest of the outputs of every run and the FLOP of each product of the model as
written, from ONNX's own shape inference for the shapes of each run; the operators that were fused into one node, from the compiled model.

Arguments: the model (encoder, cnn, recurrent, products), how (float, qdq), inference precision (f32, bf16), threads, open (sizes are left open when
the model is compiled) or fixed.
"""
import hashlib
import json
import math
import sys

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper, shape_inference

WIDTH, HEADS, INNER = 64, 4, 128
generator = np.random.default_rng(3)


class Model:
    def __init__(self, quantize):
        self.nodes, self.weights, self.quantize, self.quantized = [], [], quantize, {}

    def constant(self, name, values):
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def weight(self, name, *shape):
        values = (generator.standard_normal(shape) * 0.1).astype(np.float32)
        if not self.quantize:
            return self.constant(name, values)
        scale = np.abs(values).max() / 127
        eight = self.constant(name + "_i8", np.clip(np.round(values / scale), -127, 127).astype(np.int8))
        scale, zero = self.constant(name + "_scale", np.float32(scale)), self.constant(name + "_zero", np.int8(0))
        return self.node("DequantizeLinear", [eight, scale, zero], name)

    def activation(self, x):
        """`x` through 8 bits when the model is quantized."""
        if not self.quantize:
            return x
        if x not in self.quantized:
            scale, zero = self.constant(x + "_scale", np.float32(0.04)), self.constant(x + "_zero", np.uint8(128))
            eight = self.node("QuantizeLinear", [x, scale, zero], x + "_u8")
            self.quantized[x] = self.node("DequantizeLinear", [eight, scale, zero], x + "_back")
        return self.quantized[x]

    def node(self, kind, inputs, *outputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, list(outputs), name=next(filter(None, outputs)), **attributes))
        return next(filter(None, outputs))

    def matmul(self, a, b, name):
        return self.node("MatMul", [self.activation(a), self.activation(b)], name)

    def linear(self, x, name, inputs, outputs):
        product = self.node("MatMul", [self.activation(x), self.weight(name + "_w", inputs, outputs)], name + "_product")
        return self.node("Add", [product, self.constant(name + "_b", generator.standard_normal(outputs).astype(np.float32))], name)

    def conv(self, x, name, outputs, inputs, *size, kind="Conv", **attributes):
        bias = self.constant(name + "_b", generator.standard_normal(outputs).astype(np.float32))
        weights = self.weight(name + "_w", *((inputs, outputs) if kind == "ConvTranspose" else (outputs, inputs)), *size)
        return self.node(kind, [self.activation(x), weights, bias], name, **attributes)

    def finish(self, inputs, result):
        graph = helper.make_graph(self.nodes, "model", [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
                                  [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        model.ir_version = 9
        return model


def encoder(quantize):
    m, x = Model(quantize), "x"
    m.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS]))
    m.constant("merge", np.array([0, 0, WIDTH]))
    m.constant("root", np.float32((WIDTH // HEADS) ** -0.5))
    for layer in range(2):
        p, heads = f"l{layer}_", {}
        for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            split = m.node("Reshape", [m.linear(x, p + part, WIDTH, WIDTH), "split"], p + part + "_split")
            heads[part] = m.node("Transpose", [split], p + part + "_heads", perm=order)
        scores = m.node("Mul", [m.matmul(heads["q"], heads["k"], p + "scores"), "root"], p + "scaled")
        mixed = m.matmul(m.node("Softmax", [scores], p + "softmax", axis=-1), heads["v"], p + "mixed")
        merged = m.node("Reshape", [m.node("Transpose", [mixed], p + "mixed_t", perm=[0, 2, 1, 3]), "merge"], p + "merged")
        x = m.node("Add", [x, m.linear(merged, p + "o", WIDTH, WIDTH)], p + "attended")
        x = m.node("Add", [x, m.linear(m.node("Relu", [m.linear(x, p + "up", WIDTH, INNER)], p + "relu"), p + "down", INNER, WIDTH)], p + "out")
    m.node("Gemm", [m.activation(m.node("ReduceMean", [x], "mean", axes=[1], keepdims=0)), m.weight("head_w", 32, WIDTH)], "y", transB=1)
    return m, [{"x": (2, 24, WIDTH)}, {"x": (3, 7, WIDTH)}, {"x": (2, 24, WIDTH)}]


def cnn(quantize):
    m = Model(quantize)
    x = m.node("Relu", [m.conv("x", "stem", 16, 3, 7, 7, strides=[2, 2], pads=[3] * 4)], "stem_relu")
    x = m.node("MaxPool", [x], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for block in "ab":
        y = m.node("Relu", [m.conv(x, block + "1", 16, 16, 3, 3, pads=[1] * 4)], block + "1_relu")
        x = m.node("Relu", [m.node("Add", [x, m.conv(y, block + "2", 16, 16, 3, 3, pads=[1] * 4)], block + "_sum")], block + "_out")
    x = m.conv(x, "up", 16, 16, 2, 2, kind="ConvTranspose", strides=[2, 2])
    x = m.node("Relu", [m.conv(x, "depthwise", 16, 1, 3, 3, group=16, pads=[1] * 4)], "depthwise_relu")
    x = m.node("Relu", [m.conv(x, "grouped", 32, 4, 3, 3, group=4, pads=[1] * 4)], "grouped_relu")
    x = m.node("Relu", [m.conv(x, "down", 32, 32, 1, 1, strides=[2, 2])], "down_relu")
    flat = m.node("Flatten", [m.node("GlobalAveragePool", [x], "mean")], "flat")
    m.node("Gemm", [m.activation(flat), m.weight("fc_w", 32, 10)], "y")
    return m, [{"x": (1, 3, 64, 64)}, {"x": (2, 3, 96, 64)}]


def recurrent(quantize):
    m, x, hidden = Model(quantize), "x", 24
    for name, kind, gates, inputs in (("lstm", "LSTM", 4, 16), ("gru", "GRU", 3, 2 * hidden), ("rnn", "RNN", 1, 2 * hidden)):
        weights = [m.weight(f"{name}_{part}", 2, gates * hidden, size) for part, size in (("w", inputs), ("r", hidden))]
        y = m.node(kind, [x, *weights], name, hidden_size=hidden, direction="bidirectional")
        x = m.node("Reshape", [m.node("Transpose", [y], name + "_t", perm=[0, 2, 1, 3]), m.constant(name + "_shape", np.array([0, 0, 2 * hidden]))], name + "_out")
    m.linear(x, "y", 2 * hidden, 8)
    return m, [{"x": (5, 2, 16)}, {"x": (9, 2, 16)}]


def products(quantize):
    """Products of two activations: batched, transposed, broadcast, a vector's."""
    m = Model(quantize)
    turned = m.node("Transpose", ["b"], "turned", perm=[0, 1, 3, 2])
    p = m.matmul("a", turned, "batched")
    q = m.matmul(m.node("Transpose", ["a"], "a_turned", perm=[0, 1, 3, 2]), p, "left_turned")
    one = m.node("ReduceSum", [q, m.constant("axes", np.array([0, 1]))], "one", keepdims=0)
    r = m.matmul("a", one, "broadcast")
    m.node("Relu", [r], "y")
    return m, [{"a": (2, 3, 20, 12), "b": (2, 3, 33, 12)}, {"a": (1, 3, 17, 12), "b": (1, 3, 5, 12)}]


def product_flop(node, shapes):
    """FLOP of one product from its input and output shapes, by the definition of the operator (no first operand here is transposed)."""
    inputs, output = [shapes[i] for i in node.input if i], shapes[node.output[0]]
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if node.op_type == "Conv":
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    if node.op_type in ("LSTM", "GRU", "RNN"):
        return 2 * math.prod(inputs[0][:2]) * (math.prod(inputs[1]) + math.prod(inputs[2]))
    return 2 * math.prod(output) * inputs[0][-1]


def written(model):
    model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    shapes |= {w.name: list(w.dims) for w in model.graph.initializer}
    kinds = ("MatMul", "Gemm", "Conv", "ConvTranspose", "LSTM", "GRU", "RNN")
    return {n.name: product_flop(n, shapes) for n in model.graph.node if n.op_type in kinds}


def main():
    which, how, precision, threads, sizes = sys.argv[1:]
    model, runs = {"encoder": encoder, "cnn": cnn, "recurrent": recurrent, "products": products}[which](how == "qdq")
    fixed = [model.finish(run.items(), "y") for run in runs]
    core = openvino.Core()
    read = core.read_model(fixed[0].SerializeToString())
    if sizes == "open":
        still = {"encoder": (2,), "cnn": (1,), "recurrent": (2,), "products": (1, 3)}[which]
        read.reshape({name: openvino.PartialShape([size if at in still else -1 for at, size in enumerate(shape)]) for name, shape in runs[0].items()})
    else:
        runs = runs[:1]
    compiled = core.compile_model(read, "CPU", {"INFERENCE_NUM_THREADS": int(threads), "INFERENCE_PRECISION_HINT": precision, "NUM_STREAMS": 1})
    request, digest, expected = compiled.create_infer_request(), hashlib.sha256(), []
    for run, as_run in zip(runs, fixed):
        inputs = {name: np.random.default_rng(9).standard_normal(shape).astype(np.float32) for name, shape in run.items()}
        for output in request.infer(inputs).values():
            digest.update(output.tobytes())
        expected.append(written(as_run))
    fused = [node.get_rt_info()["originalLayersNames"].astype(str).split(",") for node in compiled.get_runtime_model().get_ordered_ops()]
    print(json.dumps({"version": openvino.__version__, "digest": digest.hexdigest(), "runs": expected, "fused": [sorted(filter(None, f)) for f in fused]}))


main()
