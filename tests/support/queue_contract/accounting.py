"""Contract of usage records, and of what is kept of a tenant whose retention is bound."""

from __future__ import annotations

from dataclasses import replace

import pytest

from facet.api.v1.generation_pb2 import UsageMetadata
from facet.core.errors import GenerationNotFoundError, InvalidRequestError
from facet.queue.limits import GONE_MS, INBOX_MS, MAX_FOLLOWERS, MIN_RETENTION_MS
from facet.queue.values import Finish, Followed, Submission, Verdict
from facet.queue.views import UsageRecord, UsageTrim
from tests.support.queue_contract.operating import buried
from tests.support.queue_contract.world import (
    STEP_MS,
    TENANT,
    World,
    append,
    claim_one,
    finish,
    log_of,
    submission,
)

EVER_MS = 1 << 45


async def usage_of(world: World, limit: int = 100) -> list[UsageRecord]:
    """All usage records."""
    found: list[UsageRecord] = []
    page = ""
    while True:
        answer = await world.queue.usage(since_ms=0, until_ms=EVER_MS, page=page, limit=limit)
        assert len(answer.records) <= limit
        found += answer.records
        page = answer.next_page
        if not page:
            return found


def measured(last: Finish) -> Finish:
    """A finish of a worker that tells what was used."""
    usage = UsageMetadata(prompt_token_count=7, candidates_token_count=3)
    return replace(last, prompt_tokens=7, output_tokens=3, usage=usage.SerializeToString())


