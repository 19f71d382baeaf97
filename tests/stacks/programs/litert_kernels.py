"""One-operator models of TensorFlow Lite's recurrent, 3-D and other products, written without a converter, and their inference.

Arguments: WEIGHTS RUNTIME: float32 or int8 (a float input is quantized for them), or others: operators that are no products; litert, litert-builtin
(without XNNPACK) or tensorflow.
Prints one JSON object: a digest of the outputs and the FLOP of each product by the operator's name, of others the bytes by the kind."""
import hashlib
import json
import sys

import numpy as np

weights_type, runtime = sys.argv[1:]
if runtime == "tensorflow":
    import tensorflow as tf
    from tensorflow.lite.python import schema_py_generated as schema
else:
    from ai_edge_litert import interpreter as litert
    from ai_edge_litert import schema_py_generated as schema
import flatbuffers

generator = np.random.default_rng(0)
TYPES = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16, "int32": schema.TensorType.INT32}
SCALES = {"int8": 0.01, "int16": 2 ** -11, "int32": 1e-4}
STEPS, BATCH, IN, UNITS, PROJECTED, MEMORY = 5, 2, 12, 8, 6, 3


class Graph:
    """A model of one operator: inputs are added in the operator's own order, None for one that is left out."""

    def __init__(self):
        self.tensors, self.buffers, self.inputs, self.given, self.between = [], [schema.BufferT()], [], [], []

    def add(self, shape, type="float32", data=None, variable=False):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.name, tensor.isVariable = list(shape), TYPES[type], f"t{len(self.tensors)}", variable
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), dtype=np.uint8)
            self.buffers.append(buffer)
            tensor.buffer = len(self.buffers) - 1
        if type in SCALES:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [SCALES[type]], [0]
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def input(self, *shape, type="float32"):
        self.given.append(self.add(shape, type))
        self.inputs.append(self.given[-1])

    def constant(self, *shape, type="float32"):
        data = generator.standard_normal(shape) * 0.1 / SCALES.get(type, 1)
        self.inputs.append(self.add(shape, type, data.astype(type)))

    def integers(self, *values):
        self.inputs.append(self.add([len(values)], "int32", np.array(values, np.int32)))

    def weights(self, *shape):
        self.constant(*shape, type=weights_type)

    def state(self, *shape, type="float32"):
        self.inputs.append(self.add(shape, type, variable=True))

    def none(self, count=1):
        self.inputs += [-1] * count

    def model(self, operator, options, *outputs, outputs_type="float32"):
        code, node, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
        code.builtinCode = getattr(schema.BuiltinOperator, operator)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        node.inputs, node.outputs = self.inputs, [self.add(shape, outputs_type) for shape in outputs]
        node.intermediates = self.between
        node.builtinOptions = options
        if options:
            node.builtinOptionsType = getattr(schema.BuiltinOptions, type(options).__name__[:-1])
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, [node], self.given, node.outputs
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def options(kind, **values):
    made = getattr(schema, kind + "OptionsT")()
    if "fusedActivationFunction" in vars(made) and "fusedActivationFunction" not in values:
        made.fusedActivationFunction = schema.ActivationFunctionType.TANH if "Conv" not in kind else schema.ActivationFunctionType.NONE
    for name, value in values.items():
        setattr(made, name, value)
    return made


def rnn():
    graph = Graph()
    graph.input(BATCH, IN)
    graph.weights(UNITS, IN)
    graph.weights(UNITS, UNITS)
    graph.constant(UNITS)
    graph.state(BATCH, UNITS)
    return graph.model("RNN", options("RNN"), [BATCH, UNITS]), 2 * BATCH * UNITS * (IN + UNITS)


def sequence_rnn():
    graph = Graph()
    graph.input(BATCH, STEPS, IN)
    graph.weights(UNITS, IN)
    graph.weights(UNITS, UNITS)
    graph.constant(UNITS)
    graph.state(BATCH, UNITS)
    return graph.model("UNIDIRECTIONAL_SEQUENCE_RNN", options("SequenceRNN"), [BATCH, STEPS, UNITS]), 2 * BATCH * STEPS * UNITS * (IN + UNITS)


def bidirectional_rnn(second):
    graph = Graph()
    graph.input(STEPS, BATCH, IN)
    for _ in range(2):
        graph.weights(UNITS, IN)
        graph.weights(UNITS, UNITS)
        graph.constant(UNITS)
        graph.state(BATCH, UNITS)
    if second:
        graph.input(STEPS, BATCH, IN)
        graph.weights(UNITS, IN)
        graph.weights(UNITS, IN)
    else:
        graph.none(3)
    model = graph.model("BIDIRECTIONAL_SEQUENCE_RNN", options("BidirectionalSequenceRNN", timeMajor=True, mergeOutputs=not second),
                        *([[STEPS, BATCH, UNITS]] * 2 if second else [[STEPS, BATCH, 2 * UNITS]]))
    return model, 2 * 2 * STEPS * BATCH * UNITS * (IN * (2 if second else 1) + UNITS)


