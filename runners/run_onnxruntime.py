"""ONNX by ONNX Runtime's CPU provider: one pass through the graph."""
import re

from runner import Session, serve, units_of

TYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool"}


def open_model(onnxruntime, given, inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if given.threads:
        options.intra_op_num_threads = given.threads
    session = onnxruntime.InferenceSession(given.model, options, providers=["CPUExecutionProvider"])
    ids, feed = inputs.tokenized(), {}
    for item in session.get_inputs():
        kind = re.sub(r"^tensor\((.*)\)$", r"\1", item.type)
        feed[item.name] = inputs.array(item.name, item.shape, TYPES.get(kind, kind), ids)
    units = units_of([(value.shape, value.dtype.kind in "iu") for value in feed.values()])
    return Session(lambda: session.run(None, feed) and None, units, ", ".join(inputs.made), f"onnxruntime {onnxruntime.__version__}")


serve("ONNX model", "onnxruntime", "onnxruntime", open_model)
