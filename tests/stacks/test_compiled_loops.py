"""Loops that a framework compiles for the run: nothing catches them, and tvg coverage says how much CPU time they took, and that it was them."""
import json

import pytest
from stack_lib import PROGRAMS, THREADS, clean_environment, run, stack_python, tvg, tvg_json
from tvg_testlib import TVG


def figures(python, name, folder, environment):
    done = run([TVG, "record", "-o", folder / "run", "--", python, PROGRAMS / "dark_loops.py", name], check=True, timeout=600,
               env=clean_environment(**{**THREADS, **environment}))
    loop = json.loads(done.stdout.splitlines()[-1])["loop_s"]
    return loop, tvg_json("coverage", folder / "run", "--json")["cpu"]


def seconds(cpu, kind):
    return sum(entry["dark_s"] for entry in cpu["objects"] if entry["kind"] == kind)


@pytest.mark.stack("torch")
def test_torch_compile(tmp_path):
    loop, cpu = figures(stack_python("torch", "torch", "numpy"), "torch", tmp_path, {"TORCHINDUCTOR_CACHE_DIR": tmp_path / "inductor"})
    assert seconds(cpu, "compiled_by_the_run") > 0.5 * loop
    assert cpu["dark_share"]["low"] > 0.9 and cpu["unsampled_s"] < 0.1 * cpu["seconds"]
    assert "compiled by the run: c" in tvg("coverage", tmp_path / "run").stdout


@pytest.mark.stack("jax")
def test_jax_jit(tmp_path):
    loop, cpu = figures(stack_python("jax", "jax", "numpy"), "jax", tmp_path, {"JAX_PLATFORMS": "cpu"})
    assert seconds(cpu, "made_at_run_time") > 0.25 * loop  # the rest of the loop is in libm, which its code calls
    assert "code made at run time" in tvg("coverage", tmp_path / "run").stdout
