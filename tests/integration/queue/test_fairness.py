"""Whatever tenants ask for: while all have work, none is served much more than its share."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facet.queue.limits import FIRST_OUTPUT_TOKENS, HOLD_MS
from facet.queue.values import Claim, Needs, Priority, Submission
from tests.support.queue_contract.memory_world import MemoryWorld
from tests.support.queue_contract.redis_world import RedisWorld
from tests.support.queue_contract.world import World, submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

BACKLOG = 3
"""Requests that each tenant has waiting before every claim, at least."""


@dataclass(frozen=True)
class Turn:
    """A claim, and how long after the last one."""

    worker: str
    limit: int
    gap_ms: int


@dataclass(frozen=True)
class Kind:
    """What a tenant's requests are like; they take turns through the lists."""

    weight: float
    prompt_tokens: tuple[int, ...]
    media: tuple[str, ...]
    affinity: tuple[str, ...]

    def request(self, tenant: str, number: int) -> Submission:
        """The tenant's next request."""
        plain = submission(
            f"g-0-{tenant}{number:03}",
            tenant=tenant,
            priority=Priority.INTERACTIVE,
            deadline_ms=10**7,
        )
        name = self.affinity[number % len(self.affinity)]
        return replace(
            plain,
            weight=self.weight,
            prompt_tokens=self.prompt_tokens[number % len(self.prompt_tokens)],
            needs=Needs(media=self.media[number % len(self.media)]),
            affinity=(name,) if name else (),
        )

    @property
    def largest(self) -> float:
        """The most that one request moves the tenant in virtual time."""
        return (max(self.prompt_tokens) + FIRST_OUTPUT_TOKENS) / self.weight


KINDS = st.builds(
    Kind,
    weight=st.sampled_from([0.5, 1.0, 3.0]),
    prompt_tokens=st.lists(st.sampled_from([1, 50, 700, 4_000]), min_size=1, max_size=3).map(tuple),
    media=st.lists(st.sampled_from(["", "i"]), min_size=1, max_size=3).map(tuple),
    affinity=st.lists(st.sampled_from(["", "s:1", "s:2"]), min_size=1, max_size=3).map(tuple),
)
TURNS = st.builds(
    Turn,
    worker=st.sampled_from(["worker-1", "worker-2", "worker-3"]),
    limit=st.integers(1, 3),
    gap_ms=st.sampled_from([0, 1, HOLD_MS + 1]),
)


async def serve(world: World, kinds: dict[str, Kind], turns: list[Turn]) -> None:
    """Keep all tenants waiting, claim, and check the bound and each tenant's order."""
    submitted = dict.fromkeys(kinds, 0)
    served: dict[str, list[str]] = {tenant: [] for tenant in kinds}
    share = dict.fromkeys(kinds, 0.0)
    for number, turn in enumerate(turns):
        for tenant, kind in kinds.items():
            while submitted[tenant] < len(served[tenant]) + BACKLOG:
                await world.queue.submit(kind.request(tenant, submitted[tenant]))
                submitted[tenant] += 1
        await world.advance(turn.gap_ms)
        result = await world.queue.claim(
            Claim(turn.worker, f"nonce-{number}", turn.limit, 0, "print-1")
        )
        for claimed in result.claimed:
            tenant = claimed.lease.generation_id[4]
            served[tenant].append(claimed.lease.generation_id)
            share[tenant] += claimed.charged_tokens / kinds[tenant].weight
        for one, other in itertools.combinations(kinds, 2):
            bound = kinds[one].largest + kinds[other].largest
            assert abs(share[one] - share[other]) <= bound + 1e-6
    assert_order(kinds, served)


def assert_order(kinds: dict[str, Kind], served: dict[str, list[str]]) -> None:
    """What is alike of one tenant is served as it came."""
    for tenant, names in served.items():
        kind = kinds[tenant]
        alike: dict[object, list[str]] = {}
        for name in names:
            alike.setdefault(kind.request(tenant, int(name[5:])).needs, []).append(name)
        assert all(group == sorted(group) for group in alike.values())


def fairly(run: Callable[[dict[str, Kind], list[Turn]], Awaitable[None]], examples: int) -> None:
    """Draw tenants and claims, and run each."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        kinds=st.fixed_dictionaries(dict.fromkeys("abc", KINDS)),
        turns=st.lists(TURNS, min_size=8, max_size=30),
    )
    def each(kinds: dict[str, Kind], turns: list[Turn]) -> None:
        async def example() -> None:
            await run(kinds, turns)

        asyncio.run(example())

    each()


def test_shares_differ_by_no_more_than_the_bound_when_all_tenants_wait_in_memory() -> None:
    fairly(lambda kinds, turns: serve(MemoryWorld(), kinds, turns), examples=150)


def test_shares_differ_by_no_more_than_the_bound_when_all_tenants_wait_in_redis(
    redis_server: RedisServer,
) -> None:
    async def run(kinds: dict[str, Kind], turns: list[Turn]) -> None:
        world = RedisWorld(redis_server.url, secrets.token_hex(8), stands=True)
        try:
            await serve(world, kinds, turns)
        finally:
            await world.close()

    fairly(run, examples=40)
