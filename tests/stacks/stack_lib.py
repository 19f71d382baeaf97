"""What the stack tests share: an interpreter that has a stack, and one program run bare and under the shim.

A stack lives in build/stacks/NAME, made by pip when it is missing, with the versions of versions.txt; conftest.py removes it behind its last test.
TVG_STACK_PYTHON names an interpreter to use instead.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from tvg_testlib import BUILD, clean_environment, compile_c, dump, run, run_under_shim, tvg, tvg_json  # noqa: E402,F401  (for the tests)

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
VERSIONS = pathlib.Path(__file__).resolve().parent / "versions.txt"
STACKS = BUILD / "stacks"
THREADS = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


installed = {}  # stack: seconds and bytes that installing took


def stack_python(name, *packages):
    """The interpreter of stack `name`, which has `packages` (pip's words for them) in the versions of versions.txt."""
    given = os.environ.get("TVG_STACK_PYTHON")
    return pathlib.Path(given) if given else install(name, packages, ["--constraint", VERSIONS])


def pinned_python(name, *packages):
    """The same for a version that TVG_STACK_PYTHON can't stand for."""
    return install(name, packages, [])


def install(name, packages, options):
    """Makes the stack, or adds what another test did not ask for."""
    folder = STACKS / name
    done = folder / "installed"
    have = done.read_text().splitlines() if done.exists() else []
    missing = [package for package in packages if package not in have]
    if missing:
        began = time.monotonic()
        if not have:
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # no cache: what is given back after the tests must not stay there
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", *options, *missing],
                       check=True, timeout=1800)
        done.write_text("\n".join([*have, *missing]))
        seconds, bytes = time.monotonic() - began, sum(path.lstat().st_size for path in folder.rglob("*"))
        installed[name] = (installed.get(name, (0, 0))[0] + seconds, bytes)
    return folder / "bin" / "python"


def stack_files(python, pattern):
    """Files of the interpreter's packages, by a pattern below its site-packages."""
    return sorted((python.parents[1] / "lib").glob(f"python3*/site-packages/{pattern}"))


def silent(trace):
    """Whether the trace's coverage names nothing that could not be caught, read or counted."""
    return not [note for note in tvg_json("coverage", "--json", trace)["notes"] if note["what"] in ("found-not-catchable", "unknown-version")]


class Pair:
    """One program, bare and under the shim: `answer` is the JSON object that both printed, `ops` what was recorded. A compiled host stands in the place
    of the interpreter, and `program` is None."""

    def __init__(self, python, program, folder, *arguments, timeout=240, environment=None):
        environment = {**THREADS, **(environment or {})}
        command = [python, *([PROGRAMS / program] if program else []), *arguments]
        bare = run(command, env=clean_environment(**environment), check=True, timeout=timeout)
        shimmed = run_under_shim(command, folder, env=environment, timeout=timeout)
        self.answer = json.loads(bare.stdout.splitlines()[-1])
        assert json.loads(shimmed.stdout.splitlines()[-1]) == self.answer, "the outputs differ under the shim"
        self.trace = shimmed.trace
        self.ops = dump(self.trace)

    def flop(self, *kinds):
        """FLOP recorded in ops of these kinds; of all kinds when none is named."""
        return sum(op.get("flop", 0) for op in self.ops if not kinds or op["kind"] in kinds)
