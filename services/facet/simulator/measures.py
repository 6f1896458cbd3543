"""What is measured of one simulation, in memory that does not grow with the requests."""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field

from facet.autoscaler.coefficients import TimingSample
from facet.autoscaler.work import Modality
from facet.queue.values import Priority
from facet.simulator.pod import SimulatedPod
from facet.simulator.request import Request

_FINEST_SECONDS = 0.001
_WIDTH = math.log(1.005)
_BUCKETS = 4096


class Histogram:
    """Times from a millisecond to a week, known to half a percent."""

    def __init__(self) -> None:
        self._counts = array("q", bytes(8 * _BUCKETS))
        self._total = 0

    def add(self, seconds: float) -> None:
        """Count one."""
        number = int(math.log(max(seconds, _FINEST_SECONDS) / _FINEST_SECONDS) / _WIDTH)
        self._counts[min(number, _BUCKETS - 1)] += 1
        self._total += 1

    def percentile(self, share: float) -> float | None:
        """The time within which that share is, None where nothing was counted."""
        left = share * self._total
        for number, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                return _FINEST_SECONDS * math.exp((number + 1) * _WIDTH)
        return None


_TIMINGS = 64
"""Timing samples between two looks at the window: workers export spans at a bounded rate."""
_KINDS = {"": Modality.TEXT, "i": Modality.IMAGE, "a": Modality.AUDIO, "v": Modality.VIDEO}


def prompt_by_modality(request: Request) -> dict[Modality, int]:
    """Prompt tokens by what they stand for."""
    tokens = {Modality.TEXT: request.prompt_tokens - request.media_tokens}
    if request.media:
        tokens[_KINDS[request.media]] = request.media_tokens
    return tokens


def _timing(request: Request, pod: SimulatedPod, now: float) -> TimingSample:
    decoded = pod.engine.decoded(request, now)
    return TimingSample(
        prompt_tokens=prompt_by_modality(request),
        cached_tokens=0,
        output_tokens=request.given_tokens - request.claimed_tokens,
        steps=round(decoded.steps),
        prefill_seconds=request.decoding.seconds - request.started_seconds,
        decode_seconds=decoded.seconds,
        batch_size=decoded.batch,
    )


@dataclass
class Sample:
    """The state at one time, for plots. `ttft_seconds` is the worst since the sample before."""

    at_seconds: float
    arrived: int
    ready_pods: int
    paid_pods: int
    oldest_seconds: float
    ttft_seconds: float


@dataclass
class Arrived:
    """Requests of a class and the tokens of their prompts."""

    requests: int = 0
    prompts: Counter[Modality] = field(default_factory=Counter)


@dataclass
class Window:
    """What was seen lately, which signals are read from; whoever reads takes off what is old."""

    ttfts: dict[Priority, deque[tuple[float, float]]] = field(
        default_factory=lambda: {each: deque(maxlen=100_000) for each in Priority}
    )
    starts: deque[tuple[str, float]] = field(default_factory=lambda: deque(maxlen=64))
    arrived: dict[Priority, Arrived] = field(default_factory=dict)
    timings: list[tuple[str, TimingSample]] = field(default_factory=list)

    def count(self, request: Request) -> None:
        """Add to what arrived."""
        arrived = self.arrived.setdefault(request.priority, Arrived())
        arrived.requests += 1
        arrived.prompts[Modality.TEXT] += request.prompt_tokens - request.media_tokens
        if request.media:
            arrived.prompts[_KINDS[request.media]] += request.media_tokens


class Measures:
    """Counts of one simulation; `facet.simulator.fleet.Observer`.

    Attainment is of interactive requests, those that never began among the misses. What arrives
    or is paid before `measured_from_seconds` is not counted, but for signals.
    """

    def __init__(self, ttft_slo_seconds: float, measured_from_seconds: float = 0.0) -> None:
        self.measured_from_seconds = measured_from_seconds
        self.arrived = 0
        self.ended_requests = 0
        self.interactive = 0
        self.within_slo = 0
        self.late = 0
        self.scale_events = 0
        self.peak_pods = 0
        self.first_token_seconds: float | None = None
        self.ttft = Histogram()
        self.samples: list[Sample] = []
        self.window: Window | None = None
        self._slo = ttft_slo_seconds
        self._pod_seconds = 0.0
        self._worst_ttft = 0.0
        self._sampled_arrived = 0

    def submitted(self, request: Request) -> None:
        """A request arrived."""
        if self.window is not None:
            self.window.count(request)
        if not self._counts(request):
            return
        self.arrived += 1
        if request.priority is Priority.INTERACTIVE:
            self.interactive += 1

    def first_token(self, request: Request, now: float) -> None:
        """See `Observer.first_token`."""
        ttft = now - request.arrived_seconds
        if self.window is not None:
            self.window.ttfts[request.priority].append((now, ttft))
        if not self._counts(request):
            return
        if self.first_token_seconds is None:
            self.first_token_seconds = ttft
        if request.priority is not Priority.INTERACTIVE:
            return
        if ttft <= self._slo:
            self.within_slo += 1
        else:
            self.late += 1
        self._worst_ttft = max(self._worst_ttft, ttft)
        self.ttft.add(ttft)

    def ended(self, request: Request, pod: SimulatedPod, now: float) -> None:
        """See `Observer.ended`."""
        self.ended_requests += self._counts(request)
        if self.window is not None and len(self.window.timings) < _TIMINGS:
            self.window.timings.append((pod.pool, _timing(request, pod, now)))

    def pod_ready(self, pod: SimulatedPod, now: float) -> None:
        """See `Observer.pod_ready`."""
        if self.window is not None and now > pod.created_seconds:
            self.window.starts.append((pod.pool, now - pod.paid_since_seconds))

    def pod_gone(self, pod: SimulatedPod, now: float) -> None:
        """See `Observer.pod_gone`."""
        since = max(pod.paid_since_seconds, self.measured_from_seconds)
        self._pod_seconds += max(0.0, now - since)

    def resized(self, now: float) -> None:
        """The wanted size changed."""
        self.scale_events += now >= self.measured_from_seconds

    def _counts(self, request: Request) -> bool:
        return request.arrived_seconds >= self.measured_from_seconds

    @property
    def misses(self) -> int:
        """Interactive requests whose first token was late, or never came."""
        return self.interactive - self.within_slo

    @property
    def attainment(self) -> float:
        """Share of interactive requests within the SLO."""
        return self.within_slo / self.interactive if self.interactive else 1.0

    @property
    def pod_hours(self) -> float:
        """Paid pod time, of those that are gone."""
        return self._pod_seconds / 3600.0

    def sample(self, now: float, ready: int, paid: int, oldest_seconds: float) -> None:
        """Note the state for plots."""
        if now < self.measured_from_seconds:
            return
        self.peak_pods = max(self.peak_pods, paid)
        arrived = self.arrived - self._sampled_arrived
        self._sampled_arrived = self.arrived
        at = now - self.measured_from_seconds
        self.samples.append(Sample(at, arrived, ready, paid, oldest_seconds, self._worst_ttft))
        self._worst_ttft = 0.0
