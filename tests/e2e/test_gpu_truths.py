"""Each trace of tests/fixtures/gpu against the file beside it, which says what is known of the run without tvg (the fixtures' README has its keys)."""
import json

import pytest

import gpu_accounting
from tvg_testlib import ROOT, TVG, run

FIXTURES = ROOT / "tests" / "fixtures" / "gpu"
TRUTHS = {path.stem: json.loads(path.read_text()) for path in sorted(FIXTURES.glob("*.json"))}
KEYS = {"fixture", "what", "on", "passes", "flop", "units", "kernels", "kernel_ns", "library_share", "products", "calls"}


def having(*keys):
    return pytest.mark.parametrize("name", [name for name, truth in TRUTHS.items() if all(key in truth for key in keys)])


def report(name):
    return json.loads(run([TVG, "report", "--json", FIXTURES / TRUTHS[name]["fixture"]], check=True).stdout)


def sums(name):
    """Of the counted passes where the run marked them, of the whole trace where it did not."""
    path = FIXTURES / TRUTHS[name]["fixture"]
    within = gpu_accounting.window(path)
    return gpu_accounting.add_up(path, within), TRUTHS[name]["passes"]["counted" if within else "executed"]


def test_every_trace_has_its_truth_and_no_truth_is_of_another():
    assert {path.stem for path in FIXTURES.glob("*.tvg")} == set(TRUTHS)
    for name, truth in TRUTHS.items():
        assert truth["fixture"] == f"{name}.tvg" and truth["what"] and truth["on"]["card"]
        assert set(truth) <= KEYS and set(truth) & {"flop", "products"}


@having("flop")
def test_flop_and_units(name):
    truth, data = TRUTHS[name], report(name)
    flop, executed = truth["flop"], truth["passes"]["executed"]
    assert data["totals"]["flop"] == pytest.approx(executed * flop["a_pass"], rel=flop.get("within", 0), abs=0)
    if "textbook" in flop:  # some versions of transformers compute rotary angles by a product
        assert flop["a_pass"] == pytest.approx(flop["textbook"], rel=1e-4)
    if "units" in truth:
        units = data["totals"]["units"]
        assert {units["kind"]: units["value"]} == truth["units"] and units["basis"] == "exact"


@having("kernels")
def test_kernels(name):
    truth = TRUTHS[name]
    found, passes = sums(name)
    assert found["kernels"] == passes * truth["kernels"]["a_pass"] + truth["kernels"].get("beside", 0)
    if "kernel_ns" in truth:
        assert found["kernel_ns"] == pytest.approx(passes * truth["kernel_ns"]["a_pass"], rel=truth["kernel_ns"]["within"])
    if "library_share" in truth:
        assert found["library_ns"] / found["kernel_ns"] == pytest.approx(truth["library_share"]["value"], abs=truth["library_share"]["within"])


@having("products")
def test_products(name):
    ops = [op for op in report(name)["ops"] if op["flop"]]
    for wanted in TRUTHS[name]["products"]:
        found = [op for op in ops if (op["type_a"], op["m"], op["n"], op["k"]) == (wanted["type"], wanted["m"], wanted["n"], wanted["k"])]
        assert sum(op["count"] for op in found) == wanted["count"]
        assert sum(op["flop"] for op in found) == wanted["count"] * 2 * wanted["m"] * wanted["n"] * wanted["k"]
        if "compute" in wanted:
            assert {op["type_compute"] for op in found} == {wanted["compute"]}
        assert all(op["seconds"] > 0 for op in found)


@having("calls")
def test_calls(name):
    assert sum(op["count"] for op in report(name)["ops"] if op["flop"]) == TRUTHS[name]["passes"]["executed"] * TRUTHS[name]["calls"]


@pytest.mark.parametrize("name", TRUTHS)
def test_kernel_time_has_a_launching_call_and_thread(name):
    found = gpu_accounting.add_up(FIXTURES / TRUTHS[name]["fixture"])
    assert found["launched_ns"] >= 0.99 * found["kernel_ns"] > 0


@pytest.mark.parametrize("name", TRUTHS)
def test_the_analyzer_adds_up_what_the_independent_reader_does(name):
    found, cards = gpu_accounting.add_up(FIXTURES / TRUTHS[name]["fixture"]), report(name)["cards"]
    assert cards["kernels"] == found["kernels"]
    assert cards["kernel_s"] == pytest.approx(found["kernel_ns"] / 1e9, rel=1e-6)
    assert cards["caused_s"] == pytest.approx(found["library_ns"] / 1e9, rel=1e-6)


@pytest.mark.parametrize("name", TRUTHS)
def test_a_kernel_takes_at_most_twelve_bytes(name):
    path = FIXTURES / TRUTHS[name]["fixture"]
    if gpu_accounting.add_up(path)["kernels"] >= 1000:  # below, what a block has once outweighs them
        assert gpu_accounting.bytes_a_row(path) <= 12


@pytest.mark.parametrize("name", TRUTHS)
def test_a_fixture_is_small(name):
    assert (FIXTURES / TRUTHS[name]["fixture"]).stat().st_size < 360_000
