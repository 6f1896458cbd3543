"""From a request to the queue: limits in time, media, repeats, outages."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from google.protobuf.duration_pb2 import Duration

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1.content_pb2 import Blob, Content, Part
from facet.api.v1.generation_pb2 import (
    ON_DISCONNECT_CONTINUE,
    PRIORITY_INTERACTIVE,
    GenerationRequest,
)
from facet.core.errors import (
    InvalidRequestError,
    ModelNotFoundError,
    QueueFullError,
    RequestIdReusedError,
    StoreUnavailableError,
)
from facet.core.media_store import MediaHolder, MemoryMediaStore
from facet.core.models import NANO
from facet.gateway import intake as intake_module
from facet.gateway.catalogue import Catalogue, Route
from facet.gateway.intake import Intake, IntakeLimits
from facet.gateway.log_reader import LogReader
from facet.gateway.workers import LiveWorkers
from facet.queue.answers import not_replicated
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import Priority, Submission, Submitted
from tests.support.media_samples import PNG
from tests.unit.gateway.calls import FakeCall

pytestmark = pytest.mark.unit

LIMITS = IntakeLimits(
    max_inline_bytes=1 << 20,
    max_inflight_inline_bytes=len(PNG),
    default_deadline_seconds=60,
    max_deadline_seconds=100,
    reader_grace_seconds=10,
    retention_seconds=30,
)
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"


class RecordingQueue(MemoryQueue):
    """Keeps submissions; fails the first few, accepting them or not."""

    def __init__(self, failures: int = 0, *, accepts: bool = False, hangs: bool = False) -> None:
        super().__init__()
        self.submissions: list[Submission] = []
        self._failures = failures
        self._accepts = accepts
        self._hangs = hangs

    async def submit(self, submission: Submission) -> Submitted:
        self.submissions.append(submission)
        if self._hangs:
            await asyncio.Event().wait()
        if len(self.submissions) <= self._failures:
            if self._accepts:
                await super().submit(submission)
            raise StoreUnavailableError("away")
        return await super().submit(submission)


def _intake(queue: MemoryQueue, media: MemoryMediaStore | None = None) -> Intake:
    route = Route(NANO, queue, LogReader(queue), LiveWorkers(queue))
    return Intake(Catalogue([route]), media or MemoryMediaStore(), LIMITS)


def _request(*parts: Part, text: str = "hello") -> GenerationRequest:
    return GenerationRequest(contents=[Content(parts=parts or [Part(text=text)])])


@pytest.mark.parametrize(
    ("remaining_seconds", "deadline_ms"),
    [(None, 60_000), (7.5, 7_500), (5000.0, 100_000), (0.0, 1), (-1.0, 1)],
)
async def test_deadline_is_the_clients_when_within_bounds(
    remaining_seconds: float | None, deadline_ms: int
) -> None:
    queue = RecordingQueue()
    call = FakeCall(remaining_seconds=remaining_seconds)
    before = time.monotonic()
    accepted = await _intake(queue).accept(_request(), call)
    assert queue.submissions[0].deadline_ms == pytest.approx(deadline_ms, abs=500)
    assert queue.submissions[0].deadline_ms >= 1
    assert accepted.ends_at == pytest.approx(before + deadline_ms / 1000, abs=0.5)


async def test_submission_carries_what_the_store_enforces_when_set() -> None:
    queue = RecordingQueue()
    request = _request()
    request.priority = PRIORITY_INTERACTIVE
    request.on_disconnect = ON_DISCONNECT_CONTINUE
    request.retention.CopyFrom(Duration(seconds=5))
    await _intake(queue).accept(request, FakeCall())
    [submission] = queue.submissions
    assert (submission.priority, submission.reader_grace_ms, submission.retention_ms) == (
        Priority.INTERACTIVE,
        None,
        5_000,
    )
    await _intake(queue).accept(_request(), FakeCall())
    submission = queue.submissions[1]
    assert (submission.priority, submission.reader_grace_ms, submission.retention_ms) == (
        Priority.STANDARD,
        10_000,
        30_000,
    )


async def test_only_able_workers_are_asked_when_there_are_several_candidates() -> None:
    queue = RecordingQueue()
    for count in (1, 3):
        request = _request()
        request.generation_config.candidate_count = count
        await _intake(queue).accept(request, FakeCall())
    plain, several = queue.submissions
    versions = [Envelope.FromString(each.envelope).version for each in (plain, several)]
    assert versions == [each.needs.envelope_version for each in (plain, several)] == [1, 2]
    assert (plain.sequences, several.sequences) == (1, 3)


async def test_envelope_names_tenant_model_and_trace_when_queued() -> None:
    queue = RecordingQueue()
    metadata = [("traceparent", TRACEPARENT), ("tracestate", "v=1"), ("tenant", "mallory")]
    accepted = await _intake(queue).accept(_request(), FakeCall("bob", metadata=metadata))
    envelope = Envelope.FromString(queue.submissions[0].envelope)
    assert envelope.version == 1
    assert envelope.generation_id == accepted.generation_id
    assert (envelope.tenant, envelope.request.model) == ("bob", "nano")
    assert (envelope.traceparent, envelope.tracestate) == (TRACEPARENT, "v=1")
    assert abs(envelope.accept_time.ToSeconds() - time.time()) < 5


@pytest.mark.parametrize("traceparent", ["", "nonsense", TRACEPARENT + "0", b"\0"])
async def test_trace_is_dropped_when_malformed(traceparent: str | bytes) -> None:
    queue = RecordingQueue()
    call = FakeCall(metadata=[("traceparent", traceparent), ("tracestate", "v=1")])
    await _intake(queue).accept(_request(), call)
    envelope = Envelope.FromString(queue.submissions[0].envelope)
    assert (envelope.traceparent, envelope.tracestate) == ("", "")


async def test_media_are_kept_apart_when_tenants_send_the_same_bytes() -> None:
    queue, media = RecordingQueue(), MemoryMediaStore()
    part = Part(inline_data=Blob(mime_type="IMAGE/PNG", data=PNG))
    for tenant in ("alice", "bob"):
        await _intake(queue, media).accept(_request(part, part), FakeCall(tenant))
    envelopes = [Envelope.FromString(each.envelope) for each in queue.submissions]
    keys = [[item.key for item in envelope.media] for envelope in envelopes]
    assert [len(set(each)) for each in keys] == [1, 1]
    assert keys[0][0] != keys[1][0]
    for envelope in envelopes:
        parts = envelope.request.contents[0].parts
        assert [item.mime_type for item in envelope.media] == ["image/png"] * 2
        assert [each.media.media_id for each in parts] == [item.key for item in envelope.media]
        assert await media.get(envelope.media[0].key) == PNG


@pytest.mark.parametrize("accepts", [True, False])
async def test_submission_is_repeated_under_its_id_when_the_store_failed_once(
    accepts: bool,
) -> None:
    queue = RecordingQueue(failures=1, accepts=accepts)
    accepted = await _intake(queue).accept(_request(), FakeCall())
    assert [each.generation_id for each in queue.submissions] == [accepted.generation_id] * 2
    assert (await queue.depth()).waiting == 1


async def test_call_fails_when_the_store_stays_away() -> None:
    queue = RecordingQueue(failures=9)
    with pytest.raises(StoreUnavailableError):
        await _intake(queue).accept(_request(), FakeCall())
    assert len(queue.submissions) == 2


async def test_call_fails_in_time_when_the_store_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert intake_module.SUBMIT_BUDGET_SECONDS <= 1.8
    monkeypatch.setattr(intake_module, "SUBMIT_BUDGET_SECONDS", 0.05)
    with pytest.raises(StoreUnavailableError):
        await _intake(RecordingQueue(hangs=True)).accept(_request(), FakeCall())


class SlowMedia(MemoryMediaStore):
    """Takes its time; tells when it has begun."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    async def put(
        self, key: str, data: bytes, *, life_seconds: int, holder: MediaHolder | None = None
    ) -> None:
        self.began.set()
        await asyncio.sleep(0.3)
        await super().put(key, data, life_seconds=life_seconds)


