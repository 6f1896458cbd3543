"""Composition root of the worker: parse, validate, compose, run."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import structlog

from facet.core.logs import configure_logs, follow_log_level
from facet.core.media_store import MediaStore
from facet.core.models import ModelCard
from facet.core.tasks import cancel_all
from facet.core.telemetry.timing import timings
from facet.core.telemetry.tracing import tracing
from facet.profiles.machine import Machine
from facet.profiles.refusal import PlanRefusedError
from facet.queue.media import RedisMediaStore
from facet.queue.port import Queue
from facet.queue.sharded_queue import sharded_queue
from facet.queue.store import Store
from facet.queue.sweeper import Sweeper
from facet.weights.errors import WeightsError
from facet.worker.attempt import Telling
from facet.worker.checkpoints import local_checkpoints
from facet.worker.claimer import Claimer
from facet.worker.engine.port import Engine, EngineDeadError, EngineSettingsError
from facet.worker.engines import UnknownModelError, find_card, make_engine
from facet.worker.health import Readiness
from facet.worker.log_writers import LogWriters
from facet.worker.measures import Measures
from facet.worker.planning import profile_of, this_machine
from facet.worker.reporter import Reporter
from facet.worker.runs import Runs
from facet.worker.settings import WorkerSettings
from facet.worker.speculation_gate import SpeculationGate
from facet.worker.telling import start_timed, telling, timed
from facet.worker.watchdog import Watchdog
from facet.worker.workplace import Workplace

_log = structlog.get_logger(__name__)

_CANNOT_FIT = 2


def main() -> None:
    """Entry point.

    Exit codes: 0 after a drain, 1 for wrong settings or a dead engine, 2 for a profile that does
    not fit.
    """
    try:
        settings = WorkerSettings()
        store = settings.store()
    except (ValueError, OSError) as error:
        sys.exit(f"settings: {error}")
    configure_logs(settings.log_level, service="worker")
    try:
        profile = profile_of(settings, this_machine())
        card = find_card(settings, profile)
        settings = settings.model_copy(update={"profile": profile.name, "model": card.name})
        exit_code = asyncio.run(serve(settings, card, store))
    except PlanRefusedError as refusal:
        sys.stderr.write(f"facet worker: {refusal.message}\n")
        sys.exit(_CANNOT_FIT)
    except (UnknownModelError, EngineSettingsError, WeightsError) as error:
        sys.exit(f"settings: {error}")
    except EngineDeadError as error:
        sys.exit(f"engine: {error}")
    sys.exit(exit_code)


async def serve(settings: WorkerSettings, card: ModelCard, store: Store) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code.

    Errors: EngineSettingsError, WeightsError; EngineDeadError before it serves.
    """
    levels = asyncio.create_task(follow_log_level(settings.log_level, settings.log_level_file))
    _log.info("worker.starting", **settings.effective())
    stopping = asyncio.Event()
    # Before the engine: vLLM's own handlers would abort what runs.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cancel_all, (levels,))
        queue = await stack.enter_async_context(
            sharded_queue(store, release=settings.release, model=settings.model)
        )
        media = RedisMediaStore.connect(store, release=settings.release)
        stack.push_async_callback(media.close)
        readiness = Readiness(settings.ready_file, settings.health_listen)
        measures = Measures(settings.model, settings.pool)
        stack.enter_context(telling(settings.metrics_listen, readiness, measures))
        stack.push_async_callback(readiness.stop)
        try:
            await readiness.start()
        except OSError as error:
            sys.exit(f"settings: health_listen: {error}")
        fetching = asyncio.create_task(local_checkpoints(settings))
        stack.push_async_callback(cancel_all, (fetching,))
        with timed(measures, "fetch"):
            await _before(stopping, fetching)
        if stopping.is_set():
            return 0
        with timed(measures, "import"):
            engine = make_engine(settings, card, fetching.result(), measures.engine)
        stack.push_async_callback(engine.stop)
        await _before(stopping, asyncio.create_task(start_timed(engine, measures)))
        if stopping.is_set():
            return 0
        gate = await _gate(settings, engine, measures, stopping)
        if stopping.is_set():
            return 0
        # After the engine, whose processes are forked.
        traced = await stack.enter_async_context(_telling(settings))
        worker = Worker(
            *(settings, queue, media, engine, readiness),
            measures=measures,
            telling=traced,
            gate=gate,
        )
        return await worker.run(stopping)


