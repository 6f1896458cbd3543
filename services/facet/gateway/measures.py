"""Counts calls and deliveries; what labels stand for is looked up once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import grpc

from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import FacetError, InternalError, QuotaExceededError
from facet.core.models import CARDS
from facet.core.telemetry import gateway_metrics
from facet.core.telemetry.metrics import MAX_TENANTS, BoundedLabel
from facet.core.telemetry.trace_context import current_exemplar
from facet.gateway.framing import event_frames
from facet.gateway.subscription import Batch
from facet.queue.values import class_label

OK = "OK"
CANCELLED = "CANCELLED"
REFUSED = "REFUSED"
"""Without a reason of ours: health of a service that is not served."""

_TENANTS = BoundedLabel(MAX_TENANTS)


@contextmanager
def measured_call(method: str) -> Iterator[None]:
    """Count a call by how the block ends."""
    error: BaseException | None = None
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        _calls(method, _reason_of(error)).inc()


@contextmanager
def measured(request: GenerationRequest, tenant: str) -> Iterator[Reading]:
    """Count a call that generates by how the block ends, and time what it delivers."""
    error: BaseException | None = None
    try:
        yield Reading()
    except BaseException as caught:
        error = caught
        raise
    finally:
        model = request.model if request.model in CARDS else ""
        kind, name = class_label(request.priority), _TENANTS.of(tenant)
        gateway_metrics.REQUESTS.labels(model, kind, name, _reason_of(error)).inc()
        if isinstance(error, QuotaExceededError):
            limit = error.metadata.get("bound", "")
            gateway_metrics.QUOTA_REFUSALS.labels(name, limit).inc()


def _reason_of(error: BaseException | None) -> str:
    if error is None:
        return OK
    if isinstance(error, FacetError):
        return error.reason_name()
    if isinstance(error, grpc.aio.AbortError):
        return REFUSED
    return InternalError.reason_name() if isinstance(error, Exception) else CANCELLED


class Reading:
    """What one reader of one generation gets, and when.

    Call `begin` when the generation is known, then `delivered` for each batch.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._timings: _Timings | None = None
        self._last: float | None = None

    def begin(self, model: str, *, priority: int | None = None, next_offset: int = 0) -> None:
        """The reader begins at an offset.

        `priority` is that of a request that this call has just queued: its times to the first token
        and to the end are told.
        """
        self._of_model = _of_model(model)
        self._next_offset = next_offset
        if priority is not None:
            self._timings = _timings(model, class_label(priority))

    def delivered(self, batch: Batch, next_offset: int) -> None:
        """A batch that ends at an offset was handed on."""
        now = time.monotonic()
        of_model = self._of_model
        of_model.deliveries.inc()
        of_model.events.inc(next_offset - self._next_offset)
        self._next_offset = next_offset
        # The first event says that a worker began.
        if next_offset > 1 and not batch.failure:
            if self._last is not None:
                of_model.inter_token.observe(now - self._last)
            elif self._timings is not None:
                self._timings.first_token.observe(now - self._began, current_exemplar())
            self._last = now
        if batch.is_terminal:
            self._ended(batch, now)

    def _ended(self, batch: Batch, now: float) -> None:
        if self._timings is not None and not batch.failure:
            self._timings.request_seconds.observe(now - self._began, current_exemplar())
        if not batch.response:
            return
        *_, frame = event_frames(batch.response)
        (event,) = StreamGenerateContentResponse.FromString(frame).events
        if event.finished.timings.attempts > 1:
            self._of_model.resumes.inc(event.finished.timings.attempts - 1)


class _OfModel:
    def __init__(self, model: str) -> None:
        self.deliveries = gateway_metrics.DELIVERIES.labels(model)
        self.events = gateway_metrics.DELIVERED_EVENTS.labels(model)
        self.inter_token = gateway_metrics.INTER_TOKEN.labels(model)
        self.resumes = gateway_metrics.RESUMES.labels(model)


class _Timings:
    def __init__(self, model: str, kind: str) -> None:
        self.first_token = gateway_metrics.FIRST_TOKEN.labels(model, kind)
        self.request_seconds = gateway_metrics.REQUEST_SECONDS.labels(model, kind)


_of_model = cache(_OfModel)
_timings = cache(_Timings)
_calls = cache(gateway_metrics.CALLS.labels)
