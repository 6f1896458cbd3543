"""A managed service that has no administrative commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ResponseError

from facet.api.v1.inference_service_pb2 import CancelGenerationRequest
from tests.chaos.load import Kind
from tests.integration.faults.conftest import OpenHouse
from tests.integration.faults.crowd import assert_held, assert_right, under_way, with_image
from tests.support.media_samples import PNG
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

BLOCKED = ("CONFIG", "CLIENT", "ACL", "COMMAND", "CLUSTER", "DEBUG", "KEYS", "EVAL", "SCAN")


@pytest.fixture
def managed_server(tmp_path: Path) -> Iterator[RedisServer]:
    settings = tmp_path / "managed.conf"
    settings.write_text("".join(f'rename-command {name} ""\n' for name in BLOCKED))
    server = RedisServer(tmp_path / "managed", options=("--include", str(settings)))
    server.start()
    yield server
    server.stop()


async def test_everything_is_served_when_the_service_has_no_admin_commands(
    open_house: OpenHouse, managed_server: RedisServer
) -> None:
    with Redis(port=managed_server.port, protocol=2, driver_info=None) as client:
        for name in ("CONFIG", "CLIENT", "ACL"):
            with pytest.raises(ResponseError, match="unknown command"):
                client.execute_command(name, "HELP")
    async with open_house(managed_server.url) as house:
        others = [
            *house.crowd.ask(1, Kind.UNARY, tokens=10),
            *house.crowd.ask(1, Kind.SUBMIT, tokens=10),
        ]
        running = house.crowd.ask(6)
        await under_way(running)
        # Its requests come back by leases, sweeps and claims.
        house.workers[0].kill()
        cancelled = house.crowd.ask(1)
        await under_way(cancelled, speaking=1)
        message = CancelGenerationRequest(generation_id=cancelled[0].main.generation_id)
        assert (await house.crowd.stub.CancelGeneration(message)).cancelled
        answer = await house.crowd.stub.GenerateContent(with_image(PNG), timeout=30)
        assert answer.candidates[0].content.parts[0].text
        await house.crowd.all_ended()
        assert_held(running)
        assert_right(others)
        assert any(outcome.main.is_resumed for outcome in running)
        assert [outcome.main.end for outcome in cancelled] == ["CANCELLED"]
