"""tvg ops and tvg coverage on real runs: calls, FLOP, passes and units against numbers computed here."""
import collections
import os
import re
import signal
import subprocess

import pytest
from tvg_testlib import PYTHON, ROOT, TVG, clean_environment, run_under_shim, tvg, tvg_json

ONE_THREAD = {"OMP_NUM_THREADS": "1"}

# Every call with its FLOP by the textbook: 2mnk and 8mnk, n(n+1)k, m^2 n, 2mn.
SCIPY = """
import numpy as np
from scipy.linalg import blas
rng = np.random.default_rng(3)
def matrix(m, n, kind="d"):
    real = rng.random((m, n))
    value = real + 1j * rng.random((m, n)) if kind in "cz" else real
    return np.asfortranarray(value.astype({"s": "f4", "d": "f8", "c": "c8", "z": "c16"}[kind]))
for _ in range(7):
    blas.dgemm(1.0, matrix(30, 40), matrix(40, 50))
for _ in range(3):
    blas.zgemm(1.0, matrix(11, 13, "z"), matrix(13, 17, "z"))
for _ in range(4):
    blas.ssyrk(1.0, matrix(20, 9, "s"))
for _ in range(5):
    blas.dtrsm(1.0, matrix(12, 12), matrix(12, 8))
for _ in range(6):
    blas.dgemv(1.0, matrix(25, 35), rng.random(35))
"""
SCIPY_ROWS = {  # by the end of the name: calls, FLOP
    "dgemm": (7, 7 * 2 * 30 * 40 * 50),
    "zgemm": (3, 3 * 8 * 11 * 13 * 17),
    "ssyrk": (4, 4 * 20 * 21 * 9),
    "dtrsm": (5, 5 * 12 * 12 * 8),
    "dgemv": (6, 6 * 2 * 25 * 35),
}

# An encoder as numpy runs it: 3 layers, 4 heads, mixed lengths; then decoding with a growing cache, logits of 2000 words.
MODEL = """
import numpy as np
rng = np.random.default_rng(5)
H, HEADS, LAYERS = 64, 4, 3
W = [[rng.random(shape, dtype=np.float32) for shape in [(H, H)] * 4 + [(H, 4 * H), (4 * H, H)]] for _ in range(LAYERS)]
logits = rng.random((H, 2000), dtype=np.float32)
def layer(x, weights, batch, cache=None):
    rows = x.shape[0] // batch
    split = lambda y: y.reshape(batch, -1, HEADS, H // HEADS).transpose(0, 2, 1, 3)
    q, k, v = (x @ w for w in weights[:3])
    if cache is not None:
        cache[0] = k = k if cache[0] is None else np.concatenate([cache[0], k])
        cache[1] = v = v if cache[1] is None else np.concatenate([cache[1], v])
    scores = split(q) @ split(k).transpose(0, 1, 3, 2)
    mixed = (scores @ split(v)).transpose(0, 2, 1, 3).reshape(x.shape[0], H)
    x = x + mixed @ weights[3]
    return x + (x @ weights[4]) @ weights[5]
def forward(x, batch=1, caches=None):
    for i, weights in enumerate(W):
        x = layer(x * np.float32(1e-3), weights, batch, caches[i] if caches else None)
    return x
"""
LENGTHS = [5, 9, 12, 7, 30, 9, 16, 21, 11, 8, 13, 26, 40, 6, 9]
ENCODER = MODEL + f"""
for length in {LENGTHS}:
    forward(rng.random((2 * length, H), dtype=np.float32), batch=2)
"""
PROMPTS = [6, 11, 17, 9]
DECODER = MODEL + f"""
for prompt in {PROMPTS}:
    caches = [[None, None] for _ in W]
    x = forward(rng.random((prompt, H), dtype=np.float32), caches=caches)
    for _ in range(24):
        word = (x[-1:] @ logits).argmax()
        x = forward(rng.random((1, H), dtype=np.float32), caches=caches)
    x[-1:] @ logits
"""


@pytest.fixture(scope="module")
def scipy_trace(tmp_path_factory):
    return run_under_shim(SCIPY, tmp_path_factory.mktemp("scipy"), env=ONE_THREAD).trace


