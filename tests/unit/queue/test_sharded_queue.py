"""A queue of one shard costs what the shard costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from facet.queue.memory_queue import MemoryQueue
from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.port import Queue
from facet.queue.registry import Registry
from facet.queue.sharded_queue import ShardedQueue
from facet.queue.shards import Shards
from facet.queue.values import Append, Lease
from tests.support.queue_contract.world import TENANT, claim, response, submission

pytestmark = pytest.mark.unit

LEASE = Lease("g-0-1", 1, "nonce")

CALLS: dict[str, Callable[[Queue], Awaitable[object]]] = {
    "submit": lambda queue: queue.submit(submission(request_id="order-1")),
    "claim": lambda queue: queue.claim(claim()),
    "wait_for_work": lambda queue: queue.wait_for_work("worker-1", 50),
    "write": lambda queue: queue.write([Append(LEASE, 0, 1, (), response(0))]),
    "heartbeat": lambda queue: queue.heartbeat("worker-1", "print-1", [LEASE]),
    "hand_back": lambda queue: queue.hand_back([LEASE]),
    "report": lambda queue: queue.report("worker-1", b"report"),
    "status": lambda queue: queue.status("g-0-0", TENANT),
    "cancel": lambda queue: queue.cancel("g-0-0", TENANT),
    "read": lambda queue: queue.read({"g-0-0": 0}, limit=9),
    "follow": lambda queue: queue.follow("reader", {"g-0-0": 0}),
    "receive": lambda queue: queue.receive("reader", "0", block_ms=50),
    "sweep": lambda queue: queue.sweep(),
    "depth": lambda queue: queue.depth(),
    "ping": lambda queue: queue.ping(),
    "list_generations": lambda queue: queue.list_generations(TENANT, page="", limit=9),
}


class Counted:
    """Counts the calls to what it stands for."""

    def __init__(self, inner: object) -> None:
        self.calls: Counter[str] = Counter()
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return await call(*arguments, **options)

        return counted


@pytest.mark.parametrize("name", CALLS)
async def test_one_call_is_made_when_there_is_one_shard(name: str) -> None:
    shard = Counted(MemoryQueue())
    registry = Counted(MemoryRegistry(MemoryRegistryBooks(), count=1))
    shards = Shards(cast("Registry", registry), lambda _: cast("Queue", shard), count=1)
    queue = ShardedQueue(shards)
    await shards.refresh()
    await queue.submit(submission("g-0-0"))
    shard.calls.clear()
    registry.calls.clear()
    assert (await queue.name_generation(TENANT, "order-1")).startswith("g-0-")
    await CALLS[name](queue)
    # Where a wait ends a little early it is begun again, for the rest of its time.
    if name in ("wait_for_work", "receive"):
        assert set(shard.calls) == {name}
        assert shard.calls[name] <= 2
    else:
        assert shard.calls == {name: 1}
    assert not registry.calls
    await queue.close()
