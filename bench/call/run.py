"""What one recorded call costs: over a loop of a dozen shapes on an empty cblas_sgemm, bare and under the shim by turns, beside peers.

ratio = (fastest round under the shim - fastest bare round) / (fastest round of two time-stamp reads and a 32-byte store). A round is 240,000
calls, so encoding and writing some 58 blocks is in it. The longest pause is the longest single call of a round, in stretches without a context
switch; the figure is the median over all rounds. The same of the bare loop, which has no pause of its own, shows what the machine adds
(interrupts, a hypervisor)."""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

BUILD = pathlib.Path(os.environ.get("BUILD", "build")).resolve()
HERE = BUILD / "bench/call"
LOOP = HERE / "call_loop"
CLEAN = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD" and not key.startswith("TVG_")}


def loop(rounds, calls, extra="none", env=None, prefix=(), program=LOOP):
    done = subprocess.run([*prefix, program, str(rounds), str(calls), extra], env=env or CLEAN, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          timeout=300)
    for line in done.stdout.splitlines():
        if line.startswith('{"ns"'):
            return json.loads(line)
    raise RuntimeError(f"{prefix} gave no figure (exit {done.returncode})")


def tree_bytes(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file())


def show(figure, value, unit, compared_with, bound=None, digits=2, **more):
    line = {"figure": figure, "measured": round(value, digits), "unit": unit, "compared_with": compared_with, **more}
    if bound is not None:
        line["bound"] = bound
    print(json.dumps(line), flush=True)


def ours(runs):
    bare, with_shim, floors, longest, machine, weights = [], [], [], [], [], []
    for _ in range(runs):
        plain = loop(10, 240000, "floor")
        bare.append(plain["ns"])
        floors.append(plain["floor_ns"])
        machine += loop(5, 240000, "pause")["longest_ns"]
        with tempfile.TemporaryDirectory() as folder:
            env = {**CLEAN, "LD_PRELOAD": str(BUILD / "libtvgshim.so"), "TVG_OUT": f"{folder}/%p.tvg"}
            recorded = loop(10, 240000, "pause", env)
            weights.append(tree_bytes(folder) / (recorded["calls"] + recorded["pause_calls"]))
        with_shim.append(recorded["ns"])
        longest += recorded["longest_ns"]
    floor, added = min(floors), min(with_shim) - min(bare)
    show("call cost over floor", added / floor, "x", "two time-stamp reads and a 32-byte store", 1.6)
    show("call cost", added, "ns", f"bare call {min(bare):.1f} ns, floor {floor:.1f} ns")
    show("longest pause", statistics.median(longest) / 1000, "us", f"median of {len(longest)} rounds, worst {max(longest) / 1000:.0f} us; "
         f"the bare loop: {statistics.median(machine) / 1000:.0f} us, worst {max(machine) / 1000:.0f} us", 100, digits=1)
    show("trace weight, empty calls", statistics.mean(weights), "bytes an op", "a 40-byte record")
    return min(bare)


def peer(name, bare, calls, command, size):
    """`command(folder)` -> (prefix, program, env) with which the loop runs; `size(folder)` the bytes it left."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            prefix, program, env = command(folder)
            result = loop(3, calls, "none", env, prefix, program)
            size_each = size(folder) / result["calls"]
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            print(f"bench-call: {name} left out: {error}", file=sys.stderr)
            return
    show(f"peer {name}", result["ns"] - bare, "ns", f"{size_each:.0f} bytes a call")


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            raise OSError(f"{tool} is not installed (make bench installs it)")


def uftrace(folder):
    need("uftrace")
    return ["uftrace", "record", "--force", "--no-event", "--no-pager", "-d", f"{folder}/data"], LOOP, None


def ltrace(folder):
    need("ltrace")
    return ["ltrace", "-e", "cblas_sgemm", "-ttt", "-o", f"{folder}/calls"], LOOP, None


class Lttng:
    """A user-space session that writes to the folder; a session daemon of our own, with its home there."""

    def __enter__(self):
        self.home = tempfile.mkdtemp()
        self.env = {**CLEAN, "LTTNG_HOME": self.home, "LTTNG_UST_REGISTER_TIMEOUT": "5000"}
        return self

    def call(self, *words):
        subprocess.run(["lttng", "-n", *words], env=self.env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)

    def command(self, folder):
        need("lttng", "lttng-sessiond")
        program = HERE / "call_loop_lttng"
        if not program.exists():
            raise OSError("liblttng-ust-dev is not installed (make bench installs it)")
        self.daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        subprocess.run(["sleep", "2"], check=True)
        self.call("create", "tvgbench", f"--output={folder}/trace")
        self.call("enable-channel", "-u", "--subbuf-size=1M", "--num-subbuf=8", "c")
        self.call("enable-event", "-u", "-c", "c", "tvg_bench:call")
        self.call("start")
        return [], program, self.env

    def size(self, folder):
        self.call("stop")
        self.call("destroy", "tvgbench")
        return tree_bytes(f"{folder}/trace")

    def __exit__(self, *_):
        if hasattr(self, "daemon"):
            self.daemon.terminate()
            try:
                self.daemon.wait(20)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def main():
    bare = ours(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    peer("uftrace", bare, 240000, uftrace, tree_bytes)
    with Lttng() as lttng:
        peer("LTTng-UST tracepoint", bare, 240000, lttng.command, lttng.size)
    peer("ltrace", bare, 2000, ltrace, tree_bytes)


if __name__ == "__main__":
    main()
