"""The queue on primaries with replicas, managed services, slow and encrypted ways to a store."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from facet.core.errors import StoreUnavailableError
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from tests.support.authority import Authority, SecretVolume
from tests.support.conditions import until
from tests.support.queue_contract.world import TENANT, claim, submission
from tests.support.redis_server import RedisServer, free_port
from tests.support.tcp_proxy import TcpProxy
from tests.support.whole_life import (
    answer_of,
    assert_unavailable_soon,
    in_time,
    keep_media,
    live_whole_life,
    queue_at,
)

pytestmark = pytest.mark.integration

_FAILOVER_SECONDS = 2.0
_BLOCKED = ("CONFIG", "CLIENT", "ACL", "COMMAND", "CLUSTER", "DEBUG", "KEYS", "EVAL", "SCAN")

Pair = tuple[RedisServer, RedisServer]
Connect = Callable[[str], RedisQueue]


def admin(server: RedisServer) -> Redis:
    return Redis(host="127.0.0.1", port=server.port, protocol=2, driver_info=None)


def replicate(server: RedisServer, primary: RedisServer | None) -> None:
    with admin(server) as client:
        place = ("127.0.0.1", primary.port) if primary else ("NO", "ONE")
        client.execute_command("REPLICAOF", *place)


def let_replicas_catch_up(primary: RedisServer) -> None:
    # WAIT waits for what its own connection wrote, and so for everything before.
    with admin(primary) as client:
        client.set("mark", "1")
        assert client.wait(1, 5_000) == 1


def urls_of(*servers: RedisServer) -> str:
    return "redis://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


async def is_in_sync(replica: RedisServer) -> bool:
    with admin(replica) as client:
        return b"master_link_status:up" in client.execute_command("INFO replication")


async def has_blocked_client(server: RedisServer) -> bool:
    with admin(server) as client:
        return bool(client.info("clients")["blocked_clients"] == 1)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[RedisServer, RedisServer]]:
    """A primary and its replica, in sync."""
    primary = RedisServer(tmp_path / "primary", options=("--repl-diskless-sync-delay", "0"))
    primary.start()
    place = ("127.0.0.1", str(primary.port))
    replica = RedisServer(tmp_path / "replica", options=("--replicaof", *place))
    replica.start()
    try:
        await until(lambda: is_in_sync(replica), seconds=20)
        yield primary, replica
    finally:
        replica.stop()
        primary.stop()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Makes queues, and closes them."""
    queues: list[RedisQueue] = []

    def connected(url: str) -> RedisQueue:
        queues.append(queue_at(url))
        return queues[-1]

    yield connected
    for queue in queues:
        await queue.close()


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[TcpProxy]:
    """A way to the shared server that a test may slow down."""
    async with TcpProxy(redis_server.port) as proxy:
        yield proxy


@pytest.mark.parametrize("first", [0, 1], ids=["primary_first", "replica_first"])
async def test_calls_go_to_the_primary_when_two_addresses_are_given(
    pair: Pair, connect: Connect, first: int
) -> None:
    url = urls_of(pair[first], pair[1 - first])
    await live_whole_life(connect(url))
    await keep_media(url)


@pytest.mark.parametrize("first", [0, 1], ids=["primary_first", "replica_first"])
async def test_calls_work_again_soon_when_the_primary_died_and_the_replica_is_promoted(
    pair: Pair, connect: Connect, first: int
) -> None:
    primary, replica = pair
    queue = connect(urls_of(pair[first], pair[1 - first]))
    await queue.submit(submission("g-0-1"))
    let_replicas_catch_up(primary)
    receiving = asyncio.create_task(queue.receive("reader", "0", block_ms=60_000))
    await until(lambda: has_blocked_client(primary))
    killed_at = time.monotonic()
    primary.kill()
    replicate(replica, None)
    status = await answer_of(lambda: queue.status("g-0-1", TENANT), seconds=_FAILOVER_SECONDS)
    assert status.state is State.WAITING
    await answer_of(lambda: queue.submit(submission("g-0-2")), seconds=_FAILOVER_SECONDS)
    assert time.monotonic() - killed_at < _FAILOVER_SECONDS
    with pytest.raises(StoreUnavailableError):
        await receiving
    assert len((await queue.claim(claim(limit=2))).claimed) == 2


async def test_calls_work_again_when_the_primary_hangs_and_the_replica_is_promoted(
    pair: Pair, connect: Connect
) -> None:
    primary, replica = pair
    queue = connect(urls_of(primary, replica))
    await live_whole_life(queue)
    primary.pause()
    try:
        replicate(replica, None)
        await assert_unavailable_soon(queue.ping)
        await in_time(queue.ping())
        await live_whole_life(queue)
    finally:
        primary.resume()


async def test_calls_follow_the_primary_when_the_roles_are_exchanged(
    pair: Pair, connect: Connect
) -> None:
    primary, replica = pair
    queue = connect(urls_of(primary, replica))
    receiving = asyncio.create_task(queue.receive("reader", "0", block_ms=60_000))
    await until(lambda: has_blocked_client(primary))
    replicate(replica, None)
    replicate(primary, replica)
    with pytest.raises(StoreUnavailableError):
        await receiving
    await until(lambda: is_in_sync(primary), seconds=20)
    await live_whole_life(queue)
    with admin(replica) as client:
        assert client.dbsize() > 0
    replicate(primary, None)
    replicate(replica, primary)
    await live_whole_life(queue)


