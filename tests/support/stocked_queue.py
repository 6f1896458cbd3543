"""A queue in memory that holds one request of each kind that operators look at."""

from __future__ import annotations

import secrets

from facet.api.queue.v1.log_pb2 import SpeculationReport, WorkerReport
from facet.api.v1.event_pb2 import Event, Finished, Resumed, Started, TextDelta
from facet.api.v1.generation_pb2 import (
    FINISH_REASON_STOP,
    MODALITY_IMAGE,
    MODALITY_TEXT,
    ModalityTokenCount,
    Timings,
    UsageMetadata,
)
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import DeadLetteredError
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Append, Claim, Finish, Lease, Needs, Priority, Submission

SECRET = "what nobody but the client may read"
WAITING = f"g-0-{'w' * 26}"
RUNNING = f"g-0-{'r' * 26}"
FINISHED = f"g-0-{'f' * 26}"
DEAD = f"g-0-{'d' * 26}"
WORKER = "worker-7"
USED = UsageMetadata(
    prompt_token_count=3,
    prompt_tokens_details=[
        ModalityTokenCount(modality=MODALITY_TEXT, token_count=1),
        ModalityTokenCount(modality=MODALITY_IMAGE, token_count=2),
    ],
    cached_content_token_count=1,
    candidates_token_count=5,
    thoughts_token_count=4,
)


async def stocked_queue() -> MemoryQueue:
    """One that waits, one that runs for the second time, one that finished, one dead letter."""
    queue = MemoryQueue()
    await queue.report(WORKER, _report().SerializeToString())
    await queue.submit(_submission(FINISHED))
    lease = await _claim(queue)
    finished = Finished(finish_reason=FINISH_REASON_STOP, usage=UsageMetadata(prompt_token_count=3))
    finished.timings.CopyFrom(Timings(attempts=1))
    finished.timings.prefill.FromMilliseconds(250)
    await queue.write(
        [
            Append(lease, 0, 2, (1,), _events(0, _started(), _text())),
            Finish(
                *(lease, 2, 1, (), _events(2, Event(finished=finished))),
                prompt_tokens=3,
                usage=USED.SerializeToString(),
            ),
        ]
    )
    await queue.submit(_submission(DEAD))
    await _bury(queue, await _claim(queue))
    await queue.submit(_submission(RUNNING))
    lease = await _claim(queue)
    await queue.write([Append(lease, 0, 2, (1,), _events(0, _started(), _text()))])
    await queue.hand_back([lease])
    lease = await _claim(queue)
    resumed = Event(resumed=Resumed(worker=WORKER, attempt=2))
    await queue.write([Append(lease, 2, 1, (), _events(2, resumed))])
    await queue.submit(_submission(WAITING, Needs(1, 4096, "ai", "")))
    return queue


async def _claim(queue: MemoryQueue) -> Lease:
    claim = Claim(WORKER, secrets.token_hex(8), limit=1, held=0, fingerprint="print-1")
    [claimed] = (await queue.claim(claim)).claimed
    return claimed.lease


async def _bury(queue: MemoryQueue, lease: Lease) -> None:
    failure = DeadLetteredError("given up after two deaths").to_failure()
    terminal = Event(finished=Finished(failure=failure))
    blob = failure.SerializeToString()
    response = _events(0, terminal)
    await queue.write([Finish(lease, 0, 1, (), response, failure=blob, is_dead_letter=True)])


def _submission(generation_id: str, needs: Needs | None = None) -> Submission:
    return Submission(
        generation_id=generation_id,
        tenant="alice",
        envelope=SECRET.encode(),
        priority=Priority.INTERACTIVE,
        deadline_ms=60_000,
        retention_ms=600_000,
        reader_grace_ms=None,
        prompt_tokens=40,
        needs=needs or Needs(),
    )


def _started() -> Event:
    return Event(started=Started(worker=WORKER))


def _text() -> Event:
    return Event(text_delta=TextDelta(text=SECRET))


def _events(first_offset: int, *events: Event) -> bytes:
    for offset, event in enumerate(events, first_offset):
        event.offset = offset
    return StreamGenerateContentResponse(events=events).SerializeToString()


def _report() -> WorkerReport:
    report = WorkerReport(
        name=WORKER, model="nano", fingerprint="print-1", running=1, capacity=4, context_tokens=4096
    )
    report.report_time.GetCurrentTime()
    report.speculation.CopyFrom(SpeculationReport(healthy=False, acceptance=0.12, floor=0.3))
    return report
