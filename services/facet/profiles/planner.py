"""Fits a profile into a machine's memory, or says in numbers why it does not fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from facet.profiles.catalogue import PROFILES
from facet.profiles.fit import Budget, Fit, best_fit, budget_of, needed_bytes
from facet.profiles.footprint import Footprint
from facet.profiles.machine import Machine
from facet.profiles.media_tokens import largest_item_tokens, least_batched_tokens
from facet.profiles.plan import MemoryTable, Plan
from facet.profiles.profile import GIB, DepthByBatch, Device, Profile
from facet.profiles.refusal import PlanRefusedError, RefusalReason


def plan(
    profile: Profile,
    machine: Machine,
    *,
    context_tokens: int | None = None,
    batched_tokens: int | None = None,
) -> Plan:
    """The plan of a profile on a machine.

    `context_tokens` is kept or refused; without it the profile's length is taken, halved while it
    does not fit. `batched_tokens` fixes the size of an engine step. Errors: PlanRefusedError,
    ConfigError.
    """
    try:
        return _plan(profile, machine, context_tokens, batched_tokens)
    except PlanRefusedError as refusal:
        if refusal.reason is RefusalReason.BATCHED_TOKENS:
            raise
        nearest = _nearest(profile, machine, context_tokens)
        raise PlanRefusedError(
            refusal.reason,
            f"{refusal.message}; {_advice(profile, machine, nearest)}",
            needed=refusal.needed,
            available=refusal.available,
            nearest=nearest,
        ) from refusal


def with_config(profile: Profile, config: Mapping[str, object]) -> Profile:
    """The profile for another checkpoint of the architecture, by its HF configuration."""
    return replace(profile, config=config)


def clip_depths(depths: DepthByBatch, sequences: int) -> DepthByBatch:
    """The part of a schedule that batches of up to so many sequences reach."""
    return tuple(
        (first, min(last, sequences), depth) for first, last, depth in depths if first <= sequences
    )


def _plan(
    profile: Profile, machine: Machine, context: int | None, batched_tokens: int | None
) -> Plan:
    engine = profile.engine
    steps = engine.batched_tokens if batched_tokens is None else (batched_tokens,)
    _check_steps(steps)
    _check_processor(profile, machine)
    if context is not None and not 0 < context <= engine.max_context_tokens:
        raise PlanRefusedError(
            RefusalReason.CONTEXT_LIMIT,
            f"{profile.name}: {context} tokens of context were asked for, "
            f"{engine.max_context_tokens} are the most",
            needed=context,
            available=engine.max_context_tokens,
        )
    footprint = Footprint.of(profile)
    budget = budget_of(profile, machine)
    _check_load(footprint, budget)
    lengths = _lengths(profile) if context is None else (context,)
    fit = best_fit(footprint, budget, lengths, steps)
    if fit is None:
        raise _too_small(footprint, budget, min(lengths), steps, is_asked=context is not None)
    return _finish(footprint, budget, fit, is_asked=context is not None)


def _finish(footprint: Footprint, budget: Budget, fit: Fit, *, is_asked: bool) -> Plan:
    profile = footprint.profile
    layout = footprint.kv(fit.kv_dtype)
    notes = []
    if not is_asked and fit.context_tokens < profile.engine.context_tokens:
        notes.append(
            f"context shortened from {profile.engine.context_tokens} to {fit.context_tokens} tokens"
        )
    if fit.kv_dtype is not profile.engine.kv_dtypes[0]:
        notes.append(f"KV cache in {fit.kv_dtype}: in {profile.engine.kv_dtypes[0]} it did not fit")
    return Plan(
        profile=profile,
        memory=MemoryTable(
            total=budget.total,
            usable=budget.usable,
            head_room=budget.total - budget.usable,
            weights=footprint.weight_bytes,
            drafter=footprint.drafter_bytes,
            runtime=profile.memory.runtime_bytes,
            node=budget.node,
            activations=footprint.activation_bytes(fit.batched_tokens, fit.sequences),
            load_peak=footprint.load_peak_bytes,
            kv_bytes=fit.kv_bytes,
            kv_at_admission=layout.admission(fit.context_tokens, fit.batched_tokens),
            kv_steady=layout.steady(fit.context_tokens),
        ),
        max_model_len=fit.context_tokens,
        max_num_seqs=fit.sequences,
        max_num_batched_tokens=fit.batched_tokens,
        steps_in_flight=layout.concurrent_batches,
        kv_dtype=fit.kv_dtype,
        depth_by_batch=clip_depths(profile.engine.depth_by_batch, fit.sequences),
        notes=tuple(notes),
    )


def _lengths(profile: Profile) -> tuple[int, ...]:
    lengths = [profile.engine.context_tokens]
    while lengths[-1] // 2 >= profile.engine.min_context_tokens:
        lengths.append(lengths[-1] // 2)
    return tuple(lengths)


def _check_steps(steps: Iterable[int]) -> None:
    least = least_batched_tokens()
    for step in steps:
        if step < least:
            raise PlanRefusedError(
                RefusalReason.BATCHED_TOKENS,
                f"max_num_batched_tokens {step} does not start or hangs: the largest medium takes "
                f"{largest_item_tokens()} tokens and must fit twice; set at least {least}",
                needed=least,
                available=step,
            )


def _check_processor(profile: Profile, machine: Machine) -> None:
    wanted, found = profile.needs.compute_capability, machine.compute_capability
    if profile.device is Device.GPU and wanted and found and found < wanted:
        raise PlanRefusedError(
            RefusalReason.COMPUTE_CAPABILITY,
            f"{profile.name} needs a GPU of compute capability {_dotted(wanted)}, "
            f"this one has {_dotted(found)}",
        )
    if profile.device is Device.CPU and machine.cpu_flags is not None:
        missing = profile.needs.cpu_flags - machine.cpu_flags
        if missing:
            raise PlanRefusedError(
                RefusalReason.CPU_FEATURES,
                f"{profile.name} needs a CPU with {', '.join(sorted(missing))}",
            )


def _check_load(footprint: Footprint, budget: Budget) -> None:
    needed = footprint.load_peak_bytes + budget.node
    if needed > budget.usable:
        raise PlanRefusedError(
            RefusalReason.LOAD_PEAK,
            f"{footprint.profile.name} does not load: {_gib(needed)} while loading (weights "
            f"{_gib(footprint.weight_bytes)}, drafter {_gib(footprint.drafter_bytes)}), and "
            f"{_gib(budget.usable)} of {_gib(budget.total)} can be used",
            needed=needed,
            available=budget.usable,
        )


def _too_small(
    footprint: Footprint, budget: Budget, context: int, steps: tuple[int, ...], *, is_asked: bool
) -> PlanRefusedError:
    profile = footprint.profile
    needed = needed_bytes(footprint, budget, context, min(steps))
    message = (
        f"{profile.name} does not fit with {context} tokens of context: it needs {_gib(needed)} "
        f"(weights {_gib(footprint.weight_bytes)}, drafter {_gib(footprint.drafter_bytes)}, "
        f"KV and the rest {_gib(needed - footprint.weight_bytes - footprint.drafter_bytes)}), and "
        f"{_gib(budget.usable)} of {_gib(budget.total)} can be used"
    )
    reason = RefusalReason.MEMORY
    if is_asked:
        shorter = best_fit(footprint, budget, _lengths(profile), steps)
        if shorter is not None:
            reason = RefusalReason.CONTEXT
            message += f"; {shorter.context_tokens} tokens fit"
    return PlanRefusedError(reason, message, needed=needed, available=budget.usable)


def _nearest(refused: Profile, machine: Machine, context: int | None) -> str | None:
    # The same model first: nano is no substitute for it.
    ranked = sorted(
        PROFILES.values(), key=lambda other: (other.model != refused.model, other.device)
    )
    own_device = [other for other in ranked if other.device is refused.device]
    for other in [*own_device, *(other for other in ranked if other not in own_device)]:
        if other.name == refused.name:
            continue
        try:
            _plan(other, machine, context, None)
        except PlanRefusedError:
            continue
        return other.name
    return None


def _advice(refused: Profile, machine: Machine, nearest: str | None) -> str:
    if nearest is not None:
        return f"the nearest profile that fits is {nearest}"
    if refused.device is Device.GPU and machine.ram is None:
        return "no profile fits this GPU; w4a16-cpu needs none (facet plan --profile w4a16-cpu)"
    return "no profile fits"


def _gib(number: int) -> str:
    return f"{number / GIB:.2f} GiB"


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
