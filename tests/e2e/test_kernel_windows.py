"""Kernels recorded in windows, against stand-ins of the driver and of CUPTI that know what truly ran. The stand-in of CUPTI records only while it is
told to, gives back no buffer whose kernels have not ended, and calls back only for what is enabled."""
import json

import pytest

import gpu_stand_ins
import trace_blocks
from tvg_testlib import TVG, run, run_under_shim


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    build = gpu_stand_ins.make(folder)
    build("windows_host.c", "host", f"{folder}/libcublas.so.13", f"{folder}/libcupti.so.13", f"{folder}/libnvidia-ml.so.1", "-ldl", "-lm", "-Wl,-rpath," + str(folder))
    return folder


class Recorded:
    def __init__(self, stand_ins, folder, kernels, seconds, how="", code=0, **environment):
        folder.mkdir(exist_ok=True)
        result = run_under_shim([stand_ins / "host", str(seconds), how], folder, env={"LD_LIBRARY_PATH": stand_ins, "TVG_KERNELS": kernels, **environment}, check=False)
        assert result.returncode == code, result.stderr
        self.true = json.loads(result.stdout)
        self.trace = result.traces[0] if how != "fork" else next(trace for trace in result.traces if self.marks_of(trace))
        self.marks = self.marks_of(self.trace)
        self.rows = sum(block["count"] for block in trace_blocks.of_kind(self.trace, trace_blocks.KERNELS))
        self.data = json.loads(run([TVG, "report", "--json", self.trace], check=True).stdout)
        self.cards = self.data["cards"]
        self.windows = self.cards["windows"]
        self.true_seconds = 1e-9 * sum(ns for _, ns in self.true["kernels"].values())
        self.true_kernels = sum(count for count, _ in self.true["kernels"].values())

    @staticmethod
    def marks_of(trace):
        return [mark for mark in trace_blocks.of_kind(trace, trace_blocks.MARK) if mark["kind"].startswith("kernels-")]

    def products(self):
        return {op["m"]: op["count"] for op in self.data["ops"] if op["function"] == "cublasSgemm_v2"}

    def own(self, name="elementwise_kernel"):
        return next(op for op in self.data["ops"] if op["function"] == "kernel" and op["name"] == name)

    def off(self):
        """How far the kernels' time is off, in units of its stated error."""
        return abs(self.cards["kernel_s"] / self.true_seconds - 1) / self.windows["error"]

    def check(self, kernels_within=0.03):
        assert self.products() == {96: self.true["small"], 200: self.true["large"], 8: pytest.approx(self.true["replays"], rel=kernels_within)}
        assert self.cards["kernels"] == pytest.approx(self.true_kernels, rel=kernels_within)
        assert 0 < self.windows["error"] and self.off() < 2.5
        total = sum(op["seconds"] for op in self.data["ops"] if op["on_gpu"])
        assert total == pytest.approx(self.cards["kernel_s"], rel=1e-9)  # there are no copies
        cards = self.cards
        assert cards["working_s"] + cards["pause_s"] == pytest.approx(cards["span_s"], rel=1e-6)
        totals = self.data["totals"]
        parts = sum(op["energy_j"]["value"] for op in self.data["ops"]) + totals["idle_j"] + totals["other_j"]
        assert parts == pytest.approx(totals["energy_j"]["value"], rel=1e-9)


def test_estimates_hold_what_truly_ran(stand_ins, tmp_path):
    runs = [Recorded(stand_ins, tmp_path / str(i), "20/120", 1.6) for i in range(3)]
    for one in runs:
        one.check()
        assert one.windows["count"] > 4 and 0.05 < one.windows["recorded_share"] < 0.5
        assert one.rows < 0.6 * one.true_kernels  # the gaps are gaps
        assert one.windows["error"] < 0.5 and one.windows["missing"] == 0 and one.windows["scaled_by"] == "launches"
        assert one.own()["count"] == pytest.approx(one.true["kernels"]["elementwise_kernel"][0], rel=0.03)
        for op in one.data["ops"]:
            if op["on_gpu"] and op["count"]:
                assert 0 < op["seconds_error"] or op["m"] == 8  # what a graph replays takes the same each time here
        text = " ".join(run([TVG, "report", one.trace], check=True).stdout.split())
        assert f"({one.windows['count']} windows)" in text and "other kernels by launches" in text
    assert min(one.off() for one in runs) < 1
    coverage = runs[0].trace
    assert json.loads(run([TVG, "coverage", "--json", coverage], check=True).stdout)["kernel_windows"] == runs[0].windows
    assert "KERNELS RECORDED IN WINDOWS" in run([TVG, "coverage", coverage], check=True).stdout


def test_each_switch_is_in_the_trace(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "20/120", 0.8)
    kinds = [mark["kind"] for mark in one.marks]
    assert kinds[0] == "kernels-on" and kinds[-1] == "kernels-end"
    assert all(a != b for a, b in zip(kinds, kinds[1:])) and kinds.count("kernels-off") >= 2
    assert all(a["mono_ns"] <= b["mono_ns"] and a["launches"] <= b["launches"] for a, b in zip(one.marks, one.marks[1:]))
    assert one.marks[-1]["launches"] == one.true_kernels - 2 * one.true["replays"] + 2  # all but what graphs replayed, and the two that were captured
    assert one.marks[-1]["graph_launches"] == one.true["replays"]
    events = json.loads(run([TVG, "export", "--format", "perfetto", one.trace], check=True).stdout)["traceEvents"]
    gaps = [event for event in events if event.get("cat") == "gap"]
    assert len(gaps) == sum(a == "kernels-off" for a in kinds[:-1]) and sum(gap["dur"] for gap in gaps) * 1e-6 == pytest.approx(one.windows["gap_s"], rel=1e-6, abs=0.02)


