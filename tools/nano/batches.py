"""Batches for training: padded ids, answer positions and raw media."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.transforms.v2 import functional as vision  # type: ignore[import-untyped]

from tools.nano.media import SAMPLES_PER_AUDIO_TOKEN, Pixels
from tools.nano.prompts import PATCH_SIDE, EncodedExample, patch_grid


@dataclass(frozen=True)
class Batch:
    """Right-padded examples.

    ids: (batch, length); answers: positions whose next token is to be learned, as a mask of the
    same shape; patches: (n, 6912) in [0, 1] with positions (n, 2) as (x, y); audio: (m, 640).
    """

    ids: torch.Tensor
    answers: torch.Tensor
    patches: torch.Tensor | None
    patch_positions: torch.Tensor | None
    audio: torch.Tensor | None


def picture_patches(pixels: Pixels) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches and positions of one picture, as Gemma4UnifiedImageProcessor makes them."""
    rows, columns = patch_grid(*pixels.shape[:2])
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    resized = vision.resize(
        image,
        [rows * PATCH_SIDE, columns * PATCH_SIDE],
        interpolation=vision.InterpolationMode.BICUBIC,
        antialias=True,
    )
    grid = resized.reshape(3, rows, PATCH_SIDE, columns, PATCH_SIDE)
    patches = grid.permute(1, 3, 2, 4, 0).reshape(rows * columns, -1)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    return patches, torch.stack((x, y), dim=-1).reshape(-1, 2)


def length_batches(examples: list[EncodedExample], max_tokens: int) -> list[Batch]:
    """Batches of like lengths, each padded to at most `max_tokens` unless it is one example."""
    batches: list[Batch] = []
    rows: list[EncodedExample] = []
    for example in sorted(examples, key=lambda item: item.length):
        if rows and example.length * (len(rows) + 1) > max_tokens:
            batches.append(make_batch(rows))
            rows = []
        rows.append(example)
    return [*batches, make_batch(rows)]


def make_batch(examples: list[EncodedExample]) -> Batch:
    """Pad examples on the right and line their media up in order."""
    length = max(example.length for example in examples)
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    answers = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : example.length] = torch.tensor(example.prompt_ids + example.completion_ids)
        answers[row, len(example.prompt_ids) - 1 : example.length - 1] = True
    pictures = [picture for example in examples for picture in example.pictures]
    clips = [clip for example in examples for clip in example.audio]
    patches = positions = audio = None
    if pictures:
        made = [picture_patches(picture) for picture in pictures]
        patches = torch.cat([patch for patch, _ in made]).float() / 255.0
        positions = torch.cat([position for _, position in made])
    if clips:
        audio = torch.from_numpy(np.concatenate(clips)).reshape(-1, SAMPLES_PER_AUDIO_TOKEN)
    return Batch(ids, answers, patches, positions, audio)
