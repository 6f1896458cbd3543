"""The count of shards is changed under load, with real gateways and workers."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.crc import key_slot

from facet.api.v1 import inference_service_pb2 as pb
from facet.queue.generation_id import shard_of
from facet.queue.keys import Keys
from facet.queue.registry import RedisRegistry, Registered
from tests.chaos.checker import judge
from tests.chaos.client import Client, Outcome
from tests.chaos.gateways import Gateways
from tests.chaos.load import Kind, Load
from tests.integration.queue.rolling_services import Fleet
from tests.support.conditions import until
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

_KINDS = (Kind.STREAM, Kind.UNARY, Kind.SUBMIT, Kind.DUPLICATE, Kind.CONFLICT, Kind.CANCEL)
_REQUESTS_PER_SECOND = 5
_MOST_REQUESTS = 2_000
_PHASE_SECONDS = 40.0
_END_SECONDS = 60.0


class Traffic:
    """Begins requests at a mean rate while the context is open, then waits for their ends."""

    def __init__(self, addresses: list[str]) -> None:
        self._gateways = Gateways(addresses)
        self.client = Client(self._gateways, serves_submit=True)
        self.outcomes: list[Outcome] = []
        self._open: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """Offer requests."""
        offering = asyncio.create_task(self._offer())
        try:
            yield
            offering.cancel()
            async with asyncio.timeout(_END_SECONDS):
                await asyncio.gather(*self._open)
        finally:
            offering.cancel()
            for task in self._open:
                task.cancel()
            await asyncio.gather(offering, *self._open, return_exceptions=True)

    def shards(self) -> Counter[int]:
        """How many generations were placed in each shard so far."""
        names = (outcome.main.generation_id for outcome in self.outcomes)
        return Counter(shard_of(name) for name in names if name)

    async def wait_for_more(self, shard: int, count: int) -> None:
        """Return when so many more were placed in a shard."""
        wanted = self.shards()[shard] + count

        async def are_there() -> bool:
            return self.shards()[shard] >= wanted

        await until(are_there, seconds=_PHASE_SECONDS)

    async def repeat(self, outcome: Outcome) -> str:
        """The generation that the same request names at some gateway."""
        request = pb.SubmitGenerationRequest(request=outcome.plan.request)
        answer = await self._gateways.next().SubmitGeneration(request, timeout=10)
        return answer.generation.generation_id

    async def kept(self) -> list[str]:
        """All generations that the store keeps, newest first."""
        found: list[pb.ListGenerationsResponse] = []
        token = ""
        while not found or token:
            request = pb.ListGenerationsRequest(page_size=50, page_token=token)
            found.append(await self._gateways.next().ListGenerations(request, timeout=10))
            token = found[-1].next_page_token
        return [each.generation_id for page in found for each in page.generations]

    async def delete(self, generation_id: str) -> None:
        """Delete an ended generation."""
        request = pb.DeleteGenerationRequest(generation_id=generation_id)
        await self._gateways.next().DeleteGeneration(request, timeout=10)

    async def close(self) -> None:
        """Close the channels."""
        await self._gateways.close()

    async def _offer(self) -> None:
        rng = random.Random(7)
        for plan in Load(rng, requests=_MOST_REQUESTS, poisons=0).plans():
            if plan.kind not in _KINDS:
                continue
            outcome = Outcome(plan)
            self.outcomes.append(outcome)
            self._open.append(asyncio.create_task(self.client.run(outcome)))
            await asyncio.sleep(rng.expovariate(_REQUESTS_PER_SECOND))


@pytest.fixture
async def fleet(redis_server: RedisServer, tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path, redis_server.url, tmp_path.name)
    yield fleet
    fleet.end()


async def registered(fleet: Fleet) -> Registered:
    registry = RedisRegistry.connect(fleet.redis_url, release=fleet.release, model="nano", count=0)
    try:
        return await registry.register(Registered(), busy=(), empty=())
    finally:
        await registry.close()


def faults_of(outcomes: list[Outcome]) -> list[str]:
    judged = ((outcome, judge(outcome, ())) for outcome in outcomes)
    return [
        f"{outcome.plan.kind} {outcome.main.generation_id} {verdict.end} {verdict.reason} "
        f"{verdict.wrong} gaps {outcome.main.gaps} again {outcome.main.duplicate_offsets} "
        f"ends {outcome.main.extra_terminals} ids {outcome.main.other_ids}"
        for outcome, verdict in judged
        if verdict.wrong
        or verdict.end.value not in ("finished", "cancelled_by_client")
        or any(
            each.gaps or each.duplicate_offsets or each.extra_terminals or each.other_ids
            for each in outcome.deliveries()
        )
    ]


async def assert_all_logs_are_whole(traffic: Traffic) -> None:
    # One generation for each request, however often it was sent and to whom.
    kept = await traffic.kept()
    assert sorted(kept) == sorted(outcome.main.generation_id for outcome in traffic.outcomes)
    for outcome in traffic.outcomes:
        outcome.reread = await traffic.client.reread(outcome.main.generation_id, 10)
    assert faults_of(traffic.outcomes) == []


@pytest.mark.timeout(300)
async def test_nothing_is_lost_or_doubled_when_the_count_changes_under_load(
    fleet: Fleet,
) -> None:
    await fleet.roll_out(2)
    traffic = Traffic(fleet.addresses)
    try:
        async with traffic.flowing():
            await traffic.wait_for_more(1, 5)
            assert set(traffic.shards()) == {0, 1}
            first = len(traffic.outcomes)
            await fleet.roll_out(3)
            await traffic.wait_for_more(2, 10)
            second = len(traffic.outcomes)
            await fleet.roll_out(2)
            await traffic.wait_for_more(1, 5)
        await assert_all_logs_are_whole(traffic)
        assert len(traffic.outcomes) > second > first
        await assert_repeats_name_the_first(traffic)
        assert set((await registered(fleet)).shards) == {0, 1, 2}
        for outcome in traffic.outcomes:
            if shard_of(outcome.main.generation_id) == 2:
                await traffic.delete(outcome.main.generation_id)

        async def is_retired() -> bool:
            return (await registered(fleet)).shards == (0, 1)

        await until(is_retired, seconds=_PHASE_SECONDS)
        await assert_repeats_name_the_first(traffic, left_out=2)
    finally:
        await traffic.close()


async def assert_repeats_name_the_first(traffic: Traffic, left_out: int = -1) -> None:
    """Those that began by SubmitGeneration are repeated exactly so."""
    submitted = [
        outcome
        for outcome in traffic.outcomes
        if outcome.plan.kind is Kind.SUBMIT and shard_of(outcome.main.generation_id) != left_out
    ]
    assert submitted
    for outcome in submitted:
        for _ in range(2):
            assert await traffic.repeat(outcome) == outcome.main.generation_id


def spread_release(cluster: RedisCluster) -> str:
    """A release whose three shards lie on three nodes."""
    for name in (f"clustered-{i}" for i in range(1_000)):
        slots = [key_slot(Keys(name, "nano", shard).base.encode()) for shard in range(3)]
        if len({cluster.owner_of(slot).server.port for slot in slots}) == 3:
            return name
    raise LookupError("no such release")


@pytest.mark.timeout(200)
async def test_all_is_served_when_the_shards_lie_on_the_nodes_of_a_cluster(
    tmp_path: Path,
) -> None:
    cluster = RedisCluster(tmp_path / "cluster")
    fleet: Fleet | None = None
    try:
        await asyncio.to_thread(cluster.start)
        fleet = Fleet(tmp_path, cluster.url, spread_release(cluster))
        await fleet.roll_out(3)
        traffic = Traffic(fleet.addresses)
        async with traffic.flowing():
            for shard in range(3):
                await traffic.wait_for_more(shard, 5)
        await assert_all_logs_are_whole(traffic)
        await traffic.close()
    finally:
        if fleet is not None:
            fleet.end()
        cluster.stop()