async def test_deadline_of_the_store_is_the_clients_when_media_took_time() -> None:
    queue = RecordingQueue()
    image = Part(inline_data=Blob(mime_type="image/png", data=PNG))
    call = FakeCall(remaining_seconds=10.0)
    began = time.monotonic()
    accepted = await _intake(queue, SlowMedia()).accept(_request(image), call)
    assert queue.submissions[0].deadline_ms <= 9_701
    assert accepted.ends_at == pytest.approx(began + 10, abs=0.2)


async def test_deadline_is_what_is_left_when_the_submission_is_repeated() -> None:
    queue = RecordingQueue(failures=1)
    await _intake(queue).accept(_request(), FakeCall(remaining_seconds=10.0))
    first, second = (each.deadline_ms for each in queue.submissions)
    assert second <= first - 99


async def test_media_are_refused_when_others_are_taken_in() -> None:
    queue, media = RecordingQueue(), SlowMedia()
    intake = _intake(queue, media)
    image = Part(inline_data=Blob(mime_type="image/png", data=PNG))
    first = asyncio.create_task(intake.accept(_request(image), FakeCall()))
    await asyncio.wait_for(media.began.wait(), 1)
    with pytest.raises(QueueFullError):
        await intake.accept(_request(image), FakeCall())
    await intake.accept(_request(), FakeCall())
    await first
    await intake.accept(_request(image), FakeCall())


