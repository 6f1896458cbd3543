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

    pools_file: Path
    """The pools of workers, which the chart writes."""

    namespace: str = "default"
    """Namespace of the pools in Kubernetes."""

    lease: Annotated[str, Field(min_length=1)] = "facet-autoscaler"
    """Name of the Lease whose holder writes the number of replicas, standalone."""

    drain_seconds: Annotated[float, Field(ge=0, le=3600)] = 600.0
    """So long a pool waits, standalone, for a worker that is to go and still holds requests."""

    dry_run: bool = False
    """Standalone: have the API server check what would be written, and change nothing."""

    otlp_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address where OTLP over gRPC takes workers' timing spans, `host:port`; over TLS where
    `tls_certificate_file` is set. Empty takes none: service times stay those of `pools_file`."""

    gateway_metrics: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """`host:port` of the gateways' `/metrics`, a name that resolves to all of them; latency
    percentiles are read there. Empty, and no `prometheus_url`: the policy does without them."""

    prometheus_url: Annotated[str, Field(pattern=r"^(https?://.+)?$")] = ""
    """Prometheus to ask for the percentiles instead."""

    decision_seconds: Annotated[float, Field(gt=0, le=15)] = 5.0
    """Between decisions. One who misses three of them leads no more, and another one's first is
    taken while the last one still counts, which it does for a minute."""

    interactive_ttft_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Within so long an INTERACTIVE request is promised its first token."""

    standard_ttft_seconds: Annotated[float, Field(gt=0)] = 10.0
    """The same for STANDARD."""

    batch_drain_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Within so long BATCH work is done."""

    inter_token_seconds: Annotated[float, Field(gt=0)] = 0.2
    """Within so long a token follows the one before."""

    attainment: Annotated[float, Field(gt=0, lt=1)] = 0.99
    """Share of the requests that must be within these."""

    head_room: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Capacity kept free beyond what is needed, as a share of it."""

    idle_seconds: Annotated[float, Field(gt=0)] = 600.0
    """So long without any work leads to the pools' minimum."""

    max_cost_per_hour: Annotated[float, Field(ge=0)] = 0.0
    """Cap on the pods' prices together; 0 is none."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""
