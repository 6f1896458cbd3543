"""Lines of logs: marked, of one form whoever writes them, at a level that may change."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from facet.core import logs
from facet.core.logs import configure_logs, follow_log_level
from tests.unit.worker.scripted import until

pytestmark = pytest.mark.unit


@pytest.fixture(autouse=True)
def _own_logs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr(logs, "CHECK_SECONDS", 0.01)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def configured(service: str) -> None:
    # pytest has handlers of its own there while a test runs.
    logging.getLogger().handlers[:] = []
    configure_logs("INFO", service=service)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_lines_bear_what_is_bound_when_a_library_writes_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configured("gateway")
    with structlog.contextvars.bound_contextvars(trace_id="t", generation_id="g"):
        structlog.get_logger("ours").info("one", more=1)
        logging.getLogger("theirs").warning("two %s", "words")
        logging.getLogger("theirs").debug("three")
    ours, theirs = lines(capsys)
    for line in (ours, theirs):
        assert (line["service"], line["trace_id"], line["generation_id"]) == ("gateway", "t", "g")
        assert line["timestamp"]
    assert (ours["event"], ours["level"], ours["more"]) == ("one", "info", 1)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "two words",
        "warning",
        "theirs",
    )


async def test_level_follows_a_file_when_that_comes_changes_and_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured("worker")
    file = tmp_path / "level"
    log = structlog.get_logger("t")

    def is_heard() -> bool:
        log.debug("heard?")
        return any(line["event"] == "heard?" for line in lines(capsys))

    def is_refused() -> bool:
        return any(line.get("what") == "log level" for line in lines(capsys))

    following = asyncio.create_task(follow_log_level("INFO", file))
    await until(lambda: not is_heard(), 5)
    file.write_text("debug\n")
    await until(is_heard, 5)
    file.write_text("nonsense")
    await until(is_refused, 5)
    assert is_heard()
    file.unlink()
    await until(lambda: not is_heard(), 5)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_nothing_is_followed_when_no_file_is_named() -> None:
    await asyncio.wait_for(follow_log_level("INFO", None), 1)
