"""Coefficients from timing samples with a known law."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from facet.autoscaler.coefficients import ServiceCoefficients, TimingSample
from facet.autoscaler.learned_coefficients import LearnedCoefficients
from facet.autoscaler.work import Modality, Work

pytestmark = pytest.mark.unit

PRIOR = ServiceCoefficients(0.2, {Modality.TEXT: 1e-3}, 0.1, 0.01, 1.0)
TRUE = ServiceCoefficients(0.05, {Modality.TEXT: 1e-4, Modality.IMAGE: 2e-4}, 0.02, 0.0008, 2.1)


def _sample(chance: random.Random) -> TimingSample:
    text, image = int(chance.lognormvariate(6.5, 1)), chance.choice([0, 0, 280])
    cached = chance.choice([0, text // 2])
    steps, batch = int(chance.expovariate(1 / 80)) + 1, chance.uniform(1, 16)
    work = Work(1, {Modality.TEXT: text - cached, Modality.IMAGE: image})
    noise = chance.lognormvariate(0, 0.1)
    return TimingSample(
        {Modality.TEXT: text, Modality.IMAGE: image},
        cached,
        round(steps * TRUE.tokens_per_step),
        steps,
        (TRUE.prefill_base_seconds + TRUE.prompt_seconds(work)) * noise,
        steps * TRUE.step_seconds(batch) * noise,
        batch,
    )


def _learned(count: int, bad_share: float = 0.0) -> LearnedCoefficients:
    chance = random.Random(1)
    learned = LearnedCoefficients.starting(PRIOR)
    for _ in range(count):
        sample = _sample(chance)
        if chance.random() < bad_share:
            sample = replace(sample, prefill_seconds=30.0, decode_seconds=600.0)
        learned = learned.observed(sample)
    return learned


@pytest.mark.parametrize("bad_share", [0.0, 0.03])
def test_costs_are_within_a_tenth_when_some_samples_are_bad(bad_share: float) -> None:
    found = _learned(2000, bad_share).coefficients
    assert found.prefill_base_seconds == pytest.approx(TRUE.prefill_base_seconds, rel=0.1)
    for kind in (Modality.TEXT, Modality.IMAGE):
        cost = TRUE.prefill_token_seconds[kind]
        assert found.prefill_token_seconds[kind] == pytest.approx(cost, rel=0.1)
    assert found.step_base_seconds == pytest.approx(TRUE.step_base_seconds, rel=0.1)
    assert found.step_sequence_seconds == pytest.approx(TRUE.step_sequence_seconds, rel=0.15)
    assert found.tokens_per_step == pytest.approx(TRUE.tokens_per_step, rel=0.02)


def test_a_modality_keeps_its_prior_when_it_never_came() -> None:
    found = _learned(500).coefficients
    assert found.prefill_token_seconds[Modality.AUDIO] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"prefill_seconds": float("nan")},
        {"decode_seconds": -1.0},
        {"cached_tokens": 10**9},
        {"batch_size": float("inf")},
        {"steps": -3},
    ],
)
def test_a_sample_is_refused_and_counted_when_it_is_impossible(change: dict[str, float]) -> None:
    before = _learned(50)
    after = before.observed(replace(_sample(random.Random(2)), **change))  # type: ignore[arg-type]
    assert after.refused == 1
    assert after.coefficients == before.coefficients


def test_what_was_learned_is_the_same_when_it_was_stored() -> None:
    learned = _learned(200)
    assert LearnedCoefficients.from_json(learned.to_json()) == learned
    with pytest.raises(ValueError, match="version"):
        LearnedCoefficients.from_json(learned.to_json().replace('"version":1', '"version":2'))
    with pytest.raises(ValueError, match="learned coefficients"):
        LearnedCoefficients.from_json("[]")


def test_costs_stay_positive_when_steps_do_not_depend_on_the_batch() -> None:
    chance = random.Random(3)
    learned = LearnedCoefficients.starting(PRIOR)
    for _ in range(500):
        seconds = 0.03 * 100 * chance.lognormvariate(0, 0.2)
        batch = chance.uniform(7.9, 8.1)
        learned = learned.observed(
            TimingSample({Modality.TEXT: 100}, 0, 100, 100, 0.1, seconds, batch)
        )
    found = learned.coefficients
    assert min(found.step_base_seconds, found.step_sequence_seconds) >= 0
    assert found.step_seconds(8) == pytest.approx(0.03, rel=0.1)


def test_pod_time_is_what_littles_law_says_when_the_mix_is_the_learned_one() -> None:
    found = replace(TRUE, mean_prefill_seconds=0.05, mean_steps=100.0)
    mean = Work(1, {Modality.TEXT: 500.0}, 100 * 2.1)
    residence = 0.05 + 0.05 + 100 * found.step_seconds(16)
    assert found.pod_seconds(mean, 16) == pytest.approx(residence / 16)
    longer = Work(1, {Modality.TEXT: 1500.0}, 100 * 2.1)
    more = found.pod_seconds(longer, 16) - found.pod_seconds(mean, 16)
    assert more == pytest.approx(0.1 / 16 + 0.1)


def test_batch_is_as_large_as_the_inter_token_slo_allows_when_sequences_are_many() -> None:
    assert TRUE.batch_within(16, 1.0) == 16
    assert TRUE.batch_within(256, 0.04) == pytest.approx((0.04 * 2.1 - 0.02) / 0.0008)
    assert TRUE.batch_within(256, 0.001) == 1.0
