"""Which function a call goes on to: always the one that it reaches without the shim. Each case runs with and without and compares; and says
what must be in the trace."""
import pytest
import tvg_testlib

PROVIDER = """
#include <stdio.h>
void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k, const float *al, const float *a, const int *lda,
            const float *b, const int *ldb, const float *be, float *c, const int *ldc) { printf("ID fortran m=%d\\n", *m); }
void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float al, const float *a, int lda, const float *b, int ldb, float be, float *c, int ldc)
{ printf("ID m=%d\\n", m); INSIDE }
"""
NESTED = 'sgemm_("N", "N", &m, &n, &k, &al, a, &lda, b, &ldb, &be, c, &ldc);'
PLUGIN = """
void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float al, const float *a, int lda, const float *b, int ldb, float be, float *c, int ldc);
static float x[64];
void run(void) { cblas_sgemm(102, 111, 111, M, 2, 2, 1, x, M, x, 2, 0, x, M); }
"""
INTERPOSER = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
typedef void gemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
void cblas_sgemm(int o, int ta, int tb, int m, int n, int k, float al, const float *a, int lda, const float *b, int ldb, float be, float *c, int ldc)
{ printf("ID before\\n"); ((gemm *)dlsym(RTLD_NEXT, "cblas_sgemm"))(o, ta, tb, m, n, k, al, a, lda, b, ldb, be, c, ldc); printf("ID after\\n"); }
"""


class Shop:
    def __init__(self, folder):
        self.folder = folder
        self.opener = tvg_testlib.compile_c("opener.c", "-ldl")

    def library(self, name, source, *needs, flags=()):
        path, code = self.folder / f"lib{name}.so", self.folder / f"{name}.c"
        code.write_text(source.replace("ID", name))
        tvg_testlib.run(["gcc", "-O1", "-w", "-shared", "-fPIC", *flags, "-o", path, code, f"-Wl,-soname,lib{name}.so", "-Wl,--no-as-needed", *needs,
                         f"-Wl,-rpath,{self.folder}", "-ldl"], check=True)
        return path

    def provider(self, name, nested=False, flags=()):
        return self.library(name, PROVIDER.replace("INSIDE", NESTED if nested else ""), flags=flags)

    def plugin(self, name, *needs, m=2):
        return self.library(name, PLUGIN.replace("M", str(m)), *needs)

    def compare(self, *commands, preload="{shim}", program=None):
        """Output without the shim must be that with it. Returns (output, ops, coverage notes as text)."""
        program = program or self.opener
        others = preload.replace("{shim}", "").split()
        plain = tvg_testlib.run([program, *commands], env=tvg_testlib.clean_environment(LD_PRELOAD=" ".join(others) or None))
        run = tvg_testlib.run_under_shim([program, *commands], self.folder, env={"LD_PRELOAD": preload.format(shim=tvg_testlib.SHIM)}, check=False)
        assert (run.returncode, run.stdout) == (plain.returncode, plain.stdout)
        assert run.stderr == plain.stderr
        ops = [op for trace in run.traces for op in tvg_testlib.dump(trace)]
        notes = "".join(tvg_testlib.tvg("dump", "--blocks", trace).stdout for trace in run.traces)
        return run.stdout, ops, notes


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def libraries(ops):
    return [op["library"] for op in ops]


def test_two_local_providers_give_each_caller_its_own(shop):
    one = shop.plugin("one", shop.provider("blas1"))
    two = shop.plugin("two", shop.provider("blas2"))
    output, ops, _ = shop.compare(f"open={one}", f"open={two}", "run=0", "run=1", "run=0", "run=1")
    assert output == "blas1 m=2\nblas2 m=2\nblas1 m=2\nblas2 m=2\n"
    assert libraries(ops) == ["libblas1.so", "libblas2.so"] * 2
    assert [op["caller"] for op in ops] == ["libone.so", "libtwo.so"] * 2


def test_a_global_provider_comes_before_the_callers_own(shop):
    one = shop.plugin("one", shop.provider("blas1"))
    output, ops, _ = shop.compare(f"global={shop.provider('blas2')}", f"open={one}", "run=1")
    assert output == "blas2 m=2\n" and libraries(ops) == ["libblas2.so"]


def test_a_provider_that_becomes_global_later_does_not_change_bound_calls(shop):
    one = shop.plugin("one", shop.provider("blas1"))
    output, ops, _ = shop.compare(f"open={one}", "run=0", f"global={shop.provider('blas2')}", "run=0")
    assert output == "blas1 m=2\n" * 2 and libraries(ops) == ["libblas1.so"] * 2


def test_the_scope_of_the_opened_library_comes_before_the_callers_needs(shop):
    """caller.so calls without naming a provider that comes first in the list of the plugin that brought it in."""
    first, last = shop.provider("first"), shop.provider("last")
    caller = shop.plugin("caller", last)
    plugin = shop.library("plugin", "void run(void);\nvoid go(void) { run(); }", caller, first)
    output, ops, _ = shop.compare(f"open={plugin}", "run=0")
    assert output == "first m=2\n" and libraries(ops) == ["libfirst.so"]


@pytest.mark.parametrize("order", ["{shim} {other}", "{other} {shim}"])
def test_another_preload_of_the_same_name_is_still_called(shop, order):
    other = shop.library("other", INTERPOSER)
    one = shop.plugin("one")
    provider = shop.provider("blas1")
    program = shop.folder / "linked"
    code = shop.folder / "linked.c"
    code.write_text("void run(void); int main(void) { run(); run(); }")
    tvg_testlib.run(["gcc", "-o", program, code, one, provider, "-Wl,--no-as-needed", f"-Wl,-rpath,{shop.folder}"], check=True)
    output, ops, _ = shop.compare(preload=order.replace("{other}", str(other)), program=program)
    assert output == "other before\nblas1 m=2\nother after\n" * 2
    assert len(ops) == 2


def test_looked_up_in_two_handles(shop):
    one, two = shop.provider("blas1"), shop.provider("blas2")
    output, ops, _ = shop.compare(f"open={one}", f"open={two}", "look=0", "look=1", "look=0")
    assert output == "blas1 m=2\nblas2 m=2\nblas1 m=2\n"
    assert libraries(ops) == ["libblas1.so", "libblas2.so", "libblas1.so"] and {op["net"] for op in ops} == {"dlsym"}


def test_a_name_that_no_library_has_is_not_found(shop):
    output, ops, _ = shop.compare("default", "main", f"open={shop.provider('blas1')}", "default", "main", "look=0")
    assert output == "none, and said so\n" * 4 + "blas1 m=2\n"
    assert len(ops) == 1


def test_a_global_provider_is_found_by_default(shop):
    output, ops, _ = shop.compare(f"global={shop.provider('blas1')}", "default", "main")
    assert output == "blas1 m=2\n" * 2 and len(ops) == 2


def test_a_call_leaves_the_pending_dlerror_message(shop):
    one = shop.plugin("one", shop.provider("blas1"))
    output, _, _ = shop.compare(f"open={one}", "at=0", "pending")
    assert "/nonexistent.so" in output


def test_an_address_used_again_reaches_the_new_library(shop):
    """Caller and provider in one library, closed; another of the same layout opened in its place."""
    def both(name):
        return shop.library(name, PROVIDER.replace("INSIDE", "") + PLUGIN.replace("M", "2"))
    one, two = both("abc1"), both("abc2")
    output, ops, _ = shop.compare(f"open={one}", "at=0", "run=0", "run=0", "close=0", f"open={two}", "at=1", "same", "run=1", "close=1", f"open={one}", "run=2")
    assert output == "abc1 m=2\nabc1 m=2\nclosed 0\nabc2 m=2\nclosed 0\nabc1 m=2\n"
    assert libraries(ops) == ["libabc1.so", "libabc1.so", "libabc2.so", "libabc1.so"]
    again = tvg_testlib.run_under_shim([shop.opener, f"open={one}", "at=0", "run=0", "close=0", f"open={two}", "at=1", "same"], shop.folder)
    assert again.stderr == "same address\n", "the case was not met: the second library came to lie elsewhere"


def test_a_cascade_inside_the_library_counts_once(shop):
    one = shop.plugin("one", shop.provider("blas1", nested=True))
    output, ops, _ = shop.compare(f"open={one}", "run=0", "run=0")
    assert output == "blas1 m=2\nblas1 fortran m=2\n" * 2
    assert [op["function"] for op in ops] == ["cblas_sgemm"] * 2


def test_symbol_versions(shop):
    """A caller linked against an old version keeps it, though the provider has a newer default."""
    old_map, new_map = shop.folder / "old.map", shop.folder / "new.map"
    old_map.write_text("BLAS_1 { cblas_sgemm; };\n")
    new_map.write_text("BLAS_1 { cblas_sgemm; };\nBLAS_2 { cblas_sgemm; } BLAS_1;\n")
    old = shop.library("versioned", PROVIDER.replace("INSIDE", ""), flags=[f"-Wl,--version-script={old_map}"])
    first = shop.plugin("first", old)
    both = PROVIDER.replace("INSIDE", "").replace("cblas_sgemm(", "second(") + """
        void first(int o, int ta, int tb, int m) { printf("ID, the old one\\n"); }
        __asm__(".symver first, cblas_sgemm@BLAS_1\\n.symver second, cblas_sgemm@@BLAS_2");"""
    new = shop.library("versioned", both, flags=[f"-Wl,--version-script={new_map}"])
    second = shop.plugin("second", new)
    output, ops, _ = shop.compare(f"open={first}", f"open={second}", "run=0", "run=1")
    assert output == "versioned, the old one\nversioned m=2\n"
    assert len(ops) == 2


def test_exceptions_pass_through_every_net(shop):
    """Thrown out of a call by its name, by a looked-up address, and by a bare name; the calls after it are recorded, deeper ones too."""
    library, program = shop.folder / "libthrows.so", shop.folder / "catches"
    (shop.folder / "throws.cc").write_text("""
        #define LONG int o, int ta, int tb, int m, int n, int k, float al, const float *a, int lda, const float *b, int ldb, float be, float *c, int ldc
        #define SHORT const char *, const char *, const int *m, const int *, const int *, const float *, const float *, const int *, const float *, const int *, \\
            const float *, float *, const int *
        extern "C" void cblas_sgemm(LONG) { if (m == 3) throw 1; }
        extern "C" void sgemm_(SHORT) { if (*m == 3) throw 10; }
        extern "C" void sgemm(SHORT) { if (*m == 3) throw 100; }""")
    (shop.folder / "catches.cc").write_text("""
        #include <cstdio>
        #include <dlfcn.h>
        extern "C" void cblas_sgemm(int, int, int, int, int, int, float, const float *, int, const float *, int, float, float *, int);
        extern "C" void sgemm(const char *, const char *, const int *, const int *, const int *, const float *, const float *, const int *, const float *,
                              const int *, const float *, float *, const int *);
        static float x[99];
        __attribute__((noinline)) static void deeper(int depth)
        {
            volatile char room[256];
            room[0] = depth;
            if (depth > 0) deeper(depth - 1);
            else cblas_sgemm(102, 111, 111, 2, 2, 2, 1, x, 3, x, 2, 0, x, 3);
        }
        int main(int, char **argv)
        {
            auto looked_up = (decltype(&cblas_sgemm))dlsym(dlopen(argv[1], RTLD_NOW), "cblas_sgemm");
            int three = 3, two = 2, caught = 0;
            float one = 1;
            for (int i = 0; i < 5; i++) {
                try { cblas_sgemm(102, 111, 111, 3, 2, 2, 1, x, 3, x, 2, 0, x, 3); } catch (int e) { caught += e; }
                deeper(3);
                try { looked_up(102, 111, 111, 3, 2, 2, 1, x, 3, x, 2, 0, x, 3); } catch (int e) { caught += e; }
                deeper(4);
                try { sgemm("N", "N", &three, &two, &two, &one, x, &three, x, &two, &one, x, &three); } catch (int e) { caught += e; }
                deeper(5);
            }
            std::printf("%d\\n", caught);
        }""")
    tvg_testlib.run(["g++", "-w", "-shared", "-fPIC", "-o", library, shop.folder / "throws.cc"], check=True)
    tvg_testlib.run(["g++", "-w", "-O0", "-o", program, shop.folder / "catches.cc", library, f"-Wl,-rpath,{shop.folder}", "-ldl"], check=True)
    output, ops, _ = shop.compare(library, program=program)
    assert output == f"{5 * (1 + 1 + 100)}\n"
    assert [(op["function"], op["m"]) for op in ops] == [("cblas_sgemm", 2)] * 15


def test_deepbind_and_symbolic_are_said(shop):
    deep = shop.plugin("deep", shop.provider("blas1"))
    symbolic = shop.library("inward", PROVIDER.replace("INSIDE", "") + PLUGIN.replace("M", "2"), flags=["-Wl,-Bsymbolic"])
    seen = shop.plugin("seen", shop.provider("blas2"))
    output, ops, notes = shop.compare(f"deep={deep}", f"open={symbolic}", f"open={seen}", "run=0", "run=1", "run=2")
    assert output == "blas1 m=2\ninward m=2\nblas2 m=2\n"
    assert libraries(ops) == ["libblas2.so"]
    missed = [line for line in notes.splitlines() if "found-not-catchable" in line]
    assert any("libdeep.so" in line and "past the shim" in line for line in missed)
    assert any("libinward.so" in line and "Bsymbolic" in line for line in missed)
    assert not any("libseen.so" in line or "libblas" in line for line in missed)
