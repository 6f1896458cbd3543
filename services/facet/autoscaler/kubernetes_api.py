"""The Kubernetes API as the autoscaler uses it: pods, scales of Deployments, one Lease.

The official client is synchronous: each call runs in a thread and is bounded in time.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import urllib3
from kubernetes import client, config

REQUEST_SECONDS = 4.0
"""A call takes no longer from its first byte on; one that does has failed."""

WATCH_SECONDS = 10
"""A watch is ended by the server and opened again; one that is silent for longer is broken."""

_GRACE_SECONDS = 5.0
_PAGE = 500
_THREADS = 8
_COST = "controller.kubernetes.io/pod-deletion-cost"

Json = dict[str, Any]
Answer = tuple[Json, Mapping[str, str]]
Guard = Callable[[], None]


class KubernetesError(Exception):
    """A call that failed: `status` as HTTP has it, 0 where nobody answered."""

    def __init__(self, what: str, status: int, reason: str) -> None:
        super().__init__(f"{what}: {status or 'no answer'}: {reason}")
        self.status = status


class NotLeadingError(Exception):
    """Whoever wanted to write does not lead any more: nothing was sent."""


@dataclass(frozen=True)
class PodList:
    """Pods, the version to watch from, and the server's time as seconds since 1970."""

    items: tuple[Json, ...]
    version: str
    server_seconds: float


@dataclass(frozen=True)
class Scale:
    """Replicas that a Deployment is to have, and the version that says so."""

    replicas: int
    version: str


def _no_guard() -> None:
    """Anybody may write."""


