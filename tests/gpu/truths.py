"""What torch itself says of a workload, for comparison with a trace: FLOP by FlopCounterMode, kernels by torch.profiler, the output's digest.

As a program: `truths.py [--passes N] [--device cpu --small] NAME[:WAY]...` prints one JSON object a workload, and goes on where one fails. Without the shim."""
import argparse
import bisect
import collections
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback

import torch

import workloads

# Operators that call cuBLAS, cuBLASLt or cuDNN, or are attention kernels of PyTorch's own that tvg records as one call.
LIBRARY_OPERATORS = {f"aten::{name}" for name in (
    "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "_int_mm", "_scaled_mm", "_addmm_activation", "cudnn_convolution", "cudnn_convolution_relu",
    "cudnn_convolution_add_relu", "_cudnn_attention_forward", "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_efficient_attention",
    "_efficient_attention_forward", "_scaled_dot_product_flash_attention", "_flash_attention_forward")}


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


def library_time(events, kernels):
    """Nanoseconds of `kernels` that library operators launched, PyTorch's own elementwise kernels inside them (a bias spread out, say) left out."""
    operators = [event for event in events if event.get("cat") == "cpu_op"]
    innermost = {event["args"]["External id"]: event for event in operators if "External id" in event.get("args", {})}
    spans = collections.defaultdict(list)
    for event in operators:
        if event["name"] in LIBRARY_OPERATORS:
            spans[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for places in spans.values():
        places.sort()
        for number in range(1, len(places)):  # an operator inside another ends with the outer one
            places[number] = (places[number][0], max(places[number][1], places[number - 1][1] if places[number - 1][1] > places[number][0] else 0))
    total = 0
    for kernel in kernels:
        launcher = innermost.get(kernel["args"].get("External id"))
        if launcher is None or "at::native::" in kernel["name"] and "attention" not in kernel["name"]:
            continue
        places = spans.get(launcher["tid"], [])
        place = bisect.bisect_right(places, (launcher["ts"], float("inf"))) - 1
        if place >= 0 and launcher["ts"] < places[place][1] or launcher["name"] in LIBRARY_OPERATORS:
            total += round(1e3 * kernel["dur"])
    return total


def profiled(one, passes, device, operators):
    """`passes` passes under torch.profiler, read from the trace that it writes: number and time of kernels, by name; what it said a library launched."""
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
    kernels = [event for event in events if event.get("cat") == "kernel"]
    names = collections.defaultdict(lambda: [0, 0])
    for kernel in kernels:
        names[kernel["name"]][0] += 1
        names[kernel["name"]][1] += round(1e3 * kernel["dur"])
    total = sum(time_ns for _, time_ns in names.values())
    found = {"passes": passes, "kernels": len(kernels), "kernel_ns": total, "seconds": seconds,
             "copies": sum(event.get("cat") in ("gpu_memcpy", "gpu_memset") for event in events),
             "names": dict(sorted(names.items(), key=lambda item: -item[1][1]))}
    if operators and total:
        found["library_share"] = library_time(events, kernels) / total
    return found


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
    found = profiled(one, passes, device, operators=way == "eager")
    found.pop("names")
    return {"workload": name, "way": way, "flop": flop, "output": output, "units_a_pass": {workload.unit: workload.units}, "profiler": found,
            "on": machine(device)}


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
