"""A generation as the server keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum

from google.protobuf.timestamp_pb2 import Timestamp

from facet.api.v1 import inference_service_pb2
from facet.client import errors
from facet.client.generation import Generation, from_response


class GenerationState(Enum):
    """Where a generation stands. UNKNOWN: a later version of the server says something else."""

    UNKNOWN = "unknown"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class StoredGeneration:
    """State of a generation; times are in UTC, `created_at` None where the store did not tell it.

    `next_offset` ends its log. `result` is set when it succeeded and the call asked for it (`get`),
    `error` when it failed or was cancelled. After `expires_at` the server forgets it.
    """

    id: str
    state: GenerationState
    created_at: datetime | None
    ended_at: datetime | None
    expires_at: datetime | None
    next_offset: int
    request_id: str
    result: Generation | None
    error: errors.FacetApiError | None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.ended_at is not None


def decode_stored(message: inference_service_pb2.Generation) -> StoredGeneration:
    """The typed form of the message."""
    return StoredGeneration(
        id=message.generation_id,
        state=_state(message.state),
        created_at=_time(message.create_time) if message.HasField("create_time") else None,
        ended_at=_time(message.end_time) if message.HasField("end_time") else None,
        expires_at=_time(message.expire_time) if message.HasField("expire_time") else None,
        next_offset=message.next_offset,
        request_id=message.request_id,
        result=from_response(message.response) if message.HasField("response") else None,
        error=(
            errors.from_failure(message.failure, message.generation_id)
            if message.HasField("failure")
            else None
        ),
    )


def _state(state: int) -> GenerationState:
    if state not in inference_service_pb2.GenerationState.values():
        return GenerationState.UNKNOWN
    value = inference_service_pb2.GenerationState.ValueType(state)
    name = inference_service_pb2.GenerationState.Name(value).removeprefix("GENERATION_STATE_")
    return GenerationState.__members__.get(name, GenerationState.UNKNOWN)


def _time(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)
