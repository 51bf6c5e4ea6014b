"""One of two processes that share a batch: `two_ranks.py RANK FOLDER DEVICE` writes what it finds for each case.

Gradients are averaged over ranks as DDP does. On CPUs cases are losses, a linear layer standing for the network. On a
GPU, which both processes use if there is no other, they are also whole methods: their BatchNorm sees both ranks there.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vssl.losses.info_nce import info_nce
from vssl.losses.nt_xent import nt_xent

RANKS, CLIPS = 2, 3  # clips of one rank
Found = dict[str, dict[str, Tensor]]
Case = Callable[[slice, str], tuple[nn.Module, Tensor]]


def info_nce_of(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """Keys of another network, as those of a target are."""
    a_keys, b_keys = (view[:, :6] ** 2 for view in (a, b))
    return info_nce(network(a), b_keys, 0.2) + info_nce(network(b), a_keys, 0.2)


def nt_xent_of(network: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    return nt_xent(network(a), network(b), 0.1)


def loss_case(loss_of: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> Case:
    def case(rows: slice, device: str) -> tuple[nn.Module, Tensor]:
        generator = torch.Generator().manual_seed(0)
        a, b = torch.randn(2, RANKS * CLIPS, 7, dtype=torch.float64, generator=generator).to(device)
        torch.manual_seed(0)
        network = nn.Linear(7, 6, bias=False, dtype=torch.float64).to(device)
        return network, loss_of(network, a[rows], b[rows])

    return case


LOSSES: dict[str, Case] = {"info_nce": loss_case(info_nce_of), "nt_xent": loss_case(nt_xent_of)}


def methods() -> dict[str, Case]:
    """Those whose heads have BatchNorm. Lightning takes seconds to import, which processes on CPUs can do without."""
    from methods.byol import BYOL
    from methods.cvrl import CVRL
    from methods.moco_v3 import MoCoV3
    from methods.simclr import SimCLR
    from methods.simsiam import SimSiam
    from tests.methods.equations import Flat, views

    def method_case(cls: Any, widths: dict[str, int]) -> Case:
        def case(rows: slice, device: str) -> tuple[nn.Module, Tensor]:
            torch.manual_seed(0)
            method = nn.SyncBatchNorm.convert_sync_batchnorm(cls(Flat(), dim=4, **widths).double()).to(device)
            clips = {name: clip[rows].to(device) for name, clip in views(RANKS * CLIPS).items()}
            return method, method.losses(clips, {})["loss"]

        return case

    hidden = {"hidden_dim": 5}
    widths = {MoCoV3: hidden, BYOL: hidden, SimSiam: {"bottleneck": 3}, SimCLR: {}, CVRL: hidden}
    return {cls.__name__: method_case(cls, given) for cls, given in widths.items()}


def cases(device: str) -> dict[str, Case]:
    return LOSSES if device == "cpu" else {**LOSSES, **methods()}


def find(case: Case, rows: slice, device: str, average: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """The loss on some rows of the batch, every gradient, and running statistics."""
    network, loss = case(rows, device)
    loss.backward()
    found = {"loss": loss.detach()}
    found |= {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    found |= {name: buffer for name, buffer in network.named_buffers() if "running_" in name}
    return {name: average(tensor).cpu() for name, tensor in found.items()}


def main() -> None:
    rank, folder, device = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    if device == "cuda":
        device = f"cuda:{rank % torch.cuda.device_count()}"
        torch.cuda.set_device(device)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )

    def average(x: Tensor) -> Tensor:
        dist.all_reduce(x)
        return x / RANKS

    rows = slice(rank * CLIPS, (rank + 1) * CLIPS)
    found = {name: find(case, rows, device, average) for name, case in cases(device).items()}
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
