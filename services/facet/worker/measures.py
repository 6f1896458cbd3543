"""Counts what a worker does; what labels stand for is looked up once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

from prometheus_client import Histogram

from facet.api.v1 import generation_pb2
from facet.core.telemetry import worker_metrics
from facet.core.telemetry.metrics import MAX_ADAPTERS, MAX_TENANTS, BoundedLabel
from facet.core.telemetry.trace_context import current_exemplar
from facet.queue.values import class_label
from facet.worker.engine.measures import EngineMeasures
from facet.worker.speculation_gate import SpeculationGate

OK = "OK"
LEASE_LOST = "LEASE_LOST"
HANDED_BACK = "HANDED_BACK"
ENGINE_DIED = "ENGINE_DIED"
INTERNAL = "INTERNAL"

_MODALITY = "MODALITY_"


class Measures:
    """Of one worker; `model` is what it serves, `pool` where it belongs.

    `start_seconds` are those of the start's phases that are over.
    """

    def __init__(self, model: str = "", pool: str = "") -> None:
        self.pool = pool
        self.start_seconds: dict[str, float] = {}
        self._own = (model, pool)
        self._tenants = BoundedLabel(MAX_TENANTS)
        self._adapters = BoundedLabel(MAX_ADAPTERS)

    def began(self, priority: int, attempt: int, waited_seconds: float) -> None:
        """An attempt began; only the first tells how long its request waited."""
        if attempt == 1:
            waits = worker_metrics.QUEUE_WAIT.labels(*self._own, class_label(priority))
            waits.observe(waited_seconds, current_exemplar())

    def resumed(self, way: str) -> None:
        """An attempt goes on with what another logged."""
        worker_metrics.RESUMES.labels(*self._own, way).inc()

    def rendered(self, seconds: float) -> None:
        """Media were fetched and the prompt rendered."""
        self._render.observe(seconds)

    def made_tokens(self, first_seconds: float, seconds_per_token: float | None) -> None:
        """The engine made tokens in an attempt; one alone has no rate."""
        self._first_token.observe(first_seconds, current_exemplar())
        if seconds_per_token is not None:
            self._output_token.observe(seconds_per_token)

    def ended(self, priority: int, reason: str, seconds: float) -> None:
        """An attempt ended."""
        self._attempt.observe(seconds, current_exemplar())
        worker_metrics.ATTEMPTS.labels(*self._own, class_label(priority), reason).inc()

    def used(self, usage: generation_pb2.UsageMetadata, tenant: str, adapter: str) -> None:
        """A generation ended here, which took so many tokens in all."""
        of = (*self._own, self._tenants.of(tenant), self._adapters.of(adapter))
        for detail in usage.prompt_tokens_details:
            name = generation_pb2.Modality.Name(detail.modality).removeprefix(_MODALITY).lower()
            worker_metrics.TOKENS.labels(*of, name, "input").inc(detail.token_count)
        made = {"text": usage.candidates_token_count, "thought": usage.thoughts_token_count}
        for name, count in made.items():
            if count:
                worker_metrics.TOKENS.labels(*of, name, "output").inc(count)

    def drained(self, *, finished: int, handed_back: int) -> None:
        """A drain ended."""
        worker_metrics.DRAINED.labels(*self._own, "finished").inc(finished)
        worker_metrics.DRAINED.labels(*self._own, "handed_back").inc(handed_back)

    def took(self, phase: str, seconds: float) -> None:
        """A phase of the start is over."""
        self.start_seconds[phase] = seconds
        worker_metrics.START_SECONDS.labels(*self._own, phase).set(seconds)

    def capacity(self, *, sequences: int, kv_tokens: int) -> None:
        """What the engine can take."""
        worker_metrics.CAPACITY.labels(*self._own).set(sequences)
        worker_metrics.KV_TOKENS.labels(*self._own).set(kv_tokens)

    def watch(self, *, held: Callable[[], int], running: Callable[[], int]) -> None:
        """Ask for these when they are scraped, in another thread."""
        worker_metrics.HELD.labels(*self._own).set_function(held)
        worker_metrics.RUNNING.labels(*self._own).set_function(running)

    def watch_speculation(self, gate: SpeculationGate) -> None:
        """Ask for its judgement when it is scraped, in another thread."""
        worker_metrics.SPECULATION_HEALTHY.labels(*self._own).set_function(lambda: gate.is_healthy)
        worker_metrics.SPECULATION_ACCEPTANCE.labels(*self._own).set_function(
            lambda: math.nan if gate.acceptance is None else gate.acceptance
        )

    def watch_ready(self, is_ready: Callable[[], bool]) -> None:
        """Ask for this when it is scraped, in another thread."""
        worker_metrics.READY.labels(*self._own).set_function(is_ready)

    @cached_property
    def engine(self) -> EngineMeasures:
        """Those of its engine."""
        return EngineMeasures(*self._own)

    @cached_property
    def _render(self) -> Histogram:
        return worker_metrics.RENDER.labels(*self._own)

    @cached_property
    def _first_token(self) -> Histogram:
        return worker_metrics.FIRST_TOKEN.labels(*self._own)

    @cached_property
    def _output_token(self) -> Histogram:
        return worker_metrics.OUTPUT_TOKEN.labels(*self._own)

    @cached_property
    def _attempt(self) -> Histogram:
        return worker_metrics.ATTEMPT_SECONDS.labels(*self._own)
