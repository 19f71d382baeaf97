"""Traces recorded on a real H100, analyzed here: joules, types, pauses and rewrites. FLOP and kernels: test_gpu_truths.py."""
import json

import pytest

from tvg_testlib import ROOT, TVG, run

FIXTURES = ROOT / "tests" / "fixtures" / "gpu"
RESNET, BERT, CUPY, COMPILE = (FIXTURES / f"{name}-h100.tvg" for name in ("resnet50", "bert", "cupy", "compile"))


def report(path, *more):
    return json.loads(run([TVG, "report", "--json", path, *more], check=True).stdout)


def library_ops(data):
    return [op for op in data["ops"] if op["on_gpu"] and op["function"] not in ("kernel", "memset") and not op["function"].startswith("memcpy")]


def test_attention_that_no_library_call_launches_is_a_kernel_and_no_flop():
    # in this recording PyTorch's own attention was not followed yet
    assert any("fmha" in (op.get("name") or "") or "flash" in (op.get("name") or "") for op in report(BERT)["ops"] if op["function"] == "kernel")


@pytest.mark.parametrize("path", [RESNET, BERT])
def test_the_boards_meter_is_the_total_and_the_parts_add_up(path):
    data = report(path)
    totals = data["totals"]
    energy = totals["energy_j"]
    assert energy["basis"] == "measured" and energy["boundary"] == "board"
    parts = sum(op["energy_j"]["value"] for op in data["ops"]) + totals["idle_j"] + totals["other_j"]
    assert parts == pytest.approx(energy["value"], rel=1e-9)
    assert energy["low"] < energy["value"] < energy["high"]
    # the model, before it is scaled to the meter, is within its own stated error
    assert abs(data["pricing"]["model_error"]) < 0.28
    assert 0.8 <= data["pricing"]["meter_scale"] <= 1.25


@pytest.mark.parametrize("path", [RESNET, BERT])
def test_time_on_the_card_belongs_to_the_calls_that_launched_it(path):
    data = report(path)
    card = sum(op["time_s"] if "time_s" in op else op["seconds"] for op in data["ops"] if op["on_gpu"])
    calls = sum(op["time_s"] if "time_s" in op else op["seconds"] for op in library_ops(data))
    assert 0 < calls < card
    share = {RESNET: 0.47, BERT: 0.77}[path]
    assert calls / card == pytest.approx(share, abs=0.02)


def test_ops_of_a_card_have_names_types_and_its_own_device_file():
    text = run([TVG, "ops", RESNET, "--top", "0"], check=True).stdout
    assert "h100-sxm, above a card that is awake" in text and "modelled" in text and "xeon" not in text
    assert "bn_fw" in text and "launch_clamp_scalar" in text and "CUDAFunctor_add" in text and " kernel " not in text
    assert all(" tf32 " in line for line in text.splitlines() if "cudnnBackendExecute" in line)
    assert all(len(line) <= 80 for line in text.splitlines())
    data = json.loads(run([TVG, "ops", RESNET, "--json"], check=True).stdout)
    assert data["device"] == "h100-sxm"
    assert all(row["name"] for row in data["rows"] if row["kind"] == "kernel")
    # a meter measured the board's joules; how they are shared out among its ops is modelled
    assert {row["energy_j"]["basis"] for row in data["rows"]} == {"modelled"}


# What ran, by the fixtures' README: passes of a network; a Llama's four eager passes and three replayed ones of a prefill and eight decode steps each. One product
# repeated, and layers alike that were replayed but for one pass, tell of no passes.
UNITS = {"resnet50": {"pass": 152}, "bert": {"pass": 62}, "bert-attention": {"pass": 12}, "vit": {"pass": 12}, "cupy": {"pass": 20}, "fp8": {"pass": 12},
         "llama-graph": {"output_token": 7 * 9, "input_token": 7 * 128, "pass": 7 * 9}, "cublaslt": {}, "compile": {}}


