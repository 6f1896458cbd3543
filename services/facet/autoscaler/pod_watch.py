"""Pods of the pools as the Kubernetes API tells of them: listed once, then watched."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from facet.autoscaler.kubernetes_api import (
    WATCH_SECONDS,
    Json,
    KubernetesApi,
    KubernetesError,
    deletion_cost,
)
from facet.autoscaler.pod_phases import pod_of
from facet.autoscaler.signals import Pod, Reading
from facet.core.telemetry.autoscaler_metrics import POD_WATCH_FAILURES

VALID_SECONDS = 2.0 * WATCH_SECONDS + 5.0
"""What nobody confirmed for so long is not known: two watches did not end as they should."""

_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 8.0
_LEAST_WATCH_SECONDS = 0.5
"""A server that ends watches at once is not asked all the time."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class KnownPod:
    """A pod and the deletion cost that it carries."""

    pod: Pod
    cost: int


class WatchedPods:
    """`Pods` of one release's workers, while `run` runs.

    A reading is as old as the last sign of life: an event, or a watch that ended in order.
    """

    def __init__(
        self, api: KubernetesApi, release: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=worker"
        self._clock = clock
        self._pods: dict[str, Json] | None = None
        self._version = ""
        self._alive_at = 0.0
        self._server_ahead = 0.0
        self._told = ""

    def read(self) -> Reading[tuple[Pod, ...]]:
        """See `Pods.read`."""
        known = self.known()
        pods = None if known.value is None else tuple(each.pod for each in known.value)
        return Reading(pods, known.age_seconds, known.valid_seconds)

    def known(self) -> Reading[tuple[KnownPod, ...]]:
        """The same pods with their deletion costs."""
        if self._pods is None:
            return Reading()
        now = self._clock()
        server = now + self._server_ahead
        found = ((pod_of(each, server), deletion_cost(each)) for each in self._pods.values())
        pods = tuple(KnownPod(pod, cost) for pod, cost in found if pod is not None)
        return Reading(pods, now - self._alive_at, VALID_SECONDS)

    async def run(self) -> None:
        """List and watch until cancelled. What fails is told once, and tried again."""
        pause = _FIRST_RETRY_SECONDS
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                self._tell("")
                pause = _FIRST_RETRY_SECONDS
            except KubernetesError as error:
                if error.status in {410, 504}:
                    # What came since is not kept any more.
                    self._version = ""
                    if pause == _FIRST_RETRY_SECONDS:
                        pause *= 2
                        continue
                POD_WATCH_FAILURES.inc()
                self._tell(str(error))
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LAST_RETRY_SECONDS)

    async def _list(self) -> None:
        asked_at = self._clock()
        listed = await self._api.list_pods(self._selector)
        self._server_ahead = (listed.server_seconds or time.time()) - self._clock()
        self._pods = {each["metadata"]["name"]: each for each in listed.items}
        self._version = listed.version
        self._alive_at = asked_at

    async def _watch(self) -> None:
        """Follow one watch to its end."""
        loop = asyncio.get_running_loop()
        events = self._api.watch_pods(self._selector, self._version)
        ended = loop.create_future()

        def follow() -> None:
            failure: Exception | None = None
            try:
                for event in events:
                    loop.call_soon_threadsafe(self._take, event)
            except Exception as error:  # noqa: BLE001 - whatever ends it is raised by who waits
                failure = error
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_settle, ended, failure)

        self._api.start(follow)
        began_at = self._clock()
        await ended
        self._alive_at = self._clock()
        if self._alive_at - began_at < _LEAST_WATCH_SECONDS:
            await asyncio.sleep(_LEAST_WATCH_SECONDS)

    def _take(self, event: Json) -> None:
        pod = event["object"]
        metadata = pod["metadata"]
        self._version = metadata["resourceVersion"]
        self._alive_at = self._clock()
        if self._pods is None or event["type"] == "BOOKMARK":
            return
        if event["type"] == "DELETED":
            self._pods.pop(metadata["name"], None)
        else:
            self._pods[metadata["name"]] = pod

    def _tell(self, why: str) -> None:
        if why and why != self._told:
            _log.error("pods.not_watched", why=why)
        elif self._told and not why:
            _log.info("pods.watched")
        self._told = why


def _settle(ended: asyncio.Future[None], failure: Exception | None) -> None:
    if ended.done():
        return
    if failure is None:
        ended.set_result(None)
    else:
        ended.set_exception(failure)
