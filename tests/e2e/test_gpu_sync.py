"""Waits of the host and events between streams, against the stand-ins of the driver and of CUPTI."""
import json
import statistics
import subprocess

import pytest

from test_export import check_format, export
from test_gpu_sources import notes, report, stand_ins  # noqa: F401 (a fixture)
from tvg_testlib import PROGRAMS, ROOT, TVG, run, run_under_shim


@pytest.fixture(scope="module")
def host(stand_ins):  # noqa: F811
    subprocess.run(["gcc", "-O1", "-Wall", f"-I{ROOT}", f"-I{PROGRAMS}", str(PROGRAMS / "gpu_sync.c"), "-o", str(stand_ins / "sync"), f"{stand_ins}/libcupti.so.13", "-ldl", "-lpthread",
                    f"-Wl,-rpath,{stand_ins}"], check=True)
    return stand_ins / "sync"


def record(host, folder, how):
    result = run_under_shim([host, how], folder, env={"LD_LIBRARY_PATH": host.parent}, check=False)
    assert result.returncode == 0 and result.stdout == "done\n", (result.returncode, result.stdout, result.stderr)
    return result


@pytest.fixture(scope="module")
def streams(host, tmp_path_factory):
    return record(host, tmp_path_factory.mktemp("streams"), "streams").trace


def blocks(trace):
    lines = [json.loads(line) for line in run([TVG, "dump", "--blocks", trace], check=True).stdout.splitlines()]
    return [line["value"] for line in lines if line.get("block") == "sync"]


def rows(trace):
    return [row for block in blocks(trace) for row in block]


def test_each_call_is_what_it_says(host, tmp_path):
    trace = record(host, tmp_path, "rules").trace
    found = rows(trace)
    assert [(row["kind"], row.get("device"), row.get("stream"), row.get("event", 0)) for row in found] == [
        ("stream", 0, 13, 0),
        ("stream", 0, 7, 0),
        ("stream", 0, 8, 0),  # _ptsz: the thread's own default stream
        ("stream", 0, 8, 0),  # CU_STREAM_PER_THREAD
        ("stream", 0, 7, 0),  # CU_STREAM_LEGACY
        ("stream", 1, 15, 0),
        ("context", 0, None, 0),
        ("context", 1, None, 0),
        ("free", 0, None, 0),
        ("event", None, None, 0),
        ("record", 0, 13, 1),
        ("record", 0, 8, 2),
        ("stream-wait", 0, 14, 1),
        ("stream-wait", 0, 8, 2),
        ("record", 0, 14, 3),
        ("event", None, None, 3),
        ("stream-wait", 0, 13, 0),
        ("record", 0, 14, 4),
        ("record", 0, 13, 5),
        ("stream", None, None, 0),
        ("stream", 0, 14, 0),
        ("stream", 0, 8, 0),
        ("copy", None, None, 0),
    ]
    threads = [row["thread"] for row in found]
    assert len(set(threads)) == 2 and threads[-2] != threads[0]
    starts = [row["start_ns"] for row in found]
    assert starts == sorted(starts) and all(later >= one["start_ns"] + one["duration_ns"] for one, later in zip(found, starts[1:]))


def test_what_happens_in_a_pause_is_followed_and_not_recorded(host, tmp_path):
    found = rows(record(host, tmp_path, "pauses").trace)
    assert [(row["kind"], row["stream"], row.get("event", 0)) for row in found] == [
        ("record", 13, 1), ("record", 13, 2), ("stream-wait", 15, 2), ("stream-wait", 13, 0), ("record", 14, 3)]


