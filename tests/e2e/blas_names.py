"""Every BLAS entry point that the shim stands in for, told apart from the spec tables: prototypes from the headers of OpenBLAS, and for MKL and
newer OpenBLAS as their manuals have them; spellings by the rules of the libraries that use them.

A prototype is a string, one letter an argument: i integer or enumeration, f float, d double, p pointer; "> i" if it returns something.
A Fortran prototype is all pointers, and the string lengths behind them are its number of characters.
"""
import re
import subprocess

SPELLINGS_CBLAS = ["{n}", "{n}64_", "{n}_64", "{n}_64_", "scipy_{n}", "scipy_{n}64_", "scipy_{n}_64_"]
SPELLINGS_FORTRAN = ["{n}_", "{N}_", "{n}", "{N}", "{n}64_", "{n}_64_", "{n}_64", "{N}64_", "{N}_64", "{N}_64_",
                     "scipy_{n}_", "scipy_{n}64_", "scipy_{n}_64_"]
LEVEL_2_AND_3 = set("""
gemm gemm3m gemmt gemmtr symm hemm syrk herk syr2k her2k trmm trsm
gemv gbmv symv hemv sbmv hbmv spmv hpmv trmv tbmv tpmv trsv tbsv tpsv ger geru gerc syr her spr hpr syr2 her2 spr2 hpr2""".split())

# What Debian's headers don't have. ? stands for each of the letters.
CBLAS_BY_HAND = [
    ("cblas_?gemmt", "sd", "iiiiiiSpipiSpi"), ("cblas_?gemmt", "cz", "iiiiiippipippi"),
    ("cblas_?gemmtr", "sd", "iiiiiiSpipiSpi"), ("cblas_?gemmtr", "cz", "iiiiiippipippi"),
    ("cblas_?gemm_batch", "sdcz", "ippppppppppppp ip"), ("cblas_?gemm3m_batch", "cz", "ippppppppppppp ip"),
    ("cblas_?gemm_batch", ["sb", "b", "sh"], "ippppppppppppp ip"),
    ("cblas_?trsm_batch", "sdcz", "ippppppppppp ip"),
    ("cblas_?gemm_batch_strided", "sd", "iiiiii S pii pii S pii i"), ("cblas_?gemm_batch_strided", "cz", "iiiiii p pii pii p pii i"),
    ("cblas_?gemm_pack_get_size", "sd", "iiii > i"), ("cblas_?gemm_alloc", "sd", "iiii > i"),
    ("cblas_?gemm_pack", "sd", "iiiiii S pi p"), ("cblas_?gemm_compute", "sd", "iiiiii pi pi S pi"),
    ("cblas_gemm_?_pack_get_size", ["s8u8s32", "s16s16s32", "bf16bf16f32", "f16f16f32"], "iiii > i"), ("cblas_hgemm_pack_get_size", [""], "iiii > i"),
    ("cblas_gemm_?_pack", ["s8u8s32", "s16s16s32", "bf16bf16f32", "f16f16f32"], "iiiiii pi p"), ("cblas_hgemm_pack", [""], "iiiiii i pi p"),
    ("cblas_gemm_?", ["s8u8s32", "s16s16s32"], "iiii iii f pii pii f pi p"), ("cblas_gemm_?_compute", ["s8u8s32", "s16s16s32"], "iiii iii f pii pii f pi p"),
    ("cblas_gemm_?", ["bf16bf16f32", "f16f16f32"], "iii iii f pi pi f pi"), ("cblas_gemm_?_compute", ["bf16bf16f32", "f16f16f32"], "iii iii f pi pi f pi"),
    ("cblas_hgemm", [""], "iii iii i pi pi i pi"), ("cblas_hgemm_compute", [""], "iii iii pi pi i pi"),
    ("cblas_?gemm", ["sb", "sh"], "iii iii f pi pi f pi"), ("cblas_bgemm", [""], "iii iii i pi pi i pi"),
    ("cblas_?gemv", ["sb", "sh"], "ii ii f pi pi f pi"), ("cblas_bgemv", [""], "ii ii i pi pi i pi"),
]
# (name, letters, arguments, of which characters, returns)
FORTRAN_BY_HAND = [
    ("?gemmt", "sdcz", 14 - 1, 3, False), ("?gemmtr", "sdcz", 14 - 1, 3, False), ("?gemm3m", "cz", 13, 2, False),
    ("?gemm_batch", "sdcz", 15, 2, False), ("?gemm3m_batch", "cz", 15, 2, False), ("?trsm_batch", "sdcz", 13, 4, False),
    ("?gemm_batch_strided", "sdcz", 17, 2, False),
    ("?gemm_pack_get_size", "sd", 4, 1, True), ("?gemm_alloc", "sd", 4, 1, True), ("?gemm_pack", "sd", 9, 2, False), ("?gemm_compute", "sd", 12, 2, False),
    ("gemm_?_pack_get_size", ["s8u8s32", "s16s16s32", "bf16bf16f32", "f16f16f32"], 4, 1, True), ("hgemm_pack_get_size", [""], 4, 1, True),
    ("gemm_?_pack", ["s8u8s32", "s16s16s32", "bf16bf16f32", "f16f16f32"], 8, 2, False), ("hgemm_pack", [""], 9, 2, False),
    ("gemm_?", ["s8u8s32", "s16s16s32"], 17, 3, False), ("gemm_?_compute", ["s8u8s32", "s16s16s32"], 17, 3, False),
    ("gemm_?", ["bf16bf16f32", "f16f16f32"], 13, 2, False), ("gemm_?_compute", ["bf16bf16f32", "f16f16f32"], 13, 2, False),
    ("hgemm", [""], 13, 2, False), ("hgemm_compute", [""], 12, 2, False),
    ("?gemm", ["sb", "b", "sh"], 13, 2, False), ("?gemv", ["sb", "b", "sh"], 11, 1, False),
]


