"""torch_beyond.py WINDOWS: operations of PyTorch that are no products, one after the other.

Prints as JSON for each the digest of its output, the operation that is expected and its bytes: every operand read once, the output written
once. Into the file WINDOWS goes when each computed (CLOCK_MONOTONIC, ns).
"""
import hashlib
import json
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
CASES = {}
x, y, row = torch.randn(24, 40), torch.randn(24, 40), torch.randn(40)
image, wide = torch.randn(2, 6, 14, 14), torch.randn(3, 24, 40)


def bytes_of(tensor):
    """An expanded dimension is one row in memory."""
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride()):
        count *= size if stride else 1
    return count * tensor.element_size()


def case(name, kind, compute, *reads, function=None, more=0):
    """`more`: bytes beside the operands and the output; `function`: what the op is called, else the name."""
    CASES[name] = kind, compute, reads, function or name, more


for function in ("cos", "erf", "exp", "exp2", "expm1", "log1p", "neg", "reciprocal", "sin", "sinh", "sqrt", "rsqrt"):
    case(function, "elementwise", lambda function=function: getattr(torch, function)(x), x)
for function in ("hardsigmoid", "mish", "silu", "gelu", "leaky_relu", "elu", "softplus", "relu", "hardswish"):
    case(function, "activation", lambda function=function: getattr(F, function)(x), x)
for function in ("sigmoid", "tanh"):
    case(function, "activation", lambda function=function: getattr(torch, function)(x), x)
for function in ("add", "sub", "mul", "div", "maximum", "minimum"):
    case(function, "elementwise", lambda function=function: getattr(torch, function)(x, y), x, y)
case("gelu-tanh", "activation", lambda: F.gelu(x, approximate="tanh"), x, function="gelu")
case("prelu", "activation", lambda: F.prelu(image, torch.ones(6)), image, torch.ones(6), function="prelu")
case("relu_", "activation", lambda: F.relu(x.clone(), inplace=True), x)
case("add-row", "elementwise", lambda: x + row, x, row, function="add")
case("add-expanded", "elementwise", lambda: x + row.expand(24, 40), x, row, function="add")
case("add-bf16", "elementwise", lambda x=x.bfloat16(), y=y.bfloat16(): x + y, x.bfloat16(), y.bfloat16(), function="add")
case("mul-number", "elementwise", lambda: x * 3, x, function="mul", more=8)  # the number is a tensor of one f64
case("pow", "elementwise", lambda: x.pow(2), x, function="pow_Tensor_Scalar")
case("clamp_min", "elementwise", lambda: x.clamp_min(0.5), x)
case("ge", "elementwise", lambda: x >= y, x, y, function="ge_Tensor")
case("le-number", "elementwise", lambda: x <= 0.5, x, function="le_Scalar")
case("addcmul", "elementwise", lambda: torch.addcmul(x, y, wide), x, y, wide)
case("where", "elementwise", lambda mask=x > 0: torch.where(mask, x, y), x, y, x > 0)
case("layer_norm", "norm", lambda w=torch.ones(40), b=torch.zeros(40): F.layer_norm(x, (40,), w, b), x, row, row)
case("layer_norm-plain", "norm", lambda: F.layer_norm(x, (40,)), x, function="layer_norm")
case("batch_norm", "norm", lambda m=nn.BatchNorm2d(6).eval(): m(image), image, more=4 * 6 * 4)
case("group_norm", "norm", lambda m=nn.GroupNorm(2, 6): m(image), image, more=2 * 6 * 4)
case("softmax", "softmax", lambda: F.softmax(x, -1), x)
case("log_softmax", "softmax", lambda: F.log_softmax(wide, 1), wide)
case("mean", "reduce", lambda: x.mean(1), x)
case("sum", "reduce", lambda: wide.sum((0, 2)), wide)
case("amax", "reduce", lambda: x.amax(0), x)
case("argmax", "reduce", lambda: x.argmax(1), x)
case("max", "reduce", lambda: x.max(1)[0], x, more=24 * 8)  # where it was found is written too
case("max_pool2d", "pool", lambda: F.max_pool2d(image, 2), image, more=2 * 6 * 7 * 7 * 8)
case("avg_pool2d", "pool", lambda: F.avg_pool2d(image, 2), image)
case("adaptive_avg_pool2d", "pool", lambda: F.adaptive_avg_pool2d(image, 7), image)
# of the table the rows that are asked for: as much as is written
case("embedding", "embedding", lambda i=torch.tensor([3, 5, 7]): F.embedding(i, x), function="index_select", more=3 * 40 * 4 + 3 * 8)
case("gather", "embedding", lambda i=torch.zeros(24, 3, dtype=torch.int64): x.gather(1, i), function="gather", more=24 * 3 * 4 + 24 * 3 * 8)
case("copy", "copy", lambda: x.clone(), x, function="copy_")
case("cast", "copy", lambda: x.bfloat16(), x, function="copy_")
case("transpose", "transpose", lambda: x.t().contiguous(), x, function="copy_")
case("channels-last", "transpose", lambda: image.contiguous(memory_format=torch.channels_last), image, function="copy_")
case("cat", "copy", lambda: torch.cat([x, y]), x, y)
case("fill_", "memset", lambda: torch.full((24, 40), 3.0))
case("zero_", "memset", lambda: x.clone().zero_())
case("quantize_per_tensor", "quantize", lambda: torch.quantize_per_tensor(x, 0.1, 3, torch.qint8), x)
case("dequantize", "dequantize", lambda q=torch.quantize_per_tensor(x, 0.1, 3, torch.qint8): q.dequantize(), torch.empty(24, 40, dtype=torch.int8))


@torch.no_grad()
def main():
    found, windows = {}, {}
    for name, (kind, compute, reads, function, more) in CASES.items():
        begin = time.monotonic_ns()
        output = compute()
        windows[name] = begin, time.monotonic_ns()
        raw = output.int_repr() if output.is_quantized else output
        found[name] = {"digest": hashlib.sha256(raw.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest(), "kind": kind, "function": function,
                       "bytes": sum(map(bytes_of, reads)) + bytes_of(output) + more, "output": str(output.dtype).removeprefix("torch.")}
    with open(sys.argv[1], "w") as file:
        json.dump(windows, file)
    print(json.dumps(found))


main()
