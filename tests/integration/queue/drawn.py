"""What random histories are made of: requests, workers, and how answers compare."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from facet.queue.values import Inbox, Needs, Offers, Priority, Room, Submission, Submitted
from facet.queue.views import AuditEntry, Inspection, Page, Status
from tests.support.queue_contract.world import submission

WEIGHTS = {"tenant-a": 1.0, "tenant-b": 2.5, "tenant-c": 0.5}
ROOMS = (Room(), Room(2, 9_000, 2, 9_000), Room(2, 9_000, 1, 2_000))
READERS = ("reader-1", "reader-2")


@dataclass(frozen=True)
class Worker:
    """What stays the same in a worker's claims."""

    name: str
    fingerprint: str
    offers: Offers


WORKERS = (
    Worker("worker-1", "print-1", Offers()),
    Worker("worker-2", "print-1", Offers(context_tokens=4_096, media="i")),
    Worker("worker-3", "print-2", Offers(envelope_versions=(1, 2), adapters=("legal",))),
)


def _request(size: tuple[int, int], *, is_fleeting: bool, **drawn: Any) -> Submission:
    prompt_tokens, sequences = size
    plain = submission(retention_ms=0 if is_fleeting else 10**8)
    plain = replace(plain, has_bound_retention=is_fleeting)
    weight = WEIGHTS[drawn["tenant"]]
    sized = replace(plain, prompt_tokens=prompt_tokens, sequences=sequences, weight=weight)
    return replace(sized, **drawn)


REQUESTS = st.builds(
    _request,
    tenant=st.sampled_from(sorted(WEIGHTS)),
    priority=st.sampled_from(Priority),
    reader_grace_ms=st.sampled_from([None, None, 200_000]),
    deadline_ms=st.sampled_from([400_000, 10**7]),
    request_id=st.sampled_from(["", "", "", "order-1"]),
    body_digest=st.sampled_from([b"a", b"b"]),
    size=st.sampled_from([(1, 1), (1, 1), (900, 1), (3_000, 2), (10_000, 1)]),
    needs=st.sampled_from(
        [
            *(Needs(), Needs(), Needs(), Needs(context_tokens=8_192), Needs(media="i")),
            *(Needs(adapter="legal"), Needs(envelope_version=2)),
        ]
    ),
    affinity=st.sampled_from([(), (), ("s:1",), ("s:2", "s:1")]),
    follower=st.sampled_from(["", *READERS]),
    is_fleeting=st.sampled_from([False, False, True]),
)


def comparable(answer: Any) -> Any:
    """An answer without what has to differ: names of a history, cursors, the audit's clock."""
    if isinstance(answer, Submitted | Status):
        return replace(answer, origin="named" if answer.origin else "")
    if isinstance(answer, Inspection):
        return replace(answer, status=comparable(answer.status))
    if isinstance(answer, Page):
        return [comparable(status) for status in answer.generations], answer.next_page
    if isinstance(answer, Inbox):
        return answer.entries
    if isinstance(answer, list) and answer and isinstance(answer[0], AuditEntry):
        return [replace(entry, at_ms=0) for entry in answer]
    return answer