def lstm_inputs(graph, gates=4, output=UNITS, peephole=False):
    """The inputs of one direction, up to the projection; a coupled gate (three of them) has no input gate."""
    for width in (IN, output):
        graph.none(4 - gates)
        for _ in range(gates):
            graph.weights(UNITS, width)
    for _ in range(3 if peephole else 0):
        graph.weights(UNITS)
    graph.none(0 if peephole else 3)
    graph.none(4 - gates)
    for _ in range(gates):
        graph.constant(UNITS)
    if output != UNITS:
        graph.weights(output, UNITS)
        graph.none()
    else:
        graph.none(2)


def lstm_flop(rows, gates=4, output=UNITS):
    return 2 * rows * (gates * UNITS * (IN + output) + (output * UNITS if output != UNITS else 0))


def lstm():
    graph = Graph()
    graph.input(BATCH, IN)
    lstm_inputs(graph)
    graph.state(BATCH, UNITS)
    graph.state(BATCH, UNITS)
    return graph.model("LSTM", options("LSTM"), [BATCH, UNITS]), lstm_flop(BATCH)


def basic_lstm():
    """The older form: one matrix for all gates; in float only. Its outputs are also what the next step is given."""
    graph = Graph()
    graph.input(BATCH, IN)
    graph.input(BATCH, UNITS)
    graph.constant(4 * UNITS, IN + UNITS)
    graph.constant(4 * UNITS)
    graph.input(BATCH, UNITS)
    model = graph.model("LSTM", options("LSTM", kernelType=schema.LSTMKernelType.BASIC), [BATCH, UNITS], [BATCH, UNITS], [BATCH, IN + UNITS], [BATCH, 4 * UNITS])
    return model, 2 * BATCH * 4 * UNITS * (IN + UNITS)


def sequence_lstm(gates, output):
    graph = Graph()
    graph.input(BATCH, STEPS, IN)
    lstm_inputs(graph, gates, output, peephole=gates == 4)
    graph.state(BATCH, output)
    graph.state(BATCH, UNITS)
    return graph.model("UNIDIRECTIONAL_SEQUENCE_LSTM", options("UnidirectionalSequenceLSTM"), [BATCH, STEPS, output]), lstm_flop(BATCH * STEPS, gates, output)


def integer_lstm():
    """Everything is int8: biases are int32, the cell's state is int16."""
    graph = Graph()
    graph.input(BATCH, STEPS, IN, type="int8")
    for width in (IN, UNITS):
        for _ in range(4):
            graph.constant(UNITS, width, type="int8")
    graph.none(3)
    for _ in range(4):
        graph.constant(UNITS, type="int32")
    graph.none(2)
    graph.state(BATCH, UNITS, type="int8")
    graph.state(BATCH, UNITS, type="int16")
    graph.between = [graph.add([1], "int16") for _ in range(4)] + [graph.add([1], "int8")]
    return graph.model("UNIDIRECTIONAL_SEQUENCE_LSTM", options("UnidirectionalSequenceLSTM"), [BATCH, STEPS, UNITS], outputs_type="int8"), lstm_flop(BATCH * STEPS)


def integer_svdf():
    graph, rank = Graph(), 2
    graph.input(BATCH, IN, type="int8")
    graph.constant(rank * UNITS, IN, type="int8")
    graph.constant(rank * UNITS, MEMORY, type="int16")
    graph.constant(UNITS, type="int32")
    graph.state(BATCH, rank * UNITS * MEMORY, type="int16")
    model = graph.model("SVDF", options("SVDF", rank=rank, fusedActivationFunction=schema.ActivationFunctionType.RELU), [BATCH, UNITS], outputs_type="int8")
    return model, 2 * BATCH * rank * UNITS * (IN + MEMORY)


def bidirectional_lstm(second):
    graph = Graph()
    graph.input(STEPS, BATCH, IN)
    for _ in range(2):
        lstm_inputs(graph)
    for _ in range(2):
        graph.state(BATCH, UNITS)
        graph.state(BATCH, UNITS)
    if second:
        graph.input(STEPS, BATCH, IN)
        for _ in range(8):
            graph.weights(UNITS, IN)
    else:
        graph.none(9)
    model = graph.model("BIDIRECTIONAL_SEQUENCE_LSTM", options("BidirectionalSequenceLSTM", mergeOutputs=not second),
                        *([[STEPS, BATCH, UNITS]] * 2 if second else [[STEPS, BATCH, 2 * UNITS]]))
    return model, 2 * lstm_flop(STEPS * BATCH) + (2 * STEPS * BATCH * 8 * UNITS * IN if second else 0)


def svdf():
    graph, rank = Graph(), 2
    graph.input(BATCH, IN)
    graph.weights(rank * UNITS, IN)
    graph.constant(rank * UNITS, MEMORY, type="float32")
    graph.constant(UNITS)
    graph.state(BATCH, rank * UNITS * MEMORY)
    return graph.model("SVDF", options("SVDF", rank=rank), [BATCH, UNITS]), 2 * BATCH * rank * UNITS * (IN + MEMORY)