class KubernetesApi:
    """Calls in one namespace. All raise `KubernetesError`.

    `guard` is called in the thread that is about to send a write, so that what waited for a thread
    is checked too; what it raises is raised, and nothing is sent.
    """

    def __init__(self, configuration: client.Configuration, namespace: str) -> None:
        # Without a timeout of their own, repeats would outlive the right to write.
        configuration.retries = False
        configuration.connection_pool_maxsize = _THREADS + 2
        self._client = client.ApiClient(configuration)
        self._core = client.CoreV1Api(self._client)
        self._apps = client.AppsV1Api(self._client)
        self._coordination = client.CoordinationV1Api(self._client)
        self._namespace = namespace
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="kubernetes")
        self._watches: set[Any] = set()
        self._calls: set[Future[Answer]] = set()

    @classmethod
    def connect(cls, namespace: str) -> KubernetesApi:
        """Of the cluster that this runs in, else of the one that `KUBECONFIG` names.

        Errors: ValueError where there is neither.
        """
        configuration = client.Configuration()
        try:
            if _is_in_cluster():
                load: Any = config.load_incluster_config
                load(client_configuration=configuration)
            else:
                load = config.load_kube_config
                load(os.environ.get("KUBECONFIG"), client_configuration=configuration)
        except (config.ConfigException, OSError) as error:
            raise ValueError(f"no Kubernetes API to write to: {error}") from error
        return cls(configuration, namespace)

    async def list_pods(self, selector: str) -> PodList:
        """All pods with these labels, page by page."""
        items: list[Json] = []
        more: Json = {}
        while True:
            answer, headers = await self._call(
                "list pods",
                self._core.list_namespaced_pod,
                self._namespace,
                label_selector=selector,
                limit=_PAGE,
                **more,
            )
            items += answer["items"]
            metadata = answer["metadata"]
            if not metadata.get("continue"):
                return PodList(tuple(items), metadata["resourceVersion"], _server_seconds(headers))
            more = {"_continue": metadata["continue"]}

    def watch_pods(self, selector: str, version: str) -> Iterator[Json]:
        """Events after `version` until the server ends the watch; blocks, for a thread.

        An ERROR event is raised as `KubernetesError` with its code; so is a watch that breaks.
        `close` ends it.
        """
        response: Any
        try:
            response = self._core.list_namespaced_pod(
                self._namespace,
                label_selector=selector,
                resource_version=version,
                watch=True,
                allow_watch_bookmarks=True,
                timeout_seconds=WATCH_SECONDS,
                _preload_content=False,
                _request_timeout=(REQUEST_SECONDS, WATCH_SECONDS + REQUEST_SECONDS),
            )
        except _FAILURES as error:
            raise _error_of("watch pods", error) from error
        self._watches.add(response)
        try:
            with closing(response):
                for line in response:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        status = event["object"]
                        raise KubernetesError(
                            "watch pods", int(status.get("code", 0)), status.get("message", "")
                        )
                    yield event
        except (urllib3.exceptions.HTTPError, ValueError, OSError) as error:
            raise KubernetesError("watch pods", 0, repr(error)) from error
        finally:
            self._watches.discard(response)

    async def set_deletion_cost(self, pod: str, cost: int, guard: Guard = _no_guard) -> None:
        """Write a pod's deletion cost; the lowest goes first."""
        body = {"metadata": {"annotations": {_COST: str(cost)}}}
        patch = self._core.patch_namespaced_pod
        await self._call(f"patch pod {pod}", patch, pod, self._namespace, body, guard=guard)

    async def read_scale(self, deployment: str) -> Scale:
        """What a Deployment's scale says."""
        read = self._apps.read_namespaced_deployment_scale
        answer, _ = await self._call(
            f"read scale of {deployment}", read, deployment, self._namespace
        )
        replicas = int(answer.get("spec", {}).get("replicas", 0))
        return Scale(replicas, answer["metadata"]["resourceVersion"])

    async def write_scale(
        self,
        deployment: str,
        scale: Scale,
        replicas: int,
        guard: Guard = _no_guard,
        *,
        is_dry: bool = False,
    ) -> None:
        """Set the replicas of a Deployment whose scale is still this one, else error 409."""
        body = {
            "metadata": {"resourceVersion": scale.version},
            "spec": {"replicas": replicas},
        }
        await self._call(
            f"scale {deployment} to {replicas}",
            self._apps.patch_namespaced_deployment_scale,
            deployment,
            self._namespace,
            body,
            guard=guard,
            **({"dry_run": "All"} if is_dry else {}),
        )

    async def read_lease(self, name: str) -> Json:
        """A Lease, as Kubernetes has it."""
        read = self._coordination.read_namespaced_lease
        answer, _ = await self._call(f"read lease {name}", read, name, self._namespace)
        return answer

    async def create_lease(self, lease: Json) -> Json:
        """Write a new Lease; error 409 when there is one."""
        create = self._coordination.create_namespaced_lease
        answer, _ = await self._call("create lease", create, self._namespace, lease)
        return answer

    async def replace_lease(self, lease: Json) -> Json:
        """Write a Lease that is still of the version in it, else error 409."""
        name = lease["metadata"]["name"]
        replace = self._coordination.replace_namespaced_lease
        answer, _ = await self._call(f"write lease {name}", replace, name, self._namespace, lease)
        return answer

    def start(self, work: Callable[[], None]) -> None:
        """Have a thread do `work`, which handles its own failures."""
        self._threads.submit(work)

    async def settle(self) -> None:
        """Return when no call is under way, those included whose caller was cancelled."""
        await asyncio.to_thread(wait, tuple(self._calls), REQUEST_SECONDS + _GRACE_SECONDS)

    def close(self) -> None:
        """End watches; what else runs ends by its bound."""
        for response in tuple(self._watches):
            try:
                response.shutdown()
            except (ValueError, RuntimeError, OSError):
                continue  # it ended just now
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _submit(self, call: Callable[[], Answer]) -> Future[Answer]:
        future = self._threads.submit(call)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    async def _call(
        self, what: str, method: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Answer:
        call = partial(_answer, options.pop("guard", _no_guard), method, *arguments, **options)
        try:
            async with asyncio.timeout(REQUEST_SECONDS + _GRACE_SECONDS):
                return await asyncio.wrap_future(self._submit(call))
        except TimeoutError as error:
            raise KubernetesError(what, 0, "it took too long") from error
        except _FAILURES as error:
            raise _error_of(what, error) from error


def is_reachable() -> bool:
    """Whether this runs in a pod, or the environment names a cluster."""
    return _is_in_cluster() or "KUBECONFIG" in os.environ


def _is_in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ


def deletion_cost(pod: Json) -> int:
    """The cost that a pod carries; 0 is Kubernetes's own default."""
    try:
        return int(pod["metadata"].get("annotations", {}).get(_COST, "0"))
    except ValueError:
        return 0


_FAILURES = (client.ApiException, urllib3.exceptions.HTTPError, ValueError, OSError)


def _answer(guard: Guard, method: Callable[..., Any], *arguments: Any, **options: Any) -> Answer:
    guard()
    response = method(
        *arguments, _preload_content=False, _request_timeout=REQUEST_SECONDS, **options
    )
    with closing(response):
        answer: Json = json.loads(response.data)
        return answer, response.headers


def _error_of(what: str, error: Exception) -> KubernetesError:
    if not isinstance(error, client.ApiException):
        return KubernetesError(what, 0, repr(error))
    reason = error.reason or ""
    with suppress(ValueError, KeyError, TypeError):
        reason = json.loads(error.body or "")["message"]
    return KubernetesError(what, int(error.status or 0), reason)


def _server_seconds(headers: Mapping[str, str]) -> float:
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return 0.0
