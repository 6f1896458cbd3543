"""Which release is held against the head."""

from __future__ import annotations

import pytest

from tests.rollout.previous import last_release

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("tags", "last"),
    [
        ([], None),
        (["nightly", "v1.2", "v1.2.3-rc.1", "release-1.0.0"], None),
        (["v0.9.0", "v0.10.0", "v0.2.11"], "v0.10.0"),
        (["v2.0.0", "v10.0.0", "v10.0.0-rc.1", "v9.9.9"], "v10.0.0"),
    ],
)
def test_highest_version_is_the_last_release_when_there_are_tags(
    tags: list[str], last: str | None
) -> None:
    assert last_release(tags) == last
