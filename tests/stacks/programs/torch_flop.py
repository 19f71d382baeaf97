"""torch_flop.py MODEL: FLOP of one pass by torch's FlopCounterMode."""
import pathlib
import sys

import torch
from torch.utils.flop_counter import FlopCounterMode

source = (pathlib.Path(__file__).with_name("torch_models.py")).read_text().split("with torch.no_grad():")[0]
exec(compile(source, "torch_models.py", "exec"))
with torch.no_grad(), FlopCounterMode(display=False) as counter:
    model(sys.argv[1])()
print(counter.get_total_flops())
