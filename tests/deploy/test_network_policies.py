"""The evaluator of NetworkPolicies, on policies written by hand and against a naive twin."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.deploy_check.network import Peer, Policies, Port, directions, selects

pytestmark = pytest.mark.unit

HTTP, DNS = Port(8080), Port(53, "UDP")


def pod(name: str, namespace: str = "one", address: str = "10.0.0.1", **ports: int) -> Peer:
    named = {(port, "TCP"): number for port, number in ports.items()}
    labels = {"app": name}
    return Peer(name, address, namespace, labels, {"team": namespace}, named)


WEB, STORE = pod("web", address="10.0.0.1", http=8080), pod("store", address="10.0.0.2", http=9090)
FAR = pod("web", "two", "10.0.0.3", http=8080)
INTERNET = Peer("internet", "198.51.100.7")


def policy(spec: dict[str, Any], namespace: str = "one") -> dict[str, Any]:
    return {
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def allows(
    specs: list[dict[str, Any]],
    source: Peer,
    destination: Peer,
    port: Port = HTTP,
    *,
    blocks_match_pods: bool = False,
) -> bool:
    policies = Policies(tuple(policy(spec) for spec in specs), blocks_match_pods)
    return policies.allow(source, destination, port)


def test_everything_is_open_when_no_policy_selects_the_pod() -> None:
    elsewhere = Policies((policy({"ingress": []}, "two"),))

    assert elsewhere.allow(STORE, WEB, HTTP)
    assert allows([{"podSelector": {"matchLabels": {"app": "other"}}}], STORE, WEB)


def test_everything_is_cut_off_when_a_policy_selects_and_has_no_rule() -> None:
    assert not allows([{}], STORE, WEB)
    assert not allows([{"ingress": []}], INTERNET, WEB)
    assert not allows([{"policyTypes": ["Egress"]}], STORE, WEB)


def test_egress_is_meant_only_when_named_or_when_there_are_egress_rules() -> None:
    assert directions(policy({})) == {"Ingress"}
    assert directions(policy({"egress": []})) == {"Ingress"}
    assert directions(policy({"egress": [{}]})) == {"Ingress", "Egress"}
    assert directions(policy({"policyTypes": ["Egress"], "ingress": []})) == {"Egress"}
    assert allows([{"ingress": [{}]}], WEB, INTERNET)
    assert not allows([{"policyTypes": ["Egress"]}], WEB, INTERNET)


def test_a_rule_without_peers_and_ports_admits_everything() -> None:
    rules: list[dict[str, Any]] = [{}, {"from": [], "ports": []}, {"from": None}]
    for rule in rules:
        assert allows([{"ingress": [rule]}], INTERNET, WEB, DNS)


def test_both_ends_must_agree() -> None:
    into: dict[str, Any] = {
        "podSelector": {"matchLabels": {"app": "store"}},
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
    }
    out: dict[str, Any] = {
        "podSelector": {"matchLabels": {"app": "web"}},
        "policyTypes": ["Egress"],
    }

    assert allows([into], WEB, STORE)
    assert not allows([into, out], WEB, STORE)


def test_policies_add_up() -> None:
    closed: dict[str, Any] = {"ingress": []}
    opened: dict[str, Any] = {"ingress": [{"from": [{"podSelector": {}}]}]}

    assert allows([closed, opened], STORE, WEB)
    assert not allows([closed, opened], FAR, WEB)


@pytest.mark.parametrize(
    ("peer", "near", "far"),
    [
        ({"podSelector": {}}, True, False),
        ({"namespaceSelector": {}}, True, True),
        ({"podSelector": {"matchLabels": {"app": "web"}}}, False, False),
        ({"namespaceSelector": {"matchLabels": {"team": "two"}}}, False, True),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}, False, True),
        (
            {
                "namespaceSelector": {"matchLabels": {"team": "one"}},
                "podSelector": {"matchLabels": {"app": "web"}},
            },
            False,
            False,
        ),
    ],
)
def test_peers_are_of_the_policys_namespace_unless_they_say_otherwise(
    peer: dict[str, Any], near: bool, far: bool
) -> None:
    specs = [{"ingress": [{"from": [peer]}]}]

    assert allows(specs, STORE, WEB) is near
    assert allows(specs, FAR, WEB) is far
    assert not allows(specs, INTERNET, WEB)


def test_two_entries_are_alternatives_where_one_entry_with_two_selectors_is_not() -> None:
    team = {"namespaceSelector": {"matchLabels": {"team": "two"}}}
    app = {"podSelector": {"matchLabels": {"app": "store"}}}

    assert allows([{"ingress": [{"from": [team, app]}]}], STORE, WEB)
    assert not allows([{"ingress": [{"from": [{**team, **app}]}]}], STORE, WEB)


def test_a_block_leaves_out_its_exceptions() -> None:
    block = {"ipBlock": {"cidr": "198.51.100.0/24", "except": ["198.51.100.0/29"]}}
    specs = [{"policyTypes": ["Egress"], "egress": [{"to": [block]}]}]

    assert not allows(specs, WEB, INTERNET)
    assert allows(specs, WEB, Peer("other", "198.51.100.8"))
    assert not allows(specs, WEB, Peer("other", "203.0.113.8"))
    assert not allows(specs, WEB, Peer("six", "2001:db8::8"))


def test_a_block_matches_pods_only_where_the_data_plane_does_so() -> None:
    specs = [{"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]}]

    assert not allows(specs, STORE, WEB)
    assert allows(specs, STORE, WEB, blocks_match_pods=True)


def test_a_named_port_is_the_destinations() -> None:
    named = {"ports": [{"port": "http"}]}
    out = [{"policyTypes": ["Egress"], "egress": [named]}]

    assert allows([{"ingress": [named]}], STORE, WEB, Port(8080))
    assert not allows([{"ingress": [named]}], STORE, WEB, Port(9090))
    assert allows(out, WEB, STORE, Port(9090))
    assert not allows(out, WEB, STORE, Port(8080))
    assert not allows(out, WEB, INTERNET, Port(8080))
    assert not allows([{"ingress": [named]}], STORE, WEB, Port(8080, "UDP"))


@pytest.mark.parametrize(
    ("entry", "admitted"),
    [
        ({"port": 8080}, {8080}),
        ({"port": 8080, "endPort": 8082}, {8080, 8081, 8082}),
        ({"port": 8080, "protocol": "UDP"}, set()),
        ({"protocol": "TCP"}, {8079, 8080, 8081, 8082, 8083}),
    ],
)
def test_ports_are_tcp_unless_they_say_otherwise(entry: dict[str, Any], admitted: set[int]) -> None:
    specs = [{"ingress": [{"ports": [entry]}]}]
    tried = range(8079, 8084)

    assert {number for number in tried if allows(specs, STORE, WEB, Port(number))} == admitted


def test_a_pod_reaches_itself_whatever_policies_say() -> None:
    assert allows([{"policyTypes": ["Ingress", "Egress"]}], WEB, WEB)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["web"]}, True),
        ({"key": "app", "operator": "In", "values": ["store"]}, False),
        ({"key": "app", "operator": "NotIn", "values": ["store"]}, True),
        ({"key": "tier", "operator": "NotIn", "values": ["store"]}, True),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "tier", "operator": "Exists"}, False),
        ({"key": "tier", "operator": "DoesNotExist"}, True),
    ],
)
def test_expressions_select_by_label(expression: dict[str, Any], matches: bool) -> None:
    assert selects({"matchExpressions": [expression]}, {"app": "web"}) is matches
    assert not selects(
        {"matchLabels": {"app": "none"}, "matchExpressions": [expression]}, {"app": "web"}
    )


def test_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="Gt"):
        selects({"matchExpressions": [{"key": "app", "operator": "Gt"}]}, {})


EVERYBODY = [WEB, STORE, FAR, pod("store", "two", "10.0.0.4", http=9090), INTERNET]
PORTS = [Port(8080), Port(9090), Port(53, "UDP")]

_selectors = st.sampled_from([{}, {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "no"}}])
_namespaces = st.sampled_from([{}, {"matchLabels": {"team": "two"}}])
_peers = st.one_of(
    st.fixed_dictionaries({"podSelector": _selectors}),
    st.fixed_dictionaries({"namespaceSelector": _namespaces}),
    st.fixed_dictionaries({"namespaceSelector": _namespaces, "podSelector": _selectors}),
    st.sampled_from(
        [
            {"ipBlock": {"cidr": "0.0.0.0/0"}},
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["198.51.100.0/24", "10.0.0.2/32"]}},
        ]
    ),
)
_ports = st.sampled_from(
    [{"port": 8080}, {"port": "http"}, {"protocol": "UDP"}, {"port": 8000, "endPort": 9100}]
)


def _rules(side: str) -> st.SearchStrategy[Any]:
    return st.lists(
        st.fixed_dictionaries(
            {},
            optional={side: st.lists(_peers, max_size=2), "ports": st.lists(_ports, max_size=2)},
        ),
        max_size=2,
    )


_policies = st.builds(
    policy,
    st.fixed_dictionaries(
        {"podSelector": _selectors},
        optional={
            "ingress": _rules("from"),
            "egress": _rules("to"),
            "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
        },
    ),
    st.sampled_from(["one", "two"]),
)

Connection = tuple[str, str, int, str]


def naive(items: list[dict[str, Any]], blocks_match_pods: bool) -> set[Connection]:
    """What is allowed, as sets: each rule adds connections to isolated ends."""
    isolated: dict[str, set[str]] = {"Ingress": set(), "Egress": set()}
    opened: dict[str, set[Connection]] = {"Ingress": set(), "Egress": set()}
    everything = list(product(EVERYBODY, EVERYBODY, PORTS))
    for item in items:
        spec = item["spec"]
        types = spec.get("policyTypes") or ["Ingress"] + (["Egress"] if spec.get("egress") else [])
        wanted = spec["podSelector"].get("matchLabels", {}).items()
        chosen = [
            peer
            for peer in EVERYBODY
            if peer.namespace == item["metadata"]["namespace"] and wanted <= peer.labels.items()
        ]
        for direction in types:
            isolated[direction] |= {peer.address for peer in chosen}
            for rule in spec.get(direction.lower(), []):
                sides = rule.get("from" if direction == "Ingress" else "to", [])
                means = _meant(sides, item["metadata"]["namespace"], blocks_match_pods)
                for source, destination, port in everything:
                    own, other = (
                        (destination, source) if direction == "Ingress" else (source, destination)
                    )
                    if own in chosen and other.address in means and _named(rule, destination, port):
                        opened[direction].add(
                            (source.address, destination.address, port.number, port.protocol)
                        )
    return {
        key
        for source, destination, port in everything
        if (key := (source.address, destination.address, port.number, port.protocol))
        and (
            source == destination
            or (
                (source.address not in isolated["Egress"] or key in opened["Egress"])
                and (destination.address not in isolated["Ingress"] or key in opened["Ingress"])
            )
        )
    }


def _meant(sides: list[dict[str, Any]], namespace: str, blocks_match_pods: bool) -> set[str]:
    if not sides:
        return {peer.address for peer in EVERYBODY}
    found = set()
    for side, peer in product(sides, EVERYBODY):
        if "ipBlock" in side:
            excepted = {"10.0.0.2", "198.51.100.7"} if "except" in side["ipBlock"] else set()
            is_meant = peer.address not in excepted and (blocks_match_pods or not peer.namespace)
        else:
            team = side.get("namespaceSelector", {"matchLabels": {"team": namespace}})
            app = side.get("podSelector", {})
            is_meant = bool(peer.namespace) and (
                team.get("matchLabels", {}).items() <= peer.namespace_labels.items()
                and app.get("matchLabels", {}).items() <= peer.labels.items()
            )
        if is_meant:
            found.add(peer.address)
    return found


def _named(rule: dict[str, Any], destination: Peer, port: Port) -> bool:
    admitted = set()
    for entry in rule.get("ports", []):
        if entry == {"protocol": "UDP"}:
            admitted.add((53, "UDP"))
        elif "endPort" in entry:
            admitted |= {(8080, "TCP"), (9090, "TCP")}
        elif entry["port"] == "http":
            admitted |= {(number, "TCP") for number in destination.ports.values()}
        else:
            admitted.add((8080, "TCP"))
    return not rule.get("ports") or (port.number, port.protocol) in admitted


@settings(max_examples=150, deadline=None)
@given(st.lists(_policies, max_size=4), st.booleans())
def test_the_evaluator_agrees_with_a_naive_twin(
    items: list[dict[str, Any]], blocks_match_pods: bool
) -> None:
    policies = Policies(tuple(items), blocks_match_pods)

    allowed = {
        (source.address, destination.address, port.number, port.protocol)
        for source, destination, port in product(EVERYBODY, EVERYBODY, PORTS)
        if policies.allow(source, destination, port)
    }

    assert allowed == naive(items, blocks_match_pods)
