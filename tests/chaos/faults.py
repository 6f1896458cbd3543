"""What is done to the cluster while it works, drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.checker import StoreLoss
from tests.chaos.client import Outcome
from tests.chaos.cluster import LEASE_SECONDS, Cluster, worker_name
from tests.chaos.processes import Process

_WORKER_KILL_SECONDS = 2.0
_GATEWAY_KILL_SECONDS = 7.0
_PAUSE_EVERY_SECONDS = 15.0
_WAKE_AFTER_SECONDS = LEASE_SECONDS + 2.0
_REPLICA_LEAD_SECONDS = 10.0
_QUIET_BEFORE_SECONDS = LEASE_SECONDS + 1.0
_QUIET_AFTER_SECONDS = 4.0


@dataclass
class Faults:
    """A storm over a cluster and the requests that live in it; `run` it once."""

    cluster: Cluster
    outcomes: Sequence[Outcome]
    rng: random.Random
    seconds: float
    with_failover: bool = True
    kills: Counter[str] = field(default_factory=Counter)
    kills_with_logged_events: int = 0
    losses: list[StoreLoss] = field(default_factory=list)
    rewound: set[int] = field(default_factory=set)
    """Numbers of requests of which a reader had more than the store that came back."""

    def __post_init__(self) -> None:
        self._is_quiet = False

    async def run(self) -> None:
        """Do everything for `seconds`, then let all wake up."""
        tasks = [
            asyncio.create_task(each)
            for each in (
                self._kill_workers(random.Random(self.rng.random())),
                self._kill_gateways(random.Random(self.rng.random())),
                self._pause_workers(random.Random(self.rng.random())),
            )
        ]
        try:
            async with asyncio.timeout(self.seconds):
                await asyncio.gather(self._strike_store(), *tasks)
        except TimeoutError:
            pass
        finally:
            for task in tasks:
                task.cancel()
            for worker in self.cluster.workers:
                worker.resume()

    async def _kill_workers(self, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(_WORKER_KILL_SECONDS)
            able = [w for w in self.cluster.workers if w.is_ready and not w.is_paused]
            if able and not self._is_quiet:
                self._kill_worker(rng.choice(able))

    def _kill_worker(self, worker: Process) -> None:
        self.kills_with_logged_events += bool(self._held(worker_name(worker.name, worker.life)))
        self.kills["worker"] += 1
        worker.kill()

    def _held(self, worker: str) -> list[Outcome]:
        """Requests that this worker has, of which events with tokens were delivered."""
        return [
            outcome
            for outcome in self.outcomes
            if any(d.is_open and d.has_tokens and d.worker == worker for d in outcome.deliveries())
        ]

    async def _kill_gateways(self, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(_GATEWAY_KILL_SECONDS)
            able = [gateway for gateway in self.cluster.gateways if gateway.is_ready]
            # Without any gateway for longer than the readers' grace, requests end by design.
            if len(able) > 1 and not self._is_quiet:
                self.kills["gateway"] += 1
                rng.choice(able).kill()

    async def _pause_workers(self, rng: random.Random) -> None:
        while True:
            await asyncio.sleep(_PAUSE_EVERY_SECONDS - _WAKE_AFTER_SECONDS)
            able = [worker for worker in self.cluster.workers if worker.is_ready]
            if not able or self._is_quiet:
                continue
            worker = rng.choice(able)
            worker.pause()
            self.kills["worker_paused"] += 1
            await asyncio.sleep(_WAKE_AFTER_SECONDS)
            worker.resume()

    async def _strike_store(self) -> None:
        """One restart, then one failover to a replica that lags."""
        await asyncio.sleep(self.seconds * self.rng.uniform(0.25, 0.35))
        self._note("restart of the store")
        self.kills["redis_restart"] += 1
        loss, lengths = await self.cluster.store.restart()
        if self._note_rewound(lengths):
            self.losses.append(loss)
        if not self.with_failover:
            return
        await asyncio.sleep(self.seconds * self.rng.uniform(0.2, 0.25))
        await self.cluster.store.add_replica()
        # What a worker does just before it dies, and dies with the store, nobody can do again: the
        # failover comes alone, so that what it costs is known.
        self._is_quiet = True
        await asyncio.sleep(_QUIET_BEFORE_SECONDS)
        self._note("failover to a lagging replica")
        self.kills["redis_failover"] += 1
        await self.cluster.store.caught_up()
        loss, lengths = await self.cluster.store.fail_over(self.rng.uniform(0.5, 0.8))
        self.losses.append(loss)
        self._note_rewound(lengths)
        await asyncio.sleep(_QUIET_AFTER_SECONDS)
        self._is_quiet = False

    def _note_rewound(self, lengths: dict[str, int]) -> set[int]:
        found = {
            outcome.plan.number
            for outcome in self.outcomes
            for delivery in outcome.deliveries()
            if delivery.is_open and delivery.next_offset > lengths.get(delivery.generation_id, 0)
        }
        self.rewound |= found
        self._note(f"the store is back, {len(found)} streams had more than it")
        return found

    def _note(self, text: str) -> None:
        sys.stderr.write(f"chaos: {time.strftime('%H:%M:%S')} {text}\n")
