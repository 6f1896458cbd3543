"""What one request brings as it grows: ids of its candidates in, log entries out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from google.protobuf import duration_pb2

from facet.api.v1 import event_pb2, generation_pb2, inference_service_pb2
from facet.core.errors import DeadLetteredError, FacetError
from facet.queue.id_words import LoggedIds, count_ids, end_word, id_words, logged_ids
from facet.queue.values import Claimed
from facet.worker.candidate import Candidate
from facet.worker.engine.port import Decoder, Prompt, Step
from facet.worker.events import EventBuilder
from facet.worker.log_writer import Ending, Entry, RunLog
from facet.worker.usage import Tally

_NOTHING = Entry(b"", 0)
_REPLAYED_AT_ONCE = 64
"""Ids, a few milliseconds: with thousands at once no other stream of the worker would go on."""


class Output:
    """Decodes what the engine makes of each candidate and logs it.

    Call `begin` once, `announce`, `take` for every step until `is_complete`, then `finish`; `fail`
    at any time instead. `finished` is what the terminal event says, once it is made; `usage` what
    it tells, None unless it was written.
    """

    def __init__(self, claimed: Claimed, log: RunLog) -> None:
        self._claimed = claimed
        self._log = log
        self.tally = Tally(claimed)
        self.usage: generation_pb2.UsageMetadata | None = None
        self._events = EventBuilder(claimed.next_offset, include_thoughts=False)
        self._events.places[0].token_count = count_ids(claimed.token_ids)
        self.finished: event_pb2.Finished | None = None
        self._candidates: list[Candidate] = []
        self._prompt: Prompt | None = None
        self._last = _NOTHING
        self._is_restart = False
        self._is_announced = False

    @property
    def prompt(self) -> Prompt:
        """The rendered prompt, after `begin`."""
        if self._prompt is None:
            raise RuntimeError("begin comes first")
        return self._prompt

    @property
    def has_prompt(self) -> bool:
        """Whether `begin` was called."""
        return self._prompt is not None

    @property
    def is_complete(self) -> bool:
        """Whether all candidates have ended; `finish` is due."""
        return bool(self._candidates) and not self.unfinished()

    def unfinished(self) -> list[Candidate]:
        """The candidates that have not ended."""
        return [candidate for candidate in self._candidates if not candidate.is_complete]

    async def begin(
        self,
        prompt: Prompt,
        decoders: Sequence[Decoder],
        *,
        include_thoughts: bool,
        render_seconds: float,
        is_restart: bool,
    ) -> None:
        """Stand where the log stands, with a decoder for each candidate.

        The logged ids go through the decoders, or are void.
        """
        self._prompt, self._is_restart = prompt, is_restart
        self.tally.rendered(prompt, render_seconds)
        count = len(decoders)
        self._events = EventBuilder(
            self._claimed.next_offset, include_thoughts=include_thoughts, candidates=count
        )
        logged = logged_ids(() if is_restart else self._claimed.token_ids, count)
        self._candidates = [Candidate(*each) for each in enumerate(decoders)]
        for candidate, ids in zip(self._candidates, logged, strict=True):
            await self._replay(candidate, ids)

    def announce(self, worker: str) -> None:
        """Log that this worker works on the request; once, a repeat does nothing."""
        if self._is_announced:
            return
        self._is_announced = True
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

    def take(self, candidate: Candidate, step: Step) -> None:
        """Decode a candidate's step and log it; the last one of all is kept for `finish`."""
        index = candidate.index
        self.tally.stepped(step, index)
        decoded, ids = candidate.take(step)
        events = self._events.step(decoded, len(ids), step.logprobs, candidate=index)
        entry = _entry(events, step, id_words(index, ids))
        if self.is_complete:
            self._last = entry
            return
        if candidate.is_complete:
            entry = _joined(entry, self._end_of(candidate))
        if entry.event_count:
            self._log.append(entry)

    async def finish(self) -> None:
        """Log the last step together with the terminal event."""
        if len(self._candidates) > 1:
            for candidate in self._candidates:
                if not candidate.is_end_logged:
                    self._last = _joined(self._last, self._end_of(candidate))
        first = self._candidates[0]
        finished = self._finished(self._reason(first))
        finished.stop_sequence = first.stop_sequence
        await self._end(finished)

    async def fail(self, error: FacetError) -> None:
        """Log a failure as the terminal event."""
        failure = error.to_failure()
        finished = self._finished(generation_pb2.FINISH_REASON_ERROR)
        finished.failure.CopyFrom(failure)
        is_dead_letter = isinstance(error, DeadLetteredError)
        await self._end(finished, failure.SerializeToString(), is_dead_letter=is_dead_letter)

    async def _replay(self, candidate: Candidate, logged: LoggedIds) -> None:
        for count, decoded in enumerate(candidate.replay(logged), start=1):
            self._events.replay(decoded, candidate.index)
            if count % _REPLAYED_AT_ONCE == 0:
                await asyncio.sleep(0)

    def _reason(self, candidate: Candidate) -> generation_pb2.FinishReason.ValueType:
        place = self._events.places[candidate.index]
        return candidate.finish_reason(has_calls=place.has_calls)

    def _end_of(self, candidate: Candidate) -> Entry:
        """What says that one of several candidates has ended."""
        candidate.is_end_logged = True
        reason = self._reason(candidate)
        finished = event_pb2.CandidateFinished(
            finish_reason=reason, stop_sequence=candidate.stop_sequence
        )
        event = self._events.candidate_finished(finished, candidate.index)
        return _entry([event], Step(()), (end_word(candidate.index, reason),))

    def _finished(self, reason: generation_pb2.FinishReason.ValueType) -> event_pb2.Finished:
        thoughts = sum(candidate.thought_token_count for candidate in self._candidates)
        return event_pb2.Finished(
            finish_reason=reason,
            usage=self.tally.usage(self._events.token_count, thoughts),
            timings=self.tally.timings(),
        )

    async def _end(
        self, finished: event_pb2.Finished, failure: bytes = b"", *, is_dead_letter: bool = False
    ) -> None:
        self.finished = finished
        usage = finished.usage
        ending = Ending(
            failure,
            is_dead_letter,
            usage.prompt_token_count,
            self._events.token_count,
            usage.SerializeToString(),
        )
        terminal = _entry([self._events.finished(finished)], Step(()))
        await self._log.finish(_joined(self._last, terminal), ending)
        if not self._log.lost.is_set():
            self.usage = usage


def _entry(events: Sequence[event_pb2.Event], step: Step, words: tuple[int, ...] = ()) -> Entry:
    response = inference_service_pb2.StreamGenerateContentResponse(events=events)
    return Entry(
        response.SerializeToString(),
        len(events),
        words,
        drafted_tokens=step.drafted_tokens,
        accepted_tokens=step.accepted_tokens,
    )


def _joined(first: Entry, second: Entry) -> Entry:
    return Entry(
        response=first.response + second.response,
        event_count=first.event_count + second.event_count,
        token_ids=first.token_ids + second.token_ids,
        drafted_tokens=first.drafted_tokens + second.drafted_tokens,
        accepted_tokens=first.accepted_tokens + second.accepted_tokens,
    )


def _milliseconds(value: int) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromMilliseconds(value)
    return duration
