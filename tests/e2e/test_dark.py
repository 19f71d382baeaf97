"""CPU time outside recorded ops: how much, and in which objects, against hosts whose CPU time is known; runs without any op."""
import json
import os
import shutil
import subprocess

import pytest

import trace_blocks
import tvg_testlib as testlib

ONE_THREAD = {"OPENBLAS_NUM_THREADS": 1, "TVG_SOURCES": "+dark?"}  # as tvg record asks for it
SAMPLES = 13


@pytest.fixture(scope="module")
def host():
    return testlib.compile_c("dark_host.c", "-lopenblas", "-pthread", "-ldl")


@pytest.fixture(scope="module")
def spin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spin")
    (folder / "spin.c").write_text("void spin(long n) { volatile double sum = 0; for (long i = 0; i < n; i++) sum += i; }\n")
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-o", folder / "libspin.so", folder / "spin.c"], check=True)
    return folder / "libspin.so"


@pytest.fixture(scope="module")
def sampling_works(host, tmp_path_factory):
    """What a kernel refuses can't be tested there; that the refusal is said is tested everywhere."""
    run = testlib.run_under_shim([host, "blas:1"], tmp_path_factory.mktemp("probe"), env=ONE_THREAD)
    refused = [detail for what, subject, detail in trace_blocks.notes(run.trace) if (what, subject) == ("source-refused", "dark")]
    if refused:
        assert "perf_event_open" in refused[0]
        pytest.skip(f"this machine's kernel does not permit it: {refused[0]}")


def cpu(where):
    return testlib.tvg_json("coverage", where, "--json")["cpu"]


def dark(figures):
    """{(kind, name): dark seconds}"""
    return {(entry["kind"], entry["name"]): entry["dark_s"] for entry in figures["objects"] if entry["dark_s"] > 0}


# --- where CPU time goes ------------------------------------------------------------------------------------------------------


def test_ops_and_the_programs_own_loop_are_told_apart(under_shim, host, sampling_works):
    figures = cpu(under_shim([host, "blas:300", "loop:600", "blas:300"], env=ONE_THREAD).trace)
    assert figures["samples"] > 80 and figures["samples_lost"] == 0
    assert figures["in_ops_s"] == pytest.approx(0.6, rel=0.2)
    assert dark(figures)["file", "dark_host"] == pytest.approx(0.6, rel=0.2)
    assert figures["libraries"] == [{"library": "libopenblas.so.0", "seconds": figures["in_ops_s"]}]
    assert figures["dark_share"]["low"] < 0.5 < figures["dark_share"]["high"] and figures["dark_share"]["high"] - figures["dark_share"]["low"] < 0.3
    assert figures["seconds"] == pytest.approx(1.2, rel=0.2)


def test_a_new_thread_a_made_code_and_a_compiled_library_have_their_names(under_shim, host, spin, sampling_works):
    compiled = spin.parent / "torchinductor_user/ab/cabc.main.so"
    compiled.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(spin, compiled)
    run = under_shim([host, "blas:50", f"thread:800:{spin}", "jit:400", f"lib:400:{compiled}", "blas:50"], env=ONE_THREAD)
    found = dark(cpu(run.trace))
    assert found["file", "libspin.so"] == pytest.approx(0.75, rel=0.25)  # less the thread's first moments
    assert found["made_at_run_time", ""] == pytest.approx(0.4, rel=0.2)
    assert found["compiled_by_the_run", "cabc.main.so"] == pytest.approx(0.4, rel=0.2)
    text = testlib.tvg("coverage", run.trace).stdout
    assert "code made at run time" in text and "compiled by the run: cabc.main.so" in text
    assert str(spin.parent) not in repr(trace_blocks.of_kind(run.trace, SAMPLES)), "folders are not recorded"
    assert "code made at run time" in " ".join(testlib.tvg("report", run.trace).stdout.split())


