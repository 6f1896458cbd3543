"""All names that a queue uses in the store; the scripts get theirs from here too."""

from __future__ import annotations

import hashlib
import re

LAYOUT = 1
"""Version of the layout: another one never touches these keys."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")

_SINGLE = {
    "lanes": "SET of the lanes that hold somebody",
    "leases": "ZSET id -> when its lease lapses, ms",
    "deadlines": "ZSET id -> when it expires, ms",
    "readers": "ZSET id -> when the presence of its readers lapses, ms",
    "dead": "ZSET id -> when it was dead-lettered, ms",
    "wake": "LIST of hints",
    "workers": "ZSET worker -> when its report lapses, ms",
    "reports": "HASH worker -> report",
    "alone": "HASH worker -> the suspect that it runs",
    "reserved": "STRING worker that empties itself for a suspect",
    "state": "HASH of the sweeper: swept, backlog, hold",
}
_FAMILIES = {
    "lane": "ZSET id -> score: waiting requests of one kind",
    "record": "HASH of one request",
    "envelope": "STRING, dropped at the end",
    "log": "STREAM of events; entry ids are first offset + 1",
    "ids": "STRING of token ids, 32 bits each, little endian",
    "idem": "HASH id, digest of one (tenant, request id)",
    "claim": "LIST of ids that a nonce leased",
    "poke": "STREAM that ends one reader's wait",
}


class Keys:
    """Names of one model's queue: all share one hash tag, hence one slot of a cluster."""

    def __init__(self, release: str, model: str, shard: int = 0) -> None:
        self.base = f"{{facet:{LAYOUT}:{_checked(release)}:{_checked(model)}:{shard}}}"

    def single(self, name: str) -> str:
        """The key `name`; KeyError when there is none."""
        if name not in _SINGLE:
            raise KeyError(name)
        return f"{self.base}:{name}"

    def of(self, family: str, member: str) -> str:
        """The key of one member of a family; KeyError when there is no such family."""
        if family not in _FAMILIES:
            raise KeyError(family)
        return f"{self.base}:{family}:{member}"


def media_base(release: str) -> str:
    """Prefix of media keys; no hash tag, so that a cluster spreads the bytes."""
    return f"facet:{LAYOUT}:{_checked(release)}:media"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be part of a key")
    return name


def idempotency_name(tenant: str, request_id: str) -> str:
    """Member of the family `idem` for one tenant's request id."""
    text = f"{len(tenant)}:{tenant}{request_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def lua_names() -> str:
    """Lua definitions `<name>_key` of all keys: strings, and functions of a member."""
    lines = ["local base = KEYS[1]"]
    lines += [f"local {name}_key = base .. ':{name}'" for name in _SINGLE]
    lines += [
        f"local function {name}_key(member) return base .. ':{name}:' .. member end"
        for name in _FAMILIES
    ]
    return "\n".join(lines) + "\n"
