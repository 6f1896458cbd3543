"""Which profile a machine gets when nobody names one, and what an operator changes of one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from facet.profiles.catalogue import PROFILES
from facet.profiles.machine import Machine
from facet.profiles.plan import Plan
from facet.profiles.planner import plan
from facet.profiles.profile import GIB, Device, Profile
from facet.profiles.refusal import PlanRefusedError, RefusalReason

AUTO = "auto"


@dataclass(frozen=True)
class Choice:
    """A profile and its plan; `why` is one line for a person."""

    plan: Plan
    why: str


def choose(machine: Machine, *, context_tokens: int | None = None) -> Choice:
    """The first profile of the catalogue that fits: GPU before CPU, better weights first.

    Errors: PlanRefusedError, where none fits; it names why each was passed over.
    """
    passed: list[PlanRefusedError] = []
    for profile in PROFILES.values():
        try:
            made = plan(profile, machine, context_tokens=context_tokens)
        except PlanRefusedError as refusal:
            passed.append(refusal)
            continue
        return Choice(made, _why(made, passed))
    raise PlanRefusedError(
        RefusalReason.MEMORY,
        f"no profile fits: {_first_words(passed)}",
        needed=passed[-1].needed,
        available=passed[-1].available,
    )


def with_overrides(
    profile: Profile,
    *,
    sequences: int | None = None,
    speculative_tokens: int | None = None,
    load_format: str = "",
) -> Profile:
    """The profile as an operator changes it; None and "" keep what it says.

    A number of draft tokens holds at every batch size.
    """
    engine = profile.engine
    most = sequences or engine.max_sequences
    depths = engine.depth_by_batch
    if speculative_tokens is not None:
        depths = ((1, most, speculative_tokens),)
    elif most > engine.max_sequences:
        first, _, depth = depths[-1]
        depths = (*depths[:-1], (first, most, depth))
    return replace(
        profile,
        engine=replace(
            engine,
            max_sequences=most,
            depth_by_batch=depths,
            load_format=load_format or engine.load_format,
        ),
    )


def _why(made: Plan, passed: list[PlanRefusedError]) -> str:
    memory = made.memory
    kind = "GPU memory" if made.profile.device is Device.GPU else "RAM"
    text = (
        f"{made.profile.name}: {memory.usable / GIB:.1f} of {memory.total / GIB:.1f} GiB of {kind} "
        f"can be used, {(memory.fixed + memory.kv_bytes) / GIB:.1f} are"
    )
    return f"{text}; passed over: {_first_words(passed)}" if passed else text


def _first_words(passed: list[PlanRefusedError]) -> str:
    return ", ".join(dict.fromkeys(refusal.message.partition(";")[0] for refusal in passed))
