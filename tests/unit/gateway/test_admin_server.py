"""Who may act as an operator, and where."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from facet.core.errors import PermissionDeniedError, UnauthenticatedError
from facet.gateway.admin_server import AdminAuthenticator, check_admin_listener
from facet.gateway.api_keys import KeyFileAuthenticator
from facet.gateway.authenticator import AnonymousAuthenticator

pytestmark = pytest.mark.unit


@pytest.fixture
def keys(tmp_path: Path) -> KeyFileAuthenticator:
    return _keys(tmp_path, "ops:{}:admin", "alice:{}")


def _keys(folder: Path, *lines: str) -> KeyFileAuthenticator:
    path = folder / "keys"
    named = [(line, line.partition(":")[0]) for line in lines]
    path.write_text(
        "".join(f"{line.format(hashlib.sha256(key.encode()).hexdigest())}\n" for line, key in named)
    )
    return KeyFileAuthenticator.from_file(path)


def _bearer(key: str) -> list[tuple[str, str | bytes]]:
    return [("authorization", f"Bearer {key}")]


async def test_an_operator_passes_when_the_key_is_one(keys: KeyFileAuthenticator) -> None:
    principal = await AdminAuthenticator(keys).authenticate(_bearer("ops"))

    assert principal.tenant == "ops"


async def test_permission_is_denied_when_the_key_is_a_tenants(keys: KeyFileAuthenticator) -> None:
    with pytest.raises(PermissionDeniedError):
        await AdminAuthenticator(keys).authenticate(_bearer("alice"))


async def test_the_caller_is_unknown_when_there_is_no_key(keys: KeyFileAuthenticator) -> None:
    with pytest.raises(UnauthenticatedError):
        await AdminAuthenticator(keys).authenticate([])


async def test_everybody_passes_when_callers_are_anonymous() -> None:
    principal = await AdminAuthenticator(AnonymousAuthenticator()).authenticate([])

    assert principal.is_admin


@pytest.mark.parametrize("listen", ["", "127.0.0.1:0", "[::1]:8471", "localhost:1"])
def test_a_listener_is_allowed_when_only_this_machine_can_call(listen: str) -> None:
    check_admin_listener(listen, AnonymousAuthenticator())


@pytest.mark.parametrize("listen", ["0.0.0.0:8471", "10.0.0.1:1", ":8471"])
def test_a_listener_is_refused_when_others_can_call_without_an_operators_key(
    listen: str, keys: KeyFileAuthenticator, tmp_path: Path
) -> None:
    check_admin_listener(listen, keys)
    for authenticator in (AnonymousAuthenticator(), _keys(tmp_path, "alice:{}")):
        with pytest.raises(ValueError, match="FACET_GATEWAY_API_KEYS_FILE"):
            check_admin_listener(listen, authenticator)
