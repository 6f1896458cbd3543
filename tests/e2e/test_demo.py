"""The demo ends with 0: every answer of the real model is the expected one."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.running_node import RunningNode
from tools import demo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SEEDS = range(4)
"""The default of `make demo`, and a few more."""


@pytest.mark.parametrize("seed", SEEDS)
def test_the_demo_ends_well_when_the_model_answers(
    seed: int,
    node: RunningNode,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the node of all tests: tests/integration/tools starts and stops the demo's own."""

    @asynccontextmanager
    async def running_already() -> AsyncIterator[str]:
        yield node.address()

    monkeypatch.setattr(demo, "running_node", running_already)
    monkeypatch.setattr(sys, "argv", ["demo", "--seed", str(seed)])

    with pytest.raises(SystemExit) as ended:
        demo.main()

    verdict = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert verdict["answers"] == verdict["expected"]
    assert list(verdict["answers"]) == list(demo.KINDS)
    assert verdict["ok"] is True
    assert verdict["accepted_draft_tokens"] > 0
    assert ended.value.code == 0
