"""What a start with the shim asks of the system. Versions of glibc's symbols: test_glibc.py."""
import re

from tvg_testlib import SHIM, run


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
