"""The configuration of the node's Redis."""

from pathlib import Path

import pytest

from facet.node.redis_server import render_config

pytestmark = pytest.mark.unit


def test_the_server_is_closed_and_durable_when_configured() -> None:
    lines = render_config(port=1234, password="pw", data_dir=Path('/a "b"')).splitlines()

    assert "bind 127.0.0.1" in lines
    assert "requirepass pw" in lines
    assert "appendfsync everysec" in lines
    assert 'save ""' in lines
    assert "maxmemory-policy noeviction" in lines
    assert 'dir "/a \\"b\\""' in lines
