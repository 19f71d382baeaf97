"""What tracing costs a whole program, and what a trace weighs (figures: bench/README.md; bounds: below).

Times are compared pair by pair: with and without the shim in turn, the order swapped each time, the figure the median of the pairs' ratios (or
differences) with a bootstrap interval. So a machine that slows down for a minute slows both sides."""
import argparse
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
PYTHON = BUILD / "venv/bin/python"
ENCODER = ROOT / "examples/infer_minilm.py"


def environment(folder, shim):
    clean = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD" and not key.startswith("TVG_")}
    return {**clean, "LD_PRELOAD": str(BUILD / "libtvgshim.so"), "TVG_OUT": f"{folder}/%p.tvg"} if shim else clean


def spawn_seconds(command, env):
    """Wall time of `command` from spawn to exit."""
    began = time.perf_counter()
    status = os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn(command[0], command, env), 0)[1])
    assert status == 0, f"{command}: exit {status}"
    return time.perf_counter() - began


def median_interval(values, rounds=2000):
    """The median with a 95 % bootstrap interval."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(rounds))
    return statistics.median(values), medians[int(rounds * 0.025)], medians[int(rounds * 0.975)]


def show(figure, value, unit, bound, compared_with, interval=None, digits=3):
    line = {"figure": figure, "measured": round(value, digits), "unit": unit, "bound": bound, "compared_with": compared_with}
    if interval:
        line["low"], line["high"] = (round(end, digits) for end in interval)
    print(json.dumps(line), flush=True)


def paired(measure, pairs):
    """`pairs` times (without, with), the order swapped each time; the first pair, which warms the caches, is dropped."""
    result = []
    for number in range(pairs + 1):
        order = (False, True) if number % 2 else (True, False)
        seconds = {shim: measure(shim) for shim in order}
        result.append((seconds[False], seconds[True]))
    return result[1:]


def empty_process(folder, pairs):
    envs = {shim: environment(folder, shim) for shim in (False, True)}
    times = paired(lambda shim: 1e3 * min(spawn_seconds(["/bin/true"], envs[shim]) for _ in range(3)), pairs)
    value, *interval = median_interval([with_shim - without for without, with_shim in times])
    assert not list(pathlib.Path(folder).iterdir()), "/bin/true left a trace"
    show("/bin/true under the shim", value, "ms more", 1.5, f"without: {statistics.median(t[0] for t in times):.2f} ms", interval)


# One process that runs the same passes over and over and says how long each round took, fed by a line on stdin: start-up and model loading stay
# outside, and the two processes, one with and one without the shim, take turns in fractions of a second.
WORKER = """
import importlib.util, sys, time
import numpy as np
from tokenizers import Tokenizer
spec = importlib.util.spec_from_file_location("infer_minilm", sys.argv[1])
program = importlib.util.module_from_spec(spec); spec.loader.exec_module(program)
folder = program.model_folder(); encoder = program.Encoder(folder)
tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json")); tokenizer.no_padding(); tokenizer.enable_truncation(256)
encoded = [item.ids for item in tokenizer.encode_batch(open(sys.argv[2], encoding="utf-8").read().splitlines())]
batches = []
for first in range(0, 64, 16):
    part = encoded[first:first + 16]; length = max(map(len, part))
    batches.append((np.array([item + [0] * (length - len(item)) for item in part]), np.arange(length)[None, :] < np.array([[len(item)] for item in part])))
print("ready", flush=True)
for _ in sys.stdin:
    began = time.perf_counter()
    for ids, mask in batches:
        encoder.encode(ids, mask)
    print(time.perf_counter() - began, flush=True)
"""


def worker_ratios(title, command, folder, generations, pairs, settle=0, **streams):
    """Several generations of worker pairs, since two processes may differ by a per cent by the luck of their memory layout alone: a generation gives one
    ratio. `command` says "ready", then answers each line with the seconds of one round; `settle`: seconds before each. Ratios, and seconds without the shim."""
    ratios, plain = [], []
    for generation in range(generations):
        workers = {}
        for shim in (False, True) if generation % 2 else (True, False):
            workers[shim] = subprocess.Popen(command, env=environment(folder, shim), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **streams)
            while (line := workers[shim].stdout.readline()) != "ready\n":
                assert line, f"{title}: its worker ended"

        def measure(shim):
            time.sleep(settle)
            workers[shim].stdin.write("go\n")
            workers[shim].stdin.flush()
            return float(workers[shim].stdout.readline())

        times = paired(measure, pairs)
        for worker in workers.values():
            worker.stdin.close()
            assert worker.wait() == 0
        ratios.append(statistics.median(with_shim / without for without, with_shim in times))
        plain.append(statistics.median(without for without, with_shim in times))
        print(f"tvg: {title} {generation + 1} of {generations}: {100 * (ratios[-1] - 1):+.2f} %", file=sys.stderr, flush=True)
    return ratios, plain


def inference(folder, generations, pairs):
    # the other worker's BLAS threads spin for a moment before they sleep
    ratios, plain = worker_ratios("inference", [PYTHON, "-c", WORKER, ENCODER, ROOT / "examples/sentences.txt"], folder, generations, pairs, settle=0.05)
    assert len(list(pathlib.Path(folder).glob("*.tvg"))) == generations, "the shim did not record each of its runs"
    value, *interval = median_interval([100 * (ratio - 1) for ratio in ratios])
    show("numpy inference, slow-down", value, "%", 1.0, f"without: {1e3 * statistics.median(plain):.0f} ms for 4 passes; {generations} x {pairs} pairs", interval)


def bytes_per_op(folder):
    for title, bound, arguments in (("fixed length", 3.5, ["--fixed-length", "32"]), ("mixed lengths", 5.5, [])):
        place = pathlib.Path(folder, title.split()[0])
        place.mkdir()
        subprocess.run([PYTHON, ENCODER, "--repeat", "8", *arguments], env=environment(place, True), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        size = sum(path.stat().st_size for path in place.iterdir())
        report = json.loads(subprocess.run([BUILD / "tvg", "report", "--json", next(place.glob("*.tvg"))], check=True, capture_output=True).stdout)
        ops = report["totals"]["ops"]
        show(f"trace of the encoder, {title}", size / ops, "bytes/op", bound, f"{ops} ops, {size} bytes, side files included")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=9, help="pairs of processes for the inference figure (9)")
    parser.add_argument("--pairs", type=int, default=12, help="measurements a pair of processes (12)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tvg-bench.") as folder:
        parts = [pathlib.Path(folder, name) for name in ("true", "inference", "bytes")]
        for part in parts:
            part.mkdir()
        empty_process(parts[0], 200)
        inference(parts[1], options.generations, options.pairs)
        bytes_per_op(parts[2])


if __name__ == "__main__":
    main()
