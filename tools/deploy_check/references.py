"""Whether objects of a release fit together: labels, selectors, accounts, owners of replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from tools.deploy_check.network import selects
from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import COMPONENT, Manifest, Render, Workload, title

LABELS = (
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/version",
    "helm.sh/chart",
    COMPONENT,
)
_SELECTED_BY: Final[dict[str, Callable[[Manifest], Manifest | None]]] = {
    "Service": lambda spec: spec.get("selector") and {"matchLabels": spec["selector"]},
    "PodDisruptionBudget": lambda spec: spec.get("selector"),
    "NetworkPolicy": lambda spec: spec["podSelector"],
    "PodMonitoring": lambda spec: spec["selector"],
}


def label_problems(item: Manifest) -> Iterator[str]:
    """Labels that every object of the chart carries and this one does not."""
    labels = item["metadata"].get("labels") or {}
    yield from (f"no label {label}" for label in LABELS if not labels.get(label))


def workload_problems(workload: Workload, spec: Manifest, render: Render) -> Iterator[str]:
    """What a workload refers to and the release does not hold."""
    if not workload.component:
        yield f"pods have no label {COMPONENT}"
    if "selector" in spec and not selects(spec["selector"], workload.labels):
        yield "its selector does not match its own pods"
    account = workload.pod.get("serviceAccountName", "default")
    known = {item["metadata"]["name"] for item in render.of_kind("ServiceAccount")}
    if account not in known | {"default"} | _given_accounts(render.values):
        yield f"runs as {account}, which the chart does not render"
    mounted = {volume["name"] for volume in workload.pod.get("volumes") or []} | {
        claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates") or []
    }
    for container in workload.containers():
        names = Counter(entry["name"] for entry in container.get("env") or [])
        for name in names:
            if names[name] > 1:
                yield f"{container['name']}: {name} is given twice"

        for mount in container.get("volumeMounts") or []:
            if mount["name"] not in mounted:
                yield f"{container['name']}: mounts {mount['name']}, which is no volume"


def _given_accounts(values: Any) -> set[str]:
    """Names of existing service accounts that the values give."""
    if isinstance(values, list):
        return set().union(*[_given_accounts(item) for item in values])
    if not isinstance(values, dict):
        return set()
    own = values.get("serviceAccount")
    name = {own["name"]} if isinstance(own, dict) and own.get("name") else set()
    return name.union(*[_given_accounts(item) for item in values.values()])


def selector_problems(item: Manifest, render: Render) -> Iterator[str]:
    """A selector that matches no pod of the release, and a port that its pods do not name."""
    selector = _SELECTED_BY[item["kind"]](item["spec"])
    if selector is None:
        return
    chosen = [workload for workload in render.workloads if selects(selector, workload.labels)]
    if not chosen:
        yield "selects no pod of the release"
    if item["kind"] == "Service":
        named = {
            port.get("name")
            for workload in chosen
            for container in workload.containers()
            for port in container.get("ports") or []
        }
        for port in item["spec"].get("ports") or []:
            target = port.get("targetPort")
            if chosen and isinstance(target, str) and target not in named:
                yield f"port {port.get('name')} leads to {target}, which its pods do not name"


def replica_problems(render: Render) -> Iterator[str]:
    """Workloads whose number of pods has two writers, and scalers of what does not exist."""
    writers: Counter[str] = Counter()
    for scaler in render.of_kind("HorizontalPodAutoscaler", "ScaledObject"):
        target = scaler["spec"]["scaleTargetRef"]
        writers[f"{target.get('kind', 'Deployment')}/{target['name']}"] += 1
    scalable = {title(item): item["spec"] for item in render.of_kind("Deployment", "StatefulSet")}
    for name, count in writers.items():
        if name not in scalable:
            yield f"a scaler names {name}, which the chart does not render"
        elif count > 1:
            yield f"{name} has {count} scalers"
        elif "replicas" in scalable[name]:
            yield f"{name} has replicas and a scaler: an upgrade would reset its number of pods"


def check_labels(renders: Iterable[Render]) -> Outcome:
    """Every object carries the labels by which people and tools find it."""
    outcome = Outcome()
    for render in renders:
        for item in render.objects:
            outcome.look(
                f"{render.name}: {title(item)}: {problem}" for problem in label_problems(item)
            )
    return outcome


def check_references(renders: Iterable[Render]) -> Outcome:
    """Workloads, everything that selects pods, and the writers of replicas."""
    outcome = Outcome()
    for render in renders:
        specs = {title(item): item.get("spec") or {} for item in render.objects}
        for workload in render.workloads:
            outcome.look(
                f"{render.name}: {workload.title}: {problem}"
                for problem in workload_problems(workload, specs[workload.title], render)
            )
        for item in render.of_kind(*_SELECTED_BY):
            outcome.look(
                f"{render.name}: {title(item)}: {problem}"
                for problem in selector_problems(item, render)
            )
        names = Counter((title(item), item["metadata"].get("namespace")) for item in render.objects)
        outcome.look(
            f"{render.name}: {name} is rendered twice" for (name, _), n in names.items() if n > 1
        )
        outcome.look(f"{render.name}: {problem}" for problem in replica_problems(render))
    return outcome
