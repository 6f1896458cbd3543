"""A simulated pod: its phases, what it holds, and the claims that it makes."""

from __future__ import annotations

import math
from collections import deque

from facet.autoscaler.signals import Phase
from facet.queue.id_words import MAX_CANDIDATES
from facet.queue.values import Claim, Offers, Room
from facet.simulator.engine import SimulatedEngine
from facet.simulator.pod_model import PodModel
from facet.simulator.queueing import FINGERPRINT
from facet.simulator.request import Request

_OFFERS = Offers(context_tokens=1 << 30)


class SimulatedPod:
    """One pod. `paid_since_seconds` is when it began to cost, `ended_seconds` when it was gone."""

    def __init__(self, name: str, pool: str, model: PodModel, now: float) -> None:
        self.name = name
        self.pool = pool
        self.phase = Phase.UNSCHEDULABLE
        self.created_seconds = self.phase_since_seconds = self.paid_since_seconds = now
        self.ready_seconds: float | None = None
        self.ended_seconds: float | None = None
        self.engine = SimulatedEngine(model)
        self.held: dict[str, Request] = {}
        self.waits = False
        self.will_check = False
        self.due_seconds = math.inf
        self.life = 0
        self._ahead: deque[Request] = deque()
        self._model = model
        self._charged_tokens = 0
        self._claims = 0

    @property
    def is_ready(self) -> bool:
        """Whether it claims."""
        return self.phase is Phase.READY

    @property
    def is_gone(self) -> bool:
        """Whether it costs nothing any more."""
        return self.ended_seconds is not None

    @property
    def use(self) -> float:
        """Share of its sequences that are taken."""
        return min(1.0, len(self.held) / self._model.max_sequences)

    @property
    def has_free_seat(self) -> bool:
        """Whether it takes hints; otherwise it asks when a run ends, and once a second."""
        return len(self.held) < self._model.max_sequences

    @property
    def free_sequences(self) -> int:
        """How many it may claim, as a worker counts: those claimed ahead are among them."""
        if any(request.is_alone for request in self.held.values()):
            return 0
        return self._model.max_sequences + self._model.claim_ahead - len(self.held)

    def enter(self, phase: Phase, now: float) -> None:
        """Begin a phase."""
        self.phase, self.phase_since_seconds = phase, now
        self.life += 1

    def next_claim(self, free: int) -> Claim:
        """Ask for as many as there is room for."""
        model, held = self._model, len(self.held)
        self._claims += 1
        return Claim(
            worker=self.name,
            nonce=f"{self.name}/{self._claims}",
            limit=free,
            held=held,
            fingerprint=FINGERPRINT,
            offers=_OFFERS,
            room=Room(
                sequences=max(model.max_sequences, MAX_CANDIDATES),
                tokens=model.kv_tokens,
                free_sequences=free if held else max(free, MAX_CANDIDATES),
                free_tokens=model.kv_tokens - self._charged_tokens,
            ),
        )

    def take(self, request: Request, now: float) -> None:
        """Hold a claimed request; it enters the engine as soon as there is a seat."""
        self.held[request.name] = request
        self._charged_tokens += request.charged_tokens
        self._ahead.append(request)
        self.fill(now)

    def fill(self, now: float) -> None:
        """Let claimed requests into the engine's free seats."""
        while self._ahead and len(self.engine) < self._model.max_sequences:
            self.engine.enter(self._ahead.popleft(), now)

    def release(self, request: Request) -> None:
        """Hold a request no more."""
        del self.held[request.name]
        self._charged_tokens -= request.charged_tokens

    def release_ahead(self) -> list[Request]:
        """Hold no more what has not entered the engine."""
        released = list(self._ahead)
        self._ahead.clear()
        for request in released:
            self.release(request)
        return released

    def release_all(self, now: float) -> list[Request]:
        """Stop at once and hold nothing; the requests with what they were given."""
        released = self.release_ahead() + self.engine.empty(now)
        self.held.clear()
        self._charged_tokens = 0
        return released
