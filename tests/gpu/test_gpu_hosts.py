"""Hosts of other kinds on the card: ones that end hard, that have a profiler, no card or another user's rights; jax, cupy, C, several cards."""
import os
import shutil

import pytest

import gpu_accounting
import gpu_lib
import trace_blocks

FLUSH_NS = 200_000_000  # between two writings of the kernel records
SLACK_NS = 100_000_000  # until the thread that writes runs, on a busy machine


@pytest.fixture(scope="module")
def bert(request):
    """What torch says of the workload that these tests run."""
    return gpu_lib.truths(["bert:eager"], 120, kept=request.config.truths_file)["bert:eager"]


@pytest.mark.parametrize("end, code", [("kill", -9), ("_exit", 3)])
def test_a_process_that_ends_hard_loses_the_last_200_ms_of_kernels_at_most_and_it_is_said(end, code, tmp_path, bert):
    ran = gpu_lib.Recorded(gpu_lib.worker("bert", "--seconds", "3", "--end", end), tmp_path, check=False)
    assert ran.returncode == code
    window = gpu_accounting.window(ran.trace)
    sums = gpu_accounting.add_up(ran.trace, window)
    assert sums["last_ns"] >= ran.answer["ended_ns"] - FLUSH_NS - SLACK_NS
    launched = ran.answer["passes"] * bert["profiler"]["kernels"] / bert["profiler"]["passes"]
    assert 0 <= launched - sums["kernels"] <= launched * (FLUSH_NS + SLACK_NS) / (ran.answer["ended_ns"] - window[0])
    assert gpu_lib.report(ran.trace)["totals"]["flop"] == (ran.answer["warmup"] + ran.answer["passes"]) * bert["flop"]["a_pass"]  # host calls lose nothing
    if end == "kill":
        assert "killed" in gpu_lib.run([gpu_lib.TVG, "check", ran.trace], env=gpu_lib.clean_environment()).stdout


def test_a_profiler_that_came_first_keeps_its_records(tmp_path, bert):
    ran = gpu_lib.Recorded(gpu_lib.worker("bert", "--profiler", "before"), tmp_path)
    assert ran.answer["output"] == bert["output"]
    a_pass = bert["profiler"]["kernels"] / bert["profiler"]["passes"]
    assert ran.answer["profiler"]["kernels"] >= a_pass * (ran.answer["warmup"] + ran.answer["passes"])
    assert {what for what, subject in gpu_lib.notes(ran.trace) if subject == "cupti"} & {"source-yielded", "source-refused"}
    assert gpu_lib.report(ran.trace)["totals"]["flop"] == (ran.answer["warmup"] + ran.answer["passes"]) * bert["flop"]["a_pass"]


def test_a_process_that_sees_no_card(tmp_path):
    ran = gpu_lib.Recorded(gpu_lib.worker("bert", "--device", "cpu", "--small"), tmp_path, CUDA_VISIBLE_DEVICES="-1")
    assert not trace_blocks.kernels(ran.trace)
    assert gpu_lib.report(ran.trace)["totals"]["flop"] > 0


def test_without_the_right_to_profile(tmp_path, bert):
    """Another user: some drivers let only the administrator profile. Whether allowed or not, the program runs as ever, and a refusal is said."""
    if os.getuid() != 0:
        pytest.skip("another user's rights can be taken by the administrator only; tests/e2e/test_gpu_sources.py refuses by a stand-in")
    folder = tmp_path / "of-nobody"
    folder.mkdir()
    for path in [folder, *folder.parents]:
        if path.stat().st_uid == 0 and str(path).startswith("/tmp/"):
            path.chmod(0o777)
    user = shutil.which("setpriv")
    assert user, "setpriv (util-linux) is missing"
    programs = shutil.copytree(gpu_lib.HERE, folder / "programs", ignore=shutil.ignore_patterns("__pycache__"))  # where they lie, another user may not read
    shim = shutil.copy(gpu_lib.SHIM, folder)
    command = [user, "--reuid=65534", "--regid=65534", "--clear-groups", gpu_lib.PYTHON, programs / "worker.py", *gpu_lib.SIZES, "bert"]
    ran = gpu_lib.Recorded(command, folder, HOME=folder, LD_PRELOAD=shim, check=False)
    if ran.returncode and "Permission denied" in ran.stderr:
        pytest.skip("another user can't run this interpreter")
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.answer["output"] == bert["output"]
    assert gpu_lib.report(ran.trace)["totals"]["flop"] == (ran.answer["warmup"] + ran.answer["passes"]) * bert["flop"]["a_pass"]
    found = [what for what, subject in gpu_lib.notes(ran.trace) if subject == "cupti"]
    assert "source-on" in found and trace_blocks.kernels(ran.trace) or "source-refused" in found


