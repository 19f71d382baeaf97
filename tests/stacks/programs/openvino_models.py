"""The models of onnxruntime_models.py in OpenVINO. Arguments: a folder (the exported model stays there for the next run), the model, how (float, qdq),
inference precision. Prints one JSON object: a digest of the outputs; of each product of the model as written, FLOP by ONNX shape inference."""
import hashlib
import json
import pathlib
import sys

import onnx
import onnxruntime_models as models
import openvino
from onnxruntime import quantization

folder, which, how, precision = sys.argv[1:]
feeds, path, quantized = models.FEEDS[which](), pathlib.Path(folder) / f"{which}.onnx", pathlib.Path(folder) / f"{which}-{how}.onnx"
if not path.exists():
    models.export(path, which, feeds)
if how == "qdq" and not quantized.exists():
    quantization.quantize_static(path, quantized, models.Calibration(feeds), quant_format=quantization.QuantFormat.QDQ)
compiled = openvino.Core().compile_model(path if how == "float" else quantized, "CPU", {"INFERENCE_NUM_THREADS": 2, "INFERENCE_PRECISION_HINT": precision})
digest = hashlib.sha256(b"".join(output.tobytes() for output in compiled.create_infer_request().infer(feeds).values())).hexdigest()
print(json.dumps({"version": openvino.__version__, "digest": digest, "written": models.written(onnx.load(path))}))
