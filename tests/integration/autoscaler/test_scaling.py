"""Autoscalers as processes, between a real store and a Kubernetes API over HTTP."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest

from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import ExternalScalerStub
from facet.autoscaler.kubernetes_lease import LEASE_SECONDS
from facet.queue.redis_queue import RedisQueue
from tests.support.autoscaler_process import autoscaler, pools_file
from tests.support.conditions import until
from tests.support.kubernetes_cluster import RELEASE, Fault, KubernetesServer, pod
from tests.support.queue_contract.world import submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

DEPLOYMENT = "facet-worker-one"
LEASE = "facet-autoscaler"
PUSH_SECONDS = 0.2
WAIT_SECONDS = 20.0
POOL = {"name": "one", "deployment": DEPLOYMENT, "max": 4, "startup_seconds": 20}
OF_POOL = pb.ScaledObjectRef(name="workers", namespace="serving", scalerMetadata={"pool": "one"})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path / "redis")
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def queue(store: RedisServer) -> AsyncIterator[RedisQueue]:
    made = RedisQueue.connect(store.url, release=RELEASE, model="nano")
    yield made
    await made.close()


@pytest.fixture
def settings(tmp_path: Path, store: RedisServer) -> dict[str, str]:
    return {
        "pools_file": pools_file(tmp_path, [POOL]),
        "redis_url": store.url,
        "release": RELEASE,
        "namespace": "serving",
        "listen": "127.0.0.1:0",
    }


async def submit(queue: RedisQueue, request_id: str) -> None:
    name = await queue.name_generation("acme", request_id)
    await queue.submit(submission(name, request_id=request_id))


@pytest.mark.parametrize("number", [1, 2])
async def test_keda_is_told_within_200_ms_when_the_first_request_comes_to_an_idle_cluster(
    queue: RedisQueue, settings: dict[str, str], number: int
) -> None:
    """Every replica tells it, whether it leads or follows."""
    with ExitStack() as stack:
        started = [stack.enter_context(autoscaler(**settings)) for _ in range(number)]
        calls = []
        for _, addresses in started:
            channel = grpc.aio.insecure_channel(addresses["scaler"])
            stub: Any = ExternalScalerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
            call = stub.StreamIsActive(OF_POOL)
            first = await asyncio.wait_for(call.read(), WAIT_SECONDS)
            assert not first.result
            calls.append((channel, stub, call))
        began = time.monotonic()
        await submit(queue, "first")
        for _, _, call in calls:
            told = await asyncio.wait_for(call.read(), WAIT_SECONDS)
            assert told.result
        took = time.monotonic() - began
        print(f"pushed to {number} after {1000 * took:.0f} ms")
        assert took < PUSH_SECONDS
        for channel, stub, _ in calls:
            request = pb.GetMetricsRequest(scaledObjectRef=OF_POOL, metricName="facet-replicas")
            (value,) = (await stub.GetMetrics(request)).metricValues
            assert value.metricValue >= 1
            await channel.close()


async def test_keda_leaves_the_pool_alone_when_the_role_does_not_allow_pods(
    queue: RedisQueue, settings: dict[str, str], server: KubernetesServer
) -> None:
    """Pods that were refused are not taken for none; once they are allowed it is told."""
    server.put_pod(pod("one-a"))
    forbidden = Fault(lambda _, path: "/pods" in path, status=403, times=10**9)
    server.faults.append(forbidden)
    await submit(queue, "first")
    metric = pb.GetMetricsRequest(scaledObjectRef=OF_POOL, metricName="facet-replicas")
    with autoscaler(**settings, decision_seconds="0.2") as (_, addresses):
        async with grpc.aio.insecure_channel(addresses["scaler"]) as channel:
            stub: Any = ExternalScalerStub(channel)  # type: ignore[no-untyped-call, unused-ignore]
            pushed = stub.StreamIsActive(OF_POOL)
            await until(lambda: is_held(stub, "signals are missing: pods"), seconds=WAIT_SECONDS)
            for call in (stub.IsActive(OF_POOL), stub.GetMetrics(metric)):
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await call
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
                assert "signals are missing: pods" in str(refused.value.details())
            told = asyncio.ensure_future(pushed.read())
            seen = len(server.requests)
            await until(lambda: _is(len(server.requests) > seen), seconds=WAIT_SECONDS)
            assert not told.done()

            with server.changed:
                server.faults.remove(forbidden)

            assert (await asyncio.wait_for(told, WAIT_SECONDS)).result
            (value,) = (await stub.GetMetrics(metric)).metricValues
            assert value.metricValue >= 1


async def test_a_paused_writer_writes_nothing_when_it_comes_back(
    queue: RedisQueue,
    settings: dict[str, str],
    server: KubernetesServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes; the one that holds the Lease is stopped past the Lease's end."""
    server.put_deployment(DEPLOYMENT, 0)
    with ExitStack() as stack:
        processes = {}
        for who in ("-first", "-second"):
            path = server.kubeconfig(tmp_path / f"kube{who}", who)
            monkeypatch.setenv("KUBECONFIG", str(path))
            started = autoscaler(mode="standalone", **settings)
            processes[who], _ = stack.enter_context(started)
        await until(lambda: _is(server.holder(LEASE) != ""), seconds=WAIT_SECONDS)
        await submit(queue, "first")
        await until(lambda: _is(server.replicas(DEPLOYMENT) >= 1), seconds=WAIT_SECONDS)
        (before,) = {w.who for w in scale_writes(server)}
        (after,) = set(processes) - {before}
        processes[before].send_signal(signal.SIGSTOP)
        holder = server.holder(LEASE)
        await until(lambda: _is(server.holder(LEASE) != holder), seconds=LEASE_SECONDS + 15)
        # Somebody meddles: whoever leads puts it right.
        server.put_deployment(DEPLOYMENT, 0)
        await until(lambda: _is(server.replicas(DEPLOYMENT) >= 1), seconds=WAIT_SECONDS)
        came_back_at = time.monotonic()
        processes[before].send_signal(signal.SIGCONT)
        asked = len(server.requests)
        server.put_deployment(DEPLOYMENT, 0)
        await until(lambda: _is(server.replicas(DEPLOYMENT) >= 1), seconds=WAIT_SECONDS)
        # It has looked at the Lease since.
        await until(lambda: _is(lease_looks(server, asked) >= 4), seconds=WAIT_SECONDS)

    assert {w.who for w in scale_writes(server) if w.at_seconds > came_back_at} == {after}
    assert not [w for w in server.writes if w.who == before and w.at_seconds > came_back_at]


