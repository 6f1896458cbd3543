"""The training forward passes equal those of transformers."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    Gemma4UnifiedAssistantForCausalLM,
    Gemma4UnifiedForConditionalGeneration,
)

from tools.nano.architecture import drafter_config, target_config
from tools.nano.batches import Batch, make_batch
from tools.nano.drafter_forward import DrafterForward, accepted_length, guess_masks
from tools.nano.forward import TargetForward
from tools.nano.prompts import PromptEncoder
from tools.nano.tasks import TASKS
from tools.nano.tokenizer import build_tokenizer

pytestmark = pytest.mark.unit


@pytest.fixture
def _in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    # Untrained, the layers amplify bfloat16's rounding: the comparison is made without it.
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.float)
    torch.manual_seed(0)


@pytest.fixture
def target(_in_float32: None) -> Gemma4UnifiedForConditionalGeneration:
    return Gemma4UnifiedForConditionalGeneration(target_config(build_tokenizer())).eval()


@pytest.fixture
def batch() -> Batch:
    encoder = PromptEncoder(build_tokenizer())
    return make_batch([encoder.encode(TASKS["copy"].example(seed)) for seed in range(3)])


def test_hidden_states_equal_those_of_transformers_when_rows_are_padded(
    target: Gemma4UnifiedForConditionalGeneration, batch: Batch
) -> None:
    with torch.no_grad():
        ours = TargetForward(target).states(batch).hidden
        theirs = target.model(input_ids=batch.ids).last_hidden_state
    assert torch.allclose(ours[batch.answers], theirs[batch.answers], atol=1e-4)


def test_states_are_refused_when_a_batch_exceeds_the_window(
    target: Gemma4UnifiedForConditionalGeneration,
) -> None:
    length = target.config.text_config.sliding_window + 1
    ids = torch.full((1, length), 7)
    batch = Batch(ids, torch.ones_like(ids, dtype=torch.bool), None, None, None)
    with pytest.raises(ValueError, match="window"):
        TargetForward(target).states(batch)


def test_guesses_equal_those_of_transformers_when_made_at_one_position(
    target: Gemma4UnifiedForConditionalGeneration, batch: Batch
) -> None:
    drafter = Gemma4UnifiedAssistantForCausalLM(drafter_config(build_tokenizer())).eval()
    forward = TargetForward(target)
    row, position = 0, int(batch.answers[0].nonzero()[0, 0])
    with torch.no_grad():
        states = forward.states(batch)
        ours = DrafterForward(drafter, forward).guesses(batch, states, 2)
        keys = {
            kind: tuple(part[row : row + 1, : position + 1].transpose(1, 2) for part in pair)
            for kind, pair in states.shared.items()
        }
        hidden = states.hidden[row, position]
        for ahead, logits in enumerate(ours, start=1):
            embedded = forward.token_embeddings(batch.ids[row, position + ahead])
            output = drafter(
                inputs_embeds=torch.cat((embedded, hidden))[None, None],
                position_ids=torch.tensor([[position]]),
                shared_kv_states=keys,
            )
            assert torch.allclose(logits[row, position], output.logits[0, 0], atol=1e-4)
            hidden = output.last_hidden_state[0, 0]


def test_guesses_stay_inside_the_answer_when_masked(batch: Batch) -> None:
    first, second = guess_masks(batch, 2)
    answers = batch.answers.sum(dim=1)
    assert torch.equal(first.sum(dim=1), (answers - 1).clamp(min=0))
    assert torch.equal(second.sum(dim=1), (answers - 2).clamp(min=0))


def test_accepted_length_counts_the_run_of_right_guesses_when_one_is_wrong(batch: Batch) -> None:
    vocabulary = int(batch.ids.max()) + 1
    right = [
        torch.nn.functional.one_hot(torch.roll(batch.ids, -ahead, dims=1), vocabulary).float()
        for ahead in (2, 3)
    ]
    answers = float(batch.answers.sum())
    masks = guess_masks(batch, 2)
    wanted = 1 + sum(float(mask.sum()) for mask in masks) / answers
    assert accepted_length(right, batch) == pytest.approx(wanted)
    assert accepted_length([-right[0], right[1]], batch) == pytest.approx(1.0)