def test_workers_of_the_library_are_in_its_ops(under_shim, tmp_path, sampling_works):
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two CPUs")
    code = "import numpy as np, time\na = np.ones((900, 900), np.float32)\nend = time.process_time() + 1.5\nwhile time.process_time() < end: a @ a\n"
    figures = cpu(under_shim(code, env={**ONE_THREAD, "OPENBLAS_NUM_THREADS": 2}).trace)
    assert figures["in_ops_s"] > 0.7 * figures["seconds"], "two threads' time is in ops that one thread called"


def test_a_forked_child_samples_itself(under_shim, host, sampling_works):
    run = under_shim([host, "blas:50", "fork:200"], env=ONE_THREAD)
    assert len(run.traces) == 2
    child = max(run.traces, key=lambda path: cpu(path)["seconds"])
    assert dark(cpu(child))["file", "dark_host"] == pytest.approx(0.2, rel=0.3)
    assert cpu(child)["in_ops_s"] == pytest.approx(0.2, rel=0.3)


def test_paused_time_is_not_sampled(under_shim, host, sampling_works):
    figures = cpu(under_shim([host, "blas:100", "paused:1000", "loop:200"], env=ONE_THREAD).trace)
    assert dark(figures)["file", "dark_host"] < 0.45 and figures["unsampled_s"] > 0.7


def test_no_descriptor_stays_open(under_shim, host, sampling_works):
    counts = [under_shim([host, "blas:5", "fds"], env={**ONE_THREAD, "TVG_SOURCES": sources}).stdout for sources in ("none", "dark")]
    assert counts[0] == counts[1]


def test_a_refusal_is_said_and_harms_nobody(under_shim, host):
    """A system call filter that may end processes for unknown calls is not tried unless asked for; one that refuses is said to refuse."""
    for sources, words in (("+dark?", "system call filter"), ("+dark", "perf_event_open is not permitted")):
        run = under_shim([host, "filter", "blas:20", "loop:20"], env={**ONE_THREAD, "TVG_SOURCES": sources})
        trace = max(run.traces, key=lambda path: path.stat().st_mtime_ns)
        refused = [detail for what, subject, detail in trace_blocks.notes(trace) if (what, subject) == ("source-refused", "dark")]
        assert len(refused) == 1 and words in refused[0]
        assert cpu(trace)["sampled_processes"] == 0 and cpu(trace)["dark_share"]["high"] > 0
        trace.unlink()


# --- runs without any op ------------------------------------------------------------------------------------------------------------


def record(*command, cwd, env=None, check=True):
    return testlib.run([testlib.TVG, "record", "-o", "run", "--", *command], cwd=cwd, env=testlib.clean_environment(**(env or {})), check=check)


def test_a_run_without_ops_says_that_nothing_was_seen(host, tmp_path):
    done = record(host, "loop:500", cwd=tmp_path)
    assert "0 ops in 1 process" in done.stderr and "tvg coverage run" in done.stderr
    coverage = testlib.tvg_json("coverage", tmp_path / "run", "--json")
    assert coverage["calls"] == 0 and coverage["dark"] == {"low": 1, "high": 1}
    assert 0.45 < coverage["cpu"]["seconds"] < 0.8  # the loop's own 0.5; OpenBLAS's threads take up to 0.1 to start
    text = testlib.tvg("coverage", tmp_path / "run").stdout
    assert "NO OPERATION WAS SEEN" in text and "Dark: 100 %" in text
    report = testlib.tvg("report", tmp_path / "run").stdout
    assert "NO OPERATION WAS RECORDED" in report and "This is no zero" in report
    assert "WORTH DOING" not in report and "inference" not in report.split("NO OPERATION")[0] and " 0.00 J" not in report
    assert all(len(line) <= 80 for line in (text + report).splitlines() if str(tmp_path) not in line)
    notes = testlib.tvg_json("report", tmp_path / "run", "--json")["coverage"]["notes"]
    assert "nothing-seen" in [note["what"] for note in notes]


