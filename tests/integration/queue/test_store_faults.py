"""The queue in Redis through restarts, outages and silence of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from facet.core.errors import StoreUnavailableError
from facet.queue.answers import store_unavailable
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Append, Lease, State, Verdict
from tests.support.conditions import until
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import (
    TENANT,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    log_of,
    submission,
    terminal_of,
)
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

Call = Callable[[RedisQueue], Awaitable[object]]
LEASE = Lease("g-0-1", 1, "nonce")
CALLS: dict[str, Call] = {
    "submit": lambda queue: queue.submit(submission()),
    "cancel": lambda queue: queue.cancel("g-0-1", TENANT),
    "status": lambda queue: queue.status("g-0-1", TENANT),
    "follow": lambda queue: queue.follow("reader-1", {"g-0-1": 0}),
    "receive": lambda queue: queue.receive("reader-1", "0", block_ms=200),
    "read": lambda queue: queue.read({"g-0-1": 0}, limit=1),
    "claim": lambda queue: queue.claim(claim()),
    "wait_for_work": lambda queue: queue.wait_for_work("worker-1", 200),
    "sweep": lambda queue: queue.sweep(),
    "reports": lambda queue: queue.reports(),
    "report": lambda queue: queue.report("worker-1", b"report"),
    "depth": lambda queue: queue.depth(),
    "ping": lambda queue: queue.ping(),
    "origins": lambda queue: queue.origins(["g-0-1"]),
    "is_empty": lambda queue: queue.is_empty(),
    "repeat": lambda queue: queue.repeat(submission("g-0-9")),
    "pass_on_hint": lambda queue: queue.pass_on_hint(),
    "unfollow": lambda queue: queue.unfollow("reader-1", ["g-0-1"]),
    "write": lambda queue: queue.write([Append(LEASE, 0, 1, (), b"")]),
    "heartbeat": lambda queue: queue.heartbeat("worker-1", "print-1", [LEASE]),
    "hand_back": lambda queue: queue.hand_back([LEASE]),
    "retire": lambda queue: queue.retire("worker-1"),
    "list_generations": lambda queue: queue.list_generations(TENANT, page="", limit=9),
    "inspect": lambda queue: queue.inspect("g-0-1"),
    "dead_letters": lambda queue: queue.dead_letters(page="", limit=9),
    "redrive": lambda queue: queue.redrive(["g-0-1"]),
    "discard": lambda queue: queue.discard(["g-0-1"]),
    "drain_worker": lambda queue: queue.drain_worker("worker-1"),
    "audit": lambda queue: queue.audit("ann", "redrive", "g-0-1"),
    "audits": lambda queue: queue.audits(limit=9),
    "delete": lambda queue: queue.delete("g-0-1", TENANT),
}


@pytest.fixture(params=CALLS)
def call(request: pytest.FixtureRequest) -> Call:
    return CALLS[request.param]


async def restart_after_kill(server: RedisServer) -> None:
    """In a thread, so that the queue's connections see their end meanwhile, as in real life."""
    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.restart)


async def assert_unavailable_soon(call: Call, queue: RedisQueue) -> None:
    began = time.monotonic()
    with pytest.raises(StoreUnavailableError) as caught:
        await call(queue)
    assert caught.value.message == store_unavailable().message
    assert caught.value.__cause__ is not None
    assert time.monotonic() - began < 2


async def test_call_fails_soon_when_no_server_listens(call: Call) -> None:
    queue = RedisQueue.connect(f"redis://127.0.0.1:{free_port()}", release="none", model="nano")
    await assert_unavailable_soon(call, queue)
    await queue.close()


