"""TensorFlow Lite by ai-edge-litert: one invocation."""
import importlib.metadata

import numpy

from runner import Problem, Session, serve, units_of


def open_model(interpreters, given, inputs):
    try:
        interpreter = interpreters.Interpreter(model_path=given.model, num_threads=given.threads)
    except ValueError as error:
        raise Problem(f"LiteRT refuses it: {str(error).strip().splitlines()[0][:300]}") from error
    ids, values = inputs.tokenized(), []
    for item in interpreter.get_input_details():
        open_sides = [int(side) if side > 0 else None for side in item.get("shape_signature", item["shape"])]
        value = inputs.array(item["name"], open_sides, numpy.dtype(item["dtype"]).name, ids)
        if list(value.shape) != list(item["shape"]):
            interpreter.resize_tensor_input(item["index"], value.shape)
        values.append((item["index"], value))
    interpreter.allocate_tensors()

    def run():
        for index, value in values:
            interpreter.set_tensor(index, value)
        interpreter.invoke()

    units = units_of([(value.shape, value.dtype.kind in "iu") for _, value in values])
    return Session(run, units, ", ".join(inputs.made), f"ai-edge-litert {importlib.metadata.version('ai-edge-litert')}")


serve("TensorFlow Lite model", "ai_edge_litert.interpreter", "ai-edge-litert", open_model)
