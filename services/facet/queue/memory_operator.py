"""What everybody may ask of the in-memory twin, and what operators may do."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Sequence

from facet.queue.answers import check_page, invalid_page, not_found
from facet.queue.limits import AUDIT_ENTRIES, MAX_BATCH, MAX_WAIT_MS
from facet.queue.memory_ledger import Ledger
from facet.queue.memory_record import SUSPECTS, Record
from facet.queue.memory_side import MemorySide
from facet.queue.memory_sweep import MemorySweep
from facet.queue.values import Priority
from facet.queue.views import (
    AuditEntry,
    ClassDepth,
    DeadLetter,
    DeadLetters,
    Depth,
    Inspection,
    LeasedWork,
    ScalingRecord,
    SweepResult,
    UsagePage,
    UsageTrim,
)


class MemoryOperator(MemorySide):
    """`facet.queue.port.Observer` and `Operator`, and the workers' reports."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._sweep = MemorySweep(ledger)
        self._reports: dict[str, tuple[int, bytes]] = {}
        self._drains: set[str] = set()
        self._teller = ("", 0)
        self._audit: deque[AuditEntry] = deque(maxlen=AUDIT_ENTRIES)

    async def report(self, worker: str, report: bytes) -> bool:
        """See `Consumer.report`."""
        self._reports[worker] = (self._ledger.clock_ms() + self._ledger.limits.report_ms, report)
        return worker in self._drains

    async def retire(self, worker: str) -> None:
        """See `Consumer.retire`."""
        self._forget_worker(worker)
        self._ledger.hints.withdraw_nudge(worker)

    async def sweep(self) -> SweepResult:
        """See `Observer.sweep`."""
        result = self._sweep.run()
        now = self._ledger.clock_ms()
        for worker in [name for name, (lapses_ms, _) in self._reports.items() if lapses_ms <= now]:
            self._forget_worker(worker)
        self._tell()
        return result

    async def reports(self) -> list[bytes]:
        """See `Observer.reports`."""
        now = self._ledger.clock_ms()
        live = [(at, name, report) for name, (at, report) in self._reports.items() if at > now]
        return [report for _, _, report in sorted(live, reverse=True)[:MAX_BATCH]]

    async def depth(self) -> Depth:
        """See `Observer.depth`."""
        ledger = self._ledger
        return Depth(
            classes={priority: self._class_depth(priority) for priority in Priority},
            waiting_bytes=ledger.lanes.total().size_bytes,
            leased=len(ledger.leases),
            dead_letters=len(ledger.dead),
            drain_tokens_per_second=math.floor(ledger.pace.rate(ledger.clock_ms()) * 10**6) / 1000,
            mean_output_tokens=math.floor(ledger.pace.mean_output),
        )

    async def depths(self) -> dict[int, Depth]:
        """See `Observer.depths`."""
        return {self._ledger.shard: await self.depth()}

    async def leased_work(self) -> LeasedWork:
        """See `Observer.leased_work`."""
        records = [self._ledger.records[name] for name in self._ledger.leases]
        expected = (
            each.size - each.submission.prompt_tokens - each.token_count for each in records
        )
        counts = Counter(each.tenant for each in records)
        return LeasedWork(len(records), sum(max(tokens, 0) for tokens in expected), counts)

    async def wait_for_arrival(self, cursor: str, timeout_ms: int) -> str:
        """See `Observer.wait_for_arrival`."""
        ends = asyncio.get_running_loop().time() + min(timeout_ms, MAX_WAIT_MS) / 1000
        while cursor == str(self._ledger.idle_arrivals):
            if not await self._changes_before(ends):
                break
        return str(self._ledger.idle_arrivals)

    async def takes_telling(self, who: str, life_ms: int) -> bool:
        """See `Observer.takes_telling`."""
        now = self._ledger.clock_ms()
        teller, until_ms = self._teller
        if teller != who and until_ms > now:
            return False
        self._teller = (who, now + life_ms)
        return True

    async def origins(self, generation_ids: Sequence[str]) -> dict[str, str]:
        """See `Observer.origins`."""
        return dict.fromkeys(generation_ids, self._ledger.origin)

    async def trim_usage(self, life_ms: int, most: int) -> UsageTrim:
        """See `Operator.trim_usage`."""
        accounts, oldest_ms = self._ledger.accounts, self._ledger.clock_ms() - life_ms
        kept = [each for each in accounts.usage if each[1].ended_ms >= oldest_ms]
        lapsed = len(accounts.usage) - len(kept)
        cut = 0 if lapsed else max(len(kept) - most, 0)
        accounts.usage = kept[cut:]
        return UsageTrim(lapsed, cut)

    async def is_empty(self) -> bool:
        """See `Observer.is_empty`."""
        return not self._ledger.records

    async def ping(self) -> None:
        """See `Observer.ping`."""

    async def scaling(self) -> ScalingRecord:
        """See `Operator.scaling`: the twin keeps none."""
        return ScalingRecord(self._ledger.clock_ms())

    async def inspect(self, generation_id: str) -> Inspection:
        """See `Operator.inspect`."""
        record = self._ledger.find(generation_id)
        if record is None:
            raise not_found(generation_id)
        return Inspection(
            status=self._ledger.describe(record),
            priority=record.submission.priority,
            needs=record.needs,
            epoch=record.epoch,
            fingerprint=record.fingerprint or record.claim_fingerprint,
            prompt_tokens=record.submission.prompt_tokens,
            charged_tokens=record.charged,
            holds=record.holds,
            skips=record.skips,
            read_offset=record.read_offset,
            life=tuple(record.life[:MAX_BATCH]),
        )

    async def dead_letters(self, *, page: str, limit: int) -> DeadLetters:
        """See `Operator.dead_letters`."""
        check_page(page)
        before = int(page) if page else math.inf
        most = min(limit, MAX_BATCH)
        dead = [(at, name) for name, at in self._ledger.dead.items() if at < before]
        found = sorted(dead, reverse=True)[:most]
        letters = tuple(self._letter(self._ledger.records[name]) for _, name in found)
        return DeadLetters(letters, str(found[-1][0]) if found and len(found) == most else "")

    async def redrive(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.redrive`."""
        count, arrived = 0, self._ledger.arrive()
        for name in generation_ids:
            if name in self._ledger.dead:
                self._redrive(
                    self._ledger.records[name], self._ledger.arrive() if count else arrived
                )
                count += 1
        self._tell()
        return count

    async def discard(self, generation_ids: Sequence[str]) -> int:
        """See `Operator.discard`."""
        found = [name for name in dict.fromkeys(generation_ids) if name in self._ledger.dead]
        for name in found:
            self._ledger.erase(self._ledger.records[name])
        return len(found)

    async def drain_worker(self, worker: str) -> bool:
        """See `Operator.drain_worker`."""
        if worker in self._reports:
            self._drains.add(worker)
        return worker in self._reports

    async def usage(self, *, since_ms: int, until_ms: int, page: str, limit: int) -> UsagePage:
        """See `Operator.usage`."""
        number, dash, _ = page.partition("-")
        if page and not (dash and number.isdecimal()):
            raise invalid_page()
        last = int(number or 0)
        found = [
            (at, each)
            for at, each in self._ledger.accounts.usage
            if at > last and since_ms <= each.ended_ms < until_ms
        ][:limit]
        following = f"{found[-1][0]}-0" if found and len(found) == limit else ""
        return UsagePage(tuple(each for _, each in found), following)

    async def audit(self, who: str, action: str, subject: str) -> None:
        """See `Operator.audit`."""
        self._audit.append(AuditEntry(self._ledger.clock_ms(), who, action, subject))

    async def audits(self, *, limit: int) -> list[AuditEntry]:
        """See `Operator.audits`."""
        return list(reversed(self._audit))[:limit]

    def _forget_worker(self, worker: str) -> None:
        self._reports.pop(worker, None)
        self._drains.discard(worker)
        self._ledger.hints.forget(worker)

    def _class_depth(self, priority: Priority) -> ClassDepth:
        lanes, now = self._ledger.lanes, self._ledger.now_us()
        # Suspects are few; they are told with the best class.
        kinds = {int(priority)} | ({SUSPECTS} if priority is Priority.INTERACTIVE else set())
        places = [lanes.oldest_place(lane) for lane in lanes.lanes if lane.kind in kinds]
        oldest = min((place for place in places if place is not None), default=now)
        load = lanes.loads[int(priority)]
        age_ms = max((now - oldest) // 1000, 0)
        accepted = self._ledger.accepted.get(priority, (0, 0))
        return ClassDepth(load.requests, load.tokens, age_ms, *accepted)

    def _letter(self, record: Record) -> DeadLetter:
        name, failure = record.generation_id, self._ledger.failure_of(record)
        place = self._ledger.dead[name]
        return DeadLetter(name, record.tenant, record.ended_ms, failure, record.size_bytes, place)

    def _redrive(self, record: Record, place: int) -> None:
        ledger, name = self._ledger, record.generation_id
        del ledger.dead[name], ledger.expiring[name]
        record.start_over(place, ledger.clock_ms() + record.due_ms - record.place // 1000)
        ledger.lanes.enter(record)
        ledger.set_timer(record)
        ledger.accounts.withdraw(name)
        ledger.accounts.reserve_again(record, ledger.clock_ms())
        ledger.note(record, "redriven")
        ledger.announce(record)
