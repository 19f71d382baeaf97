"""tvg export --format perfetto: the Trace Event Format's own rules, and the figures that the other commands print of the same trace."""
import json
from collections import Counter, defaultdict

import pytest

from tvg_testlib import ROOT, TVG, run

FIXTURES = ROOT / "tests" / "fixtures" / "gpu"
BERT, RESNET, COMPILE = (FIXTURES / f"{name}-h100.tvg" for name in ("bert", "resnet50", "compile"))
# what the format's description demands of each phase, beside ph, pid and tid
NEEDED = {"X": {"name", "cat", "ts", "dur"}, "M": {"name", "args"}, "C": {"name", "ts", "args"}, "s": {"name", "cat", "ts", "id"}, "f": {"name", "cat", "ts", "id", "bp"}}


def export(*paths):
    return json.loads(run([TVG, "export", "--format", "perfetto", *paths], check=True).stdout)


def events(*paths):
    return export(*paths)["traceEvents"]


def report(path):
    return json.loads(run([TVG, "report", "--json", path], check=True).stdout)


def check_format(data):
    assert data["displayTimeUnit"] == "ns" and data["traceEvents"]
    for event in data["traceEvents"]:
        assert NEEDED[event["ph"]] <= set(event), event
        assert isinstance(event["pid"], int) and isinstance(event["tid"], int) and event["pid"] < 2**31
        if event["ph"] == "X":
            assert event["dur"] >= 0 and event["ts"] > 0
        if event["ph"] == "C":
            assert all(isinstance(value, (int, float)) for value in event["args"].values())
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name") and isinstance(event["args"]["name"], str)
    named = {(event["pid"], event["tid"]) for event in data["traceEvents"] if event["ph"] == "M" and event["name"] == "thread_name"}
    assert {(event["pid"], event["tid"]) for event in data["traceEvents"] if event["ph"] == "X"} <= named


@pytest.mark.parametrize("path", [BERT, COMPILE])
def test_the_format_holds(path):
    check_format(export(path))


@pytest.mark.parametrize("path", [BERT, RESNET])
def test_kernels_are_those_of_the_report(path):
    data = report(path)
    kernels = [event for event in events(path) if event["ph"] == "X" and event["cat"] == "kernel"]
    assert len(kernels) == data["cards"]["kernels"]
    assert sum(event["dur"] for event in kernels) * 1e-6 == pytest.approx(data["cards"]["kernel_s"], rel=1e-6)


def test_arrows_lead_from_a_slice_of_the_launching_thread_to_the_kernel():
    everything = events(BERT)
    slices = defaultdict(set)
    for event in everything:
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].add(event["ts"])
    start, end = ({event["id"]: event for event in everything if event["ph"] == phase} for phase in "sf")
    assert start.keys() == end.keys() and len(start) == 12715  # each kernel has one; the trace does not say who launched the copies
    for number, event in start.items():
        assert event["ts"] in slices[event["pid"], event["tid"]] and end[number]["ts"] in slices[end[number]["pid"], end[number]["tid"]]
        assert event["ts"] <= end[number]["ts"] and end[number]["bp"] == "e" and event["pid"] != end[number]["pid"]


def test_a_graph_is_launched_once_for_many_kernels():
    found = Counter(event["name"] for event in events(COMPILE) if event["ph"] == "X" and event["cat"] == "launch")
    kernels = sum(1 for event in events(COMPILE) if event["ph"] == "s")
    assert 0 < found["graph launch"] < kernels / 10


def test_power_integrates_to_the_meters_joules():
    power = sorted((event["ts"], event["args"]["W"]) for event in events(RESNET) if event["ph"] == "C" and event["name"].endswith("power"))
    meter = next(one for one in report(RESNET)["pricing"]["meters"] if one["boundary"] == "board")
    # each counter holds until the next; the last one's length is what is left of the meter's window
    times = [at for at, _ in power] + [power[0][0] + meter["seconds"] * 1e6]
    assert sum(watts * (times[i + 1] - times[i]) * 1e-6 for i, (_, watts) in enumerate(power)) == pytest.approx(meter["joules"], rel=1e-4)
    assert any(event["name"].endswith("clock") and 300 < event["args"]["MHz"] < 2100 for event in events(RESNET) if event["ph"] == "C")


def test_a_cpu_run_has_its_ops_on_their_threads(under_shim):
    trace = under_shim("import numpy as np\nfor i in range(7): np.ones((40, 30), np.float32) @ np.ones((30, 20), np.float32)").trace
    data = export(trace)
    check_format(data)
    lines = [json.loads(line) for line in run([TVG, "dump", trace], check=True).stdout.splitlines()]
    ops = [event for event in data["traceEvents"] if event["ph"] == "X"]
    assert sorted((round(event["ts"], 1), event["tid"], event["name"]) for event in ops) == sorted((round(line["start_ns"] / 1000, 1), line["thread"], line["function"]) for line in lines)
    assert all(event["args"]["flop"] == 2 * 40 * 30 * 20 for event in ops)


def test_several_traces_are_one_timeline():
    everything = events(BERT, COMPILE)
    assert len(everything) == len(events(BERT)) + len(events(COMPILE))
    tracks = {event["args"]["name"] for event in everything if event["ph"] == "M" and event["name"] == "process_name"}
    assert len(tracks) == 4  # two processes, each with a GPU


def test_a_file_can_be_named_and_bad_input_is_said(tmp_path):
    out = tmp_path / "run.json"
    run([TVG, "export", COMPILE, "-o", out], check=True)
    assert json.loads(out.read_text()) == export(COMPILE)
    for arguments, word in (([COMPILE, "--format", "svg"], "perfetto"), ([COMPILE, "-o", tmp_path / "x.gz"], "gzip"), ([], "which trace"),
                            ([tmp_path / "none.tvg"], "none.tvg"), ([COMPILE, "-o", tmp_path / "no" / "x.json"], "can't be written")):
        done = run([TVG, "export", *arguments])
        assert done.returncode == 2 and word in done.stderr, arguments


def test_rewrites_count_the_kernels_that_are_there():
    rewrites = {one["name"]: one for one in report(RESNET)["rewrites"]}
    kernels = [event for event in events(RESNET) if event["ph"] == "X" and event["cat"] == "kernel"]
    layout = [event for event in kernels if "nchwToNhwc" in event["name"] or "nhwcToNchw" in event["name"]]
    assert rewrites["layout-removal"]["reason"].startswith(f"{len(layout)} kernels") and len(layout) > 1000
    pointwise = [event for event in kernels if "elementwise_kernel" in event["name"] or "bn_fw_inf" in event["name"]]
    behind, chained = (int(rewrites[name]["reason"].split()[0]) for name in ("fuse-epilogue", "fuse-pointwise"))
    assert behind <= len(pointwise) and chained <= len(pointwise) and behind + chained <= len(pointwise)
    time = sum(event["dur"] for event in layout) * 1e-6
    value, unit = rewrites["layout-removal"]["reason"].split(": ")[1].split()[:2]
    assert float(value) * {"us": 1e-6, "ms": 1e-3, "s": 1}[unit] == pytest.approx(time, rel=0.01)
