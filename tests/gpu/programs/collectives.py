"""Two ranks of torch.distributed over NCCL: 20 times a product, an all-reduce of 4 MiB, an all-gather, and 1000 numbers from rank 0 to rank 1."""
import torch
import torch.distributed

torch.distributed.init_process_group("nccl")
rank = torch.distributed.get_rank()
torch.cuda.set_device(rank)
device = f"cuda:{rank}"
values, weights, given = torch.ones(1 << 20, device=device), torch.randn(1024, 1024, device=device).half(), torch.randn(64, 1024, device=device).half()
gathered = [torch.empty(1 << 18, device=device) for _ in range(2)]
for _ in range(20):
    product = given @ weights
    torch.distributed.all_reduce(values)
    values /= 2
    torch.distributed.all_gather(gathered, values[:1 << 18].contiguous())
    part = values[:1000].contiguous()
    torch.distributed.send(part, 1) if rank == 0 else torch.distributed.recv(part, 0)
torch.cuda.synchronize()
assert float(values.sum()) == 1 << 20
torch.distributed.destroy_process_group()