async def test_deadline_is_the_first_ones_when_a_request_id_repeats() -> None:
    intake = _intake(RecordingQueue())
    request = _request()
    request.request_id = "r"
    again = GenerationRequest.FromString(request.SerializeToString())
    first = await intake.accept(request, FakeCall(remaining_seconds=50.0))
    repeated = await intake.accept(again, FakeCall(remaining_seconds=5.0))
    assert repeated.ends_at == pytest.approx(first.ends_at, abs=0.2)


async def test_first_generation_answers_when_a_request_id_repeats() -> None:
    intake = _intake(RecordingQueue())

    async def accept(text: str, tenant: str = "alice") -> str:
        request = _request(text=text)
        request.request_id = "r"
        return (await intake.accept(request, FakeCall(tenant))).generation_id

    first = await accept("hello")
    assert await accept("hello") == first
    assert await accept("hello", "bob") != first
    with pytest.raises(RequestIdReusedError):
        await accept("other")


async def test_error_names_the_generation_when_too_few_replicas_have_it() -> None:
    class Lonely(RecordingQueue):
        async def submit(self, submission: Submission) -> Submitted:
            submitted = await super().submit(submission)
            raise not_replicated(submitted.generation_id, 1)

    queue = Lonely()
    route = Route(NANO, queue, LogReader(queue), LiveWorkers(queue))
    durable = replace(LIMITS, submit_replicas=2)
    with pytest.raises(StoreUnavailableError) as caught:
        await Intake(Catalogue([route]), MemoryMediaStore(), durable).accept(_request(), FakeCall())
    # One call: its time went into waiting.
    [submission] = queue.submissions
    assert submission.replicas == 2
    assert caught.value.metadata == {"generation_id": submission.generation_id, "replicas": "1"}


async def test_nothing_is_queued_or_stored_when_the_request_is_wrong() -> None:
    queue, media = RecordingQueue(), MemoryMediaStore()
    image = Part(inline_data=Blob(mime_type="image/png", data=PNG))
    wrong = _request(image, Part(text=""))
    with pytest.raises(InvalidRequestError):
        await _intake(queue, media).accept(wrong, FakeCall())
    unknown = _request(image)
    unknown.model = "other"
    with pytest.raises(ModelNotFoundError):
        await _intake(queue, media).accept(unknown, FakeCall())
    assert (queue.submissions, media._blobs) == ([], {})
