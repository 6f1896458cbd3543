"""What the in-memory twin knows of workers: who waits for work, who is warm for what."""

from __future__ import annotations

from dataclasses import dataclass

from facet.queue.limits import HOLD_MS, MAX_HINTS, MAX_WAIT_MS, ORPHAN_MS, WARM_MS


@dataclass
class Attention:
    """A worker at its last claim; it waits for work until `waits_until_ms`, if at all."""

    held: int
    waits_until_ms: int | None


class Hints:
    """Hints for all workers and nudges for one; all times are milliseconds of the store."""

    def __init__(self) -> None:
        self.count = 0
        self._nudges: dict[str, int] = {}
        self._warm: dict[str, tuple[str, int]] = {}
        self._workers: dict[str, Attention] = {}
        self._engines: dict[str, int] = {}

    def post(self) -> None:
        """Say that there may be work."""
        self.count = min(self.count + 1, MAX_HINTS)

    def nudge(self, worker: str, now: int) -> None:
        """Tell one worker so, if it was not yet told."""
        if self._nudges.get(worker, now) <= now:
            self._nudges[worker] = now + MAX_WAIT_MS

    def take(self, worker: str, now: int) -> bool:
        """Whether there was a nudge for this worker, or a hint for anybody."""
        if self._nudges.pop(worker, now) > now:
            return True
        if self.count:
            self.count -= 1
            return True
        return False

    def remember(self, worker: str, affinity: tuple[str, ...], now: int) -> None:
        """Let the worker be the one that is warm for these."""
        for name in affinity:
            self._warm[name] = (worker, now + WARM_MS)

    def is_warm(self, worker: str, affinity: tuple[str, ...], now: int) -> bool:
        """Whether it served one of these last."""
        return any(self._warm_for(name, now) == worker for name in affinity)

    def warm_waiting(self, affinity: tuple[str, ...], now: int) -> str | None:
        """The worker that waits for work and is warm, by the strongest such affinity."""
        for name in affinity:
            worker = self._warm_for(name, now)
            waits = self._workers.get(worker) if worker is not None else None
            if waits and waits.waits_until_ms is not None and waits.waits_until_ms > now:
                return worker
        return None

    def note_claim(self, worker: str, held: int, wait_ms: int | None, now: int) -> None:
        """What it has, and how long it waits for more; None when it does not."""
        until_ms = None if wait_ms is None else now + wait_ms + HOLD_MS
        self._workers[worker] = Attention(held, until_ms)

    def see_engine(self, fingerprint: str, now: int) -> None:
        """A worker with such an engine claims."""
        self._engines[fingerprint] = now

    def is_orphaned(self, fingerprint: str, now: int) -> bool:
        """Whether what such an engine began may go to others."""
        seen = self._engines.get(fingerprint)
        return seen is None or seen < now - ORPHAN_MS

    def held_by(self, worker: str) -> int:
        """Requests that it had at its last claim."""
        known = self._workers.get(worker)
        return known.held if known else 0

    def forget(self, worker: str) -> None:
        """It is gone: nothing is held for it."""
        self._workers.pop(worker, None)

    def withdraw_nudge(self, worker: str) -> None:
        """It takes no more hints."""
        self._nudges.pop(worker, None)

    def _warm_for(self, name: str, now: int) -> str | None:
        worker, until_ms = self._warm.get(name, (None, now))
        return worker if until_ms > now else None
