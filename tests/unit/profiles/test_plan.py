"""Engine arguments of a plan."""

from __future__ import annotations

import pytest

from facet.profiles.catalogue import NANO_CPU
from facet.profiles.choice import with_overrides
from facet.profiles.machine import Machine, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import GIB

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("load_format", "extra"), [("auto", None), ("runai_streamer", {"memory_limit": 0})]
)
def test_the_buffer_in_memory_is_bounded_when_weights_are_streamed(
    load_format: str, extra: dict[str, int] | None
) -> None:
    """Unbounded, the streamer holds whole checkpoints in RAM."""
    profile = with_overrides(NANO_CPU, load_format=load_format)
    arguments = plan(profile, Machine(ram=exactly(6 * GIB))).engine_arguments()

    assert arguments["load_format"] == load_format
    assert arguments.get("model_loader_extra_config") == extra
