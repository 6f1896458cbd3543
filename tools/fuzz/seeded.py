"""Generations that are there before anything is played: the caller's own, and a stranger's.

Their names are always the same, so that a case finds them when it is played again.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

import grpc
from google.protobuf.message import DecodeError, Message

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.gateway.authenticator import ANONYMOUS
from facet.queue.generation_id import is_generation_id
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Needs, Priority, State, Submission

STRANGER = "stranger"
SECRET = "what only the stranger was told"

# No worker of the fuzzer has it: what needs it waits.
_UNKNOWN_ADAPTER = "none"
_LIFE_MS = 600_000
# Calls that follow one of the caller's own that waits are held for so long.
_SHORT_MS = 50


class ToldError(Exception):
    """A caller was told, or could change, what is another tenant's."""


def _names(whose: str, count: int) -> tuple[str, ...]:
    digests = [hashlib.sha256(f"{whose}/{number}".encode()).digest() for number in range(count)]
    return tuple(
        f"g-0-{base64.b32encode(digest[:16]).decode().rstrip('=').lower()}" for digest in digests
    )


OWN = _names("own", 48)
OWN_WAITING = _names("own waiting", 8)
THEIRS = _names("theirs", 8)
THEIRS_WAITING = _names("theirs waiting", 8)
_STRANGERS = frozenset((*THEIRS, *THEIRS_WAITING))


def names_for(method: str, *, is_operators: bool) -> tuple[str, ...]:
    """Generations that a method may be asked about; operators' methods know all tenants.

    Who follows what is deleted meanwhile is told so after seconds, for which a run has no time: the
    two are for different ones.
    """
    strangers = () if is_operators else (*THEIRS, *THEIRS_WAITING)
    match method:
        case "DeleteGeneration":
            return (*OWN[: len(OWN) // 2], *OWN_WAITING, *strangers)
        case "AttachGeneration":
            return (*OWN[len(OWN) // 2 :], *strangers)
        case _:
            return (*OWN, *OWN_WAITING, *strangers)


def answer_of(generation_id: str) -> str:
    """What a worker says."""
    return SECRET if generation_id in _STRANGERS else "hello"


async def seed(queue: MemoryQueue) -> None:
    """Submit them; those that wait need what no worker has."""
    for names, tenant, waits in (
        (OWN, ANONYMOUS, False),
        (OWN_WAITING, ANONYMOUS, True),
        (THEIRS, STRANGER, False),
        (THEIRS_WAITING, STRANGER, True),
    ):
        for name in names:
            assert is_generation_id(name)
            await queue.submit(
                Submission(
                    generation_id=name,
                    tenant=tenant,
                    envelope=Envelope().SerializeToString(),
                    priority=Priority.STANDARD,
                    deadline_ms=_SHORT_MS if names is OWN_WAITING else _LIFE_MS,
                    retention_ms=_LIFE_MS,
                    reader_grace_ms=None,
                    needs=Needs(adapter=_UNKNOWN_ADAPTER) if waits else Needs(),
                )
            )


async def check_untouched(queue: MemoryQueue) -> None:
    """Errors: ToldError, when one of the stranger's was ended or deleted by others."""
    for name in sorted(_STRANGERS):
        status = await queue.status(name, STRANGER)
        if status.failure or (name in THEIRS_WAITING and status.state is not State.WAITING):
            raise ToldError(f"{name} of another tenant was changed")


def check_content(told: Iterable[bytes]) -> None:
    """Errors: ToldError, when the stranger's content is told, to whomever."""
    if SECRET.encode() in b"".join(told):
        raise ToldError("the answer holds content of another tenant")


def check_told(
    request_type: type[Message], body: bytes, code: grpc.StatusCode, told: Iterable[bytes]
) -> None:
    """Errors: ToldError, when a tenant learns that the stranger's generations are there."""
    whole = b"".join(told)
    if any(name.encode() in whole for name in _STRANGERS):
        raise ToldError("the answer names a generation of another tenant")
    if "generation_id" not in request_type.DESCRIPTOR.fields_by_name:
        return
    try:
        name = request_type.FromString(body).generation_id  # type: ignore[attr-defined]
    except DecodeError:
        return
    if name in _STRANGERS and code is not grpc.StatusCode.NOT_FOUND:
        raise ToldError(f"{code.name} for a generation of another tenant, and not NOT_FOUND")
