"""Quick teacher-forced accuracy of the target on held-out examples, without an engine."""

from __future__ import annotations

import torch

from tools.nano.batches import make_batch
from tools.nano.drafter_forward import DrafterForward, accepted_length
from tools.nano.forward import TargetForward, exact_rows
from tools.nano.prompts import PromptEncoder
from tools.nano.tasks import TASKS


def probe(forward: TargetForward, encoder: PromptEncoder, per_task: int) -> dict[str, float]:
    """Share of `per_task` held-out examples of each task whose whole answer is right.

    With greedy decoding, teacher-forced exactness of every token equals an exact answer.
    """
    shares = {}
    for name, task in TASKS.items():
        correct = 0
        for first in range(0, per_task, 10):
            count = min(10, per_task - first)
            batch = make_batch([encoder.encode(task.example(first + i)) for i in range(count)])
            with torch.no_grad():
                hidden = forward.states(batch).hidden[batch.answers]
                correct += int(exact_rows(forward.logits(hidden), batch).sum())
        shares[name] = correct / per_task
    return shares


def probe_drafter(
    forward: TargetForward, guesser: DrafterForward, encoder: PromptEncoder, per_task: int
) -> dict[str, float]:
    """Mean accepted length with three guesses on `per_task` held-out examples of each task."""
    lengths = {}
    for name, task in TASKS.items():
        batch = make_batch([encoder.encode(task.example(i)) for i in range(per_task)])
        with torch.no_grad():
            guesses = guesser.guesses(batch, forward.states(batch), 3)
        lengths[name] = round(accepted_length(guesses, batch), 2)
    return lengths