@pytest.fixture(scope="module")
def encoder_trace(tmp_path_factory):
    return run_under_shim(ENCODER, tmp_path_factory.mktemp("encoder"), env=ONE_THREAD).trace


def bare(function):
    """scipy_cblas_dgemm64_ -> dgemm"""
    return re.sub(r"^(scipy_)?(cblas_)?|(_64_|64_|_64|_)$", "", function).lower()


def test_rows_are_the_calls_of_the_program(scipy_trace):
    ops = tvg_json("ops", scipy_trace, "--json")
    calls, flop = collections.Counter(), collections.Counter()
    for row in ops["rows"]:
        calls[bare(row["function"])] += row["count"]
        flop[bare(row["function"])] += row["flop"]
    assert {name: (calls[name], flop[name]) for name in calls} == SCIPY_ROWS
    assert ops["totals"]["count"] == sum(count for count, _ in SCIPY_ROWS.values())
    assert ops["totals"]["flop"] == sum(value for _, value in SCIPY_ROWS.values())
    for row in ops["rows"]:
        assert row["energy_j"]["low"] <= row["energy_j"]["value"] <= row["energy_j"]["high"]
        assert row["time_min_s"] <= row["time_s"] / row["count"] <= row["time_max_s"]
        assert row["flop_per_call"] * row["count"] == row["flop"]


@pytest.mark.parametrize("by,key", [("library", "library"), ("function", "function"), ("kind", "kind")])
def test_groups_add_up_to_the_rows(scipy_trace, by, key):
    rows = tvg_json("ops", scipy_trace, "--json")["rows"]
    grouped = tvg_json("ops", scipy_trace, "--json", "--by", by)["rows"]
    assert {row["name"] for row in grouped} == {row[key] for row in rows}
    for group in grouped:
        members = [row for row in rows if row[key] == group["name"]]
        for figure in ("count", "flop", "bytes", "repeats"):
            assert group[figure] == pytest.approx(sum(row[figure] for row in members))
        assert group["time_s"] == pytest.approx(sum(row["time_s"] for row in members))
        assert group["energy_j"]["value"] == pytest.approx(sum(row["energy_j"]["value"] for row in members))


@pytest.mark.parametrize("sort,key", [("time", lambda r: r["time_s"]), ("calls", lambda r: r["count"]), ("flop", lambda r: r["flop"]), ("bytes", lambda r: r["bytes"]),
                                      ("speed", lambda r: r["flop_per_s"]), ("joules", lambda r: r["energy_j"]["value"])])
def test_sorting(scipy_trace, sort, key):
    values = [key(row) for row in tvg_json("ops", scipy_trace, "--json", "--sort", sort)["rows"]]
    assert values == sorted(values, reverse=True)


def test_screen_is_80_columns_and_right_aligned(encoder_trace, scipy_trace):
    for trace in (encoder_trace, scipy_trace):
        for arguments in ([], ["--by", "library"], ["--by", "function"], ["--top", "3"], ["--top", "0"]):
            lines = tvg("ops", trace, *arguments).stdout.splitlines()
            assert all(len(line) <= 80 for line in lines), max(lines, key=len)
            table = [line for line in lines if re.match(r"^ *\d+ .*[\d.]+[num kMGTPE]?$", line)][1:]
            assert len(table) > 1 and all(len(line) == 80 for line in table)
        assert all(len(line) <= 80 for line in tvg("coverage", trace).stdout.splitlines())
    total = [line for line in tvg("ops", scipy_trace, "--top", "2").stdout.splitlines() if " total " in line]
    assert total[0].split()[0] == "25"


@pytest.mark.parametrize("arguments", [["--by", "color"], ["--sort", "size"], ["--top", "-1"], ["--top", "many"], ["--device", "nonesuch"], []])
def test_bad_usage_is_2_and_says_what_to_do(scipy_trace, arguments):
    done = tvg("ops", *([scipy_trace] if arguments else []), *arguments, check=False)
    assert done.returncode == 2 and done.stdout == "" and "tvg ops" in done.stderr


def units_of(report):
    return {unit["kind"]: unit for unit in report["coverage"]["units"]}


