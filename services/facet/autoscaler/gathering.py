"""Reads all signals for one decision."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.autoscaler.latency_reading import LatencyReader
from facet.autoscaler.learned import Learned
from facet.autoscaler.pod_reading import Pods
from facet.autoscaler.queue_reading import (
    arrivals_between,
    counters_of,
    leased_of,
    waiting_of,
)
from facet.autoscaler.signals import Pod, Reading, Signals, Value, WorkerLoad
from facet.autoscaler.worker_reading import loads_of, pods_of, reports_of, start_seconds_of
from facet.queue.port import Observer


class Gatherer:
    """Reads the queue, its workers, and what else there is.

    Without `pods` the workers' reports stand for pods: on one machine and in compose nobody else
    tells of them, and there are none that start. `only_pool` is the pool of workers that name none.
    """

    def __init__(
        self,
        queue: Observer,
        *,
        pods: Pods | None = None,
        latency: LatencyReader | None = None,
        only_pool: str = "",
    ) -> None:
        self._queue = queue
        self._pods = pods
        self._latency = latency
        self._only_pool = only_pool
        self._known: set[str] = set()

    async def gather(self, now_seconds: float, learned: Learned) -> tuple[Signals, Learned]:
        """The signals of this moment by the store's clock, and what they teach.

        Errors: StoreUnavailableError.
        """
        depth, work, serialized = await asyncio.gather(
            self._queue.depth(), self._queue.leased_work(), self._queue.reports()
        )
        reports = self._named(reports_of(serialized))
        counters = counters_of(depth, now_seconds)
        arrivals = arrivals_between(learned.counters, counters, depth.mean_output_tokens)
        pods = self._pods_of(reports, now_seconds)
        startups = learned.startups
        if self._pods is None:
            for report in reports:
                if report.name not in self._known:
                    startups = startups.started(report.pool, start_seconds_of(report))
            self._known = {report.name for report in reports}
        elif pods.current is not None:
            startups = startups.observed(pods.current)
        learned = replace(learned, counters=counters).started(startups, now_seconds)
        coefficients = {
            name: each.coefficients for name, each in learned.coefficients.items() if each.samples
        }
        signals = Signals(
            at_seconds=now_seconds,
            queue=Reading(waiting_of(depth)),
            leased=Reading(leased_of(work)),
            arrivals=Reading(arrivals),
            workers=Reading[tuple[WorkerLoad, ...]](loads_of(reports)),
            pods=pods,
            startup=_of_age(startups.pools, learned.startups_seconds, now_seconds),
            latency=self._latency.reading if self._latency else Reading(),
            coefficients=_of_age(coefficients, learned.coefficients_seconds, now_seconds),
        )
        return signals, learned

    def _named(self, reports: Sequence[WorkerReport]) -> list[WorkerReport]:
        for report in reports:
            report.pool = report.pool or self._only_pool
        return list(reports)

    def _pods_of(self, reports: Sequence[WorkerReport], now: float) -> Reading[tuple[Pod, ...]]:
        if self._pods is None:
            return Reading(pods_of(reports, now))
        return self._pods.read()


def _of_age(
    learned: Mapping[str, Value], at_seconds: float | None, now_seconds: float
) -> Reading[Mapping[str, Value]]:
    """What was learned then, and is trusted for ever; nothing learned is nothing read."""
    if not learned:
        return Reading()
    age_seconds = 0.0 if at_seconds is None else max(now_seconds - at_seconds, 0.0)
    return Reading(learned, age_seconds)


def readings_of(signals: Signals) -> dict[str, Reading[object]]:
    """The readings by name."""
    return {name: each for name, each in vars(signals).items() if isinstance(each, Reading)}
