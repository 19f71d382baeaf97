"""Single layers of ncnn, written by hand in its text format, each with the FLOP of its products by the textbook.

Arguments: GROUP THREADS [bf16]. Prints one JSON object: for each case FLOP and weights' type of its products, and a digest of the outputs."""
import hashlib
import json
import pathlib
import struct
import sys
import tempfile

import ncnn
import numpy as np

RUNS = 2
generator = np.random.default_rng(0)
INT8, HALF = 0x000D4B38, "f16"  # InnerProduct keeps its weights in fp16 where the processor can convert them


def values(*shape, scale=0.1):
    return (generator.standard_normal(shape) * scale).astype(np.float32)


def f32(*shape):
    """Weights, behind the flag that says how they are stored."""
    return struct.pack("<I", 0) + values(*shape).tobytes()


def i8(count):
    data = generator.integers(-127, 128, count, dtype=np.int8).tobytes()
    return struct.pack("<I", INT8) + data + bytes(-count % 4)


def raw(count, value=None):
    """What stands in the file without a flag: bias, scales."""
    return (values(count) if value is None else np.full(count, value, np.float32)).tobytes()


def layer(kind, weights=(), inputs=1, outputs=1, **parameters):
    text = " ".join(f"{key[1:]}={value}" for key, value in parameters.items())
    return kind, b"".join(weights), inputs, outputs, text


def convolution(kind, inputs, outputs, kernel, groups=1, quantized=False, **more):
    count = int(np.prod(kernel)) * inputs // groups * outputs
    sizes = dict(zip(("_1", "_11", "_21"), kernel[::-1]))  # width, height, depth
    if kind.find("DepthWise") > 0:
        sizes["_7"] = groups
    if not quantized:
        return layer(kind, [f32(count), raw(outputs)], _0=outputs, _5=1, _6=count, **sizes, **more)
    scales = [raw(groups if "_7" in sizes else outputs, 100.0), raw(1, 50.0)]
    return layer(kind, [i8(count), raw(outputs), *scales], _0=outputs, _5=1, _6=count, _8=1, **sizes, **more)


def conv_flop(outputs, out, inputs, kernel, groups=1):
    return 2 * outputs * int(np.prod(out)) * inputs // groups * int(np.prod(kernel))


def attention(width, heads, query=None, key=None, value=None, quantized=False, **more):
    query, key, value = query or width, key or width, value or width
    make = i8 if quantized else f32
    weights = [make(width * query), raw(width), make(width * key), raw(width), make(width * value), raw(width), make(query * width), raw(query)]
    if quantized:
        weights += [raw(width, 100.0)] * 3 + [raw(1, 100.0)]
        more["_18"] = 2
    return layer("MultiHeadAttention", weights, _0=width, _1=heads, _2=width * query, _3=key, _4=value, **more)


def recurrent(kind, gates, width, outputs, directions=1, hidden=None, quantized=False, **more):
    hidden = hidden or outputs
    rows, biases = directions * gates * hidden, {"LSTM": 4, "GRU": 4, "RNN": 1}[kind] * hidden * directions
    make = i8 if quantized else f32
    weights = [make(rows * width), f32(biases), make(rows * outputs)]
    if hidden != outputs:
        weights.append(f32(directions * outputs * hidden))
    if quantized:
        weights += [raw(rows, 100.0)] * 2
        more["_8"] = 2
    return layer(kind, weights, _0=outputs, _1=rows * width, _2=2 if directions == 2 else 0, **more)


def recurrent_flop(steps, gates, width, outputs, directions=1, hidden=None):
    hidden = hidden or outputs
    return 2 * steps * directions * (gates * hidden * (width + outputs) + (hidden * outputs if hidden != outputs else 0))


