"""What names a place of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from facet.weights.errors import LocationError
from facet.weights.location import BucketPrefix, Directory, HubModel, Location, Packaged, parse

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("package:nano/target", Packaged("nano/target")),
        ("/models/gemma", Directory(Path("/models/gemma"))),
        ("./gemma", Directory(Path("gemma"))),
        ("../gemma", Directory(Path("../gemma"))),
        ("~/gemma", Directory(Path.home() / "gemma")),
        ("google/gemma-4-12B-it", HubModel("google/gemma-4-12B-it")),
        ("org/name@v1.0", HubModel("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubModel("org/name", "refs/pr/3")),
        ("gs://bucket/a/b", BucketPrefix("bucket", "a/b")),
        ("gs://bucket/a/b/", BucketPrefix("bucket", "a/b")),
        ("gs://bucket", BucketPrefix("bucket", "")),
    ],
)
def test_the_place_is_known_when_it_is_named(text: str, location: Location) -> None:
    assert parse(text) == location


@pytest.mark.parametrize(
    "text",
    [
        *("", "gemma", "org/name/more", "org/name@", "gs://", "s3://bucket/a", "org name/x"),
        *("org/name@a/../../b", "gs://bucket/..", "gs://bucket/a/../../b", "gs://bucket/./a"),
    ],
)
def test_the_three_kinds_are_named_when_it_is_no_place(text: str) -> None:
    with pytest.raises(LocationError, match=r"a directory .* gs://bucket/prefix, or a Hugging"):
        parse(text)


@pytest.mark.parametrize("text", ["org/name", "org/name@v1", "gs://bucket/a/b"])
def test_the_words_are_those_that_named_it(text: str) -> None:
    assert str(parse(text)) == text
