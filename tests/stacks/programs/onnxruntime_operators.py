"""ONNX Runtime's single operators, each in a model of its own, with the FLOP that the textbook says.

How many pairs of query and key an attention looks at is not computed here but measured on the operator itself: with queries of zero every key
that is seen gets the same weight, and values that are unit vectors show which ones these are.
Prints one JSON object: version, a digest of all outputs, per run operator and FLOP, and the cases that this version does not know. With a folder as
argument it leaves the models there too, for a host of the C library.
"""
import hashlib
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
ONNX_TYPE = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.int32): TensorProto.INT32,
             np.dtype(np.int64): TensorProto.INT64, np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}
generator = np.random.default_rng(11)
digest, runs, unknown, made, written = hashlib.sha256(), [], [], [], []


def floats(*shape, dtype=np.float32):
    return (generator.standard_normal(shape) * 0.1).astype(dtype)


def session(kind, inputs, outputs, domain, opset, constant, attributes):
    """One node. `inputs`: arrays by name, in order, None for one that is left out; those named in `constant` are weights of the model."""
    node = helper.make_node(kind, [name if value is not None else "" for name, value in inputs.items()], [o for o, _ in outputs], domain=domain, **attributes)
    graph = helper.make_graph([node], "model",
                              [helper.make_tensor_value_info(n, ONNX_TYPE[v.dtype], v.shape) for n, v in inputs.items() if v is not None and n not in constant],
                              [helper.make_tensor_value_info(o, ONNX_TYPE[np.dtype(t)], None) for o, t in outputs if o],
                              [numpy_helper.from_array(v, n) for n, v in inputs.items() if v is not None and n in constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)])
    model.ir_version = 8 if opset < 20 else 10
    made.append(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(one, feeds, in_place):
    """The outputs; those named in `in_place` take the memory of an input."""
    if not in_place:
        return one.run(None, feeds)
    binding = one.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(value) for name, value in feeds.items()}
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for output in one.get_outputs():
        if output.name in in_place:
            binding.bind_ortvalue_output(output.name, values[in_place[output.name]])
        else:
            binding.bind_output(output.name)
    one.run_with_iobinding(binding)
    return binding.copy_outputs_to_cpu()


def case(label, kind, flop, inputs, outputs=(("y", np.float32),), domain="", opset=17, constant=(), probe=None, in_place=None, rows=None, **attributes):
    """Runs a case; `rows`: of the first output only so many are defined, by batch, and nothing of the others. `flop` is a number, or a function of the pairs that `probe` (changes to the inputs, a function of the output) counts."""
    feeds = {n: v for n, v in inputs.items() if v is not None and n not in constant}
    try:
        one = session(kind, inputs, outputs, domain, opset, constant, attributes)
        if probe:
            changes, count = probe
            flop = flop(count(run(one, feeds | changes, in_place)[0]))
            runs.append([label, kind, flop])
        results = run(one, feeds, in_place)
    except Exception as error:  # an operator, or a form of it, that this version does not have
        unknown.append([label, str(error)[:300]])
        return
    for output in [results[0][b, :r] for b, r in enumerate(rows)] if rows else results:
        digest.update(output.tobytes())
    runs.append([label, kind, flop])
    moved = in_place or rows or attributes.get("local_window_size", -1) >= 0  # windows mean one key more in old versions
    if len(sys.argv) > 1 and not moved:
        write(pathlib.Path(sys.argv[1]), feeds, [o for o, _ in outputs if o])
        written.append([label, kind, flop])


def write(folder, feeds, outputs):
    """The model and its inputs for a host of the C library, and lines of the list that it reads."""
    path = folder / f"{len(written)}.onnx"
    onnx.save(made[-1], path)
    lines = [f"model {path}"]
    for name, value in feeds.items():
        value.tofile(f"{path}.{name}")
        lines.append(" ".join(map(str, ("input", name, ONNX_TYPE[value.dtype], f"{path}.{name}", value.ndim, *value.shape))))
    with open(folder / "list", "a") as file:
        file.write("\n".join(lines + [f"output {name}" for name in outputs] + ["run"]) + "\n")


