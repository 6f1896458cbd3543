"""Settings of a worker process, from `FACET_WORKER_*`."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from facet.core.settings import WeightsSettings, settings_config
from facet.core.telemetry.settings import CaFile, Endpoint, TelemetrySettings
from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.profiles.choice import AUTO
from facet.queue.store_settings import StoreSettings


def _default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class WorkerSettings(StoreSettings, WeightsSettings, TelemetrySettings):
    """See each field."""

    model_config = settings_config("WORKER")

    release: str = "default"
    """Namespace in Redis."""
    profile: str = NANO_CPU.name
    """Model profile, by its name in `facet.profiles.catalogue`; `auto` takes the best that fits."""
    pool: str = ""
    """Pool that this worker belongs to, for logs."""
    model: str = ""
    """Model that is served, by its name in `facet.core.models`; empty takes the profile's."""
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
    timing_endpoint: Endpoint = ""
    """Where the timing of each attempt goes, likewise: the autoscaler; empty for none."""
    timing_ca_file: CaFile | None = None
    """CAs, PEM, of a `timing_endpoint` of https, likewise."""
    health_listen: str = ""
    """Address host:port of the gRPC health service; empty for none."""

    context_tokens: int = Field(default=0, ge=0)
    """Prompt and output together; 0 takes the plan's."""
    max_sequences: int | None = Field(default=None, ge=1, le=1024)
    """Candidates that the engine runs at once, most requests have one; unset takes the plan's."""
    max_batched_tokens: int | None = Field(default=None, ge=256)
    """Tokens of one engine step, which holds the two largest media; unset takes the plan's."""
    speculative_tokens: int | None = Field(default=None, ge=0, le=8)
    """Draft tokens a step at every batch size; 0 turns the drafter off; unset takes the plan's."""
    load_format: Literal["", "auto", "runai_streamer"] = ""
    """vLLM's way to read the weights; empty takes the profile's.

    `runai_streamer` reads files by several threads, and a target in gs:// without a copy of it.
    """
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

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, profile: str) -> str:
        if profile != AUTO and profile not in PROFILES:
            raise ValueError(f"no such profile; there are {AUTO}, {', '.join(PROFILES)}")
        return profile
