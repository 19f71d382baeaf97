"""JAX on the CPU: every product, convolution and layer against the textbook, op by op, and against XLA's own count where that counts alike."""
import pytest
from stack_lib import Pair, pinned_python, stack_python, tvg_json

# version that these figures were seen with: 0.10.2


@pytest.mark.parametrize("case, types", [("products", {"f32", "f64", "i8", "i32", "c64"}), ("cnn", {"f32"}), ("transformer", {"f32"})])
def test_flop(tmp_path, case, types):
    pair = Pair(stack_python("jax", "jax", "numpy"), "jax_cases.py", tmp_path, case, environment={"JAX_PLATFORMS": "cpu"})
    assert pair.answer["xla"] == pair.answer["alike"]
    products = [op for op in pair.ops if op["kind"] in ("gemm", "conv")]
    assert sorted(op["flop"] for op in products) == pair.answer["textbook"]
    assert pair.flop() == sum(pair.answer["textbook"]), "nothing is counted twice"
    assert all(op["net"] == "inline" and op["duration_ns"] > 0 for op in products)
    # XLA converts bf16 and f16 to f32 itself
    assert {op["types"][0] for op in products} == types
    notes = str(tvg_json("coverage", "--json", pair.trace))
    assert "found-not-catchable" not in notes and "unknown-version" not in notes and "'lost'" not in notes
    # graphs of several nodes share their time among them, and lie end to end
    shared = [op for op in pair.ops if "time_shared" in op["flags"]]
    assert bool(shared) == (case == "transformer")


def test_loops_of_its_own_are_said(tmp_path):
    pair = Pair(stack_python("jax", "jax", "numpy"), "jax_cases.py", tmp_path, "loops", environment={"JAX_PLATFORMS": "cpu"})
    assert [op["flop"] for op in pair.ops] == pair.answer["textbook"]
    assert "XLA's own loops" in str(tvg_json("coverage", "--json", pair.trace))


@pytest.mark.parametrize("case", ["products", "cnn", "transformer"])
@pytest.mark.parametrize("version", ["0.5.3", "0.7.2"])
def test_older_versions(tmp_path, version, case):
    """Before YNNPACK all is Eigen's, batches member by member; convolutions are told apart but end where nothing is seen."""
    python = pinned_python(f"jax-{version}", f"jax=={version}", f"jaxlib=={version}", "numpy")
    pair = Pair(python, "jax_cases.py", tmp_path, case, environment={"JAX_PLATFORMS": "cpu"})
    assert pair.flop() == sum(pair.answer["textbook"])
    assert {op["function"] for op in pair.ops} == {"TypedMatMul", "EigenConv"} - ({"EigenConv"} if case != "cnn" else set())
    assert ("durations are too short" in str(tvg_json("coverage", "--json", pair.trace))) == (case == "cnn")