class UsageContract:
    async def test_record_tells_what_it_took_when_a_generation_finishes(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.advance(2_000)
        claimed = await claim_one(world)
        await world.advance(3_000)
        last = measured(finish(claimed, token_ids=[1, 2, 3]))
        for _ in range(2):
            await world.queue.write([last])
        (record,) = await usage_of(world)
        assert (record.generation_id, record.tenant, record.outcome, record.attempts) == (
            *("g-0-1", TENANT),
            *("finished", 1),
        )
        assert record.queue_ms == pytest.approx(2_000, abs=300)
        assert record.run_ms == pytest.approx(3_000, abs=300)
        assert (record.prompt_tokens, record.output_tokens, record.usage) == (7, 3, last.usage)

    async def test_record_is_an_estimate_when_the_store_ends_what_ran(self, world: World) -> None:
        await world.queue.submit(replace(submission(), prompt_tokens=40))
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1, 2])])
        for _ in range(2):
            await world.queue.cancel("g-0-1", TENANT)
        (record,) = await usage_of(world)
        assert (record.outcome, record.prompt_tokens, record.output_tokens, record.usage) == (
            *("cancelled", 40),
            *(2, b""),
        )

    async def test_record_is_empty_when_it_never_ran(self, world: World) -> None:
        await world.queue.submit(submission(deadline_ms=2_000))
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.sweep()
        (record,) = await usage_of(world)
        assert (record.outcome, record.attempts) == ("expired", 0)
        assert (record.prompt_tokens, record.output_tokens, record.run_ms) == (0, 0, 0)
        assert record.queue_ms == pytest.approx(STEP_MS, abs=300)

    async def test_time_counts_from_the_first_claim_when_workers_were_lost(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        await world.advance(1_000)
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1])])
        await world.advance(1_000)
        await world.queue.hand_back([claimed.lease])
        await world.advance(1_000)
        again = await claim_one(world)
        await world.queue.write([finish(again, failure=b"why")])
        (record,) = await usage_of(world)
        assert (record.outcome, record.attempts) == ("failed", 2)
        assert record.queue_ms == pytest.approx(1_000, abs=300)
        assert record.run_ms == pytest.approx(2_000, abs=300)

    async def test_one_record_is_left_when_a_dead_letter_runs_again(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])
        assert [each.outcome for each in await usage_of(world)] == ["dead-lettered"]
        await world.queue.redrive(["g-0-1"])
        assert await usage_of(world) == []
        await world.queue.write([measured(finish(await claim_one(world)))])
        assert [each.outcome for each in await usage_of(world)] == ["finished"]

    async def test_times_are_those_of_the_last_run_when_a_dead_letter_ran_again(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        first = await claim_one(world)
        await world.advance(1_000)
        await world.queue.write([finish(first, failure=b"why", is_dead_letter=True)])
        await world.queue.redrive(["g-0-1"])
        await world.advance(2_000)
        again = await claim_one(world)
        await world.advance(3_000)
        await world.queue.write([measured(finish(again))])
        (record,) = await usage_of(world)
        assert record.queue_ms == pytest.approx(2_000, abs=300)
        assert record.run_ms == pytest.approx(3_000, abs=300)

    async def test_it_never_ran_when_a_redriven_one_is_cancelled_before_a_claim(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        first = await claim_one(world)
        await world.queue.write([finish(first, failure=b"why", is_dead_letter=True)])
        await world.queue.redrive(["g-0-1"])
        await world.advance(2_000)
        await world.queue.cancel("g-0-1", TENANT)
        (record,) = await usage_of(world)
        assert record.queue_ms == pytest.approx(2_000, abs=300)
        assert (record.run_ms, record.attempts) == (0, 0)

    async def test_records_stay_when_the_generation_is_deleted(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.cancel("g-0-1", TENANT)
        assert await world.queue.delete("g-0-1", TENANT)
        assert len(await usage_of(world)) == 1

    @pytest.mark.parametrize("limit", [1, 2, 5, 100])
    async def test_each_record_comes_once_when_they_are_paged(
        self, world: World, limit: int
    ) -> None:
        names = [f"g-0-{i}" for i in range(5)]
        for name in names:
            await world.queue.submit(submission(name))
            await world.queue.cancel(name, TENANT)
        found = [each.generation_id for each in await usage_of(world, limit)]
        assert sorted(found) == names

    async def test_nothing_is_found_when_nothing_ended_in_the_time(self, world: World) -> None:
        await world.queue.submit(submission())
        await world.queue.cancel("g-0-1", TENANT)
        (record,) = await usage_of(world)
        since, until = record.ended_ms, record.ended_ms + 1
        for at, count in (((since, until), 1), ((0, since), 0), ((until, EVER_MS), 0)):
            page = await world.queue.usage(since_ms=at[0], until_ms=at[1], page="", limit=10)
            assert len(page.records) == count

    async def test_page_is_refused_when_no_answer_named_it(self, world: World) -> None:
        with pytest.raises(InvalidRequestError):
            await world.queue.usage(since_ms=0, until_ms=EVER_MS, page="(1", limit=10)


class UsageBoundContract:
    """Of one shard."""

    async def test_latest_records_are_left_when_there_are_too_many(self, world: World) -> None:
        names = [f"g-0-{i}" for i in range(5)]
        for name in names:
            await world.queue.submit(submission(name))
            await world.queue.cancel(name, TENANT)
        assert await world.queue.trim_usage(EVER_MS, 5) == UsageTrim(lapsed=0, cut=0)
        assert await world.queue.trim_usage(EVER_MS, 2) == UsageTrim(lapsed=0, cut=3)
        assert [each.generation_id for each in await usage_of(world)] == names[3:]
        assert await world.queue.trim_usage(EVER_MS, 2) == UsageTrim(lapsed=0, cut=0)


def fleeting(generation_id: str = "g-0-1", *, retention_ms: int = 0) -> Submission:
    """A request of a tenant of whom nothing is kept longer."""
    return replace(submission(generation_id, retention_ms=retention_ms), has_bound_retention=True)


class RetentionContract:
    @pytest.mark.parametrize("is_bound", [True, False])
    async def test_status_tells_when_the_end_is_all_that_is_wanted(
        self, world: World, is_bound: bool
    ) -> None:
        request = replace(submission(retention_ms=0), has_bound_retention=is_bound)
        await world.queue.submit(request)
        assert (await world.queue.status("g-0-1", TENANT)).is_fleeting is is_bound
        await world.queue.write([finish(await claim_one(world))])
        assert (await world.queue.status("g-0-1", TENANT)).is_fleeting is is_bound

    async def test_end_can_be_fetched_for_a_while_when_nobody_read_it(self, world: World) -> None:
        await world.queue.submit(fleeting())
        await world.queue.write([finish(await claim_one(world))])
        status = await world.queue.status("g-0-1", TENANT)
        assert status.expires_ms - status.ended_ms == MIN_RETENTION_MS
        await world.advance(MIN_RETENTION_MS + 1)
        await world.queue.sweep()
        await world.advance(STEP_MS)
        await world.queue.sweep()
        assert await world.stored_names() == set()

    async def test_no_dead_letter_is_kept_when_nothing_is_to_be_kept(self, world: World) -> None:
        await world.queue.submit(fleeting())
        claimed = await claim_one(world)
        await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])
        status = await world.queue.status("g-0-1", TENANT)
        assert (await buried(world), status.failure) == ([], b"why")
        assert status.expires_ms - status.ended_ms == MIN_RETENTION_MS
        assert await world.queue.redrive(["g-0-1"]) == 0

    async def test_dead_letter_is_kept_as_long_as_all_when_the_retention_is_bound(
        self, world: World
    ) -> None:
        await world.queue.submit(fleeting(retention_ms=90_000))
        claimed = await claim_one(world)
        await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])
        status = await world.queue.status("g-0-1", TENANT)
        assert (await buried(world), status.is_fleeting) == (["g-0-1"], False)
        assert status.expires_ms - status.ended_ms == 90_000

    async def test_lease_is_lost_when_its_request_was_deleted(self, world: World) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.delete("g-0-1", TENANT)
        lease = claimed.lease
        assert await world.queue.heartbeat("worker-1", "print-1", [lease]) == [Verdict.LEASE_LOST]
        for write in (append(claimed), finish(claimed)):
            (result,) = await world.queue.write([write])
            assert result.verdict is Verdict.LEASE_LOST

    @pytest.mark.parametrize("has_run", [True, False])
    async def test_deleted_one_is_not_accepted_anew_when_its_gateway_missed_the_end(
        self, world: World, has_run: bool
    ) -> None:
        request = submission(request_id="order-1")
        await world.queue.submit(request)
        if has_run:
            await claim_one(world)
        await world.queue.cancel("g-0-1", TENANT)
        await world.queue.delete("g-0-1", TENANT)
        for call in (world.queue.submit, world.queue.repeat):
            with pytest.raises(GenerationNotFoundError):
                await call(request)
        assert (await world.queue.depth()).waiting == 0
        assert (await world.queue.submit(submission("g-0-2", request_id="order-1"))).is_new
        await world.advance(GONE_MS)
        assert (await world.queue.submit(submission())).is_new

    async def test_discarded_letter_is_not_accepted_anew_when_its_gateway_missed_the_end(
        self, world: World
    ) -> None:
        await world.queue.submit(submission())
        claimed = await claim_one(world)
        last = finish(claimed, failure=b"why", is_dead_letter=True)
        await world.queue.write([last])
        assert await world.queue.discard(["g-0-1"]) == 1
        with pytest.raises(GenerationNotFoundError):
            await world.queue.submit(submission())
        (result,) = await world.queue.write([last])
        assert result.verdict is Verdict.LEASE_LOST

    async def test_media_are_known_when_they_may_be_held_and_forgotten_later(
        self, world: World
    ) -> None:
        request = submission(deadline_ms=50_000, retention_ms=100_000)
        await world.queue.submit(replace(request, media_keys=("key-1",)))
        claimed = await claim_one(world)
        await world.queue.write([finish(claimed, failure=b"why", is_dead_letter=True)])
        await world.advance(150_000)
        assert await world.queue.media_keys("g-0-1", TENANT) == ("key-1",)
        await world.advance(MIN_RETENTION_MS)
        assert await world.queue.media_keys("g-0-1", TENANT) == ()

    async def test_nothing_is_left_when_deleted(self, world: World) -> None:
        request = replace(submission(request_id="order-1"), media_keys=("key-1", "key-2"))
        await world.queue.submit(request)
        claimed = await claim_one(world)
        await world.queue.write([append(claimed, token_ids=[1])])
        last = finish(claimed, claimed.next_offset + 1, failure=b"why", is_dead_letter=True)
        await world.queue.write([last])
        assert await world.queue.media_keys("g-0-1", TENANT) == ("key-1", "key-2")
        assert await world.queue.media_keys("g-0-1", "tenant-b") == ()
        assert await world.queue.delete("g-0-1", TENANT)
        assert (await world.stored_names(), await buried(world)) == (set(), [])
        assert await world.queue.media_keys("g-0-1", TENANT) == ()


