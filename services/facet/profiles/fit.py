"""The search for the largest step, length and number of sequences that a budget holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facet.profiles.footprint import Footprint
from facet.profiles.machine import Machine
from facet.profiles.profile import GIB, MIB, Device, KvDtype, Profile
from facet.profiles.refusal import PlanRefusedError, RefusalReason

_KV_STEP = 64 * MIB
_FP8_CAPABILITY = (8, 9)


@dataclass(frozen=True)
class Budget:
    """Bytes of the profile's device; `usable` holds `node`, what gateway and Redis take.

    `kv_dtypes` are those of the profile that the processor computes with.
    """

    total: int
    usable: int
    node: int
    kv_dtypes: tuple[KvDtype, ...]


@dataclass(frozen=True)
class Fit:
    """One choice that fits; lengths in tokens, `kv_bytes` the whole cache."""

    context_tokens: int
    sequences: int
    batched_tokens: int
    kv_dtype: KvDtype
    kv_bytes: int


def budget_of(profile: Profile, machine: Machine) -> Budget:
    """What a profile may use of a machine. Errors: PlanRefusedError."""
    memory = machine.gpu if profile.device is Device.GPU else machine.ram
    if memory is None:
        missing = "a GPU: none is there" if profile.device is Device.GPU else "RAM of a known size"
        raise PlanRefusedError(RefusalReason.NO_DEVICE, f"{profile.name} needs {missing}")
    if profile.device is Device.GPU:
        _check_host(profile, machine)
    is_shared = profile.device is Device.CPU and machine.is_shared
    return Budget(
        total=memory.total_bytes,
        usable=min(int(memory.total_bytes * profile.memory.utilization), memory.free_bytes),
        node=profile.memory.node_bytes if is_shared else 0,
        kv_dtypes=_kv_dtypes(profile, machine),
    )


def best_fit(
    footprint: Footprint, budget: Budget, lengths: Sequence[int], steps: Sequence[int]
) -> Fit | None:
    """The first length that fits, in the first KV dtype that holds it, or None.

    Of the engine steps the largest that still leaves the profile's number of sequences is taken;
    where none does, the one with the most sequences. A larger step holds more sliding KV at
    admission and larger activations.
    """
    for length in lengths:
        for dtype in budget.kv_dtypes:
            fits = [fit for step in steps if (fit := _fit(footprint, budget, length, step, dtype))]
            if fits:
                return max(fits, key=lambda fit: (fit.sequences, fit.batched_tokens))
    return None


def needed_bytes(footprint: Footprint, budget: Budget, context_tokens: int, step: int) -> int:
    """The least that one sequence of this length needs, in the smallest KV dtype."""
    dtype = budget.kv_dtypes[-1]
    layout = footprint.kv(dtype)
    kv = layout.admission(context_tokens, step).total + layout.null_block_bytes
    return _fixed(footprint, budget, step, 1) + _rounded_up(kv, _KV_STEP)


def _fit(
    footprint: Footprint, budget: Budget, length: int, step: int, dtype: KvDtype
) -> Fit | None:
    engine = footprint.profile.engine
    layout = footprint.kv(dtype)
    first = layout.admission(length, step).total + layout.null_block_bytes
    typical = layout.steady(min(length, engine.typical_tokens)).total
    for sequences in range(engine.max_sequences, 0, -1):
        left = budget.usable - _fixed(footprint, budget, step, sequences)
        left -= left % _KV_STEP
        if left >= first + (sequences - 1) * typical:
            kv_bytes = _kv_bytes(footprint.profile, left, first + sequences * typical)
            return Fit(length, sequences, step, dtype, kv_bytes)
    return None


def _kv_bytes(profile: Profile, left: int, wanted: int) -> int:
    if profile.device is Device.GPU:
        return left
    # RAM is left to others: no more than is used, in whole GiB where they are there.
    return min(left, _rounded_up(wanted, GIB))


def _fixed(footprint: Footprint, budget: Budget, step: int, sequences: int) -> int:
    return (
        footprint.weight_bytes
        + footprint.drafter_bytes
        + footprint.profile.memory.runtime_bytes
        + budget.node
        + footprint.activation_bytes(step, sequences)
    )


def _kv_dtypes(profile: Profile, machine: Machine) -> tuple[KvDtype, ...]:
    capability = machine.compute_capability
    if capability is None or capability >= _FP8_CAPABILITY:
        return profile.engine.kv_dtypes
    return tuple(dtype for dtype in profile.engine.kv_dtypes if dtype is not KvDtype.FP8)


def _check_host(profile: Profile, machine: Machine) -> None:
    needed = profile.resources.memory_bytes
    if machine.ram is not None and machine.ram.total_bytes < needed:
        raise PlanRefusedError(
            RefusalReason.HOST_MEMORY,
            f"{profile.name} needs {needed / GIB:.1f} GiB of RAM beside the GPU, and "
            f"{machine.ram.total_bytes / GIB:.1f} GiB are there",
            needed=needed,
            available=machine.ram.total_bytes,
        )


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step
