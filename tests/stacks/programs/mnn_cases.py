"""Single operators of ONNX, converted and run by MNN, each with the FLOP of its products by the textbook.

Arguments: GROUP THREADS [int8|int4]: weights of that many bits, and products in 8 (memory: low). Prints one JSON object: for each run the FLOP of its
products, a case at a time, and a digest of the outputs."""
import contextlib
import hashlib
import json
import math
import os
import pathlib
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RUNS, MEMORY_NORMAL, MEMORY_LOW = 2, 0, 2
generator = np.random.default_rng(0)


@contextlib.contextmanager
def quiet():
    """What MNN's converter writes goes elsewhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)


with quiet():
    import _tools  # the converter itself: the program around it installs packages and reports home
    import MNN


def values(*shape):
    return (generator.standard_normal(shape) * 0.1).astype(np.float32)


def model(kind, inputs, *weights, outputs=1, **attributes):
    names = [f"in{i}" for i in range(len(inputs))]
    constants = [f"w{i}" if weight is not None else "" for i, weight in enumerate(weights)]
    node = helper.make_node(kind, names + constants, [f"out{i}" for i in range(outputs)], **attributes)
    graph = helper.make_graph([node], "case", [helper.make_tensor_value_info(n, TensorProto.FLOAT, value.shape) for n, value in zip(names, inputs)],
                              [helper.make_tensor_value_info("out0", TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(weight, name) for weight, name in zip(weights, constants) if weight is not None])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 9
    return made


def convolution(inputs, outputs, spatial, kernel, groups=1, kind="Conv", **attributes):
    x = values(2, inputs, *spatial)
    weight = values(*((inputs, outputs // groups) if kind == "ConvTranspose" else (outputs, inputs // groups)), *kernel)
    made = model(kind, [x], weight, values(outputs), group=groups, **attributes)
    shape = onnx.shape_inference.infer_shapes(made).graph.output[0].type.tensor_type.shape.dim
    pixels = spatial if kind == "ConvTranspose" else [dim.dim_value for dim in shape][2:]
    return [x], made, 2 * 2 * math.prod(pixels) * outputs * inputs // groups * math.prod(kernel)


def product_flop(a, b):
    """Of a[..., m, k] b[..., k, n]."""
    return 2 * math.prod(max(a[:-2], b[:-2], key=len)) * a[-2] * a[-1] * b[-1]


def cases_convolution():
    yield "plain", *convolution(3, 16, (33, 31), (7, 7), strides=[2, 2], pads=[3] * 4)
    yield "winograd", *convolution(32, 32, (28, 28), (3, 3), pads=[1] * 4)
    yield "pointwise", *convolution(16, 40, (14, 14), (1, 1))
    yield "wide kernel", *convolution(16, 6, (14, 14), (3, 5))
    yield "dilated", *convolution(16, 16, (14, 14), (3, 3), dilations=[2, 2])
    yield "depthwise", *convolution(16, 16, (14, 14), (3, 3), 16, pads=[1] * 4)
    x, made, flop = convolution(16, 32, (14, 14), (3, 3), 4, pads=[1] * 4)
    yield "grouped", x, made, *[flop // 4] * 4  # a convolution for each group
    yield "1-D", *convolution(16, 24, (50,), (5,))


def cases_transposed():
    yield "plain", *convolution(16, 8, (10, 10), (4, 4), kind="ConvTranspose", strides=[2, 2], pads=[1] * 4)
    yield "depthwise", *convolution(16, 16, (10, 10), (4, 4), 16, kind="ConvTranspose", strides=[2, 2])


def cases_products():
    for name, a, b in (("constant", (20, 64), (64, 48)), ("constant, rows of rows", (3, 20, 64), (64, 48))):
        x, weight = values(*a), values(*b)
        yield name, [x], model("MatMul", [x], weight), product_flop(a, b)
    for name, a, b in (("two inputs", (20, 64), (64, 48)), ("batched", (4, 20, 64), (4, 64, 48)), ("one right operand", (4, 20, 64), (64, 48)),
                       ("four dimensions", (2, 4, 20, 64), (2, 4, 64, 48))):
        pair = [values(*a), values(*b)]
        yield name, pair, model("MatMul", pair), product_flop(a, b)
    pair = [values(64, 20), values(48, 64)]
    yield "both transposed", pair, model("Gemm", pair, transA=1, transB=1), product_flop((20, 64), (64, 48))


def convert(written, converted, *options):
    with quiet():
        _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(written), "--MNNModel", str(converted), "--bizCode", "case", *options])


def quantize(model, quantized, configuration):
    with quiet():
        _tools.mnnquant(["mnnquant", str(model), str(quantized), str(configuration)])


def run(name, inputs, made, threads, how, folder):
    (folder / "case.onnx").write_bytes(made.SerializeToString())
    bits = ["--weightQuantBits", how.removeprefix("int")] if how.startswith("int") else []
    convert(folder / "case.onnx", folder / "case.mnn", *bits)
    digest = hashlib.sha256()
    for output in infer(folder, inputs, threads, how):
        digest.update(output.astype(np.float32).tobytes())
    return digest.hexdigest()


def infer(folder, inputs, threads, how):
    interpreter = MNN.Interpreter(str(folder / "case.mnn"))
    with quiet():
        made = interpreter.createSession({"backend": "CPU", "numThread": threads, "memory": MEMORY_LOW if how.startswith("int") else MEMORY_NORMAL})
    for _ in range(RUNS):
        for i, value in enumerate(inputs):
            tensor = interpreter.getSessionInput(made, f"in{i}")
            tensor.copyFrom(MNN.Tensor(value.shape, MNN.Halide_Type_Float, value, MNN.Tensor_DimensionType_Caffe))
        interpreter.runSession(made)
        out = interpreter.getSessionOutput(made, "out0")
        host = MNN.Tensor(out.getShape(), MNN.Halide_Type_Float, np.zeros(out.getShape(), np.float32), MNN.Tensor_DimensionType_Caffe)
        out.copyToHostTensor(host)
        yield np.array(host.getData(), np.float32)


def main():
    group, threads, how = sys.argv[1], int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else ""
    answer = {"cases": [], "digests": []}
    with tempfile.TemporaryDirectory() as folder:
        for name, inputs, made, *flops in globals()["cases_" + group]():
            answer["digests"].append(run(name, inputs, made, threads, how, pathlib.Path(folder)))
            answer["cases"] += [[name, flop] for flop in flops] * RUNS
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
