"""Settings of the node: `FACET_NODE_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from facet.core.settings import ServiceSettings, settings_config
from facet.profiles import catalogue
from facet.profiles.choice import AUTO


class NodeSettings(ServiceSettings):
    """What runs on this machine, and where its state lies."""

    model_config = settings_config("NODE")

    profile: str = Field(
        default=catalogue.NANO_CPU.name,
        description="Model profile to serve; `auto` takes the best that fits.",
    )
    engine: Literal["vllm", "simulated"] = Field(
        default="vllm",
        description="Engine of the workers; `simulated` answers nonsense, for tests.",
    )
    workers: int = Field(default=1, ge=1, le=16, description="Worker processes.")
    state_dir: Path = Field(default=Path(".facet"), description="Folder of data, logs and state.")
    gateway_listen: str | None = Field(
        default=None,
        description="host:port of the gateway; unset takes 127.0.0.1:8470 or a free port.",
    )
    start_seconds: float = Field(
        default=600.0, gt=0, description="How long one process may take until it is ready."
    )
    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        description="How long gateway and workers may finish what they do at the end.",
    )
    log_level: str = Field(default="INFO", description="Log level of gateway and workers.")

    @field_validator("profile")
    @classmethod
    def _check_profile(cls, profile: str) -> str:
        if profile != AUTO and profile not in catalogue.PROFILES:
            raise ValueError(f"no such profile; there are {AUTO}, {', '.join(catalogue.PROFILES)}")
        return profile
