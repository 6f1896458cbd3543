"""A private Redis Cluster for a test: three primaries, each a process of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from tests.support.redis_server import RedisServer, free_port

_NODES = 3
_READY_SECONDS = 30.0
_POLL_SECONDS = 0.05
_NODE_TIMEOUT_MS = 2_000
_HOST = "127.0.0.1"
_KEYS_A_STEP = 10


class ClusterNode:
    """One node and a client of its own."""

    def __init__(self, directory: Path, epoch: int) -> None:
        # The default, 10,000 above the port, lies beyond 65,535 for many free ports.
        self.bus_port = free_port()
        self.server = RedisServer(
            directory,
            options=(
                *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
                *("--cluster-node-timeout", str(_NODE_TIMEOUT_MS)),
                *("--cluster-allow-replica-migration", "no"),
            ),
        )
        self.server.start()
        self.client: Any = Redis(host=_HOST, port=self.server.port, protocol=2, driver_info=None)
        self.cluster("SET-CONFIG-EPOCH", epoch)
        self.id = self.cluster("MYID").decode()

    def cluster(self, *arguments: str | int) -> Any:
        """Run one CLUSTER command."""
        return self.client.execute_command("CLUSTER", *arguments)

    def info(self, section: str) -> bytes:
        """One section of INFO, as it is written."""
        text: bytes = self.client.execute_command("INFO " + section)
        return text

    def is_ready(self, nodes: int) -> bool:
        """Whether it knows so many nodes and that all slots are served."""
        facts = self.cluster("INFO").split()
        return {b"cluster_state:ok", b"cluster_known_nodes:%d" % nodes} <= set(facts)


class RedisCluster:
    """Slots are dealt in three ranges; a test may move them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.nodes: list[ClusterNode] = []
        self._replicas: list[ClusterNode] = []

    @property
    def url(self) -> str:
        """All nodes as seeds."""
        return "redis://" + ",".join(f"{_HOST}:{node.server.port}" for node in self.nodes)

    def start(self) -> None:
        """Start, and return when every node serves."""
        for i in range(_NODES):
            self.nodes.append(ClusterNode(self._directory / f"node-{i}", i + 1))
        bounds = [REDIS_CLUSTER_HASH_SLOTS * i // _NODES for i in range(_NODES + 1)]
        for node, first, end in zip(self.nodes, bounds, bounds[1:], strict=False):
            node.cluster("ADDSLOTSRANGE", first, end - 1)
        for node in self.nodes[1:]:
            self.nodes[0].cluster("MEET", _HOST, node.server.port, node.bus_port)
        self._wait(lambda: all(node.is_ready(_NODES) for node in self.nodes))

    def add_replica(self, primary: ClusterNode) -> ClusterNode:
        """Start a replica of a node, and return when it is in sync; no seed of the URL."""
        replica = ClusterNode(self._directory / "replica", _NODES + 1)
        self._replicas.append(replica)
        primary.cluster("MEET", _HOST, replica.server.port, replica.bus_port)
        self._wait(lambda: replica.is_ready(_NODES + 1))
        replica.cluster("REPLICATE", primary.id)
        self._wait(lambda: b"master_link_status:up" in replica.info("replication"))
        return replica

    def wait_until_served(self, *nodes: ClusterNode) -> None:
        """Return when these nodes think that all slots are served."""
        self._wait(lambda: all(b"cluster_state:ok" in node.cluster("INFO") for node in nodes))

    def stop(self) -> None:
        """End all nodes; safe to repeat."""
        for node in (*self.nodes, *self._replicas):
            node.client.close()
            node.server.stop()

    def owner_of(self, slot: int) -> ClusterNode:
        """The node that serves a slot."""
        for first, last, (_, port, *_), *_ in self.nodes[0].cluster("SLOTS"):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.server.port == port)
        raise LookupError(slot)

    def other_than(self, node: ClusterNode) -> ClusterNode:
        """Any other node."""
        return next(other for other in self.nodes if other is not node)

    def begin_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """From here on keys that the source does not have are asked for at the target."""
        target.cluster("SETSLOT", slot, "IMPORTING", source.id)
        source.cluster("SETSLOT", slot, "MIGRATING", target.id)

    def move_keys(
        self, slot: int, source: ClusterNode, target: ClusterNode, most: int | None = None
    ) -> int:
        """Move at most so many keys, all by default; how many there were."""
        moved = 0
        while most is None or moved < most:
            step = _KEYS_A_STEP if most is None else min(_KEYS_A_STEP, most - moved)
            keys = source.cluster("GETKEYSINSLOT", slot, step)
            if not keys:
                break
            place = (_HOST, target.server.port, "", 0, 5_000)
            source.client.execute_command("MIGRATE", *place, "KEYS", *keys)
            moved += len(keys)
        return moved

    def end_move(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """From here on the target owns the slot."""
        for node in (target, source, *self.nodes):
            node.cluster("SETSLOT", slot, "NODE", target.id)

    def move_slot(self, slot: int, source: ClusterNode, target: ClusterNode) -> None:
        """Move a slot with all its keys, as a resharding tool does."""
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target)
        self.end_move(slot, source, target)

    def _wait(self, condition: Callable[[], bool]) -> None:
        ends = time.monotonic() + _READY_SECONDS
        while not condition():
            if time.monotonic() > ends:
                raise RuntimeError(f"the cluster did not get ready, see {self._directory}")
            time.sleep(_POLL_SECONDS)
