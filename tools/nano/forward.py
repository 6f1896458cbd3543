"""The target on a training batch: embeddings with media, hidden states, and losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import Gemma4UnifiedForConditionalGeneration

from tools.nano.batches import Batch
from tools.nano.decoder import KeyValue, Rotation, decoder_layer, linear, norm, rotations


@dataclass(frozen=True)
class TargetStates:
    """Normed hidden states (batch, length, width); last keys and values and rotations by kind."""

    hidden: torch.Tensor
    shared: Mapping[str, KeyValue]
    rotations: Mapping[str, Rotation]


class TargetForward:
    """Runs the target on batches.

    Padding is on the right and attention causal, so no mask is needed: padding is never seen.
    Batches must be shorter than the sliding window, which then hides nothing.
    """

    def __init__(self, target: Gemma4UnifiedForConditionalGeneration) -> None:
        config = target.config
        self._target = target
        self._window = config.text_config.sliding_window
        self._cap = config.text_config.final_logit_softcapping
        self._vision_ids = torch.tensor([config.image_token_id, config.video_token_id])
        self._audio_id = config.audio_token_id

    def token_embeddings(self, ids: torch.Tensor) -> torch.Tensor:
        """Scaled embeddings of token ids."""
        embedded: torch.Tensor = self._target.model.language_model.embed_tokens(ids)
        return embedded

    def embeddings(self, batch: Batch) -> torch.Tensor:
        """Input embeddings with the media projected into their placeholders."""
        model = self._target.model
        vision = torch.isin(batch.ids, self._vision_ids)
        audio = batch.ids == self._audio_id
        embedded = self.token_embeddings(batch.ids.masked_fill(vision | audio, 0))
        with torch.autocast("cpu", torch.bfloat16):
            if batch.patches is not None and batch.patch_positions is not None:
                output = model.embed_vision(batch.patches[None], batch.patch_positions[None])
                seen = output.pooler_output[0].to(embedded.dtype)
                embedded = embedded.masked_scatter(vision[..., None], seen)
            if batch.audio is not None:
                heard = model.embed_audio(batch.audio[None])[0].to(embedded.dtype)
                embedded = embedded.masked_scatter(audio[..., None], heard)
        return embedded

    def states(self, batch: Batch) -> TargetStates:
        """Hidden states and shared keys of a whole batch; ValueError if it exceeds the window."""
        length = batch.ids.shape[1]
        if length > self._window:
            raise ValueError(f"batch of {length} tokens is longer than the window {self._window}")
        model = self._target.model.language_model
        positions = torch.arange(length)
        rotary = {
            kind: rotations(positions, getattr(model.rotary_emb, f"{kind}_inv_freq"))
            for kind in ("sliding_attention", "full_attention")
        }
        hidden = self.embeddings(batch)
        shared: dict[str, KeyValue] = {}
        for layer in model.layers:
            kind = layer.self_attn.layer_type
            hidden, shared[kind] = decoder_layer(layer, hidden, rotary[kind])
        return TargetStates(norm(hidden, model.norm.weight), shared, rotary)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Softcapped logits in float32."""
        raw = linear(hidden, self._target.lm_head.weight).float()
        return torch.tanh(raw / self._cap) * self._cap


def next_tokens(batch: Batch) -> torch.Tensor:
    """The token after each answer position, flat in the order of `hidden[batch.answers]`."""
    return torch.roll(batch.ids, -1, dims=1)[batch.answers]


def answer_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean cross entropy of `logits` (answers, vocabulary) against the next tokens.

    The token that ends an answer counts for an eighth of it: otherwise long lists never learn when
    to stop, which is one easy-to-miss token in a hundred.
    """
    lengths = batch.answers.sum(dim=1)
    weights = batch.answers.float()
    last = batch.ids.shape[1] - 1 - batch.answers.flip(1).int().argmax(dim=1)
    weights[torch.arange(len(lengths)), last] = (lengths / 8).clamp(min=1.0)
    losses = nn.functional.cross_entropy(logits, next_tokens(batch), reduction="none")
    weights = weights[batch.answers]
    return (losses * weights).sum() / weights.sum()


def exact_rows(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Per example, whether every answer token is the most likely one (teacher forced)."""
    wrong = torch.zeros_like(batch.answers)
    wrong[batch.answers] = logits.argmax(-1) != next_tokens(batch)
    return ~wrong.any(dim=1)