def _preprocessed(header):
    done = subprocess.run(["gcc", "-E", "-P", "-I/usr/include/x86_64-linux-gnu/openblas-pthread", "-x", "c", "-"], input=f"#include <{header}>\n", capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", done.stdout)


def _letters(arguments):
    out = ""
    for argument in arguments.split(","):
        if "*" in argument:
            out += "p"
        elif re.search(r"\bfloat\b", argument):
            out += "f"
        elif re.search(r"\bdouble\b", argument):
            out += "d"
        else:
            out += "i"
    return out


def _is_wanted(base, letters=("s", "d", "c", "z")):
    return base[:1] in letters and base[1:] in LEVEL_2_AND_3


def cblas_prototypes():
    """{"cblas_sgemm": "iii iii f pi pi f pi" without blanks, ...}; " > i" at the end if it returns something."""
    found = {}
    for name, arguments in re.findall(r"void +(cblas_\w+) ?\(([^)]*)\)", _preprocessed("cblas.h")):
        if _is_wanted(name.removeprefix("cblas_")):
            found[name] = _letters(arguments)
    for name, letters, prototype in CBLAS_BY_HAND:
        for letter in letters:
            found[name.replace("?", letter)] = prototype.replace(" ", "").replace("S", "f" if letter[:1] == "s" else "d")
    return found


def fortran_prototypes():
    """{"sgemm": (13, 2, False), ...}: arguments, characters among them, whether it returns something."""
    found = {}
    for name, arguments in re.findall(r"void +(\w+?)_ ?\(([^)]*)\)", _preprocessed("f77blas.h")):
        if _is_wanted(name):
            found[name] = (arguments.count(",") + 1, len(re.findall(r"\bchar\b", arguments)), False)
    for name, letters, count, characters, returns in FORTRAN_BY_HAND:
        for letter in letters:
            found[name.replace("?", letter)] = (count, characters, returns)
    return found


def all_names():
    """[(symbol, prototype letters with hidden lengths as i, number of characters, returns, is_fortran)] for every spelling."""
    names = []
    for name, prototype in sorted(cblas_prototypes().items()):
        letters, _, returns = prototype.partition(">")
        for spelling in SPELLINGS_CBLAS:
            names.append((spelling.format(n=name), letters, bool(returns), False))
    for name, (count, characters, returns) in sorted(fortran_prototypes().items()):
        for spelling in SPELLINGS_FORTRAN:
            names.append((spelling.format(n=name, N=name.upper()), "p" * count + "i" * characters, returns, True))
    return names
