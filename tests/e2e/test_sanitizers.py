"""Hosts that were built with a sanitizer, under a plain preload and as children of a recorded command: they run, are recorded, nothing is reported of the
shim, and what the sanitizer is there to find is found."""
import pytest

from guardlib import build, compare, counts, environment, linked
from tvg_testlib import TVG, clean_environment, run

SANITIZERS = [("gcc", "address"), ("gcc", "thread"), ("gcc", "undefined"), ("gcc", "leak"), ("clang", "address"), ("clang", "thread"), ("clang", "memory")]
QUIET = {"ASAN_OPTIONS": "detect_leaks=0"}  # leaks can't be looked for where processes are traced, as in some containers
FOUND = {"address": "heap-buffer-overflow", "thread": "data race", "undefined": "shift exponent", "memory": "use-of-uninitialized-value"}


def program(compiler, sanitizer):
    return build(f"sanitized_{compiler}_{sanitizer}", ["sanitized.c"], f"-fsanitize={sanitizer}", *linked(), compiler=compiler)


@pytest.mark.parametrize("compiler, sanitizer", SANITIZERS)
def test_a_plain_preload(compiler, sanitizer, tmp_path):
    done = run([program(compiler, sanitizer)], env=environment(tmp_path / "t", **QUIET), timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done 0\n", "")
    (trace,) = (tmp_path / "t").glob("*.tvg")
    compare(counts(trace), {"2": 100})


@pytest.mark.parametrize("compiler, sanitizer", [pair for pair in SANITIZERS if pair[1] in FOUND])
def test_what_it_is_there_for_is_found(compiler, sanitizer, tmp_path):
    done = run([program(compiler, sanitizer), "mistake"], env=environment(tmp_path / "t", **QUIET), timeout=60)
    assert FOUND[sanitizer] in done.stderr and "libtvgshim" not in done.stderr.split("#1 ")[0], done.stderr


def test_a_child_of_a_recorded_command(tmp_path):
    """`tvg record` sees a shell, not the program that needs libasan first."""
    script = tmp_path / "script.sh"
    script.write_text(f"{program('gcc', 'address')}\n{program('gcc', 'thread')}\n")
    done = run([TVG, "record", "-o", tmp_path / "run", "--", "sh", script], env=clean_environment(**QUIET), timeout=60)
    assert done.returncode == 0 and done.stdout == "done 0\ndone 0\n", done.stderr
    traces = list((tmp_path / "run").glob("sanitized_*.tvg"))
    assert len(traces) == 2
    for trace in traces:
        compare(counts(trace), {"2": 100})
