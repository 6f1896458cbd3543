"""What the chart says after an installation about who scales the workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import REQUIRED, merged
from tools.helm import CHART, run_helm

pytestmark = pytest.mark.integration

SCALED = {"name": "one", "profile": "nano-cpu", "min": 2, "max": 5}


def notes(folder: Path, mode: str, pool: dict[str, Any]) -> str:
    """NOTES.txt as an installation prints it; no cluster is asked."""
    values = folder / "values.yaml"
    given = {"autoscaler": {"mode": mode}, "pools": [pool]}
    values.write_text(yaml.safe_dump(merged(REQUIRED, given)))
    nowhere = ["--kubeconfig", str(folder / "none"), "--dry-run=client", "--namespace", "facet"]
    done = run_helm("install", "facet", str(CHART), *nowhere, "--values", str(values))
    assert done.returncode == 0, done.stderr
    return " ".join(done.stdout.partition("NOTES:")[2].split())


@pytest.mark.parametrize(
    ("replicas", "said"),
    [
        (3, "facet-worker-one: 3 Nothing scales them."),
        (None, "one: as many as you set, 1 at first"),
    ],
)
def test_nobody_scales_when_the_mode_is_none(
    tmp_path: Path, replicas: int | None, said: str
) -> None:
    pool = {"name": "one", "profile": "nano-cpu", "replicas": replicas}

    assert said in notes(tmp_path, "none", pool)


@pytest.mark.parametrize(
    ("mode", "writer", "held"),
    [
        ("hpa", "A HorizontalPodAutoscaler for each pool writes their number", False),
        ("keda", "KEDA writes their number", True),
        ("standalone", "Facet's autoscaler alone writes their number", True),
    ],
)
def test_the_writer_is_named_when_there_is_one(
    tmp_path: Path, mode: str, writer: str, held: bool
) -> None:
    said = notes(tmp_path, mode, SCALED)

    assert "facet-worker-one: min 2, max 5" in said
    assert writer in said
    assert "between min and max" in said
    assert ("facet admin autoscaler explain" in said) is held


def test_pools_that_answer_nonsense_are_named(tmp_path: Path) -> None:
    said = 'The engine of one is "simulated": answers are nonsense'

    assert said in notes(tmp_path, "standalone", {**SCALED, "engine": "simulated"})
    assert "nonsense" not in notes(tmp_path, "standalone", SCALED)
