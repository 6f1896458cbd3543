"""Addresses of a store's URL, and which of them a call goes to."""

from __future__ import annotations

import pytest
from redis.asyncio.connection import SSLConnection

from facet.queue.topology import Address, Topology, parse_store_url

pytestmark = pytest.mark.unit

A, B, C = Address("a", 1), Address("b", 2), Address("c", 3)


@pytest.mark.parametrize(
    ("url", "seeds"),
    [
        ("redis://a:1", [A]),
        ("redis://a:1,b:2/0", [A, B]),
        ("redis://a", [Address("a", 6379)]),
        ("redis://", [Address("localhost", 6379)]),
        ("redis://user:p%2Cw@a:1,b:2", [A, B]),
        ("redis://:p,w@a:1,b:2", [A, B]),
        ("redis://[::1]:1,[::2]:2", [Address("::1", 1), Address("::2", 2)]),
        ("redis://a:1,a:1", [A]),
        ("unix:///run/redis.sock?db=2", [Address("/run/redis.sock", 0)]),
    ],
)
def test_seeds_are_those_of_the_url_when_parsed(url: str, seeds: list[Address]) -> None:
    assert list(parse_store_url(url).seeds) == seeds


def test_options_hold_for_every_address_when_parsed() -> None:
    options = parse_store_url("rediss://u:p%40w@a:1,b:2/3?ssl_ca_certs=ca.pem").options
    assert options == {
        "connection_class": SSLConnection,
        "username": "u",
        "password": "p@w",
        "db": 3,
        "ssl_ca_certs": "ca.pem",
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@a:1",
        "redis://:secret@a:port",
        "redis://:secret@a:1,b:99999",
        "redis://:secret@a:1,:2",
        "redis://:secret@a:1,",
        "redis://:secret@a:1?protocol=3",
    ],
)
def test_no_secret_is_told_when_the_url_is_wrong(url: str) -> None:
    with pytest.raises(ValueError, match=r"URL|port|address") as caught:
        parse_store_url(url)
    assert "secret" not in str(caught.value)


def test_next_seed_is_taken_when_one_failed() -> None:
    topology = Topology([A, B])
    assert topology.address_of(7) == A
    topology.failed(A)
    assert topology.address_of(7) == B
    topology.failed(B)
    assert topology.address_of(7) == A


def test_nothing_changes_when_a_left_address_fails_late() -> None:
    topology = Topology([A, B])
    topology.failed(A)
    topology.failed(A)
    assert topology.address_of(7) == B


def test_only_seed_is_kept_when_it_fails() -> None:
    topology = Topology([A])
    topology.failed(A)
    assert topology.address_of(7) == A


def test_owner_is_asked_when_a_redirection_told_it() -> None:
    topology = Topology([A])
    topology.moved(7, B)
    assert topology.address_of(7) == B
    topology.moved(7, C)
    assert topology.address_of(7) == C


@pytest.mark.parametrize(
    ("slot", "owner"), [(0, A), (149, A), (151, B), (5_000, B), (9_999, C), (16_383, C)]
)
def test_owner_of_the_nearest_slot_is_asked_when_a_slot_is_unknown(
    slot: int, owner: Address
) -> None:
    topology = Topology([A])
    for known, address in ((10_000, C), (100, A), (200, B)):
        topology.moved(known, address)
    assert topology.address_of(slot) == owner


def test_seeds_are_asked_when_the_owner_failed() -> None:
    topology = Topology([A])
    topology.moved(7, B)
    topology.moved(9, B)
    topology.failed(B)
    assert topology.address_of(7) == A
    assert topology.address_of(9) == A


def test_other_owners_stay_when_one_failed() -> None:
    topology = Topology([A])
    topology.moved(7, B)
    topology.moved(9, C)
    topology.failed(B)
    assert topology.address_of(7) == topology.address_of(9) == C
