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
room = C.create_string_buffer(4096)
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
product, a, b, c = (C.c_void_p() for _ in range(4))
answer["lt descriptors"] = [lt.cublasLtMatmulDescCreate(C.byref(product), 68, 0), lt.cublasLtMatrixLayoutCreate(C.byref(a), 14, C.c_uint64(80), C.c_uint64(96), C.c_int64(80)),
                            lt.cublasLtMatrixLayoutCreate(C.byref(b), 14, C.c_uint64(80), C.c_uint64(88), C.c_int64(80)), lt.cublasLtMatrixLayoutCreate(C.byref(c), 14, C.c_uint64(96), C.c_uint64(88), C.c_int64(96))]
value = C.c_int32(1)
answer["lt transa"] = lt.cublasLtMatmulDescSetAttribute(product, 3, C.byref(value), C.c_size_t(4))
value = C.c_int32(6)
answer["lt epilogue"] = lt.cublasLtMatmulDescSetAttribute(product, 7, C.byref(value), C.c_size_t(4))
answer["lt matmul"] = lt.cublasLtMatmul(None, product, one, room, a, room, b, one, room, c, room, c, None, None, C.c_size_t(0), None)
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
