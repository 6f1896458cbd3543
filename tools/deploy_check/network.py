"""What Kubernetes' NetworkPolicies allow, worked out without a cluster.

Semantics are those of networking.k8s.io/v1: policies add up; a pod that none selects for a
direction is open in it; a connection must be allowed by its source's egress and by its
destination's ingress. On one point the data planes differ: whether an `ipBlock` matches the
address of a pod (Calico) or only what is outside the cluster (Cilium, GKE's Dataplane V2). The
API leaves it open, so the caller says which.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Selector = Mapping[str, Any]
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod, or with an empty namespace an address outside the cluster.

    `ports` names what a pod listens on, by (name, protocol).
    """

    name: str
    address: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    namespace_labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict, hash=False)

    @property
    def is_pod(self) -> bool:
        """Whether policies can select it."""
        return bool(self.namespace)


@dataclass(frozen=True)
class Port:
    """Where a connection goes on its destination."""

    number: int
    protocol: str = "TCP"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; the empty one matches everything."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    return all(_holds(rule, labels) for rule in selector.get("matchExpressions") or [])


def _holds(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator, values = rule["key"], rule["operator"], rule.get("values") or []
    if operator == "In":
        return labels.get(key) in values
    if operator == "NotIn":
        return labels.get(key) not in values
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise ValueError(f"label selectors have no operator {operator!r}")


def directions(policy: Policy) -> set[str]:
    """The directions that a policy is about, as the API server fills them in."""
    spec = policy["spec"]
    if spec.get("policyTypes"):
        return set(spec["policyTypes"])
    return {"Ingress", "Egress"} if spec.get("egress") else {"Ingress"}


@dataclass(frozen=True)
class Policies:
    """The policies of a cluster."""

    items: tuple[Policy, ...]
    blocks_match_pods: bool = False

    def allow(self, source: Peer, destination: Peer, port: Port) -> bool:
        """Whether a connection from one to the other can be made."""
        if source == destination:
            return True
        return self._direction("Egress", source, destination, destination, port) and (
            self._direction("Ingress", destination, source, destination, port)
        )

    def _direction(
        self, direction: str, subject: Peer, other: Peer, destination: Peer, port: Port
    ) -> bool:
        """Whether the policies on `subject` admit `other` in one direction."""
        if not subject.is_pod:
            return True
        selecting = [policy for policy in self.items if self._selects(policy, direction, subject)]
        if not selecting:
            return True
        side = "from" if direction == "Ingress" else "to"
        return any(
            any(self._matches(peer, policy, other) for peer in rule.get(side) or [None])
            and any(_on_port(entry, destination, port) for entry in rule.get("ports") or [None])
            for policy in selecting
            for rule in policy["spec"].get(direction.lower()) or []
        )

    @staticmethod
    def _selects(policy: Policy, direction: str, subject: Peer) -> bool:
        return (
            direction in directions(policy)
            and policy["metadata"]["namespace"] == subject.namespace
            and selects(policy["spec"].get("podSelector") or {}, subject.labels)
        )

    def _matches(self, peer: Mapping[str, Any] | None, policy: Policy, other: Peer) -> bool:
        """Whether one entry of `from` or `to` means `other`; None stands for an absent list."""
        if peer is None:
            return True
        if (block := peer.get("ipBlock")) is not None:
            return (self.blocks_match_pods or not other.is_pod) and in_block(block, other.address)
        if not other.is_pod:
            return False
        if (namespaces := peer.get("namespaceSelector")) is not None:
            in_namespace = selects(namespaces, other.namespace_labels)
        else:
            in_namespace = other.namespace == policy["metadata"]["namespace"]
        return in_namespace and selects(peer.get("podSelector") or {}, other.labels)


def in_block(block: Mapping[str, Any], address: str) -> bool:
    """Whether an address lies in a range and in none of its exceptions."""
    where = ip_address(address)
    return where in ip_network(block["cidr"]) and not any(
        where in ip_network(excepted) for excepted in block.get("except") or []
    )


def _on_port(entry: Mapping[str, Any] | None, destination: Peer, port: Port) -> bool:
    """Whether one entry of `ports` means this port; None stands for an absent list."""
    if entry is None:
        return True
    protocol = entry.get("protocol", "TCP")
    if protocol != port.protocol:
        return False
    wanted = entry.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return destination.ports.get((wanted, protocol)) == port.number
    return bool(wanted <= port.number <= entry.get("endPort", wanted))


def policies_of(objects: Iterable[Mapping[str, Any]], **reading: bool) -> Policies:
    """The NetworkPolicies among rendered objects."""
    return Policies(tuple(item for item in objects if item["kind"] == "NetworkPolicy"), **reading)
