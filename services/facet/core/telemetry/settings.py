"""Settings of what a service tells of itself, the same for all services."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from facet.core.settings import ServiceSettings
from facet.core.tls import check_bundle

Endpoint = Annotated[str, Field(pattern=r"^((https?://)?[^/]+:\d{1,5}/?)?$")]


def _checked(path: Path) -> Path:
    try:
        check_bundle(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    return path


CaFile = Annotated[Path, AfterValidator(_checked)]
"""A file that holds CAs when the settings are read."""


class TelemetrySettings(ServiceSettings):
    """Mixed into the settings of a service."""

    metrics_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address `host:port` where HTTP serves `/metrics` for Prometheus and `/health`, without TLS
    and without a key; port 0 takes a free one. Empty serves none."""

    trace_endpoint: Endpoint = ""
    """Where spans go: OTLP over gRPC, `[http(s)://]host:port`; empty sends none."""

    trace_ca_file: CaFile | None = None
    """CAs, PEM, of a `trace_endpoint` of https, followed as the file changes. Unset: those of the
    OTEL_EXPORTER_OTLP_* variables, else the system's."""

    trace_sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that are kept where the caller has not decided. Those with an error are
    kept besides."""

    trace_content: bool = False
    """Whether prompts and answers are recorded in spans."""

    log_level_file: Path | None = None
    """A file that holds a level; while it does, that one is in force instead of `log_level`."""