def cases_convolution():
    image = values(3, 33, 31)
    many = values(16, 14, 14)
    dynamic = [many, values(24, 16, 3, 3)]
    yield "plain", [image], convolution("Convolution", 3, 16, (3, 3), _3=2, _4=1), conv_flop(16, (17, 16), 3, (3, 3)), "f32"
    yield "winograd", [many], convolution("Convolution", 16, 32, (3, 3), _4=1), conv_flop(32, (14, 14), 16, (3, 3)), "f32"
    yield "pointwise", [many], convolution("Convolution", 16, 32, (1, 1)), conv_flop(32, (14, 14), 16, (1, 1)), "f32"
    yield "wide kernel", [many], convolution("Convolution", 16, 5, (3, 5)), conv_flop(5, (12, 10), 16, (3, 5)), "f32"
    yield "dilated", [many], convolution("Convolution", 16, 16, (3, 3), _2=2), conv_flop(16, (10, 10), 16, (3, 3)), "f32"
    yield "same padding", [many], convolution("Convolution", 16, 16, (3, 3), _4=-233), conv_flop(16, (14, 14), 16, (3, 3)), "f32"
    yield "depthwise", [many], convolution("ConvolutionDepthWise", 16, 16, (3, 3), 16, _4=1), conv_flop(16, (14, 14), 16, (3, 3), 16), "f32"
    yield "grouped", [many], convolution("ConvolutionDepthWise", 16, 32, (3, 3), 4, _4=1), conv_flop(32, (14, 14), 16, (3, 3), 4), "f32"
    yield "int8", [many], convolution("Convolution", 16, 32, (3, 3), quantized=True), conv_flop(32, (12, 12), 16, (3, 3)), "i8"
    yield "int8 depthwise", [many], convolution("ConvolutionDepthWise", 16, 16, (3, 3), 16, True), conv_flop(16, (12, 12), 16, (3, 3), 16), "i8"
    yield "weights given", dynamic, layer("Convolution", inputs=2, _0=24, _1=3, _5=0, _6=0, _19=1), conv_flop(24, (12, 12), 16, (3, 3)), "f32"
    line, volume = values(16, 50), values(4, 7, 9, 11)
    yield "1-D", [line], convolution("Convolution1D", 16, 24, (5,)), conv_flop(24, (46,), 16, (5,)), "f32"
    yield "1-D depthwise", [line], convolution("ConvolutionDepthWise1D", 16, 16, (5,), 16), conv_flop(16, (46,), 16, (5,), 16), "f32"
    yield "3-D", [volume], convolution("Convolution3D", 4, 6, (2, 3, 3)), conv_flop(6, (6, 7, 9), 4, (2, 3, 3)), "f32"
    yield "3-D depthwise", [volume], convolution("ConvolutionDepthWise3D", 4, 4, (2, 3, 3), 4), conv_flop(4, (6, 7, 9), 4, (2, 3, 3), 4), "f32"


def cases_transposed():
    many, line, volume = values(16, 10, 10), values(16, 50), values(4, 7, 9, 11)
    yield "plain", [many], convolution("Deconvolution", 16, 8, (4, 4), _3=2, _4=1), 2 * 100 * 16 * 8 * 16, "f32"
    yield "depthwise", [many], convolution("DeconvolutionDepthWise", 16, 16, (4, 4), 16, _3=2), 2 * 100 * 16 * 16, "f32"
    yield "1-D", [line], convolution("Deconvolution1D", 16, 8, (3,), _3=2), 2 * 50 * 16 * 8 * 3, "f32"
    yield "3-D", [volume], convolution("Deconvolution3D", 4, 6, (2, 2, 2), _3=2), 2 * 7 * 9 * 11 * 4 * 6 * 8, "f32"
    offsets = [values(8, 12, 12), values(18, 12, 12)]
    kind, weights, _, _, text = convolution("DeformableConv2D", 8, 12, (3, 3), _4=1)
    yield "deformable", offsets, (kind, weights, 2, 1, text), conv_flop(12, (12, 12), 8, (3, 3)), "f32"


