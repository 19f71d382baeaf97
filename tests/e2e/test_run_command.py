"""tvg run: what it does with a model whose runtime is there (a stand-in, in numpy), missing, broken or crashing. The real runtimes: tests/stacks/test_run.py."""
import json

import pytest
from tvg_testlib import PYTHON, clean_environment, run, tvg, TVG

# ir_version 8, a graph of 3 bytes: enough to be recognised; the stand-in never opens it
ONNX = b"\x08\x08\x3a\x03abc"

STAND_IN = '''
import numpy
__version__ = "0.stand-in"
class SessionOptions:
    pass
class Item:
    def __init__(self, name, shape, type):
        self.name, self.shape, self.type = name, shape, type
class InferenceSession:
    def __init__(self, path, options, providers):
        assert open(path, "rb").read() == %r and providers == ["CPUExecutionProvider"]
        self.weight = numpy.ones((48, 32), numpy.float32)
    def get_inputs(self):
        return [Item("ids", ["batch", "sequence"], "tensor(int64)"), Item("attention_mask", ["batch", "sequence"], "tensor(int64)"), Item("x", [None, 48], "tensor(float)")]
    def run(self, outputs, feed):
        print("noise on standard output")
        assert feed["ids"].shape == feed["attention_mask"].shape and feed["attention_mask"].min() == 1 and feed["ids"].max() < 100
        return [feed["x"] @ self.weight]
''' % ONNX


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(ONNX)
    return path


@pytest.fixture
def stand_in(tmp_path):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "onnxruntime.py").write_text(STAND_IN)
    return {"PYTHONPATH": str(tmp_path / "modules")}


def run_model(*arguments, cwd, environment=None, **options):
    return run([TVG, "run", "--python", PYTHON, *arguments], cwd=cwd, env=clean_environment(**(environment or {})), **options)


def refused(done):
    assert done.returncode == 2 and done.stdout == "" and done.stderr.startswith("tvg run: "), (done.returncode, done.stdout, done.stderr)
    return done.stderr


def test_runs_and_reports(model, stand_in, tmp_path):
    done = run_model(model, "--batch", "4", "--tokens", "16", "--runs", "5", "--warmup", "2", "-o", "run", "--json", cwd=tmp_path, environment=stand_in)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["totals"]["ops"] == 7 and report["totals"]["flop"] == 7 * 2 * 4 * 48 * 32
    assert report["totals"]["units"] | {"kind": "sequence", "value": 28, "basis": "exact"} == report["totals"]["units"]
    for words in ("onnxruntime 0.stand-in", "ids int64 [4, 16]", "x float32 [4, 48]", "2 + 5 runs", "recorded in run"):
        assert words in done.stderr
    (trace,) = (tmp_path / "run").glob("*.tvg")
    assert tvg("check", trace).returncode == 0


def test_text_report_and_its_options(model, stand_in, tmp_path):
    done = run_model("--quiet", "--charge", "exclusive", "--device", "generic-x86-64", "--full", model, cwd=tmp_path, environment=stand_in)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "generic-x86-64" in done.stdout and "WHERE THE" in done.stdout and "noise" not in done.stdout
    (folder,) = tmp_path.glob("tvg-model.onnx-*")
    assert list(folder.glob("*.tvg"))
    assert "--charge nobody" in run_model(model, "--charge", "nobody", cwd=tmp_path, environment=stand_in).stderr


def test_an_input_given_by_name_and_one_that_is_wrong(model, stand_in, tmp_path):
    done = run_model(model, "--input", "x=6x48:float32", "--json", cwd=tmp_path, environment=stand_in)
    assert json.loads(done.stdout)["totals"]["flop"] == 4 * 2 * 6 * 48 * 32
    assert "ValueError" in refused(run_model(model, "--input", "x=6x47", cwd=tmp_path, environment=stand_in))
    assert "--input 6by48" in refused(run_model(model, "--input", "6by48", cwd=tmp_path, environment=stand_in))


def test_a_text_needs_a_tokenizer(model, stand_in, tmp_path):
    (tmp_path / "text").write_text("one\ntwo\n")
    assert "tokenizer.json" in refused(run_model(model, "--text", tmp_path / "text", cwd=tmp_path, environment=stand_in))
    assert "nowhere" in refused(run_model(model, "--text", "nowhere", cwd=tmp_path, environment=stand_in))


def test_a_missing_runtime_is_named_with_its_install_command(model, tmp_path):
    said = refused(run_model(model, cwd=tmp_path))
    assert str(model) in said and f"{PYTHON} -m pip install onnxruntime" in said
    assert not list(tmp_path.glob("tvg-*")), "nothing is left behind"
    gguf = tmp_path / "a.gguf"
    gguf.write_bytes(b"GGUF" + bytes(40))
    assert f"{PYTHON} -m pip install llama-cpp-python" in refused(run_model(gguf, cwd=tmp_path))


def test_a_runtime_that_can_not_be_imported(model, stand_in, tmp_path):
    (tmp_path / "modules" / "onnxruntime.py").write_text("raise ImportError('libfoo.so.1: cannot open')")
    assert "libfoo.so.1" in refused(run_model(model, cwd=tmp_path, environment=stand_in))


def test_a_runtime_that_refuses_the_model_or_crashes(model, stand_in, tmp_path):
    module = tmp_path / "modules" / "onnxruntime.py"
    module.write_text(STAND_IN.replace("        self.weight", "        raise RuntimeError('graph has no nodes')\n        self.weight"))
    said = refused(run_model(model, cwd=tmp_path, environment=stand_in))
    assert str(model) in said and "graph has no nodes" in said
    module.write_text(STAND_IN.replace("        self.weight", "        import os; os.abort()\n        self.weight"))
    assert "signal 6" in refused(run_model(model, cwd=tmp_path, environment=stand_in))


def test_a_run_without_an_operation_says_so(model, stand_in, tmp_path):
    (tmp_path / "modules" / "onnxruntime.py").write_text(STAND_IN.replace('feed["x"] @ self.weight', "0"))
    done = run_model(model, cwd=tmp_path, environment=stand_in)
    assert done.returncode == 2 and done.stdout == "" and "no operation" in done.stderr


@pytest.mark.parametrize("arguments", [("--batch", "0"), ("--batch", "x"), ("--runs", "1.5"), ("--tokens", "16+"), ("--tokens", "-1"), ("--threads", "0"), ("--ops", "few")])
def test_counts_that_are_none(model, tmp_path, arguments):
    assert arguments[0] in refused(run_model(model, *arguments, cwd=tmp_path))


def test_files_that_are_no_model(tmp_path):
    (tmp_path / "text.onnx").write_text("hello")
    assert "text.onnx" in refused(run_model("text.onnx", cwd=tmp_path))
    (tmp_path / "cut.onnx").write_bytes(ONNX[:-1])
    assert "cut off" in refused(run_model("cut.onnx", cwd=tmp_path))
    assert "No such file" in refused(run_model("nothing.gguf", cwd=tmp_path))
    assert "which model" in refused(run_model(cwd=tmp_path))


def test_an_interpreter_that_is_not_there(model, tmp_path):
    done = run([TVG, "run", "--python", "no-such-python", model], cwd=tmp_path)
    assert done.returncode == 2 and "no-such-python" in done.stderr
