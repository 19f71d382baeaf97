"""A CTranslate2 folder on the CPU: generators and translators write tokens, encoders read them, Whisper writes tokens of half a minute of sound."""
import json
import pathlib
import struct

from runner import Problem, Session, serve


def specification(folder):
    with open(folder / "model.bin", "rb") as file:
        length = struct.unpack("<IH", file.read(6))[1]
        return file.read(length).rstrip(b"\0").decode()


def vocabulary(folder):
    """The tokens that the model can read."""
    for name in ("vocabulary", "source_vocabulary", "shared_vocabulary"):
        if (folder / f"{name}.json").is_file():
            return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        if (folder / f"{name}.txt").is_file():
            return (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    raise Problem("there is no vocabulary file in its folder")


def open_model(ctranslate2, given, inputs):
    folder = pathlib.Path(given.model)
    name, words = specification(folder), vocabulary(folder)
    threads = {"intra_threads": given.threads or 0, "inter_threads": 1}
    opened = {"device": "cpu", **threads}
    if name == "WhisperSpec":
        inputs.refuse_text("it hears, it does not read")
        return open_whisper(ctranslate2, given, opened)
    rows = inputs.tokenized(one_prompt=name != "TransformerEncoderSpec") or inputs.ids(len(words))
    tokens = [[words[token] for token in row if token is not None] for row in rows]
    written = {"max_length" if name == "TransformerDecoderSpec" else "max_decoding_length": given.new,
               "min_length" if name == "TransformerDecoderSpec" else "min_decoding_length": given.new}
    said, units = f"{len(tokens)} x {len(tokens[0])} tokens read, {given.new} written", {"output_token": len(tokens) * given.new}
    if name == "TransformerDecoderSpec":
        model = ctranslate2.Generator(str(folder), **opened)

        def run():
            model.generate_batch(tokens, beam_size=1, include_prompt_in_result=False, **written)
    elif name == "TransformerSpec":
        model = ctranslate2.Translator(str(folder), **opened)

        def run():
            model.translate_batch(tokens, beam_size=1, **written)
    elif name == "TransformerEncoderSpec":
        model = ctranslate2.Encoder(str(folder), **opened)
        said, units = f"{len(tokens)} x {len(tokens[0])} tokens", {"sequence": len(tokens)}

        def run():
            model.forward_batch(tokens)
    else:
        raise Problem(f"its specification is {name}, which has no runner")
    return Session(run, units, said, f"ctranslate2 {ctranslate2.__version__}, {name}, {model.compute_type}")


def open_whisper(ctranslate2, given, opened):
    import numpy
    model = ctranslate2.models.Whisper(given.model, **opened)
    sound = numpy.random.default_rng(0).standard_normal((given.batch, model.n_mels, 3000)).astype(numpy.float32)
    features, start = ctranslate2.StorageView.from_array(sound), [["<|startoftranscript|>"]] * given.batch

    def run():
        made = model.generate(features, start, beam_size=1, max_length=given.new)
        return {"output_token": sum(len(item.sequences_ids[0]) for item in made), "audio_second": 30 * given.batch}

    return Session(run, {}, f"{given.batch} x 30 s of noise, at most {given.new} tokens written", f"ctranslate2 {ctranslate2.__version__}, WhisperSpec, {model.compute_type}")


serve("CTranslate2 model", "ctranslate2", "ctranslate2", open_model)
