"""The timing of each attempt, for who learns service times: apart from tracing and unsampled."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Tracer

from facet.core.telemetry.exporting import batching, exporter_to, stop_batching
from facet.core.telemetry.tracing import resource_of
from facet.core.telemetry.worker_metrics import TIMINGS_DROPPED

SPAN_NAME = "facet.timing"

RATE_PER_SECOND = 50.0
"""More attempts a second tell a learner nothing more, and a fleet must not flood it."""

BURST = 100

_log = structlog.get_logger(__name__)


class TokenBucket:
    """Lets `rate_per_second` through in the mean and `burst` at once."""

    def __init__(
        self, rate_per_second: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate_per_second
        self._burst = float(burst)
        self._clock = clock
        self._tokens = float(burst)
        self._at = clock()

    def takes(self) -> bool:
        """Whether one more may pass."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Timings:
    """Sends timing spans at a bounded rate; `dropped` counts those above it."""

    def __init__(self, tracer: Tracer | None, bucket: TokenBucket | None = None) -> None:
        """Without a tracer nothing is sent."""
        self._tracer = tracer
        self._bucket = bucket or TokenBucket(RATE_PER_SECOND, BURST)
        self.dropped = 0

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return self._tracer is not None

    def tell(
        self,
        attributes: Mapping[str, str | int | float],
        trace: Context,
        *,
        start_ns: int,
        end_ns: int,
    ) -> None:
        """Send the timing of one attempt, in the trace that it belongs to. Never waits."""
        if self._tracer is None:
            return
        if not self._bucket.takes():
            if not self.dropped:
                _log.info("timing.dropped", rate_per_second=RATE_PER_SECOND)
            self.dropped += 1
            TIMINGS_DROPPED.inc()
            return
        span = self._tracer.start_span(SPAN_NAME, trace, attributes=attributes, start_time=start_ns)
        span.end(end_ns)


@asynccontextmanager
async def timings(
    endpoint: str, ca_file: Path | None, service: str, resource: Mapping[str, str]
) -> AsyncIterator[Timings]:
    """The timing spans of a service while the context is open; they go to `endpoint`, if any.

    `ca_file` and errors: see `exporter_to`.
    """
    if not endpoint:
        yield Timings(None)
        return
    processor = batching(exporter_to(endpoint, ca_file))
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=resource_of(service, resource), shutdown_on_exit=False
    )
    provider.add_span_processor(processor)
    try:
        yield Timings(provider.get_tracer("facet.timing"))
    finally:
        await stop_batching(processor)
