"""Builds the stand-ins of libcuda, libcupti, libnvidia-ml and libcublas, and hosts that use them."""
import subprocess

from tvg_testlib import PROGRAMS, ROOT


def make(folder):
    """The four libraries in `folder`. Returns a function that builds further programs there: (source, output, gcc's other arguments...)."""
    def build(source, output, *more):
        subprocess.run(["gcc", "-O1", "-Wall", f"-I{ROOT}", f"-I{PROGRAMS}", str(PROGRAMS / source), "-o", str(folder / output), f"-L{folder}", *more], check=True)
    for source, name in (("fake_cuda.c", "libcuda.so.1"), ("fake_cupti.c", "libcupti.so.13"), ("fake_nvml.c", "libnvidia-ml.so.1"), ("fake_cublas.c", "libcublas.so.13")):
        build(source, name, "-shared", "-fPIC", f"-Wl,-soname,{name}")
    return build
