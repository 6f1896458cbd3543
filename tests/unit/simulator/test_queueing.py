"""The simulation's queue gives the same requests to the same workers as the twin it is made of."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from facet.queue.limits import QueueLimits
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import (
    Append,
    Claim,
    Claimed,
    Finish,
    Lease,
    Needs,
    Priority,
    Room,
    Submission,
)
from facet.simulator.queueing import FINGERPRINT, TENANT, SimulatedQueue
from facet.simulator.request import Request

pytestmark = pytest.mark.unit

_DEADLINE_MS = 1 << 40


@dataclass
class Pair:
    """Both queues under one clock; every call is made on both, and what they give is compared."""

    now: float = 0.0
    claims: int = 0
    held: dict[str, list[tuple[Request, Claimed]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.twin = MemoryQueue(QueueLimits(), clock_ms=lambda: int(self.now * 1000))
        self.simulated = SimulatedQueue(lambda: self.now)

    async def submit(self, request: Request) -> None:
        self.simulated.submit(request)
        await self.twin.submit(
            Submission(
                generation_id=request.name,
                tenant=TENANT,
                envelope=b"",
                priority=request.priority,
                deadline_ms=_DEADLINE_MS,
                retention_ms=0,
                reader_grace_ms=None,
                prompt_tokens=request.prompt_tokens,
                max_output_tokens=request.max_output_tokens,
                needs=Needs(media=request.media),
            )
        )

    async def claim(self, worker: str, limit: int, room: Room) -> list[str]:
        self.claims += 1
        held = self.held.setdefault(worker, [])
        claim = Claim(worker, str(self.claims), limit, len(held), FINGERPRINT, room=room)
        taken, result = self.simulated.claim(claim)
        twin = await self.twin.claim(claim)
        names = [request.name for request in taken]
        assert names == [each.lease.generation_id for each in twin.claimed]
        assert [each.charged_tokens for each in taken] == [e.charged_tokens for e in twin.claimed]
        assert [each.is_alone for each in taken] == [each.is_alone for each in twin.claimed]
        assert result.next_check_ms == twin.next_check_ms
        assert result.may_take_hints == twin.may_take_hints
        held += zip(taken, twin.claimed, strict=True)
        return names

    async def finish(self, worker: str) -> None:
        request, claimed = self.held[worker].pop(0)
        request.given_tokens = request.output_tokens
        self.simulated.finish(request)
        status = await self.twin.status(request.name, TENANT)
        end = Finish(
            claimed.lease,
            status.next_offset,
            1,
            (),
            b"",
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
        )
        await self.twin.write([end])

    async def hand_back(self, worker: str, given: int) -> None:
        request, claimed = self.held[worker].pop()
        await self._give(request, claimed.lease, given)
        self.simulated.hand_back(request)
        await self.twin.hand_back([claimed.lease])

    async def advance(self, seconds: float, *, silent: str = "") -> None:
        """Let time pass; all workers but one renew their leases."""
        ends = self.now + seconds
        while self.now < ends:
            self.now = min(ends, self.now + 0.4)
            for name, held in self.held.items():
                if name != silent:
                    leases = [claimed.lease for _, claimed in held]
                    await self.twin.heartbeat(name, FINGERPRINT, leases)
            await self.twin.sweep()

    async def die(self, worker: str) -> None:
        """The worker is silent until its leases lapse."""
        # The twin ends a suspect that fails alone; the simulation knows that it was not its fault.
        if any(claimed.is_alone for _, claimed in self.held.get(worker, [])):
            return
        await self.advance(6.0, silent=worker)
        for request, _ in self.held.pop(worker, []):
            self.simulated.lose(request)

    async def _give(self, request: Request, lease: Lease, given: int) -> None:
        if given:
            status = await self.twin.status(request.name, TENANT)
            await self.twin.write([Append(lease, status.next_offset, 1, (7,) * given, b"")])
            request.given_tokens += given


@pytest.mark.parametrize("seed", range(20))
async def test_both_give_the_same_to_the_same_when_all_things_happen(seed: int) -> None:
    chance, pair, given = random.Random(seed), Pair(), 0
    await pair.twin.sweep()
    workers = ["one", "two", "three"]
    for _ in range(300):
        await pair.advance(chance.choice((0.0, 0.001, 0.4, 3.0)))
        worker = chance.choice(workers)
        match chance.choices(("submit", "claim", "finish", "back", "die"), (6, 5, 4, 1, 0.2))[0]:
            case "submit":
                request = Request(
                    pair.now,
                    chance.randrange(10, 900),
                    chance.randrange(1, 300),
                    priority=chance.choice(list(Priority)),
                    media=chance.choice(("", "", "i")),
                )
                await pair.submit(request)
            case "claim":
                limit = chance.randrange(1, 5)
                room = Room(8, 4000, limit, chance.randrange(200, 4000))
                given += len(await pair.claim(worker, limit, room))
            case "finish" if pair.held.get(worker):
                await pair.finish(worker)
            case "back" if pair.held.get(worker):
                await pair.hand_back(worker, chance.choice((0, 5)))
            case "die":
                await pair.die(worker)

    assert given > 50


def test_age_and_size_of_what_waits_are_told_by_class() -> None:
    now = 5.0
    queue = SimulatedQueue(lambda: now)
    queue.submit(Request(5.0, 100, 10, priority=Priority.BATCH))
    now = 8.0
    queue.submit(Request(8.0, 50, 10))

    assert queue.oldest_seconds(Priority.BATCH) == pytest.approx(3.0, abs=0.01)
    assert queue.oldest_seconds(Priority.STANDARD) == 0.0
    # The learned mean of an answer is 256 tokens where none has ended.
    assert queue.waiting(Priority.INTERACTIVE) == (1, 306)
