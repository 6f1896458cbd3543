"""Settings of a worker process, from `FACET_WORKER_*`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from facet.core.settings import WeightsSettings, settings_config
from facet.profiles.catalogue import NANO_CPU
from facet.queue.store_settings import StoreSettings


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class WorkerSettings(StoreSettings, WeightsSettings):
    """See each field."""

    model_config = settings_config("WORKER")

    release: str = "default"
    """Namespace in Redis."""
    model: str = NANO_CPU.model
    """Model that is served, by its name in `facet.core.models`."""
    engine: Literal["vllm", "simulated"] = "vllm"
    """Engine adapter; `simulated` is for tests."""
    name: str = Field(default_factory=_default_name, min_length=1)
    """Unique among the workers of a model."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    drain_seconds: float = Field(default=8.0, ge=0)
    """After SIGTERM, running requests may finish for so long; the others are handed back."""
    claim_ahead: int = Field(default=2, ge=0, le=16)
    """Requests claimed beyond the engine's capacity, to fetch their media and render them."""
    stall_seconds: float = Field(default=120.0, gt=0)
    """A request without progress in the engine for so long is ended; a hung engine, the worker."""
    store_patience_seconds: float = Field(default=30.0, gt=0)
    """How long events are kept while Redis is away."""
    ready_file: Path | None = None
    """Written when claiming begins, removed when it ends."""
    health_listen: str = ""
    """Address host:port of the gRPC health service; empty for none."""

    max_sequences: int = Field(default=NANO_CPU.engine.max_sequences, ge=1, le=1024)
    """Candidates that the engine runs at once; most requests have one."""
    max_batched_tokens: int = Field(default=min(NANO_CPU.engine.batched_tokens), ge=256)
    """Tokens of one engine step; holds the two largest media of a prompt together."""
    speculative_tokens: int = Field(default=NANO_CPU.engine.speculative_tokens, ge=0, le=8)
    """Draft tokens a step; 0 turns the drafter off."""
    kv_cache_gib: int = Field(default=1, ge=1)
    """KV cache on a CPU."""
    cpu_threads: int = Field(default=0, ge=0)
    """Compute threads on a CPU; 0 takes 1 for nano, else all CPUs that the process may use."""

    simulated_startup_seconds: float = Field(default=0.0, ge=0)
    simulated_step_ms: float = Field(default=5.0, ge=0)
    simulated_prefill_tokens_per_second: float = Field(default=50_000.0, gt=0)
    simulated_acceptance_rate: float = Field(default=0.6, ge=0, le=1)
    simulated_kv_tokens: int = Field(default=1 << 20, ge=1)
    """KV cache of the simulated engine, in tokens."""
    simulated_faults: str = ""
    """Faults of every request, as in prompts; see `facet.worker.engine.simulated`."""
