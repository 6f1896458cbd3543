"""Contract of `Observer.takes_telling`."""

from __future__ import annotations

from tests.support.queue_contract.world import World

LIFE_MS = 6_000


class TellingContract:
    async def test_one_of_all_tells_the_queue_for_as_long_as_it_renews(self, world: World) -> None:
        assert await world.queue.takes_telling("first", LIFE_MS)
        for _ in range(3):
            await world.advance(LIFE_MS - 1_000)
            assert not await world.queue.takes_telling("second", LIFE_MS)
            assert await world.queue.takes_telling("first", LIFE_MS)

    async def test_another_tells_the_queue_when_the_first_is_not_heard_of(
        self, world: World
    ) -> None:
        assert await world.queue.takes_telling("first", LIFE_MS)
        await world.advance(LIFE_MS + 1)

        assert await world.queue.takes_telling("second", LIFE_MS)
        assert not await world.queue.takes_telling("first", LIFE_MS)
