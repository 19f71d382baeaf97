"""tvg report on a real run: the figures against numbers computed here, the identities, the screen."""
import json
import math
import re

import pytest
from tvg_testlib import run_under_shim, tvg, tvg_json

# 40 products of 300x200x100 and 15 of 64x64x512 in f32, 5 of 128x96x80 in f64; a warm-up visit of each shape is among them.
HOST = """
import numpy as np
rng = np.random.default_rng(7)
def product(m, n, k, count, kind):
    a, b = rng.random((m, k), dtype=kind), rng.random((k, n), dtype=kind)
    for _ in range(count):
        a @ b
product(300, 200, 100, 40, np.float32)
product(64, 64, 512, 15, np.float32)
product(128, 96, 80, 5, np.float64)
"""
OPS = 60
FLOP = 2 * (40 * 300 * 200 * 100 + 15 * 64 * 64 * 512 + 5 * 128 * 96 * 80)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return run_under_shim(HOST, tmp_path_factory.mktemp("report")).trace


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    return run_under_shim(HOST, tmp_path_factory.mktemp("second")).trace


@pytest.fixture(scope="module")
def report(trace):
    return tvg_json("report", trace, "--json", "--tokens", 640)


def parts(report, key="totals"):
    totals = report[key]
    ops = sum(op["energy_j"]["value"] for op in report["ops"]) if key == "totals" else totals["ops_j"]
    return ops + totals["idle_j"] + totals["other_j"]


def test_counts_are_those_of_the_program(report):
    assert report["totals"]["ops"] == OPS
    assert report["totals"]["flop"] == FLOP
    assert sum(op["count"] for op in report["ops"]) == OPS


@pytest.mark.parametrize("charge", ["exclusive", "share", "none", "auto"])
def test_parts_add_up_however_the_floor_is_charged(trace, charge):
    report = tvg_json("report", trace, "--json", "--charge", charge)
    for key in ("totals", "optimized"):
        assert parts(report, key) == pytest.approx(report[key]["energy_j"]["value"], rel=1e-9)
    assert sum(phase["energy_j"]["value"] for phase in report["phases"]) == pytest.approx(report["totals"]["energy_j"]["value"], rel=1e-9)
    if charge == "none":
        assert report["totals"]["idle_j"] == 0
    elif charge == "share":
        whole = tvg_json("report", trace, "--json", "--charge", "exclusive")
        assert 0 < report["totals"]["idle_j"] <= whole["totals"]["idle_j"]


def test_derived_figures(report):
    totals = report["totals"]
    joules = totals["energy_j"]["value"]
    assert totals["units"]["kind"] == "output_token" and totals["units"]["value"] == 640 and totals["units"]["basis"] == "given"
    assert totals["per_j"] == pytest.approx(640 / joules)
    assert totals["kwh"] == pytest.approx(joules / 3.6e6)
    assert totals["energy_j"]["low"] <= joules <= totals["energy_j"]["high"]
    assert totals["energy_j"]["basis"] in ("measured", "modelled", "estimated")
    assert 0 < totals["time_coverage"] <= 1
    assert totals["op_s"] <= totals["wall_s"] * report["coverage"]["threads"]


def test_savings_follow_from_totals_and_optimized(report):
    totals, optimized, savings = report["totals"], report["optimized"], report["savings"]
    assert optimized["energy_j"]["basis"] != "measured"
    assert savings["same_work"]["energy_j"]["value"] == pytest.approx(totals["energy_j"]["value"] - optimized["energy_j"]["value"], rel=1e-6, abs=1e-9)
    assert savings["units_per_kj_gain"] == pytest.approx(1000 * (optimized["per_j"] - totals["per_j"]), rel=1e-9, abs=1e-9)
    assert savings[savings["headline"]]["energy_j"] == savings["energy_j"]
    assert savings["sign_holds"] == (savings["energy_j"]["low"] > 0)
    applied = {line["name"] for line in report["rewrites"] if line["status"] == "applied"}
    assert set(savings["rewrites"]) <= applied
    assert all(line["reason"] for line in report["rewrites"])


def test_only_findings_enter_the_best_set(report):
    natures = {line["name"]: (line["nature"], line["diagnostic_only"]) for line in report["rewrites"]}
    assert all(natures[name] == ("finding", False) for name in report["savings"]["rewrites"])
    for line in report["rewrites"]:
        if line["diagnostic_only"] or line["status"] == "refused":
            assert line["energy_saved_j"] == {"value": 0, "low": 0, "high": 0} and line["time_saved_s"] == 0 and not line["in_set"]


def test_named_rewrites_are_the_set(trace):
    report = tvg_json("report", trace, "--json", "--rewrite", "bf16")
    line = next(line for line in report["rewrites"] if line["name"] == "bf16")
    assert line["in_set"] == (line["status"] == "applied")
    assert report["savings"]["rewrites"] == (["bf16"] if line["status"] == "applied" else [])


