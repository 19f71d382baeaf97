"""Functions of tensors, as PyTorch has them: arguments come through unchanged, shapes become ops. With a stand-in for the library; the library itself
is tested in tests/stacks."""
import pytest
from tvg_testlib import PROGRAMS, dump, run, run_under_shim, tvg


def build(folder, *options):
    flags = ["-std=gnu11", "-O2", "-Wall", "-Werror"]
    run(["cc", *flags, "-fPIC", "-shared", *options, PROGRAMS / "fake_torch.c", "-o", folder / "libtorch_cpu.so"], check=True)
    run(["cc", *flags, *options, PROGRAMS / "fake_torch_host.c", "-o", folder / "host", f"-L{folder}", "-ltorch_cpu", f"-Wl,-rpath,{folder}"], check=True)
    return folder / "host"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return build(tmp_path_factory.mktemp("tensors"))


def brief(trace):
    return [(op["function"], op["kind"], tuple(op["types"][:3]), op["flop"], op["bytes"]) for op in dump(trace)]


PRODUCTS = [
    ("_int_mm", "gemm", ("i8", "i8", "i32"), 2 * 3 * 7 * 5, 3 * 5 + 5 * 7 + 4 * 3 * 7),
    ("bmm", "gemm", ("f32", "f32", "f32"), 2 * 2 * 3 * 7 * 5, 4 * 2 * (3 * 5 + 5 * 7 + 3 * 7)),  # by itself
    ("_int_mm", "gemm", ("f32", "f32", "f32"), 2 * 2 * 9 * 7 * 5, 4 * 2 * (9 * 5 + 5 * 7 + 9 * 7)),  # what another bmm came to: once
    # weights of 6 outputs, 4 inputs in 2 groups, 3 x 3
    ("quantized::conv2d", "conv", ("u8", "i8", "u8"), 2 * (2 * 6 * 5 * 5) * (2 * 3 * 3), 2 * 4 * 49 + 6 * 2 * 9 + 2 * 6 * 25),
    ("quantized::conv2d", "conv", ("u8", "i8", "u8"), 2 * (2 * 4 * 7 * 7) * (2 * 3 * 3), 2 * 4 * 49 + 6 * 2 * 9 + 2 * 6 * 25),
    ("quantized::conv2d", "conv", ("u8", "i8", "u8"), 0, 2 * 4 * 49 + 2 * 6 * 25)]  # its weights were never seen


def test_products(host, tmp_path):
    under = run_under_shim([host], tmp_path)
    assert (under.stdout, under.stderr) == ("good\n", "")
    assert brief(under.trace) == PRODUCTS
    assert [(op["m"], op["n"], op["k"]) for op in dump(under.trace)[:3]] == [(3, 7, 5), (3, 7, 5), (9, 7, 5)]
    assert "quantized::conv2d: its operands have shapes that are not understood" in " ".join(tvg("coverage", under.trace).stdout.split())


def test_all_operations(host, tmp_path):
    under = run_under_shim([host], tmp_path, env={"TVG_OPS": "all"})
    assert (under.stdout, under.stderr) == ("good\n", "")
    ops = brief(under.trace)
    assert [op for op in ops if op[1] in ("gemm", "conv")] == PRODUCTS
    assert [op for op in ops if op[1] not in ("gemm", "conv")] == [
        ("softmax", "softmax", ("f32", "none", "f32"), 0, 2 * 128),
        ("max_pool2d", "pool", ("f32", "none", "f32"), 0, 4 * 128 + 4 * 32 + 8 * 32),
        ("layer_norm", "norm", ("f32", "none", "f32"), 0, 2 * 128 + 4 * 8),  # it has weights, but no bias
        ("copy_", "copy", ("f32", "none", "f32"), 0, 2 * 128),
        ("copy_", "transpose", ("f32", "none", "f32"), 0, 2 * 128),
        ("copy_", "copy", ("f32", "none", "bf16"), 0, 4 * 8 + 2 * 32),  # one row, repeated
        ("softmax", "softmax", ("f32", "none", "f32"), 0, 4 * 30 + 4 * 42),  # inside what is recorded as bmm all the same
        ("softmax", "softmax", ("f32", "none", "f32"), 0, 4 * 90 + 4 * 126)]


def test_an_older_version(tmp_path):
    # no way to ask for a tensor's address, nor whether there is one: optional operands are left out
    under = run_under_shim([build(tmp_path, "-DOLDER")], tmp_path, env={"TVG_OPS": "all"})
    assert (under.stdout, under.stderr) == ("good\n", "")
    ops = brief(under.trace)
    assert [op for op in ops if op[1] in ("gemm", "conv")] == PRODUCTS
    assert ("layer_norm", "norm", ("f32", "none", "f32"), 0, 2 * 128) in ops
    assert {(op["a"], op["b"], op["c"]) for op in dump(under.trace)} == {("0x0", "0x0", "0x0")}
