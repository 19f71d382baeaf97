"""The GPU sources against stand-ins of libcuda, libcupti, libnvidia-ml and libcublas: what CI can run without a GPU."""
import json

import pytest

import gpu_stand_ins
import trace_blocks
from tvg_testlib import TVG, run, run_under_shim


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    build = gpu_stand_ins.make(folder)
    build("fake_gpu_libraries.c", "libcudnn.so.9", "-shared", "-fPIC", "-Wl,-soname,libcudnn.so.9", f"{folder}/libcupti.so.13")
    build("gpu_calls.c", "calls", f"{folder}/libcublas.so.13", f"{folder}/libcudnn.so.9", f"{folder}/libcupti.so.13", "-ldl", "-Wl,-rpath," + str(folder))
    build("gpu_host.c", "host", f"{folder}/libcublas.so.13", f"{folder}/libcupti.so.13", f"{folder}/libnvidia-ml.so.1", "-ldl", "-Wl,-rpath," + str(folder))
    return folder


def record(stand_ins, tmp_path, *arguments, **environment):
    return run_under_shim([stand_ins / "host", *arguments], tmp_path, env={"LD_LIBRARY_PATH": stand_ins, **environment}, check=False)


def report(trace):
    return json.loads(run([TVG, "report", "--json", trace], check=True).stdout)


def notes(trace):
    return [(note["what"], note["subject"]) for note in json.loads(run([TVG, "coverage", "--json", trace], check=True).stdout)["notes"]]


def test_kernels_belong_to_the_call_that_launched_them(stand_ins, tmp_path):
    result = record(stand_ins, tmp_path)
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr
    data = report(result.trace)
    product = [op for op in data["ops"] if op["function"] == "cublasSgemm_v2" and op["flop"]]
    assert len(product) == 1 and product[0]["count"] == 20
    assert product[0]["flop"] == 20 * 2 * 96 * 64 * 32
    assert product[0]["seconds"] == pytest.approx(20 * 320e-6, rel=1e-6)  # both kernels of each call, on the card
    own = [op for op in data["ops"] if op["function"] == "kernel" and op["count"]]
    assert [(op["name"], op["count"]) for op in own] == [("elementwise_kernel", 20)]


def test_what_a_graph_captured_counts_once_for_each_replay(stand_ins, tmp_path):
    data = report(record(stand_ins, tmp_path, "graph").trace)
    small = [op for op in data["ops"] if op["function"] == "cublasSgemm_v2" and op["m"] == 8]
    assert [(op["count"], op["flop"]) for op in small] == [(5, 5 * 2 * 8 * 8 * 8)] * 2  # two captured calls, five replays; the capture ran nothing
    assert [op["seconds"] for op in small] == pytest.approx([10 * 50e-6] * 2, rel=1e-6)  # two kernels a call
    assert data["totals"]["flop"] == 20 * 2 * 96 * 64 * 32 + 10 * 2 * 8 * 8 * 8
    own = [op["count"] for op in data["ops"] if op["function"] == "kernel" and op["count"]]
    assert sum(own) == 20 + 5


