"""Between the port's values and the arguments and replies of the scripts."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from facet.queue.port import Append, Claimed, Finish, Lease, LogEntry


def lease_arguments(leases: Sequence[Lease]) -> list[str | int]:
    """Id, epoch and nonce of each."""
    return [part for lease in leases for part in (lease.generation_id, lease.epoch, lease.nonce)]


def write_arguments(write: Append) -> tuple[str | bytes | int, ...]:
    """The twelve arguments that `write.lua` takes for one write."""
    kind, failure = "append", b""
    if isinstance(write, Finish):
        kind, failure = ("dead" if write.is_dead_letter else "finish"), write.failure
    lease, ids = write.lease, write.token_ids
    return (
        *(lease.generation_id, lease.epoch, lease.nonce),
        *(write.expected_offset, write.event_count, len(ids), struct.pack(f"<{len(ids)}I", *ids)),
        *(write.response, write.drafted_tokens, write.accepted_tokens, kind, failure),
    )


def claimed_request(reply: Sequence[Any], nonce: str) -> Claimed:
    """One request of the reply of `claim.lua`."""
    (generation_id, epoch, envelope, attempt, waited_ms, remaining_ms) = reply[:6]
    (next_offset, ids, drafted_tokens, accepted_tokens, alone) = reply[6:]
    return Claimed(
        lease=Lease(generation_id.decode(), epoch, nonce),
        envelope=envelope,
        attempt=attempt,
        waited_ms=waited_ms,
        remaining_ms=remaining_ms,
        next_offset=next_offset,
        token_ids=struct.unpack(f"<{len(ids) // 4}I", ids),
        drafted_tokens=drafted_tokens,
        accepted_tokens=accepted_tokens,
        is_alone=bool(alone),
    )


def cursor_after(first_offset: int) -> str:
    """Cursor of the entry whose first event has this offset."""
    return f"{first_offset + 1}-0"


def log_entry(cursor: bytes, fields: Mapping[bytes, bytes]) -> LogEntry:
    """One entry of a log stream."""
    first, _, _ = cursor.partition(b"-")
    return LogEntry(
        cursor=cursor.decode(),
        first_offset=int(first) - 1,
        event_count=int(fields[b"n"]),
        response=fields[b"e"],
        is_terminal=b"z" in fields,
        failure=fields.get(b"x", b""),
    )


def first_offset_after(cursor: str) -> int:
    """First offset of the earliest entry that may follow this cursor."""
    return int(cursor.partition("-")[0])
