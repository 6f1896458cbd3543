"""The plan of a worker: what its settings ask for is kept or refused."""

from __future__ import annotations

import pytest

from facet.profiles.machine import Machine, exactly
from facet.profiles.profile import GIB
from facet.profiles.refusal import PlanRefusedError, RefusalReason
from facet.worker.planning import plan_of
from facet.worker.settings import WorkerSettings

pytestmark = pytest.mark.unit

L4 = Machine(exactly(24 * GIB), exactly(32 * GIB), (8, 9), frozenset({"avx2", "avx512f"}))


def settings(**given: object) -> WorkerSettings:
    return WorkerSettings.model_validate({"redis_url": "redis://127.0.0.1:6379/0", **given})


def test_the_profile_is_chosen_when_it_is_auto() -> None:
    assert plan_of(settings(profile="auto"), L4).profile.name == "fp8"
    assert plan_of(settings(profile="w4a16"), L4).profile.name == "w4a16"


def test_numbers_are_kept_when_they_fit() -> None:
    made = plan_of(
        settings(
            profile="w4a16",
            context_tokens=8192,
            max_sequences=7,
            max_batched_tokens=3072,
            speculative_tokens=1,
            load_format="runai_streamer",
        ),
        L4,
    )

    assert (made.max_model_len, made.max_num_seqs, made.max_num_batched_tokens) == (8192, 7, 3072)
    assert made.depth_by_batch == ((1, 7, 1),)
    assert made.engine_arguments()["load_format"] == "runai_streamer"


@pytest.mark.parametrize(
    ("given", "reason", "said"),
    [
        ({"context_tokens": 262_144, "max_sequences": 32}, RefusalReason.MEMORY, " fit; set FACET"),
        ({"context_tokens": 262_145}, RefusalReason.CONTEXT_LIMIT, "are the most"),
        ({"max_batched_tokens": 2048}, RefusalReason.BATCHED_TOKENS, "at least 2560"),
    ],
)
def test_numbers_are_refused_when_they_do_not_fit(
    given: dict[str, object], reason: RefusalReason, said: str
) -> None:
    with pytest.raises(PlanRefusedError, match=said) as refused:
        plan_of(settings(profile="w4a16", **given), L4)

    assert refused.value.reason is reason
