"""The in-memory twin's inboxes: what followers get as it is logged."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from facet.queue.limits import INBOX_ENTRIES, INBOX_MS, MAX_FOLLOWERS
from facet.queue.values import OLDEST, Inbox, InboxEntry, LogEntry


@dataclass
class Box:
    """One inbox; the entry None made it, or stands for what was received."""

    lapses_ms: int
    entries: deque[tuple[int, InboxEntry | None]] = field(
        default_factory=lambda: deque(maxlen=INBOX_ENTRIES)
    )


class Inboxes:
    """All of them; numbers of entries are never used again, also not by a later inbox."""

    def __init__(self) -> None:
        self._boxes: dict[str, Box] = {}
        self._last = 0

    def keep(self, follower: str, now: int, received: str = "") -> None:
        """Let the follower's inbox live on, or begin; drop what was received."""
        box = self._live(follower, now)
        if box is None:
            box = self._boxes[follower] = Box(now)
            box.entries.append((self._number(), None))
        elif received:
            last = int(received.partition("-")[0])
            if box.entries and box.entries[-1][0] == last and box.entries[-1][1] is not None:
                # What was received is not to rest here: an entry without content takes its place.
                last = self._number()
                box.entries.append((last, None))
            while box.entries and box.entries[0][0] < last:
                box.entries.popleft()
        box.lapses_ms = now + INBOX_MS

    def put(self, follower: str, generation_id: str, entry: LogEntry, now: int) -> None:
        """Add an entry of a log that it follows, if it is still there."""
        box = self._live(follower, now)
        if box is not None:
            inbox_entry = InboxEntry(
                generation_id=generation_id,
                first_offset=entry.first_offset,
                event_count=entry.event_count,
                response=entry.response,
                is_terminal=entry.is_terminal,
                failure=entry.failure,
            )
            box.entries.append((self._number(), inbox_entry))

    def after(self, follower: str, cursor: str, now: int) -> Inbox | None:
        """What came after the cursor; None when nothing did."""
        box = self._live(follower, now)
        last = int(cursor.partition("-")[0])
        arrived = [each for each in box.entries if each[0] > last] if box else []
        if not arrived:
            return None
        if cursor != OLDEST and len(arrived) == INBOX_ENTRIES and arrived[0][1] is not None:
            return Inbox(f"{arrived[-1][0]}-0", (), has_overflown=True)
        entries = tuple(entry for _, entry in arrived if entry is not None)
        return Inbox(f"{arrived[-1][0]}-0", entries)

    def is_live(self, follower: str, now: int) -> bool:
        """Whether the follower was heard of lately."""
        return self._live(follower, now) is not None

    def _live(self, follower: str, now: int) -> Box | None:
        box = self._boxes.get(follower)
        return box if box and box.lapses_ms > now else None

    def _number(self) -> int:
        self._last += 1
        return self._last


def joined(followers: list[str], follower: str) -> list[str]:
    """The followers of one log with this one; the oldest makes room."""
    if follower in followers:
        return followers
    return [*followers[-(MAX_FOLLOWERS - 1) :], follower]