def unit(*shape):
    """Values: the vector of position j is the unit vector j, in every head. Shape: ..., positions, width."""
    return np.broadcast_to(np.eye(shape[-2], shape[-1]), shape).copy()


def packed(heads):
    """[batch, heads, length, width] as [batch, length, heads x width]."""
    batch, count, length, width = heads.shape
    return np.ascontiguousarray(heads.transpose(0, 2, 1, 3).reshape(batch, length, count * width))


def pairs_of(heads, width, rows=None):
    """Pairs seen by the first head, from [batch, length, heads x width]; `rows`: the queries that count, by batch."""
    def count(output):
        first = output.reshape(*output.shape[:2], heads, width)[:, :, 0, :].astype(np.float32)
        return int(sum((first[b, :rows[b] if rows else None] > 1e-6).sum() for b in range(len(first))))
    return count


# --- products ---------------------------------------------------------------------------------------------------------------------------
def products():
    m, k, n = 6, 96, 40
    for bits in 4, 8:
        for dtype in np.float32, np.float16:
            for points in False, True:
                for level in 0, 4:
                    inputs = {"x": floats(2, m // 2, k, dtype=dtype), "b": generator.integers(0, 255, (n, k // 32, 32 * bits // 8)).astype(np.uint8),
                              "scales": np.abs(floats(n * (k // 32), dtype=dtype)),
                              "points": generator.integers(0, 255, n * ((k // 32 * bits + 7) // 8)).astype(np.uint8) if points else None}
                    case(f"MatMulNBits {bits} {dtype.__name__} {points} {level}", "MatMulNBits", 2 * m * k * n, inputs, (("y", dtype),), MS,
                         constant=("b", "scales", "points"), K=k, N=n, bits=bits, block_size=32, accuracy_level=level)
    case("MatMulFpQ4", "MatMulFpQ4", 2 * m * k * n, {"x": floats(m, k), "b": np.zeros(n * k // 32 * 20, np.uint8), "shape": np.array([k, n])}, domain=MS,
         constant=("b", "shape"), blk_quant_type=0)
    case("MatMulBnb4", "MatMulBnb4", 2 * m * k * n, {"x": floats(m, k), "b": generator.integers(0, 255, n * k // 2).astype(np.uint8), "scales": floats(n * k // 32)},
         domain=MS, constant=("b", "scales"), K=k, N=n, block_size=32, quant_type=1)
    case("FusedMatMul", "FusedMatMul", 2 * 3 * 5 * 7 * 9, {"a": floats(3, 7, 5), "b": floats(3, 9, 7)}, domain=MS, transA=1, transB=1, alpha=0.5)
    case("FusedMatMul, batch behind", "FusedMatMul", 2 * 3 * 5 * 7 * 9, {"a": floats(5, 3, 7), "b": floats(9, 3, 7)}, domain=MS, transBatchA=1, transBatchB=1, transB=1)
    case("DeformConv", "DeformConv", 2 * 8 * 36 * 4 * 9, {"x": floats(1, 4, 6, 6), "w": floats(8, 4, 3, 3), "offset": floats(1, 18, 6, 6)}, opset=19, pads=[1] * 4)
    case("CausalConvWithState", "CausalConvWithState", 2 * 2 * 6 * 10 * 4, {"x": floats(2, 6, 10), "w": floats(6, 1, 4)},
         (("y", np.float32), ("state", np.float32)), MS)


def einsum():
    for equation, shapes, flop in [
            ("ij,jk->ik", [(3, 4), (4, 5)], 2 * 3 * 4 * 5), ("bij,bjk->bik", [(2, 3, 4), (2, 4, 5)], 2 * 2 * 3 * 4 * 5),
            ("bqhd,bkhd->bhqk", [(2, 3, 4, 5), (2, 6, 4, 5)], 2 * 2 * 3 * 4 * 5 * 6), ("ij,kj", [(3, 4), (5, 4)], 2 * 3 * 4 * 5),
            ("...ij,...jk->...ik", [(2, 3, 4, 5), (2, 3, 5, 6)], 2 * 2 * 3 * 4 * 5 * 6), ("i,j->ij", [(3,), (4,)], 3 * 4), ("ij->ji", [(3, 4)], 0),
            ("bij , bij -> b", [(2, 3, 4), (2, 3, 4)], 2 * 2 * 3 * 4),
            ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 6)], 2 * 3 * 4 * 5 + 2 * 3 * 5 * 6),
            ("ijx,jk->ik", [(3, 4, 7), (4, 5)], 2 * 3 * 4 * 5)]:  # x is summed before the product
        case("Einsum " + equation, "Einsum", flop, {f"a{i}": floats(*s) for i, s in enumerate(shapes)}, equation=equation)


def recurrent():
    steps, batch, width, hidden = 7, 3, 10, 12
    lengths = np.array([7, 2, 5], np.int32)
    for kind, gates in ("LSTM", 4), ("GRU", 3), ("RNN", 1):
        for directions, direction in (1, "forward"), (2, "bidirectional"):
            for ragged in False, True:
                for outputs in ((("y", np.float32),), (("", None), ("h", np.float32))):
                    rows = int(lengths.sum()) if ragged else steps * batch
                    case(f"{kind} {direction} {ragged} {outputs[0][0]}", kind, 2 * rows * directions * gates * hidden * (width + hidden),
                         {"x": floats(steps, batch, width), "w": floats(directions, gates * hidden, width), "r": floats(directions, gates * hidden, hidden),
                          "b": None, "lengths": lengths if ragged else None}, outputs, constant=("w", "r"), hidden_size=hidden, direction=direction)
    case("DynamicQuantizeLSTM", "DynamicQuantizeLSTM", 2 * steps * batch * 4 * hidden * (width + hidden),
         {"x": floats(steps, batch, width), "w": generator.integers(-100, 100, (1, width, 4 * hidden)).astype(np.int8),
          "r": generator.integers(-100, 100, (1, hidden, 4 * hidden)).astype(np.int8), "b": None, "lengths": None, "h": None, "c": None, "p": None,
          "ws": np.full(1, 0.01, np.float32), "wz": np.zeros(1, np.int8), "rs": np.full(1, 0.01, np.float32), "rz": np.zeros(1, np.int8)}, domain=MS,
         constant=("w", "r", "ws", "wz", "rs", "rz"), hidden_size=hidden)


def mixtures():
    tokens, hidden, inner, experts = 5, 32, 64, 4
    router = floats(tokens, experts)
    for k in 1, 2:
        case(f"MoE {k}", "MoE", 2 * tokens * k * 2 * hidden * inner, {"x": floats(tokens, hidden), "router": router, "f1": floats(experts, inner, hidden), "b1": None,
                                                                      "f2": floats(experts, hidden, inner)}, domain=MS, k=k, activation_type="gelu")
    case("MoE gated", "MoE", 2 * tokens * 2 * 3 * hidden * inner, {"x": floats(tokens, hidden), "router": router, "f1": floats(experts, 2 * inner, hidden), "b1": None,
                                                                  "f2": floats(experts, hidden, inner)}, domain=MS, k=2, activation_type="swiglu", swiglu_fusion=1)
    for bits in 4, 8:
        case(f"QMoE {bits}", "QMoE", 2 * tokens * 2 * 3 * hidden * inner,
             {"x": floats(tokens, hidden), "router": router, "f1": generator.integers(0, 255, (experts, 2 * inner, hidden * bits // 8)).astype(np.uint8),
              "s1": np.abs(floats(experts, 2 * inner)), "b1": None, "f2": generator.integers(0, 255, (experts, hidden, inner * bits // 8)).astype(np.uint8),
              "s2": np.abs(floats(experts, hidden))}, domain=MS, constant=("f1", "s1", "f2", "s2"), k=2, activation_type="swiglu", swiglu_fusion=1,
             expert_weight_bits=bits)


# --- attention --------------------------------------------------------------------------------------------------------------------------
B, D = 2, 16


def attention():
    """ONNX's own. Keys and values in heads or packed; with a cache; causal; with a window; fewer heads of keys."""
    for dtype in np.float32, np.float16:
        for heads, key_heads, queries, keys, past, causal in (4, 4, 5, 5, 0, 0), (4, 4, 5, 5, 0, 1), (4, 2, 5, 5, 4, 1), (4, 4, 3, 9, 0, 0), (4, 4, 3, 9, 0, 1):
            for split in True, False:
                form = (lambda x: x) if split else packed
                inputs = {"q": form(floats(B, heads, queries, D, dtype=dtype)), "k": form(floats(B, key_heads, keys, D, dtype=dtype)),
                          "v": form(floats(B, key_heads, keys, D, dtype=dtype)), "mask": None}
                values = unit(B, key_heads, past + keys, D).astype(dtype)
                changes = {"q": inputs["q"] * 0, "v": form(values[:, :, past:])}
                outputs = [("y", dtype)]
                if past:
                    inputs |= {"pk": floats(B, key_heads, past, D, dtype=dtype), "pv": floats(B, key_heads, past, D, dtype=dtype)}
                    changes["pv"] = values[:, :, :past].copy()
                    outputs += [("ok", dtype), ("ov", dtype)]
                count = (lambda y: int((y[:, 0].astype(np.float32) > 1e-6).sum())) if split else pairs_of(heads, D)
                names = {} if split else {"q_num_heads": heads, "kv_num_heads": key_heads}
                case(f"Attention {dtype.__name__} {heads} {key_heads} {queries} {keys} {past} {causal} {split}", "Attention",
                     lambda pairs, heads=heads: 4 * pairs * heads * D, inputs, outputs, opset=23, probe=(changes, count), is_causal=causal, **names)


def projected_attention():
    heads, length, width = 2, 6, 24
    for past in 0, 4:
        for causal in 0, 1:
            weights = floats(width, 3 * heads * D)
            inputs = {"x": floats(B, length, width), "w": weights, "bias": floats(3 * heads * D), "mask": None}
            outputs = [("y", np.float32)]
            changes = {"x": np.broadcast_to(np.eye(length, width, dtype=np.float32), (B, length, width)).copy(), "w": weights.copy(), "bias": np.zeros(3 * heads * D, np.float32)}
            changes["w"][:, :heads * D] = 0
            changes["w"][:, 2 * heads * D:] = np.tile(np.eye(width, D, past), heads)
            if past:
                inputs["past"] = floats(2, B, heads, past, D)
                changes["past"] = np.stack([floats(B, heads, past, D), unit(B, heads, past, D).astype(np.float32)])
                outputs.append(("present", np.float32))
            for constant in (), ("w", "bias"):
                projection = 2 * B * length * width * 3 * heads * D
                expected = (lambda pairs: projection + 4 * pairs * heads * D)
                if not constant:
                    case(f"Attention projected {past} {causal}", "Attention", expected, inputs, outputs, MS, probe=(changes, pairs_of(heads, D)),
                         num_heads=heads, unidirectional=causal)
                    measured = runs[-1][2]
                else:  # weights that the kernel packs
                    case(f"Attention projected {past} {causal} packed", "Attention", measured, inputs, outputs, MS, constant=constant, num_heads=heads,
                         unidirectional=causal)
    # values of another width than keys
    case("Attention projected, narrow values", "Attention", 2 * B * length * width * (2 * 32 + 16) + 2 * B * length * length * (32 + 16),
         {"x": floats(B, length, width), "w": floats(width, 80), "bias": floats(80)}, domain=MS, num_heads=2, qkv_hidden_sizes=[32, 32, 16])
    case("QAttention", "QAttention", 2 * B * length * width * 3 * heads * D + 4 * B * length * (length + 1) // 2 * heads * D,
         {"x": generator.integers(0, 255, (B, length, width)).astype(np.uint8), "w": generator.integers(-100, 100, (width, 3 * heads * D)).astype(np.int8),
          "bias": floats(3 * heads * D), "xs": np.array(0.02, np.float32), "ws": np.array(0.01, np.float32), "mask": None, "xz": np.array(128, np.uint8),
          "wz": np.array(0, np.int8)}, domain=MS, constant=("w", "ws", "wz"), num_heads=heads, unidirectional=1)


def multi_head_attention():
    heads = 2
    for queries, keys, past, causal in (5, 5, 0, 0), (5, 5, 0, 1), (3, 9, 0, 0), (4, 4, 6, 1):
        values = unit(B, heads, past + keys, D).astype(np.float32)
        inputs = {"q": floats(B, queries, heads * D), "k": floats(B, keys, heads * D), "v": floats(B, keys, heads * D), "bias": None, "mask": None, "add": None}
        changes = {"q": inputs["q"] * 0, "v": packed(values[:, :, past:])}
        outputs = [("y", np.float32)]
        if past:
            inputs |= {"pk": floats(B, heads, past, D), "pv": floats(B, heads, past, D)}
            changes["pv"] = values[:, :, :past].copy()
            outputs += [("ok", np.float32), ("ov", np.float32)]
        case(f"MultiHeadAttention {queries} {keys} {past} {causal}", "MultiHeadAttention", lambda pairs: 4 * pairs * heads * D, inputs, outputs, MS,
             probe=(changes, pairs_of(heads, D)), num_heads=heads, unidirectional=causal)
    case("MultiHeadAttention keys as a cache", "MultiHeadAttention", 4 * B * 3 * 7 * heads * D,
         {"q": floats(B, 3, heads * D), "k": floats(B, heads, 7, D), "v": floats(B, heads, 7, D)}, domain=MS, num_heads=heads)
    case("DecoderMaskedMultiHeadAttention", "DecoderMaskedMultiHeadAttention", 4 * B * 1 * 7 * heads * D,
         {"q": floats(B, 1, heads * D), "k": floats(B, 1, heads * D), "v": floats(B, 1, heads * D), "mask": None, "add": None, "pk": floats(B, heads, 12, D),
          "pv": floats(B, heads, 12, D), "length": np.array([6], np.int32)}, (("y", np.float32), ("ok", np.float32), ("ov", np.float32)), MS, num_heads=heads,
         past_present_share_buffer=1)


def group_query_attention():
    heads, key_heads, room = 4, 2, 16
    for dtype in np.float32, np.float16:
        # a prompt, a ragged prompt, one token, ragged single tokens, a chunk behind a cache; with a window
        for length, filled, window in (6, (6, 6), -1), (6, (6, 4), -1), (1, (9, 9), -1), (1, (9, 5), -1), (3, (8,), -1), (6, (6, 6), 3), (1, (9, 5), 3):
            batch = len(filled)
            values = unit(batch, key_heads, room, D).astype(dtype)
            before = [max(f - length, 0) for f in filled]
            new = np.stack([values[b, :, before[b]:before[b] + length] for b in range(batch)])
            inputs = {"q": floats(batch, length, heads * D, dtype=dtype), "k": floats(batch, length, key_heads * D, dtype=dtype), "v": floats(batch, length, key_heads * D, dtype=dtype),
                      "pk": floats(batch, key_heads, room, D, dtype=dtype), "pv": floats(batch, key_heads, room, D, dtype=dtype),
                      "last": np.array(filled, np.int32) - 1, "total": np.array([max(filled)], np.int32)}
            changes = {"q": inputs["q"] * 0, "v": packed(new), "pv": values}
            rows = [min(length, f) for f in filled] if min(filled) < length else None
            case(f"GroupQueryAttention {dtype.__name__} {length} {filled} {window}", "GroupQueryAttention", lambda pairs: 4 * pairs * heads * D, inputs,
                 (("y", dtype), ("ok", dtype), ("ov", dtype)), MS, probe=(changes, pairs_of(heads, D, rows)), rows=rows, num_heads=heads,
                 kv_num_heads=key_heads, local_window_size=window)
            case(f"GroupQueryAttention in place {dtype.__name__} {length} {filled} {window}", "GroupQueryAttention", lambda pairs: 4 * pairs * heads * D, inputs,
                 (("y", dtype), ("ok", dtype), ("ov", dtype)), MS, probe=(changes, pairs_of(heads, D, rows)), in_place={"ok": "pk", "ov": "pv"}, rows=rows,
                 num_heads=heads, kv_num_heads=key_heads, local_window_size=window)
    case("GroupQueryAttention packed", "GroupQueryAttention", 4 * B * (5 * 6 // 2) * heads * D,
         {"q": floats(B, 5, (heads + 2 * key_heads) * D), "k": None, "v": None, "pk": floats(B, key_heads, room, D), "pv": floats(B, key_heads, room, D),
          "last": np.array([4, 4], np.int32), "total": np.array([5], np.int32)}, (("y", np.float32), ("ok", np.float32), ("ov", np.float32)), MS, num_heads=heads,
         kv_num_heads=key_heads)


def sparse_attention():
    heads, key_heads, width, block, room = 4, 2, 64, 16, 64
    rows, columns = np.array([[0, 1, 3, 5, 8], [0, 1, 3, 6, 9]], np.int32), np.array([[0, 0, 1, 1, 2, 1, 2, 3, -1], [0, 0, 1, 0, 1, 2, 0, 2, 3]], np.int32)
    for length, total in (40, 40), (1, 55):
        values = unit(1, key_heads, room, width).astype(np.float32)
        inputs = {"q": floats(1, length, heads * width), "k": floats(1, length, key_heads * width), "v": floats(1, length, key_heads * width),
                  "pk": floats(1, key_heads, room, width), "pv": floats(1, key_heads, room, width), "rows": rows, "columns": columns,
                  "total": np.array([total], np.int32), "lengths": np.array([total], np.int32)}
        changes = {"q": inputs["q"] * 0, "v": packed(values[:, :, total - length:total]), "pv": values}
        case(f"SparseAttention {length} {total}", "SparseAttention", lambda pairs: 4 * pairs * width, inputs,
             (("y", np.float32), ("ok", np.float32), ("ov", np.float32)), MS,
             probe=(changes, lambda y: int((y > 1e-6).sum())), in_place={"ok": "pk", "ov": "pv"}, num_heads=heads, kv_num_heads=key_heads, sparse_block_size=block)


def linear_attention():
    heads, tokens, width, value_width = 2, 5, 8, 12
    for rule, products in ("linear", 2), ("gated", 2), ("delta", 3), ("gated_delta", 3):
        case("LinearAttention " + rule, "LinearAttention", 2 * B * tokens * heads * width * value_width * products,
             {"q": floats(B, tokens, heads * width), "k": floats(B, tokens, heads * width), "v": floats(B, tokens, heads * value_width), "state": None,
              "decay": -np.abs(floats(B, tokens, heads)) if "gated" in rule else None, "beta": np.abs(floats(B, tokens, heads)) if "delta" in rule else None},
             (("y", np.float32), ("state_out", np.float32)), MS, q_num_heads=heads, kv_num_heads=heads, update_rule=rule)
    case("GatedDeltaNet", "GatedDeltaNet", 2 * 2 * tokens * heads * width * value_width * 3,
         {"q": floats(2 * tokens, heads, width), "k": floats(2 * tokens, heads, width), "v": floats(2 * tokens, heads, value_width), "cu": None,
          "decay": -np.abs(floats(2 * tokens, heads)), "beta": np.abs(floats(2 * tokens, heads)), "state": floats(2, heads, value_width, width)},
         (("y", np.float32), ("state_out", np.float32)), MS)


for group in products, einsum, recurrent, mixtures, attention, projected_attention, multi_head_attention, group_query_attention, sparse_attention, linear_attention:
    group()
print(json.dumps({"version": onnxruntime.__version__, "digest": digest.hexdigest(), "runs": runs, "unknown": unknown, "written": written}))
