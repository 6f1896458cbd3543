"""Fixtures of the store's faults under real gateways and workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from tests.integration.faults.house import House, running_house
from tests.support.redis_server import RedisServer

OpenHouse = Callable[..., AbstractAsyncContextManager[House]]


@pytest.fixture
def open_house(tmp_path: Path) -> OpenHouse:
    """`open_house(url, ...)`: gateway and workers over the store at `url`."""
    return partial(running_house, tmp_path)


@pytest.fixture
async def house(open_house: OpenHouse, own_redis_server: RedisServer) -> AsyncIterator[House]:
    """Over a Redis of this test alone, append-only, reached without detours."""
    async with open_house(own_redis_server.url) as house:
        yield house
