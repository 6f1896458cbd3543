"""Names of generations: the shard they are in, and 128 random bits."""

from __future__ import annotations

import base64
import re
import secrets

_FORM = re.compile(r"g-\d{1,6}-[a-z2-7]{26}")
_SHARD = re.compile(r"g-(\d{1,6})-")


def new_generation_id(shard: int) -> str:
    """A name that nobody can guess; short, because the store holds it many times."""
    digits = base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()
    return f"g-{shard}-{digits}"


def is_generation_id(text: str) -> bool:
    """Whether it could be one; others are not asked for in the store."""
    return _FORM.fullmatch(text) is not None


def shard_of(generation_id: str) -> int:
    """The shard that a generation is in; -1, which no shard is, when it names none."""
    match = _SHARD.match(generation_id)
    return int(match[1]) if match else -1
