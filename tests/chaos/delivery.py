"""What one reader of one generation was given, and every breach of order on the way."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from facet.api.v1 import event_pb2, inference_service_pb2


@dataclass
class Delivery:
    """Grows while it is read; offsets are checked over all calls that it took.

    `end` is how the last call ended: OK, a reason of the API, or a status code where no reason was
    given. Times are monotonic seconds.
    """

    generation_id: str = ""
    events: list[event_pb2.Event] = field(default_factory=list)
    response: inference_service_pb2.GenerateContentResponse | None = None
    end: str = ""
    calls: int = 0
    gaps: int = 0
    duplicate_offsets: int = 0
    extra_terminals: int = 0
    other_ids: list[str] = field(default_factory=list)
    behind: int = 0
    """How often a gateway said that the log is shorter than what was delivered."""
    transient: list[str] = field(default_factory=list)
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0

    @property
    def next_offset(self) -> int:
        """Where the next call has to go on."""
        return self.events[-1].offset + 1 if self.events else 0

    @property
    def finished(self) -> event_pb2.Finished | None:
        """The terminal event, once it is there."""
        if self.events and self.events[-1].HasField("finished"):
            return self.events[-1].finished
        return None

    @property
    def is_resumed(self) -> bool:
        """Whether a second worker went on with it."""
        return any(event.HasField("resumed") for event in self.events)

    @property
    def worker(self) -> str:
        """The last worker that announced itself; empty before the first."""
        for event in reversed(self.events):
            if event.HasField("started"):
                return event.started.worker
            if event.HasField("resumed"):
                return event.resumed.worker
        return ""

    @property
    def has_tokens(self) -> bool:
        """Whether events that account for tokens were delivered."""
        return bool(self.events) and self.events[-1].token_end > 0

    @property
    def is_open(self) -> bool:
        """Whether its reader still waits for events."""
        return not self.ended_at

    def name(self, generation_id: str) -> None:
        """Take the generation's id of a call; another one than before is kept as a fault."""
        if self.generation_id and generation_id != self.generation_id:
            self.other_ids.append(self.generation_id)
        self.generation_id = generation_id

    def take(self, events: Iterable[event_pb2.Event]) -> None:
        """Take the events of one message."""
        for event in events:
            if event.HasField("queued"):
                continue
            if self.finished is not None:
                self.extra_terminals += 1
                continue
            if event.offset < self.next_offset:
                self.duplicate_offsets += 1
                continue
            self.gaps += event.offset > self.next_offset
            self.events.append(event)

    def close(self, end: str) -> None:
        """The reader has come to its end."""
        self.end = end
        self.ended_at = time.monotonic()
