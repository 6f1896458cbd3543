"""Generations that nobody follows: submitted, fetched, listed, deleted; and who may do so."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from facet.api.v1 import inference_service_pb2 as pb
from facet.core.errors import EngineFailedError
from facet.gateway.api_keys import ApiKey, KeyFileAuthenticator
from facet.gateway.authenticator import Principal
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.requests import (
    details_of,
    error_of,
    failure_of,
    generation,
    generation_id_of,
    info_of,
    rest_of,
    unary,
)

pytestmark = pytest.mark.integration

GRACE_SECONDS = 0.5


async def _submit(bench: Bench, text: str = "hello", **fields: Any) -> pb.Generation:
    request = pb.SubmitGenerationRequest(request=generation(text, **fields))
    return (await bench.inference.SubmitGeneration(request)).generation


async def _get(bench: Bench, generation_id: str, wait_seconds: float = 0.0) -> pb.Generation:
    request = pb.GetGenerationRequest(generation_id=generation_id)
    if wait_seconds:
        request.wait.CopyFrom(Duration(nanos=round(wait_seconds * 1e9)))
    return (await bench.inference.GetGeneration(request)).generation


async def test_generation_runs_without_a_reader_when_it_was_submitted(benches: BenchMaker) -> None:
    bench = await benches.start(reader_grace_seconds=GRACE_SECONDS)
    submitted = await _submit(bench, request_id="r")
    assert submitted.state == pb.GENERATION_STATE_QUEUED
    assert (submitted.request_id, submitted.next_offset) == ("r", 0)
    job = await bench.worker.claim()
    assert job.envelope.generation_id == submitted.generation_id
    await job.start()
    running = await _get(bench, submitted.generation_id)
    assert (running.state, running.next_offset) == (pb.GENERATION_STATE_RUNNING, 1)
    assert not running.HasField("end_time")
    ends = time.monotonic() + 3 * GRACE_SECONDS
    while time.monotonic() < ends:
        assert not await job.is_lost()
        await asyncio.sleep(0.05)
    await job.say("an ", "answer")
    await job.finish()
    ended = await _get(bench, submitted.generation_id)
    assert ended.state == pb.GENERATION_STATE_SUCCEEDED
    [part] = ended.response.candidates[0].content.parts
    assert part.text == "an answer"
    assert ended.expire_time.ToMilliseconds() > ended.end_time.ToMilliseconds()
    assert (await _submit(bench, request_id="r")).generation_id == submitted.generation_id


async def test_end_is_told_at_once_when_get_waits_for_it(bench: Bench) -> None:
    submitted = await _submit(bench)
    job = await bench.worker.claim()
    waiting = asyncio.create_task(_get(bench, submitted.generation_id, 0.9))
    assert (await _get(bench, submitted.generation_id, 0.05)).state == pb.GENERATION_STATE_RUNNING
    assert not waiting.done()
    await job.fail(EngineFailedError("it broke"))
    ended = await waiting
    assert ended.state == pb.GENERATION_STATE_FAILED
    assert ended.failure.message == "it broke"
    assert not ended.HasField("response")


async def test_state_is_told_in_time_when_the_wait_is_longer_than_the_call(bench: Bench) -> None:
    submitted = await _submit(bench)
    request = pb.GetGenerationRequest(
        generation_id=submitted.generation_id, wait=Duration(seconds=30)
    )
    answer = await bench.inference.GetGeneration(request, timeout=1.5)
    assert answer.generation.state == pb.GENERATION_STATE_QUEUED


async def test_all_are_listed_once_when_pages_are_small(bench: Bench) -> None:
    ids = [(await _submit(bench, f"number {number}")).generation_id for number in range(5)]
    found: list[str] = []
    request = pb.ListGenerationsRequest(page_size=2)
    while True:
        page = await bench.inference.ListGenerations(request)
        assert len(page.generations) <= 2
        found += [each.generation_id for each in page.generations]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert found == ids[::-1]


@pytest.mark.parametrize(
    "request_",
    [
        pb.ListGenerationsRequest(page_token="nonsense"),
        pb.ListGenerationsRequest(page_token="7.0"),
        pb.ListGenerationsRequest(page_token="0." + "9" * 5000),
        pb.ListGenerationsRequest(page_size=1001),
    ],
)
async def test_page_is_refused_when_there_is_no_such(
    bench: Bench, request_: pb.ListGenerationsRequest
) -> None:
    code, info = await failure_of(bench.inference.ListGenerations(request_))
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_generation_is_gone_when_deleted_after_its_end(bench: Bench) -> None:
    submitted = await _submit(bench)
    delete = pb.DeleteGenerationRequest(generation_id=submitted.generation_id)
    code, info = await failure_of(bench.inference.DeleteGeneration(delete))
    assert (code, info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "GENERATION_RUNS")
    job = await bench.worker.claim()
    await job.finish()
    await bench.inference.DeleteGeneration(delete)
    get = pb.GetGenerationRequest(generation_id=submitted.generation_id)
    for call in (bench.inference.GetGeneration(get), bench.inference.DeleteGeneration(delete)):
        code, info = await failure_of(call)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    assert not (await bench.inference.ListGenerations(pb.ListGenerationsRequest())).generations


async def test_submitted_generation_can_be_followed_when_somebody_attaches(bench: Bench) -> None:
    submitted = await _submit(bench)
    attached = bench.inference.AttachGeneration(
        pb.AttachGenerationRequest(generation_id=submitted.generation_id)
    )
    await generation_id_of(attached)
    job = await bench.worker.claim()
    await job.say("a")
    await job.finish()
    assert [event.offset for event in await rest_of(attached)] == [0, 1]


async def test_nothing_of_a_generation_is_told_when_it_is_another_tenants(
    benches: BenchMaker,
) -> None:
    keys = [
        ApiKey(Principal(name), hashlib.sha256(name.encode()).digest()) for name in ("alice", "bob")
    ]
    bench = await benches.start(KeyFileAuthenticator(keys))
    alice, bob = ((("authorization", f"Bearer {name}"),) for name in ("alice", "bob"))
    submit = pb.SubmitGenerationRequest(request=generation())
    submitted = await bench.inference.SubmitGeneration(submit, metadata=alice)
    name = submitted.generation.generation_id
    inference = bench.inference
    for call in (
        inference.GetGeneration(pb.GetGenerationRequest(generation_id=name), metadata=bob),
        inference.CancelGeneration(pb.CancelGenerationRequest(generation_id=name), metadata=bob),
        inference.DeleteGeneration(pb.DeleteGenerationRequest(generation_id=name), metadata=bob),
        inference.AttachGeneration(
            pb.AttachGenerationRequest(generation_id=name), metadata=bob
        ).read(),
    ):
        code, info = await failure_of(call)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    listed = await inference.ListGenerations(pb.ListGenerationsRequest(), metadata=bob)
    assert not listed.generations


@pytest.mark.parametrize(
    ("most", "tenant_most", "reason"), [(1, 10, "QUEUE_FULL"), (10, 1, "QUOTA_EXCEEDED")]
)
async def test_time_to_come_back_is_told_when_as_many_wait_as_may(
    benches: BenchMaker, most: int, tenant_most: int, reason: str
) -> None:
    bench = await benches.start(max_waiting=most, tenant_max_waiting=tenant_most)
    await _submit(bench)
    error = await error_of(bench.inference.GenerateContent(unary()))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert info_of(error).reason == reason
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details_of(error))
    assert retry.retry_delay.ToMilliseconds() >= 200
