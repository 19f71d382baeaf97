"""The programs of `make test-gpu`, `fixtures-gpu` and `bench-gpu`, tried on a CPU with small models: torch's counts, marks, resuming, and that nothing passes without a card."""
import json
import sys
import tarfile

import pytest

from stack_lib import BUILD, THREADS, clean_environment, run, stack_python, tvg_json
from tvg_testlib import ROOT

pytestmark = pytest.mark.stack("torch")
GPU = ROOT / "tests" / "gpu"


def trial(program, *arguments, check=True):
    python = stack_python("torch", "torch", "torchvision", "transformers", "numpy")
    environment = clean_environment(BUILD=BUILD, TVG_GPU_PYTHON=python, TVG_GPU_TRIAL="1", **THREADS)
    return run([sys.executable, *program, *arguments], env=environment, check=check, timeout=600)


def test_the_recorder(tmp_path):
    """Traces and truths of a CPU: FLOP and units of each are as its own file says."""
    names = "bert-padded|int8-layers|llama-bf16-b1-eager"
    command = [GPU / "record.py"], "--device", "cpu", "--small", "--out", tmp_path, "--only", f"^({names})$"
    said = [json.loads(line) for line in trial(*command).stdout.splitlines()]
    assert {line["fixture"] for line in said if "bytes" in line and "fixture" in line} == set(names.split("|"))
    assert not [line for line in said if "error" in line]
    with tarfile.open(tmp_path / "gpu-fixtures.tar.gz") as tar:
        tar.extractall(tmp_path / "unpacked", filter="data")
    truths = [json.loads(path.read_text()) for path in (tmp_path / "unpacked").glob("*.json")]
    assert len(truths) == 3
    for truth in truths:
        totals = tvg_json("report", "--json", tmp_path / "unpacked" / truth["fixture"])["totals"]
        assert totals["flop"] == truth["passes"]["executed"] * truth["flop"]["a_pass"] > 0
        assert {totals["units"]["kind"]: totals["units"]["value"]} == truth["units"]
    again = [json.loads(line) for line in trial(*command).stdout.splitlines()]
    assert [line for line in again if "fixture" in line] == []  # what is there is kept


def test_the_tests(tmp_path):
    """On a CPU outputs and FLOP hold, and whatever is about kernels fails; what passed is not run again."""
    program = ["-m", "pytest", "-q", "-c", ROOT / "tests" / "pytest.ini", f"--rootdir={ROOT}", GPU]
    arguments = ["-k", "bert and eager and not gpu_hosts", "--results", tmp_path / "test.jsonl"]
    assert trial(program, *arguments, check=False).returncode == 1
    outcomes = {line["test"].split("::")[1].split("[")[0]: line["outcome"] for line in map(json.loads, (tmp_path / "test.jsonl").read_text().splitlines())}
    for name in ("test_outputs_are_the_same_to_the_bit", "test_flop_are_torchs"):
        assert outcomes.pop(name) == "passed"
    for name in ("test_kernels_are_those_that_torch_profiler_counts", "test_kernel_time_is_that_of_torch_profiler",
                 "test_kernel_time_has_a_launching_call_and_thread", "test_the_hosts_profiler_was_given_way_to"):
        assert outcomes.pop(name) == "failed"
    assert "passed" not in outcomes.values()
    again = trial(program, *arguments, "--collect-only", check=False).stdout
    assert "test_kernels_are_those" in again and "test_flop_are_torchs" not in again


def test_the_benchmark():
    done = trial([ROOT / "bench" / "gpu" / "run.py"], "--device", "cpu", "--small", "--rounds", "4", "--only", "ResNet")
    figures = {line["figure"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert set(figures) == {f"ResNet-50 batch 32, {arm}, slow-down" for arm in ("recorded by default", "recording every kernel", "torch.profiler")}
    for line in figures.values():
        assert not line.get("failed") and line["low"] <= line["measured"] <= line["high"]
