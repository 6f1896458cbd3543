"""Serves a worker's metrics with those of its engine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import structlog
from prometheus_client import REGISTRY, CollectorRegistry

from facet.core.telemetry.exposition import Foreign, registry_of
from facet.core.telemetry.listener import serving_metrics
from facet.core.telemetry.store_metrics import STORE
from facet.core.telemetry.worker_metrics import WORKER
from facet.worker.engine.port import Engine
from facet.worker.health import Readiness
from facet.worker.measures import Measures

_VLLM = "vllm:"

_log = structlog.get_logger(__name__)


@contextmanager
def telling(listen: str, readiness: Readiness, measures: Measures) -> Iterator[None]:
    """Serve while the context is open; nothing with an empty `listen`.

    Errors: SystemExit when the address cannot be bound.
    """
    measures.watch_ready(lambda: readiness.is_ready)
    of_vllm = CollectorRegistry()
    of_vllm.register(Foreign(REGISTRY, _VLLM, renames=False))
    registries = {
        "/metrics": registry_of(WORKER, STORE, Foreign(REGISTRY, _VLLM, renames=True)),
        "/metrics/vllm": of_vllm,
    }
    with ExitStack() as stack:
        try:
            address = stack.enter_context(
                serving_metrics(
                    listen,
                    registries,
                    is_serving=lambda: readiness.is_ready,
                    note=lambda: readiness.note,
                )
            )
        except OSError as error:
            sys.exit(f"settings: metrics_listen: {error}")
        if address:
            _log.info("metrics.listening", address=address)
        yield


async def start_timed(engine: Engine, measures: Measures) -> None:
    """Start the engine and tell how long its phases took. Errors: those of `Engine.start`."""
    began = time.monotonic()
    times = await engine.start()
    seconds = time.monotonic() - began
    measures.took("load", times.load_seconds)
    measures.took("warm_up", times.warm_up_seconds)
    measures.took("engine", max(seconds - times.load_seconds - times.warm_up_seconds, 0.0))


@contextmanager
def timed(measures: Measures, phase: str) -> Iterator[None]:
    """Tell how long a phase of the start takes."""
    began = time.monotonic()
    yield
    measures.took(phase, time.monotonic() - began)
