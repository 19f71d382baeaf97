"""One build of the shim loads on every glibc from 2.17 on: no symbol of a newer version, and the libraries of before 2.34 are asked for."""
import os
import re
import subprocess

import pytest

import tvg_testlib as testlib


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="elsewhere glibc's first version is 2.17, and what 2.34 moved is bound as the build machine has it")
def test_no_symbol_is_newer_than_2_17():
    table = subprocess.run(["objdump", "-T", testlib.SHIM], capture_output=True, text=True, check=True).stdout
    wanted = re.findall(r"\*UND\*.*\(?GLIBC_(\d+)\.(\d+)[.\d]*\)?\s+(\S+)", table)
    assert len(wanted) > 30, "the table is read"
    assert not [name for major, minor, name in wanted if (int(major), int(minor)) > (2, 17)]


def test_the_libraries_that_2_34_emptied_are_needed():
    headers = subprocess.run(["objdump", "-p", testlib.SHIM], capture_output=True, text=True, check=True).stdout
    assert {"libdl.so.2", "libpthread.so.0"} <= set(re.findall(r"NEEDED\s+(\S+)", headers))
