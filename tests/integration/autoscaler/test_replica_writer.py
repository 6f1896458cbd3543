"""Stand-alone writes of replicas and deletion costs, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest
import structlog

from facet.autoscaler.current_decision import CurrentDecision
from facet.autoscaler.decision import Decision
from facet.autoscaler.deletion_costs import LEAVING_COST, POD_SECONDS, DeletionCosts
from facet.autoscaler.kubernetes_api import KubernetesApi, Scale
from facet.autoscaler.kubernetes_lease import LeaseElection
from facet.autoscaler.pod_watch import WatchedPods
from facet.autoscaler.replica_writer import ReplicaWriter
from facet.autoscaler.signals import WorkerLoad
from tests.support.conditions import until
from tests.support.kubernetes_cluster import RELEASE, Fault, KubernetesServer, pod

pytestmark = pytest.mark.integration

DEPLOYMENT = "facet-worker-one"
WAIT_SECONDS = 15.0


class Workers:
    """What workers report, and who was asked to drain."""

    def __init__(self) -> None:
        self.loads: dict[str, WorkerLoad] = {}
        self.asked: list[str] = []

    def put(self, name: str, running: int, *, draining: bool = False) -> None:
        self.loads[name] = WorkerLoad(name, "one", running, 8, is_draining=draining)

    async def read(self) -> Mapping[str, WorkerLoad]:
        return dict(self.loads)

    async def drain(self, worker: str) -> bool:
        self.asked.append(worker)
        load = self.loads[worker]
        self.put(worker, load.running, draining=True)
        return True


class World:
    """A cluster with one pool, and a writer that leads."""

    def __init__(
        self,
        server: KubernetesServer,
        api: KubernetesApi,
        *,
        is_dry: bool,
        pools: Mapping[str, str] = {"one": DEPLOYMENT},
    ) -> None:
        self.server = server
        self.api = api
        self.workers = Workers()
        self.current = CurrentDecision()
        self.pods = WatchedPods(api, RELEASE)
        self.lease = LeaseElection(api, "facet-autoscaler", "me")
        self.writer = ReplicaWriter(
            api,
            self.lease,
            self.pods,
            self.current,
            pools,
            loads=self.workers.read,
            drain=self.workers.drain,
            drain_seconds=600.0,
            is_dry=is_dry,
        )
        self._decided = 0

    def start(self, **running: int) -> None:
        self.server.put_deployment(DEPLOYMENT, len(running))
        for name, held in running.items():
            self.server.put_pod(pod(name))
            self.workers.put(name, held)

    async def decide(self, replicas: int, *, is_blind: bool = False) -> None:
        self._decided += 1
        decision = Decision(float(self._decided), {"one": replicas}, is_blind=is_blind)
        await self.current.take(decision, 0.0)

    async def sees(self, **costs: int) -> None:
        """Wait until these pods are known to carry these costs."""

        async def is_seen() -> bool:
            known = self.pods.known().current or ()
            return {each.pod.name: each.cost for each in known} == costs

        await until(is_seen, seconds=WAIT_SECONDS)


@pytest.fixture
async def world(
    server: KubernetesServer, api: KubernetesApi, request: pytest.FixtureRequest
) -> AsyncIterator[World]:
    made = World(server, api, is_dry=getattr(request, "param", False))
    await made.lease.step()
    watch = asyncio.create_task(made.pods.run())
    yield made
    watch.cancel()


async def test_the_scale_is_raised_at_once_when_more_are_wanted(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.decide(4)
    await world.writer.step()
    await world.writer.step()

    assert server.scale_writes() == [4]


async def test_nothing_is_written_when_another_replica_leads(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.lease.resign()
    await world.decide(4)
    await world.writer.step()

    assert server.scale_writes() == []


async def test_nothing_is_written_when_nothing_is_decided(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.writer.step()

    assert not [path for _, path in server.requests if path.endswith("/scale")]


async def test_the_scale_never_falls_when_the_decision_is_blind(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=0, b=0)
    await world.sees(a=0, b=0)
    await world.decide(1, is_blind=True)
    await world.writer.step()
    assert server.scale_writes() == []
    await world.decide(3, is_blind=True)
    await world.writer.step()
    assert server.scale_writes() == [3]


async def test_the_scale_does_not_fall_when_pods_are_not_known(
    world: World, server: KubernetesServer
) -> None:
    server.faults.append(Fault(lambda _, path: "/pods" in path, status=403, times=1000))
    world.start(a=0, b=0)
    await world.decide(1)
    await world.writer.step()

    assert server.scale_writes() == []


async def test_the_idlest_is_drained_before_the_scale_falls(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=5, b=2, c=7)
    await world.sees(a=0, b=0, c=0)
    await world.decide(2)
    await world.writer.step()
    assert world.workers.asked == ["b"]
    await world.sees(a=0, b=LEAVING_COST, c=0)
    await world.writer.step()
    assert server.scale_writes() == []
    world.workers.put("b", 0, draining=True)
    await world.writer.step()
    assert server.scale_writes() == [2]

    server.reconcile(DEPLOYMENT)
    assert server.pods["b"]["metadata"].get("deletionTimestamp")
    assert world.workers.asked == ["b"]


async def test_the_mark_is_taken_back_when_more_are_wanted_meanwhile(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=5, b=2)
    await world.sees(a=0, b=0)
    await world.decide(1)
    await world.writer.step()
    await world.sees(a=0, b=LEAVING_COST)
    await world.decide(3)
    await world.writer.step()

    assert server.scale_writes() == [3]
    assert server.cost("b") == 0


async def test_a_pool_is_held_and_others_are_scaled_when_the_decision_does_not_know_it(
    server: KubernetesServer, api: KubernetesApi
) -> None:
    """In a rollout that adds a pool the leader that decides is of the release before."""
    world = World(server, api, is_dry=False, pools={"new": "facet-worker-new", "one": DEPLOYMENT})
    await world.lease.step()
    server.put_deployment("facet-worker-new", 2)
    server.put_deployment(DEPLOYMENT, 1)
    await world.decide(3)
    with structlog.testing.capture_logs() as logs:
        await world.writer.step()
        await world.writer.step()

    assert (server.replicas("facet-worker-new"), server.replicas(DEPLOYMENT)) == (2, 3)
    (told,) = [line for line in logs if line["event"] == "replicas.not_written"]
    assert told["pool"] == "new"
    assert "another release" in told["why"]


async def test_the_newest_decision_is_written_when_one_comes_while_the_api_is_slow(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.decide(3)
    read = world.api.read_scale

    async def slow(deployment: str) -> Scale:
        scale = await read(deployment)
        await world.decide(2)
        return scale

    world.api.read_scale = slow  # type: ignore[method-assign]
    await world.writer.step()

    assert server.scale_writes() == [2]


async def test_a_write_is_repeated_from_what_is_there_when_it_conflicts(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.decide(3)
    read, changes = world.api.read_scale, [2, 2]

    async def changing(deployment: str) -> Scale:
        scale = await read(deployment)
        if changes:
            server.put_deployment(DEPLOYMENT, changes.pop())
        return scale

    world.api.read_scale = changing  # type: ignore[method-assign]
    await world.writer.step()

    assert server.scale_writes() == [3]
    assert server.replicas(DEPLOYMENT) == 3


async def test_one_pools_failure_is_told_once_and_tried_again(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.decide(3)
    server.faults.append(Fault(lambda m, p: m == "PATCH" and "scale" in p, status=403, times=2))
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await world.writer.step()

    (told,) = [line for line in logs if line["event"] == "replicas.not_written"]
    assert f"scale {DEPLOYMENT} to 3: 403" in told["why"]
    assert server.scale_writes() == [3]


async def test_nothing_is_sent_twice_when_the_answer_is_lost(
    world: World, server: KubernetesServer
) -> None:
    world.start(a=1)
    await world.decide(3)
    server.faults.append(Fault(lambda m, _: m == "PATCH", is_cut=True, is_late=True))
    await world.writer.step()
    await world.writer.step()

    assert server.scale_writes() == [3]


@pytest.mark.parametrize("world", [True], indirect=True)
async def test_nothing_changes_when_it_runs_dry(world: World, server: KubernetesServer) -> None:
    world.start(a=0, b=0)
    await world.sees(a=0, b=0)
    await world.decide(1)
    await world.writer.step()

    assert [path for m, path in server.requests if m == "PATCH"] == [
        f"/apis/apps/v1/namespaces/serving/deployments/{DEPLOYMENT}/scale?dryRun=All"
    ]
    assert server.replicas(DEPLOYMENT) == 2
    assert world.workers.asked == []


async def test_deletion_costs_follow_coarse_changes_of_load_and_no_faster(
    world: World, server: KubernetesServer
) -> None:
    seconds = 0.0
    costs = DeletionCosts(world.api, lambda: None, clock=lambda: seconds)
    world.start(a=8, b=0, c=1)
    await world.sees(a=0, b=0, c=0)

    async def look() -> int:
        known = world.pods.known().current
        assert known is not None
        return await costs.step(known, await world.workers.read())

    assert await look() == 2
    await world.sees(a=400, b=0, c=100)
    world.workers.put("a", 7)
    world.workers.put("c", 2)
    assert await look() == 0, "the buckets are the same"
    world.workers.put("a", 3)
    assert await look() == 0, "it was written just now"
    seconds = POD_SECONDS
    assert await look() == 1
    await world.sees(a=200, b=0, c=100)
    known = world.pods.known().current
    assert known is not None
    server.delete_pod("c")
    world.workers.put("c", 8)
    seconds += POD_SECONDS
    assert await costs.step(known, await world.workers.read()) == 1, "one gone is no failure"
    assert "/pods/c" in server.requests[-1][1]
