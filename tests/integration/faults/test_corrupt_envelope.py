"""Requests whose bytes in the store were damaged while they waited."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from redis import Redis

from facet.api.v1 import error_pb2
from facet.queue.keys import Keys
from tests.chaos.client import Outcome
from tests.integration.faults.crowd import all_accepted, assert_held
from tests.integration.faults.house import House
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

UNREADABLE = "the envelope cannot be read"
UNKNOWN_VERSION = "envelope version 0 is not known here"
ANOTHERS = "the envelope is another generation's"


def damage(server: RedisServer, outcomes: list[Outcome]) -> Mapping[str, str]:
    """Damage each in another way; the reasons that their dead letters must give, by id."""
    names = [outcome.main.generation_id for outcome in outcomes]
    keys = [Keys("default", "nano").of("envelope", name) for name in names]
    with Redis(port=server.port, protocol=2, driver_info=None) as client:
        whole = client.get(keys[0])
        assert isinstance(whole, bytes)
        client.setrange(keys[0], 0, b"\xff" * 16)
        client.set(keys[1], whole[: len(whole) // 2])
        client.delete(keys[2])
        client.set(keys[3], whole)
    return dict(zip(names, (UNREADABLE, UNREADABLE, UNKNOWN_VERSION, ANOTHERS), strict=True))


async def test_damaged_requests_are_dead_letters_and_others_run_when_envelopes_are_corrupt(
    house: House, own_redis_server: RedisServer
) -> None:
    for worker in house.workers:
        worker.pause()
    damaged = house.crowd.ask(4)
    intact = house.crowd.ask(4, tokens=10)
    await all_accepted([*damaged, *intact])
    reasons = damage(own_redis_server, damaged)
    for worker in house.workers:
        worker.resume()
    await house.crowd.all_ended()

    assert_held(intact)
    assert [outcome.main.end for outcome in damaged] == ["DEAD_LETTERED"] * 4
    for outcome in damaged:
        assert outcome.main.finished is not None
        assert outcome.main.finished.failure.message == reasons[outcome.main.generation_id]
    letters = (await house.queue.dead_letters(page="", limit=10)).letters
    failures = {each.generation_id: error_pb2.Failure.FromString(each.failure) for each in letters}
    assert {name: failure.message for name, failure in failures.items()} == reasons
    for name in reasons:
        assert (await house.queue.status(name, "anonymous")).deaths == 0
