"""What a trace says of a card's work, added up from its rows by the independent reader (trace_blocks.py): what is compared with torch's own count.

The counted passes of a run lie between the host's mark `warmup-end` and its last mark of units; without marks the whole trace counts."""
import trace_blocks

UNITS = ("output_token", "input_token", "image", "sequence", "pass")


def window(path):
    """(first, last) moment of the counted passes in CLOCK_MONOTONIC ns; None where the host made no marks."""
    marks = trace_blocks.marks(path)
    begins = [at for kind, _, at in marks if kind == "warmup-end"]
    ends = [at for kind, _, at in marks if kind in UNITS]
    return (begins[-1], ends[-1]) if begins and ends and ends[-1] > begins[-1] else None


def add_up(path, within=None):
    """Kernels and copies launched in `within`, a pair as of window(), or in the whole trace. Times in ns.
    launched_ns: of kernels whose launching call and thread are known; library_ns: of kernels that a recorded library call launched."""
    functions = {op_id: entry["fn"] for op_id, entry in trace_blocks.operations(path).items()}
    found = {"kernels": 0, "kernel_ns": 0, "launched_ns": 0, "library_ns": 0, "copies": 0, "replayed": 0, "last_ns": 0}
    for row in trace_blocks.kernels(path):
        if within and not within[0] <= (row["launch"] or row["start"]) <= within[1]:
            continue
        if functions[row["op"]] != "kernel":
            found["copies"] += 1
            continue
        found["kernels"] += 1
        found["kernel_ns"] += row["duration"]
        found["launched_ns"] += row["duration"] * bool(row["launch"] and row["tid"])
        found["library_ns"] += row["duration"] * (row["cause"] != trace_blocks.NO_CAUSE)
        found["replayed"] += bool(row["graph"])
        found["last_ns"] = max(found["last_ns"], row["start"] + row["duration"])
    return found


def bytes_a_row(path):
    """What a kernel costs in the trace: rows of activity, of host calls and of waits, over rows of activity. What a run has once (names, manifest) or by
    time (the meter) is not in it."""
    lengths, rows = trace_blocks.lengths(path), len(trace_blocks.kernels(path))
    return sum(lengths.get(kind, 0) for kind in (trace_blocks.KERNELS, trace_blocks.OPS, trace_blocks.SYNC)) / rows if rows else 0.0
