"""What a release stands among: its own pods, and everybody whom policies must admit or cut off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from tools.deploy_check.network import Peer, Port
from tools.deploy_check.renders import NAMESPACE, Render, Workload

# An address of each range that GKE's documentation names; the others are of documentation ranges.
OUTSIDE: Mapping[str, Sequence[str]] = {
    "local-dns": ("169.254.20.10",),
    "metadata": ("169.254.169.254",),
    "metadata-agent": ("169.254.169.252",),
    "balancer": ("35.191.0.9", "130.211.0.9"),
    "internet": ("198.51.100.7",),
    "internet-6": ("2001:db8::7",),
    "neighbour": ("10.77.0.7",),
}
# Pods of others: namespace and labels.
OTHERS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "client": (NAMESPACE, {"app": "client"}),
    "stranger": ("elsewhere", {}),
    # Carries the labels of a gateway, in a namespace that is not the release's.
    "impostor": (
        "elsewhere",
        {
            "app.kubernetes.io/name": "facet",
            "app.kubernetes.io/instance": "facet",
            "app.kubernetes.io/component": "gateway",
        },
    ),
    "cluster-dns": ("kube-system", {"k8s-app": "kube-dns"}),
    # What the node's cache looks like to Dataplane V2.
    "node-dns": ("kube-system", {"k8s-app": "node-local-dns"}),
    "kube-system": ("kube-system", {"k8s-app": "other"}),
    "keda": ("keda", {"app": "keda-operator", "app.kubernetes.io/name": "keda-operator"}),
    "ingress-controller": ("ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}),
    "prometheus": ("gmp-system", {"app.kubernetes.io/name": "collector"}),
    "prometheus-autopilot": ("gke-gmp-system", {"app.kubernetes.io/name": "collector"}),
}
# Ports that matter beside those of the release's own containers.
PROBED = (
    Port(53, "UDP"),
    Port(53),
    Port(80),
    Port(443),
    Port(988),
    Port(4317),
    Port(6378),
    Port(6379),
    Port(9999),
    # Beside the ports of Memorystore's Clusters.
    Port(10999),
    Port(13048),
)


def namespace_labels(namespace: str) -> dict[str, str]:
    """The label that Kubernetes puts on every namespace."""
    return {"kubernetes.io/metadata.name": namespace}


def own_pods(render: Render) -> Iterator[tuple[Peer, Workload]]:
    """One pod of each workload of the release."""
    for index, workload in enumerate(render.workloads):
        ports = {
            (port["name"], port.get("protocol", "TCP")): port["containerPort"]
            for container in workload.containers()
            for port in container.get("ports") or []
        }
        yield (
            Peer(
                workload.title,
                f"10.4.0.{index + 1}",
                workload.namespace,
                workload.labels,
                namespace_labels(workload.namespace),
                ports,
            ),
            workload,
        )


def outsiders() -> dict[str, list[Peer]]:
    """Everybody else, by name."""
    found = {
        name: [Peer(f"{name} ({address})", address) for address in addresses]
        for name, addresses in OUTSIDE.items()
    }
    for index, (name, (namespace, labels)) in enumerate(OTHERS.items()):
        address = f"10.4.1.{index + 1}"
        found[name] = [Peer(name, address, namespace, labels, namespace_labels(namespace))]
    return found


def named_peers(name: str, entries: Sequence[Mapping[str, Any]]) -> list[Peer]:
    """For each NetworkPolicyPeer that values give, somebody whom it means.

    ValueError for `matchExpressions`, of which no example is made.
    """
    return [
        _example(f"{name}[{index}]", f"10.4.2.{index + 1}", entry)
        for index, entry in enumerate(entries)
    ]


def _example(name: str, address: str, entry: Mapping[str, Any]) -> Peer:
    if block := entry.get("ipBlock"):
        return in_range(name, block["cidr"])
    pods, namespaces = entry.get("podSelector") or {}, entry.get("namespaceSelector")
    if "matchExpressions" in pods or "matchExpressions" in (namespaces or {}):
        raise ValueError(f"{name}: CI values name peers by matchLabels only")
    given = f"{name.split('[', maxsplit=1)[0].lower()}-namespace"
    namespace = NAMESPACE if namespaces is None else given
    labels = {**namespace_labels(namespace), **((namespaces or {}).get("matchLabels") or {})}
    namespace = labels["kubernetes.io/metadata.name"]
    return Peer(name, address, namespace, pods.get("matchLabels") or {}, labels)


def in_range(name: str, cidr: str) -> Peer:
    """An address of a range, outside the cluster."""
    return Peer(f"{name} ({cidr})", str(ip_network(cidr)[-1]))
