"""What a pod is at, from its conditions and the state of its container."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from facet.autoscaler.signals import Phase, Pod

POOL_LABEL = "facet/pool"
_CONTAINER = "worker"
_ENDED = ("Succeeded", "Failed")
_RESTARTING = ("CrashLoopBackOff", "RunContainerError")

Json = dict[str, Any]


def pod_of(pod: Json, server_seconds: float) -> Pod | None:
    """The pod at a time of the API server; None for one that has ended or belongs to no pool.

    Other clocks than the server's wrote some of its times, so ages are kept within its life.
    """
    metadata, status = pod["metadata"], pod.get("status") or {}
    pool = (metadata.get("labels") or {}).get(POOL_LABEL, "")
    if not pool or status.get("phase") in _ENDED:
        return None
    created = _seconds(metadata.get("creationTimestamp"), server_seconds)
    phase, since = _phase(metadata, pod.get("spec") or {}, status, created)
    age = max(server_seconds - created, 0.0)
    return Pod(
        name=metadata["name"],
        pool=pool,
        phase=phase,
        age_seconds=age,
        phase_seconds=min(max(server_seconds - since, 0.0), age),
    )


def _phase(metadata: Json, spec: Json, status: Json, created: float) -> tuple[Phase, float]:
    if metadata.get("deletionTimestamp"):
        grace = float(metadata.get("deletionGracePeriodSeconds") or 0)
        return Phase.TERMINATING, _seconds(metadata["deletionTimestamp"], created) - grace
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") != "True" and not spec.get("nodeName"):
        return Phase.UNSCHEDULABLE, created
    ready = conditions.get("Ready") or {}
    if ready.get("status") == "True":
        return Phase.READY, _since(ready, created)
    return _starting(_container(status), _since(scheduled, created), ready)


def _starting(container: Json, placed: float, ready: Json) -> tuple[Phase, float]:
    """Of a pod that was given its node at `placed` and is not ready."""
    state = container.get("state") or {}
    running = state.get("running")
    if running is not None:
        started = _seconds(running.get("startedAt"), placed)
        if container.get("started"):
            return Phase.WARMING, max(started, _since(ready, started))
        return Phase.LOADING, started
    if "terminated" in state or _waits_for(state) in _RESTARTING:
        # A container that ended is started again: its image is there.
        ended = (state.get("terminated") or container.get("lastState", {}).get("terminated")) or {}
        return Phase.LOADING, _seconds(ended.get("finishedAt"), placed)
    return Phase.PULLING, placed


def _container(status: Json) -> Json:
    for each in status.get("containerStatuses") or ():
        if each.get("name") == _CONTAINER:
            found: Json = each
            return found
    return {}


def _waits_for(state: Json) -> str:
    return str((state.get("waiting") or {}).get("reason", ""))


def _since(condition: Json, otherwise: float) -> float:
    return _seconds(condition.get("lastTransitionTime"), otherwise)


def _seconds(timestamp: str | None, otherwise: float) -> float:
    if not timestamp:
        return otherwise
    try:
        return datetime.fromisoformat(timestamp).timestamp()
    except ValueError:
        return otherwise
