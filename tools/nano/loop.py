"""The training loop that target and drafter share: budget, schedule, reports and state files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from tools.nano.batches import Batch, length_batches
from tools.nano.curriculum import GROUPS, Group, TrainingData, groups_of_step
from tools.nano.gang import Gang
from tools.nano.optimizers import OptimizerPair, schedule

REPORT_EVERY_STEPS = 50
MAX_BATCH_TOKENS = 1600

BatchLoss = Callable[[Batch], torch.Tensor]


@dataclass(frozen=True)
class LoopSettings:
    """Name in the reports, time to spend, and where the state goes how often."""

    name: str
    budget_seconds: float
    state_path: Path
    save_every_seconds: float = 300.0
    matrix_lr: float = 2e-3
    other_lr: float = 3e-3


class TrainingLoop:
    """Trains `model` on the curriculum; `run` after `load` goes on from the state file.

    `batch_loss` gives the mean loss over a batch's answer tokens.
    """

    def __init__(
        self,
        model: nn.Module,
        batch_loss: BatchLoss,
        data: TrainingData,
        gang: Gang,
        settings: LoopSettings,
    ) -> None:
        self._model = model
        self._batch_loss = batch_loss
        self._data = data
        self._gang = gang
        self._settings = settings
        self._optimizers = OptimizerPair(model, settings.matrix_lr, settings.other_lr)
        self._elapsed_seconds = 0.0
        self._clock = 0.0
        self._step = 0
        self._losses: dict[str, float] = {}

    def load(self) -> bool:
        """Continue from the state file if there is one."""
        if not self._settings.state_path.exists():
            return False
        state = torch.load(self._settings.state_path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self._optimizers.load_state_dict(state["optimizers"])
        self._elapsed_seconds, self._step = state["elapsed"], state["step"]
        return True

    def save(self) -> None:
        """Write the state file; an interruption leaves the earlier one."""
        partial = self._settings.state_path.with_suffix(".partial")
        torch.save(
            {
                "model": self._model.state_dict(),
                "optimizers": self._optimizers.state_dict(),
                "elapsed": self._elapsed_seconds,
                "step": self._step,
            },
            partial,
        )
        partial.rename(self._settings.state_path)

    def run(self, on_save: Callable[[], None]) -> None:
        """Train until the budget is spent; rank 0 saves, and calls `on_save` afterwards."""
        last_save = self._elapsed_seconds
        self._clock = time.monotonic()
        while self._elapsed_seconds < self._settings.budget_seconds:
            self._train_step()
            if self._gang.rank != 0:
                continue
            if self._step % REPORT_EVERY_STEPS == 0:
                self._report()
            if self._elapsed_seconds - last_save > self._settings.save_every_seconds:
                last_save = self._elapsed_seconds
                self.save()
                on_save()
        if self._gang.rank == 0:
            self.save()

    def _train_step(self) -> None:
        groups = groups_of_step(self._step)
        measured = torch.zeros(len(GROUPS) + 1)
        for index in self._gang.share(len(groups)):
            measured[GROUPS.index(groups[index])] = self._accumulate(groups[index], 1 / len(groups))
        # Every process must see the same clock, or they would part at the end of the budget.
        now = time.monotonic()
        measured[-1] = now - self._clock if self._gang.rank == 0 else 0.0
        self._clock = now
        measured = self._gang.sum_gradients(self._model, measured)
        self._optimizers.step(schedule(self._elapsed_seconds / self._settings.budget_seconds))
        for group in groups:
            loss = float(measured[GROUPS.index(group)])
            self._losses[group.name] = 0.95 * self._losses.get(group.name, loss) + 0.05 * loss
        self._elapsed_seconds += float(measured[-1])
        self._step += 1

    def _accumulate(self, group: Group, weight: float) -> float:
        rows = self._data.batch(group, self._step)
        answers = sum(len(row.completion_ids) for row in rows)
        total = 0.0
        for batch in length_batches(rows, MAX_BATCH_TOKENS):
            loss = self._batch_loss(batch) * (float(batch.answers.sum()) / answers)
            (loss * weight).backward()
            total += float(loss.detach())
        return total

    def _report(self) -> None:
        losses = " ".join(f"{name}={loss:.4f}" for name, loss in self._losses.items())
        minutes = self._elapsed_seconds / 60
        print(f"{self._settings.name} step {self._step} minutes {minutes:.1f} {losses}", flush=True)
