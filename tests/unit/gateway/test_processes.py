"""Processes that cannot be started for a while."""

from __future__ import annotations

import asyncio
import errno
import sys
from pathlib import Path
from typing import Any

import pytest

from facet.gateway import processes
from facet.gateway.processes import Processes, StartError
from tests.support.conditions import until

pytestmark = pytest.mark.unit

REAL = asyncio.create_subprocess_exec


class Forks:
    """Starts a stand-in for each gateway process, unless the machine has no more room for one."""

    def __init__(self) -> None:
        self.has_room = True
        self.refusals = 0
        self.latest: asyncio.subprocess.Process | None = None

    async def __call__(self, *command: str, **options: Any) -> asyncio.subprocess.Process:
        if not self.has_room:
            self.refusals += 1
            raise OSError(errno.EAGAIN, "no more processes")
        code = "print('READY', flush=True); import time; time.sleep(60)"
        self.latest = await REAL(sys.executable, "-c", code, **options)
        return self.latest


@pytest.fixture
def forks(monkeypatch: pytest.MonkeyPatch) -> Forks:
    forks = Forks()
    monkeypatch.setattr(asyncio, "create_subprocess_exec", forks)
    monkeypatch.setattr(processes, "RESTART_SECONDS", 0.01)
    return forks


async def test_process_is_started_as_soon_as_it_can_be_when_it_could_not(
    forks: Forks, tmp_path: Path
) -> None:
    running = Processes(1, tmp_path, {})
    await running.start()
    first = forks.latest
    assert first is not None
    forks.has_room = False
    first.kill()

    async def is_refused() -> bool:
        return forks.refusals > 1

    async def is_there_again() -> bool:
        return forks.latest is not first

    await until(is_refused, seconds=10)
    forks.has_room = True
    await until(is_there_again, seconds=10)
    await running.stop(0.0)


async def test_start_is_refused_when_no_process_can_be_started(
    forks: Forks, tmp_path: Path
) -> None:
    forks.has_room = False
    with pytest.raises(StartError, match="no more processes"):
        await Processes(2, tmp_path, {}).start()
