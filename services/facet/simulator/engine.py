"""A pod's engine: continuous batching as a fluid between the events that change the batch.

All decoding sequences get tokens at one rate, so the engine keeps a clock of tokens given to each
since it began: a sequence that enters at T and has g tokens to go ends at T + g. The rate changes
only when a sequence enters or ends, or a batch of prompts begins or ends; between those nothing is
computed. An arrival or an end costs O(log n) of the sequences inside, whatever their length.
"""

from __future__ import annotations

import heapq
import math
from collections import deque

from facet.simulator.pod_model import PodModel
from facet.simulator.request import Decoding, Request


class SimulatedEngine:
    """Sequences inside one engine. Times are those of the simulation, in seconds.

    Prompts that wait go into one batch up to `batched_tokens`; a longer one alone, in several
    steps. While prompts are computed all decoding sequences get their step as well, in the longer
    time that it takes.
    """

    __slots__ = (
        "_at",
        "_batch_seconds",
        "_decoding",
        "_entered",
        "_left_tokens",
        "_model",
        "_prompt_rate",
        "_prompt_steps",
        "_prompt_tokens",
        "_prompts",
        "_queued",
        "_rate",
        "_step",
        "_steps",
        "_tokens",
    )

    def __init__(self, model: PodModel) -> None:
        self._model = model
        self._at = 0.0
        self._tokens = 0.0
        self._rate = 0.0
        self._step = 1.0
        self._steps = 0.0
        self._batch_seconds = 0.0
        self._decoding: list[tuple[float, int, Request]] = []
        self._entered = 0
        self._queued: deque[Request] = deque()
        self._prompts: list[Request] = []
        self._prompt_tokens = 0
        self._prompt_steps = 0
        self._left_tokens = 0.0
        self._prompt_rate = 0.0

    def __len__(self) -> int:
        return len(self._decoding) + len(self._prompts) + len(self._queued)

    @property
    def decoding(self) -> int:
        """Sequences that give tokens."""
        return len(self._decoding)

    def decoded(self, request: Request, now: float) -> Decoding:
        """Seconds, steps and mean batch of a request that just ended."""
        begin = request.decoding
        seconds = now - begin.seconds
        batch = (self._batch_seconds - begin.batch) / seconds if seconds > 0 else 1.0
        return Decoding(seconds, self._steps - begin.steps, batch)

    def enter(self, request: Request, now: float) -> None:
        """Let a request in; tokens that it was given elsewhere are part of its prompt."""
        self._advance(now)
        request.started_seconds = now
        self._queued.append(request)
        if not self._prompts:
            self._batch_prompts()
            self._set_rates()

    def next_seconds(self) -> float:
        """When something ends next, inf while nothing is inside."""
        due = math.inf
        if self._decoding:
            due = self._at + max(self._decoding[0][0] - self._tokens, 0.0) / self._rate
        if self._prompts:
            due = min(due, self._at + self._left_tokens / self._prompt_rate)
        return due

    def run_to(self, now: float) -> tuple[list[Request], list[Request]]:
        """Let the time pass; who got the first token of the attempt, and who got the last.

        `now` is at most `next_seconds()`.
        """
        due = self.next_seconds()
        self._advance(now)
        if now < due:
            return [], []
        started: list[Request] = []
        if self._prompts and self._left_tokens <= _ROUNDING:
            started, self._prompts = self._prompts, []
            for request in started:
                self._start_decoding(request, now)
            self._batch_prompts()
        ended = []
        decoding, latest = self._decoding, self._tokens + _ROUNDING
        while decoding and decoding[0][0] <= latest:
            request = heapq.heappop(decoding)[2]
            request.given_tokens = request.output_tokens
            ended.append(request)
        self._set_rates()
        return started, ended

    def empty(self, now: float) -> list[Request]:
        """Stop at once; all requests that were inside, with the tokens that they got."""
        self._advance(now)
        for due, _, request in self._decoding:
            left = math.ceil(due - self._tokens - _ROUNDING)
            request.given_tokens = max(request.given_tokens, request.output_tokens - left)
        inside = [each[2] for each in self._decoding] + self._prompts + list(self._queued)
        self._decoding, self._prompts = [], []
        self._queued.clear()
        self._set_rates()
        return inside

    def _start_decoding(self, request: Request, now: float) -> None:
        request.given_tokens += 1
        request.decoding = Decoding(now, self._steps, self._batch_seconds)
        self._entered += 1
        left = request.output_tokens - request.given_tokens
        heapq.heappush(self._decoding, (self._tokens + left, self._entered, request))

    def _batch_prompts(self) -> None:
        tokens, most = 0, self._model.batched_tokens
        while self._queued:
            request = self._queued[0]
            size = request.prompt_tokens + request.given_tokens
            if self._prompts and tokens + size > most:
                break
            tokens += size
            self._prompts.append(self._queued.popleft())
        self._prompt_tokens = tokens
        self._prompt_steps = -(-tokens // most)
        self._left_tokens = float(tokens)

    def _set_rates(self) -> None:
        model, batch = self._model, len(self._decoding)
        step = model.step_seconds[batch]
        if self._prompts:
            chunk = self._prompt_tokens / self._prompt_steps
            step += chunk * model.prefill_token_seconds
            self._prompt_rate = chunk / step
        self._step = step
        self._rate = model.tokens_per_step[batch] / step

    def _advance(self, now: float) -> None:
        passed = now - self._at
        if passed > 0:
            if self._decoding:
                self._tokens += self._rate * passed
                self._steps += passed / self._step
                self._batch_seconds += len(self._decoding) * passed
            if self._prompts:
                self._left_tokens -= self._prompt_rate * passed
            self._at = now


_ROUNDING = 1e-4
"""So much of a token counts as none: far below what a clock of a day leaves in a float."""
