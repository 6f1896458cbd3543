"""All names that a queue uses in the store; the scripts get theirs from here too."""

from __future__ import annotations

import hashlib
import re

LAYOUT = 2
"""Version of the layout: another one never touches these keys."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}")

_SINGLE = {
    "origin": "STRING that names this history of the store",
    "lanes": "SET of the lanes that hold somebody",
    "load": "HASH of counters of what waits: n1 n2 n3, t1 t2 t3, b; n: t: b: of each tenant, form; "
    "dead_bytes",
    "accepted": "HASH of counters of all that was accepted: n1 n2 n3, t1 t2 t3",
    "arrivals": "STREAM of requests that came while nothing waited or ran; the latest one",
    "clock": "HASH: virtual time of each class; how often an aged class was passed over",
    "pace": "HASH: mean output, tokens that left lately",
    "leases": "ZSET id -> when its lease lapses, ms",
    "timers": "ZSET id -> when it expires or the presence of its readers lapses, ms",
    "expiring": "ZSET id -> when an ended request is forgotten, ms",
    "dead": "ZSET id -> when it was dead-lettered, ms, each another",
    "wake": "LIST of hints",
    "waits": "ZSET worker -> until when it waits for work, ms",
    "held": "HASH worker -> requests that it had at its last claim, while it waits for work",
    "prints": "ZSET fingerprint -> when a worker with it claimed last, ms",
    "workers": "ZSET worker -> when its report lapses, ms",
    "reports": "HASH worker -> report",
    "drains": "SET of workers that an operator asked to drain",
    "alone": "HASH worker -> the suspect that it runs",
    "reserved": "STRING worker, request: the worker empties itself for it",
    "teller": "STRING gateway that tells this queue in its metrics; in shard 0",
    "audit": "STREAM of operators' actions",
    "scaling": "HASH of the autoscaler: leader, until (ms), epoch; at (ms), decision, memory; in "
    "shard 0",
    "timings": "LIST of samples that the autoscaler's leader is to learn from; in shard 0",
    "state": "HASH of the sweeper: swept, backlog, hold",
    "usage": "STREAM of what ended generations took: i id, t tenant, o outcome, q ms until the "
    "first claim, r ms from then on, a attempts, p and n tokens of prompt and output, "
    "u UsageMetadata",
    # In shard 0 alone, the registry of all shards:
    "registry": "STRING that names this history in shard 0",
    "gateways": "ZSET count, gateway -> when its registration lapses, ms",
    "active": "HASH count of shards -> since when live gateways place by it, ms",
    "counts": "ZSET count of shards -> when a gateway placed by it last, ms",
    "shards": "SET of the shards that are served",
    "blobs": "ZSET bytes, key of a medium -> when its bytes lapse, ms; all models' of a release",
    "blob_bytes": "STRING: their sum",
}
_FAMILIES = {
    "lane": "ZSET tenant -> virtual time: who waits in one lane",
    "heads": "ZSET tenant -> place of its first: the same tenants",
    "fifo": "ZSET id -> place: what waits of one tenant in one lane",
    "served": "ZSET tenant -> virtual time in one class",
    "index": "ZSET id -> place: all that is kept of one tenant",
    "record": "STRING, a packed map: one request",
    "envelope": "STRING, dropped at the end",
    "log": "STREAM of its events; entry ids are first offset + 1",
    "ids": "STRING of its token ids, 32 bits each, little endian",
    "life": "LIST of what happened to it from the first claim on",
    "media": "STRING of the keys of its media, joined by spaces",
    "gone": "STRING: a request was deleted just now",
    "quota": "HASH of a tenant's buckets: requests, tokens (when full, ms), pace (ms a token)",
    "live": "ZSET id -> when it expires, ms: what waits or runs of a tenant with limits",
    "idem": "HASH id, digest of one (tenant, request id)",
    "claim": "LIST of ids that a nonce leased",
    "warm": "STRING worker that served an affinity last",
    "nudge": "LIST of hints for one worker",
    "inbox": "STREAM of what one follower follows",
    "own_blobs": "ZSET as blobs, of one tenant whose media are limited",
    "own_blob_bytes": "STRING: their sum",
    "naming": "STRING: a request id is being placed; in shard 0",
}
# A million requests wait under these: each byte counts.
_SHORT = {"record": "r", "envelope": "e"}


class Keys:
    """Names of one shard of a queue: all share one hash tag, hence one slot of a cluster."""

    def __init__(self, release: str, model: str, shard: int = 0) -> None:
        self.shard = shard
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
        return f"{self.base}:{_SHORT.get(family, family)}:{member}"


def media_base(release: str) -> str:
    """Prefix of media keys; no hash tag, so that a cluster spreads the bytes."""
    return f"facet:{LAYOUT}:{_checked(release)}:media"


def media_ledger_base(release: str) -> str:
    """What stands before `blobs` and `blob_bytes`: one slot of a cluster."""
    return f"{{{media_base(release)}}}"


def media_holders_name(name: str) -> str:
    """The ZSET generation id -> until when it holds the medium under this key, ms; in its slot."""
    return f"{name}:holders" if "{" in name else f"{{{name}}}:holders"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be part of a key")
    return name


def idempotency_name(tenant: str, request_id: str) -> str:
    """Member of the family `idem` for one tenant's request id."""
    text = f"{len(tenant)}:{tenant}{request_id}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def lua_names() -> list[str]:
    """Lua definitions of all keys: strings `<name>_key`, and functions of a member."""
    lines = ["local base = KEYS[1]"]
    lines += [f"local {name}_key = base .. ':{name}'" for name in _SINGLE]
    for name in _FAMILIES:
        stored = _SHORT.get(name, name)
        lines.append(f"local function {name}_key(member) return base .. ':{stored}:' .. member end")
    return lines
