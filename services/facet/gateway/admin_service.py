"""`facet.v1.AdminService`: what operators may see and do. Served on a port of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import structlog
from google.protobuf.timestamp_pb2 import Timestamp

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.api.v1.admin_service_pb2 import (
    DeleteTenantDataRequest,
    DeleteTenantDataResponse,
    DiscardDeadLettersRequest,
    DiscardDeadLettersResponse,
    DrainWorkerRequest,
    DrainWorkerResponse,
    ExplainAutoscalerRequest,
    ExplainAutoscalerResponse,
    ExportUsageRequest,
    ExportUsageResponse,
    InspectGenerationRequest,
    InspectGenerationResponse,
    ListAuditRequest,
    ListAuditResponse,
    ListDeadLettersRequest,
    ListDeadLettersResponse,
    ListQueuesRequest,
    ListQueuesResponse,
    ListWorkersRequest,
    ListWorkersResponse,
    RedriveDeadLettersRequest,
    RedriveDeadLettersResponse,
)
from facet.core.errors import (
    GenerationNotFoundError,
    InvalidRequestError,
    ModelNotFoundError,
    WorkerNotFoundError,
)
from facet.core.media_store import MediaStore
from facet.gateway import admin_views
from facet.gateway.calls import Call, Streamed, Unary
from facet.gateway.erasure import Eraser
from facet.gateway.listing import dead_letters, page_size
from facet.gateway.log_pages import log_entries
from facet.queue.generation_id import is_generation_id
from facet.queue.limits import MAX_BATCH
from facet.queue.port import Observer, Operator, Producer, Reader
from facet.queue.views import Inspection

SERVICE = "facet.v1.AdminService"
MAX_IDS = 100
USAGE_PAGE = 500
EVER_MS = 1 << 62

_log = structlog.get_logger(__name__)


class AdminQueue(Producer, Observer, Operator, Reader, Protocol):
    """The sides of a model's queue that operators need."""


