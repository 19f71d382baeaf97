"""What the runners share: options, inputs, the runs, units, progress, and errors that name the model and the reason.

A runner is started by `tvg run` with the shim preloaded. It gives serve() a function that opens the model and returns a Session."""
import argparse
import contextlib
import ctypes
import importlib
import importlib.util
import os
import pathlib
import random
import re
import sys
import threading
import time

SIDE = 224  # of an image whose size the model leaves open
SAFE_IDS = 100  # token ids below this are in any vocabulary


class Problem(Exception):
    """What the user has to know and do: shown as it is."""


class Session:
    """An opened model. `run` does one inference and returns what it made ({"sequence": 8}), or None when that is `units`, always the same; empty when the
    shim counts by itself. `done`: inferences that opening it took."""

    def __init__(self, run, units, inputs, runtime, done=0):
        self.run, self.units, self.inputs, self.runtime, self.done = run, units, inputs, runtime, done


def options():
    parser = argparse.ArgumentParser(description="started by tvg run")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--tokens", default="64+32")
    parser.add_argument("--text")
    parser.add_argument("--input", action="append", default=[])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--warmup", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args()
    read, _, new = given.tokens.partition("+")
    given.read, given.new = int(read), int(new or 32)
    given.read_given = any(word.startswith("--tokens") for word in sys.argv)
    return given


# --- what is said -------------------------------------------------------------------------------------------------------------------

def fail(message):
    print(f"tvg run: {message}", file=sys.stderr, flush=True)
    os._exit(2)  # a runtime's threads or destructors have no say any more


def first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:400] if lines else type(error).__name__


def need(module, package, title):
    """The imported module; when it is missing, the command that installs it."""
    install = f"{sys.executable} -m pip install {package}"
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise Problem(f"{title}: it needs {package}, which {sys.executable} does not have: {install}")
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise Problem(f"{title}: {package} can't be imported: {first_line(error)}; {install} --force-reinstall may mend it") from error


class Progress:
    """A line on a terminal, once the work has taken 2 s."""

    def __init__(self, quiet):
        self.active, self.began, self.shown = sys.stderr.isatty() and not quiet, time.monotonic(), False
        self.timer = None

    def show(self, text):
        if self.active and time.monotonic() - self.began >= 2:
            self.shown = True
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def during(self, text):
        """Shows the text as soon as 2 s have passed since the start."""
        self.show(text)
        timer = threading.Timer(max(0, self.began + 2 - time.monotonic()), self.show, [text]) if self.active and not self.shown else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer:
                timer.cancel()

    def end(self):
        if self.shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        self.shown = False


# --- the shim's functions --------------------------------------------------------------------------------------------------------------

def mark_units(units):
    shim = ctypes.CDLL(None)
    if not hasattr(shim, "tvg_units"):
        return
    shim.tvg_units.argtypes = [ctypes.c_char_p, ctypes.c_double]
    for kind, count in units.items():
        shim.tvg_units(kind.encode(), float(count))


def mark_warmup_done():
    shim = ctypes.CDLL(None)
    if hasattr(shim, "tvg_warmup_done"):
        shim.tvg_warmup_done()


# --- inputs -------------------------------------------------------------------------------------------------------------------------------

