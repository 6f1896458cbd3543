"""Data-parallel training over single-threaded processes.

Two processes of one thread each meet once a step, two threads of one process at every operation,
where on a machine that others use too they wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing


class Gang:
    """One process's place among `size` processes that train together."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank = rank
        self.size = size

    def share(self, total: int) -> range:
        """Indices among `total` pieces of work that fall to this process."""
        return range(self.rank, total, self.size)

    def sum_gradients(self, model: torch.nn.Module, extra: torch.Tensor) -> torch.Tensor:
        """Sum all processes' gradients in place; returns the sum of `extra` (1-D)."""
        if self.size == 1:
            return extra
        parameters = [p for p in model.parameters() if p.requires_grad]
        pieces = [
            p.new_zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters
        ]
        flat = torch.cat([*pieces, extra])
        distributed.all_reduce(flat)
        offset = 0
        for parameter in parameters:
            piece = flat[offset : offset + parameter.numel()]
            parameter.grad = piece.view_as(parameter).clone()
            offset += parameter.numel()
        return flat[offset:]


def _enter(
    rank: int, size: int, rendezvous: str, work: Callable[..., None], *arguments: Any
) -> None:
    torch.set_num_threads(1)
    if size > 1:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=size
        )
    try:
        work(Gang(rank, size), *arguments)
    finally:
        if size > 1:
            distributed.destroy_process_group()


def run_gang(size: int, folder: Path, work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(gang, *arguments)` in `size` processes; an error in one ends all.

    `work` must be a module-level function. `folder` holds the file they meet through.
    """
    rendezvous = folder.resolve() / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    multiprocessing.spawn(_enter, (size, str(rendezvous), work, *arguments), nprocs=size)
