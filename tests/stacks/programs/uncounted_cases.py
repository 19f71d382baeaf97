"""A numpy product, so that there is a trace, then a product in OpenVINO. Prints one JSON object."""
import hashlib
import json

import numpy as np
import openvino
from openvino import opset13

a = np.arange(81, dtype=np.float32).reshape(9, 9)
own = a @ a[:, :5]
x = opset13.parameter([64, 96], np.float32)
model = openvino.Model([opset13.matmul(x, opset13.constant(np.ones((96, 128), np.float32)), False, False)], [x], "product")
compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1})
result = compiled({0: np.ones((64, 96), np.float32)})[0]
print(json.dumps({"version": openvino.__version__, "digest": hashlib.sha256(own.tobytes() + result.tobytes()).hexdigest(), "flop": 2 * 9 * 9 * 5}))
