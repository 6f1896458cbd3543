"""Targets."""

import pytest

import facet
from facet.client.connection import addresses_of

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("target", "addresses"),
    [
        ("h:1", ["h:1"]),
        ("h1:1,h2:2", ["h1:1", "h2:2"]),
        (" h1:1, [::1]:2 ,", ["h1:1", "[::1]:2"]),
    ],
)
def test_addresses_are_told_apart_when_a_target_holds_several(
    target: str, addresses: list[str]
) -> None:
    assert addresses_of(target) == addresses


@pytest.mark.parametrize("target", ["", " , "])
def test_a_target_is_refused_when_it_holds_no_address(target: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        facet.Client(target)
