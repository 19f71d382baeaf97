"""PyTorch on the CPU: FLOP of whole models against torch's own counter, or the textbook where that one misses a fused path."""
import pytest
from stack_lib import PROGRAMS, Pair, stack_python
from tvg_testlib import run

# version that these figures were seen with: torch 2.15.0


@pytest.mark.parametrize("model", ["llama", "llama-bf16", "resnet18"])
def test_flop_equal_torchs_own_count(tmp_path, model):
    python = stack_python("torch", "torch", "torchvision", "transformers", "numpy")
    pair = Pair(python, "torch_models.py", tmp_path, model)
    assert pair.flop() == int(run([python, PROGRAMS / "torch_flop.py", model], check=True).stdout.split()[-1])
    if model == "llama-bf16":
        assert all(op["net"] == "inline" for op in pair.ops if op["flop"])


def test_vision_transformer_equals_the_textbook(tmp_path):
    # ViT-B/16 on 64 x 64: 16 patches and one class token, 12 layers of width 768. FlopCounterMode does not see its fused attention.
    tokens, width, layers = 17, 768, 12
    expected = 2 * 16 * (16 * 16 * 3) * width + layers * (2 * tokens * 12 * width * width + 2 * 2 * tokens * tokens * width) + 2 * width * 1000
    pair = Pair(stack_python("torch", "torch", "torchvision", "transformers", "numpy"), "torch_models.py", tmp_path, "vit")
    assert pair.flop() == expected
