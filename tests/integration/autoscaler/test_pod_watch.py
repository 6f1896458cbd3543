"""Pods listed and watched over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from facet.autoscaler.actuating import watching
from facet.autoscaler.kubernetes_api import KubernetesApi
from facet.autoscaler.pod_watch import WatchedPods
from facet.autoscaler.signals import Phase
from tests.support.conditions import until
from tests.support.kubernetes_cluster import NAMESPACE, RELEASE, Fault, KubernetesServer, pod

pytestmark = pytest.mark.integration

WAIT_SECONDS = 15.0


@asynccontextmanager
async def watched() -> AsyncIterator[WatchedPods]:
    async with watching(KubernetesApi.connect(NAMESPACE), RELEASE) as pods:
        yield pods


async def shows(pods: WatchedPods, **phases: str) -> None:
    """Wait until just these pods are known, in these phases."""

    async def is_shown() -> bool:
        known = pods.read().current
        return known is not None and {p.name: p.phase.value for p in known} == phases

    await until(is_shown, seconds=WAIT_SECONDS)


def lists(server: KubernetesServer) -> int:
    return sum(1 for _, path in server.requests if "watch=" not in path)


def watches(server: KubernetesServer) -> list[str]:
    return [path for _, path in server.requests if "watch=" in path]


async def test_pods_are_unknown_until_they_were_listed(server: KubernetesServer) -> None:
    server.put_pod(pod("a"))
    server.faults.append(Fault(lambda *_: True, status=503, times=2))
    async with watched() as pods:
        assert pods.read().value is None
        await shows(pods, a="ready")


async def test_changes_are_followed_from_one_list_when_pods_come_and_go(
    server: KubernetesServer,
) -> None:
    server.put_pod(pod("a"))
    async with watched() as pods:
        await shows(pods, a="ready")
        server.put_pod(pod("b", "unschedulable"))
        await shows(pods, a="ready", b="unschedulable")
        server.put_pod(pod("b", "loading"))
        await shows(pods, a="ready", b="loading")
        server.delete_pod("a")
        await shows(pods, b="loading")

    assert lists(server) == 1


async def test_pods_of_others_are_left_out(server: KubernetesServer) -> None:
    stranger = pod("stranger")
    stranger["metadata"]["labels"]["app.kubernetes.io/instance"] = "other"
    server.put_pod(stranger)
    server.put_pod(pod("a"))
    async with watched() as pods:
        await shows(pods, a="ready")


async def test_all_pages_are_read_when_there_are_many_pods(server: KubernetesServer) -> None:
    server.page = 3
    for number in range(8):
        server.put_pod(pod(f"pod-{number}"))
    async with watched() as pods:
        await shows(pods, **{f"pod-{number}": "ready" for number in range(8)})

    assert lists(server) == 3


async def test_a_watch_goes_on_from_a_bookmark_when_the_server_ends_it(
    server: KubernetesServer,
) -> None:
    server.watch_seconds = 0.6
    server.put_pod(pod("a"))
    async with watched() as pods:
        await shows(pods, a="ready")
        server.bookmark()
        version = server.version

        async def is_resumed() -> bool:
            return any(f"resourceVersion={version}&" in f"{path}&" for path in watches(server))

        await until(is_resumed, seconds=WAIT_SECONDS)
        # What is older than the bookmark is not needed any more.
        server.forgotten = version
        server.put_pod(pod("b"))
        await shows(pods, a="ready", b="ready")

    assert lists(server) == 1


async def test_pods_are_listed_again_when_what_came_since_is_gone(
    server: KubernetesServer,
) -> None:
    server.watch_seconds = 0.6
    server.put_pod(pod("a"))
    server.put_pod(pod("b"))
    async with watched() as pods:
        await shows(pods, a="ready", b="ready")
        with server.changed:
            del server.pods["a"]
        server.forget()
        await shows(pods, b="ready")

    assert lists(server) == 2


async def test_pods_are_watched_again_when_a_watch_ends_in_a_way_that_nobody_expected(
    server: KubernetesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As HTTP's client does when its connection is closed under it: with an AttributeError."""
    watch, faults = KubernetesApi.watch_pods, [AttributeError("'NoneType' object has no fp")]

    def breaking(api: KubernetesApi, selector: str, version: str) -> Iterator[dict[str, Any]]:
        if faults:
            raise faults.pop()
        yield from watch(api, selector, version)

    monkeypatch.setattr(KubernetesApi, "watch_pods", breaking)
    server.put_pod(pod("a"))
    with structlog.testing.capture_logs() as logs:
        async with watched() as pods:
            await shows(pods, a="ready")
            server.put_pod(pod("b"))
            await shows(pods, a="ready", b="ready")

    assert "pods" in [line.get("loop") for line in logs]


async def test_no_event_is_lost_when_a_watch_breaks_off(server: KubernetesServer) -> None:
    server.put_pod(pod("a"))
    server.faults.append(Fault(lambda _, path: "watch=" in path, is_late=True))
    async with watched() as pods:
        await shows(pods, a="ready")
        server.put_pod(pod("b"))
        await shows(pods, a="ready", b="ready")
        server.put_pod(pod("c"))
        await shows(pods, a="ready", b="ready", c="ready")

    assert lists(server) == 1
    assert len(watches(server)) == 2


async def test_the_log_says_what_is_missing_when_the_role_does_not_allow_it(
    server: KubernetesServer,
) -> None:
    server.put_pod(pod("a"))
    server.faults.append(Fault(lambda *_: True, status=403, times=3))
    with structlog.testing.capture_logs() as logs:
        async with watched() as pods:
            await shows(pods, a="ready")

    (told,) = [line for line in logs if line["event"] == "pods.not_watched"]
    assert told["log_level"] == "error"
    assert "list pods: 403" in told["why"]


async def test_a_reading_grows_old_when_the_server_is_away(server: KubernetesServer) -> None:
    server.put_pod(pod("a"))
    server.watch_seconds = 0.6
    seconds = 1000.0
    async with watching(KubernetesApi.connect(NAMESPACE), RELEASE) as pods:
        pods._clock = lambda: seconds
        await shows(pods, a="ready")
        server.faults.append(Fault(lambda *_: True, is_cut=True, times=10_000))

        async def is_refused() -> bool:
            return server.faults[0].times < 10_000

        await until(is_refused, seconds=WAIT_SECONDS)
        reading = pods.read()
        seconds += reading.valid_seconds
        assert pods.read().current is not None
        seconds += 1.0
        assert pods.read().current is None


async def test_ages_are_the_servers_when_its_clock_is_ahead(server: KubernetesServer) -> None:
    server.server_ahead_seconds = 3600.0
    server.put_pod(pod("a", age_seconds=60))
    async with watched() as pods:
        await shows(pods, a="ready")
        (found,) = pods.read().current or ()

    assert found.phase is Phase.READY
    assert found.age_seconds == pytest.approx(3660, abs=3)


async def test_nothing_waits_for_a_watch_when_the_service_stops(
    server: KubernetesServer,
) -> None:
    server.put_pod(pod("a"))
    async with asyncio.timeout(WAIT_SECONDS):
        async with watched() as pods:
            await shows(pods, a="ready")
            began = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - began < 2.0