async def test_calls_fail_soon_and_work_again_when_the_server_hangs(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    await own_world.queue.submit(submission())
    own_redis_server.pause()
    try:
        calls = (assert_unavailable_soon(call, own_world.queue) for call in CALLS.values())
        await asyncio.gather(*calls)
    finally:
        own_redis_server.resume()
    await own_world.queue.ping()
    await own_world.queue.submit(submission())
    assert (await own_world.queue.depth()).waiting <= 1
    assert (await own_world.queue.status("g-0-1", TENANT)).state in set(State)


async def test_every_call_works_at_once_when_the_server_is_back(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    # Several connections are open when the server goes: none of them may fail a later call.
    await asyncio.gather(*(own_world.queue.ping() for _ in range(8)))
    own_redis_server.kill()
    with pytest.raises(StoreUnavailableError):
        await own_world.queue.ping()
    await asyncio.to_thread(own_redis_server.restart)
    await asyncio.gather(*(own_world.queue.depth() for _ in range(16)))


async def test_nothing_accepted_is_lost_when_the_server_is_killed(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    for i in range(3):
        await own_world.queue.submit(submission(f"g-0-{i}", reader_grace_ms=10_000))
        await own_world.advance(1)
    ended, running = (await own_world.queue.claim(claim(limit=2))).claimed
    await own_world.queue.write([finish(ended), append(running, 0, [1, 2], count=2)])
    await restart_after_kill(own_redis_server)

    await terminal_of(own_world, ended.lease.generation_id)
    results = await own_world.queue.write([append(running, 2, [3])])
    assert [result.verdict for result in results] == [Verdict.OK]
    assert (await claim_one(own_world)).lease.generation_id == "g-0-2"
    assert await own_world.queue.heartbeat("worker-1", "print-1", [running.lease]) == [Verdict.OK]


async def test_lease_survives_when_the_server_was_away_longer_than_it(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    await own_world.queue.submit(submission())
    claimed = await claim_one(own_world)
    await own_world.queue.sweep()
    await restart_after_kill(own_redis_server)
    await own_world.advance(20_000)
    assert (await own_world.queue.sweep()).reaped == 0
    assert await own_world.queue.heartbeat("worker-1", "print-1", [claimed.lease]) == [Verdict.OK]
    assert (await own_world.queue.status("g-0-1", TENANT)).deaths == 0


async def test_waiting_calls_end_with_an_error_when_the_server_dies(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    async def both_wait() -> bool:
        return bool((await own_world.redis.info("clients"))["blocked_clients"] == 2)

    async def read() -> None:
        await own_world.queue.receive("reader-1", "0", block_ms=60_000)

    async def wait() -> None:
        while True:
            await own_world.queue.wait_for_work("worker-1", 1_000)

    waits = [asyncio.create_task(read()), asyncio.create_task(wait())]
    await until(both_wait)
    own_redis_server.kill()
    async with asyncio.timeout(5):
        results = await asyncio.gather(*waits, return_exceptions=True)
    assert [type(result) for result in results] == [StoreUnavailableError] * 2


async def test_scripts_are_loaded_again_when_the_server_forgot_them(world: RedisWorld) -> None:
    await world.queue.submit(submission())
    await world.redis.script_flush()
    assert (await world.queue.depth()).waiting == 1
    await claim_one(world)
    await world.redis.script_flush()
    await lapse_leases(world)
    assert (await world.queue.depth()).waiting == 1


async def test_queue_works_when_the_service_blocks_admin_commands(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    blocked = ("CONFIG", "CLIENT", "ACL", "DEBUG", "KEYS", "EVAL", "SCAN")
    options = tuple(part for name in blocked for part in ("--rename-command", name, ""))
    server = RedisServer(tmp_path_factory.mktemp("managed"), options=options)
    server.start()
    queue = RedisQueue.connect(server.url, release="managed", model="nano")
    try:
        for call in CALLS.values():
            await call(queue)
    finally:
        await queue.close()
        server.stop()


async def test_log_is_the_same_when_read_after_a_restart(
    own_world: RedisWorld, own_redis_server: RedisServer
) -> None:
    await own_world.queue.submit(submission())
    claimed = await claim_one(own_world)
    await own_world.queue.write([append(claimed, 0, [1], count=2), append(claimed, 2, [2])])
    before = await log_of(own_world)
    await restart_after_kill(own_redis_server)
    assert await log_of(own_world) == before


async def test_a_loop_of_calls_ends_when_it_is_cancelled_once(world: RedisWorld) -> None:
    """The client alone drops a cancel that meets the arrival of an answer."""

    async def ask_for_ever() -> None:
        while True:
            await world.queue.ping()

    for turns in range(60):
        task = asyncio.create_task(ask_for_ever())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        _, pending = await asyncio.wait([task], timeout=5)
        assert not pending
