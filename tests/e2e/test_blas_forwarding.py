"""Every name of the spec tables: exported, forwarded unchanged, recorded once; nothing else exported."""
import blas_names
import blas_stand_in
import pytest
import tvg_testlib

SPECS = tvg_testlib.ROOT / "shim" / "specs"
OWN_EXPORTS = {"__asan_default_options", "dlsym", "dlvsym", "dlclose", "tvg_tokens", "tvg_units", "tvg_pause", "tvg_resume", "tvg_warmup_done"}


@pytest.fixture(scope="module")
def names():
    return blas_names.all_names()


@pytest.fixture(scope="module")
def stand_in(names, tmp_path_factory):
    return blas_stand_in.build(tmp_path_factory.mktemp("stand_in"), names, "standin")


def spec_names(*specs):
    listing = tvg_testlib.run([tvg_testlib.BUILD / "specgen", "--list", *specs], check=True).stdout
    rows = [line.split("\t") for line in listing.splitlines()]
    return {row[0] for row in rows if row[3] != "inline"}


def test_exports_are_the_names_of_the_tables_and_our_own():
    rows = [line.split() for line in tvg_testlib.run(["readelf", "-W", "--dyn-syms", tvg_testlib.SHIM], check=True).stdout.splitlines()]
    exported = {row[7] for row in rows if len(row) > 7 and row[4] in ("GLOBAL", "WEAK") and row[5] == "DEFAULT" and row[6] != "UND"}
    assert exported == spec_names(*sorted(SPECS.glob("*.spec"))) | OWN_EXPORTS


def test_the_blas_tables_have_every_name_that_libraries_use(names):
    """The names of this test come from the libraries' headers and manuals, not from the tables."""
    assert spec_names(*sorted(SPECS.glob("blas*.spec"))) == {name for name, *_ in names}


@pytest.mark.parametrize("line, message", [
    ("gemm cblas_?gemm s | order wrong", "no such argument: wrong"), ("gemm cblas_?gemm q | order", "no such type: q"),
    ("gemm cblas_?gemm s | m m", "argument given twice: m"), ("gemm cblas_?gemm s", "'|' is missing"),
    ("gemm ?x s | m\ngemm ?x s | m", "spelled twice"), ("gemm ?x s | m n k kl ku lda ldb ldc incx", "more than eight dimensions"),
])
def test_a_bad_table_is_refused_with_its_place(line, message, tmp_path):
    spec = tmp_path / "bad.spec"
    spec.write_text("numbers 0\ntype s f32 f32 f32 f32 float\nconvention cblas\nspellings @\n" + line + "\n")
    done = tvg_testlib.run([tvg_testlib.BUILD / "specgen", spec])
    assert done.returncode == 1 and message in done.stderr and f"{spec}:{5 + line.count(chr(10))}:" in done.stderr


def test_bodies_take_their_entry_before_anything_can_change_it():
    """A wrapper finds its entry in the scratch register: the compiler must read it before it writes it or calls anything."""
    text = tvg_testlib.run(["objdump", "-d", "--no-show-raw-insn", tvg_testlib.SHIM], check=True).stdout
    bodies = 0
    for part in text.split("\n\n"):
        title, _, code = part.partition("\n")
        if "<body_" not in title or ".cold>" in title:
            continue
        bodies += 1
        for line in code.splitlines():
            instruction = line.split("\t", 1)[-1]
            if "%r11" in instruction:
                assert "%r11," in instruction and not instruction.rstrip().endswith("%r11"), f"{title}: {instruction}"
                break
            assert not instruction.startswith(("call", "jmp")), f"{title}: {instruction} before the entry was taken"
        else:
            pytest.fail(f"{title}: the entry is never taken")
    assert bodies > 500


def test_every_name_forwards_all_arguments_and_is_recorded_once(names, stand_in, under_shim):
    host, _ = stand_in
    run = under_shim([host])
    assert run.stdout == f"0 wrong, {len(names)} calls\n"
    recorded = [op["function"] for op in tvg_testlib.dump(run.trace)]
    assert recorded == [name for name, *_ in names]


def test_dlsym_hands_out_wrappers(names, stand_in, under_shim):
    host, provider = stand_in
    some = [name for name, *_ in names[::5]]
    run = under_shim([host, provider, 5])
    assert run.stdout == f"0 wrong, {len(some)} calls\n"
    ops = tvg_testlib.dump(run.trace)
    assert [op["function"] for op in ops] == some
    assert {op["net"] for op in ops} == {"dlsym"}
    assert {op["library"] for op in ops} == {provider.name}


def test_a_bare_name_that_is_not_blas_is_left_alone(under_shim, tmp_path):
    """A program's own `dgemm`, with arguments of any kind by value: no pointer is read through, no register is lost."""
    library, program = tmp_path / "libown.so", tmp_path / "own"
    (tmp_path / "library.c").write_text("""
        #include <stdio.h>
        double dgemm(int m, float f0, double f1, float f2, double f3, double f4, double f5, double f6, double f7, int n, int k, long a, long b, long c)
        { return m + f0 + f1 + f2 + f3 + f4 + f5 + f6 + f7 + n + k + a + b + c; }
        int SGEMV(const char *format, ...) { return format[0]; }
        double through(void) { return dgemm(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14); }""")
    (tmp_path / "program.c").write_text("""
        #include <stdio.h>
        #include <dlfcn.h>
        double through(void); double dgemm(int, float, double, float, double, double, double, double, double, int, int, long, long, long);
        int SGEMV(const char *, ...);
        int main(int argc, char **argv)
        {
            void *handle = dlopen(argv[1], RTLD_NOW);
            double (*f)() = (double (*)())dlsym(handle, "dgemm");
            printf("%g %g %d %d\\n", through(), dgemm(2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14), SGEMV("A%f", 1.5), f != NULL);
        }""")
    tvg_testlib.run(["gcc", "-O1", "-w", "-shared", "-fPIC", "-o", library, tmp_path / "library.c"], check=True)
    tvg_testlib.run(["gcc", "-O1", "-w", "-o", program, tmp_path / "program.c", library, f"-Wl,-rpath,{tmp_path}", "-ldl"], check=True)
    run = under_shim([program, library])
    assert run.stdout == "105 106 65 1\n"
    assert [op for trace in run.traces for op in tvg_testlib.dump(trace)] == []
