"""The catalogue is what services, chart and lock files say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from facet.node.settings import NodeSettings
from facet.profiles.catalogue import NANO_CPU, PROFILES
from facet.profiles.footprint import Footprint
from facet.profiles.media_tokens import VIDEO_FRAMES
from facet.profiles.profile import GIB, Profile
from facet.worker.engine.media_video import MAX_FRAMES
from facet.worker.settings import WorkerSettings

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
NANO = ROOT / "services/facet/nano"


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_the_lock_is_there_when_a_profile_names_it(profile: Profile) -> None:
    assert (ROOT / "requirements" / f"{profile.lock}.txt").is_file()


def test_nano_is_the_default_when_no_profile_is_named() -> None:
    for settings in (NodeSettings, WorkerSettings):
        assert settings.model_fields["profile"].default == NANO_CPU.name


def test_the_chart_serves_what_nano_is_when_no_value_is_given() -> None:
    values = yaml.safe_load((ROOT / "deploy/helm/facet/values.yaml").read_text())

    assert [pool["profile"] for pool in values["pools"]] == [NANO_CPU.name]
    assert values["model"] == NANO_CPU.model


def test_a_video_item_has_the_frames_that_the_worker_allows() -> None:
    assert VIDEO_FRAMES == MAX_FRAMES


@pytest.mark.parametrize("part", ["target", "drafter"])
def test_weights_are_those_of_the_file_when_the_checkpoint_is_nano(part: str) -> None:
    footprint = Footprint.of(NANO_CPU)
    shape = footprint.shape if part == "target" else footprint.drafter

    on_disk = (NANO / part / "model.safetensors").stat().st_size

    assert shape.weight_bytes(NANO_CPU.target.weights) == pytest.approx(on_disk, rel=0.02)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("bf16", 22.2, 23.0), ("fp8", 12.0, 13.0), ("w4a16", 7.7, 8.35), ("w4a16-cpu", 7.6, 7.8)],
)
def test_weights_are_as_published_when_the_model_is_12b(
    name: str, least: float, most: float
) -> None:
    footprint = Footprint.of(PROFILES[name])

    assert least <= footprint.weight_bytes / GIB <= most
    assert footprint.drafter_bytes == pytest.approx(850e6, rel=0.01)


def accepted_of(depth: int, at_four: float = 2.0) -> float:
    """Share of drafted tokens that is accepted, told from a speed-up published at four of them.

    59.9 to 120 tokens a second, llama.cpp on a 4070 Super. A draft costs time as its bytes do.
    """
    w4a16 = Footprint.of(PROFILES["w4a16"])
    tokens = at_four * (1 + 4 * w4a16.drafter_bytes / w4a16.weight_bytes) - 1
    # Each token of a draft needs those before it; `each` is accepted alone so often.
    each = next(each / 1000 for each in range(1000) if _made(each / 1000, 4) >= tokens)
    return _made(each, depth) / depth


def _made(each: float, depth: int) -> float:
    return sum(each**position for position in range(1, depth + 1))


@pytest.mark.parametrize("name", ["bf16", "fp8", "w4a16", "w4a16-cpu"])
def test_the_floor_of_acceptance_lies_halfway_between_what_pays_and_what_is_known(
    name: str,
) -> None:
    profile = PROFILES[name]
    footprint = Footprint.of(profile)
    pays = footprint.drafter_bytes / footprint.weight_bytes
    known = accepted_of(profile.engine.speculative_tokens)

    assert profile.engine.acceptance_floor == pytest.approx((pays + known) / 2, abs=0.01)


def test_the_floor_of_acceptance_is_what_pays_when_the_model_is_nano() -> None:
    footprint = Footprint.of(NANO_CPU)
    pays = footprint.drafter_bytes / footprint.weight_bytes

    assert NANO_CPU.engine.acceptance_floor == pytest.approx(pays, abs=0.01)
