"""Kernels recorded in windows, and the host's recorded waits, on the card: estimates against what torch says a pass launches, waits against the program's own."""
import pytest

import gpu_accounting
import gpu_lib
import trace_blocks

CONTEXT = 3  # the kind of a wait for all work of a context


@pytest.fixture(scope="module")
def truths(request):
    return gpu_lib.truths([f"{name}:eager" for name in ("launch-bound", "bert")], 120, kept=request.config.truths_file)


@pytest.mark.parametrize("name", ["launch-bound", "bert"])
def test_what_ran_between_windows_is_estimated(name, truths, tmp_path):
    truth = truths[f"{name}:eager"]
    ran = gpu_lib.Recorded(gpu_lib.worker(name, "--seconds", "5"), tmp_path, TVG_KERNELS="windows")
    assert ran.answer["output"] == truth["output"]
    executed, profiler = ran.answer["warmup"] + ran.answer["passes"], truth["profiler"]
    data = gpu_lib.report(ran.trace)
    cards, windows = data["cards"], data["cards"]["windows"]
    assert windows["count"] > 4 and windows["recorded_share"] < 0.6
    assert len(trace_blocks.kernels(ran.trace)) < 0.7 * executed * profiler["kernels"] / profiler["passes"]  # the gaps are gaps
    assert cards["kernels"] == pytest.approx(executed * profiler["kernels"] / profiler["passes"], rel=0.05)
    # the sampling error at 95 %, and what clocks and caches leave between two processes
    assert cards["kernel_s"] == pytest.approx(1e-9 * executed * profiler["kernel_ns"] / profiler["passes"], rel=0.05 + 1.5 * windows["error"])
    assert data["totals"]["flop"] == executed * truth["flop"]["a_pass"]  # calls are recorded all the time


def test_short_runs_have_no_windows(truths, tmp_path):
    ran = gpu_lib.Recorded(gpu_lib.worker("launch-bound", "--seconds", "1"), tmp_path, TVG_KERNELS="auto")
    assert gpu_lib.report(ran.trace)["cards"]["windows"] is None
    profiler = truths["launch-bound:eager"]["profiler"]
    assert gpu_accounting.add_up(ran.trace, gpu_accounting.window(ran.trace))["kernels"] == ran.answer["passes"] * profiler["kernels"] / profiler["passes"]


def test_each_wait_of_the_host_is_recorded(tmp_path):
    """The worker waits for the card behind each pass."""
    ran = gpu_lib.Recorded(gpu_lib.worker("bert", "--seconds", "1"), tmp_path)
    first, last = gpu_accounting.window(ran.trace)
    waits = trace_blocks.waits(ran.trace)
    assert waits is not None
    counted = [row for row in waits if row["kind"] == CONTEXT and first <= row["start"] <= last]
    assert len(counted) == ran.answer["passes"] + 1  # and once behind all
    told = gpu_lib.report(ran.trace)["cards"]["waits"]
    assert 0 < told["host_waited_s"] <= told["span_s"]
    assert sum(row["duration"] for row in counted) / 1e9 <= ran.answer["seconds"]
