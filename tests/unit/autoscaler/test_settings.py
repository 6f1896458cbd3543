"""Settings that depend on each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from facet.autoscaler.current_decision import VALID_SECONDS
from facet.autoscaler.deciding_loop import LEASE_INTERVALS
from facet.autoscaler.settings import AutoscalerSettings
from tools.checks import ROOT

pytestmark = pytest.mark.unit


def test_a_decision_counts_until_the_next_leader_decides_whatever_the_interval() -> None:
    """A leader that ends holds the lead for some intervals; the next one looks once in each."""
    longest = VALID_SECONDS / (LEASE_INTERVALS + 1)
    settings = AutoscalerSettings(pools_file=Path("pools.json"), decision_seconds=longest)
    assert settings.decision_seconds == longest
    with pytest.raises(ValidationError, match="decision_seconds"):
        AutoscalerSettings(pools_file=Path("pools.json"), decision_seconds=longest + 0.1)

    schema = json.loads((ROOT / "deploy/helm/facet/values.schema.json").read_text())
    policy = schema["properties"]["autoscaler"]["properties"]["policy"]["properties"]
    assert policy["decisionSeconds"]["maximum"] == longest
