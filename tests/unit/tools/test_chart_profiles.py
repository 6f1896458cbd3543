"""The chart's copy of the profiles says what the catalogue says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facet.profiles.catalogue import PROFILES
from tools import chart_profiles

pytestmark = pytest.mark.unit


def test_the_committed_file_is_what_the_catalogue_renders() -> None:
    assert chart_profiles.differences() == ""


def test_a_difference_is_named_when_the_file_was_edited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "profiles.yaml"
    edited.write_text(chart_profiles.render().replace("12800Mi", "12Gi"))
    monkeypatch.setattr(chart_profiles, "FILE", edited)

    assert "-      memory: 12Gi" in chart_profiles.differences()


def test_gpus_are_asked_for_and_tolerated_when_a_profile_has_one() -> None:
    written = yaml.safe_load(chart_profiles.render())

    assert list(written) == list(PROFILES)
    for name, values in written.items():
        gpus = PROFILES[name].resources.gpus
        assert values["resources"]["limits"].get("nvidia.com/gpu", "0") == str(gpus)
        assert bool(values["tolerations"]) == bool(gpus)
        assert all(bool(selector) == bool(gpus) for selector in values["nodeSelectors"])


@pytest.mark.parametrize(("mib", "text"), [(1024, "1Gi"), (12_800, "12800Mi")])
def test_a_quantity_is_whole_in_its_unit(mib: int, text: str) -> None:
    assert chart_profiles.quantity(mib) == text
