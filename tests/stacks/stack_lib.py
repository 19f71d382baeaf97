"""What the stack tests share: an interpreter that has a stack, and one program run bare and under the shim.

A stack lives in build/stacks/NAME (made by pip when it is missing; `make stacks` removes those it made unless TVG_STACKS_KEEP is set).
TVG_STACK_PYTHON names an interpreter to use instead.
"""
import json
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from tvg_testlib import BUILD, clean_environment, compile_c, dump, run, run_under_shim, tvg, tvg_json  # noqa: E402,F401  (for the tests)

PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
THREADS = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def stack_python(name, *packages):
    """The interpreter of stack `name`, which has `packages` (pip's words for them)."""
    given = os.environ.get("TVG_STACK_PYTHON")
    return pathlib.Path(given) if given else pinned_python(name, *packages)


def pinned_python(name, *packages):
    """The same for a version that TVG_STACK_PYTHON can't stand for."""
    python = BUILD / "stacks" / name / "bin" / "python"
    done = BUILD / "stacks" / name / "ok"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", python.parents[1]], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True, timeout=1800)
        done.touch()
    return python


def stack_files(python, pattern):
    """Files of the interpreter's packages, by a pattern below its site-packages."""
    return sorted((python.parents[1] / "lib").glob(f"python3*/site-packages/{pattern}"))


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
