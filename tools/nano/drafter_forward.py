"""The MTP drafter as vLLM runs it, for all positions of a batch at once.

After the target has read position t and chosen token t+1, the drafter guesses tokens t+2, t+3, ...
Every guess stays at position t: it sees the target's keys up to t, the embedding of the token
before its guess, and the hidden state of the pass before (for the first guess the target's own).
"""

from __future__ import annotations

import torch
from torch import nn
from transformers import Gemma4UnifiedAssistantForCausalLM

from tools.nano.batches import Batch
from tools.nano.decoder import decoder_layer, linear, norm
from tools.nano.forward import TargetForward, TargetStates


class DrafterForward:
    """Runs the drafter on the states of a target."""

    def __init__(self, drafter: Gemma4UnifiedAssistantForCausalLM, target: TargetForward) -> None:
        self._drafter = drafter
        self._target = target

    def guesses(self, batch: Batch, states: TargetStates, count: int) -> list[torch.Tensor]:
        """Logits (batch, length, vocabulary) of `count` guesses, true tokens fed between them."""
        hidden = states.hidden
        results = []
        for ahead in range(1, count + 1):
            embedded = self._target.token_embeddings(torch.roll(batch.ids, -ahead, dims=1))
            drafted = self._pass(torch.cat((embedded, hidden), dim=-1), states)
            results.append(linear(drafted, self._drafter.lm_head.weight).float())
            hidden = linear(drafted, self._drafter.post_projection.weight).float()
        return results

    def _pass(self, combined: torch.Tensor, states: TargetStates) -> torch.Tensor:
        model = self._drafter.model
        hidden = linear(combined, self._drafter.pre_projection.weight).float()
        for layer in model.layers:
            kind = layer.self_attn.layer_type
            hidden, _ = decoder_layer(layer, hidden, states.rotations[kind], states.shared[kind])
        return norm(hidden, model.norm.weight)


def guess_masks(batch: Batch, count: int) -> list[torch.Tensor]:
    """Per guess, the positions from which it would be made and checked within the answer."""
    masks = []
    for ahead in range(1, count + 1):
        later = torch.roll(batch.answers, -ahead, dims=1)
        later[:, -ahead:] = False
        masks.append(batch.answers & later)
    return masks


def guess_loss(guesses: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Mean cross entropy over the guesses, each over its own positions."""
    losses = []
    for ahead, (logits, mask) in enumerate(
        zip(guesses, guess_masks(batch, len(guesses)), strict=True), start=1
    ):
        wanted = torch.roll(batch.ids, -ahead - 1, dims=1)
        if mask.any():
            losses.append(nn.functional.cross_entropy(logits[mask], wanted[mask]))
    return torch.stack(losses).mean() if losses else guesses[0].sum() * 0.0


def accepted_length(guesses: list[torch.Tensor], batch: Batch) -> float:
    """Mean tokens gained per target pass over all answer positions, the target's own included."""
    alive = batch.answers.clone()
    gained = float(alive.sum())
    for ahead, (logits, mask) in enumerate(
        zip(guesses, guess_masks(batch, len(guesses)), strict=True), start=1
    ):
        wanted = torch.roll(batch.ids, -ahead - 1, dims=1)
        alive = alive & mask & (logits.argmax(-1) == wanted)
        gained += float(alive.sum())
    return gained / max(1.0, float(batch.answers.sum()))
