"""torch_cost.py MODEL:FORM: passes of a model by turns with recording paused and not; prints the median of the pairs' ratios (1: no cost)."""
import ctypes
import importlib.util
import pathlib
import statistics
import sys
import time

import torch

model_name, form = sys.argv[1].split(":")
spec = importlib.util.spec_from_file_location("torch_models", pathlib.Path(__file__).with_name("torch_models.py"))
models = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)
shim = ctypes.CDLL(None)


def seconds(run, model):
    begin = time.perf_counter()
    run(model)
    return time.perf_counter() - begin


with torch.no_grad():
    model, run = models.MODELS[model_name]()
    model = models.FORMS[form](model)
    run(model)
    ratios = []
    for pair in range(100):
        took = {}
        for paused in (pair % 2 == 0, pair % 2 == 1):  # each goes first as often
            (shim.tvg_pause if paused else shim.tvg_resume)()
            took[paused] = seconds(run, model)
        ratios.append(took[False] / took[True])
print(statistics.median(ratios))
