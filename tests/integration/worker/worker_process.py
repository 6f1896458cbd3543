"""A worker as a process of its own, and what a gateway would do with its queue."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Needs, Priority, Submission
from tests.unit.worker.scripted import TENANT, envelope

_READY_SECONDS = 20.0


class WorkerProcess:
    """One `python -m facet.worker` with the simulated engine."""

    def __init__(self, folder: Path, url: str, release: str, **settings: object) -> None:
        self._ready_file = folder / f"ready-{secrets.token_hex(4)}"
        self.log_file = self._ready_file.with_suffix(".log")
        fields = {
            "redis_url": url,
            "release": release,
            "engine": "simulated",
            "ready_file": self._ready_file,
            **settings,
        }
        environment = {f"FACET_WORKER_{name.upper()}": str(v) for name, v in fields.items()}
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "facet.worker"],
                env={**os.environ, **environment},
                stderr=log,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def is_ready(self) -> bool:
        """Whether it claims."""
        return self._ready_file.exists()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)


@contextmanager
def workers(folder: Path, url: str, release: str) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers; all are ended with the context."""
    started: list[WorkerProcess] = []

    def start(**settings: object) -> WorkerProcess:
        started.append(WorkerProcess(folder, url, release, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.end()


async def eventually(condition: Callable[[], Awaitable[bool]], bound_seconds: float) -> None:
    """Return when the condition holds; fail at the bound."""
    ends = time.monotonic() + bound_seconds
    while not await condition():
        assert time.monotonic() < ends, "the condition did not hold in time"
        await asyncio.sleep(0.02)


async def ready(*started: WorkerProcess) -> None:
    """Return when all of them claim."""

    async def all_ready() -> bool:
        for worker in started:
            assert worker.exit_code is None, worker.log_file.read_text()
        return all(worker.is_ready for worker in started)

    await eventually(all_ready, _READY_SECONDS)


async def submit(
    queue: RedisQueue, made: generation_pb2.GenerationRequest, *, deadline_ms: int = 120_000
) -> str:
    """Queue a request; returns its generation id."""
    generation_id = f"g-0-{secrets.token_hex(16)}"
    sequences = max(1, made.generation_config.candidate_count)
    version = 2 if sequences > 1 else 1
    data = envelope(generation_id, made)
    data.version = version
    submission = Submission(
        generation_id=generation_id,
        tenant=TENANT,
        envelope=data.SerializeToString(),
        priority=Priority.STANDARD,
        deadline_ms=deadline_ms,
        retention_ms=60_000,
        reader_grace_ms=None,
        sequences=sequences,
        needs=Needs(envelope_version=version),
    )
    await queue.submit(submission)
    return generation_id


async def log_of(queue: RedisQueue, generation_id: str) -> list[event_pb2.Event]:
    """All events so far."""
    logs = await queue.read({generation_id: 0}, limit=10_000)
    return [
        event
        for entry in logs.get(generation_id, [])
        for event in inference_service_pb2.StreamGenerateContentResponse.FromString(
            entry.response
        ).events
    ]


async def finished_log(
    queue: RedisQueue, generation_id: str, bound_seconds: float
) -> list[event_pb2.Event]:
    """The whole log, once its terminal event is there."""
    events: list[event_pb2.Event] = []

    async def is_finished() -> bool:
        events[:] = await log_of(queue, generation_id)
        return bool(events) and events[-1].HasField("finished")

    await eventually(is_finished, bound_seconds)
    return events
