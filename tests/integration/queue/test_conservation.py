"""Random histories: Redis and the in-memory twin agree, nothing is lost, charged or ended twice."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.integration.queue.histories import Histories
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration


@pytest.mark.timeout(120)
def test_nothing_is_lost_or_doubled_when_anything_happens(redis_server: RedisServer) -> None:
    class HistoriesOnServer(Histories):
        url = redis_server.url

    run_state_machine_as_test(
        HistoriesOnServer,
        settings=settings(
            max_examples=30,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
