"""What vLLM tells its loggers of each step, for our metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllm.v1.metrics.loggers import StatLoggerBase

from facet.worker.engine.measures import EngineMeasures


def stats_logger(measures: EngineMeasures) -> Callable[[Any, int], StatLoggerBase]:
    """A factory of loggers as `AsyncLLM` takes them; vLLM's own go on beside it."""
    return lambda _config, _index: _StatsLogger(measures)


class _StatsLogger(StatLoggerBase):  # type: ignore[misc]
    def __init__(self, measures: EngineMeasures) -> None:
        self._measures = measures

    def record(
        self,
        scheduler_stats: Any,
        iteration_stats: Any,
        mm_cache_stats: Any = None,
        engine_idx: int = 0,
    ) -> None:
        """Take the statistics of one step of the scheduler, where there are any."""
        if scheduler_stats is None:
            return
        self._measures.kv_use(scheduler_stats.kv_cache_usage)
        prefix = scheduler_stats.prefix_cache_stats
        self._measures.prefix(prefix.queries, prefix.hits)
        drafts = scheduler_stats.spec_decoding_stats
        if drafts is not None:
            self._measures.drafts(
                drafts.num_drafts,
                drafts.num_draft_tokens_per_pos,
                drafts.num_accepted_tokens_per_pos,
            )

    def log_engine_initialized(self) -> None:
        """Nothing is to be said."""
