"""What `make test-gpu`, `make bench-gpu` and `make fixtures-gpu` are made of, as far as it goes without a card and without torch."""
import json
import sys
import tarfile

import pytest

import gpu_accounting
import test_gpu_sync
import trace_blocks
from test_gpu_sources import stand_ins  # noqa: F401  (the fixture)
from test_gpu_sync import host  # noqa: F401  (the fixture)
from tvg_testlib import BUILD, ROOT, run, run_under_shim

sys.path.insert(0, str(ROOT / "tests" / "gpu"))
import profiler_trace  # noqa: E402


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """The tar for a machine with a card, made and unpacked."""
    said = run(["make", "-s", "-C", ROOT, "gpu-bundle", f"BUILD={BUILD}"], check=True)
    tar = BUILD / "tvg-gpu.tar.gz"
    assert str(tar) in said.stdout and tar.stat().st_size < 40_000_000
    folder = tmp_path_factory.mktemp("bundle")
    with tarfile.open(tar) as packed:
        packed.extractall(folder, filter="data")
    return folder / "tvg-gpu"


def test_the_bundles_analyzer_brings_its_libraries(bundle):
    needed = run(["readelf", "-d", bundle / "build" / "tvg"], check=True).stdout
    assert not [name for name in ("libjansson", "libmsgpackc", "liblz4") if name in needed]
    assert run([bundle / "build" / "tvg", "check", ROOT / "tests" / "fixtures" / "gpu" / "cupy-h100.tvg"], check=True)


@pytest.mark.parametrize("part", ["fixtures", "bench", "test"])
def test_without_a_card_each_part_says_what_is_missing_and_fails(bundle, part, tmp_path):
    done = run([bundle / "run.sh", part, "--python", sys.executable, "--out", tmp_path, "--seconds", "120"])
    assert done.returncode == 3
    assert "can't run here" in done.stdout + done.stderr and "NVIDIA card" in done.stdout + done.stderr and "torch" in done.stdout + done.stderr
    assert f"{part}: exit 3" in (tmp_path / "summary.txt").read_text()


def test_a_part_that_does_not_exist(bundle, tmp_path):
    done = run([bundle / "run.sh", "else", "--out", tmp_path])
    assert done.returncode == 2 and "fixtures" in done.stdout


def operator(name, begin, end, number, thread=1):
    return {"cat": "cpu_op", "name": name, "ts": begin, "dur": end - begin, "tid": thread, "args": {"External id": number}}


def kernel(name, microseconds, number):
    return {"cat": "kernel", "name": name, "ts": 0, "dur": microseconds, "args": {"External id": number, "correlation": number}}


def test_what_torch_profiler_says_of_library_calls():
    events = [
        operator("aten::linear", 0, 100, 1), operator("aten::addmm", 10, 90, 2), operator("aten::expand", 20, 30, 3),
        kernel("gemm", 40, 2), kernel("void at::native::copy", 3, 2), kernel("splitKreduce", 2, 3),  # launched below an operator inside addmm: the library's
        operator("aten::add", 100, 120, 4), kernel("void at::native::add", 10, 4),
        operator("aten::addmm", 0, 1000, 5, thread=2), operator("aten::mul", 500, 510, 6), kernel("other", 5, 6),  # another thread's operator does not hold it
        operator("aten::_scaled_dot_product_efficient_attention", 600, 700, 7), operator("aten::_efficient_attention_forward", 610, 650, 8), kernel("fmha", 30, 7),
        {"cat": "gpu_memcpy", "name": "copy", "ts": 0, "dur": 7, "args": {}}, {"cat": "gpu_user_annotation", "name": "step", "ts": 0, "dur": 500, "args": {}}]
    found = profiler_trace.add_up(events, operators=True)
    assert (found["kernels"], found["kernel_ns"], found["copies"]) == (6, 90_000, 1)
    assert found["library_share"] == pytest.approx((40 + 2 + 30) / 90)
    assert "library_share" not in profiler_trace.add_up(events, operators=False)


def test_rows_of_a_stand_in_are_added_up(stand_ins, tmp_path):  # noqa: F811
    """The stand-in's host: 20 products of two kernels (320 us in sum) and 20 kernels of its own (5 us); then five replays of a graph of five kernels, 50 us each."""
    trace = run_under_shim([stand_ins / "host", "graph"], tmp_path, env={"LD_LIBRARY_PATH": stand_ins}).trace
    found = gpu_accounting.add_up(trace)
    assert (found["kernels"], found["replayed"], found["copies"]) == (20 * 3 + 5 * 5, 25, 0)
    assert found["kernel_ns"] == 20 * 325_000 + 25 * 50_000
    assert found["library_ns"] == 20 * 320_000 + 20 * 50_000
    assert found["launched_ns"] == found["kernel_ns"]
    assert gpu_accounting.window(trace) is None
    first = trace_blocks.kernels(trace)[0]["launch"]
    assert gpu_accounting.add_up(trace, (first, first))["kernels"] == 1


def test_waits_are_read_as_the_analyzer_reads_them(host, tmp_path):  # noqa: F811
    trace = test_gpu_sync.record(host, tmp_path, "rules").trace
    kinds = ["", "stream", "event", "context", "copy", "free", "record", "stream-wait"]
    found = [(kinds[row["kind"]], row["tid"], row["duration"], row["event"]) for row in trace_blocks.waits(trace)]
    assert found == [(row["kind"], row["thread"], row["duration_ns"], row.get("event", 0)) for row in test_gpu_sync.rows(trace)] and len(found) > 10


def test_a_trace_without_waits_says_so():
    assert trace_blocks.waits(ROOT / "tests" / "fixtures" / "gpu" / "cupy-h100.tvg") is None


def test_the_independent_lz4_reader():
    literal = bytes([0x40]) + b"abcd"
    assert trace_blocks._lz4(literal, 4) == b"abcd"
    overlapping = bytes([0x1F]) + b"x" + bytes([1, 0, 6]) + bytes([0x10]) + b"y"  # one literal, 15 + 6 + 4 more of it, one literal
    assert trace_blocks._lz4(overlapping, 27) == b"x" * 26 + b"y"


def test_every_fixture_that_is_recorded_is_described():
    names = json.loads(run([sys.executable, "-c", f"import sys, json; sys.path.insert(0, {str(ROOT / 'tests' / 'gpu')!r}); import record; "
                            "print(json.dumps([[*record.MODELS], [*record.PROGRAMS]]))"], check=True).stdout)
    models, programs = names
    assert {f"llama-{kind}-b{batch}-{way}" for kind in ("fp32", "tf32", "bf16") for batch in (1, 32) for way in ("eager", "graph", "compile")} <= set(models)
    assert {"resnet50-fp32", "vit-fp16", "bert-padded", "fp8-layers", "int8-layers"} <= set(models)
    assert set(programs) == {"cupy-products", "jax-products", "cublaslt-products"}
