"""All policies on one workload, each in a process of its own."""

from __future__ import annotations

import functools
import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from facet.queue.values import Priority
from facet.simulator.faults import Faults, PoolFaults
from facet.simulator.measures import Measures
from facet.simulator.pod_model import PodModel
from facet.simulator.scaling.baselines import FixedSize, HpaUtilisation, KedaQueueLength
from facet.simulator.scaling.clairvoyant import Clairvoyant
from facet.simulator.scaling.facet_policy import FacetPolicy, PoolOfPods
from facet.simulator.scaling.port import POOL, SPOT, Scaler
from facet.simulator.simulation import Setting, Simulation
from facet.simulator.sizing import (
    ATTAINMENT,
    BEGIN_SECONDS,
    Sizing,
    measure,
    peak_rate,
    pod_seconds,
    pods_at_begin,
    sample_of,
    scaled_to,
)
from facet.simulator.workloads.mixing import with_batch
from facet.simulator.workloads.synthetic import SYNTHETIC
from facet.simulator.workloads.trace import read_trace
from facet.simulator.workloads.workload import Source

POLICIES = (
    "facet",
    "keda-queue-length",
    "hpa-utilisation",
    "fixed-mean",
    "fixed-peak",
    "clairvoyant",
)
_MOST_PODS_SHARE = 2
"""Autoscalers may have so many times the pods of the peak."""
_SEARCH_STEP = 0.06
"""Share by which fixed sizes are tried up or down before the last are bisected."""
SPOT_PRICE = 0.4
"""Of a spot pod, in prices of the other ones; it only orders them."""


@dataclass(frozen=True)
class Options:
    """What is compared on what; `None` for `trace` takes the synthetic `workload`."""

    trace: Path | None = None
    workload: str = "diurnal"
    policies: tuple[str, ...] = POLICIES
    pod_model: Path | None = None
    peak_pods: int = 40
    cold_start_seconds: float = 240.0
    ttft_slo_seconds: float = 2.0
    time_scale: float = 1.0
    warm_up_seconds: float = 1800.0
    batch_share: float = 0.0
    spot_losses: float = 0.0
    failures: float = 0.0
    stock_out: tuple[float, float] | None = None
    seed: int = 0

    @property
    def has_spot(self) -> bool:
        """Whether there is a pool of spot pods, tried first."""
        return self.spot_losses > 0 or self.stock_out is not None


@dataclass(frozen=True)
class Outcome:
    """What one policy came to."""

    policy: str
    measures: Measures


@dataclass(frozen=True)
class Prepared:
    """The scaled load and what it needs; the same in every process that prepares it."""

    setting: Setting
    sizing: Sizing
    requests: int
    interactive: int


def prepare(options: Options, model: PodModel, sizing: Sizing | None = None) -> Prepared:
    """Read and scale the load. Errors: TraceError."""
    source = _source(options)
    if sizing is None:
        mix = sample_of(source.scaled(1.0, options.seed), options.seed)
        sizing = measure(
            model,
            mix,
            options.ttft_slo_seconds,
            options.seed,
            most_pods=options.peak_pods or _pods_at_most(source, model, options.seed),
            has_misses="clairvoyant" in options.policies,
        )
    workload = scaled_to(source, sizing, options.peak_pods, options.seed)
    if options.batch_share:
        workload = with_batch(workload, options.batch_share, options.seed)
    first_pods = pods_at_begin(workload, sizing)
    # What begins with nothing is there to be begun with nothing.
    warm_up = options.warm_up_seconds if first_pods else 0.0
    setting = Setting(
        model,
        workload,
        first_pods,
        options.cold_start_seconds,
        options.ttft_slo_seconds,
        functools.partial(_faults, options, warm_up),
        warm_up,
        BEGIN_SECONDS,
    )
    requests = interactive = 0
    for request in workload.arrivals():
        requests += 1
        interactive += request.priority is Priority.INTERACTIVE
    return Prepared(setting, sizing, requests, interactive)


def _pods_at_most(source: Source, model: PodModel, seed: int) -> int:
    """What an unscaled load may need at its peak: full pods, and as many again."""
    workload = source.scaled(1.0, seed)
    return math.ceil(2 * peak_rate(workload) * pod_seconds(model, sample_of(workload, seed)))


