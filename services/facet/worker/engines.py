"""Makes the engine that the settings ask for."""

from __future__ import annotations

from facet.core.models import NANO, ModelCard
from facet.worker.checkpoints import Checkpoints
from facet.worker.engine.nvidia_driver import check_driver
from facet.worker.engine.port import Engine
from facet.worker.engine.simulated import SimulatedEngine, SimulatedOptions
from facet.worker.engine.vllm_process import available_cpus, prepare_environment
from facet.worker.settings import WorkerSettings


class UnknownModelError(Exception):
    """No card describes the configured model."""


def find_card(model: str) -> ModelCard:
    """The card of a configured model. Errors: UnknownModelError."""
    cards = {card.name: card for card in (NANO,)}
    if model not in cards:
        raise UnknownModelError(f"model: there is no {model!r}; known: {', '.join(cards)}")
    return cards[model]


def make_engine(settings: WorkerSettings, card: ModelCard, checkpoints: Checkpoints) -> Engine:
    """The engine, not started. vLLM is imported only where it is asked for."""
    if settings.engine == "simulated":
        return _simulated(settings, card)
    return _vllm(settings, card, checkpoints)


def _simulated(settings: WorkerSettings, card: ModelCard) -> Engine:
    return SimulatedEngine(
        SimulatedOptions(
            max_sequences=settings.max_sequences,
            startup_seconds=settings.simulated_startup_seconds,
            prefill_tokens_per_second=settings.simulated_prefill_tokens_per_second,
            step_ms=settings.simulated_step_ms,
            draft_tokens=settings.speculative_tokens,
            acceptance_rate=settings.simulated_acceptance_rate,
            kv_tokens=settings.simulated_kv_tokens,
            faults=settings.simulated_faults,
        ),
        card,
    )


def _vllm(settings: WorkerSettings, card: ModelCard, checkpoints: Checkpoints) -> Engine:
    check_driver()
    # Nano's matrices are too small to share: on two cores one thread makes twice the tokens.
    own_threads = available_cpus() if settings.weights else 1
    prepare_environment(
        kv_cache_gib=settings.kv_cache_gib, cpu_threads=settings.cpu_threads or own_threads
    )
    # vLLM reads its environment when it is imported, and takes seconds.
    from facet.worker.engine.vllm_engine import VllmEngine, VllmOptions  # noqa: PLC0415

    return VllmEngine(
        VllmOptions(
            target_dir=checkpoints.target,
            drafter_dir=checkpoints.drafter,
            max_sequences=settings.max_sequences,
            max_batched_tokens=settings.max_batched_tokens,
            speculative_tokens=settings.speculative_tokens,
        ),
        card,
    )
