"""Virtual functions of a stripped C++ plugin, found by class and slot; its objects read by run-time type information. A library of our own that is
made like OpenVINO's plugin; the real one is in tests/stacks."""
import pytest
from tvg_testlib import PROGRAMS, TVG, clean_environment, compile_c, dump, run, run_under_shim, tvg_json


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """Gives a function: the host's command for a plugin compiled with these flags."""
    folder = tmp_path_factory.mktemp("plugin")
    program = compile_c("plugin_host.c", "-ldl")
    types = folder / "libopenvino.so.1"
    run(["g++", "-shared", "-fPIC", "-O2", "-o", types, PROGRAMS / "plugin_types.cc"], check=True)

    def command(moved=0, strange=0):
        place = folder / f"{moved}{strange}"
        place.mkdir(exist_ok=True)
        plugin = place / "libopenvino_intel_cpu_plugin.so"
        # hidden, and without unique symbols: as such plugins are built; every virtual call a virtual one
        flags = ["-fvisibility=hidden", "-fno-gnu-unique", "-fno-devirtualize", "-fno-devirtualize-speculatively", "-fcf-protection=none", "-s"]
        run(["g++", "-shared", "-fPIC", "-O2", *flags, f"-DMOVED={moved}", f"-DSTRANGE={strange}", "-o", plugin, PROGRAMS / "stripped_plugin.cc", types,
             f"-Wl,-rpath,{folder}"], check=True)
        return [program, plugin]

    return command


def results(done):
    return [line for line in done.stdout.splitlines() if line.startswith("gives")]


@pytest.mark.parametrize("operations", ["products", "all"])
def test_products_are_found(host, tmp_path, operations):
    command = host()
    bare, shimmed = run(command, env=clean_environment(), check=True), run_under_shim(command, tmp_path, env={"TVG_OPS": operations})
    assert results(bare) == results(shimmed) and results(bare)[0] == results(bare)[1], "unloaded in between"
    ops = dump(shimmed.trace)
    once = [("FullyConnected", "gemm", 24, 10, 20, 2 * 24 * 10 * 20), ("MatMul", "gemm", 6, 8, 10, 4 * 2 * 6 * 8 * 10)]
    # executing, then with open sizes, of each; the second inside another node; once more after the plugin was unloaded and loaded again
    expected = [once[0], once[0], once[1], once[1], once[1]] * 2
    assert [(op["function"], op["kind"], op["m"], op["n"], op["k"], op["flop"]) for op in ops] == expected
    assert all(op["net"] == "vtable" and op["library"] == "libopenvino_intel_cpu_plugin.so" for op in ops)
    assert [op["types"] for op in ops] == ([["f32", "f32", "f32", "f32"]] * 2 + [["f32", "bf16", "f32", "f32"]] * 3) * 2
    addresses = [line.split()[1] for line in shimmed.stdout.splitlines() if not line.startswith("gives")]
    for at in range(2):
        x, w, y, v, z = addresses[5 * at:5 * at + 5]
        assert [[op[operand] for operand in "abc"] for op in ops[5 * at:5 * at + 5]] == [[x, w, y]] * 2 + [[y, v, z]] * 3
    assert "unknown-version" not in str(tvg_json("coverage", "--json", shimmed.trace))


@pytest.mark.parametrize("how", [{"moved": 1}, {"strange": 1}])
def test_what_does_not_prove_itself_is_refused(host, tmp_path, how):
    command = host(**how)
    bare, shimmed = run(command, env=clean_environment(), check=True), run_under_shim(command, tmp_path)
    assert results(bare) == results(shimmed) and len(results(bare)) == 2
    recorded = tmp_path / "recorded"
    run([TVG, "record", "-o", recorded, "--", *command], check=True)
    assert dump(recorded) == []
    assert "unknown-version" in str(tvg_json("coverage", "--json", recorded))