@pytest.fixture(scope="module")
def loops(tmp_path_factory):
    """A program whose only work is a loop of its own in two threads: dynamic, and static and stripped."""
    folder = tmp_path_factory.mktemp("loops")
    (folder / "own_loop.c").write_text("""#include <pthread.h>
#include <stdlib.h>
#include <time.h>
static void *work(void *ms)
{
    struct timespec t = {0, 0};
    volatile double sum = 0;
    while ((double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6 < atof(ms)) {
        for (int i = 0; i < 300000; i++) sum += i;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    }
    return NULL;
}
int main(int count, char **argument)
{
    pthread_t thread;
    (void)count;
    pthread_create(&thread, NULL, work, argument[1]);
    work(argument[1]);
    return pthread_join(thread, NULL);
}
""")
    for name, flags in (("own_loop", ()), ("fixed_loop", ("-static", "-s"))):
        subprocess.run(["gcc", "-O1", "-o", folder / name, folder / "own_loop.c", "-pthread", *flags], check=True)
    return folder


@pytest.mark.parametrize("name", ["own_loop", "fixed_loop"])
def test_a_loop_of_the_programs_own_is_sampled_from_outside(loops, tmp_path, name, sampling_works):
    done = record(loops / name, 700, cwd=tmp_path)
    assert "tvg coverage run" in done.stderr
    figures = cpu(tmp_path / "run")
    assert figures["dark_share"] == {"low": 1, "high": 1}
    assert figures["seconds"] == pytest.approx(1.4, rel=0.25)
    assert dark(figures)["file", name] == pytest.approx(1.4 - 0.2, rel=0.3), "all but the first tenths of a second, in both threads"
    assert name in testlib.tvg("report", tmp_path / "run").stdout.split("WHERE THE CPU TIME WENT")[1]
    trace, = (tmp_path / "run").glob("*.tvg")
    assert testlib.tvg("check", trace).returncode == 0 and trace_blocks.blocks(trace)[-1][0] == 12, "END is last"
    entered = [note for note in trace_blocks.notes(trace) if note[0] == "not-entered"]
    assert (entered == []) == (name == "own_loop")
    if entered:
        assert entered[0][1] == name and "statically linked" in entered[0][2]
        assert "statically linked" in testlib.tvg("report", trace).stdout


def test_a_process_with_ops_keeps_its_own_samples(host, loops, tmp_path, sampling_works):
    """Of a run of three, the static child and the one without ops are sampled from outside, the one with ops by itself; nothing twice."""
    record("sh", "-c", f"'{loops}/fixed_loop' 300; '{loops}/own_loop' 300; '{host}' loop:300 blas:300", cwd=tmp_path, env=ONE_THREAD)
    traces = {path.name.rsplit("-", 1)[0]: cpu(path) for path in (tmp_path / "run").glob("*.tvg")}
    assert set(traces) == {"fixed_loop", "own_loop", "dark_host"}
    own = traces["dark_host"]
    assert own["in_ops_s"] == pytest.approx(0.3, rel=0.3)
    assert own["before_s"] < 0.25, "before its first op it was sampled from outside"
    assert dark(own)["file", "dark_host"] + own["before_s"] == pytest.approx(0.3, rel=0.3)
    assert own["in_ops_s"] + own["dark_s"] + own["before_s"] == pytest.approx(own["seconds"], rel=0.05), "nothing twice"
    whole = cpu(tmp_path / "run")
    assert whole["seconds"] == pytest.approx(1.8, rel=0.3) and whole["sampled_processes"] == 3
    assert whole["in_ops_s"] + whole["dark_s"] + whole["before_s"] + whole["unsampled_s"] == pytest.approx(whole["seconds"], rel=0.05)


def test_without_the_source_nothing_is_sampled_from_outside(loops, tmp_path):
    testlib.run([testlib.TVG, "record", "-o", "run", "--sources", "rapl", "--", loops / "fixed_loop", 300], cwd=tmp_path, check=True)
    assert not (tmp_path / "run").exists()


