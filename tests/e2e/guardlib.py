"""Hosts of the guard tests: compiled from tests/guard/, run under the shim, compared with what they say of themselves."""
import collections
import json
import os
import re

from tvg_testlib import BUILD, ROOT, SHIM, clean_environment, run, tvg

SOURCES = ROOT / "tests" / "guard"
OUT = BUILD / "guard"
WARN = ["-O1", "-g", "-D_GNU_SOURCE", "-Wall", "-Wextra", f"-I{SOURCES}", f"-I{ROOT}", "-pthread"]


def build(name, sources, *flags, compiler="gcc"):
    """Compiles tests/guard/ sources to BUILD/guard/`name` when older than any of them; returns the path."""
    target = OUT / name
    paths = [SOURCES / source for source in sources]
    newest = max(path.stat().st_mtime for path in [*paths, SOURCES / "fake_blas.h"])
    if not target.exists() or target.stat().st_mtime < newest:
        OUT.mkdir(parents=True, exist_ok=True)
        scratch = OUT / f"{name}.{os.getpid()}"
        run([compiler, *WARN, "-o", scratch, *paths, *flags], check=True)
        scratch.replace(target)
    return target


def fake_blas(name="libfakeblas.so"):
    return build(name, ["fake_blas.c"], "-shared", "-fPIC", f"-Wl,-soname,{name}")


def linked(name="libfakeblas.so"):
    """Linker flags for a host of the fake BLAS."""
    return [str(fake_blas(name)), f"-Wl,-rpath,{OUT}", "-ldl"]


def guard():
    return build("guard", ["guard.c"], *linked())


def environment(folder, **extra):
    folder.mkdir(parents=True, exist_ok=True)
    return clean_environment(**{"LD_PRELOAD": SHIM, "TVG_OUT": folder / "%c-%p.tvg", **extra})


def counts(trace, kept=True):
    """Recorded ops of a trace by m. With `kept`, `tvg check` must find nothing missing."""
    if kept:
        checked = tvg("check", trace, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    dumped = tvg("dump", trace).stdout
    return collections.Counter(int(m) for m in re.findall(r'"m":(\d+)', dumped))


def compare(found, expected):
    """`found`: Counter by m. `expected`: {"M": n, "at least M": n, "at most M": n, "all": n}; an m it does not name must not be there."""
    named = set()
    for key, number in expected.items():
        if key == "all":
            assert sum(found.values()) == number
            return
        m = int(key.split()[-1])
        named.add(m)
        if key.startswith("at least"):
            assert found[m] >= number, f"m={m}: {found[m]} of at least {number}"
        elif key.startswith("at most"):
            assert found[m] <= number, f"m={m}: {found[m]} of at most {number}"
        else:
            assert found[m] == number, f"m={m}: {found[m]} instead of {number}; all: {dict(found)}"
    assert set(found) <= named, f"invented: {dict(found)}, expected {expected}"


def expectations(stdout):
    """({pid: expectation} of children, [expectation of the process itself, ...])."""
    children, own = {}, []
    for line in stdout.splitlines():
        if line.startswith("child "):
            _, pid, text = line.split(" ", 2)
            children[int(pid)] = json.loads(text)
        elif line.startswith("{"):
            own.append(json.loads(line))
    return children, own


def trace_of(folder, pid):
    found = list(folder.glob(f"*-{pid}.tvg"))
    assert len(found) == 1, f"traces of {pid}: {[path.name for path in folder.iterdir()]}"
    return found[0]


def has_rings(trace):
    return trace.with_name(trace.name + ".rings").exists()
