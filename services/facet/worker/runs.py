"""All requests that a worker holds: starting them, keeping their leases, ending them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator

import structlog

from facet.core.errors import StoreUnavailableError
from facet.core.tasks import cancel_all
from facet.queue.port import Consumer
from facet.queue.values import Claimed, Verdict
from facet.worker.engine.port import EngineDeadError
from facet.worker.log_writer import RunLog
from facet.worker.log_writers import LogWriters
from facet.worker.run import Run, Stop
from facet.worker.workplace import Workplace

_HEARTBEAT_SECONDS = 0.5
_REWOUND_SECONDS = 10.0
"""A gateway that still follows a request which the store forgot has queued it anew by then."""

_log = structlog.get_logger(__name__)


class Runs:
    """Supervises the runs of one worker."""

    def __init__(self, queue: Consumer, writer: LogWriters, place: Workplace) -> None:
        self._queue = queue
        self._writer = writer
        self._place = place
        self._tasks: dict[Run, asyncio.Task[None]] = {}
        self._is_store_away = False
        self.ended = asyncio.Event()
        self.engine_died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._tasks)

    def sequences(self) -> int:
        """Seats that they take in the engine, or will take."""
        return sum(run.claimed.sequences for run in self._tasks)

    def tokens(self) -> int:
        """KV cache that they are expected to take, in tokens."""
        return sum(run.claimed.charged_tokens for run in self._tasks)

    @property
    def has_suspect(self) -> bool:
        """Whether one of them must run alone."""
        return any(run.claimed.is_alone for run in self._tasks)

    def start(self, claimed: Claimed, asked_at: float | None = None) -> None:
        """Begin to work on a claim that was asked for at `asked_at`, on the monotonic clock."""
        log = self._writer.open(claimed.lease, claimed.next_offset)
        run = Run(claimed, log, self._place, asked_at)
        self._tasks[run] = asyncio.create_task(self._supervise(run))

    async def keep(self) -> None:
        """Renew leases and hear what was cancelled, until cancelled."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            await self._beat()

    async def drain(self, seconds: float) -> None:
        """Let runs in the engine finish within the bound, hand the others back."""
        held = len(self._tasks)
        handed_back = await self._hand_back(run for run in self._tasks if not run.is_in_engine)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=seconds)
        handed_back += await self._hand_back(self._tasks)
        self._place.measures.drained(finished=held - handed_back, handed_back=handed_back)

    async def abandon(self) -> None:
        """End what is left without a word to the store: the leases lapse."""
        await cancel_all(self._tasks.values())

    async def _hand_back(self, runs: Iterable[Run]) -> int:
        """Return when all of them have ended; how many did not reach their own end."""
        stopping = {run: self._tasks[run] for run in runs}
        if not stopping:
            return 0
        for run in stopping:
            run.stop(Stop.HAND_BACK)
        await asyncio.wait(stopping.values())
        leases = [run.claimed.lease for run in stopping if run.is_handed_back]
        if not leases:
            return 0
        _log.info("runs.handed_back", requests=len(leases))
        # The store may be away: then the leases lapse by themselves.
        try:
            await self._queue.hand_back(leases)
        except StoreUnavailableError as error:
            _log.warning("runs.hand_back_failed", cause=repr(error.__cause__))
        return len(leases)

    async def _supervise(self, run: Run) -> None:
        try:
            await run.execute()
        except EngineDeadError as error:
            if not self.engine_died.done():
                self.engine_died.set_exception(error)
        finally:
            del self._tasks[run]
            self.ended.set()

    async def _beat(self) -> None:
        runs = list(self._tasks)
        if not runs:
            return
        try:
            verdicts = await self._queue.heartbeat(
                self._place.worker,
                self._place.engine.fingerprint,
                [run.claimed.lease for run in runs],
            )
        except StoreUnavailableError as error:
            if not self._is_store_away:
                _log.warning("heartbeat.store_away", cause=repr(error.__cause__))
            self._is_store_away = True
            return
        self._is_store_away = False
        for run, verdict in zip(runs, verdicts, strict=True):
            account(run.log, verdict)


def account(log: RunLog, verdict: Verdict) -> None:
    """Take the store's answer to a heartbeat."""
    if verdict is Verdict.LEASE_LOST:
        log.lose()
    elif verdict is Verdict.OK:
        log.take_back()
    elif verdict is Verdict.REWOUND:
        log.rewind()
        if log.rewound_at and time.monotonic() - log.rewound_at > _REWOUND_SECONDS:
            log.lose()
