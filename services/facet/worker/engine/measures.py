"""Counts what an engine tells of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from prometheus_client import Counter

from facet.core.telemetry import worker_metrics
from facet.worker.engine.sliding_ratio import SlidingRatio

WINDOW_DRAFTS = 1000


class EngineMeasures:
    """Of one engine. Its methods are called once a step of it, not once a request.

    `kv_share` and `tokens_per_step` are what was told last, None before.
    """

    def __init__(self, model: str = "", pool: str = "") -> None:
        own = (model, pool)
        self._kv_use = worker_metrics.KV_USE.labels(*own)
        self._asked = worker_metrics.PREFIX_ASKED.labels(*own)
        self._hits = worker_metrics.PREFIX_HITS.labels(*own)
        self._drafts = worker_metrics.DRAFTS.labels(*own)
        self._drafted = worker_metrics.DRAFTED.labels(*own)
        self._accepted = worker_metrics.ACCEPTED.labels(*own)
        self._accepted_length = worker_metrics.ACCEPTED_LENGTH.labels(*own)
        self._drafted_at = _Positions(worker_metrics.DRAFTED_AT, own)
        self._accepted_at = _Positions(worker_metrics.ACCEPTED_AT, own)
        self.kv_share: float | None = None
        self.tokens_per_step: float | None = None
        self._length = SlidingRatio(WINDOW_DRAFTS)
        self._watchers: list[Callable[[int, int], None]] = []

    def kv_use(self, share: float) -> None:
        """So much of the KV cache is in use, from 0 to 1."""
        self.kv_share = share
        self._kv_use.set(share)

    def prefix(self, asked_tokens: int, hit_tokens: int) -> None:
        """So many prompt tokens were looked for in the prefix cache, and found."""
        if asked_tokens:
            self._asked.inc(asked_tokens)
            self._hits.inc(hit_tokens)

    def drafts(self, count: int, drafted_at: Sequence[int], accepted_at: Sequence[int]) -> None:
        """So many drafts were judged.

        The others are tokens by their place in the draft: entry 0 counts first ones.
        """
        if not count:
            return
        accepted = sum(accepted_at)
        drafted = sum(drafted_at)
        self._drafts.inc(count)
        self._drafted.inc(drafted)
        self._accepted.inc(accepted)
        self._drafted_at.count(drafted_at)
        self._accepted_at.count(accepted_at)
        self._length.add(count, accepted)
        self.tokens_per_step = 1 + (self._length.value or 0.0)
        self._accepted_length.set(self.tokens_per_step)
        for watcher in self._watchers:
            watcher(drafted, accepted)

    def watch_drafts(self, watcher: Callable[[int, int], None]) -> None:
        """Tell the drafted and accepted tokens of each step from here on."""
        self._watchers.append(watcher)


class _Positions:
    """One counter for each place of a draft."""

    def __init__(self, metric: Counter, own: tuple[str, str]) -> None:
        self._child = cache(lambda position: metric.labels(*own, str(position)))

    def count(self, counts: Sequence[int]) -> None:
        for position, count in enumerate(counts):
            if count:
                self._child(position).inc(count)
