"""Who may talk to whom: the table of arrows, and the rendered policies held against it.

Every pair of a source and a destination on every port is either in the table or must be cut off,
whichever way a data plane reads address blocks. A component that is rendered and not in the table
fails; one of the table that is not rendered is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any
from urllib.parse import urlsplit

from tools.deploy_check.network import Peer, Policies, Port, policies_of
from tools.deploy_check.outcome import Outcome
from tools.deploy_check.renders import Render, Workload
from tools.deploy_check.world import PROBED, in_range, named_peers, outsiders, own_pods

Values = Mapping[str, Any]
COMPONENTS = ("gateway", "worker", "redis", "autoscaler", "test", "collector")
# Whom the values of a render name, beside components and `world.outsiders`.
NAMED: Mapping[str, Callable[[Values], list[Peer]]] = {
    "caller": lambda values: named_peers("gatewayFrom", values["networkPolicy"]["gatewayFrom"]),
    "operator": lambda values: named_peers("adminFrom", values["networkPolicy"]["adminFrom"]),
    "scraper": lambda values: named_peers("monitoring", scrapers(values)),
    "telemetry": lambda values: named_peers("otel.to", telemetry(values).get("to", [])),
    "key-server": lambda values: named_peers("tokenKeysTo", others(values, "tokenKeysTo")),
    "weights-host": lambda values: named_peers("weightsTo", others(values, "weightsTo")),
    "external-redis": lambda values: [
        in_range("external-redis", cidr) for cidr in values["networkPolicy"]["redisCidrs"]
    ],
    "api-server": lambda values: [
        in_range("api-server", cidr) for cidr in autoscaler(values).get("apiServerCidrs") or []
    ],
}
ANYBODY = "anybody outside the release"
# Workers whose weights come over the network, by a download or by a bucket that is mounted.
FETCHERS = "workers that fetch"
# Those of them that read a bucket, with a token of the metadata server.
READERS = "workers that read a bucket"
NAME_SERVERS = ("cluster-dns", "node-dns", "local-dns", "metadata")
_BUCKET_DRIVER = "gcsfuse.csi.storage.gke.io"


def autoscaler(values: Values) -> Mapping[str, Any]:
    """Its values; empty where the chart has no autoscaler."""
    return values.get("autoscaler") or {}


def scrapers(values: Values) -> list[Any]:
    """Who takes the metrics, by name; charts of earlier releases serve none."""
    return list((values.get("monitoring") or {}).get("from", []))


def telemetry(values: Values) -> Mapping[str, Any]:
    """Where spans go; charts of earlier releases send none."""
    return values.get("otel") or {}


def is_traced_elsewhere(values: Values) -> bool:
    """Whether spans go to a collector of one's own."""
    return bool(telemetry(values).get("endpoint"))


def telemetry_port(values: Values) -> Port:
    """Its port; that of https where none is named."""
    return Port(urlsplit(telemetry(values).get("endpoint", "")).port or 443)


def is_scraped_by_google(values: Values) -> bool:
    """Whether Google's managed Prometheus takes them."""
    return bool((values.get("monitoring") or {}).get("podMonitoring", {}).get("enabled"))


def _always(_: Values) -> bool:
    return True


@dataclass(frozen=True)
class Arrow:
    """Connections that must be possible; `port`: a name of the destination's, a number, or any."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    port: str | Port | None
    when: Callable[[Values], bool] = _always


def is_open(values: Values) -> bool:
    """Whether everybody may call the gateway."""
    return not values["networkPolicy"]["gatewayFrom"]


def by_google(values: Values) -> bool:
    """Whether Google's load balancers bring clients."""
    return bool(values["ingress"]["class"] == "gce")


def by_nginx(values: Values) -> bool:
    """Whether nginx brings clients."""
    return bool(values["ingress"]["class"] == "nginx")


def has_token_keys(values: Values) -> bool:
    """Whether the gateway fetches the keys of signed tokens."""
    return bool(values["gateway"]["oidc"]["jwks"])


def others(values: Values, key: str) -> list[Mapping[str, Any]]:
    """The peers of a value of `networkPolicy` but for whatever has a public address."""
    return [peer for peer in values["networkPolicy"][key] if not _is_public(peer)]


