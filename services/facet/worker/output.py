"""The answer of one request as it grows: ids in, log entries out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from google.protobuf import duration_pb2

from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from facet.core.errors import DeadLetteredError, FacetError
from facet.queue.values import Claimed
from facet.worker.engine.port import Decoded, Decoder, EngineFinish, Prompt, Step
from facet.worker.events import EventBuilder
from facet.worker.log_writer import Ending, Entry, RunLog
from facet.worker.usage import Tally

_NOTHING = Entry(b"", 0)


class Output:
    """Decodes what the engine makes and logs it.

    Call `begin` once, `announce`, `take` for every step until `is_complete`, then `finish`; `fail`
    at any time instead.
    """

    def __init__(self, claimed: Claimed, log: RunLog) -> None:
        self._claimed = claimed
        self._log = log
        self._tally = Tally(claimed)
        self._events = EventBuilder(claimed.next_offset, include_thoughts=False)
        self._events.token_count = len(claimed.token_ids)
        self._decoder: Decoder | None = None
        self._prompt: Prompt | None = None
        self._last = _NOTHING
        self._reason = generation_pb2.FINISH_REASON_UNSPECIFIED
        self._stop_sequence = ""
        self._is_restart = False

    @property
    def prompt(self) -> Prompt:
        """The rendered prompt, after `begin`."""
        if self._prompt is None:
            raise RuntimeError("begin comes first")
        return self._prompt

    @property
    def is_complete(self) -> bool:
        """Whether the answer has ended; `finish` is due."""
        return self._reason != generation_pb2.FINISH_REASON_UNSPECIFIED

    def begin(
        self,
        prompt: Prompt,
        decoder: Decoder,
        *,
        include_thoughts: bool,
        render_seconds: float,
        is_restart: bool,
    ) -> None:
        """Stand where the log stands: the logged ids go through the decoder, or are void."""
        self._prompt, self._decoder = prompt, decoder
        self._tally.rendered(prompt, render_seconds)
        self._events = EventBuilder(self._claimed.next_offset, include_thoughts=include_thoughts)
        self._is_restart = is_restart
        for token_id in () if is_restart else self._claimed.token_ids:
            decoded = decoder.push(token_id)
            self._events.replay(decoded)
            self._end_at(decoded.stop_sequence)

    def announce(self, worker: str) -> None:
        """Log that this worker works on the request."""
        if self._is_restart:
            restarted = event_pb2.Restarted(worker=worker, attempt=self._claimed.attempt)
            event = self._events.restarted(restarted)
        elif self._claimed.next_offset == 0:
            started = event_pb2.Started(
                worker=worker,
                queue_wait=_milliseconds(self._claimed.waited_ms),
                prompt_token_count=self.prompt.token_count,
            )
            event = self._events.started(started)
        else:
            resumed = event_pb2.Resumed(worker=worker, attempt=self._claimed.attempt)
            event = self._events.resumed(resumed)
        self._log.append(replace(_entry([event], Step(())), voids_ids=self._is_restart))

    def take(self, step: Step) -> None:
        """Decode a step and log it; the last one is kept for `finish`."""
        if self._decoder is None:
            raise RuntimeError("begin comes first")
        self._tally.stepped(step)
        decoded: list[Decoded] = []
        for token_id in step.token_ids:
            decoded.append(self._decoder.push(token_id))
            if self._end_at(decoded[-1].stop_sequence):
                break
        ids = step.token_ids[: len(decoded)]
        if step.finish is not None and not self.is_complete:
            decoded.append(self._decoder.finish())
            if not self._end_at(decoded[-1].stop_sequence):
                self._reason = _reason(step.finish)
        events = self._events.step(decoded, len(ids), step.logprobs)
        entry = _entry(events, step, ids)
        if self.is_complete:
            self._last = entry
        elif events:
            self._log.append(entry)

    async def finish(self) -> None:
        """Log the last step together with the terminal event."""
        reason = self._reason
        if self._events.has_calls and reason == generation_pb2.FINISH_REASON_STOP:
            reason = generation_pb2.FINISH_REASON_TOOL_CALLS
        finished = self._finished(reason)
        finished.stop_sequence = self._stop_sequence
        await self._end(finished)

    async def fail(self, error: FacetError) -> None:
        """Log a failure as the terminal event."""
        failure = error.to_failure()
        finished = self._finished(generation_pb2.FINISH_REASON_ERROR)
        finished.failure.CopyFrom(failure)
        is_dead_letter = isinstance(error, DeadLetteredError)
        await self._end(finished, failure.SerializeToString(), is_dead_letter=is_dead_letter)

    def _finished(self, reason: generation_pb2.FinishReason.ValueType) -> event_pb2.Finished:
        thoughts = self._decoder.thought_token_count if self._decoder else 0
        return event_pb2.Finished(
            finish_reason=reason,
            usage=self._tally.usage(self._events.token_count, thoughts),
            timings=self._tally.timings(),
        )

    async def _end(
        self, finished: event_pb2.Finished, failure: bytes = b"", *, is_dead_letter: bool = False
    ) -> None:
        prompt_tokens = finished.usage.prompt_token_count
        ending = Ending(failure, is_dead_letter, prompt_tokens, self._events.token_count)
        terminal = _entry([self._events.finished(finished)], Step(()))
        last = self._last
        await self._log.finish(
            Entry(
                response=last.response + terminal.response,
                event_count=last.event_count + terminal.event_count,
                token_ids=last.token_ids,
                drafted_tokens=last.drafted_tokens,
                accepted_tokens=last.accepted_tokens,
            ),
            ending,
        )

    def _end_at(self, stop_sequence: str | None) -> bool:
        if stop_sequence is None:
            return False
        self._stop_sequence = stop_sequence
        self._reason = generation_pb2.FINISH_REASON_STOP
        return True


def _entry(events: Sequence[event_pb2.Event], step: Step, ids: tuple[int, ...] = ()) -> Entry:
    response = inference_service_pb2.StreamGenerateContentResponse(events=events)
    return Entry(
        response.SerializeToString(),
        len(events),
        ids,
        drafted_tokens=step.drafted_tokens,
        accepted_tokens=step.accepted_tokens,
    )


def _reason(finish: EngineFinish) -> generation_pb2.FinishReason.ValueType:
    if finish is EngineFinish.LENGTH:
        return generation_pb2.FINISH_REASON_MAX_TOKENS
    return generation_pb2.FINISH_REASON_STOP


def _milliseconds(value: int) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(value)
    return duration
