"""Quotas of tenants: two gateways that share them, over one Redis."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from facet.api.v1 import inference_service_pb2 as pb
from facet.api.v1.content_pb2 import Blob, Content, Part
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.queue.limits import FIRST_OUTPUT_TOKENS
from facet.queue.views import UsageRecord
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.gateway_process import gateway_process
from tests.integration.gateway.requests import (
    details_of,
    error_of,
    generation,
    generation_id_of,
    info_of,
    streamed,
)
from tests.support.conditions import until
from tests.support.media_samples import PNG, png
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

TENANT = "anonymous"
EVER_MS = 1 << 45
RACING = 50
PNG_OF_ANOTHER_SIZE = png(5, 5)

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the tenants file of all gateways."""

    def write(terms: dict[str, Any]) -> Path:
        draft, path = tmp_path / "draft.json", tmp_path / "tenants.json"
        draft.write_text(json.dumps({"tenants": {TENANT: terms}}), encoding="utf-8")
        return draft.replace(path)

    return write


def submit_request(text: str = "hello", **fields: Any) -> pb.SubmitGenerationRequest:
    return pb.SubmitGenerationRequest(request=generation(text, **fields))


async def submitted(bench: Bench, **fields: Any) -> str:
    """The id of a generation that is accepted."""
    answer = await bench.inference.SubmitGeneration(submit_request(**fields))
    return str(answer.generation.generation_id)


async def refused(bench: Bench, bound: str, **fields: Any) -> float:
    """For how long a submission is refused, by this bound of the quota."""
    error = await error_of(bench.inference.SubmitGeneration(submit_request(**fields)))
    return wait_of(error, bound)


def wait_of(error: grpc.aio.AioRpcError, bound: str) -> float:
    info = info_of(error)
    assert (error.code(), info.reason) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUOTA_EXCEEDED",
    )
    assert info.metadata["bound"] == bound
    retry = error_details_pb2.RetryInfo()
    assert details_of(error)[1].Unpack(retry)
    return float(retry.retry_delay.ToTimedelta().total_seconds())


async def usage_of(bench: Bench) -> list[UsageRecord]:
    page = await bench.queue.usage(since_ms=0, until_ms=EVER_MS, page="", limit=1000)
    assert not page.next_page
    return list(page.records)


@pytest.mark.parametrize(
    ("terms", "bound"),
    [
        ({"max_concurrent": 7}, "max_concurrent"),
        ({"requests_per_minute": 7}, "requests_per_minute"),
        ({"tokens_per_minute": 7 * (FIRST_OUTPUT_TOKENS + 2)}, "tokens_per_minute"),
    ],
)
async def test_no_more_than_allowed_are_accepted_when_two_gateways_race(
    benches: BenchMaker, write: Write, terms: dict[str, Any], bound: str
) -> None:
    path = write(terms)
    gateways = [await benches.start(tenants_file=path) for _ in range(2)]
    turns = [gateways[number % 2].inference for number in range(RACING)]
    calls = [inference.SubmitGeneration(submit_request()) for inference in turns]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [each for each in answers if isinstance(each, grpc.aio.AioRpcError)]
    assert len(answers) - len(refusals) == 7
    assert all(wait_of(each, bound) > 0 for each in refusals)
    assert (await gateways[0].queue.depth()).waiting == 7


async def test_submission_succeeds_when_it_waited_as_long_as_it_was_told(
    benches: BenchMaker, write: Write
) -> None:
    bench = await benches.start(tenants_file=write({"requests_per_minute": 60}))
    # A place comes back each second, so that a slow machine may take a few more.
    wait_seconds = 0.0
    for taken in range(120):
        began = time.monotonic()
        try:
            await submitted(bench)
        except grpc.aio.AioRpcError as error:
            wait_seconds = wait_of(error, "requests_per_minute")
            assert taken >= 60
            break
    assert 0 < wait_seconds <= 1
    await asyncio.sleep(max(0, wait_seconds - (time.monotonic() - began)))
    await submitted(bench)


async def test_repeat_is_not_charged_when_its_request_id_is_known(
    benches: BenchMaker, write: Write
) -> None:
    path = write({"max_concurrent": 1, "requests_per_minute": 1})
    first, second = [await benches.start(tenants_file=path) for _ in range(2)]
    name = await submitted(first, request_id="order-1")
    assert await submitted(second, request_id="order-1") == name
    await refused(second, "requests_per_minute", request_id="order-2")


