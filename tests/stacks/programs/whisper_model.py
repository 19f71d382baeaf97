"""Writes a whisper.cpp model file with random weights: the layout of its converter, a small text and audio network."""
import struct
import sys

import numpy as np


def write(path, state=64, heads=2, layers=2, audio_context=1500, text_context=448, mels=80, vocabulary=51864, seed=0):
    random = np.random.default_rng(seed)
    with open(path, "wb") as out:
        integers = lambda *values: out.write(struct.pack(f"{len(values)}i", *values))
        integers(0x67676D6C, vocabulary, audio_context, state, heads, layers, text_context, state, heads, layers, mels, 1)
        integers(mels, 201)
        out.write(np.abs(random.normal(size=(mels, 201))).astype("f4").tobytes())
        words = 50257
        integers(words)
        for i in range(words):
            word = f" w{i}".encode() if i else b" "  # whisper.cpp looks for the blank
            out.write(struct.pack("i", len(word)) + word)

        def tensor(name, *shape, half=True, scale=0.05):
            data = (random.normal(size=shape) * scale).astype("f2" if half else "f4")
            integers(len(shape), len(name), 1 if half else 0, *reversed(shape))
            out.write(name.encode() + data.tobytes())

        vector = lambda name, size: tensor(name, size, half=False)
        tensor("encoder.positional_embedding", audio_context, state, half=False)
        tensor("encoder.conv1.weight", state, mels, 3)
        tensor("encoder.conv1.bias", state, 1, half=False)
        tensor("encoder.conv2.weight", state, state, 3)
        tensor("encoder.conv2.bias", state, 1, half=False)
        for side in ("encoder", "decoder"):
            for layer in range(layers):
                at = f"{side}.blocks.{layer}."
                for kind in ("attn", "cross_attn") if side == "decoder" else ("attn",):
                    vector(f"{at}{kind}_ln.weight", state), vector(f"{at}{kind}_ln.bias", state)
                    for part in ("query", "key", "value", "out"):
                        tensor(f"{at}{kind}.{part}.weight", state, state)
                        if part != "key":
                            vector(f"{at}{kind}.{part}.bias", state)
                vector(at + "mlp_ln.weight", state), vector(at + "mlp_ln.bias", state)
                tensor(at + "mlp.0.weight", 4 * state, state), vector(at + "mlp.0.bias", 4 * state)
                tensor(at + "mlp.2.weight", state, 4 * state), vector(at + "mlp.2.bias", state)
        vector("encoder.ln_post.weight", state), vector("encoder.ln_post.bias", state)
        tensor("decoder.token_embedding.weight", vocabulary, state)
        tensor("decoder.positional_embedding", text_context, state, half=False)
        vector("decoder.ln.weight", state), vector("decoder.ln.bias", state)


if __name__ == "__main__":
    write(sys.argv[1])
