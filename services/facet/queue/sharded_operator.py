"""What everybody may ask of a queue of several shards, and what operators may do."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from facet.core.errors import StoreUnavailableError
from facet.core.tasks import cancel_all
from facet.queue.answers import invalid_page
from facet.queue.limits import MAX_BATCH
from facet.queue.sharded_pages import each_page, merged
from facet.queue.sharded_side import ShardedSide, ask
from facet.queue.values import Priority
from facet.queue.views import (
    AuditEntry,
    ClassDepth,
    DeadLetters,
    Depth,
    Inspection,
    LeasedWork,
    ScalingRecord,
    SweepResult,
    UsagePage,
    UsageRecord,
    UsageTrim,
)


class ShardedOperator(ShardedSide):
    """`facet.queue.port.Observer` and `Operator`.

    Reports, drains and the audit log are in shard 0.
    """

    async def sweep(self) -> SweepResult:
        """See `Observer.sweep`."""
        results = (await self._ask_all(lambda queue: queue.sweep())).all().values()
        return SweepResult(
            expired=sum(each.expired for each in results),
            reaped=sum(each.reaped for each in results),
            abandoned=sum(each.abandoned for each in results),
            dead_lettered=sum(each.dead_lettered for each in results),
            has_more=any(each.has_more for each in results),
        )

    async def reports(self) -> list[bytes]:
        """See `Observer.reports`."""
        return await self._first.reports()

    async def depth(self) -> Depth:
        """See `Observer.depth`."""
        return _together((await self.depths()).values())

    async def depths(self) -> dict[int, Depth]:
        """See `Observer.depths`."""
        found = (await self._ask_all(lambda queue: queue.depth())).all()
        return {shard: found[shard] for shard in sorted(found)}

    async def leased_work(self) -> LeasedWork:
        """See `Observer.leased_work`."""
        found = (await self._ask_all(lambda queue: queue.leased_work())).all().values()
        by_tenant: Counter[str] = Counter()
        for each in found:
            by_tenant.update(each.by_tenant)
        return LeasedWork(
            sum(each.requests for each in found),
            sum(each.remaining_tokens for each in found),
            by_tenant,
        )

    async def wait_for_arrival(self, cursor: str, timeout_ms: int) -> str:
        """See `Observer.wait_for_arrival`; a shard that comes to be served counts as one."""
        cursors = dict(part.split("=") for part in cursor.split())
        waits = {
            asyncio.create_task(
                queue.wait_for_arrival(cursors.get(str(shard), ""), timeout_ms)
            ): str(shard)
            for shard, queue in self._shards.queues.items()
        }
        failure: StoreUnavailableError | None = None
        answered = False
        pending = set(waits)
        try:
            while pending:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                before = dict(cursors)
                for task in done:
                    try:
                        cursors[waits[task]] = task.result()
                        answered = True
                    except StoreUnavailableError as error:
                        failure = error
                if cursors != before:
                    break
        finally:
            await cancel_all(pending)
        if failure is not None and not answered:
            raise failure
        return " ".join(f"{shard}={at}" for shard, at in sorted(cursors.items()))

    async def takes_telling(self, who: str, life_ms: int) -> bool:
        """See `Observer.takes_telling`; in shard 0 for all."""
        return await self._first.takes_telling(who, life_ms)

    async def origins(self, generation_ids: Sequence[str]) -> dict[str, str]:
        """See `Observer.origins`; "" too for a shard that is not served."""
        groups = self._served(generation_ids, str)
        found = await ask({at: queue.origins(names) for at, (queue, names) in groups.items()})
        origins = dict.fromkeys(generation_ids, "")
        for each in found.all().values():
            origins |= each
        return origins

    async def trim_usage(self, life_ms: int, most: int) -> UsageTrim:
        """See `Operator.trim_usage`."""
        lapsed = cut = 0
        for shard in await self._shards.recorded():
            async with self._shards.opened(shard) as queue:
                trim = await queue.trim_usage(life_ms, most)
            lapsed, cut = lapsed + trim.lapsed, cut + trim.cut
        return UsageTrim(lapsed, cut)

    async def is_empty(self) -> bool:
        """See `Observer.is_empty`."""
        return all((await self._ask_all(lambda queue: queue.is_empty())).all().values())

    async def ping(self) -> None:
        """See `Observer.ping`: requests of the shards that answer are served."""
        (await self._ask_all(lambda queue: queue.ping())).some()

    async def scaling(self) -> ScalingRecord:
        """See `Operator.scaling`; in shard 0."""
        return await self._first.scaling()

    async def inspect(self, generation_id: str) -> Inspection:
        """See `Operator.inspect`."""
        return await (await self._shard(generation_id)).inspect(generation_id)

    async def dead_letters(self, *, page: str, limit: int) -> DeadLetters:
        """See `Operator.dead_letters`."""
        queues, most = self._shards.queues, min(limit, MAX_BATCH)
        pages = each_page(page, queues)
        answers = await ask(
            {
                shard: queue.dead_letters(page=pages[shard], limit=most)
                for shard, queue in queues.items()
            }
        )
        found = answers.all().items()
        return DeadLetters(
            *merged({at: (each.letters, each.next_page) for at, each in found}, most)
        )

    async def redrive(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.redrive`."""
        groups = self._served(generation_ids, str).values()
        return sum([await queue.redrive(names) for queue, names in groups])

    async def discard(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.discard`."""
        groups = self._served(generation_ids, str).values()
        return sum([await queue.discard(names) for queue, names in groups])

    async def drain_worker(self, worker: str) -> bool:
        """See `Operator.drain_worker`."""
        return await self._first.drain_worker(worker)

    async def usage(self, *, since_ms: int, until_ms: int, page: str, limit: int) -> UsagePage:
        """See `Operator.usage`: shard by shard, also those that are not served any more."""
        shard, _, place = page.rpartition("/") if page else ("0", "", "")
        if not re.fullmatch("[0-9]{1,3}", shard):
            raise invalid_page()
        records: list[UsageRecord] = []
        for at in await self._shards.recorded():
            if at < int(shard):
                continue
            most = limit - len(records)
            async with self._shards.opened(at) as queue:
                found = await queue.usage(
                    since_ms=since_ms, until_ms=until_ms, page=place, limit=most
                )
            records += found.records
            place = ""
            if found.next_page:
                return UsagePage(tuple(records), f"{at}/{found.next_page}")
        return UsagePage(tuple(records), "")

    async def audit(self, who: str, action: str, subject: str) -> None:
        """See `Operator.audit`."""
        await self._first.audit(who, action, subject)

    async def audits(self, *, limit: int) -> list[AuditEntry]:
        """See `Operator.audits`."""
        return await self._first.audits(limit=limit)


def _together(depths: Iterable[Depth]) -> Depth:
    found = list(depths)
    return Depth(
        classes={priority: _class_together(found, priority) for priority in Priority},
        waiting_bytes=sum(each.waiting_bytes for each in found),
        leased=sum(each.leased for each in found),
        dead_letters=sum(each.dead_letters for each in found),
        drain_tokens_per_second=sum(each.drain_tokens_per_second for each in found),
        # Each shard learns from a like share of the answers.
        mean_output_tokens=sum(each.mean_output_tokens for each in found) // len(found),
    )


def _class_together(depths: Sequence[Depth], priority: Priority) -> ClassDepth:
    found = [each.classes[priority] for each in depths]
    return ClassDepth(
        requests=sum(each.requests for each in found),
        tokens=sum(each.tokens for each in found),
        oldest_ms=max(each.oldest_ms for each in found),
        accepted_requests=sum(each.accepted_requests for each in found),
        accepted_tokens=sum(each.accepted_tokens for each in found),
    )
