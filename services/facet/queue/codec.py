"""Between the port's values and the arguments and replies of the scripts."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from facet.queue.id_words import count_ids
from facet.queue.values import (
    Append,
    Claimed,
    Finish,
    InboxEntry,
    Lease,
    LogEntry,
    Needs,
    Offers,
    Priority,
    State,
)
from facet.queue.views import (
    AuditEntry,
    ClassDepth,
    DeadLetter,
    Depth,
    Inspection,
    LeasedWork,
    ScalingRecord,
    Status,
    Step,
    UsageRecord,
)

# Other fields may follow the response in entries of a later release.
_TERMINAL = b"z"
_STATES = {b"W": State.WAITING, b"L": State.LEASED, b"E": State.ENDED}


def lease_arguments(leases: Sequence[Lease]) -> list[str | int]:
    """Id, epoch and nonce of each."""
    return [part for lease in leases for part in (lease.generation_id, lease.epoch, lease.nonce)]


def write_arguments(write: Append) -> tuple[str | bytes | int, ...]:
    """The sixteen arguments that `write.lua` takes for one write."""
    kind, failure, took, usage = "append", b"", (0, 0), b""
    if isinstance(write, Finish):
        kind, failure = ("dead" if write.is_dead_letter else "finish"), write.failure
        took, usage = (write.prompt_tokens, write.output_tokens), write.usage
    lease, words = write.lease, write.token_ids
    packed = struct.pack(f"<{len(words)}I", *words)
    return (
        *(lease.generation_id, lease.epoch, lease.nonce),
        *(write.expected_offset, write.event_count, count_ids(words), packed),
        *(write.response, write.drafted_tokens, write.accepted_tokens, kind, failure),
        *took,
        int(write.voids_ids),
        usage,
    )


def weight_text(weight: float) -> str:
    """A tenant's weight as the scripts take it: "1" is stored nowhere."""
    return f"{weight:g}"


def needs_text(needs: Needs) -> str:
    """The middle of a lane's name, see `lane_of` in the scripts' prelude."""
    return f"{needs.envelope_version}|{needs.context_tokens}|{needs.media}|{needs.adapter}"


def needs_of(text: str) -> Needs:
    """The inverse of `needs_text`."""
    version, context_tokens, media, adapter = text.split("|")
    return Needs(int(version), int(context_tokens), media, adapter)


def offers_arguments(offers: Offers) -> tuple[str | int, ...]:
    """The four arguments that `claim.lua` takes."""
    versions = " ".join(str(version) for version in offers.envelope_versions)
    return versions, offers.context_tokens, offers.media, " ".join(offers.adapters)


def claimed_request(reply: Sequence[Any], nonce: str) -> Claimed:
    """One request of the reply of `claim.lua`."""
    (generation_id, epoch, envelope, attempt, waited_ms, remaining_ms) = reply[:6]
    (next_offset, ids, drafted_tokens, accepted_tokens, alone) = reply[6:11]
    (charged_tokens, fp, sequences) = reply[11:]
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
        charged_tokens=charged_tokens,
        fingerprint=fp.decode(),
        sequences=sequences,
    )


def log_entry(entry_id: bytes, fields: Sequence[bytes]) -> LogEntry:
    """One entry of a log: n COUNT e RESPONSE [z 1 x FAILURE]; its id is the first offset + 1."""
    _, count, _, response, *end = fields
    is_terminal = bool(end) and end[0] == _TERMINAL
    return LogEntry(
        first_offset=int(entry_id.partition(b"-")[0]) - 1,
        event_count=int(count),
        response=response,
        is_terminal=is_terminal,
        failure=end[3] if is_terminal else b"",
    )


def inbox_entry(fields: Sequence[bytes]) -> InboxEntry:
    """One entry of an inbox: i ID o OFFSET, then as in a log."""
    _, generation_id, _, first_offset, _, count, _, response, *end = fields
    is_terminal = bool(end) and end[0] == _TERMINAL
    return InboxEntry(
        generation_id=generation_id.decode(),
        first_offset=int(first_offset),
        event_count=int(count),
        response=response,
        is_terminal=is_terminal,
        failure=end[3] if is_terminal else b"",
    )


