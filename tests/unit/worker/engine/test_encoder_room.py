"""Media against the engine's steps."""

from __future__ import annotations

import pytest

from facet.worker.engine.encoder_room import check_encoder_room
from facet.worker.engine.port import EngineSettingsError

pytestmark = pytest.mark.unit

ITEMS = {"image": 280, "video": 1248, "audio": 750}


def test_settings_pass_when_the_largest_item_fits_twice() -> None:
    check_encoder_room(ITEMS, 2496)
    check_encoder_room({}, 256)


def test_the_numbers_are_named_when_the_largest_item_does_not_fit_twice() -> None:
    with pytest.raises(EngineSettingsError, match=r"2495.*video.*1248.*2496"):
        check_encoder_room(ITEMS, 2495)