class DeliveryContract:
    """A fleeting request goes with the last of its readers that are present."""

    async def test_it_is_deleted_when_its_only_reader_got_the_end(self, world: World) -> None:
        await followed_by(world, "reader-1")
        await end(world)
        assert await world.queue.delivered("g-0-1", TENANT, "reader-1")
        assert await world.stored_names() == set()
        with pytest.raises(GenerationNotFoundError):
            await world.queue.submit(fleeting())
        assert not await world.queue.delivered("g-0-1", TENANT, "reader-1")

    async def test_it_stays_when_another_reader_is_behind(self, world: World) -> None:
        await followed_by(world, "reader-1", "reader-2")
        await end(world)
        for _ in range(2):
            assert not await world.queue.delivered("g-0-1", TENANT, "reader-1")
        assert len(await log_of(world)) == 1
        assert await world.queue.delivered("g-0-1", TENANT, "reader-2")
        assert await world.stored_names() == set()

    async def test_reader_is_waited_for_when_it_comes_after_the_end(self, world: World) -> None:
        await followed_by(world, "reader-1")
        await end(world)
        followed = await world.queue.follow("reader-2", {"g-0-1": 0})
        assert followed["g-0-1"] == Followed(is_known=True, next_offset=1)
        assert not await world.queue.delivered("g-0-1", TENANT, "reader-1")
        assert await world.queue.delivered("g-0-1", TENANT, "reader-2")

    async def test_reader_is_not_waited_for_when_it_left(self, world: World) -> None:
        await followed_by(world, "reader-1", "reader-2")
        await end(world)
        await world.queue.unfollow("reader-2", ["g-0-1"])
        assert await world.queue.delivered("g-0-1", TENANT, "reader-1")

    async def test_reader_is_not_waited_for_when_its_presence_lapsed(self, world: World) -> None:
        await followed_by(world, "reader-1", "reader-2")
        await end(world)
        await world.advance(INBOX_MS)
        await world.queue.follow("reader-1", {})
        assert await world.queue.delivered("g-0-1", TENANT, "reader-1")

    async def test_oldest_is_not_waited_for_when_there_are_too_many_readers(
        self, world: World
    ) -> None:
        readers = [f"reader-{i}" for i in range(MAX_FOLLOWERS + 1)]
        await followed_by(world, *readers)
        await end(world)
        deleted = [await world.queue.delivered("g-0-1", TENANT, each) for each in readers[1:]]
        assert deleted == [False] * (MAX_FOLLOWERS - 1) + [True]

    async def test_nothing_is_deleted_when_it_has_not_ended_or_is_kept_or_foreign(
        self, world: World
    ) -> None:
        await followed_by(world, "reader-1")
        assert not await world.queue.delivered("g-0-1", TENANT, "reader-1")
        await end(world)
        assert not await world.queue.delivered("g-0-1", "tenant-b", "reader-1")
        assert not await world.queue.delivered("g-0-none", TENANT, "reader-1")
        await world.queue.submit(submission("g-0-2"))
        await world.queue.cancel("g-0-2", TENANT)
        assert not await world.queue.delivered("g-0-2", TENANT, "reader-1")
        assert len(await log_of(world)) == len(await log_of(world, "g-0-2")) == 1


async def followed_by(world: World, *readers: str) -> None:
    """Queue a fleeting request that these readers follow."""
    await world.queue.submit(fleeting())
    for reader in readers:
        await world.queue.follow(reader, {"g-0-1": 0})


async def end(world: World) -> None:
    """Run it to its end."""
    await world.queue.write([finish(await claim_one(world))])
