"""Runs the benchmarks named on the command line, all of BENCHES by default, and prints their figures as one table (bench/README.md)."""
import json
import os
import pathlib
import subprocess
import sys

BUILD = pathlib.Path(os.environ["BUILD"])


def figures_of(name):
    """The figures that `make bench-NAME` prints; a benchmark that fails gives one failed figure."""
    print(f"tvg: bench-{name}", file=sys.stderr, flush=True)
    done = subprocess.run(["make", "-s", "--no-print-directory", f"bench-{name}", f"BUILD={BUILD}", "ARGS="], stdout=subprocess.PIPE, text=True)
    figures = []
    for line in done.stdout.splitlines():
        try:
            figure = json.loads(line)
        except ValueError:
            print(line, file=sys.stderr)
            continue
        figures.append({"benchmark": name, **figure})
    if done.returncode != 0 or not figures:
        figures.append({"benchmark": name, "figure": f"bench-{name} ended with {done.returncode}, {len(figures)} figures", "failed": True})
    return figures


def verdict(figure):
    if figure.get("failed"):
        return "FAIL"
    if figure.get("bound") is None:
        return ""
    return "pass" if figure["measured"] <= figure["bound"] else "FAIL"


def main():
    figures = [figure for name in sys.argv[1:] for figure in figures_of(name)]
    rows = [("figure", "measured", "95 % interval", "bound", "", "compared with")]
    for figure in figures:
        unit = figure.get("unit", "")
        number = lambda key: "" if figure.get(key) is None else f"{figure[key]:.4g}"  # noqa: E731
        interval = f"{number('low')} to {number('high')}" if "low" in figure else ""
        figure["verdict"] = verdict(figure)
        rows.append((figure["figure"], f"{number('measured')} {unit}".strip(), interval, number("bound"), figure["verdict"], figure.get("compared_with", "")))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:5], widths[1:])), row[5]]).rstrip())
    (BUILD / "bench.json").write_text(json.dumps(figures, indent=1) + "\n")
    failed = sum(figure["verdict"] == "FAIL" for figure in figures)
    print(f"bench: {sum(figure['verdict'] == 'pass' for figure in figures)} within bounds, {failed} not; written to {BUILD / 'bench.json'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
