"""Several processes of one service, told as one.

Each keeps its values in files of its slot, which a process of its own serves together. A process
that takes a dead one's slot counts on from there, so that nothing ever counts backwards and there
are never more files than slots. What the library cannot keep in files has no part in it: exemplars,
and gauges of processes that are gone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

# The library's own variable; it must be set before any metric is declared.
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_SLOT = "FACET_PROCESS_SLOT"


def environment(folder: Path, slot: int) -> dict[str, str]:
    """What makes a child process keep its values in the slot of a folder."""
    return {_FOLDER: str(folder), _SLOT: str(slot)}


def is_one_of_several() -> bool:
    """Whether this process was started as one of several."""
    return _SLOT in os.environ


def keep_values_in_slot() -> None:
    """Take this process's slot, if it has one; before any metric is declared."""
    slot = os.environ.get(_SLOT)
    if slot is not None:
        values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]


def forget_live_values(folder: Path, slot: int) -> None:
    """Have gauges of a process that ended count no more."""
    mark_process_dead(slot, str(folder))  # type: ignore[no-untyped-call]


class Together(Collector):
    """The values of all processes."""

    def __init__(self, folder: Path) -> None:
        self._files = MultiProcessCollector(None, str(folder))  # type: ignore[no-untyped-call]

    def live_sum(self, name: str) -> float:
        """The sum of a gauge without labels over the processes that live; 0 where there is none."""
        return sum(
            sample.value
            for family in self._files.collect()  # type: ignore[no-untyped-call]
            if family.name == name
            for sample in family.samples
        )

    def describe(self) -> list[Metric]:
        """Nothing: the files tell."""
        return []

    def collect(self) -> Iterator[Metric]:
        """See `Collector.collect`."""
        yield from self._files.collect()  # type: ignore[no-untyped-call]