async def test_room_is_back_when_the_gateway_that_took_it_was_killed(
    benches: BenchMaker, write: Write, redis_server: RedisServer
) -> None:
    path = write({"max_concurrent": 4})
    bench = await benches.start(tenants_file=path)
    async with gateway_process(
        redis_server.url,
        benches.release,
        tenants_file=path,
        reader_grace_seconds=1,
    ) as gateway:
        inference: Any = InferenceServiceStub(gateway.channel)
        calls = [inference.StreamGenerateContent(streamed()) for _ in range(4)]
        names = [await generation_id_of(call) for call in calls]
        await refused(bench, "max_concurrent")
        # In the midst of more: each is accepted as a whole, or not at all.
        racing = [inference.StreamGenerateContent(streamed()) for _ in range(8)]
        await asyncio.gather(
            *(asyncio.wait_for(call.initial_metadata(), 1) for call in racing[:2]),
            gateway.kill(),
            return_exceptions=True,
        )

    async def is_accepted() -> bool:
        try:
            await bench.inference.SubmitGeneration(submit_request())
        except grpc.aio.AioRpcError as error:
            wait_of(error, "max_concurrent")
            return False
        return True

    await until(is_accepted, seconds=15)

    async def all_recorded() -> bool:
        return len(await usage_of(bench)) >= 4

    await until(all_recorded, seconds=15)
    records = {each.generation_id: each for each in await usage_of(bench)}
    assert records.keys() == set(names)
    assert {each.outcome for each in records.values()} == {"abandoned"}
    for _ in range(3):
        await submitted(bench)
    await refused(bench, "max_concurrent")


async def test_one_usage_record_is_left_when_workers_are_lost_on_the_way(
    benches: BenchMaker, write: Write
) -> None:
    bench = await benches.start(tenants_file=write({"max_concurrent": 2}))
    names = [await submitted(bench) for _ in range(2)]
    # Nothing renews the lease of the first worker: it is dead to the store.
    job = await bench.worker.claim()
    await job.say("lost")

    async def is_back() -> bool:
        return (await bench.queue.depth()).leased == 0

    await until(is_back, seconds=15)
    await refused(bench, "max_concurrent")
    assert await usage_of(bench) == []
    for _ in range(2):
        again = await bench.worker.claim()
        await again.finish()
    records = await usage_of(bench)
    assert sorted(each.generation_id for each in records) == sorted(names)
    assert sorted(each.attempts for each in records) == [1, 2]
    assert {each.outcome for each in records} == {"finished"}


async def test_later_limits_hold_when_the_file_changes(benches: BenchMaker, write: Write) -> None:
    bench = await benches.start(tenants_file=write({"max_concurrent": 1}))
    await submitted(bench)
    await refused(bench, "max_concurrent")
    write({"max_concurrent": 3})

    async def is_accepted() -> bool:
        try:
            await bench.inference.SubmitGeneration(submit_request())
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(is_accepted, seconds=5)
    await submitted(bench)
    await refused(bench, "max_concurrent")


def with_image(data: bytes, **fields: Any) -> GenerationRequest:
    part = Part(inline_data=Blob(mime_type="image/png", data=data))
    return GenerationRequest(contents=[Content(parts=[part, Part(text="what?")])], **fields)


async def test_stored_media_are_released_when_a_later_one_of_the_request_is_refused(
    benches: BenchMaker, write: Write
) -> None:
    bench = await benches.start(tenants_file=write({"max_media_bytes": len(PNG) + 10}))
    both = with_image(PNG)
    both.contents.extend(with_image(PNG_OF_ANOTHER_SIZE).contents)
    error = await error_of(
        bench.inference.SubmitGeneration(pb.SubmitGenerationRequest(request=both))
    )
    wait_of(error, "max_media_bytes")
    # All of the room is there again.
    alone = pb.SubmitGenerationRequest(request=with_image(PNG_OF_ANOTHER_SIZE))
    await bench.inference.SubmitGeneration(alone)


async def test_media_are_refused_when_a_tenant_has_as_many_bytes_as_it_may(
    benches: BenchMaker, write: Write
) -> None:
    path = write({"max_media_bytes": len(PNG) + 10, "retention_seconds": 0})
    first, second = [await benches.start(tenants_file=path) for _ in range(2)]
    submit = pb.SubmitGenerationRequest(request=with_image(PNG))
    await first.inference.SubmitGeneration(submit)
    # The same bytes are counted once.
    await second.inference.SubmitGeneration(submit)
    other = pb.SubmitGenerationRequest(request=with_image(PNG_OF_ANOTHER_SIZE))
    error = await error_of(second.inference.SubmitGeneration(other))
    wait_seconds = wait_of(error, "max_media_bytes")
    assert 50 < wait_seconds <= 61
    for _ in range(2):
        job = await first.worker.claim()
        await job.finish()
        answer = await first.inference.GetGeneration(
            pb.GetGenerationRequest(generation_id=job.envelope.generation_id)
        )
        assert answer.generation.HasField("response")

    async def is_accepted() -> bool:
        try:
            await first.inference.SubmitGeneration(other)
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(is_accepted)
