"""Makes the engine that the settings ask for."""

from __future__ import annotations

from dataclasses import replace

import structlog

from facet.core.models import CARDS, NANO, ModelCard
from facet.profiles import plan_report
from facet.profiles.machine import Machine
from facet.profiles.profile import Profile
from facet.worker.checkpoints import Checkpoints
from facet.worker.engine.measures import EngineMeasures
from facet.worker.engine.nvidia_driver import check_driver
from facet.worker.engine.port import Engine
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.engine.vllm_process import available_cpus, prepare_environment
from facet.worker.planning import plan_of, profile_of, this_machine
from facet.worker.settings import WorkerSettings

_log = structlog.get_logger(__name__)


class UnknownModelError(Exception):
    """The configured model is not the profile's."""


def find_card(settings: WorkerSettings, profile: Profile) -> ModelCard:
    """The card of the profile's model. Errors: UnknownModelError, where another one is set."""
    if settings.model not in ("", profile.model):
        raise UnknownModelError(
            f"model: {settings.model!r} is not what profile {profile.name} serves; set "
            f"{profile.model!r}, or leave it unset"
        )
    return CARDS[profile.model]


def make_engine(
    settings: WorkerSettings, card: ModelCard, checkpoints: Checkpoints, measures: EngineMeasures
) -> Engine:
    """The engine, not started. vLLM is imported only where it is asked for."""
    if settings.engine == "simulated":
        return _simulated(settings, card, measures)
    return _vllm(settings, card, checkpoints, measures)


def _simulated(settings: WorkerSettings, card: ModelCard, measures: EngineMeasures) -> Engine:
    profile = profile_of(settings, Machine())
    return SimulatedEngine(
        SimulatedOptions(
            max_sequences=profile.engine.max_sequences,
            startup_seconds=settings.simulated_startup_seconds,
            prefill_tokens_per_second=settings.simulated_prefill_tokens_per_second,
            step_ms=settings.simulated_step_ms,
            draft_tokens=profile.engine.speculative_tokens,
            acceptance_rate=settings.simulated_acceptance_rate,
            kv_tokens=settings.simulated_kv_tokens,
            faults=settings.simulated_faults,
        ),
        card,
        measures,
    )


def _vllm(
    settings: WorkerSettings, card: ModelCard, checkpoints: Checkpoints, measures: EngineMeasures
) -> Engine:
    check_driver()
    made = plan_of(settings, this_machine())
    _log.info("worker.planned", **plan_report.values(made))
    # Nano's matrices are too small to share: on two cores one thread makes twice the tokens.
    own_threads = 1 if card is NANO else available_cpus()
    prepare_environment(cpu_threads=settings.cpu_threads or own_threads)
    # vLLM reads its environment when it is imported, and takes seconds.
    from facet.worker.engine.vllm_engine import VllmEngine, VllmOptions  # noqa: PLC0415

    options = VllmOptions(
        target_dir=checkpoints.target,
        drafter_dir=checkpoints.drafter,
        plan=made,
        streamed_weights=checkpoints.streamed,
    )
    return VllmEngine(options, replace(card, context_tokens=made.max_model_len), measures)
