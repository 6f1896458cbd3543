"""Keys, tenants, and where anonymous callers are allowed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from facet.core.errors import UnauthenticatedError
from facet.gateway.api_keys import KeyFileAuthenticator
from facet.gateway.authentication import choose_authenticator
from facet.gateway.authenticator import ANONYMOUS, AnonymousAuthenticator, is_loopback

pytestmark = pytest.mark.unit


def _line(tenant: str, key: str) -> str:
    return f"{tenant}:{hashlib.sha256(key.encode()).hexdigest()}\n"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("# keys\n\n" + _line("alice", "ka") + _line("bob", "kb") + _line("bob", "kb2"))
    return path


@pytest.mark.parametrize(
    ("header", "tenant"),
    [("Bearer ka", "alice"), ("bearer kb", "bob"), ("BEARER  kb2 ", "bob")],
)
async def test_tenant_is_found_when_the_key_is_known(
    key_file: Path, header: str, tenant: str
) -> None:
    authenticator = KeyFileAuthenticator.from_file(key_file)
    metadata = [("x-tenant", "mallory"), ("authorization", header)]
    assert (await authenticator.authenticate(metadata)).tenant == tenant


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer no")],
        [("authorization", "ka")],
        [("authorization", "Basic ka")],
        [("authorization", b"Bearer ka")],
        [("tenant", "alice")],
    ],
)
async def test_call_is_refused_when_no_known_key_comes_along(
    key_file: Path, metadata: list[tuple[str, str | bytes]]
) -> None:
    with pytest.raises(UnauthenticatedError):
        await KeyFileAuthenticator.from_file(key_file).authenticate(metadata)


@pytest.mark.parametrize(
    "text", ["", "# nobody\n", "alice\n", "alice:abc\n", ":" + "0" * 64, _line("a b", "k")]
)
def test_file_is_refused_when_it_is_malformed_or_empty(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(ValueError, match="keys"):
        KeyFileAuthenticator.from_file(path)


def test_line_is_named_when_it_is_malformed(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(_line("alice", "k") + "oops\n")
    with pytest.raises(ValueError, match=r"line 2"):
        KeyFileAuthenticator.from_file(path)


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "127.8.8.8:1", "localhost:50051", "[::1]:50051"])
async def test_anonymous_is_allowed_when_only_this_machine_can_call(listen: str) -> None:
    authenticator = choose_authenticator(listen, None)
    assert isinstance(authenticator, AnonymousAuthenticator)
    assert (await authenticator.authenticate([("tenant", "alice")])).tenant == ANONYMOUS


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:50051", "[::]:1", "10.0.0.1:1", "example.org:1", ":50051"]
)
def test_start_is_refused_when_others_could_call_anonymously(listen: str, key_file: Path) -> None:
    assert not is_loopback(listen)
    with pytest.raises(ValueError, match="FACET_GATEWAY_API_KEYS_FILE"):
        choose_authenticator(listen, None)
    assert isinstance(choose_authenticator(listen, key_file), KeyFileAuthenticator)
