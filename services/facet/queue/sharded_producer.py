"""The gateway's side of a queue of several shards."""

from __future__ import annotations

from facet.queue.generation_id import new_generation_id, shard_of
from facet.queue.limits import MAX_BATCH
from facet.queue.sharded_pages import merged
from facet.queue.sharded_side import ShardedSide, ask
from facet.queue.values import Submission, Submitted
from facet.queue.views import Page, Status


class ShardedProducer(ShardedSide):
    """`facet.queue.port.Producer`."""

    async def name_generation(
        self, tenant: str, request_id: str, *, is_limited: bool = False
    ) -> str:
        """See `Producer.name_generation`."""
        shard = await self._shards.place(tenant, request_id, is_limited=is_limited)
        return new_generation_id(shard)

    async def submit(self, submission: Submission) -> Submitted:
        """See `Producer.submit`. A request id is looked for wherever other counts placed it."""
        tenant, request_id = submission.tenant, submission.request_id
        queue = await self._shard(submission.generation_id)
        elsewhere = self._shards.elsewhere(
            tenant,
            request_id,
            shard_of(submission.generation_id),
            may_be_limited=submission.quota is not None,
        )
        if not elsewhere:
            return await queue.submit(submission)
        async with self._shards.naming(tenant, request_id):
            for other in elsewhere:
                if (earlier := await other.repeat(submission)) is not None:
                    return earlier
            return await queue.submit(submission)

    async def repeat(self, submission: Submission) -> Submitted | None:
        """See `Producer.repeat`."""
        tenant, request_id = submission.tenant, submission.request_id
        queue = await self._shard(submission.generation_id)
        shard = shard_of(submission.generation_id)
        elsewhere = self._shards.elsewhere(
            tenant, request_id, shard, may_be_limited=submission.quota is not None
        )
        for each in (queue, *elsewhere):
            if (earlier := await each.repeat(submission)) is not None:
                return earlier
        return None

    async def cancel(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.cancel`."""
        return await (await self._shard(generation_id)).cancel(generation_id, tenant)

    async def status(self, generation_id: str, tenant: str) -> Status:
        """See `Producer.status`."""
        return await (await self._shard(generation_id)).status(generation_id, tenant)

    async def list_generations(self, tenant: str, *, page: str, limit: int) -> Page:
        """See `Producer.list_generations`."""
        queues, most = self._shards.queues, min(limit, MAX_BATCH)
        answers = await ask(
            {
                shard: queue.list_generations(tenant, page=page, limit=most)
                for shard, queue in queues.items()
            }
        )
        found = answers.all().items()
        return Page(
            *merged(
                {at: (each.generations, each.next_page) for at, each in found},
                most,
                parts_ties=False,
            )
        )

    async def delete(self, generation_id: str, tenant: str) -> bool:
        """See `Producer.delete`."""
        return await (await self._shard(generation_id)).delete(generation_id, tenant)

    async def delivered(self, generation_id: str, tenant: str, follower: str) -> bool:
        """See `Producer.delivered`."""
        return await (await self._shard(generation_id)).delivered(generation_id, tenant, follower)

    async def media_keys(self, generation_id: str, tenant: str) -> tuple[str, ...]:
        """See `Producer.media_keys`."""
        return await (await self._shard(generation_id)).media_keys(generation_id, tenant)
