"""Work that no hook can catch: loops that a framework compiles for the run. Prints the CPU seconds of the loop. Argument: torch or jax."""
import json
import sys
import time

SECONDS = 3


def loop(call):
    call()  # compiles
    began = time.process_time()
    while time.process_time() - began < SECONDS:
        call()
    print(json.dumps({"loop_s": round(time.process_time() - began)}))


if sys.argv[1] == "torch":
    import torch
    torch.set_num_threads(1)
    function = torch.compile(lambda x: ((x * 1.5 + 0.5) * x + 0.25).clamp(0, 2).sqrt().sum(1))
    x = torch.ones(512, 2048)
    loop(lambda: function(x))
else:
    import jax
    import jax.numpy as jnp
    function = jax.jit(lambda w, x: w @ x)  # XLA compiles a loop of its own for a matrix times a vector
    w, x = jnp.ones((1500, 1500), jnp.float32), jnp.ones(1500, jnp.float32)
    loop(lambda: function(w, x).block_until_ready())
