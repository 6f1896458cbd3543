"""Credentials as the Redis client asks for them when it opens a connection."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from facet.queue.credentials import FileCredentials

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("user", "shown"), [("", ("s3cret",)), ("u", ("u", "s3cret"))])
async def test_nothing_is_logged_when_a_connection_asks_for_the_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, user: str, shown: tuple[str, ...]
) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n", encoding="utf-8")

    with caplog.at_level(logging.DEBUG):
        assert await FileCredentials(file, user).get_credentials_async() == shown

    assert [record.name for record in caplog.records if record.name.startswith("redis")] == []
