"""Checks by commands of the environment."""

from __future__ import annotations

import pytest

from tools.checks import command_check

pytestmark = pytest.mark.integration


def test_a_command_is_wrong_when_it_exits_with_another_status_than_zero() -> None:
    assert command_check("fails", "python", "-c", "raise SystemExit('no')").run() == "no"
    assert command_check("silent", "python", "-c", "raise SystemExit(3)").run() == "exit status 3"
    assert command_check("passes", "python", "-c", "print('fine')").run() == ""
