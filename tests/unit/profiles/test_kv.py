"""KV arithmetic against the published figures of Gemma 4 12B."""

from __future__ import annotations

import pytest

from facet.profiles.catalogue import NANO_CPU
from facet.profiles.gemma4 import TARGET_CONFIG
from facet.profiles.kv import KvLayout, kv_bytes_per_token
from facet.profiles.profile import GIB, KIB, KvDtype
from facet.profiles.shape import ConfigError, model_shape

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("dtype", "sliding_kib", "full_kib"), [(KvDtype.BF16, 320, 16), (KvDtype.FP8, 160, 8)]
)
def test_a_token_takes_the_published_bytes_when_the_shape_is_that_of_12b(
    dtype: KvDtype, sliding_kib: int, full_kib: int
) -> None:
    per_token = kv_bytes_per_token(TARGET_CONFIG, dtype)

    assert (per_token.sliding, per_token.full) == (sliding_kib * KIB, full_kib * KIB)


@pytest.mark.parametrize(
    ("context_kib", "dtype", "admission", "steady"),
    [
        (8, KvDtype.BF16, 1.07, 0.44),
        (8, KvDtype.FP8, 0.53, 0.22),
        (32, KvDtype.BF16, 1.44, 0.82),
        (32, KvDtype.FP8, 0.72, 0.41),
        (128, KvDtype.BF16, 2.94, 2.32),
        (128, KvDtype.FP8, 1.47, 1.16),
        (256, KvDtype.BF16, 4.94, 4.32),
        (256, KvDtype.FP8, 2.47, 2.16),
    ],
)
def test_a_sequence_takes_the_published_bytes_when_a_step_has_2048_tokens(
    context_kib: int, dtype: KvDtype, admission: float, steady: float
) -> None:
    layout = KvLayout(model_shape(TARGET_CONFIG), dtype, block_tokens=16, concurrent_batches=1)

    assert layout.admission(context_kib * KIB, 2048).total / GIB == pytest.approx(
        admission, abs=0.006
    )
    assert layout.steady(context_kib * KIB).total / GIB == pytest.approx(steady, abs=0.006)


def test_two_steps_are_in_flight_when_scheduling_is_asynchronous() -> None:
    shape = model_shape(TARGET_CONFIG)
    twice = KvLayout(shape, KvDtype.BF16, block_tokens=16, concurrent_batches=2)
    once = KvLayout(shape, KvDtype.BF16, block_tokens=16, concurrent_batches=1)

    assert twice.admission(32 * KIB, 2560) == once.admission(32 * KIB, 5120)


def test_nano_is_read_when_layers_have_their_own_heads() -> None:
    per_token = kv_bytes_per_token(NANO_CPU.config)

    assert (per_token.sliding, per_token.full) == (5 * 2 * 64 * 2, 2 * 64 * 2)


def test_the_key_is_named_when_a_configuration_lacks_it() -> None:
    with pytest.raises(ConfigError, match="hidden_size"):
        kv_bytes_per_token({"text_config": {"num_hidden_layers": 6}})
