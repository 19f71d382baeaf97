"""CTranslate2: every product of a random GPT, float and int8, against the textbook's count."""
import pytest
from stack_lib import Pair, stack_python

# version that these figures were seen with: 4.8.5


@pytest.mark.parametrize("compute, types", [("float32", "f32"), ("int8", "i8")])
def test_generation(tmp_path, compute, types):
    python = stack_python("ctranslate2", "ctranslate2", "numpy")
    pair = Pair(python, "ctranslate2_cases.py", tmp_path, tmp_path / "model", compute)
    linear = sum(op["flop"] for op in pair.ops if "4gemmI" in op["function"])
    attention = sum(op["flop"] for op in pair.ops if "gemm_batch_strided" in op["function"])
    assert linear == pair.answer["linear"]
    assert attention == pair.answer["attention"]
    assert pair.flop() == linear + attention, "nothing is counted twice below the hook"
    assert {op["types"][0] for op in pair.ops if "4gemmI" in op["function"]} == {types}
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in pair.ops)
