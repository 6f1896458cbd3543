"""Plans and refusals in the memory that machines really have."""

from __future__ import annotations

import pytest

from facet.profiles.catalogue import PROFILES
from facet.profiles.footprint import Footprint
from facet.profiles.machine import TARGETS, Machine, exactly
from facet.profiles.media_tokens import largest_item_tokens, least_batched_tokens
from facet.profiles.plan import Plan
from facet.profiles.planner import plan
from facet.profiles.profile import GIB, MIB, Device, KvDtype
from facet.profiles.refusal import PlanRefusedError, RefusalReason

pytestmark = pytest.mark.unit


def machine(
    name: str, gib: float, capability: tuple[int, int] | None = None, *, is_shared: bool = True
) -> Machine:
    memory = exactly(int(gib * GIB))
    if PROFILES[name].device is Device.GPU:
        return Machine(gpu=memory, compute_capability=capability, is_shared=is_shared)
    return Machine(ram=memory, is_shared=is_shared)


def check(made: Plan) -> None:
    memory = made.memory
    assert memory.spare >= 0
    assert memory.load_peak + memory.node <= memory.usable <= memory.total
    assert memory.kv_bytes >= memory.kv_at_admission.total > memory.kv_steady.total
    assert made.max_num_batched_tokens >= 2560
    firsts, lasts, _ = zip(*made.depth_by_batch, strict=True)
    assert firsts == (1, *(last + 1 for last in lasts[:-1]))
    assert lasts[-1] == made.max_num_seqs


@pytest.mark.parametrize(
    ("name", "gib", "context", "least_sequences"),
    [
        ("w4a16", 14.7, 32_768, 2),
        ("w4a16", 15.6, 32_768, 4),
        ("w4a16", 16, 32_768, 4),
        ("w4a16", 24, 32_768, 16),
        ("fp8", 24, 32_768, 8),
        ("bf16", 80, 131_072, 64),
        ("w4a16-cpu", 12.6, 2048, 1),
        ("w4a16-cpu", 14.7, 8192, 1),
        ("w4a16-cpu", 15.6, 8192, 2),
        ("w4a16-cpu", 16, 8192, 2),
        ("nano-cpu", 4, 4096, 8),
    ],
)
def test_a_plan_fits_when_the_memory_is_that_of_a_machine_for_it(
    name: str, gib: float, context: int, least_sequences: int
) -> None:
    made = plan(PROFILES[name], machine(name, gib))

    check(made)
    assert made.max_model_len == context
    assert made.max_num_seqs >= least_sequences


def test_a_worker_fits_when_its_pod_has_what_a_16_gib_node_offers() -> None:
    pod = Machine(ram=exactly(TARGETS["gke-16"].ram_bytes), is_shared=False)

    assert TARGETS["gke-16"].ram_bytes / GIB == pytest.approx(12.6, abs=0.01)
    check(plan(PROFILES["w4a16-cpu"], pod))


@pytest.mark.parametrize("name", ["w4a16-cpu", "nano-cpu"])
def test_the_planned_length_fits_when_a_pod_has_what_its_profile_asks_for(name: str) -> None:
    profile = PROFILES[name]
    pod = Machine(ram=exactly(profile.resources.memory_limit_mib * MIB), is_shared=False)

    made = plan(profile, pod)

    check(made)
    assert made.max_model_len == profile.engine.context_tokens


def test_gateway_and_redis_fit_beside_the_worker_when_the_node_has_16_gib() -> None:
    # 13.3 GiB of 16 can be allocated on GKE, and its DaemonSets take about 0.3.
    pods = PROFILES["w4a16-cpu"].resources.memory_limit_mib * MIB

    assert pods + 2 * 256 * MIB <= 13.0 * GIB


def test_the_pool_holds_one_block_more_when_a_sequence_just_fits() -> None:
    made = plan(PROFILES["w4a16-cpu"], machine("w4a16-cpu", 12.5, is_shared=False))
    layout = Footprint.of(made.profile).kv(made.kv_dtype)

    assert made.memory.kv_bytes >= made.memory.kv_at_admission.total + layout.null_block_bytes


@pytest.mark.parametrize("name", list(PROFILES))
def test_two_of_the_largest_media_fit_a_step_when_a_profile_is_planned(name: str) -> None:
    for step in PROFILES[name].engine.batched_tokens:
        assert step >= max(2 * largest_item_tokens(), 2496)
        # 32 frames: what vLLM counts for a video whose frames nobody limits.
        assert least_batched_tokens() >= 2 * largest_item_tokens() > 32 * 70


@pytest.mark.parametrize(
    ("name", "gib", "capability", "reason", "nearest"),
    [
        ("w4a16", 12.6, None, RefusalReason.LOAD_PEAK, None),
        ("w4a16", 16, (7, 5), RefusalReason.COMPUTE_CAPABILITY, None),
        ("bf16", 24, None, RefusalReason.LOAD_PEAK, "fp8"),
        ("bf16", 16, None, RefusalReason.LOAD_PEAK, "w4a16"),
        ("fp8", 24, (8, 0), RefusalReason.COMPUTE_CAPABILITY, "w4a16"),
        ("w4a16-cpu", 12.4, None, RefusalReason.MEMORY, "nano-cpu"),
        ("w4a16-cpu", 11.6, None, RefusalReason.LOAD_PEAK, "nano-cpu"),
        ("nano-cpu", 2.3, None, RefusalReason.LOAD_PEAK, None),
    ],
)
def test_a_profile_is_refused_with_the_nearest_when_it_cannot_start(
    name: str,
    gib: float,
    capability: tuple[int, int] | None,
    reason: RefusalReason,
    nearest: str | None,
) -> None:
    with pytest.raises(PlanRefusedError) as refused:
        plan(PROFILES[name], machine(name, gib, capability))

    assert (refused.value.reason, refused.value.nearest) == (reason, nearest)
    if refused.value.needed:
        assert refused.value.needed > refused.value.available
        assert f"{refused.value.needed / GIB:.2f} GiB" in refused.value.message


def test_an_engine_step_is_refused_when_two_media_do_not_fit_it() -> None:
    with pytest.raises(PlanRefusedError, match="at least 2560") as refused:
        plan(PROFILES["w4a16"], machine("w4a16", 16), batched_tokens=2048)

    assert refused.value.reason is RefusalReason.BATCHED_TOKENS


def test_the_longest_that_fits_is_named_when_the_context_does_not() -> None:
    with pytest.raises(PlanRefusedError, match="32768 tokens fit") as refused:
        plan(PROFILES["w4a16"], machine("w4a16", 16, (8, 6)), context_tokens=262_144)

    assert refused.value.reason is RefusalReason.CONTEXT


def test_the_cache_is_fp8_when_bf16_does_not_hold_the_context() -> None:
    made = plan(PROFILES["w4a16"], machine("w4a16", 16, (8, 9)), context_tokens=262_144)

    check(made)
    assert made.kv_dtype is KvDtype.FP8
    assert made.engine_arguments()["kv_cache_dtype"] == "fp8"
