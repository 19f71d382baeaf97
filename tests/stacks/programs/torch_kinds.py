"""torch_kinds.py: tensors that are no plain memory of this processor, and odd ones that are: prints shapes and sums, nothing on stderr."""
import warnings

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

warnings.simplefilter("ignore")
torch.set_num_threads(1)
nested = torch.nested.nested_tensor([torch.ones(2, 4), torch.ones(3, 4)])
print("nested", (nested + nested).to_padded_tensor(0).sum().item(), F.softmax(nested, -1).size(0))
sparse = torch.eye(4).to_sparse()
print("sparse", (sparse + sparse).to_dense().sum().item(), torch.relu(sparse).to_dense().sum().item(), (sparse * 2).to_dense().sum().item())
opaque = torch.ones(2, 3, 8, 8).to_mkldnn()
print("opaque", torch.relu(opaque).to_dense().shape, (opaque + opaque).to_dense().sum().item())
print("meta", (torch.ones(3, device="meta") + 1).shape, F.layer_norm(torch.ones(3, 4, device="meta"), (4,)).shape)
with FakeTensorMode():
    fake = torch.randn(4, 4)
    print("fake", F.gelu(fake @ fake).shape, torch.cat([fake, fake]).shape, torch.embedding(fake, torch.tensor([1])).shape)
complex_one = torch.ones(3, 3, dtype=torch.complex64)
print("conjugated", (complex_one.conj() * complex_one).real.sum().item(), complex_one.conj().clone().shape)
empty = torch.empty(0, 5)
print("empty", (empty + empty).shape, torch.softmax(empty, -1).shape, (empty @ torch.ones(5, 2)).shape)
deep = torch.ones((1,) * 20)
print("deep", (deep + deep).dim(), deep.clone().sum().item())
lazy = torch._lazy_clone(torch.ones(4))
print("lazy", (lazy + 1).sum().item(), torch._C._is_cow_tensor(lazy))  # it was only read
print("quantized", torch.quantize_per_channel(torch.ones(3, 4), torch.ones(3), torch.zeros(3), 0, torch.qint8).dequantize().sum().item())
leaf = torch.ones(3, requires_grad=True)
(torch.tanh(leaf) * leaf).sum().backward()
print("gradient", leaf.grad.sum().item())
print("vmap", torch.func.vmap(lambda row: torch.softmax(row, -1))(torch.ones(2, 3, 4)).sum().item())
