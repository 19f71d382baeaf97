"""`tvg report` on a long trace: time against decode_floor (reading, checking and decoding the same blocks, nothing else), and peak memory.

Usage: run.py BUILD [OPS [ROUNDS]]. The two programs take turns; times are CPU seconds, user and system, so that a busy machine does not blur them; the
figure is the median of the rounds' ratios with a bootstrap interval.
"""
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile


def run(command):
    """CPU seconds and peak MiB of one run; a run that fails ends the benchmark."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command[0]} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def figure(name, measured, unit, **more):
    print(json.dumps({"figure": name, "measured": measured, "unit": unit, **more}), flush=True)


def measure(build, folder, ops, rounds, kind):
    trace = folder / f"{kind}.tvg"
    made = subprocess.run([build / "bench/tracegen", trace, str(ops), "2", kind], check=True, capture_output=True, text=True)
    print(f"{kind} lengths: {made.stdout.strip()}", file=sys.stderr)
    floor, report = [build / "bench/decode_floor", trace], [build / "tvg", "report", trace]
    run(floor), run(report)  # the file is in the page cache from here on
    pairs = [(run(floor)[0], run(report)) for _ in range(rounds)]
    ratios = sorted(seconds / least for least, (seconds, _) in pairs)
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(2000))
    best_floor, best_report = min(pair[0] for pair in pairs), min(pair[1][0] for pair in pairs)
    million = ops / 1e6
    figure(f"tvg report over decoding alone, {million:g} million ops, {kind} lengths", statistics.median(ratios), "x", low=medians[50],
           high=medians[1950], bound=3,
           compared_with=f"read + check + LZ4 + varints: {best_floor / ops * 1e9:.1f} ns an op, report {best_report / ops * 1e9:.1f} "
                         f"(CPU time, fastest of {rounds}); ratio of the fastest {best_report / best_floor:.2f}")
    figure(f"peak memory of tvg report, {million:g} million ops, {kind} lengths", max(pair[1][1] for pair in pairs), "MiB", bound=64)
    trace.unlink()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    ops = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 7
    with tempfile.TemporaryDirectory(prefix="tvg-bench-") as folder:
        for kind in ("fixed", "mixed"):
            measure(build, pathlib.Path(folder), ops, rounds, kind)


if __name__ == "__main__":
    main()