def volume():
    graph = Graph()
    graph.input(2, 6, 7, 8, 4)
    graph.constant(3, 2, 3, 4, 5)
    graph.constant(5)
    made = options("Conv3D", strideD=1, strideH=2, strideW=1, dilationDFactor=1, dilationHFactor=1, dilationWFactor=1, padding=schema.Padding.VALID)
    return graph.model("CONV_3D", made, [2, 4, 3, 6, 5]), 2 * 2 * 4 * 3 * 6 * 5 * 4 * 3 * 2 * 3


def transposed_volume():
    graph = Graph()
    graph.integers(2, 6, 7, 8, 4)
    graph.constant(3, 2, 3, 4, 5)
    graph.input(2, 4, 6, 6, 5)
    made = options("Conv3D", strideD=1, strideH=1, strideW=1, dilationDFactor=1, dilationHFactor=1, dilationWFactor=1, padding=schema.Padding.VALID)
    return graph.model("CONV_3D_TRANSPOSE", made, [2, 6, 7, 8, 4]), 2 * 2 * 4 * 6 * 6 * 5 * 4 * 3 * 2 * 3


def run(model):
    if runtime == "tensorflow":
        interpreter = tf.lite.Interpreter(model_content=model, num_threads=1)
    else:
        resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if runtime == "litert-builtin" else litert.OpResolverType.AUTO
        interpreter = litert.Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    values = np.random.default_rng(1)
    for given in interpreter.get_input_details():
        interpreter.set_tensor(given["index"], (3 * values.standard_normal(given["shape"])).astype(given["dtype"]))
    interpreter.invoke()
    return b"".join(interpreter.get_tensor(taken["index"]).tobytes() for taken in interpreter.get_output_details())


def products():
    both = [("rnn", rnn()), ("unidirectional_sequence_rnn", sequence_rnn()), ("bidirectional_sequence_rnn", bidirectional_rnn(True)), ("lstm", lstm()),
            ("unidirectional_sequence_lstm", sequence_lstm(4, UNITS)), ("unidirectional_sequence_lstm", sequence_lstm(4, PROJECTED)),
            ("unidirectional_sequence_lstm", sequence_lstm(3, UNITS)), ("bidirectional_sequence_lstm", bidirectional_lstm(False)),
            ("bidirectional_sequence_lstm", bidirectional_lstm(True)), ("svdf", svdf())]
    # with int8 weights and without a second input, the library itself reads where nothing is
    in_float = [("bidirectional_sequence_rnn", bidirectional_rnn(False)), ("lstm", basic_lstm()), ("conv3d", volume()), ("conv3d_transpose", transposed_volume())]
    in_integers = [("unidirectional_sequence_lstm", integer_lstm()), ("svdf", integer_svdf())]
    return both + (in_float if weights_type == "float32" else in_integers)


def other(operator, made, output, *inputs, integers=()):
    graph = Graph()
    for shape in inputs:
        graph.input(*shape)
    if integers:
        graph.integers(*integers)
    elements = [int(np.prod(shape)) for shape in (*inputs, output)]
    return graph.model(operator, made, list(output)), 4 * sum(elements)


def others():
    """Operators that are no products, by kind, and the bytes that they read and write."""
    images, pooled = (2, 8, 6, 5), (2, 4, 3, 5)
    pool = {"filterHeight": 2, "filterWidth": 2, "strideH": 2, "strideW": 2, "padding": schema.Padding.VALID,
            "fusedActivationFunction": schema.ActivationFunctionType.NONE}
    plain = {"fusedActivationFunction": schema.ActivationFunctionType.NONE}
    return [("elementwise", other("ADD", options("Add", **plain), (3, 4, 7), (3, 4, 7), (7,))),
            ("elementwise", other("MUL", options("Mul", **plain), (3, 4, 7), (4, 1), (3, 4, 7))),
            ("elementwise", other("LOGISTIC", None, (3, 11), (3, 11))),
            ("softmax", other("SOFTMAX", options("Softmax", beta=1.0), (6, 10), (6, 10))),
            ("pool", other("MAX_POOL_2D", options("Pool2D", **pool), pooled, images)),
            ("pool", other("AVERAGE_POOL_2D", options("Pool2D", **pool), pooled, images)),
            ("reduce", other("MEAN", options("Reducer", keepDims=True), (2, 1, 1, 5), images, integers=(1, 2))),
            ("transpose", other("TRANSPOSE", options("Transpose"), (4, 2, 3), (2, 3, 4), integers=(2, 0, 1)))]


cases = others() if weights_type == "others" else products()
digest = hashlib.sha256()
for name, (model, _) in cases:
    digest.update(run(model))
print(json.dumps({"digest": digest.hexdigest(), "products": [[name, work] for name, (_, work) in cases]}))
