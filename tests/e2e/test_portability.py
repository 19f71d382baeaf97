"""What a start with the shim asks of the system. Versions of glibc's symbols: test_glibc.py."""
import importlib.util
import json
import re

from tvg_testlib import ROOT, SHIM, TVG, clean_environment, run


def test_needs_no_library_but_those_of_glibc():
    dynamic = run(["readelf", "--dynamic", "--wide", SHIM], check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
    assert "libc.so.6" in needed
    assert needed <= {"libc.so.6", "libdl.so.2", "libpthread.so.0", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}


def test_start_costs_few_relocations():
    """Each is done anew in every process. The decoder's tables of processors other than x86 would be 75 000 more."""
    sections = run(["readelf", "--sections", "--wide", SHIM], check=True).stdout
    size = int(re.search(r"\.rela\.dyn\s+RELA\s+\S+\s+\S+\s+([0-9a-f]+)", sections)[1], 16)
    assert 0 < size // 24 < 30000


def test_host_of_the_cross_check(tmp_path):
    """What `make cross-aarch64` runs by qemu, on this processor: by symbol, by dlsym, and names of BLAS that are not BLAS."""
    cross = ROOT / "tests/cross"
    run(["gcc", "-O1", "-fPIC", "-shared", "-o", tmp_path / "libcrossblas.so", cross / "blas.c"], check=True)
    run(["gcc", "-O1", "-rdynamic", "-o", tmp_path / "host", cross / "host.c", f"-L{tmp_path}", "-lcrossblas", "-ldl", f"-Wl,-rpath,{tmp_path}"], check=True)
    plain = run([tmp_path / "host"], check=True).stdout
    assert plain == "own 42, the library's 4321\ncalls 3, c 74\n"
    recorded = run([tmp_path / "host"], env=clean_environment(LD_PRELOAD=SHIM, TVG_OUT=tmp_path / "host.tvg"), check=True).stdout
    assert recorded == plain
    spec = importlib.util.spec_from_file_location("expect", cross / "expect.py")
    expect = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(expect)
    assert expect.differences(json.loads(run([TVG, "ops", "--json", tmp_path / "host.tvg"], check=True).stdout)) == []
