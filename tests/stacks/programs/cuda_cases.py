"""The real cuBLAS, cuBLASLt, cuDNN and NCCL, called without a GPU driver: each call is refused, but its arguments have passed. Prints the statuses."""
import ctypes as C
import glob
import json
import os
import sys

here = os.path.join(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages", "nvidia")


def library(name):
    return C.CDLL(glob.glob(os.path.join(here, "**", name + "*"), recursive=True)[0], mode=C.RTLD_GLOBAL)


one = (C.c_float * 2)(1, 1)
room = C.create_string_buffer(1 << 16)
answer = {}
lt, blas = library("libcublasLt.so."), library("libcublas.so.")
handle = C.c_void_p()
answer["create"] = blas.cublasCreate_v2(C.byref(handle))
handle = None
answer["sgemm"] = blas.cublasSgemm_v2(handle, 1, 0, 48, 40, 56, one, room, 56, room, 56, one, room, 48)
answer["sgemm_64"] = blas.cublasSgemm_v2_64(handle, 0, 0, C.c_int64(33), C.c_int64(35), C.c_int64(37), one, room, C.c_int64(33), room, C.c_int64(37), one, room, C.c_int64(33))
answer["gemm_ex"] = blas.cublasGemmEx(handle, 0, 1, 64, 24, 72, one, room, 14, 64, room, 14, 24, one, room, 0, 64, 68, -1)
answer["strided"] = blas.cublasGemmStridedBatchedEx(handle, 0, 0, 16, 17, 18, one, room, 2, 16, C.c_longlong(288), room, 2, 18, C.c_longlong(306), one, room, 2, 16, C.c_longlong(272), 5, 64, -1)
answer["symm"] = blas.cublasSsymm_v2(handle, 0, 0, 21, 22, one, room, 21, room, 21, one, room, 21)
long = C.c_longlong
f32, bf16, f16, c64, u8 = 0, 14, 2, 4, 8  # cudaDataType
zero = (C.c_float * 2)(0, 0)
for name, arguments in {
        "cublasHgemm": (0, 0, 12, 13, 14, one, room, 12, room, 14, one, room, 12),
        "cublasCgemm3m": (0, 0, 12, 13, 14, one, room, 12, room, 14, one, room, 12),
        "cublasCgemm3mBatched": (0, 0, 12, 13, 14, one, room, 12, room, 14, one, room, 12, 3),
        "cublasCgemm3mStridedBatched": (0, 0, 12, 13, 14, one, room, 12, long(168), room, 14, long(182), one, room, 12, long(156), 3),
        "cublasZgemm_v2": (0, 2, 12, 13, 14, one, room, 12, room, 13, one, room, 12),
        "cublasSgemmEx": (0, 0, 12, 13, 14, one, room, bf16, 12, room, bf16, 14, one, room, f32, 12),
        "cublasCgemmEx": (0, 0, 12, 13, 14, one, room, c64, 12, room, c64, 14, one, room, c64, 12),
        "cublasGemmBatchedEx": (0, 0, 12, 13, 14, one, room, bf16, 12, room, bf16, 14, one, room, bf16, 12, 6, 68, -1),
        "cublasDgemmBatched_64": (0, 0, long(12), long(13), long(14), one, room, long(12), room, long(14), one, room, long(12), long(6)),
        "cublasUint8gemmBias": (0, 0, 0, 12, 13, 14, room, 1, 12, room, 1, 14, room, 1, 12, 1, 1),
        "cublasChemm_v2": (0, 0, 12, 13, one, room, 12, room, 12, one, room, 12),
        "cublasDsyrk_v2": (0, 0, 12, 14, one, room, 12, one, room, 12),
        "cublasCherk_v2": (0, 0, 12, 14, one, room, 12, one, room, 12),
        "cublasCsyrkEx": (0, 0, 12, 14, one, room, c64, 12, one, room, c64, 12),
        "cublasCherk3mEx": (0, 0, 12, 14, one, room, c64, 12, one, room, c64, 12),
        "cublasSsyr2k_v2": (0, 0, 12, 14, one, room, 12, room, 12, one, room, 12),
        "cublasCher2k_v2": (0, 0, 12, 14, one, room, 12, room, 12, one, room, 12),
        "cublasSsyrkx": (0, 0, 12, 14, one, room, 12, room, 12, one, room, 12),
        "cublasCherkx": (0, 2, 12, 14, one, room, 14, room, 14, one, room, 12),
        "cublasStrsm_v2": (0, 0, 0, 0, 12, 13, one, room, 12, room, 12),
        "cublasStrsmBatched": (1, 0, 0, 0, 12, 13, one, room, 13, room, 12, 5),
        "cublasDtrmm_v2": (0, 0, 0, 0, 12, 13, one, room, 12, room, 12, room, 12),
        "cublasSgemv_v2": (1, 12, 13, one, room, 12, room, 1, one, room, 1),
        "cublasSgbmv_v2": (0, 12, 13, 2, 1, one, room, 4, room, 1, one, room, 1),
        "cublasSsymv_v2": (0, 12, one, room, 12, room, 1, one, room, 1),
        "cublasChbmv_v2": (0, 12, 2, one, room, 3, room, 1, one, room, 1),
        "cublasDspmv_v2": (0, 12, one, room, room, 1, one, room, 1),
        "cublasStrmv_v2": (0, 0, 0, 12, room, 12, room, 1),
        "cublasStbsv_v2": (0, 0, 0, 12, 2, room, 3, room, 1),
        "cublasStpmv_v2": (0, 0, 0, 12, room, room, 1),
        "cublasCgeru_v2": (12, 13, one, room, 1, room, 1, room, 12),
        "cublasSsyr_v2": (0, 12, one, room, 1, room, 12),
        "cublasDspr2_v2": (0, 12, one, room, 1, room, 1, room),
        "cublasXtSgemm": (0, 0, long(12), long(13), long(14), one, room, long(12), room, long(14), one, room, long(12)),
        "cublasXtSspmm": (0, 0, long(12), long(13), one, room, room, long(12), one, room, long(12)),
        "cublasXtZsyrkx": (0, 0, long(12), long(14), one, room, long(12), room, long(12), one, room, long(12))}.items():
    answer[name] = getattr(blas, name)(handle, *arguments)
# the interface before CUDA 4: by value, without a handle or a status
blas.cublasSgemm.argtypes = [C.c_char, C.c_char, C.c_int, C.c_int, C.c_int, C.c_float, C.c_void_p, C.c_int, C.c_void_p, C.c_int, C.c_float, C.c_void_p, C.c_int]
blas.cublasSgemm(b"N", b"t", 12, 13, 14, 1, room, 12, room, 13, 0, room, 12)
blas.cublasCherk.argtypes = [C.c_char, C.c_char, C.c_int, C.c_int, C.c_float, C.c_void_p, C.c_int, C.c_float, C.c_void_p, C.c_int]
blas.cublasCherk(b"U", b"N", 12, 14, 1, room, 12, 1, room, 12)


class Complex(C.Structure):
    _fields_ = [("re", C.c_double), ("im", C.c_double)]


blas.cublasZgemv.argtypes = [C.c_char, C.c_int, C.c_int, Complex, C.c_void_p, C.c_int, C.c_void_p, C.c_int, Complex, C.c_void_p, C.c_int]
blas.cublasZgemv(b"N", 12, 13, Complex(1, 0), room, 12, room, 1, Complex(0, 0), room, 1)
answer["legacy"] = blas.cublasGetError()


def layout(kind, rows, columns, leading, batch=1, stride=0):
    one_of = C.c_void_p()
    made = [lt.cublasLtMatrixLayoutCreate(C.byref(one_of), kind, C.c_uint64(rows), C.c_uint64(columns), C.c_int64(leading))]
    if batch > 1:
        made += [lt.cublasLtMatrixLayoutSetAttribute(one_of, 5, C.byref(C.c_int32(batch)), C.c_size_t(4)),
                 lt.cublasLtMatrixLayoutSetAttribute(one_of, 6, C.byref(C.c_int64(stride)), C.c_size_t(8))]
    answer["lt descriptors"] += made
    return one_of


def lt_product(name, compute, kinds, m, n, k, beta, attributes=(), batch=1):
    """A transposed, as all but the oldest types ask for; attributes: (number, value, bytes)"""
    of_product = C.c_void_p()
    answer["lt descriptors"].append(lt.cublasLtMatmulDescCreate(C.byref(of_product), compute, 0))
    for number, value, size in ((3, 1, 4), *attributes):
        answer["lt descriptors"].append(lt.cublasLtMatmulDescSetAttribute(of_product, number, C.byref(C.c_uint64(value)), C.c_size_t(size)))
    a, b, d = layout(kinds[0], k, m, k, batch, m * k), layout(kinds[1], k, n, k, batch, n * k), layout(kinds[2], m, n, m, batch, m * n)
    answer[name] = lt.cublasLtMatmul(None, of_product, one, room, a, room, b, beta, room, d, room, d, None, None, C.c_size_t(0), None)


answer["lt descriptors"] = []
e4m3, fp4, i8, i32 = 28, 33, 3, 10
address = C.addressof(room)
lt_product("lt matmul", 68, (bf16, bf16, bf16), 96, 88, 80, one, [(7, 6, 4)])  # bias and relu
lt_product("lt fp8", 68, (e4m3, e4m3, bf16), 32, 48, 64, zero, [(17, address, 8), (18, address, 8), (7, 36, 4)])  # bias and gelu, scaled per tensor
lt_product("lt fp8 rows", 68, (e4m3, e4m3, bf16), 32, 48, 128, zero, [(17, address, 8), (18, address, 8), (31, 3, 4), (32, 3, 4)])
lt_product("lt mxfp8", 68, (e4m3, e4m3, bf16), 32, 64, 256, zero, [(17, address, 8), (18, address, 8), (31, 2, 4), (32, 2, 4)])
lt_product("lt nvfp4", 68, (fp4, fp4, bf16), 64, 64, 512, zero, [(17, address, 8), (18, address, 8), (31, 1, 4), (32, 1, 4)])
lt_product("lt int8", 72, (i8, i8, i32), 16, 16, 96, one)
lt_product("lt batch", 77, (f32, f32, f32), 8, 16, 24, zero, batch=5)
lt_product("lt gelu aux", 68, (f16, f16, f16), 40, 24, 16, zero, [(7, 164, 4)])
lt_product("lt relu aux", 68, (f16, f16, f16), 128, 24, 16, zero, [(7, 130, 4)])
lt_product("lt emulated", 78, (f32, f32, f32), 56, 24, 16, zero)
dnn = library("libcudnn.so.")
x, w, y = (C.c_void_p() for _ in range(3))
answer["dnn descriptors"] = [dnn.cudnnCreateTensorDescriptor(C.byref(x)), dnn.cudnnCreateFilterDescriptor(C.byref(w)), dnn.cudnnCreateTensorDescriptor(C.byref(y)),
                             dnn.cudnnSetTensor4dDescriptor(x, 0, 2, 2, 6, 10, 12), dnn.cudnnSetFilter4dDescriptor(w, 2, 0, 9, 3, 3, 5), dnn.cudnnSetTensor4dDescriptor(y, 0, 2, 2, 9, 8, 8)]
answer["dnn forward"] = dnn.cudnnConvolutionForward(None, one, x, room, w, room, None, 0, room, C.c_size_t(0), one, y, room)
backend = C.c_void_p()
answer["dnn backend tensor"] = dnn.cudnnBackendCreateDescriptor(17, C.byref(backend))
nccl = library("libnccl.so.")
answer["all reduce"] = nccl.ncclAllReduce(room, room, C.c_size_t(1000), 7, 0, None, None)
print(json.dumps(answer))
