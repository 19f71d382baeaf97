"""What torch itself says of a workload, for comparison with a trace: FLOP by FlopCounterMode, kernels by torch.profiler, the output's digest.

As a program: `truths.py [--passes N] [--device cpu --small] NAME[:WAY]...` prints one JSON object a workload, and goes on where one fails. Without the shim."""
import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback

import torch

import profiler_trace
import workloads

def digest(result):
    return hashlib.sha256(result.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()[:16]


def flop_of_pass(workload, way):
    """FLOP of one pass: by FlopCounterMode, by the textbook, and the figure to compare with (its own source named)."""
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        (workload.counted or workload.run)()
    counted, more = counter.get_total_flops(), workload.flop_compiled_more if way == "compile" else 0
    known = {"a_pass": counted + more, "by": "torch's FlopCounterMode"}
    if not counted:  # it knows none of the operators
        known = {"a_pass": workload.flop, "by": "the textbook"}
    return {**known, "counter": counted, "textbook": workload.flop, "compiled_more": more}


def profiled(one, passes, device, operators):
    """`passes` passes under torch.profiler, read from the trace that it writes (profiler_trace.py)."""
    kinds = [torch.profiler.ProfilerActivity.CUDA] if device == "cuda" else []
    if operators or not kinds:
        kinds.append(torch.profiler.ProfilerActivity.CPU)
    with torch.profiler.profile(activities=kinds) as profiler:
        began = time.perf_counter()
        for _ in range(passes):
            one()
        workloads.synchronize(device)
        seconds = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "trace.json")
        profiler.export_chrome_trace(path)
        with open(path, encoding="utf-8") as file:
            events = json.load(file)["traceEvents"]
    return {"passes": passes, "seconds": seconds, **profiler_trace.add_up(events, operators)}


def machine(device):
    """What the figures were taken on."""
    found = {"torch": torch.__version__, "python": sys.version.split()[0]}
    for package in ("transformers", "torchvision"):
        if package in sys.modules:
            found[package] = sys.modules[package].__version__
    if device == "cuda":
        found["card"] = torch.cuda.get_device_name()
        asked = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True)
        found["driver"] = asked.stdout.split()[0] if asked.stdout.split() else "unknown"
    return found


def truth(name, way, passes, device, small, warmup=2):
    workload = workloads.make(name, device, small)
    flop = flop_of_pass(workload, way)
    one = workloads.prepare(workload, way, warmup, device)
    output = digest(one())
    return {"workload": name, "way": way, "flop": flop, "output": output, "units_a_pass": {workload.unit: workload.units},
            "profiler": profiled(one, passes, device, operators=way == "eager"), "on": machine(device)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="+", metavar="NAME[:WAY]")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    failed = 0
    for case in options.cases:
        name, _, way = case.partition(":")
        began = time.monotonic()
        try:
            with torch.no_grad():
                line = truth(name, way or "eager", options.passes, options.device, options.small)
        except Exception as error:  # the next workload may still run
            traceback.print_exc()
            line = {"workload": name, "way": way or "eager", "error": f"{type(error).__name__}: {error}"[:400]}
            failed += 1
        torch._dynamo.reset()
        if options.device == "cuda":
            torch.cuda.empty_cache()
        print(json.dumps({**line, "took_s": round(time.monotonic() - began, 1)}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
