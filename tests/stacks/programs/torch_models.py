"""torch_models.py MODEL: one pass on the CPU; prints as JSON the digest of its output and torch's own count of its FLOP."""
import hashlib
import json
import sys

import torch

torch.manual_seed(0)
torch.set_num_threads(1)


def model(name):
    if name.startswith("llama"):
        from transformers import LlamaConfig, LlamaForCausalLM
        llama = LlamaForCausalLM(LlamaConfig(vocab_size=1000, hidden_size=256, intermediate_size=512, num_hidden_layers=3, num_attention_heads=8,
                                             num_key_value_heads=4)).eval()
        llama = llama.bfloat16() if name.endswith("bf16") else llama
        tokens = torch.randint(0, 1000, (2, 48))
        return lambda: llama(tokens).logits
    import torchvision
    network = (torchvision.models.resnet18() if name == "resnet18" else torchvision.models.vit_b_16(image_size=64)).eval()
    image = torch.randn(1, 3, 64, 64)
    return lambda: network(image)


with torch.no_grad():
    run = model(sys.argv[1])
    output = run()
    print(json.dumps({"digest": hashlib.sha256(output.float().numpy().tobytes()).hexdigest()}))
