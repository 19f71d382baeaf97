"""Bad input to tvg report: exit 2, one clear message on stderr with what to do, nothing on stdout; damage is reported and survived."""
import json
import os

import pytest
from tvg_testlib import run_under_shim, tvg

HOST = """
import numpy as np
a = np.ones((64, 64), np.float32)
for _ in range(30000):
    a @ a
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return run_under_shim(HOST, tmp_path_factory.mktemp("bad")).trace


def refused(*arguments, **options):
    done = tvg("report", *arguments, check=False, **options)
    assert done.returncode == 2, (done.returncode, done.stdout[:500], done.stderr)
    assert done.stdout == ""
    assert done.stderr.startswith("tvg report: ")
    return done.stderr


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "abc", "", "1e999", "12x", "0x10"])
def test_tokens_that_are_no_count(trace, value):
    assert "--tokens" in refused(trace, "--tokens", value)


@pytest.mark.parametrize("value", ["image", "=3", "image=", "image=-3", "image=nan", "word=3"])
def test_units_that_are_none(trace, value):
    assert "--units" in refused(trace, "--units", value)


def test_two_units_contradict(trace):
    message = refused(trace, "--tokens", "5", "--units", "image=3")
    assert "--tokens" in message and "--units" in message


def test_unknown_device_lists_the_known(trace):
    message = refused(trace, "--device", "h1000")
    assert "h1000" in message and "generic-x86-64" in message


def test_a_gpu_file_does_not_price_a_cpu(trace):
    assert "--gpu" in refused(trace, "--device", "h100-sxm")


def test_a_cpu_file_does_not_price_a_gpu(trace):
    assert "--device" in refused(trace, "--gpu", "amd-epyc-9005")


# What each command says of a value that means nothing; TRACE stands for a trace.
@pytest.mark.parametrize("words, says", [
    ("ops TRACE --by shape", "op, library, function, kind"), ("ops TRACE --sort energy", "joules"), ("ops TRACE --top 1.5", "whole number"),
    ("ops TRACE --charge me", "exclusive, share, none, auto"), ("ops TRACE --gpu amd-epyc-9005", "--device"), ("dump TRACE --limit 1.5", "whole number"),
    ("dump TRACE --folded --counters", "one of them"), ("dump TRACE --folded --limit 3", "one of them"), ("export TRACE --format html", "perfetto"),
    ("record --sources foo -- true", "rapl, papi, stacks, nvml, cupti, dark"), ("record --sources +dak -- true", "did you mean dark?"), ("record --ops some -- true", "products"),
    ("overhead -n 2.5 -- true", "whole number"), ("coeffs list more", "no names"), ("coeffs find", "no find"), ("check --fast", "--fast"), ("doctor --meters", "--meter")])
def test_values_that_mean_nothing(trace, words, says):
    done = tvg(*[trace if word == "TRACE" else word for word in words.split()], check=False)
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr, (done.returncode, done.stderr)


@pytest.mark.parametrize("option, value", [("--rewrite", "bf61"), ("--assume", "foo=1"), ("--device", "h1000"), ("--charge", "me")])
def test_tvg_run_refuses_what_the_report_would_before_it_runs(tmp_path, option, value):
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF" + b"\3\0\0\0" + b"\0" * 64)
    done = tvg("run", model, "--python", "/bin/false", "-o", tmp_path / "run", option, value, check=False)
    assert done.returncode == 2 and value.split("=")[0] in done.stderr and not (tmp_path / "run").exists(), done.stderr


def test_device_file_with_a_missing_column(trace, tmp_path):
    from tvg_testlib import ROOT
    device = json.loads((ROOT / "coeffs/generic-x86-64.json").read_text())
    del device["rows"][0]["boundary"]
    broken = tmp_path / "broken.json"
    broken.write_text(json.dumps(device))
    message = refused(trace, "--device", broken)
    assert "boundary" in message and "broken.json" in message


def test_device_file_that_is_no_json(trace, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('{"rows": [')
    assert "broken.json" in refused(trace, "--device", broken)


def test_unknown_rewrite_lists_the_known(trace):
    message = refused(trace, "--rewrite", "bf61")
    assert "bf61" in message and "did you mean bf16?" in message and "it is one of tf32, bf16" in message


def test_a_rewrite_given_twice(trace):
    assert "twice" in refused(trace, "--rewrite", "bf16", "--rewrite", "bf16")


@pytest.mark.parametrize("value", ["prune", "=0.5", "prune=", "prune=half", "prune=nan", "prune=1.5", "batch=1", "sparse24=3"])
def test_assumptions_that_are_none(trace, value):
    assert "--assume" in refused(trace, "--assume", value)


def test_an_unknown_assumption_lists_the_known(trace):
    message = refused(trace, "--assume", "prunes=0.5")
    assert "batch, prune, sparse24" in message and "did you mean prune?" in message


@pytest.mark.parametrize("value", ["bf16=sideways", "cuda-graphs=1", "batching=1", "pruning=half", "cpu-threads=many", "tf32=autocast"])
def test_arguments_that_a_rewrite_does_not_take(trace, value):
    assert f"--rewrite {value.split('=')[0]}" in refused(trace, "--rewrite", value) or "batch=1" in refused(trace, "--rewrite", value)


def test_unknown_option_is_named_with_a_near_one(trace):
    assert "did you mean --device?" in refused(trace, "--devise", "x")
    assert "unknown option --zzzzzz" in refused(trace, "--zzzzzz")
    assert "needs a value" in refused(trace, "--device")
    assert "takes no value" in refused(trace, "--json=yes")
    assert "--color" in refused(trace, "--color=pink")
    assert "--charge" in refused(trace, "--charge", "me")


def test_no_trace_given():
    assert "which trace" in refused()


def test_json_of_two_traces(trace):
    assert "--json" in refused(trace, trace, "--json")


def test_a_path_that_is_not_there(tmp_path):
    assert "missing.tvg" in refused(tmp_path / "missing.tvg")


def test_an_empty_folder(tmp_path):
    assert str(tmp_path) in refused(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(trace, tmp_path):
    closed = tmp_path / "closed.tvg"
    closed.write_bytes(trace.read_bytes())
    closed.chmod(0)
    assert "closed.tvg" in refused(closed)


@pytest.mark.parametrize("content", [b"", b"x", b"not a trace at all, but long enough to hold a header " * 20, b"TVGTRACE" + b"\0" * 4096])
def test_not_a_trace(tmp_path, content):
    path = tmp_path / "file.tvg"
    path.write_bytes(content)
    assert "file.tvg" in refused(path)


def test_a_damaged_header(trace, tmp_path):
    data = bytearray(trace.read_bytes())
    data[20] ^= 0xff
    path = tmp_path / "header.tvg"
    path.write_bytes(data)
    assert "header.tvg" in refused(path)


def damaged(trace, path, data):
    path.write_bytes(data)
    done = tvg("report", path, "--json")
    assert "warning" in done.stderr
    report = json.loads(done.stdout)
    assert report["coverage"]["damage"]["damaged"] is True
    totals = report["totals"]
    parts = sum(op["energy_j"]["value"] for op in report["ops"]) + totals["idle_j"] + totals["other_j"]
    assert parts == pytest.approx(totals["energy_j"]["value"], rel=1e-9)
    assert "DAMAGED" in tvg("report", path).stdout
    return report


def test_a_cut_off_trace_is_reported_as_far_as_it_goes(trace, tmp_path):
    data = trace.read_bytes()
    report = damaged(trace, tmp_path / "cut.tvg", data[:len(data) * 3 // 4])
    assert report["coverage"]["damage"]["cut_off"] is True
    assert 0 < report["totals"]["ops"] < 30000


def test_a_damaged_block_costs_that_block_alone(trace, tmp_path):
    data = bytearray(trace.read_bytes())
    data[len(data) // 2] ^= 0xff
    report = damaged(trace, tmp_path / "bit.tvg", bytes(data))
    assert report["coverage"]["damage"]["places"] >= 1
    assert 0 < report["totals"]["ops"] < 30000


HOSTILE = "\x1b]0;owned\x07\u202egpj\x7f"


def test_names_from_outside_are_escaped(trace, tmp_path):
    path = tmp_path / f"{HOSTILE}.tvg"
    path.write_bytes(trace.read_bytes())
    screen = tvg("report", path).stdout
    assert not [c for c in screen if c != "\n" and (ord(c) < 0x20 or ord(c) == 0x7f or c == "\u202e")]
    assert json.loads(tvg("report", path, "--json").stdout)["trace"] == str(path)
    message = refused(tmp_path / f"{HOSTILE}.missing")
    assert "\x1b" not in message and "\u202e" not in message


def test_names_of_broken_utf8_stay_valid_json(trace, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff\xfe.tvg"
    with open(path, "wb") as out:
        out.write(trace.read_bytes())
    assert "\\xff\\xfe.tvg" in json.loads(tvg("report", os.fsdecode(path), "--json").stdout)["trace"]


def test_a_full_disk_is_no_success(trace):
    with open("/dev/full", "w") as full:
        done = tvg("report", trace, check=False, stdout=full)
    assert done.returncode == 2


@pytest.mark.parametrize("command", [["reprot"], ["help", "reprot"]])
def test_unknown_command(command):
    done = tvg(*command, check=False)
    assert done.returncode == 2 and "did you mean report?" in done.stderr
