"""The models that run on a card: what one pass computes, what it makes, what the textbook says of its FLOP. They run on a CPU as well.

`make(name, device, small)` builds one; `prepare(workload, way, warmup)` gives the function that runs a pass eagerly, compiled or as a CUDA graph.
`small` shrinks every model to what a CPU does in a second: the same code, so that its errors show where there is no card."""
import dataclasses
import inspect
import typing

import torch


@dataclasses.dataclass
class Workload:
    run: typing.Callable  # one pass, eager; returns a tensor
    unit: str  # what a pass makes, as tvg_units names it
    units: int  # how many of them
    flop: int | None = None  # of one pass by the textbook; None: only torch's FlopCounterMode knows
    compiled: typing.Callable | None = None  # gives the same pass compiled (mode reduce-overhead); None: torch.compile of `run`
    flop_compiled_more: int = 0  # where the compiled pass computes over more (a cache of fixed length)
    counted: typing.Callable | None = None  # the same pass by operators that FlopCounterMode knows; None: `run`


def llama_flop(config, batch, prompt, steps, cached=None):
    """A multiply-add is 2. Attention counts the whole rectangle, masked or not, as FlopCounterMode does; logits are of each sequence's last token. `cached`: the
    length of a cache of fixed size. Left out: the angles of the rotary embedding, which some versions compute by a product (half a head by the tokens)."""
    width, kept = config.hidden_size, config.num_key_value_heads * config.hidden_size // config.num_attention_heads
    weights = 2 * width * width + 2 * width * kept + 3 * width * config.intermediate_size
    total = 0
    for number in range(steps + 1):
        new, length = (prompt, prompt) if number == 0 else (1, prompt + number)
        length = cached or length
        total += config.num_hidden_layers * batch * (2 * new * weights + 4 * new * length * width) + 2 * batch * width * config.vocab_size
    return total


def llama(device, small, dtype, batch, tf32=False, decode_only=False):
    """Llama 3.2 1B's shape with random weights: a prompt of 128 tokens is read, 8 more are written. decode_only: the prompt was read before."""
    from transformers import LlamaConfig, LlamaForCausalLM, StaticCache
    from transformers.cache_utils import DynamicCache
    torch.backends.cuda.matmul.allow_tf32 = tf32
    shape = dict(vocab_size=256, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2) if small else \
        dict(vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32, num_key_value_heads=8)
    prompt, steps = (16, 2) if small else (128, 8)
    config = LlamaConfig(max_position_embeddings=1024, tie_word_embeddings=True, **shape)
    with torch.device(device):
        model = LlamaForCausalLM(config).to(dtype).eval()
    tokens = torch.randint(0, config.vocab_size, (batch, prompt), device=device)
    keyword = "cache" if "cache" in inspect.signature(LlamaForCausalLM.forward).parameters else "past_key_values"  # its name has changed

    def step(model, tokens, cache):
        return model(tokens, **{keyword: cache}, use_cache=True, logits_to_keep=1).logits[:, -1:].argmax(-1)

    def decode(model, token, cache):
        written = [token]
        for _ in range(steps):
            written.append(step(model, written[-1], cache))
        return torch.cat(written, 1)

    def run():
        cache = DynamicCache()
        return decode(model, step(model, tokens, cache), cache)

    def compiled():
        length = prompt + steps
        cache = StaticCache(config=config, max_cache_len=length)
        faster = torch.compile(model, mode="reduce-overhead")

        def compiled_run():
            cache.reset()
            token, written = step(model, tokens, cache), []
            for _ in range(steps + 1):
                written.append(token)
                if len(written) <= steps:
                    torch.compiler.cudagraph_mark_step_begin()
                    token = step(faster, token, cache).clone()  # the graph's own memory is written again by its next replay
            return torch.cat(written, 1)
        return compiled_run

    flop = llama_flop(config, batch, prompt, steps)
    more = llama_flop(config, batch, prompt, steps, cached=prompt + steps) - flop
    if decode_only:
        kept = DynamicCache()
        with torch.no_grad():
            first = step(model, tokens, kept)

        def run():  # noqa: F811
            written = decode(model, first, kept)
            kept.crop(-steps)
            return written
        flop -= llama_flop(config, batch, prompt, 0)

    def counted():  # FlopCounterMode has no formula for attention whose queries share keys: two plain products have one
        model.set_attn_implementation("eager")
        try:
            return run()
        finally:
            model.set_attn_implementation("sdpa")
    return Workload(run, "output_token", batch * (steps + (not decode_only)), flop, compiled, more, counted)


def resnet50(device, small, dtype, channels_last=False):
    import torchvision
    model = (torchvision.models.resnet18 if small else torchvision.models.resnet50)().to(device).to(dtype).eval()
    batch, side = (2, 32) if small else (32, 224)
    images = torch.randn(batch, 3, side, side, device=device, dtype=dtype)
    if channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    return Workload(lambda: model(images), "image", batch)


