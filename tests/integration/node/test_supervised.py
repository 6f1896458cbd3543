"""A supervised process: real processes, short scripts in place of the services."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from facet.node.backoff import BackOffPolicy
from facet.node.errors import StartFailedError
from facet.node.process import Command
from facet.node.readiness import FileReadiness
from facet.node.supervised import ProcessState, Program, Supervised
from tests.integration.node.processes import is_alive, until

pytestmark = pytest.mark.integration

READY_THEN_WAIT = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
DEAF = (
    "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
)
WITH_CHILD = (
    "import pathlib, subprocess, sys, time; "
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    "pathlib.Path(sys.argv[1]).write_text(str(child.pid)); time.sleep(600)"
)


def program(tmp_path: Path, script: str, *, start: float = 30.0, stop: float = 10.0) -> Program:
    ready = tmp_path / "ready"
    return Program(
        name="p",
        command=lambda: Command((sys.executable, "-c", script, str(ready)), os.environ),
        log_path=tmp_path / "p.log",
        readiness=FileReadiness(ready),
        start_seconds=start,
        stop_seconds=stop,
        back_off=BackOffPolicy(first_seconds=0.01, longest_seconds=0.05),
    )


@asynccontextmanager
async def running(supervised: Supervised) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(supervised.run())
    try:
        yield task
    finally:
        supervised.kill()
        await supervised.stop()
        await task


def supervise(what: Program, changes: list[str] | None = None) -> Supervised:
    told = [] if changes is None else changes
    return Supervised(what, lambda process, line: told.append(f"{process.state.name}: {line}"))


async def test_it_is_started_again_when_it_is_killed(tmp_path: Path) -> None:
    supervised = supervise(program(tmp_path, READY_THEN_WAIT))
    async with running(supervised):
        await supervised.first_ready()
        first = supervised.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)

        await until(lambda: supervised.restarts == 1 and supervised.state is ProcessState.READY)
        assert supervised.pid not in {None, first}
        assert not is_alive(first)


async def test_what_it_started_is_ended_when_it_is_killed(tmp_path: Path) -> None:
    supervised = supervise(program(tmp_path, WITH_CHILD))
    async with running(supervised):
        await supervised.first_ready()
        await until(lambda: (tmp_path / "ready").read_text() != "")
        grandchild = int((tmp_path / "ready").read_text())
        assert supervised.pid is not None

        os.kill(supervised.pid, signal.SIGKILL)

        await until(lambda: not is_alive(grandchild))


async def test_it_ends_by_itself_when_it_is_stopped(tmp_path: Path) -> None:
    changes: list[str] = []
    supervised = supervise(program(tmp_path, READY_THEN_WAIT), changes)
    async with running(supervised) as task:
        await supervised.first_ready()
        pid = supervised.pid
        assert pid is not None

        await supervised.stop()
        await asyncio.wait_for(task, 10)

        assert not is_alive(pid)
        assert supervised.restarts == 0
        assert [line.split(":")[0] for line in changes] == [
            "STARTING",
            "READY",
            "STOPPING",
            "STOPPED",
        ]


async def test_it_is_ended_by_force_when_it_does_not_listen(tmp_path: Path) -> None:
    changes: list[str] = []
    supervised = supervise(program(tmp_path, DEAF, stop=0.2), changes)
    async with running(supervised) as task:
        await supervised.first_ready()
        pid = supervised.pid
        assert pid is not None

        await supervised.stop()
        await asyncio.wait_for(task, 10)

        assert not is_alive(pid)
        assert changes[-1] == "STOPPED: ended by force after 0.2 s"


async def test_it_is_not_waited_for_long_when_it_is_stopped_before_it_is_ready(
    tmp_path: Path,
) -> None:
    script = DEAF.replace("touch()", "with_suffix('.never').touch()")
    changes: list[str] = []
    supervised = supervise(program(tmp_path, script, stop=60.0), changes)
    async with running(supervised) as task:
        await until((tmp_path / "ready.never").exists)

        await asyncio.wait_for(supervised.stop(), 20)
        await asyncio.wait_for(task, 10)

    assert changes[-1] == "STOPPED: ended by force after 2 s"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("raise SystemExit(3)", "p ended with code 3 before it was ready; see .*p.log"),
        ("import time; time.sleep(600)", "p not ready after 0.2 s; see .*p.log"),
    ],
    ids=["ends", "hangs"],
)
async def test_the_start_fails_when_it_is_never_ready(
    tmp_path: Path, script: str, words: str
) -> None:
    supervised = supervise(program(tmp_path, script, start=0.2))
    async with running(supervised):
        with pytest.raises(StartFailedError, match=words):
            await asyncio.wait_for(supervised.first_ready(), 20)


async def test_the_readiness_of_the_dead_is_not_trusted_when_the_next_starts(
    tmp_path: Path,
) -> None:
    (tmp_path / "ready").touch()
    changes: list[str] = []
    supervised = supervise(program(tmp_path, "raise SystemExit(3)"), changes)
    async with running(supervised):
        await until(lambda: supervised.restarts >= 2)

    assert not any(line.startswith("READY") for line in changes)


async def test_it_is_tried_again_when_it_cannot_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "no more processes")

    monkeypatch.setattr("subprocess.Popen", refuse)
    supervised = supervise(program(tmp_path, READY_THEN_WAIT))
    async with running(supervised):
        await until(lambda: supervised.restarts >= 1)
        monkeypatch.undo()

        await until(lambda: supervised.state is ProcessState.READY)


async def test_it_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = (
        "import asyncio, os, sys; from pathlib import Path\n"
        "from facet.node.process import Command, Process\n"
        "async def main():\n"
        "    command = (sys.executable, '-c', 'import time; time.sleep(600)')\n"
        "    process = Process(Command(command, os.environ), Path(sys.argv[1] + '.log'))\n"
        "    Path(sys.argv[1]).write_text(str(process.pid))\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", script, str(pid_file))
    try:
        await until(lambda: pid_file.exists() and pid_file.read_text() != "")
        child = int(pid_file.read_text())
        await until(_is_executing(child, "time.sleep"))
    finally:
        supervisor.kill()
        await supervisor.wait()

    await until(lambda: not is_alive(child))


def _is_executing(pid: int, words: str) -> Callable[[], bool]:
    command_line = Path(f"/proc/{pid}/cmdline")
    # While a process begins another program its command line is empty for a moment.
    return lambda: words in "".join(command_line.read_text().split("\0")[2:3])
