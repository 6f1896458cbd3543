"""What operators read about decisions."""

from __future__ import annotations

import pytest

from facet.autoscaler.decision import Cause
from tools.checks import ROOT

pytestmark = pytest.mark.unit


def test_every_cause_is_listed_when_operators_look_it_up() -> None:
    text = (ROOT / "docs" / "autoscaling.md").read_text()
    section = text.split("## Reading a decision")[1]

    assert [cause.value for cause in Cause if f"`{cause}`" not in section] == []
