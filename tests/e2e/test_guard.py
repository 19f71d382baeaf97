"""The guard contract (shim/record/guard.h): one test for each of its lines, by name. Each host says itself what must be in its trace."""
import os
import pathlib
import random
import re
import signal
import struct
import subprocess
import time

import pytest
from guardlib import build, compare, counts, environment, expectations, guard, has_rings, linked, trace_of
from tvg_testlib import ROOT, dump, run

COVERED = ["outermost", "errno", "signal_in_call", "signal_storm", "alternate_stack", "longjmp", "cancel", "coroutine", "fork", "raw_clone", "fork_in_call",
           "fork_threads", "vfork", "thread_exit", "thread_destructor", "exit_in_call"]


def host(scenario, folder, program=None, status=0, **extra):
    """Runs a scenario; returns (pid, finished process)."""
    process = subprocess.Popen([program or guard(), scenario], env=environment(folder, **extra), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        stdout, stderr = process.communicate(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == status, f"exit {process.returncode}: {stderr}"
    assert stderr == ""
    return process.pid, stdout


def check_all(folder, pid, stdout, clean=True):
    children, own = expectations(stdout)
    trace = trace_of(folder, pid)
    compare(counts(trace), own[0])
    assert has_rings(trace) != clean
    for child, expected in children.items():
        compare(counts(trace_of(folder, child)), expected)
    assert len(list(folder.glob("*.tvg"))) == 1 + len(children)
    return trace


@pytest.mark.parametrize("scenario", COVERED)
def test_guard(scenario, tmp_path):
    pid, stdout = host(scenario, tmp_path / "t")
    check_all(tmp_path / "t", pid, stdout)


def test_every_line_has_its_test():
    lines = re.findall(r"^ \* (\w+) {2,}\S", (ROOT / "shim/record/guard.h").read_text(), re.M)
    here = pathlib.Path(__file__).read_text()
    missing = [line for line in lines if line not in COVERED and f"def test_{line}(" not in here]
    assert len(lines) > 20 and not missing


def test_exception(tmp_path):
    program = build("exception", ["exception.cc"], *linked(), compiler="g++")
    pid, stdout = host("", tmp_path / "t", program)
    check_all(tmp_path / "t", pid, stdout)


def test_exec(tmp_path):
    """The program before the exec keeps its ops; the one after it, same process id, has its own trace under another name."""
    pid, stdout = host("exec", tmp_path / "t")
    _, own = expectations(stdout)
    compare(counts(tmp_path / "t" / f"guard-{pid}.tvg"), own[0])
    compare(counts(tmp_path / "t" / f"guard-again-{pid}.tvg"), own[1])


def test_thread_exit_names_threads(tmp_path):
    """Each op is on the thread that ran it, though rings are handed on."""
    pid, _ = host("thread_exit", tmp_path / "t")
    by_thread = {}
    for op in dump(trace_of(tmp_path / "t", pid)):
        by_thread.setdefault(op["thread"], []).append(op["m"])
    assert len(by_thread) == 100
    assert all(ms == [ms[0]] * 10 for ms in by_thread.values())


def test_dlclose(tmp_path):
    plugins = []
    for letter in "ab":
        blas = f"libfakeblas_{letter}.so"
        plugins.append(build(f"plugin_{letter}.so", ["plugin.c"], "-shared", "-fPIC", *linked(blas)))
    unload = build("unload", ["unload.c"], "-ldl")
    process = subprocess.Popen([unload, *plugins], env=environment(tmp_path / "t"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    trace = check_all(tmp_path / "t", process.pid, stdout)
    for op in dump(trace):
        letter = "ab"[op["m"] - 1]
        assert op["library"] == f"libfakeblas_{letter}.so" and op["caller"] == f"plugin_{letter}.so"


def late_host():
    objects = build("liblate.so", ["late_objects.c"], "-shared", "-fPIC", *linked())
    return build("late", ["guard.c"], *linked(), "-Wl,--no-as-needed", str(objects))


def test_late_constructor(tmp_path):
    pid, stdout = host("late_destructor", tmp_path / "t", late_host())
    assert counts(trace_of(tmp_path / "t", pid))[3] == 6
    assert expectations(stdout)[1][0]["3"] == 6


def test_late_destructor(tmp_path):
    pid, stdout = host("late_destructor", tmp_path / "t", late_host())
    check_all(tmp_path / "t", pid, stdout)


def test_underscore_exit(tmp_path):
    pid, stdout = host("underscore_exit", tmp_path / "t")
    check_all(tmp_path / "t", pid, stdout, clean=False)


def test_sigterm(tmp_path):
    pid, stdout = host("sigterm", tmp_path / "t", status=-signal.SIGTERM)
    check_all(tmp_path / "t", pid, stdout, clean=False)


KILLS = int(os.environ.get("GUARD_KILLS", "40"))


def test_sigkill(tmp_path):
    """Killed at random moments, most of them within the first thousands of ops: no finished op lost, none invented (at most the one in progress)."""
    dice = random.Random(20)
    seen_blocks = 0
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        folder.mkdir()
        finished = folder / "finished"
        finished.write_bytes(bytes(4096))
        process = subprocess.Popen([guard(), "sigkill"], env=environment(folder / "t", GUARD_FINISHED=finished))
        time.sleep(0.01)
        deadline = time.monotonic() + 20
        while not any(finished.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(dice.uniform(0, 0.06))
        process.kill()
        process.wait()
        done = [struct.unpack_from("<Q", finished.read_bytes(), 64 * thread)[0] for thread in range(4)]
        trace = trace_of(folder / "t", process.pid)
        found = counts(trace, kept=False)  # a kill can cut the block that is being written: then its ops are still in the ring
        for thread in range(4):
            assert done[thread] <= found[1 + thread] <= done[thread] + 1, f"kill {kill}, thread {thread}: {done} finished, {dict(found)} in the trace"
        assert set(found) <= {1, 2, 3, 4}
        seen_blocks += sum(done) > 20000
        for path in (folder / "t").iterdir():
            path.unlink()
    assert seen_blocks > 0, "no kill came after a written block: the test did not test"


def test_pause(tmp_path):
    pid, stdout = host("pause", tmp_path / "t")
    trace = check_all(tmp_path / "t", pid, stdout)
    raw = trace.read_bytes()
    assert [raw.count(b"\xa4kind" + kind) for kind in (b"\xa5pause", b"\xa6resume", b"\xacoutput_token")] == [1, 1, 2]


def test_dictionary_full(tmp_path):
    """With room for 10 ops, 500 shapes still come out whole."""
    pid, stdout = host("dictionary_full", tmp_path / "t", TVG_DICTIONARY_MAX=10)
    trace = check_all(tmp_path / "t", pid, stdout)
    ops = dump(trace)
    assert all((op["n"], op["k"], op["function"], op["library"]) == (2, 3, "cblas_sgemm", "libfakeblas.so") for op in ops)
    assert b"op dictionary" in trace.read_bytes()


def test_inert(tmp_path):
    host("inert", tmp_path / "t")
    assert list((tmp_path / "t").iterdir()) == []
    run(["/bin/true"], env=environment(tmp_path / "t"), check=True)
    assert list((tmp_path / "t").iterdir()) == []


def test_setuid(tmp_path):
    """With AT_SECURE set (a copy that is setuid to another user, run by root, gets none; so a file with set-group-id) nothing is recorded."""
    copy = tmp_path / "guard"
    copy.write_bytes(guard().read_bytes())
    os.chmod(tmp_path, 0o755)
    if os.getuid() != 0:
        pytest.skip("needs root to make a setgid program of another group")
    os.chown(copy, 0, 65534)
    os.chmod(copy, 0o2755)
    done = run([copy, "outermost"], env=environment(tmp_path / "t"))
    assert done.returncode == 0 or "fakeblas" in done.stderr
    assert list((tmp_path / "t").iterdir()) == []
