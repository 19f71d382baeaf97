"""What `make test-gpu`, `make bench-gpu` and `make fixtures-gpu` share: what a machine must have, and workers bare and under the shim.

TVG_GPU_PYTHON names the interpreter that has torch (default: python3 of the PATH); BUILD the folder of libtvgshim.so and tvg. No root, no network.
TVG_GPU_TRIAL=1 runs small models on the CPU instead, for errors of the programs: whatever asks for kernels fails then, as it must."""
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

PYTHON = shutil.which(os.environ.get("TVG_GPU_PYTHON") or "python3") or sys.executable
TRIAL = os.environ.get("TVG_GPU_TRIAL", "") not in ("", "0")
SIZES = ["--device", "cpu", "--small"] if TRIAL else []
# Every kernel, not windows of them: what is compared are counts.
ENVIRONMENT = {"TVG_KERNELS": "all", "TVG_COEFFS": ROOT / "coeffs", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def missing():
    """What this machine lacks for any of it, one sentence each; an empty list where nothing is missing."""
    lacking = [f"{path} (run `make`, or set BUILD)" for path in (SHIM, TVG) if not path.exists()]
    if not TRIAL:
        lacking += no_card()
    asked = subprocess.run([PYTHON, "-c", "import torch, torchvision, transformers"], capture_output=True, text=True)
    if asked.returncode:
        why = (asked.stderr.strip().splitlines() or ["?"])[-1]
        lacking.append(f"an interpreter with torch, torchvision and transformers (TVG_GPU_PYTHON; {PYTHON}: {why})")
    return lacking


def refusal(target):
    """Why `make TARGET` can't run here, in words for its user; None where it can."""
    lacking = missing()
    return f"{target} can't run here. It needs:\n" + "\n".join(f"  - {one}" for one in lacking) if lacking else None


def no_card():
    try:
        driver, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(0)
    except OSError:
        return ["an NVIDIA card and its driver (no libcuda.so.1)"]
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return ["an NVIDIA card (libcuda.so.1 is there and finds none)"]
    return []


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


def toolkit(environment=os.environ):
    """LD_LIBRARY_PATH with the CUDA toolkit's libraries in front: a C program finds cuBLASLt there, and the shim CUPTI."""
    folders = [str(path) for pattern in ("targets/x86_64-linux/lib", "extras/CUPTI/lib64") for path in sorted(pathlib.Path("/usr/local").glob(f"cuda*/{pattern}"))]
    return ":".join([*folders, *filter(None, [environment.get("LD_LIBRARY_PATH")])])


def build_cublaslt(program):
    """The C program on cuBLASLt with the CUDA runtime inside it, stripped. Gives why it could not be built, or None."""
    compiler = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not os.path.exists(compiler):
        return "no nvcc here"
    done = subprocess.run([compiler, "-cudart", "static", "-o", program, PROGRAMS / "cublaslt_products.c", "-lcublasLt"], capture_output=True, text=True)
    if done.returncode == 0:
        done = subprocess.run(["strip", program], capture_output=True, text=True)
    return f"{compiler}: {done.stderr[-300:]}" if done.returncode else None


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
    return [PYTHON, HERE / "worker.py", *SIZES, *arguments]


def tvg_json(*arguments):
    return json.loads(run([TVG, *arguments], env=clean_environment(TVG_COEFFS=ROOT / "coeffs"), check=True).stdout)


def report(trace):
    return tvg_json("report", "--json", trace)


def notes(trace):
    """Coverage notes as (what, subject)."""
    return [(note["what"], note["subject"]) for note in tvg_json("coverage", "--json", trace)["notes"]]


def truths(cases, timeout, *options, kept=None):
    """What torch says of NAME:WAY cases, each in turn in one process without the shim: {case: object}. One that failed has the key `error`.
    `kept`: a file of lines from before; what is in it is not asked again, and what is asked is added."""
    lines = kept.read_text().splitlines() if kept and kept.exists() else []
    found = {f"{answer['workload']}:{answer['way']}": answer for answer in map(json.loads, lines) if "error" not in answer}
    asked = [case for case in cases if case not in found]
    if asked:
        environment = clean_environment(**ENVIRONMENT)
        with subprocess.Popen([PYTHON, str(HERE / "truths.py"), *SIZES, *options, *asked], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                output, errors = process.communicate()
        new = [line for line in output.splitlines() if line.startswith("{")]
        found.update({f"{answer['workload']}:{answer['way']}": answer for answer in map(json.loads, new)})
        for case in asked:
            found.setdefault(case, {"error": f"truths.py ended with {process.returncode} before it came to this: {errors[-600:]}"})
        if kept:
            with open(kept, "a", encoding="utf-8") as file:
                file.writelines(line + "\n" for line in new)
    return found
