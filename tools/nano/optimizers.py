"""Optimizers and learning-rate schedule of both trainings."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn


class OptimizerPair:
    """Muon for the matrices of decoder layers and of media projections, AdamW for the rest.

    The patch projection is among Muon's: neighbouring pixels are so alike that equal steps for
    every weight move little but the mean colour. The two were not compared on their own.
    """

    def __init__(self, model: nn.Module, matrix_lr: float, other_lr: float) -> None:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            inner = parameter.ndim == 2 and ".embed_tokens." not in name and "lm_head" not in name
            (matrices if inner else others).append(parameter)
        self._parameters = [*matrices, *others]
        self._optimizers: list[tuple[torch.optim.Optimizer, float]] = [
            (
                torch.optim.Muon(
                    matrices, lr=matrix_lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
                ),
                matrix_lr,
            ),
            (
                torch.optim.AdamW(others, lr=other_lr, betas=(0.9, 0.98), weight_decay=0.01),
                other_lr,
            ),
        ]

    def step(self, scale: float) -> None:
        """Clip, update with the base rates times `scale`, and clear the gradients."""
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimizer, rate in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, object]]:
        """State of both optimizers."""
        return [optimizer.state_dict() for optimizer, _ in self._optimizers]

    def load_state_dict(self, states: Iterable[dict[str, object]]) -> None:
        """Restore what `state_dict` gave."""
        for (optimizer, _), state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def schedule(progress: float, warmup: float = 0.02) -> float:
    """Linear warm-up, then a cosine to a fiftieth; `progress` in [0, 1]."""
    if progress < warmup:
        return max(0.02, progress / warmup)
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
