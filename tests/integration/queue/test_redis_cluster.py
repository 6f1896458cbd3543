"""The queue and its media on a Redis Cluster whose slots move and whose nodes die."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import ClusterDownError

from facet.core.errors import StoreUnavailableError
from facet.queue.connection import RedisConnection
from facet.queue.keys import Keys, media_base
from facet.queue.media import RedisMediaStore
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from tests.support.conditions import until
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.whole import *  # noqa: F403 - the tests themselves
from tests.support.queue_contract.world import TENANT, claim, finish, submission
from tests.support.redis_cluster import ClusterNode, RedisCluster
from tests.support.whole_life import (
    answer_of,
    assert_unavailable_soon,
    in_time,
    keep_media,
    live_whole_life,
)

pytestmark = pytest.mark.integration

_FORBIDDEN = ("cluster", "command", "config", "client", "acl")
_RECOVERY_SECONDS = 10.0
_LOAD = 120


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    cluster = RedisCluster(tmp_path_factory.mktemp("cluster"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
async def world(cluster: RedisCluster, request: pytest.FixtureRequest) -> AsyncIterator[RedisWorld]:
    """A namespace of its own, found from another node than the one that has it.

    For the contracts, which count milliseconds, the clock stands.
    """
    stands = request.cls is not None
    release = secrets.token_hex(8)
    owner = cluster.owner_of(key_slot(Keys(release, "nano").base.encode()))
    world = RedisWorld(cluster.other_than(owner).server.url, release, stands=stands)
    world.redis = Redis(host="127.0.0.1", port=owner.server.port, protocol=2, driver_info=None)
    yield world
    await world.close()


def slot_of(world: RedisWorld) -> int:
    return int(key_slot(world.keys.base.encode()))


def ends_of_move(cluster: RedisCluster, slot: int) -> tuple[ClusterNode, ClusterNode]:
    source = cluster.owner_of(slot)
    return source, cluster.other_than(source)


async def test_only_data_commands_are_sent_when_everything_is_done(
    world: RedisWorld, cluster: RedisCluster
) -> None:
    def sent() -> dict[str, object]:
        return {
            f"{node.server.port} {name}": facts["calls"]
            for node in cluster.nodes
            for name, facts in node.client.info("commandstats").items()
            if name.removeprefix("cmdstat_").startswith(_FORBIDDEN)
        }

    before = sent()
    await live_whole_life(world.queue)
    await keep_media(cluster.url, count=20)
    assert sent() == before


async def test_media_are_spread_and_found_when_there_are_many(cluster: RedisCluster) -> None:
    await keep_media(cluster.url, count=60)
    spread = [list(node.client.scan_iter(f"{media_base('topology')}:*")) for node in cluster.nodes]
    assert all(spread)


async def test_nothing_is_lost_or_doubled_when_the_slot_moves_under_load(
    world: RedisWorld, cluster: RedisCluster
) -> None:
    queue, names = world.queue, [f"g-0-{i}" for i in range(_LOAD)]
    ended: list[str] = []

    async def submit_all() -> None:
        for name in names:
            await patiently(queue, name)

    async def work() -> None:
        while len(ended) < _LOAD:
            request = claim()
            found = await answer_of(lambda: queue.claim(request), seconds=_RECOVERY_SECONDS)  # noqa: B023
            for claimed in found.claimed:
                writes = [finish(claimed)]
                await answer_of(lambda: queue.write(writes), seconds=_RECOVERY_SECONDS)  # noqa: B023
                ended.append(claimed.lease.generation_id)
            if not found.claimed:
                await answer_of(
                    lambda: queue.wait_for_work("worker-1", 50), seconds=_RECOVERY_SECONDS
                )

    async def move() -> None:
        for share in (1, 2, 3):
            while len(ended) < _LOAD * share // 4:  # noqa: ASYNC110 - the load is what it follows
                await asyncio.sleep(0.001)
            slot = slot_of(world)
            await asyncio.to_thread(cluster.move_slot, slot, *ends_of_move(cluster, slot))

    await asyncio.gather(submit_all(), work(), move())
    assert sorted(ended) == sorted(names)
    states = [(await queue.status(name, TENANT)).state for name in names]
    assert states == [State.ENDED] * _LOAD
    assert (await queue.depth()).waiting == 0


async def patiently(queue: RedisQueue, name: str) -> None:
    await answer_of(lambda: queue.submit(submission(name)), seconds=_RECOVERY_SECONDS)


async def test_nothing_is_told_of_half_a_queue_when_its_slot_is_moving(
    world: RedisWorld, cluster: RedisCluster
) -> None:
    for i in range(3):
        await world.queue.submit(submission(f"g-0-{i}"))
    slot = slot_of(world)
    source, target = ends_of_move(cluster, slot)
    cluster.begin_move(slot, source, target)
    assert cluster.move_keys(slot, source, target, most=5) == 5
    await asyncio.gather(
        assert_unavailable_soon(world.queue.depth),
        assert_unavailable_soon(lambda: world.queue.claim(claim())),
        assert_unavailable_soon(lambda: world.queue.status("g-0-1", TENANT)),
        assert_unavailable_soon(lambda: world.queue.submit(submission("g-0-9"))),
        assert_unavailable_soon(lambda: world.queue.receive("reader", "0", block_ms=100)),
    )
    waiting = asyncio.create_task(world.queue.depth())
    cluster.move_keys(slot, source, target)
    cluster.end_move(slot, source, target)
    # A call that began while the slot was moving is answered when it has arrived.
    assert (await waiting).waiting == 3
    assert len((await world.queue.claim(claim(limit=5))).claimed) == 3


async def test_media_are_found_at_both_nodes_when_their_slot_is_moving(
    cluster: RedisCluster,
) -> None:
    store = RedisMediaStore.connect(cluster.url, release="moving")
    slot = key_slot(f"{media_base('moving')}:{{tag}}-1".encode())
    source, target = ends_of_move(cluster, slot)
    for i in range(3):
        await store.put(f"{{tag}}-{i}", b"%d" % i, life_seconds=60)
    cluster.begin_move(slot, source, target)
    assert cluster.move_keys(slot, source, target, most=1) == 1
    await store.put("{tag}-3", b"3", life_seconds=60)
    for i in range(4):
        assert await in_time(store.get(f"{{tag}}-{i}")) == b"%d" % i
    cluster.move_keys(slot, source, target)
    cluster.end_move(slot, source, target)
    for i in range(4):
        assert await in_time(store.get(f"{{tag}}-{i}")) == b"%d" % i
    assert len(target.client.keys(f"{media_base('moving')}:*")) == 4
    await store.close()


async def test_waiting_reader_finds_the_new_node_when_the_slot_has_moved(
    world: RedisWorld, cluster: RedisCluster
) -> None:
    await world.queue.submit(submission("g-0-1"))
    await world.queue.follow("reader", {"g-0-1": 0})
    cursor = (await world.queue.receive("reader", "0", block_ms=0)).cursor
    receiving = asyncio.create_task(world.queue.receive("reader", cursor, block_ms=5_000))
    slot = slot_of(world)
    await asyncio.to_thread(cluster.move_slot, slot, *ends_of_move(cluster, slot))
    (claimed,) = (await world.queue.claim(claim())).claimed
    await world.queue.write([finish(claimed)])
    async with asyncio.timeout(5):
        assert [entry.generation_id for entry in (await receiving).entries] == ["g-0-1"]


async def test_calls_work_again_when_the_owner_died_and_its_replica_took_over(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cluster = RedisCluster(tmp_path_factory.mktemp("failing"))
    queue: RedisQueue | None = None
    try:
        cluster.start()
        keys = Keys("failing", "nano")
        owner = cluster.owner_of(key_slot(keys.base.encode()))
        replica = cluster.add_replica(owner)
        queue = RedisQueue.connect(cluster.url, release="failing", model="nano")
        connection = RedisConnection(cluster.url, keys.base)
        await live_whole_life(queue)
        await connection.command("EXISTS", keys.base)
        owner.server.kill()
        await assert_unavailable_soon(queue.depth)
        await assert_unavailable_soon(queue.ping)
        await assert_unavailable_soon(lambda: connection.command("EXISTS", keys.base))
        replica.cluster("FAILOVER", "TAKEOVER")
        survivors = [node for node in cluster.nodes if node is not owner]
        await asyncio.to_thread(cluster.wait_until_served, *survivors)
        await answer_of(queue.depth, seconds=2)
        await live_whole_life(queue)
        await answer_of(lambda: connection.command("EXISTS", keys.base), seconds=2)
        await connection.close()
    finally:
        if queue is not None:
            await queue.close()
        cluster.stop()


async def test_calls_fail_soon_and_work_again_when_the_cluster_was_down(
    cluster: RedisCluster,
) -> None:
    queue = RedisQueue.connect(cluster.url, release="down", model="nano")
    await live_whole_life(queue)
    slot = key_slot(Keys("down", "nano").base.encode())
    bystander = cluster.other_than(cluster.owner_of(slot))

    async def is_down() -> bool:
        try:
            await queue.depth()
        except StoreUnavailableError as error:
            return isinstance(error.__cause__, ClusterDownError)
        return False

    bystander.server.kill()
    try:
        await until(is_down, seconds=_RECOVERY_SECONDS)
        await assert_unavailable_soon(lambda: queue.submit(submission("g-0-1")))
    finally:
        await asyncio.to_thread(bystander.server.restart)
    await asyncio.to_thread(cluster.wait_until_served, *cluster.nodes)
    await live_whole_life(queue)
    await queue.close()
