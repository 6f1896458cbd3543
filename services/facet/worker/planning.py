"""The plan that a worker starts from: its profile, the operator's overrides, the machine."""

from __future__ import annotations

import dataclasses

from facet.profiles.catalogue import PROFILES
from facet.profiles.choice import AUTO, choose, with_overrides
from facet.profiles.machine import Machine, measure, running_as_pod
from facet.profiles.plan import Plan
from facet.profiles.planner import plan
from facet.profiles.profile import Profile
from facet.profiles.refusal import PlanRefusedError, RefusalReason
from facet.worker.settings import WorkerSettings


def this_machine() -> Machine:
    """What is there for this process; a pod shares its memory with nobody."""
    return dataclasses.replace(measure(), is_shared=not running_as_pod())


def profile_of(settings: WorkerSettings, machine: Machine) -> Profile:
    """The named profile, or the best that fits, with the overrides. Errors: PlanRefusedError."""
    if settings.profile == AUTO:
        profile = choose(machine, context_tokens=settings.context_tokens or None).plan.profile
    else:
        profile = PROFILES[settings.profile]
    return with_overrides(
        profile,
        sequences=settings.max_sequences,
        speculative_tokens=settings.speculative_tokens,
        load_format=settings.load_format,
    )


def plan_of(settings: WorkerSettings, machine: Machine) -> Plan:
    """The plan; what the operator asks for is kept or refused. Errors: PlanRefusedError."""
    profile = profile_of(settings, machine)
    made = plan(
        profile,
        machine,
        context_tokens=settings.context_tokens or None,
        batched_tokens=settings.max_batched_tokens,
    )
    if settings.max_sequences is not None and made.max_num_seqs < settings.max_sequences:
        raise PlanRefusedError(
            RefusalReason.MEMORY,
            f"{profile.name} does not fit with {settings.max_sequences} sequences of "
            f"{made.max_model_len} tokens: {made.max_num_seqs} fit; set FACET_WORKER_MAX_SEQUENCES "
            "to that or leave it unset",
        )
    return made
