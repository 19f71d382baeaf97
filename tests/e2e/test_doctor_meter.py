"""tvg doctor --meter against stand-ins of the driver's libraries: a counter that integrates, and one that looks at a quarter of each tick."""
import json
import subprocess

import pytest

from tvg_testlib import PROGRAMS, TVG, run


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("driver")
    for name, more in (("libnvidia-ml.so.1", []), ("libcuda.so.1", ["-DCUDA", f"{folder}/libnvidia-ml.so.1"])):
        subprocess.run(["gcc", "-O1", "-shared", "-fPIC", f"-Wl,-soname,{name}", str(PROGRAMS / "fake_meter.c"), "-o", str(folder / name), *more], check=True)
    return folder


def meters(driver, **environment):
    done = run([TVG, "doctor", "--meter", "--json"], env={"LD_LIBRARY_PATH": driver, "FAKE_METER_TICK": "24", **environment}, check=True)
    return json.loads(done.stdout)["checks"]


def figures(text):
    """watts at the four phases, and how far apart they are in percent"""
    return [float(word) for word in text.split("tick: ")[1].split(" W")[0].split(", ")], float(text.split("): ")[1].split(" %")[0])


def test_a_counter_that_integrates_passes(driver):
    (check,) = meters(driver)
    assert check["status"] == "ok" and "Made Up 9000" in check["found"] and float(check["found"].split("every ")[1].split()[0]) == pytest.approx(24, abs=3)
    watts, apart = figures(check["found"])
    assert watts == pytest.approx([300] * 4, rel=0.05) and apart < 5
    assert float(check["found"].split(" W awake")[0].split()[-1]) == pytest.approx(100, rel=0.03)


def test_a_counter_that_looks_at_a_part_of_each_tick_is_found_out(driver):
    (check,) = meters(driver, FAKE_METER_PART="1")
    watts, apart = figures(check["found"])
    assert check["status"] == "limited" and "depends on when the work runs" in check["found"] and check["mend"]
    assert apart > 100 and max(watts) > 2 * 300  # most of it when the burst lies where the counter looks, nothing elsewhere


def test_what_is_missing_is_said(driver, tmp_path):
    (check,) = meters(driver, FAKE_METER_NO_CARD="1")
    assert check["status"] == "missing" and "no card" in check["found"]
    (check,) = meters(tmp_path)
    assert check["status"] == "missing" and "libcuda.so.1" in check["found"]
    done = run([TVG, "doctor", "--meter", "ls"])
    assert done.returncode == 2 and "no command" in done.stderr
