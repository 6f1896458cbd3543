"""Timing samples on their way from spans to the leader that learns from them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.work import Modality
from facet.core.telemetry.autoscaler_metrics import TIMINGS_DROPPED

MAX_WAITING = 500
"""Samples that wait for the store; the oldest of more are dropped."""


@dataclass(frozen=True)
class PoolSample:
    """A sample and the pool of its worker."""

    pool: str
    sample: TimingSample

    def to_bytes(self) -> bytes:
        """Compact, for the store."""
        return json.dumps([self.pool, asdict(self.sample)], separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> PoolSample:
        """The inverse. Errors: ValueError for what is no such text."""
        try:
            pool, held = json.loads(data)
            counts = held.pop("prompt_tokens")
            prompts = {Modality(kind): int(count) for kind, count in counts.items()}
            return cls(str(pool), TimingSample(prompt_tokens=prompts, **held))
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"timing sample: not what was written: {error!r}") from error


class WaitingSamples:
    """What was received and not handed over yet; bounded: the oldest are dropped, and counted."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._most = most
        self._samples: list[PoolSample] = []

    def add(self, sample: PoolSample) -> None:
        """Take one."""
        self._samples.append(sample)
        if len(self._samples) > self._most:
            self._keep(self._samples)

    def take(self) -> list[PoolSample]:
        """All; they are gone then."""
        taken, self._samples = self._samples, []
        return taken

    def put_back(self, samples: list[PoolSample]) -> None:
        """What could not be handed over waits again, before what came since."""
        self._keep([*samples, *self._samples])

    def _keep(self, samples: list[PoolSample]) -> None:
        TIMINGS_DROPPED.inc(max(len(samples) - self._most, 0))
        self._samples = samples[-self._most :]
