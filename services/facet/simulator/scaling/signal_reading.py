"""What the policy is told of a simulated cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean, pstdev

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.learned_coefficients import LearnedCoefficients
from facet.autoscaler.signals import (
    Arrivals,
    Latency,
    LeasedWork,
    Phase,
    Pod,
    Reading,
    Signals,
    StartUp,
    WaitingWork,
    WorkerLoad,
)
from facet.autoscaler.work import Modality, Work
from facet.queue.values import Priority
from facet.simulator.measures import Window
from facet.simulator.pod import SimulatedPod
from facet.simulator.pod_model import PodModel
from facet.simulator.queueing import TENANT
from facet.simulator.scaling.port import Cluster

_LATENCY_SECONDS = 60.0
"""Window of the percentiles."""


class SignalReader:
    """Reads all signals, each of this moment; arrivals since the last reading."""

    def __init__(
        self, cluster: Cluster, window: Window, model: PodModel, ttft_slo_seconds: float
    ) -> None:
        self._cluster = cluster
        self._window = window
        self._model = model
        self._slo = ttft_slo_seconds
        self._read_seconds = 0.0

    def read(
        self, learned: Mapping[str, LearnedCoefficients]
    ) -> tuple[Signals, list[tuple[str, TimingSample]]]:
        """The signals, and the timing samples by pool that came in since the last reading."""
        now = self._cluster.kernel.now
        pods = list(self._cluster.fleet.pods.values())
        ready = [pod for pod in pods if pod.phase in (Phase.READY, Phase.TERMINATING)]
        timings, self._window.timings = self._window.timings, []
        coefficients = {pool: each.coefficients for pool, each in learned.items() if each.samples}
        signals = Signals(
            at_seconds=now,
            queue=Reading({each: self._waiting(each) for each in Priority}),
            leased=Reading(self._leased(pods)),
            arrivals=Reading(self._arrivals(now)),
            workers=Reading(tuple(self._load(pod) for pod in ready)),
            pods=Reading(tuple(_pod(pod, now) for pod in pods)),
            startup=Reading(self._startups()),
            latency=Reading({each: self._latency(each, now) for each in Priority}),
            coefficients=Reading(coefficients),
        )
        return signals, timings

    def _waiting(self, priority: Priority) -> WaitingWork:
        queue = self._cluster.queue
        requests, tokens = queue.waiting(priority)
        outputs = min(requests * queue.mean_output_tokens, float(tokens))
        work = Work(requests, {Modality.TEXT: tokens - outputs}, outputs)
        return WaitingWork(work, queue.oldest_seconds(priority))

    def _leased(self, pods: Iterable[SimulatedPod]) -> LeasedWork:
        held = sum(len(pod.held) for pod in pods)
        mean = self._cluster.queue.mean_output_tokens
        # On average half of each answer has been given.
        return LeasedWork(held, held * mean / 2, {TENANT: held} if held else {})

    def _arrivals(self, now: float) -> Arrivals | None:
        seconds, self._read_seconds = now - self._read_seconds, now
        arrived, self._window.arrived = self._window.arrived, {}
        mean = self._cluster.queue.mean_output_tokens
        classes = {
            priority: Work(each.requests, dict(each.prompts), each.requests * mean)
            for priority, each in arrived.items()
        }
        return Arrivals(seconds, classes) if seconds > 0 else None

    def _load(self, pod: SimulatedPod) -> WorkerLoad:
        batch = pod.engine.decoding
        return WorkerLoad(
            name=pod.name,
            pool=pod.pool,
            running=len(pod.held),
            capacity=self._model.max_sequences,
            is_draining=pod.phase is Phase.TERMINATING,
            tokens_per_step=self._model.tokens_per_step[batch] if batch else None,
        )

    def _startups(self) -> dict[str, StartUp]:
        by_pool: dict[str, list[float]] = {}
        for pool, seconds in self._window.starts:
            by_pool.setdefault(pool, []).append(seconds)
        return {
            pool: StartUp(fmean(times), pstdev(times), len(times))
            for pool, times in by_pool.items()
        }

    def _latency(self, priority: Priority, now: float) -> Latency:
        kept = self._window.ttfts[priority]
        while kept and kept[0][0] < now - _LATENCY_SECONDS:
            kept.popleft()
        if not kept:
            return Latency()
        times = sorted(ttft for _, ttft in kept)
        within = sum(ttft <= self._slo for ttft in times) / len(times)
        return Latency(
            ttft_p50_seconds=times[len(times) // 2],
            ttft_p99_seconds=times[min(len(times) - 1, int(0.99 * len(times)))],
            within_slo=within,
        )


def _pod(pod: SimulatedPod, now: float) -> Pod:
    return Pod(
        pod.name, pod.pool, pod.phase, now - pod.created_seconds, now - pod.phase_since_seconds
    )
