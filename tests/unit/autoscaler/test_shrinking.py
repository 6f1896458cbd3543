"""Which pods are to go, and when the scale may fall."""

from __future__ import annotations

from typing import Any

from facet.autoscaler.deletion_costs import LEAVING_COST
from facet.autoscaler.pod_watch import KnownPod
from facet.autoscaler.shrinking import Drains, Shrink
from facet.autoscaler.signals import Phase, Pod, WorkerLoad

BOUND_SECONDS = 100.0


def known(name: str, phase: Phase = Phase.READY, *, leaves: bool = False) -> KnownPod:
    return KnownPod(Pod(name, "one", phase, 60.0, 30.0), LEAVING_COST if leaves else 0)


def load(name: str, running: int, *, draining: bool = False) -> WorkerLoad:
    return WorkerLoad(name, "one", running, 8, is_draining=draining)


class Pool:
    """A pool whose pods and clock a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.drains = Drains(BOUND_SECONDS, clock=lambda: self.seconds)

    def plan(self, pods: list[KnownPod], loads: list[WorkerLoad], *sizes: int) -> Shrink:
        replicas, wanted = sizes
        return self.drains.plan(pods, {each.name: each for each in loads}, replicas, wanted)


def test_the_idlest_are_marked_and_asked_when_fewer_are_wanted() -> None:
    pods = [known("a"), known("b"), known("c")]
    shrink = Pool().plan(pods, [load("a", 5), load("b", 0), load("c", 2)], 3, 1)

    assert shrink == Shrink(replicas=3, leaving=("b", "c"), asked=("b", "c"))


def test_those_that_do_not_serve_yet_go_first_when_fewer_are_wanted() -> None:
    pods = [
        known("ready"),
        known("loading", Phase.LOADING),
        known("nowhere", Phase.UNSCHEDULABLE),
    ]
    shrink = Pool().plan(pods, [load("ready", 0)], 3, 1)

    assert shrink.leaving == ("nowhere", "loading")
    assert shrink.asked == ()


def test_the_scale_stays_until_a_worker_is_empty_when_it_drains() -> None:
    pool = Pool()
    pods = [known("a", leaves=True), known("b")]

    def replicas(running: int, *, draining: bool) -> int:
        return pool.plan(pods, [load("a", running, draining=draining), load("b", 0)], 2, 1).replicas

    assert replicas(3, draining=False) == 2
    assert replicas(0, draining=False) == 2, "it may claim as long as it does not drain"
    assert replicas(3, draining=True) == 2
    assert replicas(0, draining=True) == 1


def test_the_scale_falls_by_those_that_are_empty_when_others_still_work() -> None:
    pods = [known(name, leaves=True) for name in "abc"] + [known("d")]
    loads = [load("a", 0, draining=True), load("b", 4, draining=True), load("c", 0, draining=True)]

    assert Pool().plan(pods, [*loads, load("d", 1)], 4, 1).replicas == 2


def test_a_pod_whose_mark_is_not_seen_yet_is_not_counted_when_it_is_empty() -> None:
    shrink = Pool().plan([known("a"), known("b")], [load("a", 0, draining=True)], 2, 1)

    assert shrink.replicas == 2


def test_the_scale_does_not_fall_twice_when_kubernetes_has_yet_to_delete() -> None:
    pods = [known("a", leaves=True), known("b", leaves=True), known("c"), known("d")]
    loads = [load("a", 0, draining=True), load("b", 3, draining=True)]
    loads += [load("c", 1), load("d", 1)]

    assert Pool().plan(pods, loads, 4, 2).replicas == 3
    # The scale is 3, and "a" is not gone.
    assert Pool().plan(pods, loads, 3, 2).replicas == 3


def test_a_worker_goes_with_its_work_when_the_bound_has_passed() -> None:
    pool = Pool()
    pods = [known("a", leaves=True), known("b")]
    loads = [load("a", 3, draining=True), load("b", 7)]

    assert pool.plan(pods, loads, 2, 1).replicas == 2
    pool.seconds = BOUND_SECONDS - 1
    assert pool.plan(pods, loads, 2, 1).replicas == 2
    pool.seconds = BOUND_SECONDS
    assert pool.plan(pods, loads, 2, 1).replicas == 1


def test_a_silent_ready_worker_is_waited_for_when_it_may_hold_work() -> None:
    pods = [known("a", leaves=True), known("b")]

    assert Pool().plan(pods, [load("b", 1)], 2, 1).replicas == 2


def test_marks_are_taken_back_when_more_are_wanted_again() -> None:
    pods = [known("a", leaves=True), known("b")]
    loads = [load("a", 1, draining=True), load("b", 1)]

    assert Pool().plan(pods, loads, 2, 3) == Shrink(replicas=3, staying=("a",))


def test_those_that_another_leader_marked_go_on_leaving() -> None:
    pods = [known("a"), known("b", leaves=True)]
    shrink = Pool().plan(pods, [load("a", 0), load("b", 6, draining=True)], 2, 1)

    assert shrink == Shrink(replicas=2)


def test_terminating_pods_are_not_counted_when_a_pool_shrinks_to_zero() -> None:
    pods: list[Any] = [known("a", Phase.TERMINATING, leaves=True), known("b", leaves=True)]
    shrink = Pool().plan(pods, [load("b", 0, draining=True)], 1, 0)

    assert shrink.replicas == 0
