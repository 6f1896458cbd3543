"""Contract of who may have what: capabilities, room, engines."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.queue.limits import ORPHAN_MS, RESERVED_CHECK_MS
from facet.queue.values import Needs, Offers, Room, Submission
from tests.support.queue_contract.world import (
    TENANT,
    World,
    append,
    claim,
    claim_one,
    names,
    submission,
)

LARGE = Room(sequences=4, tokens=8_000, free_sequences=4, free_tokens=8_000)


class FitContract:
    async def test_only_able_workers_get_a_request_when_it_has_needs(self, world: World) -> None:
        needs = Needs(context_tokens=8192, media="iv", adapter="legal")
        await world.queue.submit(replace(submission(), needs=needs))
        for offers in (
            Offers(context_tokens=4096, adapters=("legal",)),
            Offers(media="i", adapters=("legal",)),
            Offers(),
            Offers(envelope_versions=(2,), adapters=("legal",)),
        ):
            assert names(await world.queue.claim(replace(claim(), offers=offers))) == []
        able = Offers(adapters=("medical", "legal"))
        assert names(await world.queue.claim(replace(claim(), offers=able))) == ["g-0-1"]

    async def test_larger_worker_gets_a_request_when_it_was_refiled(self, world: World) -> None:
        await world.queue.submit(submission())
        lease = (await claim_one(world)).lease
        await world.queue.hand_back([lease], context_tokens=32_768)
        small = replace(claim(), offers=Offers(context_tokens=8192))
        assert names(await world.queue.claim(small)) == []
        assert names(await world.queue.claim(claim())) == ["g-0-1"]

    async def test_worker_empties_itself_when_a_request_finds_no_room(self, world: World) -> None:
        await world.queue.submit(replace(submission("g-0-big", tenant="a"), prompt_tokens=5_000))
        for i in range(40):
            await world.queue.submit(submission(f"g-0-{i}", tenant="b"))
        room = Room(tokens=8_000, free_tokens=4_000)
        counts = []
        for _ in range(3):
            result = await world.queue.claim(replace(claim(limit=30, held=4), room=room))
            counts.append(len(result.claimed))
        # Others overtake it by no more than its own charge.
        assert 0 < sum(counts) <= 22
        assert (counts[2], result.may_take_hints) == (0, False)
        other = await world.queue.claim(replace(claim("worker-2", limit=2, held=4), room=room))
        assert len(other.claimed) == 2
        empty = replace(room, free_tokens=8_000)
        result = await world.queue.claim(replace(claim(limit=1), room=empty))
        assert names(result) == ["g-0-big"]

    async def test_another_engine_continues_when_the_first_kind_is_gone(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=10**6))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[7])])
        await world.queue.hand_back([claimed.lease])
        assert names(await world.queue.claim(claim("worker-2", fingerprint="print-2"))) == []
        await world.advance(ORPHAN_MS + 1)
        (other,) = (await world.queue.claim(claim("worker-2", fingerprint="print-2"))).claimed
        assert (other.fingerprint, other.token_ids) == ("print-1", (7,))
        restart = replace(append(other, token_ids=[8]), voids_ids=True)
        await world.queue.write([restart])
        await world.queue.hand_back([other.lease])
        again = await claim_one(world, "worker-2", "print-2")
        assert (again.fingerprint, again.token_ids) == ("print-2", (8,))

    async def test_bucket_never_shrinks_when_refiled_under_a_smaller_one(
        self, world: World
    ) -> None:
        needs = Needs(context_tokens=16_384)
        await world.queue.submit(replace(submission(), needs=needs))
        lease = (await claim_one(world)).lease
        await world.queue.hand_back([lease], context_tokens=4_096)
        assert (await world.queue.inspect("g-0-1")).needs == needs

    @pytest.mark.parametrize(
        "large",
        [replace(submission(), prompt_tokens=9_000), replace(submission(), sequences=5)],
    )
    async def test_others_pass_freely_when_a_request_is_too_large_for_the_worker(
        self, world: World, large: Submission
    ) -> None:
        await world.queue.submit(replace(large, generation_id="g-0-big", tenant="a"))
        for i in range(6):
            await world.queue.submit(submission(f"g-0-{i}", tenant="b"))
        for _ in range(6):
            result = await world.queue.claim(replace(claim(), room=LARGE))
            assert (len(result.claimed), result.may_take_hints) == (1, True)
        result = await world.queue.claim(replace(claim(), room=LARGE))
        assert (result.claimed, result.may_take_hints) == ((), True)
        assert names(await world.queue.claim(claim("worker-2"))) == ["g-0-big"]

    async def test_room_is_used_up_when_several_are_claimed_at_once(self, world: World) -> None:
        for i in range(4):
            await world.queue.submit(replace(submission(f"g-0-{i}"), prompt_tokens=2_744))
        result = await world.queue.claim(replace(claim(limit=4, held=1), room=LARGE))
        assert names(result) == ["g-0-0", "g-0-1"]
        assert (result.next_check_ms, result.may_take_hints) == (RESERVED_CHECK_MS, False)

    async def test_sequences_are_used_up_when_a_request_has_many_candidates(
        self, world: World
    ) -> None:
        for i in range(3):
            await world.queue.submit(replace(submission(f"g-0-{i}"), sequences=2))
        result = await world.queue.claim(replace(claim(limit=3), room=LARGE))
        assert names(result) == ["g-0-0", "g-0-1"]

    async def test_order_of_a_tenant_is_kept_when_its_first_finds_no_room(
        self, world: World
    ) -> None:
        await world.queue.submit(replace(submission("g-0-big"), prompt_tokens=5_000))
        await world.queue.submit(submission("g-0-small"))
        full = replace(LARGE, free_tokens=1_000)
        result = await world.queue.claim(replace(claim(limit=2, held=1), room=full))
        assert (result.claimed, result.may_take_hints) == ((), False)
        assert (await world.queue.inspect("g-0-big")).skips == 1
        both = await world.queue.claim(replace(claim(limit=2), room=LARGE))
        assert names(both) == ["g-0-big", "g-0-small"]

    async def test_only_one_worker_empties_itself_when_a_request_finds_no_room(
        self, world: World
    ) -> None:
        await world.queue.submit(replace(submission("g-0-big"), prompt_tokens=5_000))
        full = replace(LARGE, free_tokens=1_000)
        for worker, may_take_hints in (("worker-1", False), ("worker-2", True)):
            result = await world.queue.claim(replace(claim(worker, held=1), room=full))
            assert (result.claimed, result.may_take_hints) == ((), may_take_hints)
        await world.advance(world.limits.lease_ms + 1)
        other = await world.queue.claim(replace(claim("worker-2", held=1), room=full))
        assert not other.may_take_hints

    async def test_next_large_request_gets_a_worker_when_the_first_was_claimed(
        self, world: World
    ) -> None:
        for name in ("g-0-big", "g-0-huge"):
            await world.queue.submit(replace(submission(name), prompt_tokens=5_000))
        full = replace(LARGE, free_tokens=1_000)
        await world.queue.claim(replace(claim("worker-1", held=1), room=full))
        assert names(await world.queue.claim(replace(claim("worker-2"), room=LARGE))) == ["g-0-big"]
        result = await world.queue.claim(replace(claim("worker-3", held=1), room=full))
        assert not result.may_take_hints

    async def test_answer_starts_over_when_an_append_voids_earlier_ids(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        restart = replace(append(claimed, 1, [8]), voids_ids=True)
        await world.queue.write([append(claimed, token_ids=[1, 2]), restart])
        await world.queue.hand_back([claimed.lease])
        again = await claim_one(world)
        assert (again.token_ids, again.next_offset, again.attempt) == ((8,), 2, 2)
        assert (await world.queue.status("g-0-1", TENANT)).next_offset == 2
