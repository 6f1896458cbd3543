"""Names of generations."""

from __future__ import annotations

import pytest

from facet.queue.generation_id import is_generation_id, new_generation_id, shard_of

pytestmark = pytest.mark.unit


def test_ids_differ_and_are_told_from_others_when_made() -> None:
    made = {new_generation_id(shard) for shard in (0, 1, 999_999) for _ in range(100)}
    assert len(made) == 300
    assert all(map(is_generation_id, made))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "g-0-" + "a" * 25,
        "g-0-" + "a" * 27,
        "g-0-" + "A" * 26,
        "g-0-" + "1" * 26,
        "g--" + "a" * 26,
        "g-0-" + "a" * 26 + "\n",
    ],
)
def test_text_is_no_id_when_its_form_is_another(text: str) -> None:
    assert not is_generation_id(text)


@pytest.mark.parametrize(
    ("text", "shard"),
    [(new_generation_id(0), 0), (new_generation_id(63), 63), ("g-x", -1), ("", -1), ("h-1-a", -1)],
)
def test_shard_is_read_from_the_id_when_it_names_one(text: str, shard: int) -> None:
    assert shard_of(text) == shard
