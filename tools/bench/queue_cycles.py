"""Whole lives of requests, as many as one Redis can carry, and its largest scripts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import uvloop

from facet.queue.limits import MAX_BATCH, MAX_CLAIM
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Claimed, Finish, Submission
from tools.bench import traffic

BATCH = 8
"""Requests in one claim and in one write: what a worker handles per engine step."""

_LANES = traffic.CONNECTIONS * 3 // 4
_DRAIN_SECONDS = 30.0
_LARGEST_END = MAX_BATCH // Finish.share
_TEXT = "token"


@dataclass
class Lives:
    """Ids as they were submitted, claimed and finished; `refused` counts writes not taken."""

    submitted: list[str] = field(default_factory=list)
    claimed: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    refused: int = 0

    def add(self, other: Lives) -> None:
        """Count another process's too."""
        self.submitted += other.submitted
        self.claimed += other.claimed
        self.finished += other.finished
        self.refused += other.refused

    @property
    def lost(self) -> int:
        """Requests that were accepted and never finished."""
        return len(set(self.submitted) - set(self.finished))

    @property
    def duplicates(self) -> int:
        """Claims and ends beyond the first of a request."""
        claims, ends = self.claimed, self.finished
        return len(claims) - len(set(claims)) + len(ends) - len(set(ends))


def cycle(url: str, model: str, seconds: float) -> Lives:
    """Enqueue, claim, append and finish for that long, then finish what is left.

    Several processes may share the queue. Meant for a process of its own.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_cycle(url, model, seconds))


async def _cycle(url: str, model: str, seconds: float) -> Lives:
    lives = Lives()
    queue = traffic.connect(url, model=model)
    submissions = traffic.endless_submissions()
    ends_at = time.monotonic() + seconds
    try:
        await asyncio.gather(*(_lane(queue, submissions, lives, ends_at) for _ in range(_LANES)))
    finally:
        await queue.close()
    return lives


async def _lane(
    queue: RedisQueue, submissions: Iterator[Submission], lives: Lives, ends_at: float
) -> None:
    while time.monotonic() < ends_at:
        for submission in islice(submissions, BATCH):
            await traffic.insist(partial(queue.submit, submission))
            lives.submitted.append(submission.generation_id)
        await _serve(queue, lives, BATCH)
    gives_up_at = ends_at + _DRAIN_SECONDS
    while await traffic.insist(partial(traffic.waiting, queue)) and time.monotonic() < gives_up_at:
        await _serve(queue, lives, BATCH)


async def serve_largest(url: str, model: str, count: int) -> Lives:
    """Enqueue `count` requests and serve them in the largest batches that the port allows."""
    lives = Lives()
    queue = traffic.connect(url, model=model)
    try:
        for number in range(count):
            submission = traffic.submission(number)
            await traffic.insist(partial(queue.submit, submission))
            lives.submitted.append(submission.generation_id)
        held: list[Claimed] = []
        gives_up_at = time.monotonic() + _DRAIN_SECONDS
        while len(lives.finished) < count and time.monotonic() < gives_up_at:
            claim = traffic.claim("bench", MAX_CLAIM, held=len(held))
            found = (await traffic.insist(partial(queue.claim, claim))).claimed
            lives.claimed += [claimed.lease.generation_id for claimed in found]
            held += found
            while len(held) >= MAX_BATCH or (held and not found):
                await _write(queue, lives, held[:MAX_BATCH])
                held = held[MAX_BATCH:]
    finally:
        await queue.close()
    return lives


async def sweep_all(url: str, model: str) -> int:
    """Sweep until nothing is overdue; how many expired."""
    queue = traffic.connect(url, model=model)
    expired = 0
    try:
        while True:
            result = await traffic.insist(queue.sweep)
            expired += result.expired
            if not result.has_more:
                return expired
    finally:
        await queue.close()


async def _serve(queue: RedisQueue, lives: Lives, limit: int) -> None:
    claim = traffic.claim("bench", limit)
    found = (await traffic.insist(partial(queue.claim, claim))).claimed
    lives.claimed += [claimed.lease.generation_id for claimed in found]
    await _write(queue, lives, found)


async def _write(
    queue: RedisQueue, lives: Lives, held: list[Claimed] | tuple[Claimed, ...]
) -> None:
    text, end = traffic.text_event(0, _TEXT), traffic.last_event(1)
    leases = [claimed.lease for claimed in held]
    texts = [traffic.append(lease, 0, [text]) for lease in leases]
    answers = await traffic.insist(partial(queue.write, texts))
    lives.refused += sum(not traffic.is_written(answer, 1) for answer in answers)
    for first in range(0, len(leases), _LARGEST_END):
        ending = leases[first : first + _LARGEST_END]
        ends = [traffic.finish(lease, 1, end) for lease in ending]
        answers = await traffic.insist(partial(queue.write, ends))
        for lease, answer in zip(ending, answers, strict=True):
            if traffic.is_written(answer, 2):
                lives.finished.append(lease.generation_id)
            else:
                lives.refused += 1
