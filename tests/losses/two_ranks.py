"""One of two processes that share a batch: `two_ranks.py RANK FOLDER` writes what it finds for each gathering loss.

A linear layer stands for the network, and its gradient is averaged over ranks as DDP does.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vssl.losses.info_nce import info_nce
from vssl.losses.nt_xent import nt_xent

RANKS, CLIPS = 2, 3  # clips of one rank
Found = dict[str, dict[str, Tensor]]


def of_moco(network: nn.Linear, a: Tensor, b: Tensor) -> Tensor:
    """Keys of another network, as those of a target are."""
    a_keys, b_keys = (view[:, :6] ** 2 for view in (a, b))
    return info_nce(network(a), b_keys, 0.2) + info_nce(network(b), a_keys, 0.2)


def of_simclr(network: nn.Linear, a: Tensor, b: Tensor) -> Tensor:
    return nt_xent(network(a), network(b), 0.1)


LOSSES: dict[str, Callable[[nn.Linear, Tensor, Tensor], Tensor]] = {"info_nce": of_moco, "nt_xent": of_simclr}


def find(rows: slice, average: Callable[[Tensor], Tensor]) -> Found:
    """Loss and gradient of each loss on some rows of the batch."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, RANKS * CLIPS, 7, dtype=torch.float64, generator=generator)
    weight = torch.randn(6, 7, dtype=torch.float64, generator=generator)
    found: Found = {}
    for name, loss_of in LOSSES.items():
        network = nn.Linear(7, 6, bias=False, dtype=torch.float64)
        network.weight.data.copy_(weight)
        loss = loss_of(network, a[rows], b[rows])
        loss.backward()
        assert network.weight.grad is not None
        found[name] = {"loss": average(loss.detach()), "gradient": average(network.weight.grad)}
    return found


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS, timeout=timedelta(seconds=60)
    )

    def average(x: Tensor) -> Tensor:
        dist.all_reduce(x)
        return x / RANKS

    torch.save(find(slice(rank * CLIPS, (rank + 1) * CLIPS), average), folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
