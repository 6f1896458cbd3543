"""What operators see and do, over queues in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from facet.api.v1 import admin_service_pb2 as pb
from facet.api.v1.error_pb2 import ERROR_REASON_DEAD_LETTERED
from facet.api.v1.generation_pb2 import MODALITY_AUDIO, MODALITY_IMAGE, PRIORITY_INTERACTIVE
from facet.api.v1.inference_service_pb2 import GENERATION_STATE_FAILED, GENERATION_STATE_RUNNING
from facet.core.errors import (
    GenerationNotFoundError,
    InvalidRequestError,
    ModelNotFoundError,
    StoreUnavailableError,
    WorkerNotFoundError,
)
from facet.core.media_store import MemoryMediaStore
from facet.gateway.admin_service import AdminService
from facet.queue.memory_queue import MemoryQueue
from facet.queue.values import State
from facet.queue.views import DeadLetter, DeadLetters, ScalingRecord
from tests.support.stocked_queue import (
    DEAD,
    FINISHED,
    RUNNING,
    SECRET,
    WAITING,
    WORKER,
    stocked_queue,
)
from tests.unit.gateway.calls import FakeCall

pytestmark = pytest.mark.unit

CALL = FakeCall("operator")
UNKNOWN = f"g-0-{'x' * 26}"


@pytest.fixture
async def queue() -> MemoryQueue:
    return await stocked_queue()


@pytest.fixture
def service(queue: MemoryQueue) -> AdminService:
    """The stocked queue is the second one: everything has to be looked for."""
    return AdminService({"empty": MemoryQueue(), "nano": queue}, MemoryMediaStore())


async def inspect(service: AdminService, generation_id: str) -> pb.InspectGenerationResponse:
    return await service.inspect(pb.InspectGenerationRequest(generation_id=generation_id), CALL)


async def test_the_whole_life_is_told_when_a_request_was_taken_up_again(
    service: AdminService,
) -> None:
    seen = await inspect(service, RUNNING)

    assert seen.generation.state == GENERATION_STATE_RUNNING
    assert (seen.tenant, seen.model, seen.worker) == ("alice", "nano", WORKER)
    assert (seen.attempts, seen.deaths) == (2, 0)
    assert seen.priority == PRIORITY_INTERACTIVE
    assert seen.fingerprint == "print-1"
    assert (seen.generation.next_offset, seen.read_offset, seen.reader_lag) == (3, 0, 3)
    claims = [step.detail for step in seen.life if step.what == "claimed"]
    assert claims == [WORKER, WORKER]
    assert all(step.time.ToMilliseconds() > 0 for step in seen.life)
    log = [(step.offset, step.what, step.detail) for step in seen.log]
    assert log == [(0, "started", WORKER), (2, "resumed", WORKER)]
    assert not seen.HasField("timings")


async def test_place_and_needs_are_told_when_a_request_waits(service: AdminService) -> None:
    seen = await inspect(service, WAITING)

    assert seen.needs.context_tokens == 4096
    assert list(seen.needs.media) == [MODALITY_AUDIO, MODALITY_IMAGE]
    assert seen.prompt_tokens == 40
    assert 50 < seen.remaining.seconds <= 60
    assert not seen.life
    assert not seen.log


async def test_phases_and_end_are_told_when_a_request_finished(service: AdminService) -> None:
    seen = await inspect(service, FINISHED)

    assert seen.timings.prefill.ToMilliseconds() == 250
    assert seen.usage.prompt_token_count == 3
    assert seen.log[-1].what == "finished"
    assert seen.log[-1].detail == "stop"
    assert seen.generation.HasField("end_time")


async def test_the_failure_is_told_when_a_request_was_given_up(service: AdminService) -> None:
    seen = await inspect(service, DEAD)

    assert seen.generation.state == GENERATION_STATE_FAILED
    assert seen.generation.failure.reason == ERROR_REASON_DEAD_LETTERED
    assert (seen.life[-1].what, seen.life[-1].detail) == ("ended", "dead-lettered")


@pytest.mark.parametrize("generation_id", [UNKNOWN, "", "g-0-1:log", "*"])
async def test_it_is_not_found_when_no_queue_has_it(
    service: AdminService, generation_id: str
) -> None:
    with pytest.raises(GenerationNotFoundError):
        await inspect(service, generation_id)


async def test_queues_tell_what_waits_by_class_when_listed(service: AdminService) -> None:
    empty, nano = (await service.list_queues(pb.ListQueuesRequest(), CALL)).queues

    assert (empty.model, empty.waiting, empty.HasField("oldest_age")) == ("empty", 0, False)
    assert (nano.model, nano.waiting, nano.leased, nano.dead_letters) == ("nano", 1, 1, 1)
    assert [each.requests for each in nano.classes] == [1, 0, 0]
    assert nano.classes[0].tokens > 40
    assert nano.classes[0].HasField("oldest_age")
    assert nano.waiting_bytes >= len(SECRET)
    assert nano.mean_output_tokens > 0


async def test_workers_are_told_when_they_report(service: AdminService) -> None:
    [worker] = (await service.list_workers(pb.ListWorkersRequest(), CALL)).workers

    assert (worker.name, worker.model, worker.running, worker.capacity) == (WORKER, "nano", 1, 4)
    assert worker.fingerprint == "print-1"
    assert worker.report_time.seconds > 0


async def test_dead_letters_are_told_when_listed(service: AdminService) -> None:
    listed = await service.list_dead_letters(pb.ListDeadLettersRequest(), CALL)

    [letter] = listed.dead_letters
    assert (letter.generation_id, letter.model, letter.tenant) == (DEAD, "nano", "alice")
    assert letter.failure.reason == ERROR_REASON_DEAD_LETTERED
    assert letter.size_bytes >= len(SECRET)
    assert listed.next_page_token == ""


async def test_nothing_is_listed_when_the_other_model_is_asked_for(service: AdminService) -> None:
    listed = await service.list_dead_letters(pb.ListDeadLettersRequest(model="empty"), CALL)

    assert not listed.dead_letters


class PagedQueue(MemoryQueue):
    """Has as many dead letters as told, in pages of what is asked for."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self._letters = [DeadLetter(f"g-{i}", "t", i + 1, b"", 1, i + 1) for i in range(letters)]

    async def dead_letters(self, *, page: str, limit: int) -> DeadLetters:
        assert limit <= 100
        at = int(page or 0)
        following = at + limit
        is_last = following >= len(self._letters)
        return DeadLetters(tuple(self._letters[at:following]), "" if is_last else str(following))