class Worker:
    """The started worker: its parts and their order of ending."""

    def __init__(
        self,
        settings: WorkerSettings,
        queue: Queue,
        media: MediaStore,
        engine: Engine,
        readiness: Readiness,
        *,
        measures: Measures,
        telling: Telling,
        gate: SpeculationGate | None,
    ) -> None:
        name = settings.name
        self._drain_seconds = settings.drain_seconds
        self._readiness = readiness
        self._writer = LogWriters(queue, patience_seconds=settings.store_patience_seconds)
        slots = asyncio.Semaphore(engine.capacity)
        place = Workplace(name, engine, media, slots, measures=measures, telling=telling)
        self._runs = Runs(queue, self._writer, place)
        measures.capacity(sequences=engine.capacity, kv_tokens=engine.kv_tokens)
        measures.watch(held=self._runs.__len__, running=engine.running)
        self._watchdog = Watchdog(self._runs, place, stall_seconds=settings.stall_seconds)
        self._claimer = Claimer(
            queue, engine, self._runs, worker=name, claim_ahead=settings.claim_ahead
        )
        self._gate = gate
        if gate is not None:
            measures.watch_speculation(gate)
        self._reporter = Reporter(
            queue,
            engine,
            self._runs,
            worker=name,
            model=settings.model,
            measures=measures,
            profile=settings.profile,
            speculation=gate,
        )
        self._sweeper = Sweeper(queue)

    async def run(self, stopping: asyncio.Event) -> int:
        """Claim and work until `stopping`, then drain; returns the exit code."""
        loops = [
            asyncio.create_task(coroutine)
            for coroutine in (
                self._writer.run(),
                self._runs.keep(),
                self._watchdog.run(),
                self._reporter.run(),
                self._sweeper.run(),
            )
        ]
        if self._gate is not None:
            loops.append(asyncio.create_task(self._gate.keep_told(self._readiness.set_note)))
        claiming = asyncio.create_task(self._claimer.run())
        asked = asyncio.create_task(self._stop_asked(stopping))
        try:
            await self._readiness.set(is_ready=True)
            _log.info("worker.ready")
            ends: set[asyncio.Future[Any]] = {*loops, claiming, asked, self._runs.engine_died}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                await self._drain(claiming)
                return 0
            return _failed(ends)
        finally:
            await cancel_all((*loops, claiming, asked))
            await self._runs.abandon()

    async def _stop_asked(self, stopping: asyncio.Event) -> None:
        """Return when a signal or an operator asks for the end."""
        waits = [
            asyncio.create_task(event.wait()) for event in (stopping, self._reporter.drain_asked)
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(waits)

    async def _drain(self, claiming: asyncio.Task[None]) -> None:
        _log.info("worker.draining", held=len(self._runs))
        await self._readiness.set(is_ready=False)
        self._reporter.is_draining = True
        await self._reporter.report()
        self._claimer.stop()
        await claiming
        await self._runs.drain(self._drain_seconds)
        await self._reporter.retire()
        _log.info("worker.drained")


def _failed(ends: set[asyncio.Future[Any]]) -> int:
    """Nothing is handed back: the leases lapse, and what killed the engine is counted."""
    for end in ends:
        if end.done() and not end.cancelled() and (error := end.exception()) is not None:
            _log.error("worker.failed", error=repr(error))
    return 1


async def _gate(
    settings: WorkerSettings, engine: Engine, measures: Measures, stopping: asyncio.Event
) -> SpeculationGate | None:
    """After its self-test; None where nothing is drafted. Errors: EngineDeadError."""
    planned = profile_of(settings, Machine()).engine
    if not planned.speculative_tokens:
        return None
    gate = SpeculationGate(planned.acceptance_floor)
    testing = asyncio.create_task(gate.self_test(engine))
    try:
        with timed(measures, "self_test"):
            await _before(stopping, testing)
    finally:
        await cancel_all((testing,))
    measures.engine.watch_drafts(gate.count)
    return gate


@asynccontextmanager
async def _telling(settings: WorkerSettings) -> AsyncIterator[Telling]:
    identity = {
        "facet.model": settings.model,
        "facet.pool": settings.pool,
        "facet.profile": settings.profile,
        "facet.worker": settings.name,
    }
    resource = {"service.instance.id": settings.name}
    async with (
        tracing(settings, "worker", resource) as spans,
        timings(settings.timing_endpoint, settings.timing_ca_file, "worker", resource) as told,
    ):
        yield Telling(spans, told, identity)


async def _before(stopping: asyncio.Event, start: asyncio.Task[Any]) -> None:
    """Wait for a step of the start, or for the signal to stop. Raises the step's error."""
    asked = asyncio.create_task(stopping.wait())
    await asyncio.wait({start, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if start.done():
        start.result()
