"""Pods of the pools, as Kubernetes or a test tells of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from facet.autoscaler.signals import Pod, Reading


class Pods(Protocol):
    """A source of pods."""

    def read(self) -> Reading[tuple[Pod, ...]]:
        """All pods of the pools as they are known at this moment; never raises, never waits."""


class MemoryPods:
    """`Pods` that somebody sets."""

    def __init__(self, pods: Iterable[Pod] = ()) -> None:
        self.reading: Reading[tuple[Pod, ...]] = Reading(tuple(pods))

    def read(self) -> Reading[tuple[Pod, ...]]:
        """See `Pods.read`."""
        return self.reading
