"""whisper_transcribe.py FOLDER: five seconds of noise through whisper.cpp (pywhispercpp), a small network of random weights; JSON: text, sizes."""
import json
import pathlib
import sys

import numpy as np
import whisper_model
from pywhispercpp.model import Model

STATE, HEADS, LAYERS = 64, 2, 2
path = pathlib.Path(sys.argv[1]) / "random.bin"
if not path.exists():
    whisper_model.write(path, state=STATE, heads=HEADS, layers=LAYERS)
model = Model(str(path), n_threads=1, print_progress=False, print_realtime=False, single_segment=True, max_tokens=8, temperature_inc=0.0, language="en")
sound = np.random.default_rng(1).normal(size=16000 * 5).astype("f4") * 0.1
print(json.dumps({"text": [segment.text for segment in model.transcribe(sound)], "state": STATE, "heads": HEADS, "layers": LAYERS}))
