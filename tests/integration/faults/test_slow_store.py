"""A store behind a slow way: late answers, then answers that come too late for every call."""

from __future__ import annotations

from pathlib import Path

import pytest

from facet.api.v1.inference_service_pb2 import ListGenerationsRequest
from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import assert_held, assert_right, under_way
from tests.support.conditions import until
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TcpProxy

pytestmark = pytest.mark.integration

SLOW_SECONDS = 0.2
TOO_SLOW_SECONDS = 3.0
"""Longer than any call waits: what it asked for is done all the same."""

NOTICED_SECONDS = 30.0


def is_noticed_by_a_writer(folder: Path) -> bool:
    """Whether an append of a worker was not answered in time."""
    return any("log.store_away" in log.read_text() for log in folder.glob("worker-*.log"))


async def test_streams_stay_right_and_nothing_runs_twice_when_the_store_is_slow(
    open_house: OpenHouse, own_redis_server: RedisServer, tmp_path: Path
) -> None:
    async with TcpProxy(own_redis_server.port) as way, open_house(way.url) as house:
        running = house.crowd.ask(6)
        await under_way(running)
        way.delay_seconds = SLOW_SECONDS
        later = [*house.crowd.ask(2, tokens=10), *house.crowd.ask(1, Kind.UNARY, tokens=10)]
        await house.crowd.all_ended()
        assert_held(running)
        assert_right(later)

        way.delay_seconds = 0.0
        writing = house.crowd.ask(6)
        await under_way(writing)
        way.delay_seconds = TOO_SLOW_SECONDS
        refused = house.crowd.ask(2, tokens=10)

        async def has_been_noticed() -> bool:
            return is_noticed_by_a_writer(tmp_path) and all(each.main.transient for each in refused)

        await until(has_been_noticed, seconds=NOTICED_SECONDS)
        way.delay_seconds = 0.0
        await house.crowd.all_ended()
        assert_held(writing)
        assert_right(refused)
        assert {reason for each in refused for reason in each.main.transient} == {
            "STORE_UNAVAILABLE"
        }
        # Each was accepted at the first call, which was refused for want of the answer.
        known = await house.crowd.stub.ListGenerations(ListGenerationsRequest(page_size=100))
        assert len(known.generations) == len([*running, *later, *writing, *refused])
