"""One candidate of a generation as it grows: its ids go through its decoder until it ends."""

from __future__ import annotations

from collections.abc import Iterator

from facet.api.v1 import generation_pb2
from facet.queue.id_words import LoggedIds
from facet.worker.engine.port import Decoded, Decoder, EngineFinish, Step


class Candidate:
    """Where one candidate stands. `is_end_logged`: the log says that it has ended."""

    def __init__(self, index: int, decoder: Decoder) -> None:
        self.index = index
        self.logged: tuple[int, ...] = ()
        self.is_end_logged = False
        self.stop_sequence = ""
        self._decoder = decoder
        self._reason = generation_pb2.FINISH_REASON_UNSPECIFIED

    @property
    def is_complete(self) -> bool:
        """Whether it has ended."""
        return self._reason != generation_pb2.FINISH_REASON_UNSPECIFIED

    @property
    def thought_token_count(self) -> int:
        """See `Decoder.thought_token_count`."""
        return self._decoder.thought_token_count

    def finish_reason(self, *, has_calls: bool) -> generation_pb2.FinishReason.ValueType:
        """Why it ended; `has_calls` tells whether it called functions."""
        if has_calls and self._reason == generation_pb2.FINISH_REASON_STOP:
            return generation_pb2.FINISH_REASON_TOOL_CALLS
        return self._reason

    def replay(self, logged: LoggedIds) -> Iterator[Decoded]:
        """What each of the logged ids brought; it stands where the log stands after the last."""
        self.logged = tuple(logged.ids)
        yield from map(self._push, logged.ids)
        if logged.finish_reason:
            self.is_end_logged = True
            if not self.is_complete:
                self._end_at(self._decoder.finish().stop_sequence)
            self._reason = generation_pb2.FinishReason.ValueType(logged.finish_reason)

    def take(self, step: Step) -> tuple[list[Decoded], tuple[int, ...]]:
        """What a step brought, and its ids up to the candidate's end.

        What was withheld to the end follows as one more entry.
        """
        decoded: list[Decoded] = []
        for token_id in step.token_ids:
            decoded.append(self._push(token_id))
            if self.is_complete:
                break
        ids = step.token_ids[: len(decoded)]
        if step.finish is not None and not self.is_complete:
            decoded.append(self._decoder.finish())
            if not self._end_at(decoded[-1].stop_sequence):
                self._reason = _reason(step.finish)
        return decoded, ids

    def _push(self, token_id: int) -> Decoded:
        decoded = self._decoder.push(token_id)
        self._end_at(decoded.stop_sequence)
        return decoded

    def _end_at(self, stop_sequence: str | None) -> bool:
        if stop_sequence is None:
            return False
        self.stop_sequence = stop_sequence
        self._reason = generation_pb2.FINISH_REASON_STOP
        return True


def _reason(finish: EngineFinish) -> generation_pb2.FinishReason.ValueType:
    if finish is EngineFinish.LENGTH:
        return generation_pb2.FINISH_REASON_MAX_TOKENS
    return generation_pb2.FINISH_REASON_STOP
