"""A numpy product, so that there is a trace, then a product in JAX or OpenVINO. Prints one JSON object. Argument: jax or openvino."""
import hashlib
import json
import sys

import numpy as np

a = np.arange(81, dtype=np.float32).reshape(9, 9)
own = a @ a[:, :5]
if sys.argv[1] == "jax":
    import jax

    version, result = jax.__version__, np.asarray(jax.jit(lambda x, y: x @ y)(np.ones((64, 96), np.float32), np.ones((96, 128), np.float32)))
else:
    import openvino
    from openvino import opset13

    x = opset13.parameter([64, 96], np.float32)
    model = openvino.Model([opset13.matmul(x, opset13.constant(np.ones((96, 128), np.float32)), False, False)], [x], "product")
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
    version, result = openvino.__version__, compiled({0: np.ones((64, 96), np.float32)})[0]
print(json.dumps({"version": version, "digest": hashlib.sha256(own.tobytes() + result.tobytes()).hexdigest(), "flop": 2 * 9 * 9 * 5}))
