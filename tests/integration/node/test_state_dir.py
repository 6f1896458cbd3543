"""The lock on the node's folder, between processes."""

import subprocess
import sys
from pathlib import Path

import pytest

from facet.node.state_dir import StateDir

pytestmark = pytest.mark.integration


def test_the_folder_is_free_when_its_holder_was_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from facet.node.state_dir import StateDir\n"
        "with StateDir(Path(sys.argv[1])).locked(): os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", program, tmp_path], timeout=60, check=False)
    assert killed.returncode == -9

    with StateDir(tmp_path).locked():
        pass
