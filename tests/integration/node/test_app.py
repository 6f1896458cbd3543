"""The node's command line, without anything to supervise."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def test_one_line_names_the_variable_when_a_setting_is_wrong() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "facet.node"],
        env={"FACET_NODE_PROFILE": "gemma"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.count("\n") == 1
    assert finished.stderr.startswith("FACET_NODE_PROFILE: ")
