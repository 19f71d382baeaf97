"""A folder of config.json and weights by transformers: text is generated where the model can, else one pass is made."""
from runner import Problem, SIDE, Session, need, serve


def architecture(transformers, given):
    config = transformers.AutoConfig.from_pretrained(given.model, local_files_only=True)
    for name in config.architectures or []:
        if hasattr(transformers, name):
            return config, getattr(transformers, name)
    if config.architectures:
        raise Problem(f"transformers {transformers.__version__} has no {config.architectures[0]} (config.json, architectures)")
    return config, transformers.AutoModel


def token_inputs(torch, transformers, model, config, given, inputs, generating):
    if given.text:
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(given.model, local_files_only=True)
        except Exception as error:
            raise Problem(f"--text needs the model's tokenizer files in its folder: {str(error).splitlines()[0][:200]}") from error
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "left" if generating else tokenizer.padding_side
        texts = [inputs.text()] * given.batch if generating else inputs.lines()
        limit = {"truncation": True, "max_length": given.read} if given.read_given else {"truncation": tokenizer.model_max_length < 1e6}
        return dict(tokenizer(texts, return_tensors="pt", padding=len(texts) > 1, **limit))
    ids = torch.tensor(inputs.ids(getattr(config.get_text_config(), "vocab_size", 100)))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def other_inputs(torch, config, given, name):
    """Inputs that are no text, by the name that the model has for its main input."""
    if name == "pixel_values":
        side = getattr(config, "image_size", None) or SIDE
        sides = list(side) if isinstance(side, (list, tuple)) else [side, side]
        return {name: torch.randn(given.batch, getattr(config, "num_channels", 3), *sides)}
    if name == "input_features" and hasattr(config, "num_mel_bins"):
        return {name: torch.randn(given.batch, config.num_mel_bins, 2 * getattr(config, "max_source_positions", 1500))}
    if name == "input_values":
        return {name: torch.randn(given.batch, 16000)}
    raise Problem(f"its main input is {name}, which can't be made up")


def open_model(torch, given, inputs):
    transformers = need("transformers", "transformers", "transformers model")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    if given.threads:
        torch.set_num_threads(given.threads)
    config, kind = architecture(transformers, given)
    model = kind.from_pretrained(given.model, local_files_only=True).eval()
    generating = model.can_generate()
    if model.main_input_name == "input_ids":
        values = token_inputs(torch, transformers, model, config, given, inputs, generating)
    else:
        inputs.refuse_text(f"its input is {model.main_input_name}")
        values = {name: value.to(model.dtype) for name, value in other_inputs(torch, config, given, model.main_input_name).items()}
    shape = list(values[model.main_input_name].shape)
    said, units = f"{model.main_input_name} {shape}", {"image" if model.main_input_name == "pixel_values" else "sequence": shape[0]}
    call = model
    if generating:
        said += f", {given.new} tokens written"
        units = {"output_token": shape[0] * given.new}
        padding = {} if model.generation_config.pad_token_id is not None else {"pad_token_id": 0}

        def call(**values):
            model.generate(**values, max_new_tokens=given.new, min_new_tokens=given.new, do_sample=False, num_beams=1, **padding)

    def run():
        with torch.no_grad():
            call(**values)

    return Session(run, units, said, f"transformers {transformers.__version__}, torch {torch.__version__}, {type(model).__name__} in {str(model.dtype).removeprefix('torch.')}")


serve("transformers model", "torch", "torch", open_model)
