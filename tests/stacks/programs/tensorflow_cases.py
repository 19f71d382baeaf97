"""A small CNN with a dense head and attention-like batched products in TensorFlow on the CPU, eagerly and as a graph.

Prints one JSON object: a digest of the outputs and the FLOP of each product, batched ones apart, by the textbook.
"""
import hashlib
import json

import numpy as np
import tensorflow as tf

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
generator = np.random.default_rng(0)


def tensor(*shape):
    return tf.constant(generator.standard_normal(shape).astype(np.float32) * np.float32(0.1))


KERNELS = [tensor(7, 7, 3, 16), tensor(3, 3, 16, 16), tensor(1, 1, 16, 32)]
DENSE = [tensor(32 * 64, 128), tensor(128, 24)]
QKV = [tensor(64, 64) for _ in range(3)]


def network(image, sequence):
    x = tf.nn.relu(tf.nn.conv2d(image, KERNELS[0], 4, "SAME"))           # 32 x 32 -> 8 x 8
    x = tf.nn.relu(tf.nn.conv2d(x, KERNELS[1], 1, "SAME"))
    x = tf.nn.relu(tf.nn.conv2d(x, KERNELS[2], 1, "SAME"))
    logits = tf.nn.relu(tf.reshape(x, [2, -1]) @ DENSE[0]) @ DENSE[1]
    flat = tf.reshape(sequence, [2 * 20, 64])
    q, k, v = (tf.transpose(tf.reshape(flat @ w, [2, 20, 4, 16]), [0, 2, 1, 3]) for w in QKV)
    weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True))
    return logits, tf.matmul(weights, v)


def main():
    image, sequence = tensor(2, 32, 32, 3), tensor(2, 20, 64)
    outputs = [*network(image, sequence), *tf.function(network)(image, sequence)]
    products = [2 * 2 * 8 * 8 * 16 * 7 * 7 * 3, 2 * 2 * 8 * 8 * 16 * 3 * 3 * 16, 2 * 2 * 8 * 8 * 32 * 16, 2 * 2 * 2048 * 128, 2 * 2 * 128 * 24,
                *[2 * 40 * 64 * 64] * 3]
    batched = [2 * 8 * 20 * 20 * 16] * 2
    digest = hashlib.sha256(b"".join(output.numpy().tobytes() for output in outputs)).hexdigest()
    print(json.dumps({"version": tf.__version__, "digest": digest, "products": sorted(2 * products), "batched": 2 * batched}))


main()
