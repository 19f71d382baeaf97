"""Places and hosts that don't want a trace: the host's output and exit code stay as without the shim, no op is lost in silence."""
import os
import re
import subprocess

import pytest
from guardlib import build, counts, environment, linked
from tvg_testlib import clean_environment, run, tvg


def hostile():
    return build("hostile", ["hostile.c"], *linked())


def run_host(scenario, env, **options):
    """Runs a scenario with and without the shim; output and exit code must agree. Returns the number of ops."""
    done = run([hostile(), scenario], env=env, **options)
    bare = run([hostile(), scenario], env={key: value for key, value in env.items() if key != "LD_PRELOAD"}, **options)
    assert (done.returncode, done.stdout, done.stderr) == (bare.returncode, bare.stdout, bare.stderr)
    assert done.returncode == 0
    return int(done.stdout)


def check_losses(trace, made):
    """What is in the trace and what it says it lost are together what was made."""
    checked = tvg("check", trace, check=False)
    said = re.search(r"(\d+) ops were lost", checked.stdout)
    assert checked.returncode == 2 and said, checked.stdout
    assert sum(counts(trace, kept=False).values()) + int(said.group(1)) == made


def unprivileged(tmp_path):
    """Options that run a command as nobody, whom permissions bind; and make the way to it open."""
    if os.getuid() != 0:
        return {}
    for folder in [tmp_path, *tmp_path.parents]:
        if str(folder).startswith("/tmp/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    return {"user": 65534, "group": 65534, "extra_groups": []}


def test_unwritable_folder(tmp_path):
    """The trace moves to a private folder under $TMPDIR and says where it was wanted."""
    wanted, temporary = tmp_path / "wanted", tmp_path / "temporary"
    wanted.mkdir(mode=0o555)
    temporary.mkdir()
    temporary.chmod(0o777)
    made = run_host("plain", environment(wanted, TMPDIR=temporary), **unprivileged(tmp_path))
    assert list(wanted.iterdir()) == []
    folder, = temporary.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    trace, = folder.glob("*.tvg")
    assert trace.stat().st_mode & 0o777 == 0o600
    assert sum(counts(trace).values()) == made
    assert str(wanted).encode() in trace.read_bytes()


def test_nowhere_to_write(tmp_path):
    """Neither there nor under $TMPDIR: the host runs all the same."""
    folder = tmp_path / "no"
    folder.mkdir(mode=0o555)
    run_host("plain", environment(folder, TMPDIR=folder), **unprivileged(tmp_path))
    assert list(folder.iterdir()) == []


def test_squatted_private_folder(tmp_path):
    """A folder of that name which others may write to, or a link, is not used."""
    wanted, temporary, elsewhere = tmp_path / "wanted", tmp_path / "temporary", tmp_path / "elsewhere"
    for folder in (temporary, elsewhere):
        folder.mkdir()
        folder.chmod(0o777)
    wanted.mkdir(mode=0o555)
    options = unprivileged(tmp_path)
    (temporary / f"tvg-{options.get('user', os.getuid())}").symlink_to(elsewhere)
    run_host("plain", environment(wanted, TMPDIR=temporary), **options)
    assert list(elsewhere.iterdir()) == [] and list(wanted.iterdir()) == []


def mounted(tmp_path, size):
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    return folder


def test_full_disk(tmp_path):
    """1 MiB for a trace of over 2: no SIGBUS; what is whole is read, and what is lost is counted, to the op."""
    folder = mounted(tmp_path, "1m")
    try:
        env = environment(folder, TMPDIR=tmp_path)
        done = run([hostile(), "much"], env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "200000\n", "")
        trace = next(iter(folder.glob("*.tvg")))
        assert 1000 < sum(counts(trace, kept=False).values()) < 200000
        check_losses(trace, 200000)
    finally:
        subprocess.run(["umount", folder], check=True)


def test_disk_full_from_the_start(tmp_path):
    """No room for the header: the trace goes to $TMPDIR."""
    folder = mounted(tmp_path, "16k")
    try:
        with open(folder / "filler", "wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        env = environment(folder, TMPDIR=tmp_path)
        done = run([hostile(), "plain"], env=env)
        assert (done.returncode, done.stdout, done.stderr) == (0, "10000\n", "")
        trace, = tmp_path.glob("tvg-*/*.tvg")
        assert sum(counts(trace).values()) == 10000
        assert [path.name for path in folder.iterdir()] == ["filler"]
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("scenario", ["size_limit", "late_size_limit"])
def test_file_size_limit(scenario, tmp_path):
    """No SIGXFSZ reaches the host for the recorder's growth; the host's own growth is refused as ever."""
    env = environment(tmp_path / "t", HOSTILE_FILE=tmp_path / "own", TMPDIR=tmp_path)
    done = run([hostile(), scenario], env=env)
    assert (done.returncode, done.stderr) == (0, "")
    trace, = [*tmp_path.glob("t/*.tvg"), *tmp_path.glob("tvg-*/*.tvg")]
    assert trace.stat().st_size <= 65536
    check_losses(trace, int(done.stdout))


def test_existing_name(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "x.tvg").write_text("mine")
    env = clean_environment(LD_PRELOAD=environment(folder)["LD_PRELOAD"], TVG_OUT=folder / "x.tvg")
    for name in ("x.2.tvg", "x.3.tvg"):
        done = run([hostile(), "plain"], env=env)
        assert done.returncode == 0
        assert sum(counts(folder / name).values()) == 10000
    assert (folder / "x.tvg").read_text() == "mine"


@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_linked_name(target, tmp_path):
    """A link under the trace's name, dangling or not, is not followed."""
    folder = tmp_path / "t"
    folder.mkdir()
    (tmp_path / "there").write_text("mine")
    (folder / "x.tvg").symlink_to(tmp_path / target)
    run_host("plain", clean_environment(LD_PRELOAD=environment(folder)["LD_PRELOAD"], TVG_OUT=folder / "x.tvg"))
    assert (tmp_path / "there").read_text() == "mine" and not (tmp_path / "nowhere").exists()
    assert sum(counts(folder / "x.2.tvg").values()) == 10000


def test_template(tmp_path):
    """%c %p %h %t %% are filled in; an unknown sign stays; a percent sign in the folder's own name is no template."""
    folder = tmp_path / "100%p"
    folder.mkdir()
    env = clean_environment(LD_PRELOAD=environment(tmp_path / "t")["LD_PRELOAD"], TVG_OUT="%c_%p_%h_%t_%%_%z.tvg")
    process = subprocess.Popen([hostile(), "plain"], env=env, cwd=folder, stdout=subprocess.DEVNULL)
    process.wait()
    trace, = folder.glob("*.tvg")
    assert re.fullmatch(rf"hostile_{process.pid}_{re.escape(os.uname().nodename)}_\d{{10}}_%_%z\.tvg", trace.name)


def test_closed_descriptors(tmp_path):
    made = run_host("closes_all", environment(tmp_path / "t", HOSTILE_FILE=tmp_path / "own"))
    trace, = (tmp_path / "t").glob("*.tvg")
    assert sum(counts(trace).values()) == made
    assert (tmp_path / "own").stat().st_size == 0


def test_trace_removed_while_running(tmp_path):
    """Its file unlinked by the host: nothing to show, nothing hurt, and no file appears in its place."""
    env = environment(tmp_path / "t", TVG_OUT=tmp_path / "t" / "x.tvg", HOSTILE_FILE=tmp_path / "t" / "x.tvg")
    run_host("removed", env)
    assert not (tmp_path / "t" / "x.tvg").exists()


def test_seccomp(tmp_path):
    """A filter that kills unusual system calls, set after the first op."""
    done = run([hostile(), "filtered"], env=environment(tmp_path / "t"))
    if done.returncode == 77:
        pytest.skip("no seccomp filter can be set here")
    assert (done.returncode, done.stdout) == (0, "50010\n")
    trace, = (tmp_path / "t").glob("*.tvg")
    assert sum(counts(trace).values()) == 50010


def test_no_descriptors_left(tmp_path):
    """A limit of 8 descriptors: none above 512 to be had."""
    done = run(["bash", "-c", f"ulimit -n 8; exec {hostile()} plain"], env=environment(tmp_path / "t"))
    assert (done.returncode, done.stdout) == (0, "10000\n")
    traces = list((tmp_path / "t").glob("hostile*.tvg"))
    assert len(traces) == 1 and sum(counts(traces[0]).values()) == 10000