@pytest.mark.parametrize("name", sorted(path.name.removesuffix("-h100.tvg") for path in FIXTURES.glob("*.tvg")))
def test_passes_are_those_that_ran(name):
    units = report(FIXTURES / f"{name}-h100.tvg")["coverage"]["units"]
    assert {unit["kind"]: unit["value"] for unit in units if unit["basis"] == "inferred"} == UNITS[name]
    if not UNITS[name]:
        assert [(unit["kind"], unit["basis"]) for unit in units] == [("pass", "none")]


def test_the_screen_says_what_it_is_about():
    text = run([TVG, "report", RESNET], check=True).stdout
    assert "NVIDIA H100 80GB HBM3" in text and "by its own meter" in text
    assert "card merely on" in text and "kept awake by you" in text
    assert "CPU (" in text  # what is not in it is said, with its band


def notes(path):
    return [(note["what"], note["subject"], note["detail"]) for note in report(path)["coverage"]["notes"]]


def test_the_type_is_that_of_the_kernel_that_ran():
    # ResNet's fp32 convolutions run in TF32 unless told otherwise (cudnn.allow_tf32); BERT's fp32 products run on the vector units (matmul.allow_tf32 is off)
    data = report(RESNET)
    convolutions = [op for op in library_ops(data) if op["kind"] == "conv"]
    assert {(op["type_a"], op["type_called"], op["type_compute"]) for op in convolutions} == {("f32", "f32", "tf32")}
    assert any(what == "compute-type" and subject == "cudnnBackendExecute" and "tf32" in detail for what, subject, detail in notes(RESNET))
    assert data["cards"]["type_disagrees"] > 0.99
    assert "another type than the call says" in " ".join(run([TVG, "report", RESNET], check=True).stdout.split())
    products = [op for op in library_ops(report(BERT)) if op["flop"]]
    assert {(op["type_called"], op["type_compute"]) for op in products} == {("f32", "f32")}
    assert not [note for note in notes(BERT) if note[0] == "compute-type"]
    assert report(BERT)["cards"]["type_disagrees"] == 0
    assert {(op["type_a"], op["type_compute"]) for op in library_ops(report(CUPY)) if op["flop"]} == {("f32", "f32"), ("f16", "f16")}


@pytest.mark.parametrize("name", ["llama-graph", "cublaslt", "fp8", "compile"])
def test_no_disagreement_is_made_up(name):
    # these ran in the types that their programs asked for: bf16, TF32 by the compute type of the call, fp8 and int8, fp16
    assert not [note for note in notes(FIXTURES / f"{name}-h100.tvg") if note[0] == "compute-type"]


def test_launch_bound_is_said_plainly():
    # BERT at 8 x 64 tokens: 205 kernels in some 8 ms; between them the card has nothing to do until the host launches the next
    cards = report(BERT)["cards"]
    assert cards["bound_by"] == "launch"
    assert cards["busy_s"] + cards["launch_gap_s"] + cards["queued_gap_s"] == pytest.approx(cards["working_s"])
    assert cards["working_s"] + cards["pause_s"] == pytest.approx(cards["span_s"], rel=1e-6)
    assert "Launch-bound" in run([TVG, "report", BERT], check=True).stdout
    assert report(RESNET)["cards"]["bound_by"] != "launch"
    # the same network with fewer passes: pauses between the start and them are most of the time, which says nothing of who sets the pace while it works
    attention = report(FIXTURES / "bert-attention-h100.tvg")["cards"]
    assert attention["pause_s"] > attention["span_s"] / 2 and attention["bound_by"] == "launch"
    for name in ("bert", "bert-attention", "resnet50", "vit", "llama-graph", "compile", "cupy", "fp8", "cublaslt"):
        cards = report(FIXTURES / f"{name}-h100.tvg")["cards"]
        busy, waiting = cards["busy_s"] / cards["working_s"], cards["launch_gap_s"] / cards["working_s"]
        assert cards["bound_by"] == ("card" if busy >= 0.9 else "launch" if waiting > 0.25 else "turns"), name


def test_a_resident_kernel_of_few_blocks_is_not_a_busy_card():
    # 8 x 16 blocks of a 1024-cube fp32 product and 2 x 64 of the fp16 one, on 132 multiprocessors
    cards = report(CUPY)["cards"]
    assert cards["multiprocessors"] == 132 and cards["small_kernels"] == 41
    assert cards["small_s"] / cards["kernel_s"] > 0.98