def test_passes_of_an_encoder_of_mixed_lengths(encoder_trace):
    report = tvg_json("report", encoder_trace, "--json")
    assert sum(step["count"] for step in report["steps"]) == len(LENGTHS)
    assert {step["kind"] for step in report["steps"]} == {"pass"}
    units = units_of(report)
    assert units["input_token"]["value"] == 2 * sum(LENGTHS) and units["input_token"]["basis"] == "inferred"
    assert units["sequence"]["value"] == 2 * len(LENGTHS)
    assert units["pass"]["value"] == len(LENGTHS)
    assert "output_token" not in units
    weights = 3 * (4 * 64 * 64 + 2 * 4 * 64 * 64)
    flop = sum(2 * 2 * length * weights + 2 * 3 * 2 * 2 * length * length * 64 for length in LENGTHS)
    assert report["totals"]["flop"] == flop


def test_prefill_and_decode(under_shim):
    report = tvg_json("report", under_shim(DECODER, env=ONE_THREAD).trace, "--json")
    kinds = collections.Counter()
    for step in report["steps"]:
        kinds[step["kind"]] += step["count"]
    assert kinds == {"prefill": len(PROMPTS), "decode": 24 * len(PROMPTS)}
    units = units_of(report)
    assert units["output_token"]["value"] == 25 * len(PROMPTS)
    assert units["input_token"]["value"] == sum(PROMPTS)


def test_the_real_encoder(under_shim):
    """all-MiniLM-L6-v2 says on stdout how many passes and tokens it computed."""
    for arguments in (["--batch", "8"], ["--batch", "16", "--fixed-length", "24"]):
        run = under_shim([PYTHON, ROOT / "examples" / "infer_minilm.py", *arguments], env=ONE_THREAD)
        passes = int(re.search(r"in (\d+) passes", run.stdout)[1])
        sentences = int(re.search(r"(\d+) sentences", run.stdout)[1])
        computed = int(re.search(r"(\d+) computed", run.stdout)[1])
        trace = run.traces[-1]
        report = tvg_json("report", trace, "--json")
        units = units_of(report)
        assert sum(step["count"] for step in report["steps"]) == passes
        assert units["input_token"]["value"] == computed
        assert units["sequence"]["value"] == sentences
        weights = [row for row in tvg_json("ops", trace, "--json")["rows"] if row["k"] in (384, 1536)
                   and (row["n"], row["k"]) in ((384, 384), (1536, 384), (384, 1536)) and row["kind"] == "gemm"]
        assert sum(row["flop"] for row in weights) == 6 * 2 * computed * (4 * 384 * 384 + 2 * 384 * 1536)
        assert sum(row["count"] for row in weights) == passes * 36
        trace.unlink()


def test_a_loop_that_is_no_model_counts_no_tokens(under_shim):
    report = tvg_json("report", under_shim("import numpy as np\na = np.ones((50, 50))\nfor _ in range(90): a @ np.ones((50, 50))", env=ONE_THREAD).trace, "--json")
    assert not {"input_token", "output_token"} & units_of(report).keys()


def test_phases_and_waiting(under_shim):
    program = MODEL + """
import time
for _ in range(40):
    time.sleep(0.05)
    forward(rng.random((40, H), dtype=np.float32))
"""
    report = tvg_json("report", under_shim(program, env=ONE_THREAD).trace, "--json")
    phases = {phase["name"]: phase for phase in report["phases"]}
    assert sum(phase["seconds"] for phase in report["phases"]) == pytest.approx(report["totals"]["wall_s"], rel=1e-9)
    assert sum(phase["ops"] for phase in report["phases"]) == report["totals"]["ops"]
    assert 0.8 * 39 * 0.05 < phases["waiting"]["seconds"] < report["totals"]["wall_s"] - phases["start"]["seconds"]
    assert phases["start"]["seconds"] > 0 and phases["warm-up"]["ops"] < report["totals"]["ops"] / 2
    latest = under_shim(ENCODER.replace("forward(rng", "sum(i * i for i in range(60000)); forward(rng"), env=ONE_THREAD).traces
    busy = tvg_json("report", max(latest, key=lambda trace: trace.stat().st_mtime_ns), "--json")
    waited = {phase["name"]: phase["seconds"] for phase in busy["phases"]}["waiting"]
    assert waited < 0.5 * busy["totals"]["wall_s"]


