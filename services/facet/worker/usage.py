"""Token accounting and timings of one generation, all attempts together."""

from __future__ import annotations

import time

from google.protobuf import duration_pb2

from facet.api.v1 import generation_pb2
from facet.queue.values import Claimed
from facet.worker.engine.port import Prompt, Step

MIN_RATED = 2
"""Ids of which one follows another."""


class Tally:
    """Counts while a request runs; times are of this attempt, from its claim."""

    def __init__(self, claimed: Claimed) -> None:
        self._claimed = claimed
        self._drafted = claimed.drafted_tokens
        self._accepted = claimed.accepted_tokens
        self._cached: dict[int, int] = {}
        self._prompt: Prompt | None = None
        self._claimed_at = time.monotonic()
        self._render_seconds = 0.0
        self._first_at: float | None = None
        self._attempt_tokens = 0
        self._last_at: float | None = None

    def rendered(self, prompt: Prompt, seconds: float) -> None:
        """The prompt is ready; `seconds` were spent on decoding media and rendering."""
        self._prompt = prompt
        self._render_seconds = seconds

    def stepped(self, step: Step, candidate: int) -> None:
        """The engine made a step of a candidate."""
        self._drafted += step.drafted_tokens
        self._accepted += step.accepted_tokens
        self._cached.setdefault(candidate, step.cached_prompt_tokens)
        if step.token_ids:
            self._last_at = time.monotonic()
            self._first_at = self._first_at or self._last_at
            self._attempt_tokens += len(step.token_ids)

    def usage(self, output_tokens: int, thought_tokens: int) -> generation_pb2.UsageMetadata:
        """The accounting so far."""
        prompt = self._prompt
        usage = generation_pb2.UsageMetadata(
            # The others found in the cache what one of them had computed.
            cached_content_token_count=min(self._cached.values(), default=0),
            candidates_token_count=output_tokens - thought_tokens,
            thoughts_token_count=thought_tokens,
            total_token_count=output_tokens,
            drafted_token_count=max(0, self._drafted),
            accepted_draft_token_count=max(0, self._accepted),
        )
        if prompt is not None:
            usage.prompt_token_count = prompt.token_count
            usage.total_token_count += prompt.token_count
            for modality, count in sorted(prompt.modality_tokens.items()):
                usage.prompt_tokens_details.add(
                    modality=generation_pb2.Modality.ValueType(modality), token_count=count
                )
        return usage

    @property
    def first_token_seconds(self) -> float | None:
        """From the claim to the first id of this attempt."""
        return None if self._first_at is None else self._first_at - self._claimed_at

    @property
    def seconds_per_token(self) -> float | None:
        """Mean of this attempt behind its first id, all candidates side by side."""
        if self._first_at is None or self._last_at is None or self._attempt_tokens < MIN_RATED:
            return None
        return (self._last_at - self._first_at) / (self._attempt_tokens - 1)

    def timings(self) -> generation_pb2.Timings:
        """Where the time went so far."""
        timings = generation_pb2.Timings(
            queue_wait=_duration(self._claimed.waited_ms / 1000),
            render=_duration(self._render_seconds),
            attempts=self._claimed.attempt,
        )
        if self._first_at is not None and self._last_at is not None:
            timings.prefill.CopyFrom(_duration(self._first_at - self._claimed_at))
            timings.decode.CopyFrom(_duration(self._last_at - self._first_at))
        return timings


def _duration(seconds: float) -> duration_pb2.Duration:
    duration = duration_pb2.Duration()
    duration.FromNanoseconds(int(seconds * 1e9))
    return duration
