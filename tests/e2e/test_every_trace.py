"""What must hold of the report of any trace: parts that add up, intervals that hold their value, labels that are true, a screen of 80 columns. Over every fixture, and
CPU runs made here."""
import re

import pytest

from tvg_testlib import ROOT, run_under_shim, tvg, tvg_json

FIXTURES = sorted((ROOT / "tests" / "fixtures").rglob("*.tvg"))
PROGRAMS = {  # short, long beside its ops, waiting, in two processes, of one op, with ops of several threads
    "short": "import numpy as np\na = np.ones((512, 512), np.float32)\nfor _ in range(60): a @ a",
    "beside": "import numpy as np\na = np.ones((200, 200))\nfor _ in range(40):\n    a @ a; sum(i * i for i in range(20000))",
    "waiting": "import time, numpy as np\na = np.ones((300, 300), np.float32)\nfor _ in range(30):\n    time.sleep(0.01); a @ a",
    "forked": "import os, numpy as np\na = np.ones((300, 300), np.float32)\npid = os.fork()\nfor _ in range(50): a @ a\nif pid: os.waitpid(pid, 0)",
    "once": "import numpy as np\nnp.ones((50, 50)) @ np.ones((50, 50))",
    "threads": "import threading, numpy as np\na = np.ones((300, 300), np.float32)\ndef work():\n    for _ in range(50): a @ a\n"
               "t = [threading.Thread(target=work) for _ in range(3)]\n[one.start() for one in t]; [one.join() for one in t]",
}
SOURCES = {"short": "none", "threads": "none"}  # the others are sampled where the kernel permits
PLAIN = [f"fixture:{path.relative_to(ROOT / 'tests' / 'fixtures')}" for path in FIXTURES]


@pytest.fixture(scope="module", params=PLAIN + [f"cpu:{name}" for name in PROGRAMS])
def trace(request, tmp_path_factory):
    kind, name = request.param.split(":", 1)
    if kind == "fixture":
        return ROOT / "tests" / "fixtures" / name
    return run_under_shim(PROGRAMS[name], tmp_path_factory.mktemp(name), env={"TVG_SOURCES": SOURCES.get(name, "+dark?")}).folder


@pytest.fixture(scope="module")
def report(trace):
    return tvg_json("report", trace, "--json")


def close(value, wanted, whole):
    assert value == pytest.approx(wanted, abs=1e-9 * max(1e-9, abs(whole)))


def test_parts_add_up_to_the_whole(report):
    for totals in (report["totals"], report["optimized"]):
        whole = totals["energy_j"]["value"]
        close(totals["ops_j"] + totals["idle_j"] + totals["other_j"], whole, whole)
    totals, whole, phases = report["totals"], report["totals"]["energy_j"]["value"], report["phases"]
    close(sum(op["energy_j"]["value"] for op in report["ops"]), totals["ops_j"], whole)
    close(sum(phase["energy_j"]["value"] for phase in phases), whole, whole)
    close(report["pricing"]["idle_j"]["value"], totals["idle_j"], whole)
    close(report["pricing"]["other_cpu_j"]["value"] + report["pricing"]["unexplained_j"], totals["other_j"], whole)
    made = sum(phase["energy_j"]["value"] for phase in phases if phase["name"] in ("warm-up", "steady", "waiting"))
    close(report["inference"]["energy_j"]["value"], made, whole)
    close(sum(phase["seconds"] for phase in phases), totals["wall_s"], totals["wall_s"])
    if not report["pricing"]["meters"]:  # the ends too: a meter's are its own
        for end in ("low", "high"):
            close(sum(phase["energy_j"][end] for phase in phases), totals["energy_j"][end], totals["energy_j"][end])


