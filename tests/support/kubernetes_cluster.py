"""What a cluster of a test holds: pods, Deployments, Leases, and what was written to them.

It keeps one growing resourceVersion; a watch replays what came after a version until that is
forgotten. `faults` makes requests fail, wait or break off. `kubernetes_api` serves it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMESPACE = "serving"
RELEASE = "demo"
TOKEN = "a-token"
BEARER = f"Bearer {TOKEN}"


@dataclass
class Fault:
    """What happens to requests that match, `times` times: a status, a wait, a broken connection.

    With `is_late` the request is done before, so that only its answer is lost.
    """

    matches: Callable[[str, str], bool]
    status: int = 0
    wait_seconds: float = 0.0
    is_cut: bool = False
    is_late: bool = False
    times: int = 1


@dataclass(frozen=True)
class Write:
    """One write that was done: by whom (see `kubeconfig`), what, and when (monotonic)."""

    who: str
    method: str
    path: str
    body: Json
    at_seconds: float


@dataclass
class KubernetesServer:
    """The state of the cluster, which a test may change at any time."""

    url: str = ""
    watch_seconds: float = 10.0
    faults: list[Fault] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    pods: dict[str, Json] = field(default_factory=dict)
    deployments: dict[str, Json] = field(default_factory=dict)
    leases: dict[str, Json] = field(default_factory=dict)
    events: list[tuple[int, Json]] = field(default_factory=list)
    version: int = 100
    forgotten: int = 0
    page: int = 500
    server_ahead_seconds: float = 0.0
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_closing: bool = False

    def now(self) -> datetime:
        """The server's time."""
        return datetime.fromtimestamp(time.time() + self.server_ahead_seconds, UTC)

    def next_version(self) -> int:
        """The version of a change that is being made."""
        self.version += 1
        return self.version

    def put_pod(self, pod: Json, kind: str = "") -> None:
        """Add or change a pod, and tell those who watch."""
        with self.changed:
            name = pod["metadata"]["name"]
            kind = kind or ("MODIFIED" if name in self.pods else "ADDED")
            version = self.next_version()
            pod["metadata"]["resourceVersion"] = str(version)
            if kind == "DELETED":
                self.pods.pop(name, None)
            else:
                self.pods[name] = pod
            self.events.append((version, {"type": kind, "object": deepcopy(pod)}))
            self.changed.notify_all()

    def delete_pod(self, name: str) -> None:
        """Have a pod be gone."""
        self.put_pod(deepcopy(self.pods[name]), "DELETED")

    def bookmark(self) -> None:
        """Tell those who watch how far the versions are."""
        with self.changed:
            version = self.next_version()
            told = {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}
            self.events.append((version, {"type": "BOOKMARK", "object": told}))
            self.changed.notify_all()

    def forget(self) -> None:
        """Compact: watches from an older version than this are gone."""
        with self.changed:
            self.forgotten = self.next_version()
            self.events.clear()

    def put_deployment(self, name: str, replicas: int) -> None:
        """Add a Deployment, or change it behind everybody's back."""
        with self.changed:
            self.deployments[name] = {
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "resourceVersion": str(self.next_version()),
                },
                "spec": {"replicas": replicas},
            }

    def replicas(self, name: str) -> int:
        """What a Deployment is to have."""
        return int(self.deployments[name]["spec"]["replicas"])

    def cost(self, pod: str) -> int | None:
        """The deletion cost that a pod carries."""
        annotations = self.pods[pod]["metadata"].get("annotations", {})
        value = annotations.get("controller.kubernetes.io/pod-deletion-cost")
        return None if value is None else int(value)

    def holder(self, lease: str) -> str:
        """Who holds a Lease; "" for nobody."""
        return str(self.leases.get(lease, {}).get("spec", {}).get("holderIdentity") or "")

    def reconcile(self, name: str) -> None:
        """Do once what the controllers do for a pool: delete the cheapest pods beyond the scale."""
        with self.changed:
            wanted = self.replicas(name)
            active = [p for p in self.pods.values() if "deletionTimestamp" not in p["metadata"]]
        active.sort(key=_deletion_rank)
        for pod in active[: max(len(active) - wanted, 0)]:
            ending = deepcopy(pod)
            ending["metadata"] |= {
                "deletionTimestamp": stamp(self.now()),
                "deletionGracePeriodSeconds": 0,
            }
            self.put_pod(ending)

    def scale_writes(self) -> list[int]:
        """The replicas that were written, in order."""
        return [w.body["spec"]["replicas"] for w in self.writes if w.path.endswith("/scale")]

    def kubeconfig(self, path: Path, who: str = "") -> Path:
        """Write a file for `KUBECONFIG` that leads here, for somebody whom `writes` names."""
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "here",
                    "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
                    "clusters": [{"name": "here", "cluster": {"server": self.url}}],
                    "users": [{"name": "me", "user": {"token": TOKEN + who}}],
                }
            )
        )
        return path


def stamp(at: datetime) -> str:
    """A time as Kubernetes writes it."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(name: str, phase: str = "ready", *, pool: str = "one", age_seconds: float = 60.0) -> Json:
    """A worker's pod that has been in its phase for half of its age."""
    now = time.time()
    created = stamp(datetime.fromtimestamp(now - age_seconds, UTC))
    since = stamp(datetime.fromtimestamp(now - age_seconds / 2, UTC))
    is_placed = phase != "unschedulable"
    conditions = [
        {"type": "PodScheduled", "status": str(is_placed), "lastTransitionTime": since},
        {"type": "Ready", "status": str(phase == "ready"), "lastTransitionTime": since},
    ]
    if not is_placed:
        conditions[0]["reason"] = "Unschedulable"
    is_running = phase in {"loading", "warming", "ready"}
    state: Json = {"running": {"startedAt": since}}
    if not is_running:
        state = {"waiting": {"reason": "ContainerCreating"}}
    container = {"name": "worker", "state": state, "started": phase in {"warming", "ready"}}
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "creationTimestamp": created,
            "labels": {
                "app.kubernetes.io/instance": RELEASE,
                "app.kubernetes.io/component": "worker",
                "facet/pool": pool,
            },
        },
        "spec": {"nodeName": "node-1"} if is_placed else {},
        "status": {
            "phase": "Running" if is_running else "Pending",
            "conditions": conditions,
            "containerStatuses": [container] if is_placed else [],
        },
    }


def _deletion_rank(pod: Json) -> tuple[bool, bool, bool, int]:
    """As the ReplicaSet controller has it: not placed, pending, not ready, cheapest."""
    status = pod["status"]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status["conditions"])
    annotations = pod["metadata"].get("annotations", {})
    cost = int(annotations.get("controller.kubernetes.io/pod-deletion-cost", "0"))
    return ("nodeName" in pod["spec"], status["phase"] != "Pending", ready, cost)
