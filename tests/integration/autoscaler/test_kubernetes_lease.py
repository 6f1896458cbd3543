"""The Lease over real HTTP: never two leaders, whatever clocks, stalls and the network do."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import pairwise
from random import Random

import pytest

from facet.autoscaler.kubernetes_api import KubernetesApi, KubernetesError, NotLeadingError
from facet.autoscaler.kubernetes_lease import LeaseElection
from tests.support.kubernetes_cluster import Fault, KubernetesServer

pytestmark = pytest.mark.integration

LEASE = "facet-autoscaler"
SECONDS = 15
MARGIN = 5.0


class Clock:
    """Seconds that a test moves, at a rate and from a time of its own."""

    def __init__(self, start: float = 0.0, rate: float = 1.0) -> None:
        self.start, self.rate, self.passed = start, rate, 0.0

    def __call__(self) -> float:
        return self.start + self.rate * self.passed


def replica(
    api: KubernetesApi, name: str, clock: Clock, *, wall_ahead: float = 0.0
) -> LeaseElection:
    return LeaseElection(
        api,
        LEASE,
        name,
        seconds=SECONDS,
        margin_seconds=MARGIN,
        clock=clock,
        wall=lambda: 1.8e9 + wall_ahead + clock.passed,
    )


async def test_the_first_leads_and_the_second_waits(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    first, second = (replica(api, name, clock) for name in ("first", "second"))
    for _ in range(3):
        await first.step()
        await second.step()
        clock.passed += 3

    assert server.holder(LEASE) == "first"
    assert (first.is_leading, second.is_leading) == (True, False)
    with pytest.raises(NotLeadingError):
        second.guard()


@pytest.mark.parametrize("wall_ahead", [-86400.0, 0.0, 86400.0])
async def test_a_leader_is_followed_a_whole_lease_after_its_last_sign_when_clocks_disagree(
    server: KubernetesServer, api: KubernetesApi, wall_ahead: float
) -> None:
    clock = Clock()
    first = replica(api, "first", clock)
    second = replica(api, "second", clock, wall_ahead=wall_ahead)
    await first.step()
    await second.step()
    clock.passed = SECONDS - 0.1
    await second.step()
    assert server.holder(LEASE) == "first"
    assert not first.is_leading, "it may not begin what would not end in time"
    clock.passed = SECONDS + 0.1
    await second.step()

    assert server.holder(LEASE) == "second"
    assert (first.is_leading, second.is_leading) == (False, True)
    assert server.leases[LEASE]["spec"]["leaseTransitions"] == 1


async def test_a_paused_leader_may_not_write_when_it_comes_back(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    first, second = replica(api, "first", clock), replica(api, "second", clock)
    server.put_deployment("workers", 3)
    await first.step()
    await second.step()
    seen = await api.read_scale("workers")
    clock.passed = SECONDS + 1.0
    await second.step()
    second.guard()

    with pytest.raises(NotLeadingError):
        await api.write_scale("workers", seen, 9, first.guard)
    assert server.scale_writes() == []
    await first.step()
    assert not first.is_leading
    assert server.holder(LEASE) == "second"


async def test_the_right_to_write_ends_in_time_when_renewals_fail(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    leader = replica(api, "first", clock)
    await leader.step()
    server.faults.append(Fault(lambda method, _: method == "PUT", status=500, times=100))
    for passed in (3.0, 6.0, 9.0):
        clock.passed = passed
        with pytest.raises(KubernetesError, match="500"):
            await leader.step()
        assert leader.is_leading
    clock.passed = SECONDS - MARGIN
    assert not leader.is_leading


async def test_a_leader_goes_on_when_only_the_answer_to_its_renewal_was_lost(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    leader = replica(api, "first", clock)
    await leader.step()
    server.faults.append(Fault(lambda method, _: method == "PUT", is_cut=True, is_late=True))
    clock.passed = 8.0
    with pytest.raises(KubernetesError):
        await leader.step()
    clock.passed = 9.0
    await leader.step()
    clock.passed = 18.0

    assert leader.is_leading


async def test_there_are_not_two_leaders_when_somebody_deletes_the_lease(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    first, second = replica(api, "first", clock), replica(api, "second", clock)
    await first.step()
    await second.step()
    del server.leases[LEASE]
    clock.passed = 2.0
    await second.step()
    assert (first.is_leading, second.is_leading) == (True, False)
    clock.passed = 2.0 + SECONDS + 0.1
    await second.step()
    assert (first.is_leading, second.is_leading) == (False, True)


async def test_a_paused_leader_does_not_lead_at_once_when_the_lease_is_gone(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    """Another one led meanwhile, and leads until it has seen that the Lease is gone."""
    clock = Clock()
    first, second = replica(api, "first", clock), replica(api, "second", clock)
    await first.step()
    await second.step()
    clock.passed = SECONDS + 1.0
    await second.step()
    del server.leases[LEASE]
    await first.step()

    assert (first.is_leading, second.is_leading) == (False, True)
    clock.passed += 3.0
    await second.step()
    assert server.holder(LEASE) == "second"


async def test_the_leader_writes_the_lease_again_when_somebody_deletes_it(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    first, second = replica(api, "first", clock), replica(api, "second", clock)
    await first.step()
    await second.step()
    del server.leases[LEASE]
    clock.passed = 3.0
    await first.step()
    await second.step()

    assert (first.is_leading, second.is_leading) == (True, False)


async def test_a_lease_without_a_spec_is_taken(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.leases[LEASE] = {"metadata": {"name": LEASE, "resourceVersion": "7"}, "spec": None}
    one = replica(api, "first", Clock())
    await one.step()

    assert one.is_leading


async def test_one_of_two_wins_when_both_try_at_once(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    replicas = [replica(api, f"replica-{number}", clock) for number in range(6)]
    await asyncio.gather(*(each.step() for each in replicas))
    assert sum(each.is_leading for each in replicas) == 1
    clock.passed = 2.0 * SECONDS
    await asyncio.gather(*(each.step() for each in replicas))

    assert sum(each.is_leading for each in replicas) == 1


async def test_another_leads_at_once_when_the_leader_resigns(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    clock = Clock()
    first, second = replica(api, "first", clock), replica(api, "second", clock)
    await first.step()
    await second.step()
    await first.resign()
    assert not first.is_leading
    await second.step()

    assert second.is_leading
    await first.resign()
    assert server.holder(LEASE) == "second"


@pytest.mark.parametrize("seed", range(3))
async def test_there_are_never_two_leaders_when_replicas_stall_and_calls_fail(
    server: KubernetesServer, api: KubernetesApi, seed: int
) -> None:
    """Random stalls, lost answers, refusals; clocks run at rates that differ by 1 %.

    The Lease is deleted now and then, once all have seen it.
    """
    random = Random(seed)
    clocks = [Clock(random.uniform(0, 1e6), random.uniform(0.995, 1.005)) for _ in range(3)]
    replicas = [
        replica(api, f"replica-{number}", clock, wall_ahead=random.uniform(-1e6, 1e6))
        for number, clock in enumerate(clocks)
    ]
    stalled = [0.0] * 3
    leaders: list[int] = []
    now = 0.0
    for number in range(250):
        now += random.uniform(0.2, 2.5)
        if number > 100 and random.random() < 0.05:
            server.leases.pop(LEASE, None)
        for clock in clocks:
            clock.passed = now
        leading = [n for n, each in enumerate(replicas) if each.is_leading]
        assert len(leading) <= 1
        leaders += leading
        for index, each in enumerate(replicas):
            if stalled[index] > now:
                continue
            if random.random() < 0.04:
                stalled[index] = now + random.uniform(5, 60)
                continue
            draw = random.random()
            if draw < 0.1:
                late = random.random() < 0.5
                server.faults.append(
                    Fault(lambda *_: True, status=0 if late else 503, is_cut=late, is_late=late)
                )
            with suppress(KubernetesError):
                await each.step()
        server.faults.clear()

    assert len(set(leaders)) > 1, "the test must see leaders change"
    assert any(before != after for before, after in pairwise(leaders))


async def test_the_failure_says_what_is_missing_when_the_role_does_not_allow_it(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    server.faults.append(Fault(lambda *_: True, status=403))

    with pytest.raises(KubernetesError, match="read lease facet-autoscaler: 403"):
        await replica(api, "first", Clock()).step()
