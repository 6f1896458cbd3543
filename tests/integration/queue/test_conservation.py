"""Random histories: Redis and the in-memory twin agree, and nothing is lost or ends twice.

Times are far apart (leases last 50 s, the clock moves by 30 s), so that the real time which passes
in Redis meanwhile decides nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
from collections.abc import Awaitable, Callable
from operator import methodcaller
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from facet.core.errors import FacetError
from facet.queue.limits import QueueLimits
from facet.queue.port import (
    Append,
    Claim,
    Claimed,
    ClaimResult,
    Finish,
    Queue,
    State,
    Status,
    Submitted,
)
from tests.support.queue_contract.memory_world import MemoryWorld
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    TENANT,
    append,
    events_of,
    finish,
    log_of,
    submission,
    terminal_of,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

STEP_MS = 30_000
LIMITS = QueueLimits(lease_ms=50_000, max_waiting=9)
WORKERS = {"worker-1": "print-1", "worker-2": "print-1", "worker-3": "print-2"}
_Answer = TypeVar("_Answer")


def timeless(answer: object) -> object:
    """An answer without the times in it."""
    if isinstance(answer, ClaimResult):
        claimed = [timeless(each) for each in answer.claimed]
        return claimed, answer.next_check_ms, answer.may_take_hints
    if isinstance(answer, Claimed):
        return dataclasses.replace(answer, waited_ms=0, remaining_ms=0)
    if isinstance(answer, Status):
        return dataclasses.replace(
            answer,
            created_ms=0,
            remaining_ms=0,
            wait_ms=None,
            ended_ms=0,
            expires_ms=0,
            origin="",
        )
    if isinstance(answer, Submitted):
        return dataclasses.replace(answer, remaining_ms=0, origin="")
    return answer


class Histories(RuleBasedStateMachine):
    """Does the same to both and compares what they answer."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.memory = MemoryWorld(LIMITS)
        self.redis = RedisWorld(self.url, release=secrets.token_hex(8), limits=LIMITS)
        self.ids: list[str] = []
        self.claims: list[Claim] = []
        self.claimed: list[Claimed] = []

    def run(self, call: Awaitable[_Answer]) -> _Answer:
        async def wait() -> _Answer:
            return await call

        return self.runner.run(wait())

    def both(self, call: Callable[[Queue], Awaitable[_Answer]]) -> _Answer | type[FacetError]:
        """What both answered, or the error that both raised."""
        answers: list[Any] = []
        for queue in (self.memory.queue, self.redis.queue):
            try:
                answers.append(self.run(call(queue)))
            except FacetError as error:
                answers.append(type(error))
        assert timeless(answers[0]) == timeless(answers[1])
        answer: _Answer | type[FacetError] = answers[1]
        return answer

    @rule(
        grace_ms=st.sampled_from([None, 100_000]),
        deadline_ms=st.sampled_from([200_000, 10**7]),
        request_id=st.sampled_from(["", "order-1", "order-2"]),
        body=st.sampled_from([b"a", b"b"]),
    )
    def submit(self, grace_ms: int | None, deadline_ms: int, request_id: str, body: bytes) -> None:
        request = submission(
            f"g-0-{len(self.ids):04d}",
            deadline_ms=deadline_ms,
            retention_ms=10**8,
            reader_grace_ms=grace_ms,
            request_id=request_id,
            body_digest=body,
            tenant=TENANT,
        )
        submitted = self.both(lambda queue: queue.submit(request))
        if not isinstance(submitted, type) and submitted.is_new:
            self.ids.append(submitted.generation_id)

    @rule(
        worker=st.sampled_from(sorted(WORKERS)),
        limit=st.integers(1, 4),
        held=st.integers(0, 1),
    )
    def claim(self, worker: str, limit: int, held: int) -> None:
        nonce = f"nonce-{len(self.claims)}"
        self.claims.append(Claim(worker, nonce, limit, held, WORKERS[worker]))
        self.claim_with(self.claims[-1])

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def repeat_claim(self, data: st.DataObject) -> None:
        self.claim_with(data.draw(st.sampled_from(self.claims)))

    def claim_with(self, claim: Claim) -> None:
        result = self.both(lambda queue: queue.claim(claim))
        assert not isinstance(result, type)
        assert not any(each.is_alone for each in result.claimed) or len(result.claimed) == 1
        self.claimed += result.claimed

    @precondition(lambda self: self.claimed)
    @rule(
        data=st.data(),
        token_count=st.integers(0, 3),
        offset_error=st.sampled_from([0, 0, 0, 0, 1]),
        kind=st.sampled_from(["append", "append", "finish", "dead"]),
    )
    def write(self, data: st.DataObject, token_count: int, offset_error: int, kind: str) -> None:
        claimed = data.draw(st.sampled_from(self.claimed))
        status = self.run(self.redis.queue.status(claimed.lease.generation_id, TENANT))
        offset = status.next_offset + offset_error
        write: Append | Finish = append(claimed, offset, range(token_count))
        if kind != "append":
            write = finish(claimed, offset, range(token_count), is_dead_letter=kind == "dead")
        self.both(lambda queue: queue.write([write, write]))

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        claimed = data.draw(st.lists(st.sampled_from(self.claimed), max_size=4))
        leases = [each.lease for each in claimed]
        self.both(lambda queue: queue.heartbeat("worker-1", "print-1", leases))

    @precondition(lambda self: self.claimed)
    @rule(data=st.data())
    def hand_back(self, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.claimed)).lease
        self.both(lambda queue: queue.hand_back([lease]))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        generation_id = data.draw(st.sampled_from(self.ids))
        self.both(lambda queue: queue.cancel(generation_id, TENANT))

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def follow(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(self.ids), max_size=4))
        self.both(lambda queue: queue.follow("reader-1", dict.fromkeys(ids, 0)))

    @rule(steps=st.sampled_from([1, 1, 1, 2, 4]), is_swept=st.booleans())
    def advance(self, steps: int, is_swept: bool) -> None:
        for _ in range(steps):
            self.run(self.memory.advance(STEP_MS))
            self.run(self.redis.advance(STEP_MS))
            if is_swept:
                self.both(lambda queue: queue.sweep())

    @invariant()
    def every_request_is_in_one_state(self) -> None:
        states = []
        for generation_id in self.ids:
            status = self.both(methodcaller("status", generation_id, TENANT))
            assert not isinstance(status, type)
            states.append(status.state)
        for world in (self.memory, self.redis):
            assert self.run(world.queue.depth()).waiting == states.count(State.WAITING)
        assert self.run(self.redis.redis.zcard(self.redis.keys.single("leases"))) == states.count(
            State.LEASED
        )

    @invariant()
    def no_offset_is_missing_or_repeated(self) -> None:
        for generation_id in self.ids:
            logs = [self.run(log_of(world, generation_id)) for world in (self.memory, self.redis)]
            assert logs[0] == logs[1]
            offsets = [event.offset for event in events_of(logs[1])]
            assert offsets == list(range(len(offsets)))

    def teardown(self) -> None:
        try:
            for generation_id in self.ids:
                self.both(methodcaller("cancel", generation_id, TENANT))
                self.run(terminal_of(self.redis, generation_id))
        finally:
            self.run(self.redis.close())
            self.runner.close()


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_when_anything_happens(redis_server: RedisServer) -> None:
    class HistoriesOnServer(Histories):
        url = redis_server.url

    run_state_machine_as_test(
        HistoriesOnServer,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