async def test_nothing_is_accepted_or_told_when_only_a_replica_is_left(
    pair: Pair, connect: Connect
) -> None:
    primary, replica = pair
    queue = connect(urls_of(replica))
    primary.kill()
    await assert_unavailable_soon(lambda: queue.submit(submission("g-0-1")))
    await assert_unavailable_soon(lambda: queue.status("g-0-1", TENANT))
    await assert_unavailable_soon(lambda: queue.receive("reader", "0", block_ms=200))
    await assert_unavailable_soon(lambda: keep_media(urls_of(replica)))
    replicate(replica, None)
    await live_whole_life(queue)
    await keep_media(urls_of(replica))


async def test_nothing_is_accepted_when_the_server_loses_its_role_under_open_connections(
    own_redis_server: RedisServer, connect: Connect
) -> None:
    queue = connect(own_redis_server.url)
    await live_whole_life(queue)
    with admin(own_redis_server) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", free_port())
    await assert_unavailable_soon(lambda: queue.submit(submission("g-0-1")))
    await assert_unavailable_soon(lambda: queue.status("g-0-1", TENANT))
    replicate(own_redis_server, None)
    await live_whole_life(queue)


async def test_acceptance_waits_for_the_replica_when_it_is_asked_to(
    pair: Pair, connect: Connect
) -> None:
    primary, replica = pair
    durable = replace(submission("g-0-1", request_id="r"), replicas=1)
    await in_time(connect(urls_of(primary)).submit(replace(durable, generation_id="g-0-0")))
    again = replace(durable, generation_id="g-0-2")
    replica.pause()
    try:
        # Each over connections of its own: what they wrote before tells nothing.
        for asked in (durable, durable, again):
            with pytest.raises(StoreUnavailableError) as caught:
                await connect(urls_of(primary)).submit(asked)
            assert caught.value.metadata == {"generation_id": "g-0-0", "replicas": "0"}
        await in_time(connect(urls_of(primary)).submit(replace(again, replicas=0)))
    finally:
        replica.resume()
    submitted = await in_time(connect(urls_of(primary)).submit(durable))
    assert (submitted.generation_id, submitted.is_new) == ("g-0-0", False)


async def test_calls_reach_the_new_primary_when_one_address_is_switched_over(
    pair: Pair, connect: Connect
) -> None:
    primary, replica = pair
    async with TcpProxy(primary.port) as endpoint:
        queue = connect(endpoint.url)
        await live_whole_life(queue)
        endpoint.target_port = replica.port
        replicate(replica, None)
        replicate(primary, replica)
        # Connections to the old primary are still open: its refusal leads to the new one.
        await live_whole_life(queue)
        with admin(replica) as client:
            assert b"role:master" in client.execute_command("INFO replication")


async def test_everything_works_when_a_managed_service_blocks_admin_commands(
    tmp_path: Path, connect: Connect
) -> None:
    settings = tmp_path / "managed.conf"
    settings.write_text("".join(f'rename-command {name} ""\n' for name in _BLOCKED))
    server = RedisServer(tmp_path / "managed", options=("--include", str(settings)))
    server.start()
    try:
        await live_whole_life(connect(server.url))
        await keep_media(server.url)
        with admin(server) as client, pytest.raises(ResponseError, match="unknown command"):
            client.config_get("maxmemory")
    finally:
        server.stop()


async def test_calls_stay_within_their_bounds_when_the_store_is_slow(
    proxy: TcpProxy, connect: Connect
) -> None:
    proxy.delay_seconds = 0.2
    queue = connect(proxy.url)
    await live_whole_life(queue)
    await asyncio.gather(*(in_time(queue.depth()) for _ in range(32)))


async def test_calls_fail_soon_and_work_again_when_the_store_was_too_slow(
    proxy: TcpProxy, connect: Connect
) -> None:
    queue, late = connect(proxy.url), connect(proxy.url)
    await live_whole_life(queue)
    proxy.delay_seconds = 3.0
    for each in (queue, late):
        await assert_unavailable_soon(lambda: each.submit(submission("g-0-1")))  # noqa: B023
        await assert_unavailable_soon(each.ping)
    proxy.delay_seconds = 0.0
    await in_time(queue.submit(submission("g-0-1")))
    await queue.cancel("g-0-1", TENANT)
    await live_whole_life(late)


async def test_store_is_reached_and_checked_when_the_way_is_encrypted(
    redis_server: RedisServer, connect: Connect, tmp_path: Path
) -> None:
    ca = Authority("store")
    certificate, key = ca.issue()
    files = SecretVolume(tmp_path / "tls", crt=certificate, key=key, ca=ca.certificate)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["crt"], files["key"])
    async with TcpProxy(redis_server.port, tls=tls) as endpoint:
        trusting = f"{endpoint.url},127.0.0.1:{free_port()}/0?ssl_ca_certs={files['ca']}"
        await live_whole_life(connect(trusting))
        await keep_media(trusting)
        await assert_unavailable_soon(connect(endpoint.url).ping)
