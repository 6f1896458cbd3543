"""What probes and tools ask of a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from facet.api.queue.v1.log_pb2 import WorkerReport
from facet.api.v1.admin_service_pb2 import ListWorkersRequest
from facet.api.v1.admin_service_pb2_grpc import AdminServiceStub
from facet.api.v1.inference_service_pb2 import (
    ConverseRequest,
    CountTokensRequest,
    TranscribeRequest,
)
from facet.api.v1.media_service_pb2 import GetMediaRequest, UploadMediaRequest
from facet.api.v1.media_service_pb2_grpc import MediaServiceStub
from facet.api.v1.model_service_pb2 import GetModelRequest, ListModelsRequest
from facet.api.v1.model_service_pb2_grpc import ModelServiceStub
from tests.integration.gateway.conftest import Bench
from tests.integration.gateway.requests import failure_of, next_of

pytestmark = pytest.mark.integration

Check = health_pb2.HealthCheckRequest
State = health_pb2.HealthCheckResponse


@pytest.mark.parametrize("service", ["", "facet.v1.InferenceService", "facet.v1.ModelService"])
async def test_check_serves_when_the_store_answers(bench: Bench, service: str) -> None:
    stub = health_pb2_grpc.HealthStub(bench.channel)
    assert (await stub.Check(Check(service=service))).status == State.SERVING


async def test_unknown_service_is_told_when_asked_for(bench: Bench) -> None:
    stub = health_pb2_grpc.HealthStub(bench.channel)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Check(Check(service="facet.v1.MediaService"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(Check(service="facet.v1.MediaService"))
    assert (await next_of(watch)).status == State.SERVICE_UNKNOWN


@pytest.mark.parametrize("count", [1, 200])
async def test_watch_ends_not_serving_when_the_gateway_drains(bench: Bench, count: int) -> None:
    stub = health_pb2_grpc.HealthStub(bench.channel)
    watches = [stub.Watch(Check()) for _ in range(count)]
    for watch in watches:
        assert (await next_of(watch)).status == State.SERVING
    draining = asyncio.create_task(bench.gateway.drain())
    for watch in watches:
        assert (await next_of(watch)).status == State.NOT_SERVING
    # A watcher does not hold up a gateway without open calls.
    await asyncio.wait_for(draining, 2)


async def test_services_are_listed_when_reflection_is_asked(bench: Bench) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(bench.channel)

    async def ask(**question: str) -> reflection_pb2.ServerReflectionResponse:
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(**question))
        await call.done_writing()
        return await next_of(call)

    listed = await ask(list_services="")
    assert {service.name for service in listed.list_services_response.service} == {
        "facet.v1.InferenceService",
        "facet.v1.ModelService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    described = await ask(file_containing_symbol="facet.v1.InferenceService")
    assert described.file_descriptor_response.file_descriptor_proto


async def test_models_are_told_with_their_live_workers_when_listed(bench: Bench) -> None:
    await bench.queue.report("w1", WorkerReport(name="w1").SerializeToString())
    await bench.queue.report("w2", WorkerReport(name="w2", draining=True).SerializeToString())
    stub = ModelServiceStub(bench.channel)
    [model] = (await stub.ListModels(ListModelsRequest())).models
    assert (model.name, model.live_workers, model.context_tokens) == ("nano", 1, 4096)
    assert (await stub.GetModel(GetModelRequest(name="nano"))).model == model
    code, info = await failure_of(stub.GetModel(GetModelRequest(name="other")))
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")


async def test_rpc_is_named_when_it_is_not_served(bench: Bench) -> None:
    inference, media = bench.inference, MediaServiceStub(bench.channel)
    calls: dict[str, Any] = {
        "InferenceService/CountTokens": inference.CountTokens(CountTokensRequest()),
        "InferenceService/Converse": inference.Converse(iter([ConverseRequest()])).read(),
        "InferenceService/Transcribe": inference.Transcribe(iter([TranscribeRequest()])).read(),
        "MediaService/GetMedia": media.GetMedia(GetMediaRequest()),
        "MediaService/UploadMedia": media.UploadMedia(iter([UploadMediaRequest()])),
        "AdminService/ListWorkers": AdminServiceStub(bench.channel).ListWorkers(
            ListWorkersRequest()
        ),
    }
    for name, call in calls.items():
        code, info = await failure_of(call)
        assert (code, info.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_SERVED")
        assert dict(info.metadata) == {"feature": f"facet.v1.{name}"}
