"""Claims requests while there is room for them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable
from contextlib import suppress

import structlog

from facet.core.errors import StoreUnavailableError
from facet.queue.id_words import MAX_CANDIDATES
from facet.queue.port import Consumer
from facet.queue.values import Claim, ClaimResult, Offers, Room
from facet.worker.engine.port import Engine
from facet.worker.run import ENVELOPE_VERSIONS
from facet.worker.runs import Runs

_SETTLE_SECONDS = 2.0
"""After an outage nothing is claimed for so long: a store that fell back may have forgotten leases
and requests, and whoever holds them takes them back first."""

_log = structlog.get_logger(__name__)


class Claimer:
    """Takes what the engine can start at once, and `claim_ahead` requests more.

    Those are fetched and rendered meanwhile. Without a free seat it leaves the hints to workers
    that have one: what comes would wait here while it could start there.
    """

    def __init__(
        self, queue: Consumer, engine: Engine, runs: Runs, *, worker: str, claim_ahead: int
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._runs = runs
        self._worker = worker
        self._claim_ahead = claim_ahead
        self._offers = Offers(
            envelope_versions=ENVELOPE_VERSIONS,
            context_tokens=engine.context_tokens,
            media="aiv",
        )
        self._stopping = asyncio.Event()
        self._is_store_away = False

    def stop(self) -> None:
        """Claim nothing more; `run` returns when the claim under way is answered."""
        self._stopping.set()

    async def run(self) -> None:
        """Claim until `stop`."""
        while not self._stopping.is_set():
            self._runs.ended.clear()
            free = self._engine.capacity + self._claim_ahead - self._runs.sequences()
            if free <= 0 or self._runs.has_suspect:
                await self._wait(self._runs.ended.wait())
                continue
            asked_at = time.monotonic()
            result = await self._claim(free)
            if result is None:
                continue
            if self._stopping.is_set():
                await self._return(result)
                return
            for claimed in result.claimed:
                self._runs.start(claimed, asked_at)
            if result.claimed:
                continue
            has_free_seat = self._runs.sequences() < self._engine.capacity
            if result.may_take_hints and has_free_seat:
                await self._wait_for_work(result.next_check_ms)
            else:
                await self._wait(self._run_ended(result.next_check_ms))

    async def _claim(self, limit: int) -> ClaimResult | None:
        """One claim, repeated under its nonce until it is answered; None when stopped before."""
        room = self._room(limit)
        claim = Claim(
            worker=self._worker,
            nonce=secrets.token_hex(16),
            # Seats that are not there are for the candidates of one request.
            limit=limit if room.free_sequences == limit else 1,
            held=len(self._runs),
            fingerprint=self._engine.fingerprint,
            offers=self._offers,
            room=room,
        )
        while True:
            try:
                result = await self._queue.claim(claim)
            except StoreUnavailableError as error:
                if not self._is_store_away:
                    _log.warning("claim.store_away", cause=repr(error.__cause__))
                self._is_store_away = True
                await self._wait(asyncio.sleep(_SETTLE_SECONDS))
                if self._stopping.is_set():
                    return None
                continue
            self._is_store_away = False
            return result

    def _room(self, free_sequences: int) -> Room:
        if not self._runs:
            # A worker with fewer seats than candidates runs them one after another.
            free_sequences = max(free_sequences, MAX_CANDIDATES)
        return Room(
            sequences=max(self._engine.capacity, MAX_CANDIDATES),
            tokens=self._engine.kv_tokens,
            free_sequences=free_sequences,
            free_tokens=self._engine.kv_tokens - self._runs.tokens(),
        )

    async def _wait_for_work(self, next_check_ms: int) -> None:
        try:
            await self._wait(self._queue.wait_for_work(self._worker, next_check_ms))
        except StoreUnavailableError:
            await self._wait(asyncio.sleep(_SETTLE_SECONDS))

    async def _run_ended(self, timeout_ms: int) -> None:
        """Return when a run ends, or after the timeout."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_ms / 1000):
                await self._runs.ended.wait()

    async def _return(self, result: ClaimResult) -> None:
        try:
            await self._queue.hand_back([claimed.lease for claimed in result.claimed])
        except StoreUnavailableError as error:
            _log.warning("claim.hand_back_failed", cause=repr(error.__cause__))

    async def _wait(self, awaitable: Awaitable[object]) -> None:
        """Wait for it, or for `stop`."""
        waiting = asyncio.ensure_future(awaitable)
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                waiting.result()
        finally:
            for task in (waiting, stopping):
                task.cancel()
            await asyncio.gather(waiting, stopping, return_exceptions=True)
