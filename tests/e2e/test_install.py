"""make install: what it lays down works where it lies, wherever that is moved to, and make uninstall leaves nothing."""
import json
import shutil

import pytest
from tvg_testlib import BUILD, PYTHON, ROOT, clean_environment, run

HOST = "import numpy; a = numpy.ones((64, 48), numpy.float32); print((a @ a.T[:, :32]).sum())"


def make(target, folder):
    environment = {key: value for key, value in clean_environment().items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return run(["make", "-C", ROOT, target, f"BUILD={BUILD}", f"DESTDIR={folder}", "PREFIX=/usr"], env=environment, check=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The tree that make install lays down, moved elsewhere since: nothing in it may rely on the path it was installed to."""
    folder = tmp_path_factory.mktemp("install")
    make("install", folder / "staged")
    shutil.move(folder / "staged" / "usr", folder / "moved")
    return folder / "moved"


def test_installed_files(installed):
    files = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {"bin/tvg", "lib/libtvgshim.so"} <= files
    coefficients = {path.name for path in (ROOT / "coeffs").glob("*.json")}
    assert coefficients and {f"share/tvg/coeffs/{name}" for name in coefficients} <= files
    assert "share/man/man1/tvg.1" in files
    assert {f"share/tvg/runners/{path.name}" for path in (ROOT / "runners").glob("*.py")} <= files and "share/tvg/runners/runner.py" in files


def test_installed_record_finds_its_shim(installed, tmp_path):
    done = run([installed / "bin/tvg", "record", "-o", tmp_path / "run", "--", PYTHON, "-c", HOST], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "98304.0\n"
    report = json.loads(run([installed / "bin/tvg", "report", tmp_path / "run", "--json"], cwd=tmp_path, check=True).stdout)
    assert report["totals"]["ops"] == 1 and report["totals"]["flop"] == 2 * 64 * 32 * 48


def test_installed_coeffs_are_found(installed, tmp_path):
    here = run([installed / "bin/tvg", "coeffs", "list"], cwd=tmp_path, check=True).stdout
    for path in (ROOT / "coeffs").glob("*.json"):
        if "schema" not in path.name:
            assert path.stem in here


def test_uninstall_leaves_no_file(tmp_path):
    make("install", tmp_path)
    make("uninstall", tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
