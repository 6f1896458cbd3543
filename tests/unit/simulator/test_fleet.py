"""Pods start, serve, end and fail as pods do."""

from __future__ import annotations

import dataclasses

import pytest

from facet.autoscaler.signals import Phase
from facet.simulator.faults import Faults, PoolFaults
from facet.simulator.fleet import Fleet
from facet.simulator.kernel import Kernel
from facet.simulator.measures import Measures
from facet.simulator.pod_model import PodModel
from facet.simulator.queueing import SimulatedQueue
from facet.simulator.request import Request
from tests.support.simulated_pods import PLAIN

pytestmark = pytest.mark.unit

POOL = "pool"
COLD = 40.0


class Scene:
    """A fleet with its clock."""

    def __init__(self, model: PodModel = PLAIN, faults: Faults | None = None) -> None:
        self.kernel = Kernel()
        self.queue = SimulatedQueue(lambda: self.kernel.now)
        self.measures = Measures(2.0)
        self.fleet = Fleet(
            self.kernel,
            self.queue,
            model,
            self.measures,
            cold_start_seconds=COLD,
            faults=faults or Faults(),
        )

    def run_to(self, seconds: float) -> None:
        self.kernel.run(lambda: False, until=seconds)
        self.kernel.now = seconds

    def phases(self) -> list[Phase]:
        return [pod.phase for pod in self.fleet.pods.values()]

    def submit(self, *requests: Request) -> None:
        for request in requests:
            self.measures.submitted(request)
            self.fleet.submit(request)


def test_a_pod_goes_through_its_phases_before_it_serves() -> None:
    scene = Scene()
    request = Request(0.0, 100, 10)
    scene.submit(request)
    scene.fleet.resize(POOL, 1)
    seen = []
    for at in (5.0, 15.0, 25.0, 35.0):
        scene.run_to(at)
        seen += scene.phases()

    assert seen == [Phase.UNSCHEDULABLE, Phase.PULLING, Phase.LOADING, Phase.WARMING]
    scene.run_to(60.0)
    assert scene.phases() == [Phase.READY]
    assert request.first_token_seconds == pytest.approx(COLD + 0.15)
    assert scene.measures.ended_requests == 1


def test_starting_pods_go_before_ready_ones_and_idle_before_busy_ones() -> None:
    scene = Scene()
    scene.fleet.begin_with(POOL, 2)
    scene.submit(Request(0.0, 100, 1000))
    busy = next(pod for pod in scene.fleet.pods.values() if pod.held)
    scene.fleet.resize(POOL, 3)

    scene.fleet.resize(POOL, 2)
    assert scene.phases() == [Phase.READY, Phase.READY]
    scene.fleet.resize(POOL, 1)
    assert list(scene.fleet.pods.values()) == [busy]


def test_work_goes_on_elsewhere_when_a_pod_cannot_finish_it_in_its_drain() -> None:
    scene = Scene()
    scene.fleet.begin_with(POOL, 1)
    long, short = Request(0.0, 100, 100), Request(0.0, 100, 10)
    scene.submit(long, short)
    scene.run_to(0.5)

    scene.fleet.resize(POOL, 0)
    scene.run_to(2.0)
    assert scene.measures.ended_requests == 1
    assert scene.phases() == [Phase.TERMINATING]
    scene.run_to(0.5 + PLAIN.drain_seconds + 0.1)
    assert scene.phases() == []
    assert 20 < long.given_tokens < 50

    given, first = long.given_tokens, long.first_token_seconds
    scene.fleet.resize(POOL, 1)
    scene.run_to(80.0)
    assert scene.measures.ended_requests == 2
    assert long.given_tokens == 100 > given
    assert long.first_token_seconds == first


def test_a_pod_is_paid_from_the_request_for_it_until_it_is_gone() -> None:
    scene = Scene()
    scene.run_to(10.0)
    scene.fleet.resize(POOL, 1)
    scene.run_to(100.0)
    scene.fleet.resize(POOL, 0)

    assert scene.measures.pod_hours * 3600 == pytest.approx(90.0)


