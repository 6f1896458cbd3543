"""The file of keys: what it may say, and how its changes come into force."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from facet.core.errors import UnauthenticatedError
from facet.core.tasks import cancel_all
from facet.gateway.api_keys import MAX_FILE_BYTES, KeyFileAuthenticator, parse_keys
from facet.gateway.authenticator import Principal
from tests.support.conditions import until

pytestmark = pytest.mark.unit

# What is promised for a key that was removed.
REVOKED_SECONDS = 2.0


def line(tenant: str, key: str, options: str = "") -> str:
    return f"{tenant}:{hashlib.sha256(key.encode()).hexdigest()}{options}\n"


async def tenant_of(keys: KeyFileAuthenticator, key: str) -> str:
    return (await keys.authenticate([("authorization", f"Bearer {key}")])).tenant


@asynccontextmanager
async def followed(path: Path) -> AsyncIterator[KeyFileAuthenticator]:
    keys = KeyFileAuthenticator.from_file(path)
    following = asyncio.create_task(keys.run())
    yield keys
    await cancel_all([following])


def refused(keys: KeyFileAuthenticator, key: str) -> Callable[[], object]:
    async def is_refused() -> bool:
        try:
            await tenant_of(keys, key)
        except UnauthenticatedError:
            return True
        return False

    return is_refused


async def test_old_and_new_key_pass_when_a_tenant_changes_over(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("acme", "old") + line("acme", "new"))
    keys = KeyFileAuthenticator.from_file(path)
    assert [await tenant_of(keys, key) for key in ("old", "new")] == ["acme", "acme"]


async def test_key_is_refused_when_it_has_expired(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(
        line("acme", "old", ":weight=2:expires=2020-01-01T00:00:00Z")
        + line("acme", "new", ":weight=2:expires=2999-01-01T00:00:00Z:admin")
    )
    keys = KeyFileAuthenticator.from_file(path)
    with pytest.raises(UnauthenticatedError, match="acme has expired"):
        await tenant_of(keys, "old")
    metadata = [("authorization", "Bearer new")]
    assert await keys.authenticate(metadata) == Principal("acme", 2.0, is_admin=True)


async def test_removed_key_is_refused_within_two_seconds_when_the_file_changes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys"
    path.write_text(line("acme", "old") + line("acme", "new"))
    async with followed(path) as keys:
        assert await tenant_of(keys, "old") == "acme"
        path.write_text(line("acme", "new"))
        await until(refused(keys, "old"), seconds=REVOKED_SECONDS)  # type: ignore[arg-type]
        assert await tenant_of(keys, "new") == "acme"


async def test_keys_change_when_a_secret_is_swapped_under_its_link(tmp_path: Path) -> None:
    for version, key in (("..1", "old"), ("..2", "new")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "keys").write_text(line("acme", key))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "keys").symlink_to("..data/keys")
    async with followed(tmp_path) as of_folder, followed(tmp_path / "keys") as of_file:
        assert [await tenant_of(keys, "old") for keys in (of_folder, of_file)] == ["acme"] * 2
        (tmp_path / "..next").symlink_to("..2")
        (tmp_path / "..next").replace(tmp_path / "..data")
        for keys in (of_folder, of_file):
            await until(refused(keys, "old"), seconds=REVOKED_SECONDS)  # type: ignore[arg-type]
            assert await tenant_of(keys, "new") == "acme"


async def test_old_keys_stay_and_the_line_is_named_when_the_new_file_is_bad(
    tmp_path: Path,
) -> None:
    path = tmp_path / "keys"
    path.write_text(line("acme", "old"))
    keys = KeyFileAuthenticator.from_file(path)
    secret = secrets.token_hex(20)
    with capture_logs() as logs:
        for bad in (line("acme", "new") + f"acme:{secret}\n", "", "# none\n"):
            path.write_text(bad)
            await keys._ring.check()
            assert await tenant_of(keys, "old") == "acme"
        path.unlink()
        await keys._ring.check()
        assert await tenant_of(keys, "old") == "acme"
    reasons = ["line 2", "holds no key", "No such file"]
    assert [entry["log_level"] for entry in logs] == ["error"] * len(reasons)
    assert all(why in entry["why"] for entry, why in zip(logs, reasons, strict=True))
    assert secret not in str(logs)
    path.write_text(line("acme", "new"))
    await keys._ring.check()
    assert await tenant_of(keys, "new") == "acme"


@pytest.mark.parametrize(
    "options",
    [
        ":weight=0",
        ":weight=x",
        ":expires=2030",
        ":expires=2030-13-01T00:00:00Z",
        ":expires=2030-01-01T00:00:00+01:00",
        ":admin:weight=2",
        ":root",
    ],
)
def test_file_is_refused_when_an_option_is_wrong(options: str) -> None:
    with pytest.raises(ValueError, match="keys line 1"):
        parse_keys(line("acme", "k", options).encode(), "keys")


def test_file_is_refused_when_it_is_larger_than_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(line("acme", "k") + "#" * MAX_FILE_BYTES)
    with pytest.raises(ValueError, match="larger than"):
        KeyFileAuthenticator.from_file(path)