def test_short_tools_leave_nothing(tmp_path):
    record("sh", "-c", "true; ls / > /dev/null; echo | cat", cwd=tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_launcher_without_ops_comes_after_the_process_that_has_them(host, tmp_path):
    """a-launcher sorts before dark_host: the run is still that of the process that computes."""
    launcher = tmp_path / "a-launcher"
    shutil.copy(host, launcher)
    record("sh", "-c", f"'{launcher}' loop:300; '{host}' blas:300", cwd=tmp_path, env=ONE_THREAD)
    assert [path.name.rsplit("-", 1)[0] for path in sorted((tmp_path / "run").glob("*.tvg"))] == ["a-launcher", "dark_host"]
    report = testlib.tvg_json("report", tmp_path / "run", "--json")
    assert report["manifest"]["command"] == "dark_host" and report["coverage"]["processes"] == 2
    assert report["coverage"]["cpu"]["seconds"] == pytest.approx(0.6, rel=0.3)


def test_plain_preload_leaves_a_trace_without_ops_only_when_asked(under_shim, host):
    assert under_shim([host, "loop:200"]).traces == []
    assert under_shim([host, "loop:20"], env={"TVG_SOURCES": "+dark"}).traces == []
    run = under_shim([host, "loop:300"], env={"TVG_SOURCES": "+dark"})
    assert 0.27 < cpu(run.trace)["seconds"] < 0.6  # the loop's own 0.3; OpenBLAS's threads take up to 0.1 to start
    assert testlib.tvg("check", run.trace).returncode == 0


# --- which part of the run it belongs to -----------------------------------------------------------------------------------------


START_AND_END = """
import time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
import numpy as np
a = np.ones((400, 400), np.float32)
burn(0.8)
for i in range(100):
    a @ a
burn(0.5)
"""


@pytest.mark.parametrize("sources", ["none", "+dark"])
def test_cpu_time_before_and_after_the_ops_is_start_and_end(under_shim, sources, request):
    if sources == "+dark":
        request.getfixturevalue("sampling_works")
    report = testlib.tvg_json("report", under_shim(START_AND_END, env={**ONE_THREAD, "TVG_SOURCES": sources}).trace, "--json")
    phases = {phase["name"]: phase for phase in report["phases"]}
    outside = {name: phase["cpu_outside_s"] for name, phase in phases.items()}
    assert outside["start"]["low"] > 0.75 and outside["start"]["value"] < report["totals"]["cpu_s"] - 0.4
    assert outside["end"]["value"] == pytest.approx(0.5, abs=0.15)
    assert outside["steady"]["value"] + outside["warm-up"]["value"] < 0.3
    rows = json.loads((testlib.ROOT / "coeffs" / "amd-epyc-9005.json").read_text())["rows"]
    core = next(row for row in rows if row["use"] == "core_active")
    watts = core["value"], core["low"], core["high"]
    report = testlib.tvg_json("report", under_shim(START_AND_END, env={**ONE_THREAD, "TVG_SOURCES": sources}).folder, "--json", "--device", "amd-epyc-9005", "--charge", "none")
    for phase in report["phases"]:  # without floor and ops a phase's joules are its CPU seconds outside ops times a core's watts, end by end
        if phase["name"] in ("start", "end"):
            for end, each in zip(("value", "low", "high"), watts):
                assert phase["energy_j"][end] == pytest.approx(each * phase["cpu_outside_s"][end], rel=1e-6, abs=1e-9)


def test_the_rows_of_coverage_add_up(under_shim, host, sampling_works):
    run = under_shim([host, "blas:300", "loop:600", "jit:100", "blas:300"], env=ONE_THREAD)
    figures = cpu(run.trace)
    rows = sum(entry["dark_s"] for entry in figures["objects"]) + figures["in_ops_s"] + figures["before_s"] + figures["unsampled_s"]
    assert rows == pytest.approx(figures["all_s"], rel=1e-9) and figures["all_s"] >= figures["seconds"] * (1 - 1e-9)
    assert 0 < figures["chance_s"] < 0.2 * figures["all_s"]
    text = testlib.tvg("coverage", run.trace).stdout
    table = text.split("WHERE THE CPU TIME RAN")[1].split("The recorder itself")[0].splitlines()[1:]
    shares = [float(line.split()[-2]) for line in table if line.endswith("%")]
    assert len(shares) > 3 and sum(shares) == pytest.approx(100, abs=0.05 * len(shares))
