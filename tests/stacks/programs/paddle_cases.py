"""paddle_cases.py eager|predictor FOLDER: Paddle on the CPU: layers called one by one (MKL), or a saved network by its predictor with oneDNN. JSON: sums."""
import json
import os
import sys

import numpy as np
import paddle

RUNS = 3
paddle.seed(1)
paddle.set_device("cpu")
random = np.random.default_rng(0)
image = random.normal(size=(2, 3, 16, 16)).astype("f4")


class Network(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.convolution = paddle.nn.Conv2D(3, 8, 3, padding=1)
        self.linear = paddle.nn.Linear(8 * 16 * 16, 32)

    def forward(self, x):
        return self.linear(paddle.flatten(paddle.nn.functional.relu(self.convolution(x)), 1))


network = Network()
network.eval()
if sys.argv[1] == "eager":
    batch = paddle.to_tensor(random.normal(size=(4, 10, 12)).astype("f4"))
    with paddle.no_grad():
        for _ in range(RUNS):
            sums = [float(network(paddle.to_tensor(image)).sum()), float(paddle.bmm(batch, batch.transpose([0, 2, 1])).sum())]
else:
    from paddle.inference import Config, create_predictor

    stem = os.path.join(sys.argv[2], "network")
    paddle.jit.save(network, stem, input_spec=[paddle.static.InputSpec([2, 3, 16, 16], "float32")])
    config = Config(stem + ".json", stem + ".pdiparams")
    config.disable_gpu()
    config.enable_mkldnn()
    config.set_cpu_math_library_num_threads(1)
    config.disable_glog_info()
    predictor = create_predictor(config)
    predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(image)
    for _ in range(RUNS):
        predictor.run()
    sums = [float(predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu().sum())]
print(json.dumps(sums))
