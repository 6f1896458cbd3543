"""How many pods a load needs, found by simulating steady loads of its requests."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from facet.simulator.pod_model import PodModel
from facet.simulator.request import Request
from facet.simulator.scaling.baselines import FixedSize
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.workloads.workload import Source, Workload

ATTAINMENT = 0.99
"""Share of interactive requests whose first token has to come within the SLO."""

_TRIED_PODS = (1, 4, 16, 48)
_CURVE_OF = 3
_USES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)
_TRIAL_REQUESTS = 2_500
_TRIALS = 5
_SAMPLE = 4_000
_FIRST_LOAD = 10.0
_PEAK_SHARE = 0.99
BEGIN_SECONDS = 300.0
"""How much of a load tells what it begins with."""


@dataclass(frozen=True)
class Sizing:
    """`rates[i]` requests a second are the most that `pods[i]` serve within the SLO.

    At `uses[i]` times that rate the share `missed[i]` comes too late.
    """

    pods: Sequence[int]
    rates: Sequence[float]
    uses: Sequence[float] = (1.0, 1.0)
    missed: Sequence[float] = (0.0, 1.0)

    def rate(self, pods: float) -> float:
        """The most that so many pods serve: per pod it goes in a straight line between trials."""
        if pods <= self.pods[0]:
            return self.rates[0] * pods / self.pods[0]
        if pods >= self.pods[-1]:
            return self.rates[-1] * pods / self.pods[-1]
        after = bisect.bisect_right(self.pods, pods)
        low, high = self.pods[after - 1], self.pods[after]
        part = math.log(pods / low) / math.log(high / low)
        each_low, each_high = self.rates[after - 1] / low, self.rates[after] / high
        return pods * (each_low + part * (each_high - each_low))

    def pods_for(self, rate: float) -> int:
        """The fewest pods that serve a rate; 0 for none."""
        if rate <= 0:
            return 0
        low, high = 0, 1
        while self.rate(high) < rate:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.rate(middle) < rate else (low, middle)
        return high


def sample_of(workload: Workload, seed: int) -> list[Request]:
    """Requests drawn evenly from a workload."""
    chance = random.Random(seed)  # noqa: S311 - a simulation
    kept: list[Request] = []
    for number, request in enumerate(workload.arrivals()):
        if len(kept) < _SAMPLE:
            kept.append(request)
        elif (place := chance.randrange(number + 1)) < _SAMPLE:
            kept[place] = request
    return kept


def steady(requests: Sequence[Request], rate: float, count: int, seed: int) -> Workload:
    """So many of the requests, again and again, at a Poisson rate."""

    def arrivals() -> Iterator[Request]:
        chance, at = random.Random(seed), 0.0  # noqa: S311 - a simulation
        for _ in range(count):
            at += chance.expovariate(rate)
            yield dataclasses.replace(chance.choice(requests), arrived_seconds=at)

    return Workload("steady", count / rate, arrivals)


def measure(
    model: PodModel,
    requests: Sequence[Request],
    slo_seconds: float,
    seed: int,
    *,
    most_pods: int,
    has_misses: bool = True,
) -> Sizing:
    """Find by trial what fleets serve of a mix of requests; with the share of misses by use.

    Sizes up to the first that is no smaller than `most_pods` are tried, at least two.
    """

    def missed(pods: int, rate: float, most: float = math.inf) -> int:
        workload = steady(requests, rate, _TRIAL_REQUESTS, seed)
        setting = Setting(model, workload, pods, ttft_slo_seconds=slo_seconds)
        return Simulation(setting, FixedSize(pods)).run(most_misses=most).misses

    rates: list[float] = []
    each = 1.0 / pod_seconds(model, requests)
    most = (1.0 - ATTAINMENT) * _TRIAL_REQUESTS
    count = 2 + sum(pods < most_pods for pods in _TRIED_PODS[1:-1])
    tried = _TRIED_PODS[:count]
    for pods in tried:
        low, high = 0.0, pods * each
        for _ in range(_TRIALS):
            rate = (low + high) / 2
            low, high = (rate, high) if missed(pods, rate, most) <= most else (low, rate)
        # What one pod cannot serve within the SLO at any rate is served as well as it can be.
        rates.append(low or pods * each)
    if not has_misses:
        return Sizing(tried, rates)
    pods, rate = tried[:_CURVE_OF][-1], rates[:_CURVE_OF][-1]
    shares = [missed(pods, use * rate) / _TRIAL_REQUESTS for use in _USES]
    return Sizing(tried, rates, _USES, tuple(itertools.accumulate(shares, max)))


def pod_seconds(model: PodModel, requests: Sequence[Request]) -> float:
    """What a full pod takes for a request, on average."""
    full = model.max_sequences
    step = model.step_seconds[full] / model.tokens_per_step[full]
    total = 0.0
    for request in requests:
        prefill = request.prompt_tokens * model.prefill_token_seconds
        total += prefill + request.output_tokens * step / full
    return total / len(requests)


def peak_rate(workload: Workload) -> float:
    """The 99th percentile of the rates of one minute."""
    rates = sorted(workload.rates())
    return rates[min(len(rates) - 1, math.ceil(_PEAK_SHARE * len(rates)) - 1)]


def scaled_to(source: Source, sizing: Sizing, peak_pods: int, seed: int) -> Workload:
    """The load at which the peak needs so many pods; unscaled for 0."""
    if peak_pods == 0:
        return source.scaled(1.0, seed)
    wanted, load = sizing.rate(peak_pods), _FIRST_LOAD
    for _ in range(2):
        load *= wanted / peak_rate(source.scaled(load, seed))
    return source.scaled(load, seed)


def pods_at_begin(workload: Workload, sizing: Sizing) -> int:
    """What the first five minutes need."""
    count = 0
    for request in workload.arrivals():
        if request.arrived_seconds >= BEGIN_SECONDS:
            break
        count += 1
    return sizing.pods_for(count / min(BEGIN_SECONDS, workload.duration_seconds))
