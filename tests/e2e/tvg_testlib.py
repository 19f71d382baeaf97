"""What the end-to-end tests share: running a command under the shim, reading a trace through `tvg dump`, compiling small hosts.

The environment variable BUILD names the build folder (default: build/ of this checkout). Commands get the environment of the
tests without LD_PRELOAD and TVG_*, so that nothing from outside leaks in.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build")).resolve()
SHIM = BUILD / "libtvgshim.so"
TVG = BUILD / "tvg"
PYTHON = sys.executable
PROGRAMS = pathlib.Path(__file__).resolve().parent / "programs"
TIMEOUT = 240  # seconds; a command that takes longer is a failure


def clean_environment(**extra):
    """os.environ without LD_PRELOAD and TVG_*, with `extra` added; a value of None removes the variable."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD" and not key.startswith("TVG_")}
    for key, value in extra.items():
        if value is None:
            environment.pop(key, None)
        else:
            environment[key] = str(value)
    return environment


def _command(command):
    if isinstance(command, str):
        return [PYTHON, "-c", command]
    return [str(word) for word in command]


def run(command, env=None, timeout=TIMEOUT, check=False, **options):
    """Runs `command` (a list of words, or a str of Python code) and returns CompletedProcess with text stdout and stderr."""
    options.setdefault("stdin", subprocess.DEVNULL)
    if not options.keys() & {"stdout", "stderr"}:
        options["capture_output"] = True
    done = subprocess.run(_command(command), env=env if env is not None else clean_environment(), text=True, timeout=timeout, **options)
    if check:
        assert done.returncode == 0, f"{command!r}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Run:
    """A finished command under the shim, with the folder its traces went to."""

    def __init__(self, done, folder, seconds):
        self.returncode, self.stdout, self.stderr, self.folder, self.seconds = done.returncode, done.stdout, done.stderr, folder, seconds

    @property
    def traces(self):
        return sorted(self.folder.glob("*.tvg"))

    @property
    def trace(self):
        """The one trace of the run; fails when there are none or several."""
        traces = self.traces
        assert len(traces) == 1, f"one trace expected, found {[path.name for path in traces]}; stderr: {self.stderr}"
        return traces[0]

    @property
    def bytes(self):
        """Bytes on disk of all traces, side files included."""
        return sum(path.stat().st_size for path in self.folder.iterdir() if ".tvg" in path.name)


def run_under_shim(command, folder, env=None, check=True, timeout=TIMEOUT, **options):
    """Runs `command` (words, or a str of Python code) under the shim; its traces go to `folder`/trace/COMMAND-PID.tvg. `env`: extra variables."""
    traces = pathlib.Path(folder) / "trace"
    traces.mkdir(parents=True, exist_ok=True)
    environment = clean_environment(**{"LD_PRELOAD": SHIM, "TVG_OUT": traces / "%c-%p.tvg", **(env or {})})
    began = time.monotonic()
    done = run(command, env=environment, check=check, timeout=timeout, **options)
    return Run(done, traces, time.monotonic() - began)


def tvg(*arguments, check=True, **options):
    """Runs `tvg ARGUMENTS`; with check, exit 0 is asserted."""
    return run([TVG, *arguments], check=check, **options)


def tvg_json(*arguments, **options):
    """`tvg ARGUMENTS` whose stdout is one JSON document; returns it parsed."""
    return json.loads(tvg(*arguments, **options).stdout)


def dump(trace):
    """Every recorded op of a trace, in the order of `tvg dump`: a list of dicts."""
    return [json.loads(line) for line in tvg("dump", trace).stdout.splitlines() if line]


def compile_c(source, *flags, name=None, compiler="gcc"):
    """Compiles tests/e2e/programs/`source` (or an absolute path) to BUILD/e2e/ when it is older than its source. Returns the path.
    `flags` go behind the source, so that -l works. Different flags want a different `name`."""
    source = PROGRAMS / source
    target = BUILD / "e2e" / (name or source.stem)
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_name(f"{target.name}.{os.getpid()}")
        run([compiler, "-O1", "-g", "-Wall", "-o", scratch, source, *flags], check=True)
        scratch.replace(target)
    return target
