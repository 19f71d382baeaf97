"""Products, a CNN and a Transformer in jax on the CPU. Prints one JSON object: a digest of the outputs, the FLOP of each product by the
textbook, and of those that XLA counts alike both sums. Argument: products, cnn, transformer or loops."""
import hashlib
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

jax.config.update("jax_enable_x64", True)
generator = np.random.default_rng(0)
outputs, textbook = [], []
counted_by_xla = alike = 0


def tensor(*shape, kind=jnp.float32, scale=1.0):
    return jnp.asarray((generator.standard_normal(shape) * scale).astype(np.float32)).astype(kind)


def run(function, *arguments, times=1):
    """Compiles, runs, keeps the outputs; gives what XLA's cost analysis says of one run."""
    compiled = jax.jit(function).lower(*arguments).compile()
    for _ in range(times):
        outputs.extend(np.asarray(leaf) for leaf in jax.tree_util.tree_leaves(compiled(*arguments)))
    return int(compiled.cost_analysis()["flops"])


def products():
    global counted_by_xla, alike
    m, k, n = 64, 96, 128
    for kind in (jnp.float32, jnp.float64, jnp.int8, jnp.int32):
        wide = {jnp.int8: jnp.int32}.get(kind, kind)
        counted_by_xla += run(lambda a, b: lax.dot(a, b, preferred_element_type=wide), tensor(m, k, kind=kind, scale=9), tensor(k, n, kind=kind, scale=9))
        textbook.append(2 * m * k * n)
    for spec, a, b in (("bij,bjk->bik", (4, 24, 32), (4, 32, 16)), ("bhid,bhjd->bhij", (2, 4, 24, 32), (2, 4, 20, 32)), ("ik,jk->ij", (m, k), (n, k)),
                       ("ki,kj->ij", (k, m), (k, n))):
        size = {letter: dim for part, shape in zip(spec.split("->")[0].split(","), (a, b)) for letter, dim in zip(part, shape)}
        counted_by_xla += run(lambda x, y: jnp.einsum(spec, x, y), tensor(*a), tensor(*b))
        textbook.append(2 * int(np.prod(list(size.values()))))
    counted_by_xla += run(lambda x, y: jax.vmap(lambda p, q: p @ q)(x, y), tensor(5, 24, 32), tensor(5, 32, 16))
    counted_by_xla += run(lambda x, w: jax.vmap(lambda p: p @ w)(x), tensor(5, 24, 32), tensor(32, 16))
    textbook.extend([2 * 5 * 24 * 32 * 16] * 2)
    alike = sum(textbook)
    for kind in (jnp.bfloat16, jnp.float16):  # conversions around them are in XLA's count: a FLOP an element
        run(lambda a, b: a @ b, tensor(m, k, kind=kind), tensor(k, n, kind=kind))
        textbook.append(2 * m * k * n)
    run(lambda a, b: a @ b, tensor(m, k, kind=jnp.complex64), tensor(k, n, kind=jnp.complex64))
    textbook.append(8 * m * k * n)


def cnn():
    # XLA leaves products with padding out of its count; the convolution without padding is counted alike
    global counted_by_xla, alike
    image, depth = ("NHWC", "HWIO", "NHWC"), ("NDHWC", "DHWIO", "NDHWC")
    counted_by_xla = run(lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=image), tensor(2, 18, 18, 8), tensor(3, 3, 8, 16))
    textbook.append(2 * 2 * 16 * 16 * 16 * 3 * 3 * 8)
    alike = sum(textbook)
    kernels = tensor(7, 7, 3, 16), tensor(3, 3, 4, 16), tensor(1, 1, 16, 32), tensor(8 * 8 * 32, 10)

    def network(x, weights):
        x = jax.nn.relu(lax.conv_general_dilated(x, weights[0], (4, 4), "SAME", dimension_numbers=image))
        x = jax.nn.relu(lax.conv_general_dilated(x, weights[1], (1, 1), "SAME", dimension_numbers=image, feature_group_count=4))
        x = jax.nn.relu(lax.conv_general_dilated(x, weights[2], (1, 1), "SAME", dimension_numbers=image))
        return x.reshape(x.shape[0], -1) @ weights[3]

    run(network, tensor(2, 32, 32, 3), kernels, times=3)
    textbook.extend(3 * [2 * 2 * 64 * 16 * 7 * 7 * 3, 2 * 2 * 64 * 16 * 3 * 3 * 4, 2 * 2 * 64 * 32 * 16, 2 * 2 * 2048 * 10])
    run(lambda x, w: lax.conv(x, w, (1, 1), "SAME"), tensor(1, 8, 16, 16), tensor(16, 8, 3, 3))
    textbook.append(2 * 16 * 16 * 16 * 3 * 3 * 8)
    run(lambda x, w: lax.conv_general_dilated(x, w, (1, 1, 1), "SAME", dimension_numbers=depth), tensor(2, 8, 8, 8, 4), tensor(3, 3, 3, 4, 6))
    textbook.append(2 * 2 * 8 * 8 * 8 * 6 * 27 * 4)
    run(lambda x, w: lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=image), tensor(1, 8, 8, 4), tensor(3, 3, 4, 6))
    textbook.append(2 * 8 * 8 * 9 * 4 * 6)


def transformer():
    batch, length, width, heads, feed, words, layers, times = 2, 24, 64, 4, 256, 500, 2, 2
    weights = [[tensor(*shape, scale=0.1) for shape in [(width, width)] * 4 + [(width, feed), (feed, width)]] for _ in range(layers)]
    head = tensor(width, words)

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)

    def split(x):
        return x.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)

    def network(x, weights, head):
        for q, k, v, out, up, down in weights:
            y = norm(x)
            scores = jax.nn.softmax(jnp.einsum("bhid,bhjd->bhij", split(y @ q), split(y @ k)) / 4.0)
            x = x + jnp.einsum("bhij,bhjd->bhid", scores, split(y @ v)).transpose(0, 2, 1, 3).reshape(x.shape) @ out
            x = x + jax.nn.gelu(norm(x) @ up) @ down
        return x @ head

    run(network, tensor(batch, length, width), weights, head, times=times)
    rows = batch * length
    layer = [2 * rows * width * width] * 4 + [2 * rows * width * feed] * 2 + [2 * rows * length * width] * 2
    textbook.extend(times * (layers * layer + [2 * rows * width * words]))


def loops():
    """What XLA compiles into loops of its own, and one product, so that there is a trace."""
    run(lambda a, b: a @ b, tensor(64, 96), tensor(96, 128))
    textbook.append(2 * 64 * 96 * 128)
    run(lambda a, x: a @ x, tensor(64, 96), tensor(96))


{"products": products, "cnn": cnn, "transformer": transformer, "loops": loops}[sys.argv[1]]()
digest = hashlib.sha256(b"".join(output.tobytes() for output in outputs)).hexdigest()
print(json.dumps({"version": jax.__version__, "digest": digest, "textbook": sorted(textbook), "xla": counted_by_xla, "alike": alike}))
