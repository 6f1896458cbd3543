"""What rests in the store of a tenant of whom nothing is to be kept, and what deletion leaves."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from redis.asyncio import Redis

from facet.api.v1 import admin_service_pb2 as admin_pb
from facet.api.v1 import inference_service_pb2 as pb
from facet.api.v1.admin_service_pb2_grpc import AdminServiceStub
from facet.api.v1.content_pb2 import Blob, Content, Part
from facet.api.v1.generation_pb2 import GenerationRequest
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.core.errors import DeadLetteredError
from facet.gateway import log_reader
from facet.gateway.admin_server import serving_admin
from facet.gateway.authenticator import AnonymousAuthenticator
from facet.gateway.erasure import Eraser
from facet.queue.values import Claim, Finish
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.requests import (
    error_of,
    failure_of,
    generation_id_of,
    next_of,
    rest_of,
    streamed,
)
from tests.integration.gateway.scripted_worker import ScriptedJob
from tests.support.conditions import until
from tests.support.media_samples import PNG
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

PROMPT, ANSWER = "secret-question", "secret-answer"
LONG_ANSWER = ANSWER * 1_200
EVENTS = 600
"""9 MiB in all: more than gateway, gRPC and kernel hold for a client that does not read."""


class Store:
    """All that a release has in the store."""

    def __init__(self, url: str, release: str) -> None:
        self._redis: Any = Redis.from_url(url, protocol=2, driver_info=None)
        self._release = release

    async def holds(self, *contents: bytes) -> bool:
        """Whether any of these stands anywhere in it."""
        return any(each in value for value in await self._values() for each in contents)

    async def _values(self) -> list[bytes]:
        readers = {
            b"string": self._redis.get,
            b"stream": self._redis.xrange,
            b"hash": self._redis.hgetall,
            b"list": lambda key: self._redis.lrange(key, 0, -1),
            b"zset": lambda key: self._redis.zrange(key, 0, -1),
            b"set": self._redis.smembers,
        }
        values = []
        async for key in self._redis.scan_iter(f"*{self._release}*", 1000):
            kind = await self._redis.type(key)
            if kind == b"none":
                # It was deleted since it was found.
                continue
            value = await readers[kind](key)
            values.append(value if isinstance(value, bytes) else repr(value).encode())
        return values

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)


@pytest.fixture
async def store(redis_server: RedisServer, benches: BenchMaker) -> Any:
    store = Store(redis_server.url, benches.release)
    yield store
    await store.close()


@pytest.fixture
async def fleeting(benches: BenchMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(log_reader, "MAX_FOLLOW_SECONDS", 0.3)
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps({"defaults": {"retention_seconds": 0}}), encoding="utf-8")
    return await benches.start(tenants_file=path)


def secret(**fields: Any) -> GenerationRequest:
    image = Part(inline_data=Blob(mime_type="image/png", data=PNG))
    return GenerationRequest(contents=[Content(parts=[image, Part(text=PROMPT)])], **fields)


def contents() -> tuple[bytes, bytes, bytes]:
    return PROMPT.encode(), ANSWER.encode(), PNG


async def nothing_is_left(store: Store) -> None:
    async def is_gone() -> bool:
        return not await store.holds(*contents())

    await until(is_gone, seconds=5)


async def test_nothing_is_left_when_a_stream_was_delivered(fleeting: Bench, store: Store) -> None:
    request = pb.StreamGenerateContentRequest(request=secret())
    call = fleeting.inference.StreamGenerateContent(request)
    name = await generation_id_of(call)
    job = await fleeting.worker.claim()
    await job.say(ANSWER)
    await next_of(call)
    assert [await store.holds(each) for each in contents()] == [True] * 3
    await job.finish()
    await rest_of(call)
    await nothing_is_left(store)
    code, info = await failure_of(
        fleeting.inference.GetGeneration(pb.GetGenerationRequest(generation_id=name))
    )
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    page = await fleeting.queue.usage(since_ms=0, until_ms=1 << 45, page="", limit=10)
    assert [each.generation_id for each in page.records] == [name]


async def test_nothing_is_left_when_a_unary_answer_was_delivered(
    fleeting: Bench, store: Store
) -> None:
    request = pb.GenerateContentRequest(request=secret())
    call = fleeting.inference.GenerateContent(request)
    job = await fleeting.worker.claim()
    await job.say(ANSWER)
    await job.finish()
    await call
    await nothing_is_left(store)


async def test_answer_waits_until_it_is_fetched_when_it_was_submitted(
    fleeting: Bench, store: Store
) -> None:
    request = pb.SubmitGenerationRequest(request=secret())
    name = (await fleeting.inference.SubmitGeneration(request)).generation.generation_id
    job = await fleeting.worker.claim()
    await job.say(ANSWER)
    get = pb.GetGenerationRequest(generation_id=name)
    running = (await fleeting.inference.GetGeneration(get)).generation
    assert not running.HasField("response")
    await job.finish()
    assert await store.holds(ANSWER.encode())
    ended = (await fleeting.inference.GetGeneration(get)).generation
    assert ended.response.candidates[0].content.parts[0].text == ANSWER
    await nothing_is_left(store)


async def test_end_is_kept_when_its_reader_was_cut_off(fleeting: Bench, store: Store) -> None:
    call = fleeting.inference.StreamGenerateContent(
        pb.StreamGenerateContentRequest(request=secret())
    )
    name = await generation_id_of(call)
    job = await fleeting.worker.claim()
    await job.say(ANSWER)
    await next_of(call)
    call.cancel()
    await job.finish()
    attach = pb.AttachGenerationRequest(generation_id=name)
    events = await rest_of(fleeting.inference.AttachGeneration(attach))
    assert events[0].text_delta.text == ANSWER
    await nothing_is_left(store)


@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_second_reader_gets_all_when_the_first_has_had_the_end(
    fleeting: Bench,
    benches: BenchMaker,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_elsewhere: bool,
) -> None:
    other = fleeting
    if is_elsewhere:
        other = await benches.start(tenants_file=tmp_path / "tenants.json")
    erasures = asyncio.Semaphore(0)
    erase = Eraser._erase_delivered

    async def erase_and_tell(eraser: Eraser, *generation: Any) -> None:
        await erase(eraser, *generation)
        erasures.release()

    monkeypatch.setattr(Eraser, "_erase_delivered", erase_and_tell)
    first = fleeting.inference.StreamGenerateContent(
        pb.StreamGenerateContentRequest(request=secret())
    )
    name = await generation_id_of(first)
    job = await fleeting.worker.claim()
    attach = pb.AttachGenerationRequest(generation_id=name)
    async with grpc.aio.insecure_channel(other.address) as channel:
        second = InferenceServiceStub(channel).AttachGeneration(attach)
        await generation_id_of(second)
        reading = asyncio.create_task(rest_of(first))
        for _ in range(EVENTS):
            await job.say(LONG_ANSWER)
        await job.finish()
        assert len(await reading) == EVENTS + 1
        async with asyncio.timeout(5):
            await erasures.acquire()
        # Nobody holds so much but the store.
        events = await rest_of(second)
        assert [event.offset for event in events] == list(range(EVENTS + 1))
    await nothing_is_left(store)


async def test_no_dead_letter_is_left_when_nothing_is_to_be_kept(
    fleeting: Bench, store: Store
) -> None:
    call = fleeting.inference.StreamGenerateContent(
        pb.StreamGenerateContentRequest(request=secret())
    )
    job = await fleeting.worker.claim()
    await give_up(fleeting, job)
    error = await error_of(call.read())
    assert error.code() is grpc.StatusCode.INTERNAL
    await nothing_is_left(store)
    assert (await fleeting.queue.dead_letters(page="", limit=10)).letters == ()


async def give_up(bench: Bench, job: ScriptedJob) -> None:
    failure = DeadLetteredError("given up").to_failure()
    finish = Finish(
        *(job.claimed.lease, 0, 1, (), b""),
        failure=failure.SerializeToString(),
        is_dead_letter=True,
    )
    await bench.queue.write([finish])


async def test_nothing_is_left_when_a_generation_is_deleted(bench: Bench, store: Store) -> None:
    submit = pb.SubmitGenerationRequest(request=secret())
    names = [
        (await bench.inference.SubmitGeneration(submit)).generation.generation_id for _ in range(2)
    ]
    for _ in names:
        await give_up(bench, await bench.worker.claim())
    for name in names:
        # The medium is held by the other one still.
        assert await store.holds(PNG)
        await bench.inference.DeleteGeneration(pb.DeleteGenerationRequest(generation_id=name))
    assert not await store.holds(*contents())
    assert (await bench.queue.dead_letters(page="", limit=10)).letters == ()


async def test_all_of_a_tenant_is_deleted_when_an_operator_asks(bench: Bench, store: Store) -> None:
    submit = pb.SubmitGenerationRequest(request=secret())
    for _ in range(3):
        await bench.inference.SubmitGeneration(submit)
    await give_up(bench, await bench.worker.claim())
    job = await bench.worker.claim()
    authenticator = AnonymousAuthenticator()
    async with (
        serving_admin("127.0.0.1:0", {"nano": bench.queue}, authenticator, bench.media) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        admin: Any = AdminServiceStub(channel)
        others = await admin.DeleteTenantData(admin_pb.DeleteTenantDataRequest(tenant="bob"))
        assert (others.deleted, others.has_more) == (0, False)
        own = await admin.DeleteTenantData(admin_pb.DeleteTenantDataRequest(tenant="anonymous"))
        assert (own.deleted, own.has_more) == (3, False)
        (entry,) = (await admin.ListAudit(admin_pb.ListAuditRequest())).entries
        assert (entry.action, entry.subject) == ("delete-tenant", "anonymous")
    assert await job.is_lost()
    assert not await store.holds(*contents())
    claim = Claim("worker-2", "nonce", limit=9, held=0, fingerprint="scripted")
    assert (await bench.queue.claim(claim)).claimed == ()


async def test_end_is_kept_when_another_tenants_terms_are_bound(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed())
    name = await generation_id_of(call)
    await (await bench.worker.claim()).finish()
    await rest_of(call)
    get = pb.GetGenerationRequest(generation_id=name)
    for _ in range(2):
        assert (await bench.inference.GetGeneration(get)).generation.HasField("response")
