"""Requests that are refused before anything is queued."""

from __future__ import annotations

import grpc
import pytest
from google.rpc import error_details_pb2

from facet.api.v1.generation_pb2 import GenerationConfig, GenerationRequest
from facet.api.v1.inference_service_pb2 import (
    GenerateContentRequest,
    StreamGenerateContentRequest,
)
from tests.integration.gateway.conftest import Bench
from tests.integration.gateway.requests import details_of, error_of, generation, info_of

pytestmark = pytest.mark.integration

CASES = {
    "unknown model": (
        generation(model="gemini"),
        grpc.StatusCode.NOT_FOUND,
        "MODEL_NOT_FOUND",
        [],
    ),
    "no contents": (
        GenerationRequest(),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ["request.contents"],
    ),
    "two wrong fields": (
        generation("", generation_config=GenerationConfig(temperature=float("nan"))),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        ["request.contents[0].parts[0].text", "request.generation_config.temperature"],
    ),
    "not served": (
        generation(adapter="mine"),
        grpc.StatusCode.UNIMPLEMENTED,
        "NOT_SERVED",
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_request_is_refused_with_its_fields_when_it_is_wrong(bench: Bench, case: str) -> None:
    request, code, reason, fields = CASES[case]
    unary = bench.inference.GenerateContent(GenerateContentRequest(request=request))
    stream = bench.inference.StreamGenerateContent(StreamGenerateContentRequest(request=request))
    for call in (unary, stream.read()):
        error = await error_of(call)
        assert (error.code(), info_of(error).reason) == (code, reason)
        assert _fields_of(error) == fields
    assert (await bench.queue.depth()).waiting == 0


def _fields_of(error: grpc.aio.AioRpcError) -> list[str]:
    bad = error_details_pb2.BadRequest()
    return [
        violation.field
        for detail in details_of(error)
        if detail.Unpack(bad)
        for violation in bad.field_violations
    ]
