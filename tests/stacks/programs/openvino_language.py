"""What language models are made of, in OpenVINO: attention over kept keys and values (cache), weights in few bits (compressed), a loop. Prints one JSON object:
a digest of the outputs, and of each product in order FLOP, type of the second operand (kept or constant) and the bytes of all operands."""
import hashlib
import json
import sys

import numpy as np
import openvino
from openvino import opset13 as op

HEADS, WIDTH, BATCH = 4, 16, 2
generator = np.random.default_rng(0)


def cache():
    shape = [-1, HEADS, -1, WIDTH]
    query, key, value = (op.parameter(shape, np.float32, name=name) for name in "qkv")
    beam, mask = op.parameter([-1], np.int32, name="beam"), op.parameter([-1, 1, -1, -1], np.float32, name="mask")
    kept, assigned = [], []
    for x, name in ((key, "keys"), (value, "values")):
        none = op.concat([op.gather(op.shape_of(x), op.constant([0]), op.constant(0)), op.constant(np.array([HEADS, 0, WIDTH]))], 0)
        past = op.read_value(op.broadcast(op.constant(np.float32(0)), none), name, openvino.Type.f32, openvino.PartialShape(shape))
        kept.append(op.concat([op.gather(past, beam, op.constant(0)), x], 2))
        assigned.append(op.assign(kept[-1], name))
    y = op.relu(op.scaled_dot_product_attention(query, *kept, mask))
    model = openvino.Model([op.result(y)], assigned, [query, key, value, beam, mask], "cache")
    runs, products, total = [], [], 0
    for tokens in (7, 1, 1, 4):
        total += tokens
        runs.append({name: generator.standard_normal((BATCH, HEADS, tokens, WIDTH)).astype(np.float32) for name in "qkv"} |
                    {"beam": np.arange(BATCH, dtype=np.int32), "mask": np.zeros((BATCH, 1, tokens, total), np.float32)})
        products.append([4 * BATCH * HEADS * tokens * total * WIDTH, "u8", 2 * BATCH * HEADS * WIDTH * (4 * tokens + total)])
    return model, runs, products


def compressed():
    x = op.parameter([-1, -1, 64], np.float32, name="x")
    eight = op.convert(op.constant(generator.integers(0, 255, (128, 64), np.uint8)), np.float32)
    y = op.matmul(x, op.multiply(eight, op.constant(np.full((128, 1), 0.01, np.float32))), False, True)
    four = op.convert(op.constant(generator.integers(0, 15, (256, 4, 32)), dtype=openvino.Type.u4), np.float32)
    four = op.multiply(op.subtract(four, op.constant(np.full((256, 4, 1), 8, np.float32))), op.constant(np.full((256, 4, 1), 0.01, np.float32)))
    y = op.matmul(y, op.reshape(four, op.constant([256, 128]), False), False, True)
    model = openvino.Model([op.result(y)], [x], "compressed")
    runs, products = [], []
    for tokens in (5, 1):
        runs.append({"x": generator.standard_normal((1, tokens, 64)).astype(np.float32)})
        products += [[2 * tokens * 64 * 128, "u8", 64 * 128 + 4 * tokens * (64 + 128)], [2 * tokens * 128 * 256, "u4", 128 * 256 // 2 + 4 * tokens * (128 + 256)]]
    return model, runs, products


def loop():
    x, inside = op.parameter([8, 64], np.float32, name="x"), op.parameter([8, 64], np.float32)
    weights = op.constant((generator.standard_normal((64, 64)) * 0.1).astype(np.float32))
    body = openvino.Model([op.result(op.constant(np.array(True))), op.result(op.relu(op.matmul(inside, weights, False, False)))],
                          [op.parameter([], np.int64), inside], "body")
    around = op.loop(op.constant(np.int64(5)), op.constant(np.array(True)))
    around.set_function(body)
    around.set_special_body_ports([0, 0])
    around.set_merged_input(inside, x.output(0), body.results[1].output(0))
    around.get_iter_value(body.results[0].output(0), -1)
    model = openvino.Model([op.result(around.get_iter_value(body.results[1].output(0), -1))], [x], "loop")
    return model, [{"x": np.ones((8, 64), np.float32)}], [[2 * 8 * 64 * 64, "f32", 4 * (8 * 64 + 64 * 64 + 8 * 64)]] * 5


model, runs, products = {"cache": cache, "compressed": compressed, "loop": loop}[sys.argv[1]]()
request = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32",
                                                       "KV_CACHE_PRECISION": "u8"}).create_infer_request()
digest = hashlib.sha256()
for run in runs:
    for output in request.infer(run).values():
        digest.update(output.tobytes())
print(json.dumps({"version": openvino.__version__, "digest": digest.hexdigest(), "products": products}))
