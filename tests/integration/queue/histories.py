"""Random histories of one queue, told to the in-memory twin and to Redis alike."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from facet.core.errors import FacetError
from facet.queue.limits import HOLD_MS, QueueLimits
from facet.queue.port import Queue
from facet.queue.values import (
    Append,
    Claim,
    Claimed,
    Finish,
    Offers,
    Room,
    State,
    Submission,
    Submitted,
)
from facet.queue.views import Inspection, Page
from tests.integration.queue.drawn import (
    READERS,
    REQUESTS,
    ROOMS,
    WEIGHTS,
    WORKERS,
    Worker,
    comparable,
)
from tests.support.queue_contract.accounting import usage_of
from tests.support.queue_contract.memory_world import MemoryWorld
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    append,
    events_of,
    finish,
    log_of,
    terminal_of,
)

STEP_MS = 30_000
"""Far from all lives of keys, which in Redis shrink by the time that a test takes."""
LIMITS = QueueLimits(lease_ms=50_000, max_waiting=12, tenant_max_waiting_tokens=20_000)
_Answer = TypeVar("_Answer")


class Histories(RuleBasedStateMachine):
    """Does the same to both and compares every answer."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.memory = MemoryWorld(LIMITS)
        self.redis = RedisWorld(self.url, secrets.token_hex(8), LIMITS, stands=True)
        self.tenants: dict[str, str] = {}
        self.submitted = 0
        self.claims: list[Claim] = []
        self.claimed: list[Claimed] = []
        self.charged: dict[str, int] = {}
        self.requests: dict[str, Submission] = {}

    def run(self, call: Awaitable[_Answer]) -> _Answer:
        async def wait() -> _Answer:
            return await call

        return self.runner.run(wait())

    def both(self, call: Callable[[Queue], Awaitable[_Answer]]) -> _Answer | type[FacetError]:
        """What both answered, or the error that both raised."""
        return self.run(self._both(call))

    async def _both(
        self, call: Callable[[Queue], Awaitable[_Answer]]
    ) -> _Answer | type[FacetError]:
        answers: list[Any] = []
        for queue in (self.memory.queue, self.redis.queue):
            try:
                answers.append(await call(queue))
            except FacetError as error:
                answers.append((type(error), error.retry_after_seconds, dict(error.metadata)))
        twin, redis = comparable(answers[0]), comparable(answers[1])
        assert twin == redis, f"{twin}\n{redis}"
        answer: _Answer | type[FacetError]
        answer = answers[1][0] if isinstance(answers[1], tuple) else answers[1]
        return answer

    # Gateways

    @initialize(requests=st.lists(REQUESTS, min_size=4, max_size=8))
    def begin(self, requests: list[Submission]) -> None:
        for request in requests:
            self.submit(request)

    @rule(requests=st.lists(REQUESTS, min_size=1, max_size=3))
    def submit_some(self, requests: list[Submission]) -> None:
        for request in requests:
            self.submit(request)

    def submit(self, request: Submission) -> None:
        named = replace(request, generation_id=f"g-0-{self.submitted:04d}")
        if self.submit_named(named):
            self.submitted += 1

    def submit_named(self, request: Submission) -> bool:
        submitted = self.both(lambda queue: queue.submit(request))
        if not isinstance(submitted, Submitted) or not submitted.is_new:
            return False
        self.tenants[request.generation_id] = request.tenant
        self.requests[request.generation_id] = request
        return True

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def queue_again(self, data: st.DataObject) -> None:
        """As a gateway that misses it: what is there, was deleted, or was forgotten."""
        name = data.draw(st.sampled_from(sorted(self.requests)))
        self.submit_named(self.requests[name])

    @precondition(lambda self: self.tenants)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        name = self.draw_id(data)
        self.both(lambda queue: queue.cancel(name, self.tenants[name]))

    @precondition(lambda self: self.tenants)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name = self.draw_id(data)
        if self.both(lambda queue: queue.delete(name, self.tenants[name])) is True:
            self.forget(name)

    @rule(reader=st.sampled_from(READERS), data=st.data())
    def follow(self, reader: str, data: st.DataObject) -> None:
        names = data.draw(st.lists(st.sampled_from([*self.tenants, "g-0-none"]), max_size=4))
        self.both(lambda queue: queue.follow(reader, dict.fromkeys(names, len(names))))
        self.both(lambda queue: queue.receive(reader, "0", block_ms=0))

    @precondition(lambda self: self.tenants)
    @rule(reader=st.sampled_from(READERS), data=st.data())
    def deliver(self, reader: str, data: st.DataObject) -> None:
        name = self.draw_id(data)
        if self.both(lambda queue: queue.delivered(name, self.tenants[name], reader)) is True:
            assert self.requests[name].is_fleeting
            self.forget(name)

    @rule(reader=st.sampled_from(READERS))
    def drop_received(self, reader: str) -> None:
        """Drop all that arrived; cursors of the two count differently."""
        for queue in (self.memory.queue, self.redis.queue):
            inbox = self.run(queue.receive(reader, "0", block_ms=0))
            self.run(queue.follow(reader, {}, received=inbox.cursor))
        self.both(lambda queue: queue.receive(reader, "0", block_ms=0))

    @precondition(lambda self: self.tenants)
    @rule(reader=st.sampled_from(READERS), data=st.data())
    def unfollow(self, reader: str, data: st.DataObject) -> None:
        name = self.draw_id(data)
        self.both(lambda queue: queue.unfollow(reader, [name]))

    # Workers

    @rule(
        worker=st.sampled_from(WORKERS),
        limit=st.integers(1, 4),
        held=st.sampled_from([0, 0, 1, 4]),
        room=st.sampled_from(ROOMS),
    )
    def claim(self, worker: Worker, limit: int, held: int, room: Room) -> None:
        self.claims.append(
            Claim(
                *(worker.name, f"nonce-{len(self.claims)}", limit, held),
                *(worker.fingerprint, worker.offers, room),
            )
        )
        self.claim_with(self.claims[-1])

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 4))
    def claim_when_empty(self, worker: Worker, limit: int) -> None:
        self.claim(worker, limit, 0, ROOMS[0])

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def repeat_claim(self, data: st.DataObject) -> None:
        self.claim_with(data.draw(st.sampled_from(self.claims[-3:])))

    def claim_with(self, claim: Claim) -> list[Claimed]:
        result = self.both(lambda queue: queue.claim(claim))
        assert not isinstance(result, type)
        assert not any(each.is_alone for each in result.claimed) or len(result.claimed) == 1
        self.claimed += result.claimed
        return list(result.claimed)

    @precondition(lambda self: self.claimed)
    @rule(
        data=st.data(),
        token_count=st.integers(0, 3),
        offset_error=st.sampled_from([0, 0, 0, 0, 1]),
        kind=st.sampled_from(["append", "append", "void", "finish", "failure", "dead"]),
        took=st.sampled_from([0, 10, 5_000]),
    )
    def write(
        self, data: st.DataObject, token_count: int, offset_error: int, kind: str, took: int
    ) -> None:
        claimed = data.draw(st.sampled_from(self.claimed[-4:]))
        offset = self.offset_of(claimed.lease.generation_id) + offset_error
        write: Append | Finish = append(claimed, offset, range(token_count))
        if kind == "void":
            write = replace(write, voids_ids=True)
        elif kind != "append":
            end = finish(claimed, offset, range(token_count), is_dead_letter=kind == "dead")
            failure = b"" if kind == "finish" else b"why"
            write = replace(end, failure=failure, prompt_tokens=took, output_tokens=2 * took)
        self.both(lambda queue: queue.write([write, write]))

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), ahead=st.sampled_from([0, 0, 0, 1]), worker=st.sampled_from(WORKERS))
    def heartbeat(self, data: st.DataObject, ahead: int, worker: Worker) -> None:
        claimed = data.draw(st.lists(st.sampled_from(self.claimed[-8:]), max_size=4))
        leases = [replace(each.lease, epoch=each.lease.epoch + ahead) for each in claimed]
        self.both(lambda queue: queue.heartbeat(worker.name, worker.fingerprint, leases))
        self.claimed += [replace(claimed[0], lease=lease) for lease in leases if ahead]

    @precondition(lambda self: self.claimed)
    @rule(data=st.data(), context_tokens=st.sampled_from([0, 0, 8_192]))
    def hand_back(self, data: st.DataObject, context_tokens: int) -> None:
        lease = data.draw(st.sampled_from(self.claimed[-8:])).lease
        self.both(lambda queue: queue.hand_back([lease], context_tokens=context_tokens))

    @rule(worker=st.sampled_from(WORKERS), act=st.sampled_from(["report", "drain", "retire"]))
    def report(self, worker: Worker, act: str) -> None:
        if act == "report":
            self.both(lambda queue: queue.report(worker.name, worker.name.encode()))
        elif act == "drain":
            self.both(lambda queue: queue.drain_worker(worker.name))
        else:
            self.both(lambda queue: queue.retire(worker.name))
        self.both(lambda queue: queue.reports())

    # Operators and time

    @precondition(lambda self: self.tenants)
    @rule(data=st.data(), is_kept=st.booleans())
    def decide_dead_letters(self, data: st.DataObject, is_kept: bool) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.tenants)), max_size=6))
        if is_kept:
            self.both(lambda queue: queue.redrive(names))
            return
        self.both(lambda queue: queue.discard(names))
        for name in set(names):
            if self.run(self.state_of(name)) is None:
                self.forget(name)

    @rule(
        milliseconds=st.sampled_from([1, HOLD_MS - 40, 3_000, STEP_MS, STEP_MS, 2 * STEP_MS]),
        is_swept=st.booleans(),
    )
    def advance(self, milliseconds: int, is_swept: bool) -> None:
        self.run(self.memory.advance(milliseconds))
        self.run(self.redis.advance(milliseconds))
        if is_swept:
            self.both(lambda queue: queue.sweep())
            for name in [each for each in self.tenants if self.requests[each].is_fleeting]:
                if self.run(self.state_of(name)) is None:
                    self.forget(name)

    @rule(worker=st.sampled_from(WORKERS), limit=st.integers(1, 2), deaths=st.integers(1, 3))
    def lose_workers(self, worker: Worker, limit: int, deaths: int) -> None:
        """So that suspects come up."""
        for _ in range(deaths):
            self.claim(worker, limit, 0, ROOMS[0])
            for _ in range(2):
                self.advance(STEP_MS, is_swept=True)

    # What always holds

    @invariant()
    def every_request_is_in_one_state(self) -> None:
        states = self.run(self.states())
        depth = self.both(lambda queue: queue.depth())
        assert not isinstance(depth, type)
        assert depth.waiting == states.count(State.WAITING)
        assert depth.leased == states.count(State.LEASED)
        letters = self.both(lambda queue: queue.dead_letters(page="", limit=100))
        assert not isinstance(letters, type)
        assert depth.dead_letters == len(letters.letters) <= states.count(State.ENDED)

    async def states(self) -> list[State]:
        """Those of all requests, each the same in both stores, with one charge at most."""
        states = []
        for name, tenant in self.tenants.items():
            told = await self._both(partial(inspect, name))
            assert isinstance(told, Inspection)
            states.append(told.status.state)
            assert told.status.tenant == tenant
            known = self.charged.setdefault(name, told.charged_tokens)
            assert told.charged_tokens == known or not known or told.life[-1].what == "redriven"
            self.charged[name] = told.charged_tokens
        for tenant in WEIGHTS:
            page = await self._both(partial(first_page, tenant))
            assert isinstance(page, Page)
            kept = {status.generation_id for status in page.generations}
            assert kept == {name for name, owner in self.tenants.items() if owner == tenant}
        return states

    @invariant()
    def usage_is_told_alike(self) -> None:
        told = [self.run(usage_of(world)) for world in (self.memory, self.redis)]
        # Of a usage record the store's own clock tells when it ended.
        assert len({repr([replace(each, ended_ms=0) for each in records]) for records in told}) == 1

    @invariant()
    def no_offset_is_missing_or_repeated(self) -> None:
        self.run(self.check_logs())

    async def check_logs(self) -> None:
        """Logs are alike, whole, and have a terminal entry at their end only."""
        for name in self.tenants:
            logs = [await log_of(world, name) for world in (self.memory, self.redis)]
            assert logs[0] == logs[1]
            offsets = [event.offset for event in events_of(logs[1])]
            assert offsets == list(range(len(offsets)))
            assert not any(entry.is_terminal for entry in logs[1][:-1])

    def teardown(self) -> None:
        try:
            self.serve_all()
            for name in self.tenants:
                self.run(terminal_of(self.redis, name))
        finally:
            self.run(self.redis.close())
            self.runner.close()

    def serve_all(self) -> None:
        """Nobody starves: able workers that end what they get empty the queue in bounded turns."""
        able = Offers((1, 2), 1 << 20, "aiv", ("legal",))
        for turn in range(2 * len(self.tenants) + 4):
            self.advance(STEP_MS, is_swept=True)
            for fingerprint in ("print-1", "print-2"):
                worker, nonce = f"able-{fingerprint}", f"last-{turn}-{fingerprint}"
                for each in self.claim_with(Claim(worker, nonce, 8, 0, fingerprint, able)):
                    last = finish(each, self.offset_of(each.lease.generation_id))
                    self.both(lambda queue, last=last: queue.write([last]))  # type: ignore[misc]
            if set(self.run(self.states())) <= {State.ENDED}:
                return
        raise AssertionError("somebody still waits")

    # Bookkeeping

    def draw_id(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(sorted(self.tenants)))

    def forget(self, name: str) -> None:
        del self.tenants[name]
        self.charged.pop(name, None)

    def offset_of(self, name: str) -> int:
        if name not in self.tenants:
            return 0
        return self.run(self.redis.queue.status(name, self.tenants[name])).next_offset

    async def state_of(self, name: str) -> State | None:
        told = await self._both(partial(inspect, name))
        return told.status.state if isinstance(told, Inspection) else None


async def inspect(name: str, queue: Queue) -> Inspection:
    """For `both`."""
    return await queue.inspect(name)


async def first_page(tenant: str, queue: Queue) -> Page:
    """For `both`."""
    return await queue.list_generations(tenant, page="", limit=100)
