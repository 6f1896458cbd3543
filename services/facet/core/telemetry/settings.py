"""Settings of what a service tells of itself, the same for all services."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from facet.core.settings import ServiceSettings


class TelemetrySettings(ServiceSettings):
    """Mixed into the settings of a service."""

    metrics_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address `host:port` where HTTP serves `/metrics` for Prometheus and `/health`, without TLS
    and without a key; port 0 takes a free one. Empty serves none."""
