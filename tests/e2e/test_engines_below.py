"""Engines that frameworks multiply with, played by stand-ins that have their names and their ways of being called: shapes are followed through definitions,
each part of an operator is put together, calls that are done later end then, and arguments pass through untouched."""
import pytest
from tvg_testlib import PROGRAMS, dump, run, run_under_shim, tvg_json


def build(folder, library, source, host):
    """A host linked with `source` built as `library`, which the spec tables know by its file name."""
    for command in (["cc", "-O1", "-fPIC", "-shared", "-pthread", PROGRAMS / source, "-o", folder / library],
                    ["cc", "-O1", PROGRAMS / host, "-o", folder / "host", f"-L{folder}", f"-l:{library}", f"-Wl,-rpath,{folder}"]):
        run([str(word) for word in command], check=True)
    return folder / "host"


@pytest.fixture(scope="module")
def xla(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xla")
    host = build(folder, "libjax_common.so", "fake_xla.c", "fake_xla_host.c")
    bare, shimmed = run([host], check=True), run_under_shim([host], folder)
    # addresses of the library's own memory differ between processes: what was multiplied, and what became of the callback, must not
    words = [[word for line in output.stdout.splitlines() for word in line.split() if not word.startswith("0x")] for output in (bare, shimmed)]
    assert words[0] == words[1]
    assert shimmed.stdout.splitlines()[-1] == "called 2 destroyed 2"
    return shimmed.trace, sorted(dump(shimmed.trace), key=lambda op: op["start_ns"])


def test_graphs_of_one_product(xla):
    transposed, batched, grouped = xla[1][:3]
    assert [transposed[key] for key in ("kind", "m", "n", "k", "types", "flop")] == ["gemm", 64, 128, 96, ["f32"] * 4, 2 * 64 * 128 * 96]
    assert "trans_b" in transposed["flags"] and "time_shared" not in transposed["flags"]
    assert [batched[key] for key in ("m", "n", "k", "batch", "types")] == [24, 16, 32, 12, ["i8", "i8", "i32", "i8"]]
    assert grouped["kind"] == "conv" and grouped["dims"] == [2, 8, 16, 16, 16, 3, 3, 16, 16, 4]
    assert grouped["flop"] == 2 * 2 * 16 * 16 * 16 * 3 * 3 * 2
    for op in (transposed, batched, grouped):
        assert op["duration_ns"] > 19e6 and len({op["a"], op["b"], op["c"]}) == 3


def test_graph_of_several_nodes(xla):
    unary, product, binary, reduce = xla[1][3:7]
    # [6, 8, 10] bf16: rows 1 and 3, doubled along the second dimension, as rows of 40
    assert [unary["kind"], unary["dims"], unary["bytes"]] == ["elementwise", [8, 40], 2 * 8 * 40 * 2]
    assert [product[key] for key in ("m", "n", "k", "flop")] == [8, 7, 40, 2 * 8 * 7 * 40]
    assert [binary["bytes"], reduce["kind"], reduce["dims"]] == [3 * 8 * 7 * 4, "reduce", [7]]
    parts = [unary, product, binary, reduce]
    assert all("time_shared" in op["flags"] for op in parts)
    assert 20e6 <= sum(op["duration_ns"] for op in parts) < 60e6


def test_what_cannot_be_followed_is_said(xla):
    trace, ops = xla
    assert len(ops) == 9, "three products, four nodes, two calls of Eigen: the product of an unknown operand is not guessed"
    assert "whose shape was not followed" in str(tvg_json("coverage", "--json", trace))


def test_calls_that_are_done_later(xla):
    assert len(xla[1][7:]) == 2
    for op in xla[1][7:]:
        assert [op[key] for key in ("function", "m", "n", "k", "flop")] == ["TypedMatMul", 20, 30, 40, 2 * 20 * 30 * 40]
        assert "trans_b" in op["flags"] and op["duration_ns"] > 29e6


@pytest.fixture(scope="module")
def litert(tmp_path_factory):
    folder = tmp_path_factory.mktemp("litert")
    host = build(folder, "libpywrap_litert_common.so", "fake_xnnpack.c", "fake_xnnpack_host.c")
    bare, shimmed = run([host], check=True), run_under_shim([host], folder)
    assert shimmed.stdout == bare.stdout and "DIFFERS" not in bare.stdout
    return shimmed.trace, dump(shimmed.trace)


def test_operators_put_together(litert):
    dense, image, batched = litert[1][:3]
    assert [dense[key] for key in ("function", "m", "n", "k", "types")] == ["fully_connected_nc_qs8_qc8w", 10, 96, 48, ["i8"] * 4]
    assert dense["flop"] == 2 * 10 * 96 * 48 and "trans_b" in dense["flags"]
    assert image["dims"] == [2, 8, 14, 9, 24, 3, 5, 7, 12, 4] and image["flop"] == 2 * 2 * 24 * 7 * 12 * 3 * 5 * 2
    assert [batched[key] for key in ("batch", "m", "n", "k", "flop")] == [12, 20, 40, 30, 2 * 12 * 20 * 40 * 30]
    assert [op["function"] for op in litert[1][3:6]] == [op["function"] for op in litert[1][:3]]
    assert litert[1][6]["m"] == 33, "shaped again"
    for op in litert[1][:6]:
        assert op["duration_ns"] > 1.9e6 and op["library"] == "libpywrap_litert_common.so" and len({op["a"], op["b"], op["c"]}) == 3


def test_kernels_of_its_own(litert):
    trace, ops = litert
    assert len(ops) == 8, "the deleted operator, that of two bits and the kernel whose tensors lie are not among them"
    assert [ops[7][key] for key in ("function", "m", "n", "k", "types", "flop")] == ["fully_connected", 10, 6, 8, ["f32", "i8", "f32", "i8"], 2 * 10 * 6 * 8]
    notes = str(tvg_json("coverage", "--json", trace))
    assert "fully_connected_nc_qs8_qc2w" in notes and "tensors of a kernel that don't read" in notes