class Inputs:
    """Makes inputs by name, shape and type; --input overrides by name or by order; what was made is kept for the user to see."""

    def __init__(self, given):
        self.given, self.made, self.random = given, [], random.Random(0)
        self.named, self.ordered = {}, []
        for text in given.input:
            match = re.fullmatch(r"(?:(.+)=)?(\d+(?:x\d+)*)(?::(\w+))?", text)
            if not match:
                raise Problem(f"--input {text}: it is [NAME=]SHAPE[:TYPE], for instance 1x3x224x224 or ids=8x128:int64")
            name, shape, kind = match.groups()
            wanted = ([int(side) for side in shape.split("x")], kind)
            if name:
                self.named[name] = wanted
            else:
                self.ordered.append(wanted)

    def side(self, dimension, position, rank, integer):
        """One side of a shape: a number is kept; a name or None is chosen by what it says, else by where it stands."""
        if isinstance(dimension, int) and dimension > 0:
            return dimension
        name = dimension.lower() if isinstance(dimension, str) else ""
        if "past" in name and "+" not in name and "total" not in name:
            return 0
        if "batch" in name or (position == 0 and "seq" not in name):
            return self.given.batch
        if "channel" in name:
            return 3
        if "height" in name or "width" in name:
            return SIDE
        if rank == 4 and not integer and not name:
            return (self.given.batch, 3, SIDE, SIDE)[position]
        return self.given.read

    def shape(self, name, dimensions, kind):
        """The shape and the type's name for an input: --input's word, else the model's own, its open sides filled."""
        wanted = self.named.get(name) or (self.ordered.pop(0) if self.ordered else None)
        if wanted:
            return wanted[0], wanted[1] or kind
        integer = "int" in kind
        return [self.side(side, position, len(dimensions), integer) for position, side in enumerate(dimensions)], kind

    def array(self, name, dimensions, kind, ids=None):
        """A numpy array for an input. `ids`: rows of token ids to use where the input takes ids."""
        import numpy
        shape, kind = self.shape(name, dimensions, kind)
        try:
            dtype = numpy.dtype(kind)
        except TypeError as error:
            raise Problem(f"input {name} has type {kind}, which can't be made up; give another model input by --input {name}=SHAPE:TYPE") from error
        generator, word = numpy.random.default_rng(len(self.made)), name.lower()
        if dtype.kind == "f":
            value = generator.standard_normal(shape).astype(dtype)
        elif dtype.kind == "b":
            value = numpy.full(shape, "cache" not in word)
        elif dtype.kind not in "iu":
            raise Problem(f"input {name} has type {kind}, which can't be made up")
        elif "mask" in word:
            value = numpy.ones(shape, dtype)
            if ids is not None and len(shape) == 2:
                value = numpy.array([[token is not None for token in row] for row in ids], dtype)
        elif "type" in word or "segment" in word:
            value = numpy.zeros((len(ids), len(ids[0])) if ids is not None else shape, dtype)
        elif "position" in word:
            value = numpy.broadcast_to(numpy.arange((len(ids[0]) if ids is not None else shape[-1])), shape if ids is None else (len(ids), len(ids[0]))).astype(dtype)
        elif ids is not None and len(shape) == 2:
            value = numpy.array([[token or 0 for token in row] for row in ids], dtype)
        else:
            value = generator.integers(1, SAFE_IDS, shape).astype(dtype)
        self.made.append(f"{name} {value.dtype} {list(value.shape)}")
        return value

    def ids(self, vocabulary=SAFE_IDS):
        """Random token ids: batch rows of `read` tokens."""
        return [[self.random.randrange(1, max(2, vocabulary)) for _ in range(self.given.read)] for _ in range(self.given.batch)]

    def text(self):
        try:
            text = pathlib.Path(self.given.text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(f"--text {self.given.text}: {first_line(error)}") from error
        if not text.strip():
            raise Problem(f"--text {self.given.text}: there is no text in it")
        return text

    def lines(self):
        """As many lines of the text as the batch has rows, from its start over and over."""
        lines = [line for line in self.text().splitlines() if line.strip()]
        return [lines[i % len(lines)] for i in range(self.given.batch)]

    def tokenized(self, one_prompt=False):
        """Rows of token ids of --text by the tokenizer.json beside the model, padded with None; None without --text."""
        if not self.given.text:
            return None
        model = pathlib.Path(self.given.model)
        places = [(model if model.is_dir() else model.parent) / "tokenizer.json", model.parent / "tokenizer.json", model.parent.parent / "tokenizer.json"]
        place = next((place for place in places if place.is_file()), None)
        if not place:
            raise Problem(f"--text needs a tokenizer.json beside the model: none in {places[0].parent}")
        tokenizer = need("tokenizers", "tokenizers", "tokenizer.json").Tokenizer.from_file(str(place))
        tokenizer.no_padding()
        texts = [self.text()] * self.given.batch if one_prompt else self.lines()
        rows = [item.ids for item in tokenizer.encode_batch(texts)]
        if self.given.read_given:
            rows = [row[:self.given.read] for row in rows]
        longest = max(map(len, rows))
        if not longest:
            raise Problem(f"--text {self.given.text}: its tokenizer makes no token of it")
        return [row + [None] * (longest - len(row)) for row in rows]

    def refuse_text(self, why):
        if self.given.text:
            raise Problem(f"--text is not for this model: {why}")


def units_of(arrays):
    """What one inference makes, told by its inputs (pairs of shape and is-integer): images, sequences, else requests; as many as the first has rows."""
    batch = next((shape[0] for shape, _ in arrays if len(shape) > 1), 1)
    if any(len(shape) == 4 and not integer for shape, integer in arrays):
        return {"image": batch}
    if any(integer and len(shape) == 2 for shape, integer in arrays):
        return {"sequence": batch}
    return {"request": batch}


# --- the run -------------------------------------------------------------------------------------------------------------------------------

def serve(title, module, package, open_model):
    """Opens the model by open_model(runtime module, options, inputs) and runs it. Does not return."""
    given = options()
    os.dup2(os.open(os.devnull, os.O_WRONLY) if given.quiet else 2, 1)  # what a runtime prints must not mix with the report
    try:
        runtime = need(module, package, title)
        if given.threads:
            for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                os.environ[variable] = str(given.threads)
        progress = Progress(given.quiet)
        with progress.during("opening the model"):
            session = open_model(runtime, given, Inputs(given))
        if not given.quiet:
            progress.end()
            print(f"tvg run: {title} by {session.runtime}: {session.inputs}; {given.warmup} + {given.runs} runs", file=sys.stderr, flush=True)
        total = max(given.warmup + given.runs, session.done)
        for number in range(total):
            if number == given.warmup and number:
                mark_warmup_done()
            with progress.during(f"run {number + 1} of {total}"):
                units = session.run() if number >= session.done else None
            mark_units(session.units if units is None else units)
        progress.end()
    except Problem as problem:
        fail(f"{given.model}: {problem}")
    except Exception as error:
        fail(f"{given.model}: {title}: {type(error).__name__}: {first_line(error)}")
    sys.exit(0)
