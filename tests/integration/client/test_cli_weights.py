"""`facet weights pull` in a process of its own, against a local Hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from facet import nano
from facet.profiles.catalogue import W4A16
from facet.weights.cached import missing_from
from tests.support.fake_hub import fake_hub

pytestmark = pytest.mark.integration


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_the_folder_holds_target_and_drafter_when_a_profile_is_pulled(tmp_path: Path) -> None:
    models = {
        W4A16.target.source: files_of(nano.TARGET_DIR),
        W4A16.drafter.source: files_of(nano.DRAFTER_DIR),
    }
    command = [sys.executable, "-m", "facet.client", "weights", "pull"]
    with fake_hub(models) as hub:
        done = subprocess.run(
            [*command, "--profile", "w4a16", "--to", str(tmp_path)],
            env=os.environ | hub.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(tmp_path / "target"), str(tmp_path / "drafter")]
    for part, folder in (("target", nano.TARGET_DIR), ("drafter", nano.DRAFTER_DIR)):
        assert not missing_from(tmp_path / part)
        found = tmp_path / part / "model.safetensors"
        assert found.read_bytes() == (folder / "model.safetensors").read_bytes()