def is_public(values: Values, key: str) -> bool:
    """Whether a value of `networkPolicy` means whatever has a public address."""
    return any(_is_public(peer) for peer in values["networkPolicy"][key])


def _is_public(peer: Mapping[str, Any]) -> bool:
    return bool((peer.get("ipBlock") or {}).get("cidr") == "0.0.0.0/0")


def asks_for_tokens(values: Values) -> bool:
    """Whether Redis takes tokens of the metadata server."""
    return bool(values["redis"]["external"]["credentials"] == "gcp-iam")


def external_ports(values: Values) -> set[Port] | set[None]:
    """Where a Redis of one's own listens: of ranges the ends and the middle; None is everywhere."""
    ranges = [
        (entry["port"], entry.get("endPort", entry["port"]))
        for entry in values["redis"]["external"]["ports"]
    ]
    ports = {
        Port(number) for first, last in ranges for number in (first, (first + last) // 2, last)
    }
    return ports or {None}


def arrows(values: Values) -> Iterator[Arrow]:
    """The table, as far as it holds with these values."""
    users = ("gateway", "worker", "autoscaler")
    askers = (*users, "test", "collector")
    api_server = "api-server" if autoscaler(values).get("apiServerCidrs") else ANYBODY
    table = [
        Arrow((ANYBODY,), ("gateway",), "grpc", is_open),
        Arrow(("caller",), ("gateway",), "grpc"),
        Arrow(
            ("operator",),
            ("gateway",),
            "admin",
            lambda values: values["gateway"]["admin"]["enabled"],
        ),
        Arrow(users, ("redis",), "redis"),
        *[Arrow(users, ("external-redis",), port) for port in external_ports(values)],
        *[Arrow(("balancer",), ("gateway",), port, by_google) for port in ("grpc", "http-health")],
        Arrow(("ingress-controller",), ("gateway",), "grpc", by_nginx),
        Arrow(("test",), ("gateway",), "grpc"),
        Arrow(users, ("collector",), "otlp"),
        Arrow(users, ("telemetry",), telemetry_port(values), is_traced_elsewhere),
        *[Arrow(askers, NAME_SERVERS, port) for port in (Port(53), Port(53, "UDP"))],
        Arrow(
            ("gateway",),
            ("internet", "balancer"),
            Port(443),
            lambda values: has_token_keys(values) and is_public(values, "tokenKeysTo"),
        ),
        Arrow(("gateway",), ("key-server",), Port(443), has_token_keys),
        Arrow(users, ("metadata",), Port(80), asks_for_tokens),
        Arrow(users, ("metadata-agent",), Port(988), asks_for_tokens),
        Arrow(("keda",), ("autoscaler",), "scaler"),
        Arrow(("worker",), ("autoscaler",), "otlp"),
        Arrow(("autoscaler",), ("gateway",), "metrics"),
        Arrow(("scraper",), users, "metrics"),
        Arrow(("prometheus", "prometheus-autopilot"), users, "metrics", is_scraped_by_google),
        *[Arrow(("autoscaler",), (api_server,), Port(port)) for port in (443, 6443)],
        Arrow(
            (FETCHERS,),
            ("internet", "balancer"),
            Port(443),
            lambda values: is_public(values, "weightsTo"),
        ),
        Arrow((FETCHERS,), ("weights-host",), Port(443)),
        Arrow((READERS,), ("metadata",), Port(80)),
        Arrow((READERS,), ("metadata-agent",), Port(988)),
    ]
    return (arrow for arrow in table if arrow.when(values))


@dataclass(frozen=True)
class Scene:
    """Everybody around one release: `groups` by the names of the table, `pods` its own.

    `numbered` are the ports that the table names by their number.
    """

    groups: Mapping[str, list[Peer]]
    pods: tuple[Peer, ...]
    numbered: frozenset[Port]

    @property
    def everybody(self) -> list[Peer]:
        """Each peer once."""
        return list({peer.name: peer for group in self.groups.values() for peer in group}.values())

    def ports(self) -> list[Port]:
        """All ports that are tried on every destination."""
        listened = {
            Port(number, protocol)
            for pod in self.pods
            for (_, protocol), number in pod.ports.items()
        }
        return sorted(
            listened | self.numbered | set(PROBED), key=lambda port: (port.number, port.protocol)
        )

    def pairs(self) -> Iterator[tuple[Peer, Peer]]:
        """Everybody with everybody, where at least one is a pod of the release."""
        for source, destination in product(self.everybody, repeat=2):
            if source is not destination and (source in self.pods or destination in self.pods):
                yield source, destination


def _environment(workload: Workload) -> dict[str, str]:
    return {
        entry["name"]: entry.get("value", "")
        for container in workload.containers()
        for entry in container.get("env") or []
    }


def _mounts_bucket(workload: Workload) -> bool:
    return any(
        (volume.get("csi") or {}).get("driver") == _BUCKET_DRIVER
        for volume in workload.pod.get("volumes") or []
    )


def fetches(workload: Workload) -> bool:
    """Whether a worker's weights come over the network."""
    return _mounts_bucket(workload) or "FACET_WORKER_WEIGHTS_CACHE" in _environment(workload)


def reads_bucket(workload: Workload) -> bool:
    """Whether a worker's weights come from a bucket."""
    environment = _environment(workload)
    named = [environment.get(f"FACET_WORKER_{name}WEIGHTS", "") for name in ("", "DRAFTER_")]
    is_named = any(source.startswith("gs://") for source in named)
    return _mounts_bucket(workload) or (fetches(workload) and is_named)


def scene(render: Render) -> Scene:
    """The pods of a render and their surroundings; LookupError for an unknown component."""
    groups: dict[str, list[Peer]] = {name: [] for name in (*COMPONENTS, FETCHERS, READERS)}
    pods = []
    for pod, workload in own_pods(render):
        if workload.component not in groups:
            raise LookupError(f"{workload.title}: no arrows for component {workload.component!r}")
        groups[workload.component].append(pod)
        if fetches(workload):
            groups[FETCHERS].append(pod)
        if reads_bucket(workload):
            groups[READERS].append(pod)
        pods.append(pod)
    others = outsiders() | {name: find(render.values) for name, find in NAMED.items()}
    groups |= others
    groups[ANYBODY] = [peer for group in others.values() for peer in group]
    numbered = (arrow.port for arrow in arrows(render.values) if isinstance(arrow.port, Port))
    return Scene(groups, tuple(pods), frozenset(numbered))


def expected(render: Render, surroundings: Scene) -> set[tuple[str, str, Port]]:
    """The connections that the table wants, by names of peers."""
    wanted = set()
    for arrow in arrows(render.values):
        sources = [peer for name in arrow.sources for peer in surroundings.groups[name]]
        destinations = [peer for name in arrow.destinations for peer in surroundings.groups[name]]
        for source, destination in product(sources, destinations):
            for port in _resolved(arrow.port, destination, surroundings):
                wanted.add((source.name, destination.name, port))
    return wanted


def _resolved(port: str | Port | None, destination: Peer, surroundings: Scene) -> list[Port]:
    if port is None:
        return surroundings.ports()
    if isinstance(port, Port):
        return [port]
    number = destination.ports.get((port, "TCP"))
    return [] if number is None else [Port(number)]


def matrix(surroundings: Scene, policies: Policies) -> Iterator[tuple[Peer, Peer, Port, bool]]:
    """What the policies say to every connection."""
    ports = surroundings.ports()
    for source, destination in surroundings.pairs():
        for port in ports:
            yield source, destination, port, policies.allow(source, destination, port)


def check_network(renders: Iterable[Render]) -> Outcome:
    """Every connection of every render with policies, in both readings of address blocks."""
    outcome = Outcome()
    for render in renders:
        if not render.values["networkPolicy"]["enabled"]:
            continue
        try:
            surroundings = scene(render)
        except LookupError as error:
            outcome.look([f"{render.name}: {error.args[0]}"])
            continue
        wanted = expected(render, surroundings)
        for blocks_match_pods in (False, True):
            policies = policies_of(render.objects, blocks_match_pods=blocks_match_pods)
            for source, destination, port, is_allowed in matrix(surroundings, policies):
                is_wanted = (source.name, destination.name, port) in wanted
                arrow = f"{render.name}: {source.name} -> {destination.name} {port}"
                outcome.look(
                    []
                    if is_allowed == is_wanted
                    else [f"{arrow} is {'open' if is_allowed else 'cut off'}, against the table"]
                )
    outcome.problems = list(dict.fromkeys(outcome.problems))
    return outcome
