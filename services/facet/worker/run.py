"""One leased request, from its claim to its terminal event."""

from __future__ import annotations

import asyncio
import secrets
import time
import traceback
from enum import Enum
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from structlog.contextvars import bind_contextvars

from facet.api.queue.v1 import envelope_pb2
from facet.core.errors import (
    DeadLetteredError,
    EngineStalledError,
    FacetError,
    InternalError,
)
from facet.core.tasks import cancel_all
from facet.queue.values import Claimed
from facet.worker import measures
from facet.worker.attempt import Attempt
from facet.worker.continuation import Continuation, continuation
from facet.worker.engine.port import EngineDeadError, Medium
from facet.worker.fan_out import FanOut
from facet.worker.log_writer import RunLog
from facet.worker.media_fetch import fetch_media
from facet.worker.output import Output
from facet.worker.workplace import Workplace

ENVELOPE_VERSIONS = (1, 2)
"""Readable here; 2 is 1 with several candidates."""

_log = structlog.get_logger(__name__)


class Stop(Enum):
    """Why a run is stopped from outside while its lease holds."""

    STALLED = "stalled"
    HAND_BACK = "hand_back"


class Run:
    """Executes one claim. `execute` is called once; `stop` and the log's `lost` end it early."""

    def __init__(
        self, claimed: Claimed, log: RunLog, place: Workplace, asked_at: float | None = None
    ) -> None:
        """`asked_at`: when the claim was asked for, on the monotonic clock."""
        self.claimed = claimed
        self.log = log
        self._envelope = envelope_pb2.Envelope()
        self._place = place
        self._began = time.monotonic()
        self._reason = measures.ENGINE_DIED
        self._output = Output(claimed, log)
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        self._attempt = Attempt(claimed, place.telling, place.occupancy, asked_at)
        self._fan_out = FanOut(claimed.lease.generation_id, place, self._attempt)

    @property
    def is_in_engine(self) -> bool:
        """Whether the engine works on it, or was asked to."""
        return self._fan_out.is_in_engine

    @property
    def is_handed_back(self) -> bool:
        """Whether it ended by HAND_BACK, and its lease holds."""
        return self._reason == measures.HANDED_BACK and not self.log.lost.is_set()

    def idle_seconds(self) -> float:
        """Time since the engine last made progress on each candidate in it, else 0."""
        return self._fan_out.idle_seconds()

    def stop(self, reason: Stop) -> None:
        """End it early; safe to repeat. Not once its end is on its way to the log."""
        if not self._stop.done() and self._output.finished is None:
            self._stop.set_result(reason)

    async def execute(self) -> None:
        """Run to the terminal event, or until the lease is lost or `stop` is called.

        After HAND_BACK everything that the engine made is in the log. Errors: EngineDeadError.
        """
        lease = self.claimed.lease
        bind_contextvars(generation_id=lease.generation_id, attempt=self.claimed.attempt)
        work = asyncio.create_task(self._work())
        lost = asyncio.create_task(self.log.lost.wait())
        try:
            ends: set[asyncio.Future[Any]] = {work, lost, self._stop}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return
            await cancel_all([work])
            if self.log.lost.is_set():
                self._reason = measures.LEASE_LOST
                _log.info("run.lease_lost", generation_id=lease.generation_id)
            elif self._stop.result() is Stop.STALLED:
                stalled = EngineStalledError("the engine made no progress on this request")
                self._reason = stalled.reason_name()
                await self._fail(stalled)
            else:
                self._reason = measures.HANDED_BACK
                await self.log.settle()
        finally:
            await cancel_all([work])
            lost.cancel()
            self._stop.cancel()
            self._end()

    async def _work(self) -> None:
        generation_id = self.claimed.lease.generation_id
        try:
            envelope = _read_envelope(self.claimed.envelope, generation_id)
            self._attempt.begin(envelope)
            await self._generate(envelope)
            self._reason = measures.OK if self._output.usage else measures.LEASE_LOST
        except FacetError as error:
            self._reason = error.reason_name()
            _log.info("run.failed", generation_id=generation_id, reason=error.reason_name())
            await self._fail(error)
        except EngineDeadError:
            self._reason = measures.ENGINE_DIED
            raise
        # A fault of ours must not take the other requests with it: this is their supervisor.
        except Exception as error:  # noqa: BLE001
            self._reason = measures.INTERNAL
            await self._fail(_incident(error, generation_id))

    async def _fail(self, error: FacetError) -> None:
        self._attempt.fail(error)
        await self._output.fail(error)

    def _end(self) -> None:
        output = self._output
        prompt = output.prompt if output.has_prompt else None
        self._attempt.end(
            self._reason, finished=output.finished, prompt=prompt, response=self.log.response
        )
        with self._attempt.as_current():
            self._measure()

    async def _generate(self, envelope: envelope_pb2.Envelope) -> None:
        engine, request, claimed = self._place.engine, envelope.request, self.claimed
        self._envelope = envelope
        self._place.measures.began(request.priority, claimed.attempt, claimed.waited_ms / 1000)
        way = continuation(request, claimed, engine)
        if claimed.next_offset:
            self._place.measures.resumed(way.value)
        began = time.monotonic()
        media = await self._fetch(envelope)
        with self._attempt.phase("render"):
            prompt = await engine.render(request, media, envelope.tenant)
        render_seconds = time.monotonic() - began
        self._place.measures.rendered(render_seconds)
        candidates = max(1, request.generation_config.candidate_count)
        await self._output.begin(
            prompt,
            [engine.decoder(request, prompt) for _ in range(candidates)],
            include_thoughts=request.generation_config.thinking.include_thoughts,
            render_seconds=render_seconds,
            is_restart=way is Continuation.RESTART,
        )
        if not self._output.is_complete:
            await self._fan_out.run(request, self._output, way)
        with self._attempt.phase("log.finish"):
            await self._output.finish()

    async def _fetch(self, envelope: envelope_pb2.Envelope) -> list[Medium]:
        if not envelope.media:
            return []
        attributes = {
            "facet.media.count": len(envelope.media),
            "facet.media.bytes": sum(item.size_bytes for item in envelope.media),
        }
        with self._attempt.phase("media.fetch", attributes):
            return await fetch_media(self._place.media, envelope.media)

    def _measure(self) -> None:
        count, tally = self._place.measures, self._output.tally
        request = self._envelope.request
        if tally.first_token_seconds is not None:
            count.made_tokens(tally.first_token_seconds, tally.seconds_per_token)
        if self._output.usage is not None:
            count.used(self._output.usage, self._envelope.tenant, request.adapter)
        count.ended(request.priority, self._reason, time.monotonic() - self._began)


def _read_envelope(data: bytes, generation_id: str) -> envelope_pb2.Envelope:
    try:
        envelope = envelope_pb2.Envelope.FromString(data)
    except DecodeError as error:
        raise DeadLetteredError("the envelope cannot be read") from error
    if envelope.version not in ENVELOPE_VERSIONS:
        raise DeadLetteredError(f"envelope version {envelope.version} is not known here")
    if envelope.generation_id != generation_id:
        raise DeadLetteredError("the envelope is another generation's")
    return envelope


def _incident(error: Exception, generation_id: str) -> InternalError:
    """Log a fault of ours and make the error that points there.

    Messages of errors stay out: they may quote the prompt or the answer.
    """
    incident_id = secrets.token_hex(8)
    _log.error(
        "run.fault",
        generation_id=generation_id,
        incident_id=incident_id,
        error=type(error).__qualname__,
        frames=[
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)
        ],
    )
    return InternalError(
        f"the worker failed on this request; its log has it as incident {incident_id}",
        metadata={"incident_id": incident_id},
    )
