"""The models of ncnn_models.py, and a product of MNN's own numpy, in MNN.

Arguments: make FOLDER MODEL (asks for torch), or run FOLDER MODEL HOW THREADS: HOW session, module (MNN.nn), int8 (weights of 8 bits, memory: low) or whole (of
mobilenet: data and weights of 8 bits); MODEL may be "numpy". Both print one JSON object: make the FLOP of the model's products as torch counts them, run a digest of the outputs."""
import hashlib
import json
import pathlib
import sys

import ncnn_models as models
import numpy as np
from mnn_cases import MEMORY_LOW, MEMORY_NORMAL, MNN, convert, quantize, quiet

RUNS = 2


def quantize_whole(folder, name):
    """By images of noise."""
    from PIL import Image

    images = folder / "images"
    images.mkdir(exist_ok=True)
    for seed in range(2):
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(images / f"{seed}.png")
    configuration = {"format": "RGB", "mean": [127.5] * 3, "normal": [1 / 127.5] * 3, "width": 96, "height": 96, "path": f"{images}/", "used_image_num": 2, "batch_size": 1,
                     "feature_quantize_method": "EMA", "weight_quantize_method": "MAX_ABS", "model": str(folder / f"{name}.mnn")}
    (folder / "quantize.json").write_text(json.dumps(configuration))
    quantize(folder / f"{name}.mnn", folder / f"{name}-whole.mnn", folder / "quantize.json")


def make(folder, name):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    model, x = models.build(name).eval(), torch.from_numpy(models.inputs(name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    with quiet(), torch.no_grad():
        torch.onnx.export(model, (x,), folder / f"{name}.onnx", input_names=["in0"], output_names=["out0"], dynamo=True, external_data=False, verbose=False)
    convert(folder / f"{name}.onnx", folder / f"{name}.mnn")
    convert(folder / f"{name}.onnx", folder / f"{name}-int8.mnn", "--weightQuantBits", "8")
    if name == "mobilenet":
        quantize_whole(folder, name)
    print(json.dumps({"flop": counter.get_total_flops()}))


def by_session(path, x, memory, threads):
    interpreter = MNN.Interpreter(str(path))
    with quiet():
        session = interpreter.createSession({"backend": "CPU", "numThread": threads, "memory": memory})
    for _ in range(RUNS):
        interpreter.getSessionInput(session, "in0").copyFrom(MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe))
        interpreter.runSession(session)
        out = interpreter.getSessionOutput(session, "out0")
        host = MNN.Tensor(out.getShape(), MNN.Halide_Type_Float, np.zeros(out.getShape(), np.float32), MNN.Tensor_DimensionType_Caffe)
        out.copyToHostTensor(host)
        yield np.array(host.getData(), np.float32)


def by_module(path, x, threads):
    with quiet():
        module = MNN.nn.load_module_from_file(str(path), ["in0"], ["out0"], thread_num=threads)
    for _ in range(RUNS):
        yield module.forward([MNN.expr.const(x, list(x.shape), MNN.expr.NCHW, MNN.expr.float)])[0].read().copy()


def by_numpy():
    import MNN.numpy as mp

    a, b = (MNN.expr.const(values, list(values.shape), MNN.expr.NCHW, MNN.expr.float) for values in (np.linspace(-1, 1, 600, dtype=np.float32).reshape(20, 30),
                                                                                                     np.linspace(-1, 1, 1200, dtype=np.float32).reshape(30, 40)))
    for turn in range(RUNS):
        yield mp.matmul(a * float(turn + 1), b).read().copy()


def main():
    folder, name = pathlib.Path(sys.argv[2]), sys.argv[3]
    if sys.argv[1] == "make":
        make(folder, name)
        return
    how, threads = sys.argv[4], int(sys.argv[5])
    if name == "numpy":
        outputs = by_numpy()
    elif how == "module":
        outputs = by_module(folder / f"{name}.mnn", models.inputs(name), threads)
    else:
        outputs = by_session(folder / (f"{name}.mnn" if how == "session" else f"{name}-{how}.mnn"), models.inputs(name), MEMORY_LOW if how == "int8" else MEMORY_NORMAL, threads)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(output).tobytes() for output in outputs))
    print(json.dumps({"runs": RUNS, "digest": digest.hexdigest()}))


main()