def test_cpu_time_adds_up_and_no_phase_has_more_than_ran_in_it(report):
    cpu, phases = report["totals"]["cpu_s"], report["phases"]
    assert sum(phase["cpu_seconds"] for phase in phases) == pytest.approx(cpu, rel=1e-6)
    allowed = int(report["manifest"].get("cpu.allowed", 0)) or 1e9
    for phase in phases:
        assert phase["cpu_outside_s"]["value"] <= cpu * (1 + 1e-9)
        if phase["name"] in ("start", "end"):
            assert phase["cpu_seconds"] <= allowed * phase["seconds"] + 0.03  # a tick of the kernel's clock and a sample
    assert sum(phase["cpu_outside_s"]["value"] for phase in phases) <= cpu * (1 + 1e-6)
    assert next(phase for phase in phases if phase["name"] == "waiting")["cpu_outside_s"]["high"] == 0


def intervals(value, where=""):
    if isinstance(value, dict):
        if {"value", "low", "high"} <= value.keys():
            yield where, value
        for key, inner in value.items():
            yield from intervals(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from intervals(inner, f"{where}[{i}]")


def test_every_interval_holds_its_value(report):
    count = 0
    for where, interval in intervals(report):
        count += 1
        slack = 1e-9 * max(abs(interval["low"]), abs(interval["high"]), 1e-12)
        assert interval["low"] - slack <= interval["value"] <= interval["high"] + slack, where
    assert count > 20


def test_labels_are_true(report):
    metered = bool([meter for meter in report["pricing"]["meters"] if meter["samples"] > 1])
    assert (report["totals"]["energy_j"]["basis"] == "measured") == metered
    assert report["pricing"]["parts_basis"] in ("modelled", "estimated")
    parted = sum(phase["seconds"] for phase in report["phases"] if phase["name"] in ("start", "load", "end")) > 0
    assert report["inference"]["basis"] == (report["pricing"]["parts_basis"] if parted else report["totals"]["energy_j"]["basis"])
    assert report["savings"]["basis"] == report["optimized"]["energy_j"]["basis"] == "predicted"
    assert {unit["basis"] for unit in report["coverage"]["units"]} <= {"exact", "given", "inferred", "none"}


def shown(trace, *options):
    path = str(trace)  # a line that shows a path is as long as the path
    return [line for line in tvg("report", trace, *options).stdout.splitlines() if path not in line]


def test_the_screen_has_80_columns_and_its_rows_one_unit(trace, report):
    lines = shown(trace)
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines), [line for line in lines if len(line) > 80 or line != line.rstrip()]
    for options in (["--full"], ["--rewrite", "bf16"], ["--assume", "batch=8"], ["--charge", "exclusive"]):
        assert all(len(line) <= 80 for line in shown(trace, *options))
    text = "\n".join(lines)
    cost = text.split("COST")[1].split("WHERE THE")[0]
    where = text.split("WHERE THE")[1].split("\nWHY")[0]
    rows = [line for line in cost.splitlines() if re.match(r"  (inference|start|whole)", line)]
    assert {line[18:27].split()[1] for line in rows} == {re.search(r"WHERE THE [\d,.]+ (\S+) WENT", text)[1]}
    table = [line for line in where.splitlines() if re.match(r"  [a-zA-Z].{19} .{9} .{3} %", line)]
    assert len({line[23:32].split()[1] for line in table}) == 1
    bases = {line.split()[0]: line.split()[-1] for line in rows}
    assert bases["inference"] == report["inference"]["basis"] and bases.get("whole", "measured") in ("measured", report["totals"]["energy_j"]["basis"])


def test_the_commands_that_come_next_can_be_typed(trace):
    lines = tvg("report", trace).stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Next: "))
    commands = [line[6:] for line in lines[start:]]
    assert all(command.startswith("tvg ") and str(trace) in command for command in commands) and len(commands) == 4
    for command in commands:
        words = [str(trace) if word == "SECOND.tvg" else word for word in command.split()[1:]]
        assert tvg(*words, check=False).returncode in (0, 1)


def test_a_run_predicts_itself(trace):
    against = tvg_json("report", trace, "--json", "--against", trace)["against"]
    assert against["holds"] is True and against["noise"] >= 0.1 and abs(against["time_error"]) < 0.1
