"""Matrix products of every path that TensorFlow has on the CPU, on two threads. Prints one JSON object: a digest of the outputs and the FLOP of each product."""
import hashlib
import json

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(2)
generator = np.random.default_rng(0)
outputs, products = [], []


def product(a, b, kind=tf.float32, **how):
    """Multiplies tensors of these shapes, integers in small numbers so that no order of additions matters."""
    x, y = (tf.cast(tf.constant(generator.integers(-3, 4, shape).astype(np.float32)), kind) for shape in (a, b))
    result = tf.matmul(x, y, **how)
    outputs.append(result.numpy().tobytes())
    k = a[-2] if how.get("transpose_a") or how.get("adjoint_a") else a[-1]
    products.append((8 if kind.is_complex else 2) * int(np.prod(result.shape)) * k)


product((256, 300), (300, 200))
product((4, 50000), (50000, 4))
product((1, 300), (300, 200))
product((3, 128, 256), (3, 256, 128))
product((40, 20, 16), (40, 16, 20))
product((2, 1, 8, 16), (1, 3, 16, 8))
product((5, 24, 32), (32, 16))
product((6, 32, 24), (6, 16, 32), transpose_a=True, transpose_b=True)
product((6, 32, 24), (6, 16, 32), kind=tf.complex64, adjoint_a=True, adjoint_b=True)
for kind in (tf.float64, tf.int32, tf.float16, tf.bfloat16):
    product((3, 40, 30), (3, 30, 20), kind=kind)
    product((64, 96), (96, 128), kind=kind)
digest = hashlib.sha256(b"".join(outputs)).hexdigest()
print(json.dumps({"version": tf.__version__, "digest": digest, "products": sorted(products)}))