async def test_another_writes_at_once_when_the_writer_ends(
    queue: RedisQueue, settings: dict[str, str], server: KubernetesServer
) -> None:
    server.put_deployment(DEPLOYMENT, 0)
    with ExitStack() as stack:
        first, _ = stack.enter_context(autoscaler(mode="standalone", **settings))
        await until(lambda: _is(server.holder(LEASE) != ""), seconds=WAIT_SECONDS)
        stack.enter_context(autoscaler(mode="standalone", **settings))
        first.send_signal(signal.SIGTERM)
        assert first.wait(10) == 0
        await submit(queue, "first")
        began = time.monotonic()
        await until(lambda: _is(server.replicas(DEPLOYMENT) >= 1), seconds=WAIT_SECONDS)
        assert time.monotonic() - began < LEASE_SECONDS


async def is_held(stub: Any, why: str) -> bool:
    try:
        await stub.IsActive(OF_POOL)
    except grpc.aio.AioRpcError as refusal:
        return why in str(refusal.details())
    return False


def scale_writes(server: KubernetesServer) -> list[Any]:
    return [w for w in server.writes if w.path.endswith("/scale")]


def lease_looks(server: KubernetesServer, since: int) -> int:
    asked = server.requests[since:]
    return sum(1 for method, path in asked if method == "GET" and "/leases/" in path)


async def _is(condition: bool) -> bool:
    return condition