@pytest.mark.parametrize("page_size", [7, 100, 150, 1000])
async def test_each_letter_is_listed_once_when_paging_over_queues(page_size: int) -> None:
    service = AdminService(
        {"a": PagedQueue(130), "b": PagedQueue(0), "c:d": PagedQueue(45)}, MemoryMediaStore()
    )
    seen: list[tuple[str, str]] = []
    token = ""
    for _ in range(175):
        page = await service.list_dead_letters(
            pb.ListDeadLettersRequest(page_size=page_size, page_token=token), CALL
        )
        assert len(page.dead_letters) <= page_size
        seen += [(letter.model, letter.generation_id) for letter in page.dead_letters]
        token = page.next_page_token
        if not token:
            break

    expected = [("a", f"g-{i}") for i in range(130)] + [("c:d", f"g-{i}") for i in range(45)]
    assert seen == expected


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pb.ListDeadLettersRequest(model="other"), ModelNotFoundError),
        (pb.ListDeadLettersRequest(page_size=1001), InvalidRequestError),
        (pb.ListDeadLettersRequest(page_token="x"), InvalidRequestError),
        (pb.ListDeadLettersRequest(page_token="other:1"), InvalidRequestError),
        (pb.ListDeadLettersRequest(page_token="nano:x"), InvalidRequestError),
    ],
)
async def test_a_listing_is_refused_when_it_asks_for_what_is_not_there(
    service: AdminService, request_: pb.ListDeadLettersRequest, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await service.list_dead_letters(request_, CALL)


async def test_a_dead_letter_waits_again_when_redriven(
    service: AdminService, queue: MemoryQueue
) -> None:
    request = pb.RedriveDeadLettersRequest(generation_ids=[DEAD, WAITING, UNKNOWN, DEAD])

    assert (await service.redrive(request, CALL)).redriven == 1

    assert (await queue.status(DEAD, "alice")).state is State.WAITING


async def test_a_dead_letter_is_gone_when_discarded(service: AdminService) -> None:
    request = pb.DiscardDeadLettersRequest(generation_ids=[DEAD])

    assert (await service.discard(request, CALL)).discarded == 1

    with pytest.raises(GenerationNotFoundError):
        await inspect(service, DEAD)


async def test_the_worker_hears_it_when_drained(service: AdminService, queue: MemoryQueue) -> None:
    await service.drain(pb.DrainWorkerRequest(name=WORKER), CALL)

    assert await queue.report(WORKER, b"")


async def test_a_drain_is_refused_when_no_such_worker_reports(
    service: AdminService, queue: MemoryQueue
) -> None:
    with pytest.raises(WorkerNotFoundError):
        await service.drain(pb.DrainWorkerRequest(name="other"), CALL)

    assert await queue.audits(limit=10) == []


@pytest.mark.parametrize("ids", [[], ["g"] * 101])
async def test_an_action_is_refused_when_it_names_too_few_or_too_many(
    service: AdminService, ids: Sequence[str]
) -> None:
    for attempt in (
        service.redrive(pb.RedriveDeadLettersRequest(generation_ids=ids), CALL),
        service.discard(pb.DiscardDeadLettersRequest(generation_ids=ids), CALL),
    ):
        with pytest.raises(InvalidRequestError):
            await attempt


async def test_every_action_is_told_when_the_audit_log_is_listed(service: AdminService) -> None:
    await service.redrive(pb.RedriveDeadLettersRequest(generation_ids=[DEAD]), CALL)
    await service.discard(pb.DiscardDeadLettersRequest(generation_ids=[DEAD]), FakeCall("other"))
    await service.drain(pb.DrainWorkerRequest(name=WORKER), CALL)

    listed = await service.list_audit(pb.ListAuditRequest(), CALL)

    told = [(entry.who, entry.action, entry.subject, entry.model) for entry in listed.entries]
    assert told == [
        ("operator", "drain", WORKER, "nano"),
        ("other", "discard", DEAD, "nano"),
        ("operator", "redrive", DEAD, "nano"),
    ]
    assert all(entry.time.ToMilliseconds() > 0 for entry in listed.entries)
    latest = await service.list_audit(pb.ListAuditRequest(page_size=1), CALL)
    assert list(latest.entries) == list(listed.entries)[:1]


class UnauditableQueue(MemoryQueue):
    """Its store fails with the audit log."""

    async def audit(self, who: str, action: str, subject: str) -> None:
        raise StoreUnavailableError("away")


Action = Callable[[AdminService], Awaitable[Any]]


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.redrive(pb.RedriveDeadLettersRequest(generation_ids=[DEAD]), CALL),
        lambda s: s.discard(pb.DiscardDeadLettersRequest(generation_ids=[DEAD]), CALL),
        lambda s: s.drain(pb.DrainWorkerRequest(name=WORKER), CALL),
    ],
    ids=["redrive", "discard", "drain"],
)
async def test_nothing_is_done_when_it_cannot_be_recorded(
    act: Action, queue: MemoryQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "audit", UnauditableQueue().audit)

    with pytest.raises(StoreUnavailableError):
        await act(AdminService({"nano": queue}, MemoryMediaStore()))

    assert (await queue.depth()).dead_letters == 1
    assert not await queue.report(WORKER, b"")


