"""What recording costs inference on a card, beside torch.profiler measured the same way, and the energy model against the board's meter.

Each figure is of one process that pauses and resumes in turn (worker.py): the median of the rounds' ratios with a 95 % bootstrap interval. A process cannot hold
both recorders, so torch.profiler has one of its own. The model is compared before it is scaled to the meter, on a run that is recorded throughout."""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "bench" / "end_to_end"), str(ROOT / "tests" / "gpu")]
import gpu_lib  # noqa: E402
from run import median_interval  # noqa: E402  (bench/end_to_end/run.py)

WORKER = pathlib.Path(__file__).with_name("worker.py")
# what is shown: workload, way. From the most launches a second to the fewest.
CASES = {
    "launch-bound loop": ("launch-bound", "eager"),
    "Llama 1B bf16, decode": ("llama-bf16-decode", "eager"),
    "Llama 1B bf16, CUDA graph": ("llama-bf16-b1", "graph"),
    "ResNet-50 batch 32": ("resnet50-fp32", "eager"),
    "ViT-B batch 256": ("vit-fp16-b256", "eager"),
}
SLOWDOWN, MODEL = 2.0, 10.0  # per cent that pass


def arms(options):
    """Ways to record a case: name -> (worker's arm, its timing, rounds, environment, bound)."""
    brief = ["--measure", "0.15"]
    # By default kernels are recorded in windows where they are many, behind 5 s in which all are. A measurement holds several windows, and the one that opens
    # when the recording goes on is not in it.
    default = ["--settle", "0.5", "--measure", "0.3", "--lead", "0.1"] if options.small else ["--settle", "6.5", "--measure", "1.5", "--lead", "0.5"]
    return {"recorded by default": ("shim", default, max(4, options.rounds // 2), {"TVG_KERNELS": "auto"}, SLOWDOWN),
            "recording every kernel": ("shim", brief, options.rounds, {"TVG_KERNELS": "all"}, None),
            "torch.profiler": ("profiler", brief, options.rounds, None, None)}


def show(figure, value, unit, bound, compared_with, interval=None):
    line = {"figure": figure, "measured": round(value, 2), "unit": unit, "bound": bound, "compared_with": compared_with}
    if interval:
        line["low"], line["high"] = (round(end, 2) for end in interval)
    print(json.dumps({key: found for key, found in line.items() if found is not None}), flush=True)


def fail(figure, why):
    print(json.dumps({"figure": figure, "measured": 0, "unit": "", "failed": True, "compared_with": why[-300:]}), flush=True)


def slow_down(case, arm, settings, options, sizes):
    kind, timing, rounds, environment, bound = settings
    name, way = CASES[case]
    command = [gpu_lib.PYTHON, WORKER, name, "--way", way, "--arm", kind, "--rounds", str(rounds), *timing, *sizes]
    with tempfile.TemporaryDirectory(prefix="tvg-bench.") as folder:
        if environment is None:
            done = gpu_lib.run([str(word) for word in command], env=gpu_lib.clean_environment(**gpu_lib.ENVIRONMENT), timeout=options.longest)
            answer = gpu_lib.last_line(done.stdout) if done.returncode == 0 else None
            error = done.stderr
        else:
            ran = gpu_lib.Recorded(command, folder, timeout=options.longest, check=False, **environment)
            answer, error = ran.answer if ran.returncode == 0 else None, ran.stderr
    if not answer:
        return fail(f"{case}, {arm}", error)
    value, *interval = median_interval([100 * (ratio - 1) for ratio in answer["ratios"]])
    show(f"{case}, {arm}, slow-down", value, "%", bound, f"paused: {answer['ms']:.3g} ms a pass; {len(answer['ratios'])} rounds of {answer['passes']} passes", interval)


def energy(case, options, sizes):
    name, way = CASES[case]
    with tempfile.TemporaryDirectory(prefix="tvg-bench.") as folder:
        ran = gpu_lib.Recorded(gpu_lib.worker(name, "--way", way, "--seconds", str(options.metered), *sizes), folder, timeout=options.longest, check=False)
        if ran.returncode or not ran.answer:
            return fail(f"{case}, energy", ran.stderr)
        data = gpu_lib.report(ran.trace)
    figure, joules, pricing = f"{case}, modelled energy off the meter before scaling", data["totals"]["energy_j"], data["pricing"]
    if joules["basis"] != "measured":
        return fail(figure, "the board's meter did not answer, or others used the board")
    error = 100 * pricing["model_error"]
    show(figure, abs(error), "%", MODEL, f"{error:+.1f} %; meter: {joules['value']:.3g} J; {ran.answer['passes'] / ran.answer['seconds']:.3g} passes a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=470, help="no case is begun after this (470)")
    parser.add_argument("--rounds", type=int, default=12, help="pairs of measurements a figure (12)")
    parser.add_argument("--metered", type=float, default=4, help="seconds of a run whose energy is modelled (4)")
    parser.add_argument("--longest", type=float, default=90, help="seconds after which a process is given up (90)")
    parser.add_argument("--only", help="cases whose name contains this")
    parser.add_argument("--done", type=pathlib.Path, help="lines of an earlier call: figures in it are not measured again")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: a trial of the programs, no figure")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda":
        refusal = gpu_lib.refusal("bench-gpu")
        if refusal:
            print(refusal, file=sys.stderr)
            return 3
        print(f"cards: {', '.join(gpu_lib.cards())}", file=sys.stderr)
    sizes = ["--device", options.device, *(["--small"] if options.small else [])]
    began, known = time.monotonic(), ""
    if options.done and options.done.exists():
        known = "\n".join(line for line in options.done.read_text().splitlines() if '"failed"' not in line)
    for case in CASES:
        if options.only and options.only not in case or options.device == "cpu" and CASES[case][1] == "graph":
            continue
        for arm, settings in arms(options).items():
            if f'"{case}, {arm}, slow-down"' not in known:
                late(case, arm, began, options) or attempt(slow_down, case, arm, settings, options, sizes)
        if f'"{case}, modelled energy' not in known and options.device == "cuda":
            late(case, "energy", began, options) or attempt(energy, case, options, sizes)


def late(case, what, began, options):
    if time.monotonic() - began > options.seconds:
        fail(f"{case}, {what}", "no time left: run it again with --done")
        return True
    return False


def attempt(measure, case, *arguments):
    """One figure that can't be had is said, and the others are measured."""
    try:
        measure(case, *arguments)
    except (AssertionError, KeyError, ValueError, subprocess.SubprocessError, statistics.StatisticsError) as error:
        fail(f"{case}, {arguments[0] if isinstance(arguments[0], str) else 'energy'}", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
