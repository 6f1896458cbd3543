"""From a call's request to a queued generation."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

from opentelemetry.trace import Span, SpanKind

from facet.api.queue.v1.envelope_pb2 import Envelope, MediaItem
from facet.api.v1.content_pb2 import Part
from facet.api.v1.generation_pb2 import (
    ON_DISCONNECT_CONTINUE,
    PRIORITY_STANDARD,
    GenerationRequest,
)
from facet.core.errors import FacetError, StoreUnavailableError
from facet.core.media_store import MediaHolder, MediaStore, media_key
from facet.core.telemetry.gateway_metrics import MEDIA_BYTES
from facet.core.telemetry.gen_ai import request_attributes
from facet.core.telemetry.trace_context import carried
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.gateway.call_trace import name_request
from facet.gateway.calls import Call
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.inline_budget import InlineBudget
from facet.gateway.load import envelope_version, load_of
from facet.gateway.subscription import Origin
from facet.gateway.tenants import Tenants, Terms
from facet.gateway.validation.media_types import canonical_type
from facet.gateway.validation.request import validate
from facet.queue.answers import store_unavailable
from facet.queue.port import Producer
from facet.queue.values import Priority, Submission, Submitted

# With 0.2 s for the way to the client and back, a call fails within 2 s.
SUBMIT_BUDGET_SECONDS = 1.8
RETRY_PAUSE_SECONDS = 0.1
# Smaller blobs are hashed faster than a thread takes them over.
HASHED_INLINE_BYTES = 1 << 18


@dataclass(frozen=True)
class IntakeLimits:
    """Bounds on what is accepted; `retention_seconds` is how long an ended log is kept.

    `max_inline_bytes` is for one request, `max_inflight_inline_bytes` for all that are being
    accepted at once. `submit_replicas` as in `Submission.replicas`.
    """

    max_inline_bytes: int
    max_inflight_inline_bytes: int
    default_deadline_seconds: float
    max_deadline_seconds: float
    reader_grace_seconds: float
    retention_seconds: float = 600.0
    submit_replicas: int = 0


@dataclass(frozen=True)
class Accepted:
    """A queued generation; `ends_at` is its deadline on the monotonic clock, in seconds.

    `origin` is what it can be queued anew from, None for one that was not queued here just now.
    `is_fleeting`: its tenant wants it deleted once its end was delivered.
    """

    generation_id: str
    route: Route
    ends_at: float
    origin: Origin | None = None
    is_fleeting: bool = False


class Intake:
    """Validates requests, stores their media and queues them."""

    def __init__(
        self,
        catalogue: Catalogue,
        media: MediaStore,
        limits: IntakeLimits,
        tenants: Tenants | None = None,
        tracing: Tracing = UNTRACED,
    ) -> None:
        """Without `tenants` nobody has limits."""
        self._tracing = tracing
        self._tenants = tenants or Tenants()
        self._catalogue = catalogue
        self._media = media
        self._limits = limits
        self._budget = InlineBudget(limits.max_inflight_inline_bytes)

    async def accept(
        self, request: GenerationRequest, call: Call, *, follows: bool = True
    ) -> Accepted:
        """Queue a generation; takes the request over and changes it.

        Without `follows` nobody reads it from here.

        Errors: ModelNotFoundError, InvalidRequestError, NotServedError, those of
        `Producer.submit`, QueueFullError also for too much inline media at once;
        StoreUnavailableError within 2 s, or 10 s later when the store goes while media are stored.
        """
        route = self._catalogue.route(request.model)
        validate(request, route.card, max_inline_bytes=self._limits.max_inline_bytes)
        request.model = route.card.name
        name_request(request.request_id)
        attributes = request_attributes(request)
        inline_bytes = _inline_bytes(request)
        with (
            self._budget.hold(inline_bytes),
            self._tracing.phase(
                "submit", call.trace, kind=SpanKind.PRODUCER, attributes=attributes
            ) as span,
        ):
            if inline_bytes:
                # Storing large media may take its time; a store that is away is told at once.
                await route.queue.ping()
            return await self._enqueue(request, route, call, span, follows=follows)

    async def _enqueue(
        self, request: GenerationRequest, route: Route, call: Call, span: Span, *, follows: bool
    ) -> Accepted:
        life_seconds = self._deadline_seconds(call)
        ends_at = time.monotonic() + life_seconds
        terms = self._tenants.terms(call.tenant)
        retention_seconds = self._retention_seconds(request, terms)
        generation_id = await route.queue.name_generation(
            call.tenant, request.request_id, is_limited=terms.quota.is_limited
        )
        holder = MediaHolder(generation_id, call.tenant, terms.max_media_bytes or 0)
        media = await self._store_media(request, holder, life_seconds + retention_seconds)
        submission = self._submission(
            generation_id,
            request,
            media,
            call,
            span,
            ends_at=ends_at,
            retention_seconds=retention_seconds,
        )
        submission = replace(
            submission,
            **vars(load_of(request, media, route.card, call.tenant)),
            weight=terms.weight or call.principal.weight,
            follower=route.reader.follower if follows else "",
            replicas=self._limits.submit_replicas,
            quota=terms.quota if self._tenants.has_file else None,
            media_keys=tuple(dict.fromkeys(item.key for item in media)),
            has_bound_retention=terms.retention_seconds is not None,
        )
        submitted = await self._submit(route.queue, submission, ends_at, holder)
        # A repeated request id names a generation with a deadline of its own.
        ends_at = time.monotonic() + submitted.remaining_ms / 1000
        origin = Origin(submission, submitted.origin, ends_at) if submitted.is_new else None
        return Accepted(
            submitted.generation_id, route, ends_at, origin, is_fleeting=submission.is_fleeting
        )

    async def _submit(
        self, queue: Producer, submission: Submission, ends_at: float, holder: MediaHolder
    ) -> Submitted:
        try:
            submitted = await _submit(queue, submission, ends_at)
        except StoreUnavailableError:
            # It may be accepted.
            raise
        except FacetError:
            await self._release(submission.media_keys, holder)
            raise
        if submitted.generation_id != submission.generation_id:
            await self._release(submission.media_keys, holder)
        return submitted

    async def _release(self, keys: Iterable[str], holder: MediaHolder) -> None:
        # What is not released lapses.
        with suppress(StoreUnavailableError):
            await self._media.release(keys, holder)

    def _retention_seconds(self, request: GenerationRequest, terms: Terms) -> float:
        seconds = self._limits.retention_seconds
        if request.HasField("retention"):
            seconds = request.retention.ToTimedelta().total_seconds()
        if terms.retention_seconds is not None:
            seconds = min(seconds, terms.retention_seconds)
        return seconds

    def _deadline_seconds(self, call: Call) -> float:
        remaining = call.remaining_seconds()
        if remaining is None:
            return self._limits.default_deadline_seconds
        return min(max(remaining, 0.001), self._limits.max_deadline_seconds)

    async def _store_media(
        self, request: GenerationRequest, holder: MediaHolder, life_seconds: float
    ) -> list[MediaItem]:
        """Put references in the place of inline media; nothing stays held when it fails."""
        stored: list[MediaItem] = []
        try:
            for part in (part for content in request.contents for part in content.parts):
                if part.HasField("inline_data"):
                    item = await self._store(part, request.model, holder, life_seconds)
                    stored.append(item)
        except FacetError:
            await self._release((item.key for item in stored), holder)
            raise
        return stored

    async def _store(
        self, part: Part, model: str, holder: MediaHolder, life_seconds: float
    ) -> MediaItem:
        data, mime_type = part.inline_data.data, canonical_type(part.inline_data.mime_type)
        sha256 = await _sha256(data)
        item = MediaItem(
            key=media_key(holder.tenant, sha256),
            mime_type=mime_type,
            sha256=sha256,
            size_bytes=len(data),
        )
        await self._media.put(item.key, data, life_seconds=int(life_seconds) + 1, holder=holder)
        MEDIA_BYTES.labels(model, mime_type.partition("/")[0]).inc(len(data))
        part.media.media_id = item.key
        return item

    def _submission(
        self,
        generation_id: str,
        request: GenerationRequest,
        media: list[MediaItem],
        call: Call,
        span: Span,
        *,
        ends_at: float,
        retention_seconds: float,
    ) -> Submission:
        grace_ms = None
        if request.on_disconnect != ON_DISCONNECT_CONTINUE:
            grace_ms = round(self._limits.reader_grace_seconds * 1000)
        envelope = Envelope(
            version=envelope_version(request),
            generation_id=generation_id,
            tenant=call.tenant,
            request=request,
            media=media,
        )
        envelope.traceparent, envelope.tracestate = carried(span)
        envelope.accept_time.GetCurrentTime()
        return Submission(
            generation_id=generation_id,
            tenant=call.tenant,
            envelope=envelope.SerializeToString(),
            priority=Priority(request.priority or PRIORITY_STANDARD),
            deadline_ms=_left_ms(ends_at),
            retention_ms=round(retention_seconds * 1000),
            reader_grace_ms=grace_ms,
            request_id=request.request_id,
            body_digest=_body_digest(request),
        )


def _inline_bytes(request: GenerationRequest) -> int:
    # Each look at the bytes copies them.
    return sum(len(part.inline_data.data) for turn in request.contents for part in turn.parts)


def _left_ms(ends_at: float) -> int:
    return max(1, round((ends_at - time.monotonic()) * 1000))


async def _submit(queue: Producer, submission: Submission, ends_at: float) -> Submitted:
    try:
        async with asyncio.timeout(SUBMIT_BUDGET_SECONDS):
            try:
                return await queue.submit(submission)
            except StoreUnavailableError as error:
                if "generation_id" in error.metadata:
                    # It is accepted; its replicas were waited for.
                    raise
                # The first try may have been accepted: the same id makes the second harmless.
                await asyncio.sleep(RETRY_PAUSE_SECONDS)
                return await queue.submit(replace(submission, deadline_ms=_left_ms(ends_at)))
    except TimeoutError as error:
        raise store_unavailable() from error


async def _sha256(data: bytes) -> bytes:
    if len(data) <= HASHED_INLINE_BYTES:
        return hashlib.sha256(data).digest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())


def _body_digest(request: GenerationRequest) -> bytes:
    if not request.request_id:
        return b""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
