"""Fixtures of all tiers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.redis_server import RedisServer

pytest.register_assert_rewrite("tests.support.queue_contract")


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(_shared_redis: RedisServer) -> Iterator[RedisServer]:
    """One server for the whole run: take a `release` of your own as namespace, do not kill it."""
    yield _shared_redis
    if not _shared_redis.is_running:
        _shared_redis.restart()
        pytest.fail("the test ended the shared server: use `own_redis_server`")


@pytest.fixture
def own_redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of this test alone, append-only: to kill, restart and pause."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), append_only=True)
    server.start()
    yield server
    server.stop()
