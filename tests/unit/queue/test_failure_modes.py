"""docs/failure-modes.md says of each call to the store what a lost answer leaves."""

from __future__ import annotations

import inspect
import re

import pytest

from facet.queue.port import Consumer, Observer, Operator, Producer, Reader
from facet.queue.scaling import ScalingMemory
from tools.checks import ROOT

pytestmark = pytest.mark.unit

_PORTS: tuple[type, ...] = (Producer, Reader, Consumer, Observer, Operator, ScalingMemory)
_CALLS = sorted(
    {
        name
        for port in _PORTS
        for name, call in vars(port).items()
        if inspect.iscoroutinefunction(call)
    }
)


def _first_cells() -> str:
    text = (ROOT / "docs" / "failure-modes.md").read_text()
    section = text.split("## Calls to the queue")[1].split("\n## ")[0]
    return "\n".join(re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE))


@pytest.mark.parametrize("call", _CALLS)
def test_a_call_has_a_row_when_a_port_declares_it(call: str) -> None:
    assert f"`{call}`" in _first_cells()