def compare(
    options: Options, model: PodModel, tell: Callable[[str, str], None]
) -> Iterator[Outcome]:
    """Outcomes in the order of the policies; `tell` hears who is how far, in any process.

    Errors: TraceError.
    """
    tell("sizing", "what fleets of such pods serve of this load within the SLO")
    prepared = prepare(options, model)
    peak = prepared.sizing.pods_for(peak_rate(prepared.setting.workload))
    tell("sizing", f"{prepared.requests} requests; the peak needs about {peak} pods")
    context = multiprocessing.get_context("forkserver")
    workers = min(len(options.policies), multiprocessing.cpu_count())
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        # The longest first.
        order = sorted(options.policies, key=POLICIES.index, reverse=True)
        futures = {
            name: pool.submit(run_policy, options, model, prepared.sizing, name, tell)
            for name in order
        }
        for name in options.policies:
            yield futures[name].result()


def run_policy(
    options: Options,
    model: PodModel,
    sizing: Sizing,
    name: str,
    tell: Callable[[str, str], None],
) -> Outcome:
    """One policy on the load."""
    prepared = prepare(options, model, sizing)
    if name == "clairvoyant":
        clairvoyant = Clairvoyant(
            prepared.setting,
            sizing,
            prepared.interactive,
            tell=functools.partial(tell, name),
        )
        return Outcome(name, clairvoyant.find().measures)
    if name == "fixed-peak":
        return Outcome(name, _smallest_fixed(prepared, functools.partial(tell, name)))
    scaler = _scaler(name, options, prepared)
    progress = _Progress(name, prepared.requests, tell)
    return Outcome(name, Simulation(prepared.setting, scaler, tell=progress).run())


def _scaler(name: str, options: Options, prepared: Prepared) -> Scaler:
    setting = prepared.setting
    # A load that begins with nothing is for who can begin with nothing.
    least = min(1, setting.initial_pods)
    most = _MOST_PODS_SHARE * max(
        options.peak_pods, prepared.sizing.pods_for(peak_rate(setting.workload))
    )
    if name == "keda-queue-length":
        return KedaQueueLength(min_pods=least, max_pods=most)
    if name == "hpa-utilisation":
        return HpaUtilisation(min_pods=least, max_pods=most)
    if name == "fixed-mean":
        mean = prepared.requests / setting.workload.duration_seconds
        return FixedSize(prepared.sizing.pods_for(mean))
    pools = [PoolOfPods(POOL)]
    if options.has_spot:
        pools.insert(0, PoolOfPods(SPOT, is_spot=True, price_per_hour=SPOT_PRICE))
    return FacetPolicy(
        setting.model,
        pools,
        min_pods=least,
        max_pods=most,
        cold_start_seconds=setting.cold_start_seconds,
        ttft_slo_seconds=setting.ttft_slo_seconds,
    )


def _smallest_fixed(prepared: Prepared, tell: Callable[[str], None]) -> Measures:
    """The smallest fixed size that meets the SLO; a size at which more do not help if none does."""
    pods = max(1, prepared.sizing.pods_for(peak_rate(prepared.setting.workload)))
    tried: dict[int, Measures] = {}

    def meets(count: int) -> bool:
        tried[count] = _fixed(prepared, count)
        tell(f"{count} pods: {tried[count].attainment:.4f} within the SLO")
        return tried[count].attainment >= ATTAINMENT

    step = max(1, round(pods * _SEARCH_STEP))
    if meets(pods):
        high, low = pods, pods - step
        while low > 0 and meets(low):
            high, low = low, low - step
    else:
        low, high = pods, pods + step
        while not meets(high):
            if high > _MOST_PODS_SHARE * pods:
                return Simulation(prepared.setting, FixedSize(high)).run()
            low, high = high, high + step
    low = max(low, 0)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if meets(middle) else (middle, high)
    return tried[high]


def _fixed(prepared: Prepared, count: int) -> Measures:
    most = (1.0 - ATTAINMENT) * prepared.interactive
    return Simulation(prepared.setting, FixedSize(count)).run(most_misses=most)


def _source(options: Options) -> Source:
    source = read_trace(options.trace) if options.trace else SYNTHETIC[options.workload]()
    return source if options.time_scale == 1.0 else source.stretched(options.time_scale)


def _faults(options: Options, begin_seconds: float) -> Faults:
    stock_outs = []
    if options.stock_out:
        begin, end = options.stock_out
        stock_outs.append((begin_seconds + begin, begin_seconds + end))
    lossy = PoolFaults(options.spot_losses, options.failures, tuple(stock_outs))
    plain = PoolFaults(failures_per_hour=options.failures)
    return Faults({SPOT: lossy, POOL: plain}, options.seed)


@dataclass
class _Progress:
    """Tells how far a simulation is, a few times a run."""

    policy: str
    requests: int
    tell: Callable[[str, str], None]
    told: int = 0

    def __call__(self, now: float, arrived: int) -> None:
        part = 10 * arrived // max(self.requests, 1)
        if part > self.told:
            self.told = part
            self.tell(self.policy, f"{10 * part} % of {self.requests} requests, {now:.0f} s")
