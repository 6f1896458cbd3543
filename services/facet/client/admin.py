"""Operators' calls. Answers are the messages of `facet.v1.AdminService`, as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import grpc

from facet.api.v1 import admin_service_pb2, admin_service_pb2_grpc
from facet.client import connection, errors
from facet.client.request import CALL_TIMEOUT_SECONDS, MAX_PAGE
from facet.client.tls import Tls

EXPORT_TIMEOUT_SECONDS = 3600.0

DEFAULT_ADDRESS = "127.0.0.1:8471"

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class AdminClient:
    """A connection to a gateway's admin port. All calls raise FacetApiError."""

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        api_key: str | None = None,
        tls: Tls | None = None,
    ) -> None:
        """Errors: those of `Tls.credentials`."""
        connection.warn_of_plaintext([address], api_key, tls)
        options = connection.channel_options(address, tls)
        self._channel = (
            grpc.secure_channel(address, tls.credentials(), options=options)
            if tls
            else grpc.insecure_channel(address, options=options)
        )
        self._metadata = connection.call_metadata(api_key)
        self._stub = admin_service_pb2_grpc.AdminServiceStub(self._channel)

    def inspect(self, generation_id: str) -> admin_service_pb2.InspectGenerationResponse:
        """One request's life."""
        request = admin_service_pb2.InspectGenerationRequest(generation_id=generation_id)
        return self._call(self._stub.InspectGeneration, request)

    def queues(self) -> admin_service_pb2.ListQueuesResponse:
        """The queues."""
        return self._call(self._stub.ListQueues, admin_service_pb2.ListQueuesRequest())

    def workers(self) -> admin_service_pb2.ListWorkersResponse:
        """The workers that report."""
        return self._call(self._stub.ListWorkers, admin_service_pb2.ListWorkersRequest())

    def explain_autoscaler(self, model: str) -> admin_service_pb2.ExplainAutoscalerResponse:
        """The autoscaler's last decision for a model; "" for the first one served."""
        request = admin_service_pb2.ExplainAutoscalerRequest(model=model)
        return self._call(self._stub.ExplainAutoscaler, request)

    def dead_letters(self, limit: int) -> admin_service_pb2.ListDeadLettersResponse:
        """Dead letters, at most `limit`."""
        found = admin_service_pb2.ListDeadLettersResponse()
        while len(found.dead_letters) < limit:
            page = self._call(
                self._stub.ListDeadLetters,
                admin_service_pb2.ListDeadLettersRequest(
                    page_size=min(limit - len(found.dead_letters), MAX_PAGE),
                    page_token=found.next_page_token,
                ),
            )
            found.dead_letters.extend(page.dead_letters)
            found.next_page_token = page.next_page_token
            if not page.next_page_token:
                break
        return found

    def redrive(self, generation_ids: Sequence[str]) -> int:
        """Put dead letters back, at most 100; returns how many there were."""
        request = admin_service_pb2.RedriveDeadLettersRequest(generation_ids=generation_ids)
        return self._call(self._stub.RedriveDeadLetters, request).redriven

    def discard(self, generation_ids: Sequence[str]) -> int:
        """Delete dead letters, at most 100; returns how many there were."""
        request = admin_service_pb2.DiscardDeadLettersRequest(generation_ids=generation_ids)
        return self._call(self._stub.DiscardDeadLetters, request).discarded

    def drain(self, worker: str) -> None:
        """Make a worker stop claiming and hand back what it holds."""
        request = admin_service_pb2.DrainWorkerRequest(name=worker)
        self._call(self._stub.DrainWorker, request)

    def audit(self, limit: int) -> admin_service_pb2.ListAuditResponse:
        """What operators did last, at most `limit`, 1000 at most."""
        request = admin_service_pb2.ListAuditRequest(page_size=min(limit, MAX_PAGE))
        return self._call(self._stub.ListAudit, request)

    def usage(
        self, *, since: datetime | None, until: datetime | None, tenant: str, model: str
    ) -> Iterator[admin_service_pb2.UsageRecord]:
        """Usage records of what ended from `since` on and before `until`, as they arrive."""
        request = admin_service_pb2.ExportUsageRequest(tenant=tenant, model=model)
        if since is not None:
            request.since.FromDatetime(since)
        if until is not None:
            request.until.FromDatetime(until)
        try:
            for page in self._stub.ExportUsage(
                request, timeout=EXPORT_TIMEOUT_SECONDS, metadata=self._metadata
            ):
                yield from page.records
        except grpc.RpcError as error:
            raise errors.from_call(cast("Any", error)) from error

    def delete_tenant(self, tenant: str) -> int:
        """End and delete what is kept of a tenant's generations; returns how many."""
        request, deleted = admin_service_pb2.DeleteTenantDataRequest(tenant=tenant), 0
        while True:
            answer = self._call(self._stub.DeleteTenantData, request)
            deleted += answer.deleted
            if not answer.has_more:
                return deleted

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _call(
        self, method: grpc.UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> _Response:
        try:
            return method(request, timeout=CALL_TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise errors.from_call(cast("Any", error)) from error
