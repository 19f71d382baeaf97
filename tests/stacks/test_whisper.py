"""whisper.cpp by pywhispercpp, a random network: every product of the encoder against the textbook, through a copy of ggml under other file names."""
from stack_lib import Pair, stack_python

# version that these figures were seen with: pywhispercpp 1.5.1
CONTEXT, PADDED, MELS, VOCABULARY = 1500, 1536, 80, 51864  # ggml's flash attention reads keys up to a multiple of 256


def test_the_encoder_and_each_step_of_the_decoder(tmp_path):
    python = stack_python("whisper", "pywhispercpp", "numpy")
    pair = Pair(python, "whisper_transcribe.py", tmp_path, tmp_path)
    state, heads, layers = (pair.answer[key] for key in ("state", "heads", "layers"))
    long = [op for op in pair.ops if op["flop"] and (CONTEXT in (op["m"], op["n"]) or 2 * CONTEXT in (op["m"], op["n"]) or op["dims"][3] == CONTEXT)]
    convolutions = 2 * 2 * CONTEXT * state * 3 * MELS + 2 * CONTEXT * state * 3 * state
    layer = 2 * CONTEXT * state * (4 * state + 2 * 4 * state) + 4 * heads * CONTEXT * PADDED * (state // heads)
    cross = 2 * 2 * CONTEXT * state * state  # keys and values of what was heard, for each layer of the decoder
    assert sum(op["flop"] for op in long) == convolutions + layers * (layer + cross)
    # each step of the decoder ends in a product with the whole vocabulary, for the rows whose words are asked for
    steps = [op for op in pair.ops if op["flop"] and VOCABULARY in (op["m"], op["n"])]
    assert len(steps) >= 2 and all(op["flop"] == 2 * VOCABULARY * state * min(op["m"], op["n"]) for op in steps)
    assert {op["library"].split("-")[0] for op in pair.ops} == {"libggml"} and {op["net"] for op in pair.ops} == {"symbol"}
    assert all("time_shared" in op["flags"] for op in pair.ops)
