"""The parts of a run: releases side by side, and one replaced by the other under live streams."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checker import judge
from tests.chaos.client import Client
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.gateways import Gateways
from tests.chaos.load import Kind, Load
from tests.chaos.processes import Process
from tests.chaos.report import Judged
from tests.rollout.crowd import Crowd

_DRAIN_SECONDS = "2"
"""Shorter than most answers: what a pod that ends has under way goes on elsewhere."""

_GATHER_SECONDS = 60.0
_READY_SECONDS = 90.0
_REPLACE_SECONDS = 60.0
_TIMEOUT_SECONDS = 180.0
"""Deadline of a request, thrice the longest answer: none ends by it."""

_MAX_PLANS = 100_000
_SPARE = 1.1
"""Requests open for each stream that is to be live: others begin just then, or are unary."""

_SHARES = {
    Kind.STREAM: 0.85,
    Kind.SUBMIT: 0.04,
    Kind.SLOW: 0.03,
    Kind.DUPLICATE: 0.04,
    Kind.CONFLICT: 0.02,
    Kind.UNARY: 0.02,
}
"""Only such requests as end well when nothing is lost."""


@dataclass(frozen=True)
class Scale:
    """Size of a cluster and its load; a step of the engine makes one or two tokens."""

    gateways: int
    workers: int
    streams: int
    step_ms: float


@dataclass(frozen=True)
class Phase:
    """What came of one part.

    `least_live` is how many streams were in the middle of their answer when a process was ended.
    """

    name: str
    judged: Sequence[Judged]
    least_live: int
    replaced: int
    seconds: float


async def mix(cluster: Cluster, name: str, streams: int, rng: random.Random) -> Phase:
    """Let two releases work together; one worker is killed, and the others go on for it."""
    began = time.monotonic()
    async with _crowd(cluster, streams, rng, min_tokens=(20, 50)) as crowd:
        live = await crowd.gather(streams, _GATHER_SECONDS)
        victim = cluster.worker_of(rng.choice(crowd.live).worker)
        if victim is not None:
            victim.kill()
    return _phase(name, crowd, live, replaced=0, began=began)


async def flip(cluster: Cluster, name: str, to: Path, streams: int, rng: random.Random) -> Phase:
    """Replace all processes by those of a release, one by one in an order that is drawn."""
    began = time.monotonic()
    places: list[Process] = [*cluster.gateways, *cluster.workers]
    rng.shuffle(places)
    async with _crowd(cluster, streams, rng, min_tokens=(30, 60)) as crowd:
        lives = []
        for place in places:
            lives.append(await crowd.gather(streams, _GATHER_SECONDS))
            _say(f"{name}: {place.name} ends under {lives[-1]} live streams")
            await place.replace(to, _REPLACE_SECONDS)
    return _phase(name, crowd, min(lives), replaced=len(places), began=began)


@asynccontextmanager
async def cluster_of(
    folder: Path, scale: Scale, *, gateway_release: Path, worker_release: Path
) -> AsyncIterator[Cluster]:
    """A cluster whose workers can run all streams while one of them is replaced."""
    seats = round(scale.streams * _SPARE / (scale.workers - 1)) + 1
    async with running_cluster(
        folder,
        gateways=scale.gateways,
        workers=scale.workers,
        gateway_settings={"DRAIN_SECONDS": _DRAIN_SECONDS},
        worker_settings={
            "ENGINE": "simulated",
            "SIMULATED_STEP_MS": str(scale.step_ms),
            "SIMULATED_ACCEPTANCE_RATE": "0.3",
            "MAX_SEQUENCES": str(seats),
            "DRAIN_SECONDS": _DRAIN_SECONDS,
        },
        gateway_release=gateway_release,
        worker_release=worker_release,
        ready_seconds=_READY_SECONDS,
    ) as cluster:
        yield cluster


@asynccontextmanager
async def _crowd(
    cluster: Cluster, streams: int, rng: random.Random, *, min_tokens: tuple[int, int]
) -> AsyncIterator[Crowd]:
    """Clients at work; on leaving all have ended, and every log was read once more."""
    gateways = Gateways(cluster.addresses)
    try:
        client = Client(gateways, serves_submit=True)
        load = Load(
            rng,
            requests=_MAX_PLANS,
            poisons=0,
            shares=_SHARES,
            min_tokens=min_tokens,
            # The first release serves one candidate only.
            share_of_several=0,
            timeout_seconds=_TIMEOUT_SECONDS,
        )
        crowd = Crowd(client, load.plans(), round(streams * _SPARE))
        try:
            yield crowd
        finally:
            await crowd.finish(_TIMEOUT_SECONDS)
        await client.reread_all(crowd.outcomes)
    finally:
        await gateways.close()


def _phase(name: str, crowd: Crowd, least_live: int, *, replaced: int, began: float) -> Phase:
    judged = [Judged(outcome, judge(outcome, ())) for outcome in crowd.outcomes]
    seconds = round(time.monotonic() - began, 1)
    _say(f"{name}: {len(judged)} requests in {seconds} s")
    return Phase(name, judged, least_live, replaced, seconds)


def _say(text: str) -> None:
    sys.stderr.write(f"rollout: {time.strftime('%H:%M:%S')} {text}\n")