def rewrite(path, name, *more):
    return next(one for one in report(path, *more)["rewrites"] if one["name"] == name)


def test_a_faster_kernel_of_a_launch_bound_run_saves_its_joules_and_no_time():
    # BERT's products run in fp32 on the vector units; in bf16 they take a fraction of the card's time, but the host sets the pace
    bf16 = rewrite(BERT, "bf16")
    assert bf16["status"] == "applied" and bf16["covered_flop"] > 0.99
    work, rate = bf16["same_work_j"], bf16["same_rate_j"]
    assert 0 < rate["low"] < rate["value"] < rate["high"]
    assert rate["value"] == pytest.approx(work["value"], rel=0.05)
    assert bf16["time_saved_s"] < 0.02 * report(BERT)["cards"]["busy_s"]


def test_the_rewritten_run_adds_up_too():
    data = report(BERT)
    before, after = data["totals"], data["optimized"]
    parts = after["ops_j"] + after["idle_j"] + after["other_j"]
    assert parts == pytest.approx(after["energy_j"]["value"], rel=1e-9)
    assert after["energy_j"]["value"] < before["energy_j"]["value"]
    assert after["other_j"] == pytest.approx(before["other_j"])


@pytest.mark.parametrize("path", [RESNET, BERT, CUPY, COMPILE])
def test_every_rewrite_is_priced_or_says_why_not(path):
    for one in report(path, "--assume", "batch=8", "--assume", "prune=0.3", "--assume", "sparse24=1.5")["rewrites"]:
        assert one["reason"]
        for reading in ("same_work_j", "same_rate_j"):
            assert one[reading]["low"] <= one[reading]["value"] <= one[reading]["high"]
        if one["status"] == "refused":
            assert one["same_work_j"]["high"] == one["same_work_j"]["low"] == one["time_saved_s"] == 0
        if one["runs_on"] == "cpu":
            assert one["status"] == "refused" and "board" in one["reason"]


def test_graphs_save_the_hosts_gaps_and_no_kernel_joules():
    graphs, cards = rewrite(BERT, "cuda-graphs"), report(BERT)["cards"]
    assert graphs["status"] == "applied" and "61 passes of 205 kernels" in graphs["reason"]  # 62 ran, the first would be the capture
    assert graphs["same_work_j"]["low"] > 0 and graphs["same_rate_j"]["low"] <= 0 <= graphs["same_rate_j"]["high"]
    assert 0 < graphs["time_saved_s"] < cards["launch_gap_s"] + cards["queued_gap_s"]
    assert "already" in rewrite(COMPILE, "cuda-graphs")["reason"]  # its products are; what else repeats is the compiler's own tuning
    assert "19 passes of 2 kernels" in rewrite(CUPY, "cuda-graphs")["reason"]  # its loop: a product in fp32, one in fp16


def test_what_already_runs_in_tf32_is_not_sold_again():
    tf32 = rewrite(RESNET, "tf32")
    assert "1 of 1" in tf32["reason"]  # the classifier's product; the 23 convolutions run in TF32 by default
    assert rewrite(BERT, "tf32")["covered_flop"] > 0.99


def test_launches_taken_out_save_time_where_the_host_sets_the_pace():
    fused = rewrite(BERT, "fuse-pointwise")
    launches = int(fused["reason"].split()[0])
    median_gap = 29e-6  # of BERT's launches, from the trace's own launch times
    assert 0.4 < fused["time_saved_s"] / (launches * median_gap) <= 1  # where a long kernel runs the host is ahead: nothing is gained there
    assert fused["same_work_j"]["low"] > fused["same_rate_j"]["high"] >= 0


def test_gpu_rewrites_are_refused_on_a_cpu_trace(under_shim):
    data = report(under_shim("import numpy as np; np.ones((9, 9)) @ np.ones((9, 9))").trace)
    only = [one for one in data["rewrites"] if one["runs_on"] == "gpu"]
    assert len(only) == 8 and all(one["status"] == "refused" and "GPU" in one["reason"] for one in only)
    assert data["cards"] is None
