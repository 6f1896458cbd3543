"""All that the leader goes on with: what was learned, windows, and the policy's state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from facet.autoscaler.learned_coefficients import LearnedCoefficients
from facet.autoscaler.policy import PolicyState, PoolSettings, from_json, to_json
from facet.autoscaler.queue_reading import Counters
from facet.autoscaler.signals import StartUp
from facet.autoscaler.startup_times import StartupTimes
from facet.autoscaler.timing_samples import PoolSample
from facet.queue.values import Priority

_VERSION = 1


@dataclass(frozen=True)
class Learned:
    """`coefficients` by pool, of all pools; `counters` are those of the last decision.

    `coefficients_seconds` and `startups_seconds` are when they learned last, by the store's clock;
    None: nothing yet.
    """

    coefficients: Mapping[str, LearnedCoefficients]
    startups: StartupTimes = field(default_factory=StartupTimes)
    coefficients_seconds: float | None = None
    startups_seconds: float | None = None
    counters: Counters | None = None
    state: PolicyState = field(default_factory=PolicyState)

    @classmethod
    def starting(cls, pools: Iterable[PoolSettings]) -> Learned:
        """Know what the settings say."""
        return cls({p.name: LearnedCoefficients.starting(p.coefficients) for p in pools})

    def observed(self, samples: Iterable[PoolSample], now_seconds: float) -> Learned:
        """After more timing samples; those of unknown pools are ignored."""
        coefficients, at_seconds = dict(self.coefficients), self.coefficients_seconds
        for each in samples:
            if each.pool in coefficients:
                coefficients[each.pool] = coefficients[each.pool].observed(each.sample)
                at_seconds = now_seconds
        return replace(self, coefficients=coefficients, coefficients_seconds=at_seconds)

    def started(self, startups: StartupTimes, now_seconds: float) -> Learned:
        """After another look at who starts."""
        is_new = startups.pools != self.startups.pools
        at_seconds = now_seconds if is_new else self.startups_seconds
        return replace(self, startups=startups, startups_seconds=at_seconds)

    def to_bytes(self) -> bytes:
        """For the store."""
        counters = None
        if self.counters is not None:
            classes = {int(name): each for name, each in self.counters.classes.items()}
            counters = [self.counters.at_seconds, classes]
        held = {
            "coefficients": {name: each.to_json() for name, each in self.coefficients.items()},
            "startups": asdict(self.startups),
            "learned_seconds": [self.coefficients_seconds, self.startups_seconds],
            "counters": counters,
            "state": to_json(self.state),
        }
        return json.dumps({f"version {_VERSION}": held}, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes, pools: Iterable[PoolSettings]) -> Learned:
        """The inverse, for these pools: a new one begins with its settings.

        Errors: ValueError for what another version, or nobody, wrote.
        """
        start = cls.starting(pools)
        try:
            held = json.loads(data)[f"version {_VERSION}"]
            known = {
                name: LearnedCoefficients.from_json(text)
                for name, text in held["coefficients"].items()
                if name in start.coefficients
            }
            startups = StartupTimes(
                {name: StartUp(**each) for name, each in held["startups"]["pools"].items()},
                held["startups"]["starting"],
                tuple(held["startups"].get("started_pods", ())),
            )
            counters = None
            if held["counters"] is not None:
                at_seconds, classes = held["counters"]
                counters = Counters(
                    at_seconds, {Priority(int(k)): (n, t) for k, (n, t) in classes.items()}
                )
            taught, started = held.get("learned_seconds", (None, None))
            state = from_json(held["state"])
            return cls({**start.coefficients, **known}, startups, taught, started, counters, state)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"learned: not what was written: {error!r}") from error