def test_waits_have_their_true_times(streams):
    found = rows(streams)
    assert [row["kind"] for row in found] == ["record", "stream-wait", "event", "stream", "copy", "copy", "context"] * 20
    assert [row["event"] for row in found if row["kind"] in ("record", "stream-wait", "event")] == [1 + i // 3 for i in range(60)]
    # a kernel of 4 ms, then one of 2 ms behind it in the other stream; a copy of 1 ms that waits; one of 0.1 ms that doesn't; a kernel of 1 ms
    # (a thread that is held up between launch and wait waits less: the median of 20)
    median = lambda kind, one_of=1, first=0: statistics.median([row["duration_ns"] for row in found if row["kind"] == kind][first::one_of])
    assert 3e6 < median("event") and 1e6 < median("stream") and 0.5e6 < median("context") and 1e6 < median("copy", 2)
    assert max(median("copy", 2, 1), median("record"), median("stream-wait")) < 0.5e6


def test_a_child_writes_nothing_and_the_parent_goes_on(host, tmp_path):
    result = record(host, tmp_path, "fork")
    found = [(row["kind"], row.get("stream")) for trace in result.traces for row in rows(trace)]
    assert found == [("stream", 13), ("stream", 14)]
    assert not [note for trace in result.traces for note in notes(trace) if note[0] == "lost"]


def test_following_is_said_by_a_block_without_rows(host, tmp_path):
    assert blocks(record(host, tmp_path, "nothing").trace) == [[]]


def test_who_waited_for_whom_is_said_by_the_waits(streams):
    cards = report(streams)["cards"]
    waits = cards["waits"]
    parts = [waits[part] for part in ("host_waited_s", "both_s", "queue_full_s", "card_waited_s", "returning_s")]
    assert sum(parts) == pytest.approx(waits["span_s"], rel=1e-9) and waits["span_s"] == pytest.approx(cards["span_s"], rel=1e-6)
    assert waits["host_waited_s"] + waits["both_s"] == pytest.approx(cards["busy_s"], rel=1e-6) and waits["queue_full_s"] == 0
    # 20 frames of 8 ms of the card's work, all waited for as far as the host gets to its calls in time, and 2 ms of the host's own work between them
    assert waits["host_waited_s"] > 0.5 * cards["busy_s"]
    assert waits["card_waited_s"] > 19 * 2e-3
    text = " ".join(run([TVG, "report", streams], check=True).stdout.split())
    assert f"for {100 * waits['host_waited_s'] / waits['span_s']:.0f} % of that time it waited for the card" in text


def slices_by_arrow(data, name):
    """(slice that the arrow leaves, slice that it comes to) of each arrow of that name, as the format finds them: the innermost at that moment."""
    slices = [event for event in data["traceEvents"] if event["ph"] == "X"]
    def at(end):
        around = [one for one in slices if (one["pid"], one["tid"]) == (end["pid"], end["tid"]) and one["ts"] <= end["ts"] <= one["ts"] + one["dur"] and one["dur"] > 0]
        assert around, end
        return min(around, key=lambda one: one["dur"])
    starts = {event["id"]: event for event in data["traceEvents"] if event["ph"] == "s" and event["name"] == name}
    ends = {event["id"]: event for event in data["traceEvents"] if event["ph"] == "f" and event["name"] == name}
    assert starts.keys() == ends.keys()
    return [(at(starts[number]), at(ends[number])) for number in starts]


def test_the_timeline_shows_waits_and_their_arrows(streams):
    data = export(streams)
    check_format(data)
    waits = [event["name"] for event in data["traceEvents"] if event["ph"] == "X" and event["cat"] == "wait"]
    assert [waits.count(name) for name in ("wait for an event", "wait for a stream", "wait for the card")] == [20, 20, 20]
    assert 10 < waits.count("wait for a copy") <= 20  # those that returned behind the copy's end, and none that came back before it
    events = slices_by_arrow(data, "event")
    assert len(events) == 20 and {(one["name"], one["tid"], other["name"], other["tid"]) for one, other in events} == {("make_kernel", 13, "use_kernel", 14)}
    assert all(one["ts"] + one["dur"] <= other["ts"] for one, other in events)
    found = {(one["name"], other["name"]) for one, other in slices_by_arrow(data, "wait")}
    # each wait hangs on what it waited for, unless that was over when it began
    assert found <= {("make_kernel", "wait for an event"), ("use_kernel", "wait for a stream"), ("memcpy DtoH", "wait for a copy"), ("last_kernel", "wait for the card")}
    assert len(found) == 4
    launches = [event for event in data["traceEvents"] if event["ph"] == "s" and event["name"] == "launch"]
    assert len(launches) == 20 * 5  # three kernels and two copies: copies have their launch too


def test_a_graph_is_in_the_order_of_the_stream_that_it_was_launched_in(host, tmp_path):
    trace = record(host, tmp_path, "graph").trace
    assert [(row["kind"], row["device"], row["stream"]) for row in rows(trace)] == [("graph-launch", 0, 13), ("stream", 0, 13)] * 10
    arrows = slices_by_arrow(export(trace), "wait")  # its kernel's record names stream 20
    assert {(one["name"], one["tid"], other["name"]) for one, other in arrows} == {("node_kernel", 20, "wait for a stream")} and len(arrows) > 5
    waits = report(trace)["cards"]["waits"]
    assert waits["host_waited_s"] > 0.5 * waits["span_s"]
