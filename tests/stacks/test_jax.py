"""JAX on the CPU: its products are not counted; the outputs are the same, and the coverage record says what it lacks."""
from stack_lib import Pair, stack_python, tvg_json

# version that this was seen with: 0.10.2


def test_what_is_missing_is_said(tmp_path):
    pair = Pair(stack_python("jax", "jax", "numpy"), "uncounted_cases.py", tmp_path, "jax")
    assert pair.flop() == pair.answer["flop"], "numpy's product alone"
    notes = tvg_json("coverage", "--json", pair.trace)
    assert "YNNPACK" in str(notes) and "found-not-catchable" in str(notes)
