"""Inline patches in hosts that load, unload, fork and refuse in every way: the hosts of tests/guard/safety.c say what must be in their traces and
check each product themselves. Their engines multiply inside: nothing but a patch sees it."""
import os
import subprocess

import pytest

from guardlib import OUT, build, compare, counts, environment, expectations, linked, trace_of
from tvg_testlib import BUILD, dump, run, tvg_json

SHIM = BUILD / "guard" / "libtvgshim.so"


def engine(name, bias=0):
    return build(f"{name}.so", ["engine.c"], "-shared", "-fPIC", "-O2", f"-DENGINE_BIAS={bias}", f"-Wl,-soname,{name}.so")


def engines():
    return [engine("libguard_engine"), engine("libguard_engine_b", 1), engine("libguard_engine_c", 2)]


def safety():
    return build("safety", ["safety.c"], *linked())


def host(folder, scenario, files=None, preload=SHIM, **extra):
    assert SHIM.exists(), "make e2e builds it; by hand: make build/guard/libtvgshim.so"
    process = subprocess.Popen([safety(), scenario, *(files or engines())], env=environment(folder, LD_PRELOAD=preload, **extra), stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        stdout, stderr = process.communicate(timeout=50)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0 and stderr == "", f"exit {process.returncode}: {stderr}"
    return process.pid, stdout


def notes(trace, what):
    return {note["subject"]: note["detail"] for note in tvg_json("coverage", "--json", trace)["notes"] if note["what"] == what}


def check(folder, pid, stdout):
    children, own = expectations(stdout)
    compare(counts(trace_of(folder, pid)), own[0])
    for child, expected in children.items():
        compare(counts(trace_of(folder, child)), expected)
    assert len(list(folder.glob("*.tvg"))) == 1 + len(children)
    return trace_of(folder, pid)


@pytest.mark.parametrize("scenario", ["plain", "deepbind", "relative", "reopen", "reopen_often", "fork_while_loading", "fork_then_load", "refused_writing"])
def test_every_product_is_recorded(scenario, tmp_path):
    pid, stdout = host(tmp_path / "t", scenario)
    trace = check(tmp_path / "t", pid, stdout)
    assert "guard_multiply" in notes(trace, "caught")
    for op in dump(trace):
        if op["m"] != 60:
            assert op["net"] == "inline" and op["library"].startswith("libguard_engine") and op["flop"] > 0


@pytest.mark.parametrize("scenario", ["plain", "deepbind", "reopen", "fork_then_load"])
def test_results_are_the_same_without_the_shim(scenario, tmp_path):
    """The hosts check their products; here it is the hosts that are checked."""
    host(tmp_path / "t", scenario, preload="")
    assert not list((tmp_path / "t").iterdir())


def test_what_can_not_be_patched_is_said(tmp_path):
    pid, stdout = host(tmp_path / "t", "plain")
    missed = notes(trace_of(tmp_path / "t", pid), "found-not-catchable")
    assert missed == {
        "guard_short in libguard_engine.so": "shorter than a jump",
        "guard_trap in libguard_engine.so": "a breakpoint is set in its first bytes",
        "guard_calls in libguard_engine.so": "one of its first instructions is a call",
    }


def test_a_kernel_that_refuses_is_said_and_the_host_goes_on(tmp_path):
    reason = "its text can't be written"
    pid, stdout = host(tmp_path / "t", "refused_text")
    missed = notes(check(tmp_path / "t", pid, stdout), "found-not-catchable")
    assert missed["guard_multiply in libguard_engine.so"] == reason and missed["guard_multiply_again in libguard_engine.so"] == reason


def test_a_name_space_of_its_own_is_said(tmp_path):
    pid, stdout = host(tmp_path / "t", "name_space")
    missed = notes(check(tmp_path / "t", pid, stdout), "found-not-catchable")
    assert any("dlmopen" in detail for detail in missed.values()), missed


def test_a_changed_file_is_not_trusted(tmp_path):
    """The engine's file is replaced between its loading and the shim's look: here the shim comes with a stand-in for that moment, another file at the path."""
    first, second = engines()[:2]
    program = build("swapped", ["swapped.c"], "-ldl")
    path = tmp_path / "libguard_engine_swapped.so"
    path.write_bytes(first.read_bytes())
    done = run([program, path, second, SHIM], env=environment(tmp_path / "t", LD_PRELOAD=None), timeout=40)
    assert done.returncode == 0, done.stderr
    (trace,) = (tmp_path / "t").glob("*.tvg")
    assert "no longer the one" in notes(trace, "found-not-catchable")[path.name]
    assert {op["library"] for op in dump(trace)} == {"libguard_engine_b.so"}


def test_a_shim_that_comes_late_says_so(tmp_path):
    first, second, _ = engines()
    pid, stdout = host(tmp_path / "t", "late_shim", [first, second, SHIM], preload=None)
    late = notes(check(tmp_path / "t", pid, stdout), "late")
    assert "not by LD_PRELOAD" in late[str(SHIM)]
    assert "threads ran" in late["libguard_engine.so"]


def test_a_shim_that_comes_late_to_a_single_thread_patches_what_is_there(tmp_path):
    first, second, _ = engines()
    pid, stdout = host(tmp_path / "t", "late_shim_alone", [first, second, SHIM], preload=None)
    late = notes(check(tmp_path / "t", pid, stdout), "late")
    assert set(late) == {str(SHIM)}


def test_two_copies_of_the_shim_record_once(tmp_path):
    copy = tmp_path / "libtvgshim.so"
    copy.write_bytes(SHIM.read_bytes())
    for preload in (f"{SHIM}:{copy}", f"{copy}:{SHIM}"):
        folder = tmp_path / str(len(os.listdir(tmp_path)))
        pid, stdout = host(folder, "plain", preload=preload)
        trace = check(folder, pid, stdout)
        assert set(notes(trace, "second-preload")) == {preload.split(":")[1]}
        assert {op["library"] for op in dump(trace)} == {"libguard_engine.so", "libfakeblas.so"}
        assert "libtvgshim.so" not in notes(trace, "library")


def test_one_copy_says_nothing_of_a_second(tmp_path):
    pid, _ = host(tmp_path / "t", "plain")
    trace = trace_of(tmp_path / "t", pid)
    assert not notes(trace, "second-preload") and not notes(trace, "late")


@pytest.mark.parametrize("when", ["before", "behind"])
def test_a_debuggers_breakpoint_on_the_first_byte(when, tmp_path):
    """Set before the shim looks, the function is left alone, and that is said; set on the patch, it is hit and all is recorded."""
    debugger = build("debugger", ["debugger.c"])
    debugged = build("debugged", ["debugged.c"], str(engine("libguard_engine")), *linked())
    done = run([debugger, when, debugged], env=environment(tmp_path / "t", LD_PRELOAD=None, DEBUGGER_PRELOAD=SHIM), timeout=40)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(done.stdout.splitlines()) == ["hits 10", "result 7"]
    (trace,) = (tmp_path / "t").glob("*.tvg")
    found, missed = counts(trace), notes(trace, "found-not-catchable")
    if when == "before":
        assert missed["guard_multiply in libguard_engine.so"] == "a breakpoint is set in its first bytes"
        assert found == {60: 1}
    else:
        assert "guard_multiply in libguard_engine.so" not in missed
        assert found == {60: 1, 1: 10}
