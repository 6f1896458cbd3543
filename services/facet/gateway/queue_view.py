"""The state of the queues in a gateway's metrics."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from facet.core.errors import StoreUnavailableError
from facet.core.telemetry import queue_metrics
from facet.queue.port import Observer
from facet.queue.values import class_label
from facet.queue.views import Depth

PERIOD_SECONDS = 2.0
TELLING_SECONDS = 3 * PERIOD_SECONDS


class QueueView(Collector):
    """Tells the queues that no other gateway tells.

    All gateways see the same queues, and sums over gateways are to count them once: the store keeps
    who tells each. What could not be read for `TELLING_SECONDS` is left out, as is what another
    has taken over by then.
    """

    def __init__(self, queues: Mapping[str, Observer]) -> None:
        """`queues` are by model."""
        self._queues = queues
        self._name = secrets.token_hex(8)
        # With the time on the monotonic clock until which each holds.
        self._told: dict[str, tuple[Depth, float]] = {}

    async def run(self, model: str) -> None:
        """Keep one queue's state until cancelled."""
        while True:
            await self.look(model)
            await asyncio.sleep(PERIOD_SECONDS)

    async def look(self, model: str) -> None:
        """Read one queue's state, if it is told here."""
        queue = self._queues[model]
        until = time.monotonic() + TELLING_SECONDS
        try:
            if await queue.takes_telling(self._name, round(TELLING_SECONDS * 1000)):
                self._told[model] = (await queue.depth(), until)
            else:
                self._told.pop(model, None)
        except StoreUnavailableError:
            # What was read last holds for its time.
            return

    def describe(self) -> list[Metric]:
        """Nothing: the catalogue has the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`; called in other threads."""
        waiting, cost = queue_metrics.WAITING.family(), queue_metrics.COST.family()
        oldest, held = queue_metrics.OLDEST.family(), queue_metrics.BYTES.family()
        leases, dead = queue_metrics.LEASES.family(), queue_metrics.DEAD_LETTERS.family()
        now = time.monotonic()
        for model, (depth, until) in dict(self._told).items():
            if until < now:
                continue
            for priority, each in depth.classes.items():
                labels = (model, class_label(priority))
                waiting.add_metric(labels, each.requests)
                cost.add_metric(labels, each.tokens)
                oldest.add_metric(labels, each.oldest_ms / 1000)
            held.add_metric((model,), depth.waiting_bytes)
            leases.add_metric((model,), depth.leased)
            dead.add_metric((model,), depth.dead_letters)
        yield from (waiting, cost, oldest, held, leases, dead)
