"""ONNX Runtime: operators that run graphs. Each branch of an If and each turn of a Loop has a product of 4 x 4 x 4; prints the outputs as JSON."""
import json

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def value(name, kind, shape=(4, 4)):
    return helper.make_tensor_value_info(name, kind, shape)


def branch(name, activation):
    return helper.make_graph([helper.make_node("MatMul", ["x", "w"], [name + "_t"]), helper.make_node(activation, [name + "_t"], [name])], name, [], [value(name, FLOAT)])


turn = helper.make_graph([helper.make_node("MatMul", ["state", "w"], ["next"]), helper.make_node("Identity", ["going"], ["goes"])], "turn",
                         [value("i", INT64, ()), value("going", BOOL, ()), value("state", FLOAT)], [value("goes", BOOL, ()), value("next", FLOAT)])
graph = helper.make_graph([helper.make_node("If", ["c"], ["chosen"], then_branch=branch("then", "Relu"), else_branch=branch("else", "Sigmoid")),
                           helper.make_node("Loop", ["turns", "", "chosen"], ["y"], body=turn)], "model",
                          [value("c", BOOL, ()), value("turns", INT64, ()), value("x", FLOAT), value("w", FLOAT)], [value("y", FLOAT)])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
model.ir_version = 8
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
x = np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4)
print(json.dumps([session.run(None, {"c": np.array(c), "turns": np.array(3), "x": x, "w": x.T.copy()})[0].tolist() for c in (True, False)]))
