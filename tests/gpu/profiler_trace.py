"""What torch.profiler's own trace (the file for Chrome) says: how many kernels, how long, and what share of their time library calls launched."""
import bisect
import collections

# Operators that call cuBLAS, cuBLASLt or cuDNN, or are attention kernels of PyTorch's own that tvg records as one call.
LIBRARY_OPERATORS = {f"aten::{name}" for name in (
    "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "_int_mm", "_scaled_mm", "_addmm_activation", "cudnn_convolution", "cudnn_convolution_relu",
    "cudnn_convolution_add_relu", "_cudnn_attention_forward", "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_efficient_attention",
    "_efficient_attention_forward", "_scaled_dot_product_flash_attention", "_flash_attention_forward")}


def add_up(events, operators):
    """Of the trace's `traceEvents`. `operators`: operators were recorded too, and launched the kernels (a replayed CUDA graph's kernels have none)."""
    kernels = [event for event in events if event.get("cat") == "kernel"]
    total = sum(kernel["dur"] for kernel in kernels)
    found = {"kernels": len(kernels), "kernel_ns": round(1e3 * total), "copies": sum(event.get("cat") in ("gpu_memcpy", "gpu_memset") for event in events)}
    if operators and total:
        found["library_share"] = library_time(events, kernels) / total
    return found


def library_time(events, kernels):
    """Microseconds of `kernels` that library operators launched, PyTorch's own elementwise kernels inside them (a bias spread out, say) left out."""
    operators = [event for event in events if event.get("cat") == "cpu_op"]
    innermost = {event["args"]["External id"]: event for event in operators if "External id" in event.get("args", {})}
    spans = collections.defaultdict(list)
    for event in operators:
        if event["name"] in LIBRARY_OPERATORS:
            spans[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for places in spans.values():
        places.sort()
        for number in range(1, len(places)):  # an operator inside another ends with the outer one
            places[number] = (places[number][0], max(places[number][1], places[number - 1][1]))
    total = 0.0
    for kernel in kernels:
        launcher = innermost.get(kernel["args"].get("External id"))
        if launcher is None or "at::native::" in kernel["name"]:
            continue
        places = spans.get(launcher["tid"], [])
        place = bisect.bisect_right(places, (launcher["ts"], float("inf"))) - 1
        if place >= 0 and launcher["ts"] < places[place][1]:
            total += kernel["dur"]
    return total
