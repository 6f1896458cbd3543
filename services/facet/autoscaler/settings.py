"""Settings of the autoscaler, read once from the environment at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facet.core.listener import ListenerSettings
from facet.core.settings import settings_config
from facet.core.telemetry.settings import TelemetrySettings
from facet.queue.store_settings import StoreSettings


class AutoscalerSettings(StoreSettings, ListenerSettings, TelemetrySettings):
    """Environment variables `FACET_AUTOSCALER_<FIELD>`."""

    model_config = settings_config("AUTOSCALER")

    release: str = "default"
    """Part of every Redis key."""

    model: str = "nano"
    """Model whose pools are scaled."""

    mode: Literal["external-scaler", "standalone"] = "external-scaler"
    """Who writes the number of replicas: KEDA, which asks on `listen`, or this service itself."""

    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] = "127.0.0.1:8472"
    """Address of KEDA's external scaler, `host:port`; port 0 takes a free one. Over TLS where
    `tls_certificate_file` is set. Standalone serves none."""

    health_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address of the gRPC health service, `host:port`, without TLS for probes; empty for none."""

    pools_file: Path | None = None
    """The pools of workers, which the chart writes."""

    namespace: str = "default"
    """Namespace of the pools in Kubernetes."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""
