"""The instruction-class model (FMA by width, loads, stores) against what valgrind's callgrind counts in OpenBLAS: the same sgemm in a
program that calls it once and in one that calls it three times, the difference halved, every executed instruction of the library looked
up in its disassembly. The core type is set to Haswell, so that the vectors are 256 bits wide. What the model says is read from `tvg report`
with a device file whose instructions cost 1 pJ, so that the joules are the counts.

What is reached on OpenBLAS 0.3.21, model over counted (the bounds below allow a little more):
              96^3   64x512x256  100x130x70  33x35x37
  FMA         0.990  0.996       1.001       1.065    (256-bit ones; edges are computed with narrower ones too)
  loads       0.81   0.83        0.79        0.49     (0.6 an FMA is the main loop's; packing and edges load more)
  stores      0.24   0.16        0.34        0.17     (the output once; packing the operands stores too)
  all three   0.73   0.77        0.70        0.42     of ALL instructions: addresses, branches and prefetches are in no class
So the cross-check is low: by 8 to 10 % in joules for products of 64 and more, by 28 % for a tiny one."""
import collections
import json
import re
import shutil

import pytest

from tvg_testlib import ROOT, clean_environment, compile_c, run, run_under_shim, tvg_json

LANES = 8  # fp32 in 256 bits
ENVIRONMENT = {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "1"}

# shape, then what the model may be of what callgrind saw: FMA, loads, stores, the three of all instructions, joules of the three
BOUNDS = {
    (96, 96, 96): ((0.98, 1.02), (0.75, 1), (0.15, 0.4), (0.65, 0.85), (0.87, 1)),
    (64, 512, 256): ((0.98, 1.02), (0.75, 1), (0.1, 0.4), (0.65, 0.85), (0.87, 1)),
    (100, 130, 70): ((0.98, 1.03), (0.7, 1), (0.2, 0.5), (0.6, 0.85), (0.85, 1)),
    (33, 35, 37): ((0.95, 1.1), (0.4, 1), (0.1, 0.4), (0.35, 0.85), (0.6, 1)),
}
PICOJOULES = {"fma": 257, "load": 239, "store": 206}  # those of the device files

pytestmark = pytest.mark.skipif(shutil.which("valgrind") is None or shutil.which("objdump") is None, reason="needs valgrind and objdump")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return compile_c("gemm_count.c", "-l:libopenblas.so.0")


def executed(program, folder, shape, calls):
    """{address: times executed} of the instructions of libopenblas, the library's path, and the core it ran as."""
    out = folder / f"callgrind.{calls}"
    done = run(["valgrind", "--tool=callgrind", "--dump-instr=yes", "--dump-line=no", "--compress-pos=no", "--compress-strings=no",
                f"--callgrind-out-file={out}", program, *shape, calls], env=clean_environment(**ENVIRONMENT), check=True)
    counts, library, ours, call_line = collections.Counter(), None, False, False
    for line in out.read_text().splitlines():
        if line.startswith("ob="):
            ours = "openblas" in line
            library = line[3:] if ours else library
        elif line.startswith("calls="):
            call_line = True  # the next line is the cost of the callee, not of this function
        elif line.startswith("0x"):
            if ours and not call_line:
                address, count = line.split()[:2]
                counts[int(address, 16)] += int(count)
            call_line = False
    return counts, library, done.stdout.strip()


INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*?)(\s+#.*|\s+<.*)?$")


def classify(mnemonic, operands):
    """Classes of one instruction in AT&T order (sources first): 'fma' by registers, 'load' and 'store' by its memory operand."""
    classes = set()
    if mnemonic.startswith(("vfmadd", "vfnmadd")):
        classes.add("fma")
    if "(" not in operands or mnemonic.startswith(("lea", "prefetch", "nop", "call", "jmp", "j")):
        return classes
    last = re.split(r",(?![^(]*\))", operands)[-1]
    writes_memory = "(" in last
    if not writes_memory:
        classes.add("load")
    elif mnemonic.startswith(("cmp", "test")):
        classes.add("load")
    elif mnemonic.startswith(("add", "sub", "inc", "dec", "and", "or", "xor")):
        classes |= {"load", "store"}
    else:
        classes.add("store")
    return classes


def counted(program, folder, shape):
    """What one call executes: {'fma': 256-bit FMA, 'fma_narrow': others, 'load', 'store', 'all'}."""
    once, library, core = executed(program, folder, shape, 1)
    thrice, _, _ = executed(program, folder, shape, 3)
    assert core == "Haswell", core
    per_call = {address: (thrice[address] - once[address]) / 2 for address in thrice if thrice[address] != once[address]}
    assert per_call and all(count > 0 for count in per_call.values())
    low, high = min(per_call), max(per_call) + 16
    text = run(["objdump", "-d", "--no-show-raw-insn", f"--start-address={low}", f"--stop-address={high}", library], check=True).stdout
    totals, seen = collections.Counter(all=sum(per_call.values())), 0
    for line in text.splitlines():
        found = INSTRUCTION.match(line)
        if not found or int(found[1], 16) not in per_call:
            continue
        count = per_call[int(found[1], 16)]
        seen += count
        for each in classify(found[2], found[3]):
            wide = each != "fma" or "ymm" in found[3]
            totals[each if wide else "fma_narrow"] += count
    assert seen == pytest.approx(totals["all"], rel=1e-3)  # every executed instruction was found in the disassembly
    return totals


def modelled(program, folder, shape):
    """The model's counts for one call, from the joules of a report priced with instructions of 1 pJ."""
    trace = run_under_shim([program, *shape, 1], folder, env={"OMP_NUM_THREADS": "1"}).trace
    base = json.loads((ROOT / "coeffs" / "generic-x86-64.json").read_text())
    instruction = {"fma_128", "fma_256", "fma_512", "load", "store", "other_instruction"}
    like = next(row for row in base["rows"] if row["use"] == "load")
    rest = [row for row in base["rows"] if row["use"] not in instruction]
    base["name"] = "counting"
    base.pop("generic")
    joules = {}
    for name, uses in (("fma", ["fma_256"]), ("load", ["fma_256", "load"]), ("store", ["fma_256", "store"])):
        base["rows"] = rest + [{**like, "use": use, "value": 1, "low": 1, "high": 1} for use in uses]
        path = folder / "counting.json"
        path.write_text(json.dumps(base))
        joules[name] = tvg_json("report", trace, "--device", path, "--json")["pricing"]["cross_check_j"]["value"] * 1e12
    return {"fma": joules["fma"], "load": joules["load"] - joules["fma"], "store": joules["store"] - joules["fma"]}


@pytest.mark.parametrize("shape", BOUNDS, ids=lambda shape: "x".join(map(str, shape)))
def test_counts_of_a_gemm(program, tmp_path, shape):
    m, n, k = shape
    real, model = counted(program, tmp_path, shape), modelled(program, tmp_path, shape)
    assert model["fma"] == pytest.approx(m * n * k / LANES, rel=1e-6)  # FLOP / 2 / lanes
    assert model["store"] == pytest.approx(m * n / LANES, rel=1e-6)
    joules = [sum(counts[each] * PICOJOULES[each] for each in PICOJOULES) for counts in (model, real)]
    reached = {"fma": model["fma"] / real["fma"], "load": model["load"] / real["load"], "store": model["store"] / real["store"],
               "all": sum(model.values()) / real["all"], "joules": joules[0] / joules[1]}
    print(shape, {key: round(value, 3) for key, value in reached.items()})
    for (low, high), (name, value) in zip(BOUNDS[shape], reached.items(), strict=True):
        assert low <= value <= high, (name, reached, dict(real), model)
