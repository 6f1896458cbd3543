"""Gather, decide, write, tell: what every replica does, and what its leader does besides."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from facet.api.v1.admin_service_pb2 import ExplainAutoscalerResponse
from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.explanation import decision_of, explained
from facet.autoscaler.gathering import Gatherer
from facet.autoscaler.learned import Learned
from facet.autoscaler.policy import PolicySettings, decide
from facet.autoscaler.telling import tell_decided, tell_explanation, tell_held, tell_span
from facet.autoscaler.timing_samples import PoolSample, WaitingSamples
from facet.core.errors import StoreUnavailableError
from facet.core.telemetry.tracing import UNTRACED, Tracing
from facet.queue.port import Observer
from facet.queue.scaling import ScalingMemory
from facet.queue.views import ScalingRecord

LEASE_INTERVALS = 3
"""A leader that misses so many decisions has lost its place."""

_MAX_BATCHES = 20
"""Batches of samples that one decision learns from: 2,000, the bound of what waits."""

_ARRIVAL_MS = 1000
_FOLLOW_SECONDS = 0.05
_FOLLOWS = 20
"""A follower looks so often for the decision that an arrival calls for: 1 s."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Reign:
    """An epoch in which this replica leads, and what it knows."""

    epoch: int
    learned: Learned


class DecidingLoop:
    """One replica: leads when it can, else follows. `current` always has the last decision."""

    def __init__(
        self,
        memory: ScalingMemory,
        gatherer: Gatherer,
        settings: PolicySettings,
        samples: WaitingSamples,
        current: CurrentDecision,
        *,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._memory = memory
        self._gatherer = gatherer
        self._settings = settings
        self._samples = samples
        self._current = current
        self._tracing = tracing
        self._name = secrets.token_hex(8)
        self._reign: Reign | None = None
        self._woken = asyncio.Event()

    @property
    def is_leading(self) -> bool:
        """Whether it led at its last look."""
        return self._reign is not None

    async def run(self) -> None:
        """Decide or follow every interval, and at once when woken, until cancelled."""
        while True:
            self._woken.clear()
            try:
                await self.step()
            except Exception:  # noqa: BLE001 - a supervisor: one fault must not end all decisions
                self._reign = None
                await self._current.miss("a fault of the autoscaler: see its log")
                tell_held(self._current, is_leading=False)
                _log.exception("autoscaler.fault")
            try:
                async with asyncio.timeout(self._settings.interval_seconds):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def watch(self, queue: Observer) -> None:
        """Wake up when a request comes to an idle queue, until cancelled."""
        cursor = ""
        while True:
            try:
                seen = await queue.wait_for_arrival(cursor, _ARRIVAL_MS)
            except StoreUnavailableError:
                await asyncio.sleep(_ARRIVAL_MS / 1000)
                continue
            if cursor and seen != cursor:
                await self._current.arrive()
                self._woken.set()
            cursor = seen

    async def resign(self) -> None:
        """Let another replica lead at once."""
        if self._reign is not None:
            self._reign = None
            try:
                await self._memory.lead(self._name, 0)
            except StoreUnavailableError as error:
                _log.debug("resign.store_away", cause=repr(error.__cause__))

    async def step(self) -> None:
        """Do once what is due. Without the store nothing is decided: sizes are held."""
        try:
            await self._hand_over()
            life_ms = round(LEASE_INTERVALS * self._settings.interval_seconds * 1000)
            epoch = await self._memory.lead(self._name, life_ms)
            asked_at = time.monotonic()
            record = await self._memory.recall()
            if epoch and epoch == record.epoch:
                await self._lead(epoch, record, asked_at)
            else:
                self._reign = None
                await self._follow(record, asked_at)
        except StoreUnavailableError as error:
            self._reign = None
            await self._current.miss("the store is away")
            _log.warning("autoscaler.blind", why="the store is away", cause=repr(error.__cause__))
        tell_held(self._current, is_leading=self.is_leading)

    async def _lead(self, epoch: int, record: ScalingRecord, asked_at: float) -> None:
        if self._reign is None or self._reign.epoch != epoch:
            self._reign = Reign(epoch, self._recalled(record))
            _log.info("autoscaler.leading", epoch=epoch)
        now = record.now_ms / 1000
        learned = await self._taught(self._reign.learned, now)
        signals, learned = await self._gatherer.gather(now, learned)
        with self._tracing.phase("decide") as span:
            decision, state = decide(signals, learned.state, self._settings)
            tell_span(span, decision)
        learned = replace(learned, state=state)
        told = explained(decision, signals, self._settings.pools, state.gpu_seconds)
        if not await self._memory.record(epoch, told.SerializeToString(), learned.to_bytes()):
            _log.warning("autoscaler.deposed", epoch=epoch)
            self._reign = None
            return
        self._reign = Reign(epoch, learned)
        before = self._current.decision
        await self._current.take(decision, time.monotonic() - asked_at)
        tell_decided(decision)
        tell_explanation(told, self._settings.model)
        if before is None or before.replicas != decision.replicas:
            _log.info(
                "autoscaler.decided",
                replicas=dict(decision.replicas),
                is_blind=decision.is_blind,
                reasons=[each.cause.value for each in decision.reasons],
            )

    async def _follow(self, record: ScalingRecord, asked_at: float) -> None:
        """Take the leader's decision; after an arrival its next one."""
        for _ in range(_FOLLOWS):
            await self._take(record, asked_at)
            if not self._current.has_arrival:
                return
            await asyncio.sleep(_FOLLOW_SECONDS)
            asked_at = time.monotonic()
            record = await self._memory.recall()

    async def _take(self, record: ScalingRecord, asked_at: float) -> None:
        if not record.at_ms:
            await self._current.miss("nothing was decided yet")
            return
        try:
            decision = decision_of(record.decision)
        except ValueError as error:
            await self._current.miss(str(error))
            return
        # It is as old as its signals; both times are cut to milliseconds, so it may be one more.
        age_seconds = max(record.now_ms / 1000 - decision.at_seconds, 0.0) + 0.001
        await self._current.take(decision, age_seconds + time.monotonic() - asked_at)
        tell_explanation(
            ExplainAutoscalerResponse.FromString(record.decision), self._settings.model
        )

    def _recalled(self, record: ScalingRecord) -> Learned:
        if not record.memory:
            return Learned.starting(self._settings.pools)
        try:
            return Learned.from_bytes(record.memory, self._settings.pools)
        except ValueError as error:
            _log.warning("autoscaler.starts_anew", why=str(error))
            return Learned.starting(self._settings.pools)

    async def _hand_over(self) -> None:
        """Put what was received where the leader finds it."""
        waiting = self._samples.take()
        try:
            await self._memory.put_timings([each.to_bytes() for each in waiting])
        except StoreUnavailableError:
            self._samples.put_back(waiting)
            raise

    async def _taught(self, learned: Learned, now_seconds: float) -> Learned:
        """What all samples teach that wait. A batch takes some 30 ms: others have their turn."""
        for _ in range(_MAX_BATCHES):
            batch = await self._memory.take_timings()
            if not batch:
                break
            learned = learned.observed(_readable(batch), now_seconds)
        return learned


def _readable(batch: Iterable[bytes]) -> Iterator[PoolSample]:
    for each in batch:
        try:
            yield PoolSample.from_bytes(each)
        except ValueError:
            # Another release's.
            continue
