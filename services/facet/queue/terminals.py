"""Terminal records that the store writes itself: cancelled, expired, abandoned, dead-lettered."""

from __future__ import annotations

from dataclasses import dataclass

from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from facet.core.errors import (
    CancelledError,
    DeadLetteredError,
    DeadlineExceededError,
    FacetError,
    LogFullError,
)
from facet.queue.limits import SUSPECT_DEATHS

_FinishReason = generation_pb2.FinishReason


@dataclass(frozen=True)
class Ending:
    """Serialized `facet.v1.Finished` and the `facet.v1.Failure` in it."""

    finished: bytes
    failure: bytes


@dataclass(frozen=True)
class Terminal:
    """One way to end, for a request that never ran and for one that did."""

    waiting: Ending
    running: Ending

    def blobs(self) -> tuple[bytes, bytes, bytes, bytes]:
        """In the order in which the scripts take them."""
        waiting, running = self.waiting, self.running
        return waiting.finished, waiting.failure, running.finished, running.failure


def _ending(
    error: type[FacetError],
    reason: generation_pb2.FinishReason.ValueType,
    message: str,
    *,
    has_run: bool,
) -> Ending:
    failure = error(message, metadata={"has_run": str(has_run).lower()}).to_failure()
    finished = event_pb2.Finished(finish_reason=reason, failure=failure)
    return Ending(finished.SerializeToString(), failure.SerializeToString())


def _terminal(
    error: type[FacetError],
    reason: generation_pb2.FinishReason.ValueType,
    message: str,
) -> Terminal:
    return Terminal(
        waiting=_ending(error, reason, f"{message}; it never ran", has_run=False),
        running=_ending(error, reason, message, has_run=True),
    )


CANCELLED = _terminal(
    CancelledError, _FinishReason.FINISH_REASON_CANCELLED, "the generation was cancelled"
)
ABANDONED = _terminal(
    CancelledError,
    _FinishReason.FINISH_REASON_CANCELLED,
    "the last reader of the generation went away",
)
EXPIRED = _terminal(
    DeadlineExceededError,
    _FinishReason.FINISH_REASON_DEADLINE,
    "the deadline of the generation passed",
)
DEAD_LETTERED = _terminal(
    DeadLetteredError,
    _FinishReason.FINISH_REASON_ERROR,
    f"given up: {SUSPECT_DEATHS} workers in a row died with the generation, "
    "then one that ran nothing else",
)

LOG_FULL = _terminal(
    LogFullError,
    _FinishReason.FINISH_REASON_ERROR,
    "the answer outgrew what one log may hold: ask for fewer tokens or log probabilities",
)


def terminal_response(offset: int, token_count: int, ending: Ending) -> bytes:
    """The response that ends a log which stands at `offset` and accounts for `token_count` ids."""
    event = event_pb2.Event(
        offset=offset,
        token_start=token_count,
        token_end=token_count,
        finished=event_pb2.Finished.FromString(ending.finished),
    )
    return inference_service_pb2.StreamGenerateContentResponse(events=[event]).SerializeToString()
