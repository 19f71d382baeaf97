"""Records every trace of tests/fixtures/gpu again, in the present format, each with a JSON file of what is known of it without tvg (fixtures' README).

One command on a machine with a card: everything into one tar, and a summary line a fixture. What was done before is kept: the command may be run again.
Compiled workloads are compiled and counted first, several at a time; then each recording has the card to itself; torch's counts of the rest come last."""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time

import gpu_lib

LLAMA = "a Llama of 1.2 G parameters (the shape of Llama 3.2 1B, random weights) in {}, batch {}: a prompt of 128 tokens read, 8 more written; {}"
WAYS = {"eager": "eager", "graph": "the whole pass as one CUDA graph", "compile": "decode steps by torch.compile, mode reduce-overhead, over a cache of fixed length"}
# Names are not those of earlier fixtures, whose tests know more than the files beside them say.
# fixture: (workload, way, passes of the warm-up, passes counted, what it is). Passes are few: a trace stays below 300 kB.
MODELS = {
    "resnet50-fp32": ("resnet50-fp32", "eager", 2, 20, "torchvision ResNet-50, fp32 (convolutions in TF32, torch's default), batch 32"),
    "resnet50-fp16": ("resnet50-fp16", "eager", 2, 20, "torchvision ResNet-50, fp16, batch 32"),
    "resnet50-fp16-channels-last": ("resnet50-fp16-channels-last", "eager", 2, 20, "torchvision ResNet-50, fp16, channels last, batch 32"),
    "vit-fp32": ("vit-fp32", "eager", 2, 10, "torchvision ViT-B/16, fp32, batch 32"),
    "vit-fp16": ("vit-fp16", "eager", 2, 10, "torchvision ViT-B/16, fp16, batch 32"),
    "bert-padded": ("bert", "eager", 2, 20, "transformers BERT-base encoder, fp32, 8 x 64 tokens of which a quarter is padding"),
    "fp8-layers": ("fp8", "eager", 2, 20, "8 linear layers of 1024 x 2048 x 2048 in fp8 (torch._scaled_mm)"),
    "int8-layers": ("int8", "eager", 2, 20, "8 linear layers of 1024 x 2048 x 2048 in int8 (torch._int_mm)"),
    "fp16-layers-compile": ("linear-fp16", "compile", 3, 20, "8 linear layers and GELU of 1024 x 2048 x 2048 in fp16 by torch.compile, mode reduce-overhead"),
    **{f"llama-{kind}-b{batch}-{way}": (f"llama-{kind}-b{batch}", way, 3 if way == "compile" else 1, 2, LLAMA.format(kind, batch, words))
       for way, words in WAYS.items() for kind in ("bf16", "tf32", "fp32") for batch in (1, 32)},
}
# fixture: (module that its interpreter must have or None, program, what it is)
PROGRAMS = {
    "cupy-products": ("cupy", "cupy_products.py", "cupy: 20 products of 1024 x 1024 in fp32 and 20 in fp16 (cuBLAS found by the dynamic linker's lookup)"),
    "jax-products": ("jax", "jax_products.py", "jax: 50 passes of six bf16 products of 1024 x 1024, left to cuBLASLt"),
    "cublaslt-products": (None, "cublaslt_products.c", "a stripped C program, static CUDA runtime, cuBLASLt: 50 products of 512 x 256 x 1024 in TF32"),
}
CUBLASLT = [{"type": "f32", "compute": "tf32", "m": 512, "n": 256, "k": 1024, "count": 50}]
LARGEST = 300_000  # bytes of a fixture


