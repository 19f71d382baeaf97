"""Runs one workload as a user's program would, and prints one JSON object: what it ran, the output's digest, and how long it took.

Under the shim it marks the end of the warm-up and of the counted passes, so that a reader of the trace knows which kernels are whose."""
import argparse
import ctypes
import json
import os
import signal
import sys
import time

import torch

import truths
import workloads

shim = ctypes.CDLL(None)  # the program's own names: those of the shim are there when it is preloaded


def mark(name, *arguments):
    if hasattr(shim, name):
        getattr(shim, name)(*arguments)


def units(workload, passes):
    mark("tvg_units", workload.unit.encode(), ctypes.c_double(workload.units * passes))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=workloads.WORKLOADS)
    parser.add_argument("--way", default="eager", choices=["eager", "compile", "graph"])
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0, help="go on for so long at least")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--profiler", choices=["before", "after"], help="torch.profiler from before CUDA's start, or over as many passes again afterwards")
    parser.add_argument("--end", default="exit", choices=["exit", "_exit", "kill"])
    options = parser.parse_args()
    before = None
    if options.profiler == "before":
        before = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA if options.device == "cuda" else torch.profiler.ProfilerActivity.CPU])
        before.start()
    workload = workloads.make(options.name, options.device, options.small)
    one = workloads.prepare(workload, options.way, options.warmup, options.device)
    units(workload, options.warmup)
    mark("tvg_warmup_done")
    began, passes = time.monotonic(), 0
    while passes < options.passes or time.monotonic() - began < options.seconds:
        result = one()
        passes += 1
        if options.seconds:
            workloads.synchronize(options.device)
    workloads.synchronize(options.device)
    seconds, ended_ns = time.monotonic() - began, time.monotonic_ns()
    units(workload, passes)
    line = {"workload": options.name, "way": options.way, "warmup": options.warmup, "passes": passes, "seconds": seconds, "ended_ns": ended_ns,
            "process": os.getpid(), "units": {workload.unit: workload.units * passes}}
    if options.end == "kill":  # at once: the digest would give the records time to be written
        print(json.dumps(line), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    line["output"] = truths.digest(result)
    if before:
        before.stop()
        line["profiler"] = {"kernels": sum(event.device_type == torch.autograd.DeviceType.CUDA for event in before.events())}
    if options.profiler == "after":
        mark("tvg_pause")  # these passes are the profiler's
        line["profiler"] = truths.profiled(one, passes, options.device, operators=options.way == "eager")
    print(json.dumps({**line, "on": truths.machine(options.device)}), flush=True)
    if options.end == "_exit":
        os._exit(3)


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