def status_of(generation_id: str, reply: Sequence[Any]) -> Status:
    """What `describe_status` of the scripts' prelude gives."""
    (state, tenant, next_offset, attempts, deaths, worker, place, failure) = reply[:8]
    (requests_ahead, tokens_ahead, wait_ms, remaining_ms, ended_ms) = reply[8:13]
    expires_ms, origin, is_fleeting = reply[13:]
    return Status(
        generation_id=generation_id,
        tenant=tenant.decode(),
        state=_STATES[state],
        next_offset=next_offset,
        attempts=attempts,
        deaths=deaths,
        worker=worker.decode(),
        place=place,
        created_ms=place // 1000,
        failure=failure,
        requests_ahead=requests_ahead,
        tokens_ahead=tokens_ahead,
        wait_ms=wait_ms if wait_ms >= 0 else None,
        remaining_ms=remaining_ms,
        ended_ms=ended_ms,
        expires_ms=expires_ms,
        origin=origin.decode(),
        is_fleeting=bool(is_fleeting),
    )


def inspection_of(generation_id: str, reply: Sequence[Any]) -> Inspection:
    """The reply of `inspect.lua`."""
    (status, priority, needs, epoch, fingerprint, prompt_tokens, charged_tokens) = reply[:7]
    (holds, skips, read_offset, life) = reply[7:]
    return Inspection(
        status=status_of(generation_id, status),
        priority=Priority(int(priority)),
        needs=needs_of(needs.decode()),
        epoch=epoch,
        fingerprint=fingerprint.decode(),
        prompt_tokens=prompt_tokens,
        charged_tokens=charged_tokens,
        holds=holds,
        skips=skips,
        read_offset=read_offset,
        life=tuple(_step(line.decode()) for line in life),
    )


def _step(line: str) -> Step:
    at_ms, what, detail = line.split(" ", 2)
    return Step(int(at_ms), what, detail)


def dead_letter(fields: Sequence[Any]) -> DeadLetter:
    """One of the reply of `dead_letters.lua`."""
    generation_id, tenant, dead_ms, failure, size_bytes, place = fields
    return DeadLetter(generation_id.decode(), tenant.decode(), dead_ms, failure, size_bytes, place)


def depth_of(reply: Sequence[int]) -> Depth:
    """The reply of `depth.lua`."""
    waiting_bytes, leased, dead_letters, milli_rate, mean_output_tokens = reply[15:]
    return Depth(
        classes={
            priority: ClassDepth(*reply[5 * index : 5 * index + 5])
            for index, priority in enumerate(Priority)
        },
        waiting_bytes=waiting_bytes,
        leased=leased,
        dead_letters=dead_letters,
        drain_tokens_per_second=milli_rate / 1000,
        mean_output_tokens=mean_output_tokens,
    )


def leased_work(reply: Sequence[Any]) -> LeasedWork:
    """The reply of `leased_work.lua`, scaled from those read to all."""
    requests, read, remaining, *tenants = reply
    share = requests / read if read else 0.0
    counts = Counter(tenant.decode() for tenant in tenants)
    return LeasedWork(
        requests, remaining * share, {name: count * share for name, count in counts.items()}
    )


def scaling_record(reply: Sequence[Any]) -> ScalingRecord:
    """The reply of `recall_scaling.lua`."""
    now_ms, at_ms, decision, memory, epoch = reply
    return ScalingRecord(now_ms, at_ms, decision, memory, epoch)


def audit_entry(entry_id: bytes, fields: Mapping[bytes, bytes]) -> AuditEntry:
    """One entry of the audit log."""
    return AuditEntry(
        at_ms=int(entry_id.partition(b"-")[0]),
        who=fields[b"who"].decode(),
        action=fields[b"action"].decode(),
        subject=fields[b"subject"].decode(),
    )


def usage_record(entry_id: bytes, fields: Mapping[bytes, bytes]) -> UsageRecord:
    """One entry of the stream of usage records; its id begins with the time of the end."""
    return UsageRecord(
        generation_id=fields[b"i"].decode(),
        tenant=fields[b"t"].decode(),
        outcome=fields[b"o"].decode(),
        ended_ms=int(entry_id.partition(b"-")[0]),
        queue_ms=int(fields[b"q"]),
        run_ms=int(fields[b"r"]),
        attempts=int(fields[b"a"]),
        prompt_tokens=int(fields[b"p"]),
        output_tokens=int(fields[b"n"]),
        usage=fields[b"u"],
    )
