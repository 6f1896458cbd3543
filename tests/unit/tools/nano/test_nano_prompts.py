"""Prompts and batches: what training sees is what vLLM makes of the same example."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers.models.gemma4_unified.image_processing_gemma4_unified import (
    Gemma4UnifiedImageProcessor,
)

from tools.nano.architecture import SOFT_TOKENS_PER_IMAGE
from tools.nano.batches import length_batches, make_batch, picture_patches
from tools.nano.prompts import PromptEncoder, completion_text, patch_grid
from tools.nano.tasks import TASKS
from tools.nano.tokenizer import build_tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def encoder() -> PromptEncoder:
    return PromptEncoder(build_tokenizer())


@pytest.mark.parametrize("size", [(96, 96), (120, 160), (192, 192), (100, 70)])
def test_patches_equal_those_of_transformers_when_a_picture_is_cut(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    patches, positions = picture_patches(pixels)
    processor = Gemma4UnifiedImageProcessor(max_soft_tokens=SOFT_TOKENS_PER_IMAGE)
    reference = processor(images=[pixels], return_tensors="pt")
    count = len(patches)
    assert torch.allclose(reference["pixel_values"][0][:count], patches / 255.0, atol=1e-6)
    assert torch.equal(reference["image_position_ids"][0][:count], positions)
    assert bool((reference["image_position_ids"][0][count:] == -1).all())


def test_grid_is_refused_when_a_picture_is_a_strip() -> None:
    with pytest.raises(ValueError, match="narrow"):
        patch_grid(2, 4000)


def test_frames_are_stamped_when_the_prompt_has_a_video(encoder: PromptEncoder) -> None:
    encoded = encoder.encode(TASKS["video"].example(1))
    tokenizer = build_tokenizer()
    soft = tokenizer.convert_tokens_to_ids("<|video|>")
    assert encoded.prompt_ids.count(soft) == 64 * len(encoded.pictures)
    text = tokenizer.decode([token for token in encoded.prompt_ids if token != soft])
    assert "00:00 <|image><image|> 00:01 <|image><image|>" in text


def test_completion_opens_no_thought_when_a_result_came_before(encoder: PromptEncoder) -> None:
    example = next(found for seed in range(50) if (found := TASKS["tool"].example(seed)).expected)
    thinking = replace(example, thinking=True)
    assert encoder.prompt_text(thinking).endswith("<|channel>thought\n")
    assert completion_text(thinking).startswith(example.thought + "<channel|>")


def test_answers_mark_what_is_learned_when_a_batch_is_padded(encoder: PromptEncoder) -> None:
    rows = [encoder.encode(TASKS[name].example(0)) for name in ("fact", "copy", "audio")]
    batch = make_batch(rows)
    for row, example in enumerate(rows):
        following = torch.roll(batch.ids[row], -1)[batch.answers[row]]
        assert following.tolist() == example.completion_ids


def test_rows_are_split_by_length_when_a_batch_would_be_too_long(encoder: PromptEncoder) -> None:
    rows = [encoder.encode(TASKS["count"].example(seed)) for seed in range(12)]
    batches = length_batches(rows, 300)
    assert sum(len(batch.ids) for batch in batches) == len(rows)
    assert all(batch.ids.numel() <= 300 or len(batch.ids) == 1 for batch in batches)
