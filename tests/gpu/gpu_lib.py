"""What `make test-gpu`, `make bench-gpu` and `make fixtures-gpu` share: what a machine must have, and workers bare and under the shim.

TVG_GPU_PYTHON names the interpreter that has torch (default: python3 of the PATH); BUILD the folder of libtvgshim.so and tvg. No root, no network."""
import ctypes
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = HERE / "programs"
sys.path[:0] = [str(ROOT / "tests" / "e2e")]
from tvg_testlib import BUILD, SHIM, TVG, clean_environment, run  # noqa: E402

PYTHON = os.environ.get("TVG_GPU_PYTHON") or shutil.which("python3") or sys.executable
# Every kernel, not windows of them: what is compared are counts.
ENVIRONMENT = {"TVG_KERNELS": "all", "TVG_COEFFS": ROOT / "coeffs", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def missing():
    """What this machine lacks for any of it, one sentence each; an empty list where nothing is missing."""
    lacking = [f"{path} (run `make`, or set BUILD)" for path in (SHIM, TVG) if not path.exists()]
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            lacking.append("an NVIDIA card (libcuda.so.1 is there and finds none)")
    except OSError:
        lacking.append("an NVIDIA card and its driver (no libcuda.so.1)")
    asked = subprocess.run([PYTHON, "-c", "import torch, torchvision, transformers"], capture_output=True, text=True)
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["?"])[-1]
        lacking.append(f"an interpreter with torch, torchvision and transformers (TVG_GPU_PYTHON; {PYTHON}: {why})")
    return lacking


def cards():
    """Names of the cards, by nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return []
    asked = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True)
    return asked.stdout.split("\n")[:-1] if asked.returncode == 0 else []


def python_with(module):
    """An interpreter that has `module`, or None: the one that has torch, and the virtual environments beside it."""
    beside = pathlib.Path(PYTHON).absolute().parents[2].parent if len(pathlib.Path(PYTHON).absolute().parents) > 3 else pathlib.Path("/nowhere")
    for python in [PYTHON, *sorted(beside.glob("*/.venv/bin/python3")), *sorted(beside.glob("*/bin/python3"))]:
        if subprocess.run([python, "-c", f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"], capture_output=True).returncode == 0:
            return str(python)
    return None


def last_line(text):
    """The JSON object that a program printed last, or None."""
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                continue
    return None


class Recorded:
    """A program that ran under the shim: exit status, what it printed (`answer`, its last JSON object), its traces."""

    def __init__(self, command, folder, timeout=120, check=True, **environment):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {**ENVIRONMENT, "LD_PRELOAD": SHIM, "TVG_OUT": self.folder / "%p.tvg", **environment}
        done = run([str(word) for word in command], env=clean_environment(**settings), timeout=timeout)
        self.returncode, self.stdout, self.stderr = done.returncode, done.stdout, done.stderr
        self.answer = last_line(done.stdout)
        assert not check or done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"

    @property
    def traces(self):
        return sorted(self.folder.glob("*.tvg"))

    @property
    def trace(self):
        """Of the process that computed: compilers and their workers may leave traces of their own."""
        named = self.folder / f"{(self.answer or {}).get('process')}.tvg"
        if named.exists():
            return named
        assert len(self.traces) == 1, f"one trace expected, found {[path.name for path in self.traces]}\n{self.stderr[-2000:]}"
        return self.traces[0]


def worker(*arguments):
    return [PYTHON, HERE / "worker.py", *arguments]


def tvg_json(*arguments):
    return json.loads(run([TVG, *arguments], env=clean_environment(TVG_COEFFS=ROOT / "coeffs"), check=True).stdout)


def report(trace):
    return tvg_json("report", "--json", trace)


def notes(trace):
    """Coverage notes as (what, subject)."""
    return [(note["what"], note["subject"]) for note in tvg_json("coverage", "--json", trace)["notes"]]


def truths(cases, timeout, *options):
    """What torch says of NAME:WAY cases, each in turn in one process without the shim: {case: object}. One that failed has the key `error`."""
    done = subprocess.run([PYTHON, str(HERE / "truths.py"), *options, *cases], env=clean_environment(**{key: str(value) for key, value in ENVIRONMENT.items()}),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=timeout)
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            answer = json.loads(line)
            found[f"{answer['workload']}:{answer['way']}"] = answer
    return found
