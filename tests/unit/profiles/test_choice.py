"""Which profile a machine gets by itself, and what an operator's overrides make of one."""

from __future__ import annotations

import pytest

from facet.profiles.catalogue import BF16, NANO_CPU, PROFILES, W4A16, W4A16_CPU
from facet.profiles.choice import choose, with_overrides
from facet.profiles.machine import Machine, Memory, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import GIB
from facet.profiles.refusal import PlanRefusedError

pytestmark = pytest.mark.unit

AVX2 = frozenset({"avx2"})
AVX512 = AVX2 | {"avx512f"}


def gib(number: float) -> Memory:
    return exactly(int(number * GIB))


@pytest.mark.parametrize(
    ("machine", "name"),
    [
        (Machine(gib(80), gib(120), (9, 0), AVX512), "bf16"),
        (Machine(gib(40), gib(80), (8, 0), AVX512), "bf16"),
        (Machine(gib(22.5), gib(32), (8, 9), AVX512), "fp8"),
        # Ampere computes no fp8.
        (Machine(gib(24), gib(32), (8, 6), AVX512), "w4a16"),
        (Machine(gib(16), gib(16), (8, 6), AVX512), "w4a16"),
        (Machine(gib(16), gib(16), None, None), "w4a16"),
        # A T4 has no bf16: the CPU serves better than nothing.
        (Machine(gib(16), gib(16), (7, 5), AVX512), "w4a16-cpu"),
        (Machine(gib(8), gib(16), (8, 9), AVX512), "w4a16-cpu"),
        # Another program holds the GPU.
        (Machine(Memory(24 * GIB, 4 * GIB), gib(16), (8, 9), AVX512), "w4a16-cpu"),
        (Machine(None, gib(16), None, AVX512), "w4a16-cpu"),
        (Machine(None, gib(16), None, AVX2), "nano-cpu"),
        (Machine(None, gib(6), None, AVX512), "nano-cpu"),
        (Machine(None, Memory(16 * GIB, 6 * GIB), None, AVX512), "nano-cpu"),
    ],
)
def test_the_best_that_fits_is_taken_when_nobody_names_a_profile(
    machine: Machine, name: str
) -> None:
    choice = choose(machine)

    assert choice.plan.profile is PROFILES[name]
    assert choice.plan.memory.spare >= 0
    assert choice.why.startswith(f"{name}: ")
    is_first = name == next(iter(PROFILES))
    assert ("passed over" in choice.why) is not is_first


def test_every_reason_is_told_when_no_profile_fits() -> None:
    with pytest.raises(PlanRefusedError, match="no profile fits") as refused:
        choose(Machine(gib(4), gib(2), (8, 9), AVX512))

    for name in ("bf16", "fp8", "w4a16 ", "w4a16-cpu", "nano-cpu"):
        assert name in refused.value.message
    assert refused.value.needed > refused.value.available


def test_another_profile_is_taken_when_the_best_does_not_hold_the_context() -> None:
    machine = Machine(gib(40), None, (8, 0))

    assert choose(machine).plan.profile is BF16
    long = choose(machine, context_tokens=262_144).plan
    assert long.profile is BF16
    assert long.max_model_len == 262_144
    with pytest.raises(PlanRefusedError, match="no profile fits"):
        choose(machine, context_tokens=262_145)


def test_a_profile_is_as_it_was_when_nothing_is_overridden() -> None:
    for profile in PROFILES.values():
        assert with_overrides(profile) == profile


@pytest.mark.parametrize(
    ("sequences", "depths"),
    [
        (2, ((1, 2, 4), (3, 4, 2))),
        (4, ((1, 2, 4), (3, 4, 2))),
        (12, ((1, 2, 4), (3, 12, 2))),
    ],
)
def test_the_last_depth_reaches_further_when_more_sequences_are_asked_for(
    sequences: int, depths: tuple[tuple[int, int, int], ...]
) -> None:
    changed = with_overrides(W4A16_CPU, sequences=sequences)

    assert changed.engine.max_sequences == sequences
    assert changed.engine.depth_by_batch == depths
    made = plan(changed, Machine(ram=gib(64)))
    assert made.max_num_seqs == sequences
    assert made.depth_by_batch[-1][1] == sequences


@pytest.mark.parametrize("depth", [0, 2])
def test_one_depth_holds_at_every_batch_when_it_is_given(depth: int) -> None:
    made = plan(with_overrides(W4A16, speculative_tokens=depth), Machine(gpu=gib(24)))
    arguments = made.engine_arguments()

    assert made.depth_by_batch == ((1, made.max_num_seqs, depth),)
    assert made.speculative_tokens == depth
    if depth:
        assert arguments["speculative_config"]["num_speculative_tokens"] == depth
        assert "num_speculative_tokens_per_batch_size" not in arguments["speculative_config"]
    else:
        assert "speculative_config" not in arguments


def test_weights_are_loaded_as_told_when_a_format_is_given() -> None:
    changed = with_overrides(NANO_CPU, load_format="runai_streamer")

    assert changed.engine.load_format == "runai_streamer"
    arguments = plan(changed, Machine(ram=gib(6))).engine_arguments()
    assert arguments["load_format"] == "runai_streamer"
