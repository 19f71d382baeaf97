"""A random GPT of two layers in CTranslate2: scores two sequences at once, then generates greedily, one sequence at a time.

Prints one JSON object: a digest of everything the library gave, and the FLOP that the textbook counts, by kind of product.
Arguments: a folder for the model, a compute type (float32, int8).
"""
import hashlib
import json
import os
import sys

import ctranslate2
import numpy as np

LAYERS, HEADS, WIDTH, INNER, VOCABULARY, POSITIONS = 2, 4, 64, 256, 96, 64
HEAD = WIDTH // HEADS


def build(folder, quantization):
    generator = np.random.default_rng(7)

    def matrix(rows, columns):
        return generator.standard_normal((rows, columns), dtype=np.float32) * np.float32(0.2)

    def linear(spec, outputs, inputs):
        spec.weight, spec.bias = matrix(outputs, inputs), matrix(1, outputs)[0]

    def norm(spec):
        spec.gamma, spec.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    model = ctranslate2.specs.TransformerDecoderModelSpec.from_config(LAYERS, HEADS)
    decoder = model.decoder
    decoder.embeddings.weight = matrix(VOCABULARY, WIDTH)
    decoder.scale_embeddings = False
    decoder.position_encodings.encodings = matrix(POSITIONS, WIDTH)
    norm(decoder.layer_norm)
    decoder.projection.weight = matrix(VOCABULARY, WIDTH)
    for layer in decoder.layer:
        norm(layer.self_attention.layer_norm)
        linear(layer.self_attention.linear[0], 3 * WIDTH, WIDTH)
        linear(layer.self_attention.linear[1], WIDTH, WIDTH)
        norm(layer.ffn.layer_norm)
        linear(layer.ffn.linear_0, INNER, WIDTH)
        linear(layer.ffn.linear_1, WIDTH, INNER)
    model.register_vocabulary(["<unk>", "<s>", "</s>"] + [f"t{i}" for i in range(VOCABULARY - 3)])
    model.config.bos_token, model.config.eos_token, model.config.unk_token = "<s>", "</s>", "<unk>"
    model.validate()
    if quantization != "float32":
        model.optimize(quantization=quantization)
    os.makedirs(folder, exist_ok=True)
    model.save(folder)


def textbook(tokens, context, logits, sequences=1):
    """FLOP of one pass: `tokens` of each sequence go in, each attends to `context`, `logits` rows of the vocabulary come out."""
    linear = LAYERS * tokens * sequences * WIDTH * (3 * WIDTH + WIDTH + 2 * INNER) + logits * sequences * WIDTH * VOCABULARY
    attention = LAYERS * sequences * 2 * tokens * context * WIDTH
    return 2 * linear, 2 * attention


def main():
    folder, compute = sys.argv[1:]
    build(folder, compute)
    generator = ctranslate2.Generator(folder, device="cpu", compute_type=compute, intra_threads=1, inter_threads=1)
    digest, linear, attention = hashlib.sha256(), 0, 0

    def count(pair):
        nonlocal linear, attention
        linear, attention = linear + pair[0], attention + pair[1]

    sequences = [[f"t{(7 * i + s) % 90}" for i in range(20)] for s in range(2)]
    for result in generator.score_batch(sequences):
        digest.update(np.asarray(result.log_probs).tobytes())
    count(textbook(19, 19, 19, 2))  # the last token is only predicted
    length, made = 8, 6
    result = generator.generate_batch([sequences[0][:length]], max_length=made, min_length=made, include_prompt_in_result=False, beam_size=1)[0]
    digest.update(str(result.sequences_ids).encode())
    assert len(result.sequences_ids[0]) == made, result
    count(textbook(length - 1, length - 1, 0))  # the prompt but its last token, for the cache alone
    for step in range(made):
        count(textbook(1, length + step, 1))
    print(json.dumps({"version": ctranslate2.__version__, "digest": digest.hexdigest(), "linear": linear, "attention": attention}))


if __name__ == "__main__":
    main()