def cases_products():
    inner = lambda inputs, outputs: layer("InnerProduct", [f32(inputs * outputs), raw(outputs)], _0=outputs, _1=1, _2=inputs * outputs)
    yield "vector", [values(300)], inner(300, 70), 2 * 300 * 70, HALF
    yield "rows", [values(20, 300)], inner(300, 70), 2 * 20 * 300 * 70, HALF
    yield "image", [values(8, 5, 6)], inner(240, 30), 2 * 240 * 30, HALF
    quantized = layer("InnerProduct", [i8(300 * 70), raw(70), raw(70, 100.0), raw(1, 50.0)], _0=70, _1=1, _2=300 * 70, _8=2)
    yield "int8", [values(20, 300)], quantized, 2 * 20 * 300 * 70, "i8"
    right = layer("Gemm", [f32(64 * 48), f32(64)], _2=0, _3=1, _4=0, _5=1, _6=1, _7=0, _8=64, _9=48, _10=4)
    yield "gemm, right constant", [values(20, 48)], right, 2 * 20 * 64 * 48, "f32"
    left = layer("Gemm", [f32(32 * 48), f32(32)], _2=0, _3=0, _4=1, _5=0, _6=1, _7=32, _8=0, _9=48, _10=2)
    yield "gemm, left constant", [values(48, 20)], left, 2 * 32 * 20 * 48, "f32"
    yield "gemm", [values(20, 48), values(48, 33)], layer("Gemm", inputs=2, _2=0, _3=0), 2 * 20 * 33 * 48, "f32"
    yield "gemm, both transposed", [values(48, 20), values(33, 48)], layer("Gemm", inputs=2, _2=1, _3=1), 2 * 20 * 33 * 48, "f32"
    yield "gemm, result transposed", [values(20, 48), values(48, 33)], layer("Gemm", inputs=2, _2=0, _3=0, _14=1), 2 * 20 * 33 * 48, "f32"
    weights = [i8(64 * 48), f32(64), raw(1, 100.0)]
    yield "gemm, int8", [values(20, 48)], layer("Gemm", weights, _3=1, _5=1, _6=1, _8=64, _9=48, _10=4, _18=2), 2 * 20 * 64 * 48, "i8"
    yield "matmul", [values(20, 48), values(48, 33)], layer("MatMul", inputs=2), 2 * 20 * 33 * 48, "f32"
    yield "matmul, batched", [values(4, 20, 48), values(4, 33, 48)], layer("MatMul", inputs=2, _0=1), 2 * 4 * 20 * 33 * 48, "f32"
    yield "matmul, one right operand", [values(4, 20, 48), values(48, 33)], layer("MatMul", inputs=2), 2 * 4 * 20 * 33 * 48, "f32"
    yield "matmul, four dimensions", [values(2, 4, 20, 48), values(2, 4, 48, 33)], layer("MatMul", inputs=2), 2 * 8 * 20 * 33 * 48, "f32"
    yield "matmul, vector", [values(20, 48), values(48)], layer("MatMul", inputs=2), 2 * 20 * 48, "f32"


def cases_blocks():
    """Weights in blocks of 32 with a scale each, in the bits of the number's hundreds: versions of 2026."""
    for bits, kind in ((4, "i4"), (8, "i8")):
        packed = 48 * bits // 8
        parts = [i8(64 * packed)[4:], f32(64), raw(64 * 2, 50.0)]
        yield f"gemm, {bits} bits", [values(20, 48)], layer("Gemm", parts, _3=1, _5=1, _6=1, _8=64, _9=48, _10=4, _18=100 * bits), 2 * 20 * 64 * 48, kind


def cases_attention():
    width, heads, rows = 64, 4, 20
    whole = 2 * 4 * rows * width * width + 2 * 2 * rows * rows * width
    yield "projected", [values(rows, width)], attention(width, heads), whole, "f32"
    yield "projected, int8", [values(rows, width)], attention(width, heads, quantized=True), whole, "i8"
    kind, weights, _, _, text = attention(width, heads, 48, 32, 40)
    crossed = 2 * width * (2 * rows * 48 + 30 * (32 + 40)) + 2 * 2 * rows * 30 * width
    yield "projected, crossed", [values(rows, 48), values(30, 32), values(30, 40)], (kind, weights, 3, 1, text), crossed, "f32"


def cases_scaled():
    yield "plain", [values(4, 20, 16), values(4, 30, 16), values(4, 30, 16)], layer("SDPA", inputs=3), 4 * 4 * 20 * 30 * 16, "f32"
    yield "shared heads", [values(4, 20, 16), values(2, 30, 16), values(2, 30, 16)], layer("SDPA", inputs=3), 4 * 4 * 20 * 30 * 16, "f32"
    yield "other width", [values(4, 20, 16), values(4, 30, 16), values(4, 30, 24)], layer("SDPA", inputs=3), 2 * 4 * 20 * 30 * (16 + 24), "f32"
    masked = [values(4, 20, 16), values(4, 30, 16), values(4, 30, 16), values(20, 30)]
    yield "masked", masked, layer("SDPA", inputs=4, _5=1), 4 * 4 * 20 * 30 * 16, "f32"


