"""GGUF by llama-cpp-python: a prompt is read and new tokens are written, greedily. The shim counts the tokens in llama_decode by itself."""
import ctypes

from runner import Problem, Session, serve

messages = []


def open_model(llama_cpp, given, inputs):
    # The reason for a refused file is said in the log only.
    level_error = 4

    @llama_cpp.llama_log_callback
    def log(level, text, user):
        if level == level_error:
            messages.append(text.decode("utf-8", "replace").strip())

    llama_cpp.llama_log_set(log, ctypes.c_void_p(0))
    open_model.log = log  # kept as long as the library may call it
    threads = {"n_threads": given.threads, "n_threads_batch": given.threads} if given.threads else {}
    if given.batch != 1:
        raise Problem("--batch is not for GGUF: llama-cpp-python generates one sequence at a time")
    try:
        vocabulary = llama_cpp.Llama(given.model, vocab_only=True, verbose=False)
        if given.text:
            prompt = vocabulary.tokenize(inputs.text().encode())
            prompt = prompt[:given.read] if given.read_given else prompt
        else:
            inputs.given.batch = 1
            prompt = inputs.ids(vocabulary.n_vocab())[0]
        llama = llama_cpp.Llama(given.model, n_ctx=len(prompt) + given.new + 8, seed=1, verbose=False, **threads)
    except (ValueError, AssertionError) as error:
        raise Problem(f"llama.cpp refuses it: {messages[0] if messages else error}") from error

    def run():
        llama.reset()
        llama._ctx.kv_cache_clear() if hasattr(llama._ctx, "kv_cache_clear") else llama._ctx.memory_clear(True)
        for number, _ in enumerate(llama.generate(prompt, temp=0, reset=False)):
            if number + 1 == given.new:
                break
        return {}

    return Session(run, {}, f"{len(prompt)} tokens read, {given.new} written", f"llama-cpp-python {llama_cpp.__version__}")


serve("GGUF model", "llama_cpp", "llama-cpp-python", open_model)
