"""Which shards are served, and where request ids go while gateways disagree."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from facet.core.errors import GenerationNotFoundError, RequestIdReusedError
from facet.queue import shards as shards_module
from facet.queue.generation_id import shard_of
from facet.queue.limits import GONE_MS
from facet.queue.memory_queue import MemoryQueue
from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.placement import shard_for
from facet.queue.registry import REGISTRATION_MS
from facet.queue.sharded_queue import ShardedQueue
from facet.queue.shards import IDLE_SECONDS, SETTLED_MS, Shards
from tests.support.queue_contract.world import TENANT, claim, finish, names, submission

pytestmark = pytest.mark.unit

IDLE_MS = round(IDLE_SECONDS * 1_000)

MOVING = next(
    name
    for name in (f"order-{i}" for i in range(99))
    if shard_for(TENANT, name, 2) == 1 and shard_for(TENANT, name, 3) == 2
)
"""A request id that another count places elsewhere."""


class Store:
    """What several processes share, under a clock that the test moves."""

    def __init__(self) -> None:
        self.now_ms = 10_000_000
        self.books = MemoryRegistryBooks(clock_ms=self.clock_ms)
        self.queues: dict[int, MemoryQueue] = {}

    def clock_ms(self) -> int:
        return self.now_ms

    def queue(self, shard: int) -> MemoryQueue:
        if shard not in self.queues:
            self.queues[shard] = MemoryQueue(clock_ms=self.clock_ms, shard=shard)
        return self.queues[shard]


class Process:
    """A gateway that places over `count` shards, or with 0 a worker."""

    def __init__(self, store: Store, count: int) -> None:
        registry = MemoryRegistry(store.books, count=count)
        self.shards = Shards(registry, store.queue, count=count, clock=lambda: store.now_ms / 1_000)
        self.queue = ShardedQueue(self.shards)

    async def refresh(self) -> list[int]:
        """Look at the registry once; what is served then."""
        await self.shards.refresh()
        return list(self.shards.queues)

    async def submit(self, request_id: str, body: bytes = b"body") -> str:
        """Queue a request; its generation."""
        name = await self.queue.name_generation(TENANT, request_id)
        made = submission(name, request_id=request_id, body_digest=body)
        return (await self.queue.submit(made)).generation_id


async def pass_time(store: Store, milliseconds: int, *processes: Process) -> None:
    """Let time pass in steps in which these processes refresh."""
    for _ in range(milliseconds // 1_000):
        store.now_ms += 1_000
        for process in processes:
            await process.refresh()


@pytest.fixture
def store() -> Store:
    return Store()


async def test_every_process_serves_a_shard_when_a_gateway_registers_it(store: Store) -> None:
    gateway, older, worker = Process(store, 3), Process(store, 1), Process(store, 0)
    assert await worker.refresh() == [0]
    await gateway.refresh()
    assert await worker.refresh() == [0, 1, 2]
    assert await older.refresh() == [0, 1, 2]


async def test_unknown_shard_is_looked_up_when_an_id_names_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = Process(store, 1), Process(store, 3)
    await older.refresh()
    await newer.refresh()
    await newer.queue.submit(submission("g-2-1"))
    monkeypatch.setattr(shards_module, "_MISS_SECONDS", -1.0)
    assert (await older.queue.status("g-2-1", TENANT)).generation_id == "g-2-1"


@pytest.mark.parametrize("name", ["g-7-1", "g-999999-1", "g-x", "other"])
async def test_nothing_is_found_when_no_such_shard_is_served(store: Store, name: str) -> None:
    gateway = Process(store, 2)
    for call in (gateway.queue.status, gateway.queue.cancel, gateway.queue.delete):
        with pytest.raises(GenerationNotFoundError):
            await call(name, TENANT)
    with pytest.raises(GenerationNotFoundError):
        await gateway.queue.inspect(name)
    assert await gateway.queue.origins([name]) == {name: ""}
    assert not (await gateway.queue.follow("reader", {name: 0}))[name].is_known


async def test_request_goes_by_the_count_when_all_gateways_agree(store: Store) -> None:
    gateway = Process(store, 3)
    await gateway.refresh()
    assert shard_of(await gateway.submit(MOVING)) == 2


async def test_new_count_waits_when_others_place_by_another(store: Store) -> None:
    older, newer = Process(store, 2), Process(store, 3)
    await older.refresh()
    await pass_time(store, 5_000, older)
    await newer.refresh()
    assert await newer.shards.place(TENANT, MOVING) == 1
    assert {await newer.shards.place(TENANT, "") for _ in range(99)} == {0, 1, 2}
    await pass_time(store, SETTLED_MS, older, newer)
    assert await newer.shards.place(TENANT, MOVING) == 2
    assert await older.shards.place(TENANT, MOVING) == 1


async def test_counts_that_are_new_at_once_place_alike_when_none_is_known_everywhere(
    store: Store,
) -> None:
    three, two = Process(store, 3), Process(store, 2)
    for _ in range(3):
        # The first to register does not know of the other yet.
        await three.refresh()
        await two.refresh()
        assert await three.shards.place(TENANT, MOVING) == await two.shards.place(TENANT, MOVING)
        store.now_ms += 1_000


@pytest.mark.parametrize("is_newer_first", [False, True])
async def test_one_generation_is_made_when_gateways_of_two_counts_get_one_request_id(
    store: Store, *, is_newer_first: bool
) -> None:
    older, newer = Process(store, 2), Process(store, 3)
    await pass_time(store, 5_000, older, newer)
    await pass_time(store, 1_000, older, newer)
    first, second = (newer, older) if is_newer_first else (older, newer)
    name = await first.submit(MOVING)
    assert shard_of(name) == (2 if is_newer_first else 1)
    assert await second.submit(MOVING) == name
    with pytest.raises(RequestIdReusedError):
        await second.submit(MOVING, b"another")


async def test_one_generation_is_made_when_both_gateways_get_the_id_at_once(store: Store) -> None:
    older, newer = Process(store, 2), Process(store, 3)
    await pass_time(store, 6_000, older, newer)
    for queue in store.queues.values():
        slow_down(queue)
    made = await asyncio.gather(*(each.submit(MOVING) for each in (older, newer) for _ in range(3)))
    assert len(set(made)) == 1
    assert not store.books.naming


def slow_down(queue: MemoryQueue) -> None:
    """Let others run between a look and a submission, as a round trip does."""
    repeat = queue.repeat

    async def slow(made: object) -> object:
        await asyncio.sleep(0.005)
        return await repeat(made)  # type: ignore[arg-type]

    queue.repeat = slow  # type: ignore[method-assign, assignment]


async def test_same_generation_is_told_when_the_count_changed_and_changed_back(
    store: Store,
) -> None:
    two = Process(store, 2)
    await two.refresh()
    name = await two.submit(MOVING)
    three = Process(store, 3)
    await pass_time(store, REGISTRATION_MS + 1_000, three)
    assert list(store.books.active) == [3]
    assert await three.submit(MOVING) == name
    moved = await three.submit("order-of-three")
    again = Process(store, 2)
    await pass_time(store, REGISTRATION_MS + 1_000, again)
    assert list(store.books.active) == [2]
    assert await again.submit(MOVING) == name
    assert await again.submit("order-of-three") == moved


async def test_shard_stays_until_it_is_empty_when_the_count_shrank(store: Store) -> None:
    three = Process(store, 3)
    await three.refresh()
    await three.queue.submit(submission("g-2-1", retention_ms=60_000))
    two, worker = Process(store, 2), Process(store, 0)
    await pass_time(store, REGISTRATION_MS + IDLE_MS + 5_000, two, worker)
    assert list(worker.shards.queues) == [0, 1, 2]
    (claimed,) = (await worker.queue.claim(claim())).claimed
    await worker.queue.write([finish(claimed)])
    await pass_time(store, IDLE_MS + 5_000, two, worker)
    assert list(worker.shards.queues) == [0, 1, 2]
    assert (await two.queue.status("g-2-1", TENANT)).ended_ms
    store.now_ms += 60_000
    await two.queue.sweep()
    await pass_time(store, 5_000, two, worker)
    assert list(worker.shards.queues) == [0, 1, 2]
    await pass_time(store, IDLE_MS, two, worker)
    assert list(worker.shards.queues) == [0, 1]
    assert list(two.shards.queues) == [0, 1]


async def test_empty_shard_stays_when_a_gateway_still_places_there(store: Store) -> None:
    two, three = Process(store, 2), Process(store, 3)
    await pass_time(store, 2 * IDLE_MS, two, three)
    assert list(two.shards.queues) == [0, 1, 2]


async def test_worker_gets_what_lies_in_every_shard_when_it_claims(store: Store) -> None:
    gateway, worker = Process(store, 3), Process(store, 0)
    await gateway.refresh()
    await worker.refresh()
    for shard in range(3):
        await gateway.queue.submit(submission(f"g-{shard}-1"))
    got = await worker.queue.claim(claim(limit=9))
    assert sorted(names(got)) == ["g-0-1", "g-1-1", "g-2-1"]


async def test_request_is_queued_again_in_its_shard_when_the_store_forgot_it(store: Store) -> None:
    gateway = Process(store, 3)
    await gateway.refresh()
    made = submission("g-1-1", request_id=MOVING, body_digest=b"body")
    await gateway.queue.submit(replace(made))
    await gateway.queue.cancel("g-1-1", TENANT)
    await gateway.queue.delete("g-1-1", TENANT)
    # So much later it cannot be told from one that was lost.
    store.now_ms += GONE_MS
    await gateway.refresh()
    assert (await gateway.queue.submit(made)).generation_id == "g-1-1"
    assert await store.queue(1).repeat(made) is not None