def test_forked_workers_add_up(under_shim):
    program = """
import os, numpy as np
a = np.ones((64, 64))
children = []
for i in range(3):
    pid = os.fork()
    if pid == 0:
        for _ in range(10 + i): a @ a.T.copy()
        os._exit(0)
    children.append(pid)
for pid in children: os.waitpid(pid, 0)
for _ in range(4): a @ a.T.copy()
"""
    run = under_shim(program, env=ONE_THREAD)
    assert len(run.traces) == 4
    ops = tvg_json("ops", run.folder, "--json")
    assert ops["totals"]["count"] == 4 + 10 + 11 + 12
    assert ops["totals"]["flop"] == 37 * 2 * 64**3
    assert len(ops["rows"]) == 1
    coverage = tvg_json("coverage", run.folder, "--json")
    assert coverage["processes"] == 4 and coverage["threads"] == 4
    assert coverage["op_wall_s"] <= coverage["op_s"] + 1e-9 and coverage["op_wall_s"] <= coverage["wall_s"]
    # an unreadable member takes nothing from the others, and is told
    (run.folder / "broken-1.tvg").write_bytes(b"not a trace")
    again = tvg_json("coverage", run.folder, "--json")
    assert again["calls"] == 37
    assert [note["subject"] for note in again["notes"] if note["what"] == "unreadable"] == ["broken-1.tvg"]


def test_a_folder_of_nothing_readable(tmp_path):
    (tmp_path / "a.tvg").write_bytes(b"nonsense")
    for command in ("ops", "coverage"):
        done = tvg(command, tmp_path, check=False)
        assert done.returncode == 2 and "a.tvg" in done.stderr
    (tmp_path / "a.tvg").unlink()
    for command in ("ops", "coverage"):
        assert tvg(command, tmp_path, check=False).returncode == 2


def test_a_cut_off_trace_says_so_and_counts_the_rest(tmp_path, encoder_trace):
    whole = tvg_json("coverage", encoder_trace, "--json")
    assert whole["damage"]["places"] == 0 and not whole["damage"]["cut_off"] and not whole["damage"]["no_end"]
    data = encoder_trace.read_bytes()
    cut = tmp_path / "cut.tvg"
    cut.write_bytes(data[: len(data) - 40])
    coverage = tvg_json("coverage", cut, "--json")
    assert coverage["damage"]["no_end"] and coverage["calls"] <= whole["calls"]
    assert "NO END" in tvg("coverage", cut).stdout


def test_a_killed_process_is_counted_in_full(under_shim):
    program = "import numpy as np, os, signal\na = np.ones((8, 8))\nfor _ in range(777): a @ a\nos.kill(os.getpid(), signal.SIGKILL)"
    run = under_shim(program, env=ONE_THREAD, check=False)
    assert run.returncode == -signal.SIGKILL
    coverage = tvg_json("coverage", run.trace, "--json")
    assert coverage["calls"] == 777
    assert coverage["damage"]["no_end"] and coverage["damage"]["ops_recovered"] == 777


def test_dark_time(under_shim):
    """A process that computes outside recorded ops most of the time is mostly dark; one that multiplies is not."""
    spin = "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass\n"
    multiply = "import numpy as np\na = np.ones((700, 700))\nimport time\nend = time.process_time() + 2\nwhile time.process_time() < end: a @ a\n"
    dark = tvg_json("coverage", under_shim("import numpy as np\na = np.ones((50, 50))\na @ a\n" + spin, env=ONE_THREAD).traces[-1], "--json")
    assert dark["dark"]["low"] > 0.8 and dark["dark"]["low"] <= dark["dark"]["high"] <= 1
    light = tvg_json("coverage", under_shim(multiply, env=ONE_THREAD).traces[-1], "--json")
    assert light["dark"]["low"] < 0.5
    assert light["cpu_s"] == pytest.approx(2, abs=1.5)
    assert light["libraries"][0]["flop"] == light["calls"] * 2 * 700**3


def test_hostile_names_are_escaped(tmp_path):
    folder = tmp_path / "run\x1b[31m"
    folder.mkdir()
    done = subprocess.run([TVG, "coverage", folder], capture_output=True, env=clean_environment(), check=False)
    assert done.returncode == 2 and b"\x1b" not in done.stderr
    assert os.path.basename(folder).encode() not in done.stderr