def test_calls_with_hooks_of_their_own(stand_ins, tmp_path):
    result = run_under_shim([stand_ins / "calls"], tmp_path, env={"LD_LIBRARY_PATH": stand_ins, "TVG_OPS": "all"}, check=False)
    assert result.returncode == 0 and result.stdout == "done\n", result.stderr
    ops = {(op["function"], op["m"]): op for op in report(result.trace)["ops"] if op["count"]}
    f = lambda function, m=0: ops[(function, m)]
    grouped = f("cublasGemmGroupedBatchedEx")
    assert grouped["flop"] == 3 * 2 * 16 * 32 * 64 + 5 * 2 * 8 * 8 * 4
    assert grouped["bytes"] == 3 * (2 * 16 * 64 + 2 * 64 * 32 + 2 * 4 * 16 * 32) + 5 * (2 * 8 * 4 + 2 * 4 * 8 + 2 * 4 * 8 * 8)
    assert grouped["seconds"] == pytest.approx(70e-6)
    assert f("ncclAllReduce", 1000)["bytes"] == 2 * 4 * 1000 and f("ncclAllReduce", 1000)["flop"] == 0
    assert f("ncclAllGather", 500)["bytes"] == 2 * 500 + 4 * 2 * 500  # what this rank has, and what it gets of all four
    assert f("ncclReduceScatter", 250)["bytes"] == 4 * 2 * 250 + 2 * 250
    assert f("ncclSend", 40)["bytes"] == 8 * 40 and f("ncclAllReduce", 7)["bytes"] == 2 * 7
    assert f("ncclSend", 40)["seconds"] == pytest.approx(20e-6)  # both kernels of the group: it launches when it ends
    assert f("cudnnConvolutionForward")["flop"] == 2 * 2 * 9 * 8 * 8 * 3 * 5 * 3
    sparse = f("cusparseLtMatmul", 128)
    assert sparse["flop"] == 128 * 32 * 64  # half of the dense product
    assert sparse["bytes"] == 128 * 64 * 2 // 2 + 128 * 64 // 8 + 64 * 32 * 2 + 128 * 32 * 2
    assert ("failed-call", "ncclAllReduce") in notes(result.trace)
    attention = f("cudnnBackendExecute")
    assert attention["count"] == 4 and attention["flop"] == 4 * 2 * 2 * 3 * (16 * 17 // 2) * 2 * 64  # a row sees itself and what is before it
    assert attention["bytes"] == 4 * 4 * 2 * 2 * 3 * 16 * 64 and attention["seconds"] == pytest.approx(4 * 60e-6)
    assert f("cudnnBackendPopulateCudaGraph")["count"] == 4 and f("cudnnBackendPopulateCudaGraph")["flop"] == attention["flop"]  # once for each replay
    assert f("cudnnBatchNormalizationForwardInference")["bytes"] == 2 * 4 * 120
    assert f("cublasSgemvBatched", 12)["flop"] == 7 * 2 * 12 * 13
    assert f("cublasSgemvBatched", 12)["bytes"] == 7 * 4 * (12 * 13 + 13 + 2 * 12)
    assert f("cublasHSSgemvStridedBatched", 20)["bytes"] == 5 * (2 * 20 * 30 + 2 * 30 + 2 * 4 * 20)
    said = notes(result.trace)
    assert ("unknown-version", "cudnnBackendExecute") in said and ("failed-call", "cudnnBackendExecute") not in said  # what is no plan is not ours to judge
    assert ("found-not-catchable", "cudnnMultiHeadAttnForward") in said and not [note for note in said if note[0] == "limit"]


def test_the_meter_is_the_total(stand_ins, tmp_path):
    data = report(record(stand_ins, tmp_path).trace)
    energy = data["totals"]["energy_j"]
    assert energy["boundary"] == "board" and energy["basis"] == "measured"
    assert 0 < energy["value"] <= 40.0  # 20 times 2 J, less what was used before the first and after the last tick
    assert energy["value"] > 25
    parts = sum(op["energy_j"]["value"] for op in data["ops"]) + data["totals"]["idle_j"] + data["totals"]["other_j"]
    assert parts == pytest.approx(energy["value"], rel=1e-9)


def test_a_board_says_what_its_parts_did_and_what_it_was_at_rest(stand_ins, tmp_path):
    samples = trace_blocks.of_kind(record(stand_ins, tmp_path).trace, trace_blocks.ENERGY)
    boards = [sample for sample in samples if sample["boundary"] == "board"]
    assert (boards[0]["rest_mw"], boards[0]["rest_sm_mhz"], boards[0]["rest_celsius"], boards[0]["rest_processes"]) == (125000, 1980, 44, 0)
    assert len(boards) > 3 and not any("rest_mw" in sample for sample in boards[1:])
    for sample in boards:
        assert (sample["sm_active"], sample["dram_active"]) == (2.5, 10.5)  # the stand-in gives the metric's number and a half
        assert "fp64_active" not in sample  # what the driver could not compute is left out


def test_a_board_without_performance_monitoring_is_said(stand_ins, tmp_path):
    trace = record(stand_ins, tmp_path, FAKE_GPM_REFUSES="1").trace
    assert ("source-refused", "gpm") in notes(trace)
    assert report(trace)["totals"]["energy_j"]["basis"] == "measured"


def identity(data):
    """rest, awake and ops of ours, others, unexplained: what the board's meter says"""
    totals, pricing = data["totals"], data["pricing"]
    ours = totals["ops_j"] + totals["idle_j"] + totals["other_j"]
    assert ours == pytest.approx(totals["energy_j"]["value"], rel=1e-9)
    meter = sum(one["joules"] for one in pricing["meters"] if one["boundary"] == "board")
    assert pricing["board_j"] == pytest.approx(meter, rel=1e-9)
    assert ours + pricing["others_j"] == pytest.approx(meter, rel=1e-9)


def test_with_co_tenants_ours_is_modelled_and_the_rest_is_others(stand_ins, tmp_path):
    traces = {}
    for count in ("1", "4"):
        (tmp_path / count).mkdir()
        traces[count] = record(stand_ins, tmp_path / count, FAKE_NVML_PROCESSES=count).trace
    alone, shared = report(traces["1"]), report(traces["4"])
    assert alone["totals"]["energy_j"]["basis"] == "measured" and alone["pricing"]["others_j"] is None
    energy = shared["totals"]["energy_j"]
    assert energy["basis"] != "measured" and shared["pricing"]["meter_scale"] == 1
    identity(shared)
    # rest and awake by four processes; the same device file, windows a tick apart
    window = next(one["seconds"] for one in shared["pricing"]["meters"])
    assert shared["totals"]["idle_j"] == pytest.approx(124.5 * window / 4, rel=0.03)
    assert shared["pricing"]["others_j"] > 0
    ops = {op["function"]: op["energy_j"]["value"] for op in shared["ops"]}
    assert ops["cublasSgemm_v2"] > 0
    text = " ".join(run([TVG, "report", traces["4"]], check=True).stdout.split())
    assert "others use it too (4 processes in the mean)" in text and "Not in it: others on the board" in text


def test_own_processes_are_no_tenants(stand_ins, tmp_path):
    for _ in range(2):
        traces = record(stand_ins, tmp_path, FAKE_NVML_PROCESSES="2").traces
    assert len(traces) == 2
    data = report(traces[0].parent)
    assert data["coverage"]["processes"] == 2
    assert data["totals"]["energy_j"]["basis"] == "measured" and data["pricing"]["others_j"] is None


def test_a_partitioned_board_is_modelled(stand_ins, tmp_path):
    trace = record(stand_ins, tmp_path, FAKE_NVML_MIG="1", FAKE_NVML_PROCESSES="1").trace
    assert ("meter-shared", "gpu-0") in notes(trace)
    data = report(trace)
    energy = data["totals"]["energy_j"]
    assert energy["basis"] != "measured"
    identity(data)
    assert energy["low"] < energy["value"] / 3  # the instance may be a seventh of the card


def test_a_call_that_failed_counts_nothing_and_is_said(stand_ins, tmp_path):
    trace = record(stand_ins, tmp_path).trace
    assert ("failed-call", "cublasSgemm_v2") in notes(trace)
    assert report(trace)["totals"]["flop"] == 20 * 2 * 96 * 64 * 32


def test_a_profiler_of_the_host_is_given_way_to(stand_ins, tmp_path):
    result = record(stand_ins, tmp_path, "profiler")
    assert result.returncode == 0 and "own profiler is on" in result.stdout
    assert any(what == "source-yielded" and subject == "cupti" for what, subject in notes(result.trace))
    assert sum(op["count"] for op in report(result.trace)["ops"] if op["function"] == "kernel") == 20  # what came before is kept


@pytest.mark.parametrize("variable, source", [("FAKE_CUPTI_REFUSES", "cupti"), ("FAKE_NVML_REFUSES", "nvml")])
def test_a_refusal_is_said_and_changes_nothing_else(stand_ins, tmp_path, variable, source):
    result = record(stand_ins, tmp_path, **{variable: "1"})
    assert result.returncode == 0 and result.stdout == "done\n"
    assert ("source-refused", source) in notes(result.trace)
    assert report(result.trace)["totals"]["flop"] == 20 * 2 * 96 * 64 * 32


@pytest.mark.parametrize("how, code", [("_exit", 3), ("kill", -6)])
def test_a_process_that_dies_keeps_what_was_flushed(stand_ins, tmp_path, how, code):
    result = record(stand_ins, tmp_path, how)
    assert result.returncode == code and result.stdout == "done\n"
    data = report(result.trace)
    assert data["totals"]["flop"] == 20 * 2 * 96 * 64 * 32
    kernels = sum(op["count"] for op in data["ops"] if op["function"] == "kernel")
    assert 20 - 9 <= kernels <= 20  # at most the last 200 ms, one kernel each 25 ms


def test_without_a_gpu_nothing_is_started(under_shim):
    trace = under_shim("import numpy as np; np.ones((9, 9)) @ np.ones((9, 9))").trace
    assert not [note for note in notes(trace) if note[1] in ("cupti", "nvml")]