def test_units_by_kind(trace):
    units = tvg_json("report", trace, "--json", "--units", "image=32")["totals"]["units"]
    assert (units["kind"], units["value"], units["basis"]) == ("image", 32, "given")


def test_without_units_nothing_is_called_a_token(trace):
    assert tvg_json("report", trace, "--json")["totals"]["units"]["kind"] == "pass"
    assert "token" not in tvg("report", trace).stdout.replace("--tokens", "")


def test_against_a_second_run(trace, second):
    done = tvg("report", trace, "--json", "--against", second, check=False)
    against = json.loads(done.stdout)["against"]
    within = all(abs(against[f"actual_{unit}"] - against[f"predicted_{unit}"]) <= against["noise"] * against[f"predicted_{unit}"] for unit in "sj")
    assert against["holds"] == within and done.returncode == (0 if within else 1)  # on a busy machine a second run may be another one
    assert against["unmatched_flop"] == 0 and against["unmatched_calls"] == 0
    assert against["calls"] == OPS
    assert math.isfinite(against["time_error"]) and against["time_error"] > -0.9
    assert against["time_error"] == pytest.approx(against["predicted_s"] / against["actual_s"] - 1)
    itself = tvg_json("report", trace, "--json", "--against", trace)["against"]
    assert itself["time_error"] == pytest.approx(0, abs=1e-3)
    assert itself["energy_error"] == pytest.approx(0, abs=1e-3)
    assert itself["holds"]


def test_a_prediction_that_did_not_hold_is_exit_1(trace, tmp_path):
    slower = run_under_shim(HOST + "\nimport time\ntime.sleep(3)\n", tmp_path).trace
    done = tvg("report", trace, "--against", slower, check=False)
    assert done.returncode == 1 and "DID NOT HOLD" in done.stdout, done.stderr
    assert tvg("report", trace, "--json", "--against", slower, check=False).returncode == 1
    held = tvg("report", trace, "--against", trace)
    assert "HOLDS" in held.stdout


def test_a_run_folder_is_one_report(trace):
    assert tvg_json("report", trace.parent, "--json")["totals"]["ops"] == OPS


def test_several_traces_one_after_the_other(trace, second):
    screen = tvg("report", trace, second).stdout
    assert screen.count("HOW SURE") == 2 and trace.name in screen and second.name in screen


def test_the_screen(trace):
    screen = tvg("report", trace, "--tokens", 640).stdout
    for title in ("Scope:", "COST", "WHERE THE", "WHY", "WORTH DOING", "HOW SURE", "Next:"):
        assert title in screen, title
    assert "\033" not in screen
    wide = [line for line in screen.splitlines() if len(line) > 80 and str(trace) not in line]
    assert not wide, wide
    assert "640 output tokens, given" in screen


def test_an_estimate_shows_its_band_in_the_first_lines(trace):
    report = tvg_json("report", trace, "--json")
    if report["totals"]["energy_j"]["basis"] == "measured":
        pytest.skip("this machine has a meter")
    screen = tvg("report", trace).stdout
    head = screen[:screen.index("WHERE THE")]
    assert "NO METER" in head and re.search(r"\d-\d", head)
    if report["devices"][0]["guessed"]:
        assert "guess" in head


def test_color_only_when_asked(trace):
    assert "\033[" in tvg("report", trace, "--color", "always").stdout
    assert "\033" not in tvg("report", trace, "--color=never").stdout


def test_the_device_decides_the_price(trace):
    own, other = (tvg_json("report", trace, "--json", "--device", name) for name in ("generic-x86-64", "intel-xeon-4th-5th"))
    assert own["devices"][0]["name"] == "generic-x86-64" and other["devices"][0]["name"] == "intel-xeon-4th-5th"
    assert own["totals"]["energy_j"]["value"] != other["totals"]["energy_j"]["value"]
    assert own["totals"]["flop"] == other["totals"]["flop"]


def test_version_and_help():
    assert re.fullmatch(r"tvg \d+\.\d+\.\d+\n", tvg("--version").stdout)
    assert tvg("help", "report").stdout == tvg("report", "--help").stdout
    assert "--charge" in tvg("help", "report").stdout


def on_a_terminal(command, **extra):
    """What `command` writes to a terminal that is both its stdout and its stderr."""
    import os
    import pty
    import subprocess
    from tvg_testlib import clean_environment
    ours, theirs = pty.openpty()
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
                               env=clean_environment(TERM="xterm", NO_COLOR=None) | extra)
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait() == 0
    return seen.decode()


def test_a_terminal_gets_color_unless_no_color_is_set(trace):
    from tvg_testlib import TVG
    assert "\033[1m" in on_a_terminal([TVG, "report", trace])
    assert "\033" not in on_a_terminal([TVG, "report", trace], NO_COLOR="1")
    assert "\033" not in on_a_terminal([TVG, "report", trace, "--json"])
