"""The demo from end to end, with an engine that cannot know the answers."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.node.processes import is_alive, until

pytestmark = pytest.mark.integration

SIMULATED = {"FACET_NODE_ENGINE": "simulated"}


def test_the_demo_fails_when_the_answers_are_wrong() -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "tools.demo", "--seed", "3"],
        env=os.environ | SIMULATED,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert demo.returncode == 1, demo.stderr
    *shown, last = demo.stdout.splitlines()
    verdict = json.loads(last)
    assert verdict["ok"] is False
    assert (
        list(verdict["answers"])
        == list(verdict["expected"])
        == [
            "text",
            "image",
            "audio",
            "video",
        ]
    )
    assert all(verdict["answers"].values())
    assert verdict["accepted_draft_tokens"] > 0
    assert "nano, a test model" in shown[0]
    assert sum("first token after" in line for line in shown) == 4
    assert "node | redis: stopped" in demo.stderr


def test_the_demo_tells_when_its_node_does_not_start(tmp_path: Path) -> None:
    demo = subprocess.run(
        [sys.executable, "-m", "tools.demo"],
        env=os.environ | {"FACET_NODE_WORKERS": "0", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert demo.returncode == 1
    assert json.loads(demo.stdout.splitlines()[-1])["ok"] is False
    assert "FACET_NODE_WORKERS" in demo.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_when_the_demo_is_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tools.demo"),
        env=os.environ | SIMULATED | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await until(lambda: len(_processes(tmp_path)) == 4)
        pids = _processes(tmp_path)

        demo.send_signal(number)

        await asyncio.wait_for(demo.wait(), 60)
        await until(lambda: not [pid for pid in pids if is_alive(pid)])
        if number != signal.SIGKILL:
            assert os.listdir(tmp_path) == []
    finally:
        with contextlib.suppress(ProcessLookupError):
            demo.kill()
        await asyncio.wait_for(demo.wait(), 10)


def _processes(folder: Path) -> list[int]:
    """The node of a demo and its children, from the state file below its temporary folder."""
    for state_file in folder.glob("facet-demo-*/state/state.json"):
        state = json.loads(state_file.read_text())
        return [state["pid"], *(p["pid"] for p in state["processes"] if p["pid"])]
    return []
