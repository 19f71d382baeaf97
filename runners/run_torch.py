"""TorchScript and torch.export programs by torch. A program of torch.export brings its inputs; TorchScript names none, so they are told by its first
weight, or by --input."""
import zipfile

from runner import Problem, SIDE, Session, serve, units_of


def is_export(path):
    with zipfile.ZipFile(path) as archive:
        return not any(name.endswith("/constants.pkl") for name in archive.namelist())


def guesses(torch, module, given):
    """Shapes and types to try for a first input, likeliest first, by the first weight that has at least two sides."""
    weight = next((value for value in module.parameters() if value.dim() >= 2), None)
    if weight is None:
        return []
    shape, kind = list(weight.shape), str(weight.dtype).removeprefix("torch.")
    tokens, rows = ([given.batch, given.read], "int64"), ([given.batch, shape[1]], kind)
    if weight.dim() == 4:
        return [([given.batch, shape[1], SIDE, SIDE], kind)]
    if weight.dim() == 3:
        return [([given.batch, shape[1], given.read], kind)]
    return [tokens, rows] if shape[0] > 1000 else [rows, tokens]


def tensor(torch, inputs, name, shape, kind, ids=None):
    if kind == "bfloat16":
        return torch.from_numpy(inputs.array(name, shape, "float32")).bfloat16()
    return torch.from_numpy(inputs.array(name, shape, kind, ids))


def open_script(torch, given, inputs):
    module = torch.jit.load(given.model, map_location="cpu").eval()
    ids = inputs.tokenized()
    if given.input:
        wanted = [(name, *value) for name, value in inputs.named.items()] + [(None, *value) for value in inputs.ordered]
        inputs.named, inputs.ordered = {}, []
        words = {name: tensor(torch, inputs, name, shape, kind or "float32", ids) for name, shape, kind in wanted if name}
        return module, [tensor(torch, inputs, f"input {i}", shape, kind or "float32", ids) for i, (name, shape, kind) in enumerate(wanted) if not name], words, 0
    tried = []
    for shape, kind in [([given.batch, given.read], "int64")] if ids else guesses(torch, module, given):
        inputs.made.clear()
        value = tensor(torch, inputs, "input 0", shape, kind, ids)
        try:
            with torch.no_grad():
                module(value)
            return module, [value], {}, 1
        except Exception as error:
            tried.append(f"{kind} {shape}: {str(error).strip().splitlines()[-1][:160]}")
    raise Problem("a TorchScript program does not say its inputs" + (", and a guess failed (" + "; ".join(tried) + ")" if tried else "") +
                  "; give each by --input SHAPE:TYPE, for instance --input 1x3x224x224:float32")


def open_model(torch, given, inputs):
    if given.threads:
        torch.set_num_threads(given.threads)
    if is_export(given.model):
        inputs.refuse_text("a torch.export program brings its own inputs")
        program = torch.export.load(given.model)
        module, (values, words), done = program.module(), program.example_inputs, 0
        leaves = torch.utils._pytree.tree_leaves((values, words))
        inputs.made += [f"its example {str(leaf.dtype).removeprefix('torch.')} {list(leaf.shape)}" for leaf in leaves if torch.is_tensor(leaf)]
    else:
        module, values, words, done = open_script(torch, given, inputs)
        leaves = [*values, *words.values()]
    tensors = [leaf for leaf in leaves if torch.is_tensor(leaf)]

    def run():
        with torch.no_grad():
            module(*values, **words)

    units = units_of([(list(leaf.shape), not leaf.is_floating_point()) for leaf in tensors])
    return Session(run, units, ", ".join(inputs.made), f"torch {torch.__version__}", done)


serve("PyTorch program", "torch", "torch", open_model)
