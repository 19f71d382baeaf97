"""PyTorch models converted by pnnx, and their inference by ncnn.

Arguments: make FOLDER MODEL (asks for torch and pnnx), or run FOLDER MODEL THREADS. Both print one JSON object: make the FLOP of the model's products as torch
counts them, run a digest of the outputs."""
import hashlib
import json
import pathlib
import sys

import numpy as np

RUNS = 2
SIZES = {"resnet": (1, 3, 96, 96), "mobilenet": (1, 3, 96, 96), "vit": (1, 3, 64, 64), "encoder": (1, 24, 64), "lstm": (1, 24, 32)}


def inputs(model):
    return np.random.default_rng(1).standard_normal(SIZES[model]).astype(np.float32)


def build(model):
    import torch
    import torchvision

    if model == "resnet":
        return torchvision.models.resnet18()
    if model == "mobilenet":
        return torchvision.models.mobilenet_v2()
    if model == "vit":
        return torchvision.models.VisionTransformer(64, 16, 3, 4, 64, 128)
    if model == "encoder":
        return torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2, enable_nested_tensor=False)

    class Tagger(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.lstm, self.head = torch.nn.LSTM(32, 40, num_layers=2, bidirectional=True, batch_first=True), torch.nn.Linear(80, 10)

        def forward(self, x):
            return self.head(self.lstm(x)[0])

    return Tagger()


def lstm_flop(steps):
    """torch's counter has no formula for it. Two layers in two directions: four gates of 40, over the input and over the state."""
    return sum(2 * steps * 2 * 4 * 40 * (width + 40) for width in (32, 80))


def make(folder, name):
    import pnnx
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    torch.manual_seed(0)
    torch.backends.mha.set_fastpath_enabled(False)
    model, x = build(name).eval(), torch.from_numpy(inputs(name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x)
    pnnx.export(model, str(folder / f"{name}.pt"), x)
    print()
    print(json.dumps({"flop": counter.get_total_flops() + (lstm_flop(24) if name == "lstm" else 0)}))


def run(folder, name, threads):
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    if net.load_param(str(folder / f"{name}.ncnn.param")) or net.load_model(str(folder / f"{name}.ncnn.bin")):
        sys.exit("not loaded")
    x = inputs(name)[0]
    digest = hashlib.sha256()
    for _ in range(RUNS):
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(x))
        code, out = extractor.extract("out0")
        if code:
            sys.exit(f"not computed: {code}")
        digest.update(np.array(out).tobytes())
    print(json.dumps({"runs": RUNS, "digest": digest.hexdigest()}))


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(pathlib.Path(sys.argv[2]), sys.argv[3])
    else:
        run(pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
