"""The real cuDNN without a GPU driver: graphs are built and handed to cudnnBackendExecute as if they were plans, direct calls are made; each is refused, but
its descriptors have passed. Prints the statuses."""
import ctypes as C
import glob
import json
import os
import sys

here = os.path.join(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages", "nvidia")
dnn = C.CDLL(glob.glob(os.path.join(here, "**", "libcudnn.so.*"), recursive=True)[0], mode=C.RTLD_GLOBAL)
dnn.cudnnBackendSetAttribute.argtypes = [C.c_void_p, C.c_int, C.c_int, C.c_int64, C.c_void_p]
dnn.cudnnBackendFinalize.argtypes = dnn.cudnnBackendDestroyDescriptor.argtypes = [C.c_void_p]
dnn.cudnnBackendExecute.argtypes = [C.c_void_p] * 3
dnn.cudnnBackendPopulateCudaGraph.argtypes = [C.c_void_p] * 4
FLOAT, HALF, INT8, BFLOAT16 = 0, 2, 3, 9
DATA_TYPE, BOOLEAN, INT64, CONVOLUTION_MODE, POINTWISE_MODE, REDUCTION_OPERATOR, DESCRIPTOR = 1, 2, 3, 7, 14, 18, 15
answer = {"unsaid": []}
identity = 0


def make(kind):
    descriptor = C.c_void_p()
    assert dnn.cudnnBackendCreateDescriptor(kind, C.byref(descriptor)) == 0
    return descriptor


def put(descriptor, name, kind, *values):
    holder = {DATA_TYPE: C.c_int32, BOOLEAN: C.c_bool, INT64: C.c_int64, CONVOLUTION_MODE: C.c_int32, POINTWISE_MODE: C.c_int32, REDUCTION_OPERATOR: C.c_int32,
              DESCRIPTOR: C.c_void_p}[kind]
    status = dnn.cudnnBackendSetAttribute(descriptor, name, kind, len(values), (holder * len(values))(*values))
    if status:
        answer["unsaid"].append([name, status])


def done(descriptor):
    status = dnn.cudnnBackendFinalize(descriptor)
    if status:
        answer["unsaid"].append(["finalize", status])
    return descriptor


def tensor(kind, *dims, virtual=False):
    global identity
    identity += 1
    strides = [1] * len(dims)
    for i in reversed(range(len(dims) - 1)):
        strides[i] = strides[i + 1] * dims[i + 1]
    one = make(17)
    put(one, 901, DATA_TYPE, kind)
    put(one, 902, INT64, *dims)
    put(one, 903, INT64, *strides)
    put(one, 906, INT64, identity)
    put(one, 900, INT64, 16)
    if virtual:
        put(one, 907, BOOLEAN, True)
    return done(one)


def operation(kind, tensors, helper=None):
    one = make(kind)
    if helper:
        put(one, helper[0], DESCRIPTOR, helper[1])
    for name, of in tensors.items():
        put(one, name, DESCRIPTOR, of)
    return done(one)


def convolution():
    one = make(1)
    put(one, 100, DATA_TYPE, FLOAT)
    put(one, 101, CONVOLUTION_MODE, 1)
    for name, values in ((106, (2,)), (102, (1, 1)), (103, (1, 1)), (104, (1, 1)), (105, (1, 1))):
        put(one, name, INT64, *values)
    return done(one)


def pointwise(mode, tensors):
    one = make(0)
    put(one, 0, POINTWISE_MODE, mode)
    put(one, 1, DATA_TYPE, FLOAT)
    return operation(13, tensors, (750, done(one)))


def product(tensors):
    one = make(18)
    put(one, 1500, DATA_TYPE, FLOAT)
    return operation(19, tensors, (1523, done(one)))


def reduction(operator, tensors):
    one = make(21)
    put(one, 1600, REDUCTION_OPERATOR, operator)
    put(one, 1601, DATA_TYPE, FLOAT)
    return operation(22, tensors, (1612, done(one)))


def run(name, *operations, populate=False):
    graph = make(15)
    put(graph, 801, DESCRIPTOR, *(one.value for one in operations))
    answer[name] = dnn.cudnnBackendPopulateCudaGraph(None, graph, None, None) if populate else dnn.cudnnBackendExecute(None, graph, None)


x, w, y = tensor(HALF, 2, 8, 10, 12), tensor(HALF, 16, 4, 3, 3), tensor(HALF, 2, 16, 10, 12, virtual=True)
bias, sum_, out = tensor(HALF, 1, 16, 1, 1), tensor(HALF, 2, 16, 10, 12, virtual=True), tensor(HALF, 2, 16, 10, 12)
run("forward", operation(10, {704: x, 703: w, 705: y}, (702, convolution())), pointwise(0, {751: y, 752: bias, 753: sum_}), pointwise(100, {751: sum_, 753: out}))
dx, w, dy = tensor(HALF, 2, 8, 10, 12), tensor(HALF, 16, 8, 3, 3), tensor(HALF, 2, 16, 10, 12)
run("backward data", operation(12, {710: dx, 709: w, 711: dy}, (708, convolution())))
x, dw = tensor(BFLOAT16, 2, 8, 10, 12), tensor(BFLOAT16, 16, 8, 3, 3)
run("backward filter", operation(11, {716: x, 715: dw, 717: tensor(BFLOAT16, 2, 16, 10, 12)}, (714, convolution())))
run("product", product({1520: tensor(HALF, 3, 24, 40), 1521: tensor(HALF, 3, 40, 56), 1522: tensor(FLOAT, 3, 24, 56)}), populate=True)
q, k, v, o = tensor(HALF, 2, 4, 32, 64), tensor(HALF, 2, 4, 64, 48), tensor(HALF, 2, 4, 48, 64), tensor(HALF, 2, 4, 32, 64)
scores, weights = tensor(FLOAT, 2, 4, 32, 48, virtual=True), tensor(HALF, 2, 4, 32, 48, virtual=True)
most, less, raised, total = (tensor(FLOAT, 2, 4, 32, n, virtual=True) for n in (1, 48, 48, 1))
run("attention", product({1520: q, 1521: k, 1522: scores}), reduction(3, {1610: scores, 1611: most}), pointwise(9, {751: scores, 752: most, 753: less}),
    pointwise(13, {751: less, 753: raised}), reduction(0, {1610: raised, 1611: total}), pointwise(6, {751: raised, 752: total, 753: weights}),
    product({1520: weights, 1521: v, 1522: o}))
run("activation", pointwise(104, {751: tensor(BFLOAT16, 1, 6, 128), 753: tensor(BFLOAT16, 1, 6, 128)}))
run("reduction", reduction(0, {1610: tensor(FLOAT, 4, 5, 6), 1611: tensor(FLOAT, 4, 5, 1)}))

# direct calls
one, zero, room = (C.c_float * 1)(1), (C.c_float * 1)(0), C.create_string_buffer(4096)


def described(kind, *dims):
    descriptor = C.c_void_p()
    dnn.cudnnCreateTensorDescriptor(C.byref(descriptor))
    assert dnn.cudnnSetTensor4dDescriptor(descriptor, 0, kind, *dims) == 0
    return descriptor


a, b = described(FLOAT, 2, 3, 4, 5), described(FLOAT, 2, 3, 4, 5)
vector, half = described(FLOAT, 1, 3, 1, 1), described(HALF, 2, 3, 4, 5)
answer["softmax"] = dnn.cudnnSoftmaxForward(None, 1, 1, one, a, room, zero, b, room)
answer["activation direct"] = dnn.cudnnActivationForward(None, None, one, half, room, zero, half, room)
answer["pooling"] = dnn.cudnnPoolingForward(None, None, one, a, room, zero, described(FLOAT, 2, 3, 2, 2), room)
answer["add"] = dnn.cudnnAddTensor(None, one, vector, room, one, b, room)
answer["op tensor"] = dnn.cudnnOpTensor(None, None, one, a, room, one, vector, room, zero, b, room)
answer["norm training"] = dnn.cudnnBatchNormalizationForwardTraining(None, 1, one, zero, half, room, half, room, vector, room, room, C.c_double(0.1), room, room,
                                                                     C.c_double(1e-5), room, room)
answer["reduce"] = dnn.cudnnReduceTensor(None, None, None, C.c_size_t(0), None, C.c_size_t(0), one, a, room, zero, vector, room)
weight, dweight = C.c_void_p(), C.c_void_p()
dnn.cudnnCreateFilterDescriptor(C.byref(weight))
dnn.cudnnSetFilter4dDescriptor(weight, HALF, 0, 7, 3, 2, 2)
answer["filter gradient"] = dnn.cudnnConvolutionBackwardFilter(None, one, half, room, described(HALF, 2, 7, 3, 4), room, None, 0, None, C.c_size_t(0), zero, weight, room)
network, sequences = C.c_void_p(), C.c_void_p()
dropout = C.c_void_p()
dnn.cudnnCreateDropoutDescriptor(C.byref(dropout))
answer["rnn descriptors"] = [dnn.cudnnCreateRNNDescriptor(C.byref(network)),
                             dnn.cudnnSetRNNDescriptor_v8(network, 0, 2, 1, 1, 0, FLOAT, FLOAT, 0, 24, 32, 32, 2, dropout, 0),
                             dnn.cudnnCreateRNNDataDescriptor(C.byref(sequences)),
                             dnn.cudnnSetRNNDataDescriptor(sequences, FLOAT, 0, 9, 3, 24, (C.c_int * 3)(9, 7, 4), None)]
answer["rnn"] = dnn.cudnnRNNForward(None, network, 0, None, sequences, room, sequences, room, None, None, None, None, None, None, C.c_size_t(4000), room, C.c_size_t(0),
                                    None, C.c_size_t(0), None)
print(json.dumps(answer))
