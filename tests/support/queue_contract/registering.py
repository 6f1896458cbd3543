"""Contract of `Registry`."""

from __future__ import annotations

from typing import Protocol

from facet.queue.registry import REGISTRATION_MS, REMEMBERED_MS, Registered, Registry

NOTHING = Registered()


class RegistryWorld(Protocol):
    """One registry under a clock that the test moves."""

    def registry(self, count: int) -> Registry:
        """Another gateway's, or with 0 a worker's."""

    async def advance(self, milliseconds: int) -> None:
        """Let the store's time pass, at once."""

    async def lose_all(self) -> None:
        """The store comes back empty."""


async def register(registry: Registry, known: Registered = NOTHING) -> Registered:
    return await registry.register(known, busy=(), empty=())


class RegistryContract:
    async def test_nothing_is_told_when_nobody_registered(
        self, registry_world: RegistryWorld
    ) -> None:
        found = await register(registry_world.registry(0))
        assert found.origin
        assert (dict(found.active), found.counts, found.shards) == ({}, (), ())

    async def test_all_counts_and_shards_are_told_when_gateways_differ(
        self, registry_world: RegistryWorld
    ) -> None:
        await register(registry_world.registry(2))
        await registry_world.advance(700)
        await register(registry_world.registry(3))
        found = await register(registry_world.registry(0))
        assert dict(found.active) == {2: 700, 3: 0}
        assert sorted(found.counts) == [2, 3]
        assert found.shards == (0, 1, 2)

    async def test_first_is_told_from_the_second_when_both_come_at_once(
        self, registry_world: RegistryWorld
    ) -> None:
        for count in (3, 2, 4):
            await register(registry_world.registry(count))
        active = (await register(registry_world.registry(0))).active
        assert sorted(active, key=lambda count: active[count]) == [4, 2, 3]

    async def test_count_is_active_while_one_gateway_renews_it(
        self, registry_world: RegistryWorld
    ) -> None:
        first, second = registry_world.registry(2), registry_world.registry(2)
        await register(first)
        await registry_world.advance(REGISTRATION_MS - 1)
        await register(second)
        await registry_world.advance(REGISTRATION_MS - 1)
        worker = registry_world.registry(0)
        assert dict((await register(worker)).active) == {2: 2 * REGISTRATION_MS - 2}
        await registry_world.advance(1)
        assert dict((await register(worker)).active) == {}

    async def test_count_begins_anew_when_it_had_lapsed(
        self, registry_world: RegistryWorld
    ) -> None:
        gateway = registry_world.registry(2)
        await register(gateway)
        await registry_world.advance(REGISTRATION_MS)
        assert dict((await register(gateway)).active) == {2: 0}

    async def test_count_is_remembered_for_its_time_when_it_lapsed(
        self, registry_world: RegistryWorld
    ) -> None:
        await register(registry_world.registry(3))
        worker = registry_world.registry(0)
        await registry_world.advance(REGISTRATION_MS)
        assert (await register(worker)).counts == (3,)
        await registry_world.advance(REMEMBERED_MS - REGISTRATION_MS)
        assert (await register(worker)).counts == ()

    async def test_shard_goes_when_it_is_empty_and_no_gateway_places_there(
        self, registry_world: RegistryWorld
    ) -> None:
        await register(registry_world.registry(3))
        worker = registry_world.registry(0)
        assert (await worker.register(NOTHING, busy=(), empty=(2,))).shards == (0, 1, 2)
        await registry_world.advance(REGISTRATION_MS)
        await register(registry_world.registry(2))
        assert (await register(worker)).shards == (0, 1, 2)
        known = await register(worker)
        assert (await worker.register(NOTHING, busy=(), empty=(1, 2))).shards == (0, 1)
        # Who has not heard of that does not bring it back.
        assert (await register(registry_world.registry(0), known)).shards == (0, 1)

    async def test_all_is_told_again_when_the_registry_lost_it(
        self, registry_world: RegistryWorld
    ) -> None:
        await register(registry_world.registry(3))
        worker = registry_world.registry(0)
        known = await register(worker)
        await registry_world.lose_all()
        fresh = await register(registry_world.registry(0))
        assert (fresh.counts, fresh.shards) == ((), ())
        assert fresh.origin != known.origin
        again = await register(worker, known)
        assert (again.origin, again.counts, again.shards) == (fresh.origin, (3,), (0, 1, 2))

    async def test_shard_is_told_again_when_somebody_finds_something_in_it(
        self, registry_world: RegistryWorld
    ) -> None:
        await register(registry_world.registry(1))
        worker = registry_world.registry(0)
        assert (await worker.register(NOTHING, busy=(4,), empty=())).shards == (0, 4)

    async def test_request_id_is_one_gateways_when_two_take_it(
        self, registry_world: RegistryWorld
    ) -> None:
        first, second = registry_world.registry(2), registry_world.registry(3)
        assert await first.begin_naming("alice", "order-1")
        assert not await second.begin_naming("alice", "order-1")
        assert await second.begin_naming("bob", "order-1")
        await first.end_naming("alice", "order-1")
        assert await second.begin_naming("alice", "order-1")
