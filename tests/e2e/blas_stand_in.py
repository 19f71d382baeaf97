"""Makes a stand-in BLAS that computes nothing but a hash of its arguments, and a host that calls every name of it with marked arguments and
compares hash, result and errno: what arrives must be what was sent, bit for bit."""
import random

import blas_names
import tvg_testlib

HEAD = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static inline uint64_t mix(uint64_t h, uint64_t v) { h = (h ^ v) * 0x9e3779b97f4a7c15u; return h ^ h >> 29; }
static inline uint64_t bits_f(float v) { uint32_t b; memcpy(&b, &v, 4); return b; }
static inline uint64_t bits_d(double v) { uint64_t b; memcpy(&b, &v, 8); return b; }
static inline uint64_t bits_i(int64_t v) { return (uint64_t)v; }
static inline uint64_t bits_p(const void *v) { return (uint64_t)(uintptr_t)v; }
"""
C_TYPES = {"i": "int64_t", "f": "float", "d": "double", "p": "const void *"}


def _parameters(letters):
    return ", ".join(f"{C_TYPES[letter]} x{i}" for i, letter in enumerate(letters))


def _hash(number, terms):
    out = f"{number}u"
    for letter, term in terms:
        out = f"mix({out}, bits_{letter}({term}))"
    return out


def provider_source(names, tag=0):
    out = [HEAD, "uint64_t seen, calls, tag = %d;" % tag]
    for number, (name, letters, _, _) in enumerate(names):
        terms = [(letter, f"x{i}") for i, letter in enumerate(letters)]
        out.append(f"int64_t {name}({_parameters(letters)}) {{ calls++; errno = 77; seen = {_hash(number, terms)}; return (int64_t)seen; }}")
    return "\n".join(out)


def host_source(names, seed=1):
    rng = random.Random(seed)
    out = [HEAD, "extern uint64_t seen, calls;", "static int64_t block[64][512]; static int wrong;"]
    calls = []
    for number, (name, letters, returns, fortran) in enumerate(names):
        values = []
        for i, letter in enumerate(letters):
            if letter == "f":
                values.append(f"{rng.uniform(-9, 9):.6f}f")
            elif letter == "d":
                values.append(f"{rng.uniform(-9, 9):.12f}")
            elif letter == "p":
                values.append(f"&block[{i}][{rng.randrange(8)}]")
            elif name.find("_batch") >= 0 and "strided" not in name and not fortran and i == len(letters) - 2:
                values.append("1")  # the group count: the arrays behind it are read
            else:
                values.append(f"0x{rng.randrange(1, 1 << 30):x}{rng.randrange(1, 1 << 20):08x}")
        terms = list(zip(letters, values))
        result = f"r != (int64_t)want" if returns else "0"
        out.append(f"int64_t {name}({_parameters(letters)});")
        calls.append(
            f"static void call{number}(void *function) {{ int64_t (*f)({_parameters(letters)}) = function ? (int64_t (*)({_parameters(letters)}))function : {name};\n"
            f"  uint64_t want = {_hash(number, terms)}, before = calls; seen = 0; errno = 5; int64_t r = f({', '.join(values)}); (void)r;\n"
            f"  if (seen != want || calls != before + 1 || errno != 77 || {result}) {{ wrong++; printf(\"%s arrived changed\\n\", \"{name}\"); }} }}")
    out += calls
    table = ", ".join(f'{{"{name}", call{number}}}' for number, (name, *_) in enumerate(names))
    out.append("static const struct { const char *name; void (*call)(void *); } table[] = {" + table + "};")
    out.append(r"""
int main(int argc, char **argv)
{
    for (int i = 0; i < 64; i++) for (int j = 0; j < 512; j++) block[i][j] = 1;
    void *handle = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (argc > 1 && !handle) return 3;
    size_t step = argc > 2 ? (size_t)atoi(argv[2]) : 1;
    for (size_t i = 0; i < sizeof table / sizeof *table; i += step) {
        void *function = handle ? dlsym(handle, table[i].name) : NULL;
        if (handle && (!function || function != dlsym(handle, table[i].name))) { printf("%s not found, or not the same twice\n", table[i].name); wrong++; continue; }
        table[i].call(function);
    }
    printf("%d wrong, %llu calls\n", wrong, (unsigned long long)calls);
    return wrong != 0;
}
""")
    return "\n".join(out)


def build(folder, names, label):
    """Compiles the pair into `folder`: (host, provider)."""
    provider_c, host_c = folder / f"{label}_provider.c", folder / f"{label}_host.c"
    provider, host = folder / f"lib{label}.so", folder / f"{label}_host"
    provider_c.write_text(provider_source(names))
    host_c.write_text(host_source(names))
    flags = ["-O0", "-w", "-fno-builtin"]
    tvg_testlib.run(["gcc", *flags, "-shared", "-fPIC", f"-Wl,-soname,lib{label}.so", "-o", provider, provider_c], check=True)
    tvg_testlib.run(["gcc", *flags, "-o", host, host_c, provider, f"-Wl,-rpath,{folder}", "-ldl"], check=True)
    return host, provider


def all_names():
    return blas_names.all_names()