def test_a_call_is_seen_whole_or_not_at_all(stand_ins, tmp_path):
    """Calls are in progress most of the time, between their first kernel and their second: where a window opens or closes, some are cut."""
    one = Recorded(stand_ins, tmp_path / "run", "10/40", 1.5, FAKE_TURN_US="500", FAKE_CALL_US="300")
    names = {block["id"]: block.get("name") for block in trace_blocks.of_kind(one.trace, trace_blocks.DICT)}
    causes = {block["id"]: block["mnkb"][0] for block in trace_blocks.of_kind(one.trace, trace_blocks.DICT) if "mnkb" in block}
    launched = {96: [], 200: []}
    for row in sorted(trace_blocks.kernels(one.trace), key=lambda row: row["launch"]):
        if row["graph"] == 0 and row["cause"] in causes:
            launched[causes[row["cause"]]].append(names[row["op"]])
    windows, since = [], 0
    for mark in one.marks[1:]:  # the first: what was recorded whole goes on as a sample
        if mark["kind"] == "kernels-off":
            windows.append((since, mark["mono_ns"]))
        since = mark["mono_ns"]
    assert len(windows) > 8
    calls = [json.loads(line) for line in run([TVG, "dump", one.trace], check=True).stdout.splitlines()]
    for m in (96, 200):
        began = sum(any(start <= call["start_ns"] < end for start, end in windows) for call in calls if call["function"] == "cublasSgemm_v2" and call["m"] == m)
        first = [name == "ampere_sgemm_128x64_nn" for name in launched[m]]
        alone = sum(a == b for a, b in zip([False] + first, first + [True]))
        assert alone <= 2  # a machine that stops a thread for long may do that
        assert sum(first) == pytest.approx(began, rel=0.03, abs=2) and began > 20


@pytest.mark.parametrize("kernels", ["all", "auto"])
def test_recorded_whole(stand_ins, tmp_path, kernels):
    one = Recorded(stand_ins, tmp_path / "run", kernels, 0.5)
    assert one.marks == [] and one.windows is None
    assert (one.rows, one.cards["kernels"]) == (one.true_kernels, one.true_kernels)
    assert one.cards["kernel_s"] == pytest.approx(one.true_seconds, rel=1e-9)
    assert all(op["seconds_error"] == 0 for op in one.data["ops"])


def test_many_kernels_a_second_are_sampled_after_the_beginning(stand_ins, tmp_path):
    """As many as this machine launches; after 5 s or 200,000 kernels there are gaps, by far longer than windows."""
    one = Recorded(stand_ins, tmp_path / "run", "auto", 7, FAKE_TURN_US="20")
    if one.true_kernels / one.true["seconds"] * 1.3e-6 < 0.02:
        pytest.fail("this machine is too slow for the test to mean anything")
    assert one.marks[0]["kind"] == "kernels-off" and one.marks[0]["launches"] > 0
    assert one.rows < one.true_kernels
    one.check()


def test_a_pause_of_the_host_is_neither_window_nor_gap(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "20/120", 1.5, "pause")
    one.check()
    assert one.windows["gap_s"] + one.windows["seconds"] < 1.5 - 0.2 * 1.5


def test_an_idle_stretch(stand_ins, tmp_path):
    Recorded(stand_ins, tmp_path / "run", "20/120", 1.5, "idle").check()


def test_a_forked_child_changes_nothing(stand_ins, tmp_path):
    Recorded(stand_ins, tmp_path / "run", "20/120", 1.2, "fork").check()


def test_a_process_that_ends_at_once_keeps_what_was_seen(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "20/120", 1.5, "_exit", code=3)
    assert one.marks[-1]["kind"] != "kernels-end"
    one.check(kernels_within=0.15)  # what no call explains is not known since the last switch


def test_a_profiler_of_the_host_ends_it(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "20/120", 1.5, "profiler")
    assert one.marks[-1]["kind"] == "kernels-end" and one.marks[-2]["kind"] == "kernels-off"
    one.check()


def test_without_the_drivers_door_it_goes_by_time(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "20/120", 1.5, FAKE_NO_DOOR="1")
    assert one.windows["scaled_by"] == "time"
    one.check(kernels_within=0.3)


def test_processes_with_windows_and_without_add_up(stand_ins, tmp_path):
    ones = [Recorded(stand_ins, tmp_path / kernels.replace("/", "-"), kernels, 1.0) for kernels in ("20/120", "all")]
    folder = tmp_path / "run"
    folder.mkdir()
    for one in ones:
        one.trace.rename(folder / one.trace.name)
    data = json.loads(run([TVG, "report", "--json", folder], check=True).stdout)
    assert data["coverage"]["processes"] == 2
    small = [op["count"] for op in data["ops"] if op["function"] == "cublasSgemm_v2" and op["m"] == 96]
    assert sum(small) == sum(one.true["small"] for one in ones)
    windows, kernels = data["cards"]["windows"], data["cards"]["kernel_s"]
    assert data["cards"]["kernels"] == pytest.approx(sum(one.true_kernels for one in ones), rel=0.03)
    assert abs(kernels / sum(one.true_seconds for one in ones) - 1) < 2.5 * windows["error"]
    assert windows["error"] < ones[0].windows["error"]  # half of it is known


def test_a_setting_that_means_nothing_is_said(stand_ins, tmp_path):
    one = Recorded(stand_ins, tmp_path / "run", "sometimes", 0.3)
    assert one.windows is None
    notes = json.loads(run([TVG, "coverage", "--json", one.trace], check=True).stdout)["notes"]
    assert ("setting-refused", "TVG_KERNELS") in [(note["what"], note["subject"]) for note in notes]
