"""What the operator sees."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from facet.node.screen import Screen, render
from facet.node.supervised import ProcessState, Supervised

pytestmark = pytest.mark.unit


@dataclass
class ShownProgram:
    log_path: Path


@dataclass
class Shown:
    name: str
    pid: int | None
    state: ProcessState
    restarts: int
    since: float
    program: ShownProgram


def shown(tmp_path: Path, state: ProcessState = ProcessState.READY) -> Supervised:
    process = Shown("worker-0", 4711, state, 2, 100.0, ShownProgram(tmp_path / "worker-0.log"))
    return cast("Supervised", process)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_tells_all_when_a_process_is_shown(tmp_path: Path) -> None:
    process = shown(tmp_path)
    process.program.log_path.write_text('{"level": "error", "event": "engine failed"}\n')

    _, line = render([process], now=225.0)

    assert line.split() == ["worker-0", "4711", "ready", "2:05", "2", "engine", "failed"]


def test_hours_are_shown_when_a_process_lives_long(tmp_path: Path) -> None:
    _, line = render([shown(tmp_path)], now=100.0 + 3 * 3600 + 62)

    assert "3:01:02" in line


def test_the_table_is_drawn_over_itself_when_there_is_a_terminal(tmp_path: Path) -> None:
    terminal = Terminal()
    screen = Screen(terminal)

    screen.refresh([shown(tmp_path)], now=101.0)
    screen.refresh([shown(tmp_path)], now=102.0)
    screen.say("worker-0: ended")

    assert terminal.getvalue().count("\x1b[2A\x1b[J") == 2
    assert terminal.getvalue().endswith("\x1b[2A\x1b[Jworker-0: ended\n")


def test_progress_is_sparse_when_there_is_no_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    starting = [shown(tmp_path, ProcessState.STARTING)]

    for second in range(100, 125):
        screen.refresh(starting, now=float(second))
    screen.refresh([shown(tmp_path)], now=200.0)

    assert stream.getvalue().splitlines() == [
        "worker-0: starting, 0:00 so far",
        "worker-0: starting, 0:10 so far",
        "worker-0: starting, 0:20 so far",
    ]