class AdminService:
    """Looks into the queues and acts on them.

    `queues` are those of all models by name, in configuration order. Every action that changes
    something is in the audit log, and in the gateway's own log, before it is carried out: the log
    may hold what failed then, never the other way round. Content is shown nowhere.
    """

    def __init__(self, queues: Mapping[str, AdminQueue], media: MediaStore) -> None:
        self._queues = dict(queues)
        self._eraser = Eraser(media)

    def methods(self) -> Mapping[str, Unary | Streamed]:
        """What is served under `facet.v1.AdminService`."""
        return {
            "ListWorkers": Unary(ListWorkersRequest, self.list_workers),
            "ListQueues": Unary(ListQueuesRequest, self.list_queues),
            "InspectGeneration": Unary(InspectGenerationRequest, self.inspect),
            "ListDeadLetters": Unary(ListDeadLettersRequest, self.list_dead_letters),
            "RedriveDeadLetters": Unary(RedriveDeadLettersRequest, self.redrive),
            "DiscardDeadLetters": Unary(DiscardDeadLettersRequest, self.discard),
            "DrainWorker": Unary(DrainWorkerRequest, self.drain),
            "ExportUsage": Streamed(ExportUsageRequest, self.export_usage),
            "DeleteTenantData": Unary(DeleteTenantDataRequest, self.delete_tenant),
            "ExplainAutoscaler": Unary(ExplainAutoscalerRequest, self.explain_autoscaler),
            "ListAudit": Unary(ListAuditRequest, self.list_audit),
        }

    async def list_workers(self, request: ListWorkersRequest, call: Call) -> ListWorkersResponse:
        """The workers of all models, by name. Errors: StoreUnavailableError."""
        reports = [each for queue in self._queues.values() for each in await _reports(queue)]
        reports.sort(key=lambda report: report.name)
        return ListWorkersResponse(workers=[admin_views.worker(report) for report in reports])

    async def list_queues(self, request: ListQueuesRequest, call: Call) -> ListQueuesResponse:
        """All queues. Errors: StoreUnavailableError."""
        return ListQueuesResponse(
            queues=[
                admin_views.queue(model, shard, depth)
                for model, queue in self._queues.items()
                for shard, depth in (await queue.depths()).items()
            ]
        )

    async def explain_autoscaler(
        self, request: ExplainAutoscalerRequest, call: Call
    ) -> ExplainAutoscalerResponse:
        """The last decision. Errors: ModelNotFoundError, StoreUnavailableError."""
        model = self._models(request.model)[0]
        record = await self._queues[model].scaling()
        response = ExplainAutoscalerResponse.FromString(record.decision)
        response.model = model
        if record.at_ms:
            response.decide_time.FromMilliseconds(record.at_ms)
            response.age.FromMilliseconds(record.now_ms - record.at_ms)
        return response

    async def inspect(
        self, request: InspectGenerationRequest, call: Call
    ) -> InspectGenerationResponse:
        """One request of any tenant. Errors: GenerationNotFoundError, StoreUnavailableError."""
        model, inspection = await self._find(request.generation_id)
        response = admin_views.inspection(model, inspection)
        # As far as it went when the request was inspected.
        end = inspection.status.next_offset
        async for entry in log_entries(self._queues[model], request.generation_id, end):
            admin_views.add_log_entry(response, entry)
        return response

    async def list_dead_letters(
        self, request: ListDeadLettersRequest, call: Call
    ) -> ListDeadLettersResponse:
        """A page. Errors: InvalidRequestError, ModelNotFoundError, StoreUnavailableError."""
        queues = {model: self._queues[model] for model in self._models(request.model)}
        size = page_size(request.page_size)
        letters, following = await dead_letters(queues, token=request.page_token, size=size)
        return ListDeadLettersResponse(
            dead_letters=[admin_views.dead_letter(model, letter) for model, letter in letters],
            next_page_token=following,
        )

    async def redrive(
        self, request: RedriveDeadLettersRequest, call: Call
    ) -> RedriveDeadLettersResponse:
        """Put dead letters back. Errors: InvalidRequestError, StoreUnavailableError."""
        redriven = 0
        for queue, ids in await self._announced("redrive", request.generation_ids, call):
            redriven += await queue.redrive(ids)
        return RedriveDeadLettersResponse(redriven=redriven)

    async def discard(
        self, request: DiscardDeadLettersRequest, call: Call
    ) -> DiscardDeadLettersResponse:
        """Delete dead letters. Errors: InvalidRequestError, StoreUnavailableError."""
        discarded = 0
        for queue, ids in await self._announced("discard", request.generation_ids, call):
            discarded += await queue.discard(ids)
        return DiscardDeadLettersResponse(discarded=discarded)

    async def drain(self, request: DrainWorkerRequest, call: Call) -> DrainWorkerResponse:
        """Ask a worker to drain. Errors: WorkerNotFoundError, StoreUnavailableError."""
        is_told = False
        for model, queue in self._queues.items():
            if request.name in {report.name for report in await _reports(queue)}:
                await self._record(model, "drain", request.name, call)
                is_told = await queue.drain_worker(request.name) or is_told
        if not is_told:
            raise WorkerNotFoundError(
                f"no worker {request.name!r} reports; ListWorkers names those that do",
                metadata={"worker": request.name},
            )
        return DrainWorkerResponse()

    async def export_usage(self, request: ExportUsageRequest, call: Call) -> None:
        """Write all pages.

        Errors: InvalidRequestError, ModelNotFoundError, StoreUnavailableError.
        """
        since_ms = _milliseconds("since", request.since) if request.HasField("since") else 0
        until_ms = _milliseconds("until", request.until) if request.HasField("until") else EVER_MS
        for model in self._models(request.model):
            page = ""
            while True:
                found = await self._queues[model].usage(
                    since_ms=since_ms, until_ms=until_ms, page=page, limit=USAGE_PAGE
                )
                records = [
                    admin_views.usage_record(model, record)
                    for record in found.records
                    if request.tenant in ("", record.tenant)
                ]
                if records:
                    await call.write(ExportUsageResponse(records=records).SerializeToString())
                page = found.next_page
                if not page:
                    break

    async def delete_tenant(
        self, request: DeleteTenantDataRequest, call: Call
    ) -> DeleteTenantDataResponse:
        """End and delete a tenant's generations, a page of each model.

        Errors: InvalidRequestError, StoreUnavailableError.
        """
        if not request.tenant:
            raise InvalidRequestError.of("tenant", "names nobody")
        deleted, has_more = 0, False
        for model, queue in self._queues.items():
            page = await queue.list_generations(request.tenant, page="", limit=MAX_BATCH)
            if page.generations:
                await self._record(model, "delete-tenant", request.tenant, call)
            for status in page.generations:
                deleted += await self._delete(queue, status.generation_id, request.tenant)
            has_more = has_more or bool(page.next_page)
        return DeleteTenantDataResponse(deleted=deleted, has_more=has_more)

    async def _delete(self, queue: AdminQueue, generation_id: str, tenant: str) -> bool:
        try:
            await queue.cancel(generation_id, tenant)
            return await self._eraser.erase(queue, generation_id, tenant)
        except GenerationNotFoundError:
            # It lapsed meanwhile.
            return False

    async def list_audit(self, request: ListAuditRequest, call: Call) -> ListAuditResponse:
        """The latest actions on all queues. Errors: InvalidRequestError, StoreUnavailableError."""
        size = page_size(request.page_size)
        entries = [
            (model, entry)
            for model, queue in self._queues.items()
            for entry in await queue.audits(limit=size)
        ]
        # Stable: entries of one queue within a millisecond keep their order.
        entries.sort(key=lambda each: each[1].at_ms, reverse=True)
        return ListAuditResponse(
            entries=[admin_views.audit_entry(model, entry) for model, entry in entries[:size]]
        )

    def _models(self, model: str) -> list[str]:
        """The one that is named, or all. Errors: ModelNotFoundError."""
        if model and model not in self._queues:
            raise ModelNotFoundError(f"no model {model!r} is served", metadata={"model": model})
        return [model] if model else list(self._queues)

    async def _find(self, generation_id: str) -> tuple[str, Inspection]:
        if is_generation_id(generation_id):
            for model, queue in self._queues.items():
                try:
                    return model, await queue.inspect(generation_id)
                except GenerationNotFoundError:
                    continue
        raise GenerationNotFoundError(
            "there is no such generation", metadata={"generation_id": generation_id}
        )

    async def _announced(
        self, action: str, generation_ids: Sequence[str], call: Call
    ) -> list[tuple[AdminQueue, list[str]]]:
        """The queues of those ids that are known, after the action is in the audit logs."""
        if not 0 < len(generation_ids) <= MAX_IDS:
            raise InvalidRequestError.of("generation_ids", f"want 1 to {MAX_IDS} ids")
        by_model: dict[str, list[str]] = {}
        for generation_id in dict.fromkeys(generation_ids):
            try:
                model, _ = await self._find(generation_id)
            except GenerationNotFoundError:
                continue
            by_model.setdefault(model, []).append(generation_id)
        for model, ids in by_model.items():
            for generation_id in ids:
                await self._record(model, action, generation_id, call)
        return [(self._queues[model], ids) for model, ids in by_model.items()]

    async def _record(self, model: str, action: str, subject: str, call: Call) -> None:
        await self._queues[model].audit(call.tenant, action, subject)
        _log.info("operator acts", who=call.tenant, action=action, subject=subject, model=model)


async def _reports(queue: AdminQueue) -> list[WorkerReport]:
    return [WorkerReport.FromString(report) for report in await queue.reports()]


def _milliseconds(field: str, timestamp: Timestamp) -> int:
    """Since 1970, where time begins.

    Errors: InvalidRequestError for what is no time of the years 1 to 9999.
    """
    try:
        return max(0, timestamp.ToMilliseconds())
    except ValueError as error:
        raise InvalidRequestError.of(field, "is no valid timestamp") from error