def cases_kept():
    """Attention over the keys and values of all tokens so far: 20 at first, then one more. What a layer keeps it is given back the next time."""
    width, first = 64, 20
    tokens = [first, 1]
    kind, weights, _, _, text = attention(width, 4, _7=1)
    flops = [2 * 4 * now * width * width + 2 * 2 * now * (first + now) * width for now in tokens]
    flops[0] -= 2 * 2 * first * first * width  # nothing was before
    yield "projected", [[values(now, width)] for now in tokens], (kind, weights, 3, 3, text), flops, "f32"
    flops = [4 * 4 * first * first * 16, 4 * 4 * (first + 1) * 16]
    yield "plain", [[values(4, now, 16) for _ in range(3)] for now in tokens], layer("SDPA", inputs=5, outputs=3, _7=1), flops, "f32"


def cases_recurrent():
    steps = values(30, 24)
    yield "lstm", [steps], recurrent("LSTM", 4, 24, 32), recurrent_flop(30, 4, 24, 32), "f32"
    yield "lstm, both ways", [steps], recurrent("LSTM", 4, 24, 32, 2), recurrent_flop(30, 4, 24, 32, 2), "f32"
    yield "lstm, projected", [steps], recurrent("LSTM", 4, 24, 16, hidden=32, _3=32), recurrent_flop(30, 4, 24, 16, hidden=32), "f32"
    yield "lstm, int8", [steps], recurrent("LSTM", 4, 24, 32, quantized=True), recurrent_flop(30, 4, 24, 32), "i8"
    yield "gru", [steps], recurrent("GRU", 3, 24, 32), recurrent_flop(30, 3, 24, 32), "f32"
    yield "rnn", [steps], recurrent("RNN", 1, 24, 32, 2), recurrent_flop(30, 1, 24, 32, 2), "f32"


def cases_uncounted():
    yield "transform", [values(1000)], layer("Spectrogram", _0=64), 0, "f32"


def run(steps, made, threads, bf16):
    kind, weights, input_count, output_count, text = made
    names = [f"in{i}" for i in range(input_count)]
    lines = [f"Input {name} 0 1 {name}" for name in names]
    lines.append(f"{kind} it {input_count} {output_count} {' '.join(names)} {' '.join(f'out{i}' for i in range(output_count))} {text}")
    lines = ["7767517", f"{len(lines)} {input_count + output_count}", *lines]
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    net.opt.use_bf16_storage = bf16
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "net.param").write_text("\n".join(lines) + "\n")
        (folder / "net.bin").write_bytes(weights)
        if net.load_param(str(folder / "net.param")) or net.load_model(str(folder / "net.bin")):
            sys.exit(f"{text}: not loaded")
    digest, kept = hashlib.sha256(), [ncnn.Mat()] * 2
    for step in steps:
        extractor = net.create_extractor()
        for name, value in zip(names, [*(ncnn.Mat(value) for value in step), *kept]):
            extractor.input(name, value)
        outputs = []
        for i in range(output_count):
            code, out = extractor.extract(f"out{i}")
            if code:
                sys.exit(f"{kind} {text}: not computed, {code}")
            outputs.append(out)
        if kind != "SDPA" or len(outputs) == 1 or step is steps[0]:  # with keys that were kept ncnn itself gives other values from run to run
            digest.update(np.array(outputs[0]).tobytes())
        kept = outputs[1:]
    return digest.hexdigest()


group, threads, bf16 = sys.argv[1], int(sys.argv[2]), "bf16" in sys.argv
answer = {"cases": [], "digests": []}
for name, inputs, made, flop, weights in globals()["cases_" + group]():
    steps = inputs if group == "kept" else [inputs] * RUNS
    answer["digests"].append(run(steps, made, threads, bf16))
    answer["cases"] += [[name, each, weights] for each in (flop if group == "kept" else [flop] * RUNS)]
print(json.dumps(answer))
