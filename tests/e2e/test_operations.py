"""TVG_OPS: what is no matrix product is stood in for only when it is asked for, by whichever net."""
import subprocess

import pytest
from tvg_testlib import BUILD, PROGRAMS, ROOT, TVG, clean_environment, dump, run, run_under_shim, tvg

SPEC = """
numbers 60000
hook beyond_by_symbol tvg_hook_beyond +all
hook always_by_symbol tvg_hook_beyond
libraries libbeyond.so
inline beyond_inline tvg_hook_beyond +all
inline always_inline tvg_hook_beyond
"""
LIBRARY = """
#include <stdio.h>
#define FUNCTION(name) __attribute__((noinline)) int name(int value) { return printf("%s computes\\n", #name) * 0 + value + 1; }
FUNCTION(beyond_by_symbol) FUNCTION(always_by_symbol) FUNCTION(beyond_inline) FUNCTION(always_inline)
"""
HOST = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
int beyond_by_symbol(int), always_by_symbol(int), beyond_inline(int), always_inline(int);
int main(void)
{
    int sum = beyond_by_symbol(1) + always_by_symbol(2) + beyond_inline(3) + always_inline(4);
    int (*found)(int) = (int (*)(int))dlsym(dlopen("libbeyond.so", RTLD_NOW), "beyond_by_symbol");
    printf("%d\\n", sum + found(5));
}
"""


def specgen(spec, folder, check=True):
    path = folder / "own.spec"
    path.write_text(spec)
    return subprocess.run([BUILD / "specgen", path], text=True, capture_output=True, check=check)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A shim that stands in for the names of SPEC too, and a host that calls them."""
    folder = tmp_path_factory.mktemp("operations")
    (folder / "own.c").write_text(specgen(SPEC, folder).stdout)
    (folder / "library.c").write_text(LIBRARY)
    (folder / "host.c").write_text(HOST)
    objects = sorted((BUILD / "shim-obj").rglob("*.o"))
    link = ["-Wl,-z,initfirst", "-Wl,--exclude-libs,ALL", "-Wl,-Bstatic", "-lmsgpackc", "-llz4", "-lcapstone", "-Wl,-Bdynamic", "-ldl", "-lpthread"]
    for command in (["cc", "-std=gnu11", "-O1", "-fPIC", "-fvisibility=hidden", "-shared", f"-I{ROOT}", folder / "own.c", PROGRAMS / "beyond_hooks.c", *objects,
                     "-o", folder / "libshim.so", *link],
                    ["cc", "-O1", "-fPIC", "-shared", folder / "library.c", "-o", folder / "libbeyond.so"],
                    ["cc", folder / "host.c", "-o", folder / "host", f"-L{folder}", "-lbeyond", f"-Wl,-rpath,{folder}", "-ldl"]):
        run([str(word) for word in command], check=True)
    return folder


@pytest.mark.parametrize("setting", [None, "products", "all"])
def test_beyond_products_only_on_request(build, setting):
    bare = run([build / "host"], check=True).stdout.splitlines()
    seen = run([build / "host"], env=clean_environment(LD_PRELOAD=build / "libshim.so", TVG_OPS=setting), check=True).stdout.splitlines()
    assert [line for line in seen if not line.endswith(" seen")] == bare
    always = ["always_by_symbol", "always_inline"]
    beyond = ["beyond_by_symbol", "beyond_inline", "beyond_by_symbol"] if setting == "all" else []
    assert sorted(line.split()[0] for line in seen if line.endswith(" seen")) == sorted(always + beyond)


def test_an_option_that_is_none(tmp_path):
    done = specgen("hook name body +everything\n", tmp_path, check=False)
    assert done.returncode == 1 and "own.spec:1: no such option: +everything" in done.stderr


def test_record_passes_the_choice_on(tmp_path):
    show = ["sh", "-c", "echo $TVG_OPS"]
    assert tvg("record", "-q", "--ops", "all", "-o", tmp_path / "a", "--", *show).stdout.strip() == "all"
    assert tvg("record", "-q", "-o", tmp_path / "b", "--", *show).stdout.strip() == ""
    refused = run([TVG, "record", "--ops", "some", "-o", tmp_path / "c", "--", *show])
    assert refused.returncode == 2 and '--ops takes "products" or "all"' in refused.stderr and not (tmp_path / "c").exists()


def test_an_unknown_setting_is_said(tmp_path):
    run_ = run_under_shim("import numpy; numpy.ones((9, 9)) @ numpy.ones((9, 9))", tmp_path, env={"TVG_OPS": "everything"})
    assert len(dump(run_.trace)) == 1
    assert "TVG_OPS: neither \"products\" nor \"all\"" in tvg("coverage", run_.trace).stdout