def vit(device, small, dtype, batch=32):
    """ViT-B/16, whose attention layers are one fused call each."""
    import torchvision
    if small:
        batch, side, width, inner, layers, heads = 2, 32, 48, 96, 2, 4
        model = torchvision.models.VisionTransformer(side, 16, layers, heads, width, inner)
    else:
        side, width, inner, layers, heads = 224, 768, 3072, 12, 12
        model = torchvision.models.vit_b_16()
    model = model.to(device).to(dtype).eval()
    images = torch.randn(batch, 3, side, side, device=device, dtype=dtype)
    patches = (side // 16) ** 2
    length = patches + 1
    block = 2 * batch * length * width * (4 * width + 2 * inner) + 4 * batch * heads * length * length * (width // heads)

    def counted():  # FlopCounterMode does not look into the fused call
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            return model(images)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    flop = layers * block + 2 * batch * patches * width * 3 * 16 * 16 + 2 * batch * width * 1000
    return Workload(lambda: model(images), "image", batch, flop, counted=counted)


def bert(device, small):
    """A BERT-base encoder on 8 sequences of 64 tokens of which 48 are real: the rest is padding, which is computed all the same."""
    from transformers import BertConfig, BertModel
    config = BertConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128) if small else BertConfig()
    model = BertModel(config).to(device).eval()
    tokens = torch.randint(0, 30000, (8, 64), device=device)
    mask = torch.ones(8, 64, device=device, dtype=torch.long)
    mask[:, 48:] = 0
    width, inner = config.hidden_size, config.intermediate_size
    layer = 2 * 8 * 64 * width * (4 * width + 2 * inner) + 4 * 8 * 64 * 64 * width
    return Workload(lambda: model(tokens, attention_mask=mask).last_hidden_state, "sequence", 8, config.num_hidden_layers * layer + 2 * 8 * width * width)


def linear_stack(device, small, multiply, layers=8):
    """`layers` square products in a row, each result brought back to the type of its operand; the textbook's FLOP."""
    tokens, width = (32, 64) if small else (1024, 2048)
    run = multiply(device, tokens, width, layers)
    return Workload(run, "input_token", tokens, layers * 2 * tokens * width * width)


def fp8_layers(device, tokens, width, layers):
    weights = [(torch.randn(width, width, device=device) / width ** 0.5).to(torch.float8_e4m3fn).t() for _ in range(layers)]
    given, one = torch.randn(tokens, width, device=device).to(torch.float8_e4m3fn), torch.ones((), device=device)

    def run():
        value = given
        for weight in weights:
            result = torch._scaled_mm(value, weight, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
            value = result.clamp(-448, 448).to(torch.float8_e4m3fn)
        return result
    return run


def int8_layers(device, tokens, width, layers):
    weights = [torch.randint(-100, 100, (width, width), device=device, dtype=torch.int8).t().contiguous().t() for _ in range(layers)]
    given = torch.randint(-100, 100, (tokens, width), device=device, dtype=torch.int8)

    def run():
        value = given
        for weight in weights:
            result = torch._int_mm(value, weight)
            value = (result >> 12).clamp(-127, 127).to(torch.int8)
        return result
    return run


def fp16_layers(device, tokens, width, layers):
    model = torch.nn.Sequential(*[torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.GELU()) for _ in range(layers)]).to(device).half().eval()
    given = torch.randn(tokens, width, device=device).half()
    return lambda: model(given)


def launch_bound(device, small):
    """97 small kernels, one after another: the host sets the pace."""
    width = 64 if small else 1024
    layers = [torch.nn.Linear(width, width).to(device).half() for _ in range(24)]
    norm, given = torch.nn.LayerNorm(width).to(device).half(), torch.randn(1, width, device=device).half()

    def run():
        value = given
        for layer in layers:
            value = value + torch.nn.functional.gelu(layer(norm(value)))
        return value
    return Workload(run, "pass", 1, 24 * 2 * width * width)


WORKLOADS = {
    **{f"llama-{name}-b{batch}": (llama, dict(dtype=dtype, tf32=tf32, batch=batch))
       for name, dtype, tf32 in (("fp32", torch.float32, False), ("tf32", torch.float32, True), ("bf16", torch.bfloat16, False)) for batch in (1, 32)},
    "llama-bf16-decode": (llama, dict(dtype=torch.bfloat16, batch=1, decode_only=True)),
    "resnet50-fp32": (resnet50, dict(dtype=torch.float32)),
    "resnet50-fp16": (resnet50, dict(dtype=torch.float16)),
    "resnet50-fp16-channels-last": (resnet50, dict(dtype=torch.float16, channels_last=True)),
    "vit-fp32": (vit, dict(dtype=torch.float32)),
    "vit-fp16": (vit, dict(dtype=torch.float16)),
    "vit-fp16-b256": (vit, dict(dtype=torch.float16, batch=256)),
    "bert": (bert, {}),
    "fp8": (linear_stack, dict(multiply=fp8_layers)),
    "int8": (linear_stack, dict(multiply=int8_layers)),
    "linear-fp16": (linear_stack, dict(multiply=fp16_layers)),
    "launch-bound": (launch_bound, {}),
}


def make(name, device="cuda", small=False):
    """The workload `name`, its weights and inputs drawn from one seed."""
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False  # a workload that wants it sets it
    maker, arguments = WORKLOADS[name]
    return maker(device, small, **arguments)


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


def prepare(workload, way, warmup, device):
    """The function that runs one pass `way`, after `warmup` passes have run; capturing or compiling runs none beyond them."""
    if way == "graph":
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(warmup):
                workload.run()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = workload.run()

        def one():
            graph.replay()
            return result
        synchronize(device)
        return one
    one = workload.run if way == "eager" else workload.compiled() if workload.compiled else torch.compile(workload.run, mode="reduce-overhead")
    for _ in range(warmup):
        one()
    synchronize(device)
    return one
