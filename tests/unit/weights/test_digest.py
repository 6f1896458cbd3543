"""Digests as git, sha256sum and md5sum print them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from facet.weights.digest import Digest

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sha256", "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"),
        ("git-blob", "ce013625030ba8dba906f756967f9e9ca394464a"),
        ("md5", "b1946ac92492d2347c6235b4d2611184"),
        ("size", "6"),
    ],
)
def test_the_digest_is_the_tools_when_a_file_is_read(
    name: Literal["sha256", "git-blob", "md5", "size"], value: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")

    assert Digest(name, value).of(path) == value


def test_the_digest_is_whole_when_a_file_is_longer_than_one_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\0" * (9 << 20))
    one_less = tmp_path / "less"
    one_less.write_bytes(b"\0" * ((9 << 20) - 1))

    assert Digest("md5", "").of(path) == "b82b4ab87e44976024abc14a1670dac0"
    assert Digest("md5", "").of(path) != Digest("md5", "").of(one_less)
