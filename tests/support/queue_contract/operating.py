"""Contract of `Operator`, of `Observer.origin`, and of drains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.core.errors import GenerationNotFoundError, InvalidRequestError
from facet.queue import limits, memory_ledger
from facet.queue.limits import HOLD_MS, MAX_BATCH
from facet.queue.values import Needs, Priority, Room, State, Verdict
from tests.support.queue_contract.warming import warm
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim,
    claim_one,
    finish,
    lapse_leases,
    log_of,
    names,
    response,
    submission,
    terminal_of,
)


async def bury(world: World, generation_id: str = "g-0-1", *, size_bytes: int = 10) -> None:
    """Submit a request and let its worker give it up, with a millisecond before the next."""
    request = submission(generation_id, retention_ms=60_000)
    await world.queue.submit(replace(request, envelope=bytes(size_bytes)))
    claimed = await claim_one(world)
    await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])
    await world.advance(1)


async def buried(world: World, limit: int = 100) -> list[str]:
    """Ids of dead letters on all pages."""
    found: list[str] = []
    page = ""
    while True:
        answer = await world.queue.dead_letters(page=page, limit=limit)
        assert len(answer.letters) <= limit
        found += [letter.generation_id for letter in answer.letters]
        page = answer.next_page
        if not page:
            return found


class DeadLetterContract:
    @pytest.mark.parametrize("limit", [1, 2, 100])
    async def test_newest_come_first_when_dead_letters_are_listed(
        self, world: World, limit: int
    ) -> None:
        for i in range(4):
            await bury(world, f"g-0-{i}")
        assert await buried(world, limit) == ["g-0-3", "g-0-2", "g-0-1", "g-0-0"]
        letter = (await world.queue.dead_letters(page="", limit=1)).letters[0]
        assert (letter.tenant, letter.failure, letter.size_bytes) == (TENANT, b"why", 10)
        assert letter.dead_ms == (await world.queue.status("g-0-3", TENANT)).ended_ms
        assert (await world.queue.depth()).dead_letters == 4

    async def test_none_is_left_out_when_many_died_at_once(self, world: World) -> None:
        for i in range(6):
            await world.queue.submit(submission(f"g-0-{i}"))
        claimed = (await world.queue.claim(claim(limit=6))).claimed
        await world.queue.write([finish(each, is_dead_letter=True) for each in claimed])
        assert sorted(await buried(world, limit=2)) == [f"g-0-{i}" for i in range(6)]

    @pytest.mark.parametrize("page", ["(1", "\u0661"])
    async def test_page_is_refused_when_no_answer_named_it(self, world: World, page: str) -> None:
        with pytest.raises(InvalidRequestError):
            await world.queue.dead_letters(page=page, limit=10)

    async def test_request_runs_anew_when_redriven(self, world: World) -> None:
        needs = Needs(media="i")
        request = submission(deadline_ms=50_000, reader_grace_ms=2_000, request_id="order-1")
        await world.queue.submit(replace(request, generation_id="g-0-0", needs=needs))
        first = await claim_one(world)
        await world.queue.write([append(first, token_ids=[1, 2]), finish(first, 1, failure=b"no")])
        assert await world.queue.redrive(["g-0-0"]) == 0
        await world.queue.delete("g-0-0", TENANT)
        await world.queue.submit(replace(request, needs=needs))
        first = await claim_one(world)
        last = finish(first, 1, failure=b"no", is_dead_letter=True)
        await world.queue.write([append(first, token_ids=[1, 2]), last])
        await world.advance(STEP_MS)
        assert await world.queue.redrive(["g-0-1", "g-0-1", "g-0-none"]) == 1
        status = await world.queue.status("g-0-1", TENANT)
        assert (status.state, status.next_offset, status.attempts) == (State.WAITING, 0, 0)
        assert (status.deaths, status.failure, status.ended_ms) == (0, b"", 0)
        assert 49_000 < status.remaining_ms <= 50_000
        assert await log_of(world) == []
        assert await buried(world) == []
        # Nobody reads it, and that is no reason to end it.
        await world.queue.sweep()
        await world.advance(STEP_MS)
        assert (await world.queue.sweep()).abandoned == 0
        again = await claim_one(world, "worker-2", "print-2")
        assert (again.attempt, again.token_ids, again.next_offset) == (1, (), 0)
        assert again.envelope == first.envelope
        assert again.lease.epoch > first.lease.epoch
        assert (await world.queue.write([last]))[0].verdict is Verdict.LEASE_LOST
        await world.queue.write([finish(again)])
        await terminal_of(world)

    async def test_new_log_has_all_the_room_when_redriven(self, world: World) -> None:
        await world.restrict(replace(world.limits, max_log_bytes=len(response(0)) + 4))
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        last = finish(claimed, 1, failure=b"why", is_dead_letter=True)
        await world.queue.write([append(claimed, 0, [1]), last])
        await world.queue.redrive(["g-0-1"])
        again = await claim_one(world)
        (result,) = await world.queue.write([append(again, 0, [1])])
        assert result.verdict is Verdict.OK

    async def test_order_is_kept_when_several_are_redriven(self, world: World) -> None:
        order = ["g-0-2", "g-0-0", "g-0-1"]
        for name in order:
            await bury(world, name)
        assert await world.queue.redrive(order) == 3
        assert names(await world.queue.claim(claim(limit=3))) == order
        page = await world.queue.list_generations(TENANT, page="", limit=2)
        rest = await world.queue.list_generations(TENANT, page=page.next_page, limit=2)
        assert len(page.generations) + len(rest.generations) == 3

    async def test_waiting_worker_is_woken_when_redriven(self, world: World) -> None:
        await bury(world)
        await world.queue.redrive(["g-0-1"])
        assert (await world.queue.depth()).waiting == 1
        await world.queue.wait_for_work("worker-1", 900)
        assert names(await world.queue.claim(claim())) == ["g-0-1"]

    async def test_nothing_is_left_when_discarded(self, world: World) -> None:
        await bury(world)
        await world.queue.submit(submission("g-0-2"))
        await world.queue.cancel("g-0-2", TENANT)
        assert await world.queue.discard(["g-0-1", "g-0-1", "g-0-2", "g-0-none"]) == 1
        with pytest.raises(GenerationNotFoundError):
            await world.queue.status("g-0-1", TENANT)
        assert (await world.queue.status("g-0-2", TENANT)).state is State.ENDED
        assert await world.queue.redrive(["g-0-1"]) == 0

    async def test_letter_is_forgotten_when_its_life_has_passed(self, world: World) -> None:
        await bury(world)
        await world.advance(world.limits.dead_letter_ms)
        await world.queue.sweep()
        assert await buried(world) == []
        assert await world.stored_names() == set()

    async def test_oldest_go_when_there_are_too_many(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self._cap(world, monkeypatch, "MAX_DEAD_LETTERS", 3)
        for i in range(5):
            await bury(world, f"g-0-{i}")
        assert await buried(world) == ["g-0-4", "g-0-3", "g-0-2"]
        with pytest.raises(GenerationNotFoundError):
            await world.queue.status("g-0-1", TENANT)

    async def test_oldest_go_when_they_take_too_many_bytes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self._cap(world, monkeypatch, "MAX_DEAD_BYTES", 250)
        for i in range(4):
            await bury(world, f"g-0-{i}", size_bytes=100)
        assert await buried(world) == ["g-0-3", "g-0-2"]
        await world.queue.discard(["g-0-3"])
        await bury(world, "g-0-4", size_bytes=100)
        assert await buried(world) == ["g-0-4", "g-0-2"]

    async def test_request_ends_when_it_is_larger_than_all_dead_letters_may_be(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await self._cap(world, monkeypatch, "MAX_DEAD_BYTES", 250)
        await bury(world, size_bytes=300)
        assert await buried(world) == []
        await bury(world, "g-0-2", size_bytes=100)
        assert await buried(world) == ["g-0-2"]

    async def _cap(
        self, world: World, monkeypatch: pytest.MonkeyPatch, name: str, most: int
    ) -> None:
        monkeypatch.setattr(limits, name, most)
        monkeypatch.setattr(memory_ledger, name, most)
        await world.restrict(world.limits)


class InspectContract:
    async def test_life_is_told_when_a_request_is_inspected(self, world: World) -> None:
        request = submission(priority=Priority.BATCH, deadline_ms=10**6)
        needs = Needs(context_tokens=4_096, media="a")
        await world.queue.submit(replace(request, prompt_tokens=44, needs=needs))
        waiting = await world.queue.inspect("g-0-1")
        assert (waiting.priority, waiting.needs, waiting.life) == (Priority.BATCH, needs, ())
        assert (waiting.epoch, waiting.charged_tokens, waiting.fingerprint) == (0, 0, "")
        await world.queue.hand_back([(await claim_one(world)).lease])
        await claim_one(world, "worker-2")
        await lapse_leases(world)
        last = await claim_one(world, "worker-3")
        await world.queue.write([append(last, token_ids=[1])])
        await world.queue.follow("reader-1", {"g-0-1": 1})
        await world.queue.write([finish(last, 1)])
        told = await world.queue.inspect("g-0-1")
        assert [(step.what, step.detail) for step in told.life] == [
            ("claimed", "worker-1"),
            ("handed-back", "worker-1"),
            ("claimed", "worker-2"),
            ("lost-worker", "worker-2"),
            ("claimed", "worker-3"),
            ("ended", "finished"),
        ]
        times = [step.at_ms for step in told.life]
        assert times == sorted(times)
        assert (told.epoch, told.fingerprint, told.read_offset) == (3, "print-1", 1)
        assert (told.prompt_tokens, told.charged_tokens) == (44, 300)
        assert told.status == await world.queue.status("g-0-1", TENANT)

    async def test_first_steps_and_the_latest_are_told_when_its_life_was_long(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        for number in range(MAX_BATCH):
            claimed = await claim_one(world, f"worker-{number}")
            await world.queue.hand_back([claimed.lease])
        await world.queue.write([finish(await claim_one(world))])
        life = (await world.queue.inspect("g-0-1")).life
        assert len(life) == MAX_BATCH
        assert [step.detail for step in life[:2]] == ["worker-0", "worker-0"]
        assert [step.what for step in life[-2:]] == ["claimed", "ended"]

    async def test_claims_that_left_it_are_counted_when_it_was_held_or_found_no_room(
        self, world: World
    ) -> None:
        await warm(world, "worker-1", "s:1")
        request = replace(submission("g-0-2", deadline_ms=10**6), prompt_tokens=1_000)
        await world.queue.submit(replace(request, affinity=("s:1",)))
        for _ in range(2):
            assert names(await world.queue.claim(claim("worker-2"))) == []
        told = await world.queue.inspect("g-0-2")
        assert (told.holds, told.skips) == (2, 0)
        await world.advance(HOLD_MS + 1)
        full = replace(claim("worker-2", held=1), room=Room(4, 9_000, 3, 500))
        assert names(await world.queue.claim(full)) == []
        told = await world.queue.inspect("g-0-2")
        assert (told.holds, told.skips) == (2, 1)
        await claim_one(world, "worker-1")
        told = await world.queue.inspect("g-0-2")
        assert (told.holds, told.skips, told.status.attempts) == (2, 1, 1)

    async def test_nothing_is_found_when_the_id_is_unknown(self, world: World) -> None:
        with pytest.raises(GenerationNotFoundError):
            await world.queue.inspect("g-0-none")

    @pytest.mark.parametrize("why", ["cancelled", "expired", "abandoned", "dead-lettered"])
    async def test_end_is_told_when_the_store_ends_it(self, world: World, why: str) -> None:
        request = submission(deadline_ms=2_000 if why == "expired" else 10**6)
        if why == "abandoned":
            request = replace(request, reader_grace_ms=2_000)
        await world.queue.submit(request)
        await world.queue.sweep()
        if why == "cancelled":
            await world.queue.cancel("g-0-1", TENANT)
        for _ in range(3 if why == "dead-lettered" else 0):
            await claim_one(world)
            await lapse_leases(world)
        await world.advance(STEP_MS)
        await world.queue.sweep()
        life = (await world.queue.inspect("g-0-1")).life
        assert (life[-1].what, life[-1].detail) == ("ended", why)


class WorkerContract:
    async def test_worker_hears_of_its_drain_when_it_reports(self, world: World) -> None:
        assert not await world.queue.drain_worker("worker-1")
        assert not await world.queue.report("worker-1", b"one")
        assert await world.queue.drain_worker("worker-1")
        assert await world.queue.report("worker-1", b"one")
        assert not await world.queue.report("worker-2", b"two")

    async def test_drain_is_over_when_the_worker_is_gone(self, world: World) -> None:
        await world.queue.report("worker-1", b"one")
        await world.queue.drain_worker("worker-1")
        await world.queue.retire("worker-1")
        assert await world.queue.reports() == []
        assert not await world.queue.report("worker-1", b"one")
        await world.queue.drain_worker("worker-1")
        await world.advance(world.limits.report_ms + 1)
        await world.queue.sweep()
        assert not await world.queue.report("worker-1", b"one")

    async def test_actions_are_kept_in_order_when_audited(self, world: World) -> None:
        for i in range(3):
            await world.queue.audit("ann", "redrive", f"g-0-{i}")
        latest = await world.queue.audits(limit=2)
        assert [entry.subject for entry in latest] == ["g-0-2", "g-0-1"]
        assert (latest[0].who, latest[0].action) == ("ann", "redrive")
        assert latest[0].at_ms >= latest[1].at_ms > 0

    async def test_history_has_one_name_when_something_was_submitted(self, world: World) -> None:
        assert (await world.queue.origins(["g-0-1"])) == {"g-0-1": ""}
        first = await world.queue.submit(submission())
        assert first.origin
        assert (await world.queue.submit(submission("g-0-2"))).origin == first.origin
        assert (await world.queue.status("g-0-1", TENANT)).origin == first.origin
        assert await world.queue.origins(["g-0-1"]) == {"g-0-1": first.origin}