class Recorder:
    def __init__(self, options):
        self.options, self.deadline = options, time.monotonic() + options.seconds
        self.out, self.work = options.out, options.work or options.out / "fixtures"
        self.work.mkdir(parents=True, exist_ok=True)
        self.out.mkdir(parents=True, exist_ok=True)
        self.sizes = ["--device", options.device, *(["--small"] if options.small else [])]
        words = re.findall(r"[A-Za-z]*\d+\w*", (gpu_lib.cards() or ["cpu0"])[0])
        self.card = words[0].lower()
        # the command's words go into the trace: no folder of this machine among them
        folder = pathlib.Path(gpu_lib.PYTHON).absolute().parent
        self.environment = {"PATH": f"{folder}:{os.environ.get('PATH', '')}", "TORCHINDUCTOR_CACHE_DIR": str(self.work / ".inductor"),
                            "TRITON_CACHE_DIR": str(self.work / ".triton")}

    def left(self):
        return self.deadline - time.monotonic()

    def path(self, fixture, ending="tvg"):
        return self.work / f"{fixture}-{self.card}.{ending}"

    def say(self, **line):
        print(json.dumps(line), flush=True)
        with open(self.out / "fixtures.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def python(self):
        return "python3" if (pathlib.Path(gpu_lib.PYTHON).absolute().parent / "python3").exists() else gpu_lib.PYTHON

    def run(self, command, timeout, **environment):
        settings = {**gpu_lib.ENVIRONMENT, **self.environment, **environment}
        return subprocess.run([str(word) for word in command], cwd=gpu_lib.HERE, env=gpu_lib.clean_environment(**settings), capture_output=True, text=True,
                              timeout=max(1, timeout))

    def compiled_truths(self, fixtures):
        """Of compiled workloads, several at a time: what was compiled is read from the cache when it is recorded. Kernel times are not kept, since the
        neighbours were on the card as well."""
        waiting = {MODELS[fixture][0] for fixture in fixtures if MODELS[fixture][1] == "compile" and not self.known_path(MODELS[fixture][0]).exists()}

        def ask(name):
            began = time.monotonic()
            try:
                done = self.run([self.python(), "truths.py", *self.sizes, f"{name}:compile"], min(180, self.left() / 2))
                known = gpu_lib.last_line(done.stdout) or {"error": f"exit {done.returncode}: {done.stderr[-300:]}"}
            except subprocess.TimeoutExpired:
                known = {"error": "too slow"}
            return name, known, time.monotonic() - began
        with concurrent.futures.ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            for name, known, seconds in pool.map(ask, sorted(waiting)):
                self.say(step="compiled", workload=name, seconds=round(seconds, 1), **({"error": known["error"]} if "error" in known else {}))
                if "error" not in known:
                    known["profiler"].pop("kernel_ns")
                    self.known_path(name).write_text(json.dumps(known))

    def known_path(self, workload):
        return self.work / f".{workload}.compiled"

    def record(self, fixture, command, timeout=90, **environment):
        """Runs `command` under the shim and keeps the trace of the process that computed. Gives what it printed, or None."""
        folder, began = self.work / f".{fixture}", time.monotonic()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            done = self.run(command, min(timeout, self.left() - 5), LD_PRELOAD=gpu_lib.SHIM, TVG_OUT=folder / "%p.tvg", **environment)
        except subprocess.TimeoutExpired:
            self.say(fixture=fixture, error=f"more than {time.monotonic() - began:.0f} s")
            return None
        answer = gpu_lib.last_line(done.stdout)
        traces = sorted(folder.glob("*.tvg"), key=lambda path: path.stat().st_size)
        if done.returncode or not answer or not traces:
            self.say(fixture=fixture, error=f"exit {done.returncode}: {done.stderr[-600:]}")
            return None
        own = folder / f"{answer.get('process')}.tvg"
        shutil.move(own if own.exists() else traces[-1], self.path(fixture))
        shutil.rmtree(folder)
        answer["took_s"] = round(time.monotonic() - began, 1)
        return answer

    def model(self, fixture):
        name, way, warmup, passes, what = MODELS[fixture]
        answer = self.record(fixture, [self.python(), "worker.py", name, "--way", way, "--warmup", warmup, "--passes", passes, *self.sizes])
        if answer:
            (self.work / f".{fixture}.answer").write_text(json.dumps({**answer, "what": what}))
        return answer

    def program(self, fixture):
        module, source, what = PROGRAMS[fixture]
        if module:
            python = gpu_lib.python_with(module)
            if not python:
                return self.say(fixture=fixture, error=f"no interpreter here has {module}")
            command, products = [python, f"programs/{source}"], None
        else:
            command, products = [self.work / ".cublaslt_products"], CUBLASLT
            why = gpu_lib.build_cublaslt(command[0])
            if why:
                return self.say(fixture=fixture, error=f"not built: {why}")
        answer = self.record(fixture, command, **({} if module else {"LD_LIBRARY_PATH": gpu_lib.toolkit()}))
        if answer:
            on = {"card": (gpu_lib.cards() or [""])[0]}
            self.keep(fixture, {"what": what, "on": on, "products": products or answer["products"]}, answer["took_s"])
        return answer

    def keep(self, fixture, truth, seconds):
        path = self.path(fixture)
        self.path(fixture, "json").write_text(json.dumps({"fixture": path.name, **truth}, indent=1) + "\n")
        size = path.stat().st_size
        self.say(fixture=fixture, bytes=size, seconds=seconds, **({"too_large": True} if size > LARGEST else {}))

    def truth_of(self, fixture, known):
        """What CI compares the fixture with: torch's own counts, by another process of the same workload."""
        answer = json.loads((self.work / f".{fixture}.answer").read_text())
        if "error" in known:
            return self.say(fixture=fixture, error=f"truth: {known['error']}")
        profiler, flop = known["profiler"], known["flop"]
        truth = {"what": answer["what"], "on": known["on"], "passes": {"executed": answer["warmup"] + answer["passes"], "counted": answer["passes"]},
                 "flop": {"a_pass": flop["a_pass"], "by": flop["by"], **({"textbook": flop["textbook"] + flop["compiled_more"]} if flop["textbook"] else {}),
                          **({"within": 1e-3} if answer["way"] == "compile" else {})},
                 "units": answer["units"] and {kind: count // answer["passes"] * (answer["warmup"] + answer["passes"]) for kind, count in answer["units"].items()}}
        if profiler["kernels"]:
            truth["kernels"] = {"a_pass": profiler["kernels"] / profiler["passes"], "by": "torch.profiler, another process"}
            if "kernel_ns" in profiler:  # few passes from a card at rest: its clocks are still rising; test-gpu compares within one process
                truth["kernel_ns"] = {"a_pass": profiler["kernel_ns"] / profiler["passes"], "within": 0.15}
        if "library_share" in profiler:
            truth["library_share"] = {"value": profiler["library_share"], "within": 0.01}
        if answer["output"] != known["output"]:
            self.say(fixture=fixture, error=f"the output differs under the shim: {answer['output']}, bare {known['output']}")
        self.keep(fixture, truth, answer["took_s"])

    def truths(self, fixtures):
        """Of the rest, one workload after another in one process, which is started again behind one that ended it."""
        waiting = {fixture: "{}:{}".format(*MODELS[fixture][:2]) for fixture in fixtures
                   if self.path(fixture).exists() and not self.path(fixture, "json").exists()}
        for fixture in [one for one, case in waiting.items() if case.endswith(":compile")]:
            kept = self.known_path(waiting.pop(fixture).partition(":")[0])
            self.truth_of(fixture, json.loads(kept.read_text()) if kept.exists() else {"error": "its compilation failed"})
        while waiting and self.left() > 15:
            cases = list(dict.fromkeys(waiting.values()))
            command = [self.python(), "truths.py", *self.sizes, *cases]
            settings = gpu_lib.clean_environment(**{**gpu_lib.ENVIRONMENT, **self.environment})
            process = subprocess.Popen(command, cwd=gpu_lib.HERE, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            timer = concurrent.futures.ThreadPoolExecutor(1)
            timer.submit(lambda: process.wait(max(1, self.left() - 8))).add_done_callback(lambda done: process.kill() if done.exception() else None)
            seen = 0
            for line in process.stdout:
                if not line.startswith("{"):
                    continue
                known = json.loads(line)
                case = f"{known['workload']}:{known['way']}"
                seen += 1
                for fixture in [one for one, wanted in waiting.items() if wanted == case]:
                    self.truth_of(fixture, known)
                    del waiting[fixture]
            process.wait()
            timer.shutdown()
            if seen == 0 and waiting:  # it died of its first case: the others may live
                dead = next(iter(waiting))
                self.say(fixture=dead, error=f"truth: {waiting.pop(dead)} ended its process with {process.returncode}")
        for fixture in waiting:
            self.say(fixture=fixture, error="truth: no time left")

    def pack(self):
        """One tar of every trace that has its truth. What lies in .FOLDERS of the work folder stays there."""
        found = sorted(path for path in self.work.glob("*.tvg") if path.with_suffix(".json").exists())
        with tarfile.open(self.out / "gpu-fixtures.tar.gz", "w:gz") as tar:
            for path in found:
                for file in (path, path.with_suffix(".json")):
                    tar.add(file, arcname=file.name)
        self.say(step="packed", fixtures=len(found), bytes=(self.out / "gpu-fixtures.tar.gz").stat().st_size, seconds_left=round(self.left()))

    def all(self):
        chosen = lambda table: [name for name in table if not self.options.only or re.search(self.options.only, name)]  # noqa: E731
        models = [fixture for fixture in chosen(MODELS) if not (self.options.device == "cpu" and MODELS[fixture][1] == "graph")]
        new = [fixture for fixture in models if not self.path(fixture).exists()]
        self.compiled_truths(new)
        truth_seconds = 4 * sum(MODELS[fixture][1] != "compile" for fixture in models) + 20
        for fixture in new:
            if self.left() < truth_seconds:
                self.say(fixture=fixture, error="no time left: run it again, what is done is kept")
            else:
                self.model(fixture)
        if self.options.device != "cpu":
            for fixture in chosen(PROGRAMS):
                if not self.path(fixture).exists() and self.left() > truth_seconds:
                    self.program(fixture)
        self.truths(models)
        self.pack()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, required=True, help="gpu-fixtures.tar.gz and fixtures.jsonl go here")
    parser.add_argument("--work", type=pathlib.Path, help="traces and caches (default: fixtures/ in --out)")
    parser.add_argument("--seconds", type=float, default=540)
    parser.add_argument("--only", help="a regular expression of fixtures' names")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: a trial of the programs, no fixture")
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    if options.device == "cuda":
        refusal = gpu_lib.refusal("fixtures-gpu")
        if refusal:
            print(refusal, file=sys.stderr)
            return 3
    options.out, options.work = options.out.absolute(), options.work and options.work.absolute()
    Recorder(options).all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
