"""Contract of `Producer.list_generations` and `delete`."""

from __future__ import annotations

import pytest

from facet.core.errors import GenerationNotFoundError, InvalidRequestError
from facet.queue.limits import MAX_BATCH
from facet.queue.values import State
from tests.support.queue_contract.world import TENANT, World, claim_one, log_of, submission


async def listed(world: World, tenant: str = TENANT, limit: int = 100) -> list[str]:
    """Ids on all pages."""
    found: list[str] = []
    page = ""
    while True:
        answer = await world.queue.list_generations(tenant, page=page, limit=limit)
        assert len(answer.generations) <= limit
        found += [status.generation_id for status in answer.generations]
        page = answer.next_page
        if not page:
            return found


class ListContract:
    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    async def test_newest_come_first_when_listed_in_pages(self, world: World, limit: int) -> None:
        for i in range(5):
            await world.queue.submit(submission(f"g-0-{i}"))
        await world.queue.submit(submission("g-0-other", tenant="tenant-b"))
        assert await listed(world, limit=limit) == [f"g-0-{i}" for i in reversed(range(5))]
        assert await listed(world, "tenant-b") == ["g-0-other"]
        assert await listed(world, "tenant-none") == []

    async def test_page_begins_behind_any_request_when_its_place_is_named(
        self, world: World
    ) -> None:
        for i in range(4):
            await world.queue.submit(submission(f"g-0-{i}"))
        page = await world.queue.list_generations(TENANT, page="", limit=4)
        places = [status.place for status in page.generations]
        assert places == sorted(set(places), reverse=True)
        rest = await world.queue.list_generations(TENANT, page=str(places[1]), limit=4)
        assert rest.generations == page.generations[2:]

    async def test_page_is_bounded_when_more_is_asked_for(self, world: World) -> None:
        for i in range(MAX_BATCH + 1):
            await world.queue.submit(submission(f"g-0-{i:03}"))
        page = await world.queue.list_generations(TENANT, page="", limit=1_000)
        assert len(page.generations) == MAX_BATCH
        rest = await world.queue.list_generations(TENANT, page=page.next_page, limit=1_000)
        assert [status.generation_id for status in rest.generations] == ["g-0-000"]

    async def test_all_states_are_listed_when_kept(self, world: World) -> None:
        for i in range(3):
            await world.queue.submit(submission(f"g-0-{i}"))
        await claim_one(world)
        await world.queue.cancel("g-0-1", TENANT)
        page = await world.queue.list_generations(TENANT, page="", limit=10)
        states = [status.state for status in page.generations]
        assert states == [State.WAITING, State.ENDED, State.LEASED]
        for status in page.generations:
            assert status == await world.queue.status(status.generation_id, TENANT)

    @pytest.mark.parametrize("page", ["\u0661", "x", "-1", "1.5", "(1", "+inf"])
    async def test_page_is_refused_when_no_answer_named_it(self, world: World, page: str) -> None:
        with pytest.raises(InvalidRequestError):
            await world.queue.list_generations(TENANT, page=page, limit=10)

    async def test_forgotten_ones_are_left_out_when_the_retention_passed(
        self, world: World
    ) -> None:
        await world.queue.submit(submission(retention_ms=60_000))
        await world.queue.submit(submission("g-0-2", deadline_ms=10**6))
        await world.queue.cancel("g-0-1", TENANT)
        await world.advance(61_000)
        await world.queue.sweep()
        assert await listed(world) == ["g-0-2"]

    async def test_nothing_is_left_when_an_ended_request_is_deleted(self, world: World) -> None:
        await world.queue.submit(submission(request_id="order-7"))
        await world.queue.cancel("g-0-1", TENANT)
        assert await world.queue.delete("g-0-1", TENANT)
        assert await world.stored_names() == set()
        assert await listed(world) == []
        assert await log_of(world) == []
        with pytest.raises(GenerationNotFoundError):
            await world.queue.delete("g-0-1", TENANT)
        again = submission("g-0-2", request_id="order-7", body_digest=b"other")
        assert (await world.queue.submit(again)).is_new

    async def test_request_stays_when_deleted_before_its_end(self, world: World) -> None:
        await world.queue.submit(submission())
        assert not await world.queue.delete("g-0-1", TENANT)
        await claim_one(world)
        assert not await world.queue.delete("g-0-1", TENANT)
        assert (await world.queue.status("g-0-1", TENANT)).state is State.LEASED

    async def test_nothing_is_found_when_another_tenant_deletes(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.cancel("g-0-1", TENANT)
        with pytest.raises(GenerationNotFoundError):
            await world.queue.delete("g-0-1", "tenant-b")
        assert await listed(world) == ["g-0-1"]
