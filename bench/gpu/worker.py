"""One process of bench-gpu: rounds of one workload with the recording paused and on in turn (the shim's own pause, or torch.profiler started and stopped).

Prints {"ratios": with over without, round by round, "ms": a pass without, "passes": in each measurement}."""
import argparse
import ctypes
import json
import os
import pathlib
import statistics
import sys
import time

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "gpu"))
import workloads  # noqa: E402


class Shim:
    """Whoever preloaded it: found among the program's own names."""

    def __init__(self, device):
        names = ctypes.CDLL(None)
        self.on, self.off = names.tvg_resume, names.tvg_pause


class Profiler:
    def __init__(self, device):
        activity = torch.profiler.ProfilerActivity
        self.activities = [activity.CUDA if device == "cuda" else activity.CPU]

    def on(self):
        self.profiler = torch.profiler.profile(activities=self.activities)
        self.profiler.start()

    def off(self):
        if getattr(self, "profiler", None):
            self.profiler.stop()
            self.profiler = None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=workloads.WORKLOADS)
    parser.add_argument("--way", default="eager")
    parser.add_argument("--arm", choices=["shim", "profiler"], required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--measure", type=float, default=0.15, help="seconds of one measurement")
    parser.add_argument("--settle", type=float, default=0, help="seconds of recording before the first round")
    parser.add_argument("--lead", type=float, default=0, help="seconds behind each switch that are not measured")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    one = workloads.prepare(workloads.make(options.name, options.device, options.small), options.way, 10 if options.way == "eager" else 3, options.device)

    def seconds_a_pass(passes):
        began = time.perf_counter()
        for _ in range(passes):
            one()
        workloads.synchronize(options.device)
        return (time.perf_counter() - began) / passes
    shortest = min(seconds_a_pass(3) for _ in range(3))
    passes, lead = max(3, int(options.measure / shortest)), max(2, int(options.lead / shortest))
    settled = time.perf_counter() + options.settle
    while time.perf_counter() < settled:
        seconds_a_pass(passes)
    switch = (Shim if options.arm == "shim" else Profiler)(options.device)
    pairs = []
    for number in range(options.rounds + 1):
        times = {}
        for on in (False, True) if number % 2 else (True, False):  # whichever comes second has the warmer card: that side takes turns
            switch.on() if on else switch.off()
            seconds_a_pass(lead)  # what switching itself costs is not a pass's
            times[on] = seconds_a_pass(passes)
            if on:
                switch.off()
        pairs.append(times)
    pairs = pairs[1:]  # the first round's switching on loads code
    print(json.dumps({"ratios": [times[True] / times[False] for times in pairs], "ms": 1e3 * statistics.median(times[False] for times in pairs),
                      "passes": passes, "process": os.getpid()}))


if __name__ == "__main__":
    with torch.no_grad():
        sys.exit(main())
