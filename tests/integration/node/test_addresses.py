"""Where the gateway listens."""

import socket
from pathlib import Path

import pytest

from facet.node import addresses
from facet.node.addresses import GatewayAddress

pytestmark = pytest.mark.integration


def test_the_usual_port_is_taken_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferred = f"127.0.0.1:{addresses.free_port()}"
    monkeypatch.setattr(addresses, "_PREFERRED", preferred)

    assert GatewayAddress(None, tmp_path / "a").listen == preferred


def test_any_port_is_taken_when_the_usual_one_is_shared_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as other:
        # As gRPC binds it: a second gateway could bind the same port and steal half of its calls.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(addresses, "_PREFERRED", f"127.0.0.1:{other.getsockname()[1]}")

        assert GatewayAddress(None, tmp_path / "a").listen == "127.0.0.1:0"


def test_the_wish_is_kept_when_there_is_one(tmp_path: Path) -> None:
    assert GatewayAddress("127.0.0.1:0", tmp_path / "a").listen == "127.0.0.1:0"


def test_operators_have_the_usual_port_when_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferred = f"127.0.0.1:{addresses.free_port()}"
    monkeypatch.setattr(addresses, "_PREFERRED_ADMIN", preferred)

    assert GatewayAddress(None, tmp_path / "a").admin_listen == preferred
    assert GatewayAddress("0.0.0.0:1", tmp_path / "a").admin_listen == "127.0.0.1:0"


def test_the_operators_port_is_kept_when_the_gateway_told_it(tmp_path: Path) -> None:
    address = GatewayAddress("127.0.0.1:0", tmp_path / "a")
    (tmp_path / "a").write_text("127.0.0.1:4711\n127.0.0.1:4712\n")

    assert address.learn() == "127.0.0.1:4711"
    assert address.admin_listen == "127.0.0.1:4712"


def test_the_bound_port_is_kept_when_the_gateway_told_it(tmp_path: Path) -> None:
    address = GatewayAddress("127.0.0.1:0", tmp_path / "a")
    (tmp_path / "a").write_text("127.0.0.1:4711\n")

    assert address.learn() == "127.0.0.1:4711"
    assert address.listen == "127.0.0.1:4711"
