"""Each model on the card, against torch's own counts: FLOP, kernels, time, launches, shares; the trace's size; the same outputs.

A process under the shim runs the counted passes, then torch.profiler takes CUPTI over (the shim yields) and measures as many passes of the same process."""
import pytest

import gpu_accounting
import gpu_lib
import trace_blocks

LLAMAS = [f"llama-{name}-b{batch}" for name in ("fp32", "tf32", "bf16") for batch in (1, 32)]
ALL = [f"{name}:{way}" for name in LLAMAS for way in ("eager", "graph", "compile")] + [
    "resnet50-fp32:eager", "resnet50-fp16:eager", "resnet50-fp16-channels-last:eager", "vit-fp32:eager", "vit-fp16:eager", "bert:eager", "bert:graph",
    "fp8:eager", "int8:eager", "linear-fp16:compile", "linear-fp16:graph", "launch-bound:eager"]
USUAL = ["llama-bf16-b1:eager", "llama-bf16-b1:graph", "llama-bf16-b1:compile", "llama-fp32-b1:eager", "llama-tf32-b32:eager", "resnet50-fp32:eager",
         "resnet50-fp16-channels-last:eager", "vit-fp32:eager", "vit-fp16:eager", "bert:eager", "fp8:eager", "int8:eager", "linear-fp16:compile", "launch-bound:eager"]


def pytest_generate_tests(metafunc):
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", ALL if metafunc.config.getoption("--all") else USUAL, scope="module")


@pytest.fixture(scope="module")
def truths(request):
    """Of every case that is still to be tested, by one process without the shim."""
    cases = list(dict.fromkeys(item.callspec.params["case"] for item in request.session.items if "case" in getattr(item, "fixturenames", ())))
    return gpu_lib.truths(cases, 60 + 20 * len(cases), kept=request.config.truths_file)


class Case:
    def __init__(self, case, truth, folder):
        name, self.way = case.split(":")
        self.truth = truth
        assert "error" not in truth, truth["error"]
        # a card at rest takes some passes to reach its clocks, and both counts are to see the same
        self.run = gpu_lib.Recorded(gpu_lib.worker(name, "--way", self.way, "--warmup", "8", "--profiler", "after"), folder, timeout=240)
        self.answer, self.trace = self.run.answer, self.run.trace
        self.window = gpu_accounting.window(self.trace)
        self.sums = gpu_accounting.add_up(self.trace, self.window)


@pytest.fixture(scope="module")
def ran(case, truths, tmp_path_factory):
    return Case(case, truths[case], tmp_path_factory.mktemp("gpu"))


def test_outputs_are_the_same_to_the_bit(ran):
    assert ran.answer["output"] == ran.truth["output"]


def test_kernels_are_those_that_torch_profiler_counts(ran):
    assert ran.sums["kernels"] == ran.answer["profiler"]["kernels"] > 0


def test_kernel_time_is_that_of_torch_profiler(ran):
    """Passes of one process, one behind the other: clocks and caches leave 3 % between them, and 50 ns a kernel for the two ends of each."""
    there = ran.answer["profiler"]["kernel_ns"]
    assert there > 0
    assert ran.sums["kernel_ns"] == pytest.approx(there, rel=0.03, abs=50 * ran.sums["kernels"])


def test_kernel_time_has_a_launching_call_and_thread(ran):
    assert ran.sums["launched_ns"] >= 0.99 * ran.sums["kernel_ns"] > 0


def test_the_share_of_library_calls_is_torch_profilers(ran):
    if "library_share" not in ran.answer["profiler"]:
        pytest.skip("torch.profiler does not say which operator a replayed kernel belongs to")
    assert ran.sums["library_ns"] / ran.sums["kernel_ns"] == pytest.approx(ran.answer["profiler"]["library_share"], abs=0.01)


def test_flop_are_torchs(ran):
    flop, executed = ran.truth["flop"], ran.answer["warmup"] + ran.answer["passes"]
    if flop["textbook"] and flop["counter"]:  # two counts of torch's must agree before ours is compared (some versions multiply for the rotary angles)
        assert flop["counter"] == pytest.approx(flop["textbook"], rel=1e-4)
    # a compiler may write a product of few rows as a loop of its own: that is none of the library's
    tolerance = 1e-3 if ran.way == "compile" else 0
    assert gpu_lib.report(ran.trace)["totals"]["flop"] == pytest.approx(executed * flop["a_pass"], rel=tolerance, abs=0)


def test_a_kernel_takes_at_most_twelve_bytes(ran):
    if len(trace_blocks.kernels(ran.trace)) < 1000:
        pytest.skip("too few kernels: what a block has once outweighs them")
    assert gpu_accounting.bytes_a_row(ran.trace) <= 12


def test_the_analyzer_counts_what_the_rows_say(ran):
    whole = gpu_accounting.add_up(ran.trace)
    cards = gpu_lib.report(ran.trace)["cards"]
    assert cards["kernels"] == whole["kernels"]
    assert cards["kernel_s"] == pytest.approx(whole["kernel_ns"] / 1e9, rel=1e-6)


def test_the_parts_of_the_meters_total_add_up(ran):
    data = gpu_lib.report(ran.trace)
    totals = data["totals"]
    assert totals["energy_j"]["boundary"] == "board"
    parts = sum(op["energy_j"]["value"] for op in data["ops"]) + totals["idle_j"] + totals["other_j"]
    assert parts == pytest.approx(totals["energy_j"]["value"], rel=1e-9)


def test_the_hosts_profiler_was_given_way_to(ran):
    assert ("source-yielded", "cupti") in gpu_lib.notes(ran.trace)
    assert ran.answer["profiler"]["kernels"] > 0
