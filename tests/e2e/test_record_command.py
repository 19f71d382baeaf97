"""tvg record, tvg doctor and tvg overhead, as a user meets them: exit codes, signals, summaries, stand-in machines."""
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

import trace_blocks
import tvg_testlib as testlib

BLAS = ("-lopenblas", "-pthread")


@pytest.fixture(scope="module")
def host():
    return testlib.compile_c("sources_host.c", *BLAS)


def compile_text(folder, name, text, *flags, compiler="gcc"):
    source = folder / f"{name}.c"
    source.write_text(text)
    subprocess.run([compiler, "-O1", "-g", "-o", folder / name, source, *flags], check=True)
    return folder / name


def record(*arguments, cwd, env=None, **options):
    return testlib.run([testlib.TVG, "record", *arguments], cwd=cwd, env=testlib.clean_environment(**(env or {})), **options)


def recorded_ops(folder):
    return sum(block["n"] for trace in pathlib.Path(folder).glob("*.tvg") for block in trace_blocks.of_kind(trace, trace_blocks.OPS))


# --- what is recorded, and where ---------------------------------------------------------------------------------------------


def test_records_into_the_folder_and_says_how_much(host, tmp_path):
    done = record("-o", "run", "--", host, 1500, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "3,000 ops in 1 process" in done.stderr and "tvg report run" in done.stderr
    assert recorded_ops(tmp_path / "run") == 3000
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o700
    assert testlib.tvg_json("report", tmp_path / "run", "--json")["totals"]["ops"] == 3000


def test_the_default_folder_has_the_commands_name(host, tmp_path):
    record("--", host, 1, cwd=tmp_path)
    record(host, 1, cwd=tmp_path)
    folders = [path.name for path in tmp_path.iterdir()]
    assert len(folders) == 2 and all(re.fullmatch(r"tvg-sources_host-\d{8}-\d{6}(\.\d)?", name) for name in folders), folders


BURN = """
#include <time.h>
int main(int argc, char **argv)
{
    (void)argv;
    volatile double x = 0;
    for (clock_t end = clock() + CLOCKS_PER_SEC * (argc > 1 ? 50 : 7) / 10; clock() < end;) x += 1;
    return 0;
}
"""


def without_shim(run):
    return {(note["what"], note["subject"]): note["detail"] for note in testlib.tvg_json("coverage", "--json", run)["notes"]
            if note["what"] in ("child-without-preload", "not-entered")}


def test_processes_that_ran_without_the_shim_are_named(host, tmp_path):
    """A cleared environment, a static program; and those that had the shim, or were too short to be met, are not."""
    for name, flags in {"bare": (), "static": ("-static",), "followed": (), "killed": ()}.items():
        compile_text(tmp_path, name, BURN, *flags)
    script = tmp_path / "all.sh"
    script.write_text(f"{host} 5 >/dev/null\nenv -i ./bare &\n./static &\n./followed &\n./killed long & while [ $(cut -d' ' -f14 /proc/$!/stat) -lt 50 ]; do sleep 0.1; done; kill -9 $!\nenv -i /bin/true\nwait\n")
    done = record("-o", "run", "--", "bash", script, cwd=tmp_path)
    assert done.returncode == 0
    assert without_shim(tmp_path / "run") == {
        ("child-without-preload", "bare"): "it was started with an environment without the shim in LD_PRELOAD",
        ("child-without-preload", "static"): "it is statically linked: no preload reaches it",
        ("not-entered", "killed"): "it ended by a signal or _exit before it ran an op, or can't be looked into",
    }
    assert "2 processes ran without the shim, the first: " in done.stderr
    for trace in (tmp_path / "run").glob("*.tvg"):
        assert testlib.tvg("check", trace, check=False).returncode == 0


def test_a_command_that_clears_its_environment_is_told_so(tmp_path):
    compile_text(tmp_path, "bare", BURN)
    done = record("-o", "run", "--", "env", "-i", "./bare", cwd=tmp_path)
    reason = "it was started with an environment without the shim in LD_PRELOAD"
    assert f"because {reason}" in done.stderr
    assert without_shim(tmp_path / "run") == {("not-entered", "bare"): reason}


def test_children_are_recorded_wherever_they_go(host, tmp_path):
    done = record("-o", "run", "--", "sh", "-c", f"cd /; '{host}' 10; '{host}' 20", cwd=tmp_path)
    assert len(list((tmp_path / "run").glob("*.tvg"))) == 2
    assert recorded_ops(tmp_path / "run") == 60 and "60 ops in 2 processes" in done.stderr


def test_a_percent_sign_in_the_folders_name_is_no_template(host, tmp_path):
    record("-o", "50%p", "--", host, 5, cwd=tmp_path)
    assert recorded_ops(tmp_path / "50%p") == 10


def test_options_of_the_command_are_its_own(tmp_path):
    done = record("-o", "run", "printf", "%s", "--json", cwd=tmp_path)
    assert done.stdout == "--json"


def test_sources_and_stacks_are_passed_on(host, tmp_path):
    record("-o", "run", "--sources", "papi", "--stacks", "--", host, 50, cwd=tmp_path)
    trace = next((tmp_path / "run").glob("*.tvg"))
    assert trace_blocks.of_kind(trace, trace_blocks.COUNTERS) and trace_blocks.of_kind(trace, trace_blocks.STACKS)


def test_another_preload_stays(host, tmp_path):
    other = compile_text(tmp_path, "other.so", '#include <unistd.h>\n__attribute__((constructor)) static void f(void) { write(2, "other\\n", 6); }\n', "-shared", "-fPIC")
    done = record("-o", "run", "--", host, 5, cwd=tmp_path, env={"LD_PRELOAD": other})
    assert "other\n" in done.stderr and recorded_ops(tmp_path / "run") == 10


def test_stdin_and_stdout_are_the_commands(tmp_path):
    done = record("-q", "-o", "run", "--", "cat", cwd=tmp_path, input="through\n", stdin=None)
    assert done.stdout == "through\n"


def test_an_address_sanitizer_program_runs_and_is_recorded(tmp_path):
    text = (testlib.PROGRAMS / "sources_host.c").read_text()
    program = compile_text(tmp_path, "asan", text, "-fsanitize=address", *BLAS)
    done = record("-o", "run", "--", program, 20, cwd=tmp_path, env={"ASAN_OPTIONS": "detect_leaks=0"})
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert recorded_ops(tmp_path / "run") == 40


# --- exit status and signals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 2, 42, 126, 255])
def test_the_exit_status_is_the_commands(tmp_path, code):
    assert record("-q", "--", "sh", "-c", f"exit {code}", cwd=tmp_path).returncode == code


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_death_by_a_signal_is_passed_on(tmp_path, number):
    assert record("-q", "--", "sh", "-c", f"kill -{int(number)} $$", cwd=tmp_path).returncode == -number


def test_not_found_and_not_executable(tmp_path):
    (tmp_path / "text").write_text("no program\n")
    missing, plain, folder = record("--", "no-such-command", cwd=tmp_path), record("--", "./text", cwd=tmp_path), record("--", "./", cwd=tmp_path)
    assert (missing.returncode, plain.returncode, folder.returncode) == (127, 126, 126)
    assert "no-such-command: command not found" in missing.stderr and "not executable" in plain.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["text"], "no folder is left behind"


def test_a_script_without_a_first_line_runs_by_the_shell(tmp_path):
    script = tmp_path / "script"
    script.write_text("echo $1; exit 3\n")
    script.chmod(0o755)
    done = record("-q", "--", "./script", "word", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "word\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signals_sent_to_tvg_reach_the_command_once(tmp_path, number):
    code = ("import signal, sys, time\ncount = 0\ndef f(*_):\n    global count\n    count += 1\n"
            f"signal.signal({int(number)}, f)\nprint('ready', flush=True)\ntime.sleep(1)\ntime.sleep(0.5)\nprint(count)\nsys.exit(9)\n")
    child = subprocess.Popen([testlib.TVG, "record", "-q", "--", testlib.PYTHON, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, env=testlib.clean_environment(), start_new_session=True)
    assert child.stdout.readline() == "ready\n"
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert (out, child.returncode) == ("1\n", 9)


def test_an_interrupt_at_the_terminal_reaches_the_command_once(tmp_path):
    """The terminal sends SIGINT to the whole foreground group: tvg must not send it a second time."""
    code = ("import signal, sys, time\ncount = 0\ndef f(*_):\n    global count\n    count += 1\n"
            "signal.signal(signal.SIGINT, f)\nprint('ready', flush=True)\ntime.sleep(1.5)\ntime.sleep(0.5)\nprint('count', count)\n")
    pid, terminal = os.forkpty()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(testlib.TVG, [str(testlib.TVG), "record", "-q", "--", testlib.PYTHON, "-c", code], testlib.clean_environment())
    seen = b""
    while b"ready" not in seen:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    try:
        while chunk := os.read(terminal, 1000):
            seen += chunk
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert b"count 1" in seen


# --- what was not seen -------------------------------------------------------------------------------------------------------------


def test_a_static_program_is_told(tmp_path):
    program = compile_text(tmp_path, "fixed", "int main(void) { return 4; }\n", "-static")
    done = record("-o", "run", "--", program, cwd=tmp_path)
    assert done.returncode == 4 and done.stderr.count("statically linked") == 2
    assert not (tmp_path / "run").exists()


def test_a_command_without_blas_is_told(tmp_path):
    done = record("-o", "run", "--", "true", cwd=tmp_path)
    assert done.returncode == 0 and "no operation was seen" in done.stderr and "no BLAS" in done.stderr
    assert not (tmp_path / "run").exists(), "an empty folder of ours is taken away"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a second user to own the setuid program")
def test_a_setuid_program_is_told(tmp_path):
    program = compile_text(tmp_path, "other_user", "int main(void) { return 0; }\n")
    os.chown(program, pwd.getpwnam("nobody").pw_uid, -1)
    program.chmod(0o4755)
    done = record("-o", "run", "--", program, cwd=tmp_path)
    assert done.returncode == 0 and "setuid" in done.stderr


def test_a_killed_process_is_told_and_kept(host, tmp_path):
    done = record("-o", "run", "--", "sh", "-c", f"'{host}' 3 0 no 300 & sleep 0.8; kill -9 $!; wait $! 2>/dev/null; true", cwd=tmp_path)
    assert "1 process did not end cleanly" in done.stderr
    assert re.search(r"\b[2-6] ops in 1 process", done.stderr), done.stderr


# --- bad usage ---------------------------------------------------------------------------------------------------------------------


def test_bad_usage_is_exit_2_and_says_what_to_do(host, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").write_text("")
    for arguments, words in [((), "no command"), (("-o", "full", "--", host), "not an empty folder"), (("-o", "no/such/parent", "--", host), "cannot be made"),
                             (("--output",), "needs a value"), (("--stack", "--", host), "did you mean --stacks")]:
        done = record(*arguments, cwd=tmp_path)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    done = record("--", host, cwd=tmp_path, env={"TVG_SHIM": tmp_path / "nowhere.so"})
    assert done.returncode == 2 and "TVG_SHIM" in done.stderr


def test_an_escape_sequence_in_a_name_is_shown_harmless(tmp_path):
    done = record("--", "evil\x1b[31m", cwd=tmp_path)
    assert done.returncode == 127 and "\x1b" not in done.stderr


# --- doctor -------------------------------------------------------------------------------------------------------------------------


def doctor(*arguments, env=None, **options):
    done = testlib.run([testlib.TVG, "doctor", "--json", *arguments], env=testlib.clean_environment(**(env or {})), check=True, **options)
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def powercap(root, zones, mode=0o444):
    for zone, name in zones.items():
        folder = root / "sys/class/powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "energy_uj").write_text("1\n")
        (folder / "energy_uj").chmod(mode)
    for folder in (root, *root.parents[:3]):
        if os.access(folder, os.W_OK) and folder.owner() == pwd.getpwuid(os.geteuid()).pw_name and folder != pathlib.Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o111)
    return root


def test_doctor_sees_readable_meters(tmp_path):
    root = powercap(tmp_path / "root", {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram"})
    check = doctor(env={"TVG_SYSFS_ROOT": root})["rapl"]
    assert check["status"] == "ok" and "package-0" in check["found"] and "dram" in check["found"] and "core" not in check["found"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a user whom a file's mode stops")
def test_doctor_and_the_shim_say_how_to_get_permission(host):
    """As the user nobody, with meters that only root may read: the kernel's default since 5.10."""
    folder = pathlib.Path(subprocess.run(["mktemp", "-d", "/tmp/tvg-test-XXXXXX"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        folder.chmod(0o777)
        for file in (testlib.TVG, testlib.SHIM, host):
            shutil.copy(file, folder)
            (folder / file.name).chmod(0o755)
        root = powercap(folder / "root", {"intel-rapl:0": "package-0"}, mode=0o400)
        environment = testlib.clean_environment(TVG_SYSFS_ROOT=root, TVG_OUT=folder / "trace.tvg")
        done = subprocess.run([folder / "tvg", "doctor", "--json"], env=environment, user="nobody", group="nogroup", extra_groups=[], capture_output=True, text=True, cwd="/", check=True)
        check = next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "rapl")
        assert check["status"] == "missing" and "permission denied: package-0" in check["found"]
        assert "chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in check["mend"] and "udev" in check["mend"]
        subprocess.run([folder / "sources_host", "5"], env={**environment, "LD_PRELOAD": str(folder / "libtvgshim.so")}, user="nobody", group="nogroup", extra_groups=[], cwd="/", check=True)
        refused = [detail for what, subject, detail in trace_blocks.notes(folder / "trace.tvg") if (what, subject) == ("source-refused", "rapl")]
        assert len(refused) == 1 and "permission denied" in refused[0] and "chmod a+r" in refused[0]
    finally:
        shutil.rmtree(folder)


def test_doctor_reads_limits_clock_and_governor(tmp_path):
    root = tmp_path / "root"
    for path, text in {"proc/self/cgroup": "0::/pod/box\n", "sys/fs/cgroup/pod/box/cpu.max": "50000 100000\n", "sys/fs/cgroup/pod/cpu.max": "max 100000\n",
                       "sys/fs/cgroup/pod/box/memory.max": "1073741824\n", "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet\n",
                       "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n", "proc/sys/kernel/perf_event_paranoid": "4\n"}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    checks = doctor(env={"TVG_SYSFS_ROOT": root})
    assert checks["limits"]["status"] == "limited" and "0.50 CPUs" in checks["limits"]["found"] and "1024 MiB" in checks["limits"]["found"]
    assert "OMP_NUM_THREADS=1" in checks["limits"]["mend"]
    assert checks["clock"]["status"] == "limited" and "hpet" in checks["clock"]["found"]
    assert checks["governor"]["status"] == "limited" and "powersave" in checks["governor"]["found"]
    assert "perf_event_paranoid is 4" in checks["pmu"]["found"] or checks["pmu"]["status"] == "ok"


def test_doctor_looks_into_the_command(host, tmp_path):
    checks = doctor("--", str(host))
    assert checks["shim"]["status"] == checks["preload"]["status"] == checks["blas"]["status"] == "ok"
    assert "libopenblas" in checks["blas"]["found"]
    fixed = compile_text(tmp_path, "fixed", "int main(void) { return 0; }\n", "-static")
    assert doctor("--", str(fixed))["preload"]["status"] == "missing"
    script = tmp_path / "script.py"
    script.write_text(f"#!/usr/bin/env {testlib.PYTHON}\n")
    script.chmod(0o755)
    checks = doctor("--", str(script))
    assert "a script for" in checks["command"]["found"] and checks["preload"]["status"] == "ok"
    assert checks["blas"]["status"] == "limited"
    assert doctor("--", "no-such-command")["command"]["status"] == "missing"


def test_doctor_does_not_run_the_command(tmp_path):
    script = tmp_path / "script"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    testlib.tvg("doctor", "--", script)
    assert not (tmp_path / "ran").exists()


# --- overhead -----------------------------------------------------------------------------------------------------------------------


def overhead(*arguments, check=True):
    done = testlib.run([testlib.TVG, "overhead", "--json", *arguments], check=check)
    return done.returncode, json.loads(done.stdout)


def test_overhead_of_a_command(host):
    code, result = overhead("-n", 6, "--", host, 3000)
    assert code == 0 and result["same_output"] and result["same_exit"] and result["exit"] == 0
    assert result["ops"] == 6000 and result["trace_bytes"] > 1000
    ratios = sorted(pair["with_s"] / pair["without_s"] for pair in result["pairs"])
    assert len(ratios) == result["runs"] == 6
    assert result["ratio"]["value"] == pytest.approx((ratios[2] + ratios[3]) / 2, rel=1e-5)
    # six pairs: the range, which misses the true median with probability 2 / 2^6
    assert result["ratio"]["low"] == pytest.approx(ratios[0], rel=1e-5) and result["ratio"]["high"] == pytest.approx(ratios[-1], rel=1e-5)
    assert result["ratio"]["confidence"] == pytest.approx(1 - 2 / 64)


def test_overhead_interval_is_the_narrowest_of_95_percent(tmp_path):
    _, result = overhead("-n", 12, "--", "true")
    ratios = sorted(pair["with_s"] / pair["without_s"] for pair in result["pairs"])
    # P(Binomial(12, 1/2) <= 2) = 79 / 4096
    assert result["ratio"]["confidence"] == pytest.approx(1 - 2 * 79 / 4096)
    assert (result["ratio"]["low"], result["ratio"]["high"]) == (pytest.approx(ratios[2], rel=1e-5), pytest.approx(ratios[9], rel=1e-5))


def test_overhead_sees_an_output_that_changes_under_the_shim(tmp_path):
    code, result = overhead("-n", 1, "--", "sh", "-c", "echo $LD_PRELOAD; test -z \"$LD_PRELOAD\"", check=False)
    assert code == 1 and not result["same_output"] and not result["same_exit"] and result["steady_output"]


def test_overhead_does_not_blame_an_output_that_always_varies(tmp_path):
    code, result = overhead("-n", 2, "--", "sh", "-c", "echo $$", check=False)
    assert code == 0 and not result["same_output"] and not result["steady_output"]


def test_overhead_gives_each_run_the_same_input(tmp_path):
    (tmp_path / "in").write_text("words\n")
    with open(tmp_path / "in") as stdin:
        done = testlib.run([testlib.TVG, "overhead", "--json", "-n", "2", "--", "grep", "-c", "words"], stdin=stdin)
    result = json.loads(done.stdout)
    assert result["same_output"] and result["exit"] == 0


def test_overhead_bad_usage(tmp_path):
    for arguments in (["-n", "0", "--", "true"], ["-n", "x", "--", "true"], ["-n", "2.5", "--", "true"], []):
        assert testlib.run([testlib.TVG, "overhead", *arguments]).returncode == 2
    assert testlib.run([testlib.TVG, "overhead", "--", "no-such-command"]).returncode == 127