def products(trace, **wanted):
    return [op for op in gpu_lib.report(trace)["ops"] if op["flop"] and all(op[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("module, program", [("jax", "jax_products.py"), ("cupy", "cupy_products.py")])
def test_other_stacks(module, program, tmp_path):
    python = gpu_lib.python_with(module)
    if not python:
        pytest.skip(f"no interpreter here has {module}")
    command = [python, gpu_lib.PROGRAMS / program]
    bare = gpu_lib.run(command, env=gpu_lib.clean_environment(), check=True, timeout=180)
    ran = gpu_lib.Recorded(command, tmp_path, timeout=180)
    assert ran.answer == {**gpu_lib.last_line(bare.stdout), "process": ran.answer["process"]}
    for wanted in ran.answer["products"]:
        found = products(ran.trace, type_a=wanted["type"], m=wanted["m"], n=wanted["n"], k=wanted["k"])
        assert sum(op["count"] for op in found) == wanted["count"], wanted
        assert sum(op["flop"] for op in found) == wanted["count"] * 2 * wanted["m"] * wanted["n"] * wanted["k"]
        assert all(op["seconds"] > 0 for op in found)


@pytest.fixture(scope="module")
def cublaslt(tmp_path_factory):
    """A C program with the CUDA runtime inside it, stripped: nothing but cuBLASLt is linked, and no name is left."""
    program = tmp_path_factory.mktemp("cublaslt") / "cublaslt_products"
    why = gpu_lib.build_cublaslt(program)
    if why:
        pytest.skip(why)
    return program


def test_a_stripped_program_on_cublaslt(cublaslt, tmp_path):
    linked = gpu_lib.run(["ldd", cublaslt], check=True).stdout
    assert "libcublasLt" in linked and "libcudart" not in linked
    ran = gpu_lib.Recorded([cublaslt], tmp_path, LD_LIBRARY_PATH=gpu_lib.toolkit())
    found = products(ran.trace, m=512, n=256, k=1024)
    assert {(op["type_a"], op["type_compute"]) for op in found} == {("f32", "tf32")}
    assert sum(op["count"] for op in found) == 50 and sum(op["flop"] for op in found) == 50 * 2 * 512 * 256 * 1024
    sums = gpu_accounting.add_up(ran.trace)
    assert sums["library_ns"] == sums["kernel_ns"] > 0


def test_collectives_of_two_cards(tmp_path):
    if len(gpu_lib.cards()) < 2:
        pytest.skip(f"{len(gpu_lib.cards())} card here: collectives need two")
    command = [gpu_lib.PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", gpu_lib.PROGRAMS / "collectives.py"]
    ran = gpu_lib.Recorded(command, tmp_path, timeout=180)
    ranks = [trace for trace in ran.traces if any(entry["fn"] == "ncclAllReduce" for entry in trace_blocks.operations(trace).values())]
    assert len(ranks) == 2
    for trace in ranks:
        found = {op["function"]: op for op in gpu_lib.report(trace)["ops"] if op["kind"] == "collective"}
        assert found["ncclAllReduce"]["count"] == 20 and found["ncclAllReduce"]["bytes"] == 20 * 2 * 4 * 2**20
        assert found["ncclAllGather"]["count"] == 20 and found["ncclAllGather"]["bytes"] == 20 * 3 * 4 * 2**18  # what a rank has, and what it gets of both
        assert all(op["seconds"] > 0 for op in found.values())
    sent = [op["count"] for trace in ranks for op in gpu_lib.report(trace)["ops"] if op["function"] in ("ncclSend", "ncclRecv")]
    assert sorted(sent) == [20, 20]