def test_requests_wait_for_seats_and_for_room_in_the_cache() -> None:
    small = dataclasses.replace(PLAIN, kv_tokens=1200)
    scene = Scene(small)
    scene.fleet.begin_with(POOL, 1)
    requests = [Request(0.0, 100, 10) for _ in range(6)]
    scene.submit(*requests)
    pod = next(iter(scene.fleet.pods.values()))

    # 100 and the learned mean of 256 tokens each: three fit.
    assert len(pod.held) == 3
    scene.run_to(30.0)
    assert scene.measures.ended_requests == 6


def test_what_is_claimed_ahead_waits_in_the_pod_for_a_seat() -> None:
    scene = Scene(dataclasses.replace(PLAIN, claim_ahead=2))
    scene.fleet.begin_with(POOL, 1)
    scene.submit(*(Request(0.0, 100, 100) for _ in range(8)))
    pod = next(iter(scene.fleet.pods.values()))

    assert len(pod.held) == 4
    scene.run_to(1.5)
    assert len(pod.held) == 6
    assert len(pod.engine) == 4
    assert pod.use == 1.0
    scene.run_to(60.0)
    assert scene.measures.ended_requests == 8


def test_a_full_pod_leaves_what_comes_to_one_with_a_free_seat() -> None:
    scene = Scene(dataclasses.replace(PLAIN, claim_ahead=2))
    scene.fleet.begin_with(POOL, 2)
    scene.submit(*(Request(0.0, 100, 500) for _ in range(8)))
    first, second = scene.fleet.pods.values()
    assert (len(first.held), len(second.held)) == (4, 4)

    # Both are full: it waits for a second, then it is claimed ahead.
    late = Request(0.5, 100, 10)
    scene.run_to(0.5)
    scene.submit(late)
    assert scene.queue.has_waiting
    scene.run_to(2.0)
    assert not scene.queue.has_waiting


def test_work_waits_until_leases_lapse_when_an_engine_fails() -> None:
    faults = Faults({POOL: PoolFaults(failures_per_hour=1e-9)})
    scene = Scene(faults=faults)
    faults.failure_after = lambda pool: 1.0 if scene.kernel.now < 1 else None  # type: ignore[method-assign]
    scene.fleet.begin_with(POOL, 1)
    request = Request(0.0, 100, 100)
    scene.submit(request)
    scene.run_to(1.5)
    assert scene.phases() == [Phase.LOADING]
    given = request.given_tokens
    assert given > 10

    # Loading and warming are half of a start; the leases lapse before.
    scene.run_to(60.0)
    assert scene.phases() == [Phase.READY]
    assert scene.measures.ended_requests == 1
    assert scene.measures.pod_hours == 0.0


def test_a_lost_node_is_replaced_and_its_work_is_handed_back() -> None:
    faults = Faults({POOL: PoolFaults(losses_per_hour=1e-9)})
    scene = Scene(faults=faults)
    faults.loss_after = lambda pool: 1.0 if scene.kernel.now < 1 else None  # type: ignore[method-assign]
    scene.fleet.begin_with(POOL, 1)
    scene.submit(Request(0.0, 100, 200))
    scene.run_to(1.5)

    assert scene.phases() == [Phase.TERMINATING, Phase.UNSCHEDULABLE]
    scene.run_to(100.0)
    assert scene.phases() == [Phase.READY]
    assert scene.measures.ended_requests == 1


def test_a_pod_stays_without_a_node_and_costs_nothing_while_there_is_none() -> None:
    scene = Scene(faults=Faults({POOL: PoolFaults(stock_outs=((0.0, 300.0),))}))
    scene.fleet.resize(POOL, 1)
    scene.run_to(290.0)
    assert scene.phases() == [Phase.UNSCHEDULABLE]

    scene.run_to(400.0)
    assert scene.phases() == [Phase.READY]
    scene.fleet.resize(POOL, 0)
    # A node was found between 300 and 315; a search for one of ten seconds is paid.
    assert 85.0 <= scene.measures.pod_hours * 3600 <= 110.0
