"""Timing samples on their way from spans to the leader that learns from them."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.work import Modality

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
    """What was received and not handed over yet; bounded. `dropped` counts what was too much."""

    def __init__(self, most: int = MAX_WAITING) -> None:
        self._samples: deque[PoolSample] = deque(maxlen=most)
        self.dropped = 0

    def add(self, sample: PoolSample) -> None:
        """Take one."""
        self.dropped += len(self._samples) == self._samples.maxlen
        self._samples.append(sample)

    def take(self) -> list[PoolSample]:
        """All; they are gone then."""
        taken = list(self._samples)
        self._samples.clear()
        return taken

    def put_back(self, samples: list[PoolSample]) -> None:
        """What could not be handed over waits again, before what came since."""
        self._samples.extendleft(reversed(samples[-(self._samples.maxlen or 0) :]))