async def test_content_is_nowhere_when_everything_is_asked_for(service: AdminService) -> None:
    answers: list[Message] = [
        *[await inspect(service, each) for each in (WAITING, RUNNING, FINISHED, DEAD)],
        await service.list_queues(pb.ListQueuesRequest(), CALL),
        await service.list_dead_letters(pb.ListDeadLettersRequest(), CALL),
    ]

    assert all(SECRET.encode() not in answer.SerializeToString() for answer in answers)


def test_every_rpc_is_served_when_the_service_is_listed(service: AdminService) -> None:
    [descriptor] = pb.DESCRIPTOR.services_by_name.values()

    assert set(service.methods()) == {method.name for method in descriptor.methods}


class DecidedQueue(MemoryQueue):
    """Holds a decision of 2.5 s ago."""

    async def scaling(self) -> ScalingRecord:
        told = pb.ExplainAutoscalerResponse(blind=True, cost_per_hour=3.0)
        return ScalingRecord(12_500, 10_000, told.SerializeToString())


async def test_the_last_decision_is_told_when_the_autoscaler_is_asked_for() -> None:
    service = AdminService({"empty": MemoryQueue(), "nano": DecidedQueue()}, MemoryMediaStore())

    told = await service.explain_autoscaler(pb.ExplainAutoscalerRequest(model="nano"), CALL)
    assert (told.model, told.blind, told.cost_per_hour) == ("nano", True, 3.0)
    assert told.age.ToMilliseconds() == 2500
    assert told.decide_time.ToMilliseconds() == 10_000

    told = await service.explain_autoscaler(pb.ExplainAutoscalerRequest(), CALL)
    assert told.model == "empty"
    assert not told.HasField("decide_time")
    with pytest.raises(ModelNotFoundError):
        await service.explain_autoscaler(pb.ExplainAutoscalerRequest(model="gone"), CALL)
