"""Tenants come from keys, and from nothing else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import grpc
import pytest

from facet.api.v1.inference_service_pb2 import (
    AttachGenerationRequest,
    CancelGenerationRequest,
)
from facet.api.v1.model_service_pb2 import ListModelsRequest
from facet.api.v1.model_service_pb2_grpc import ModelServiceStub
from facet.gateway.api_keys import ApiKey, KeyFileAuthenticator
from facet.gateway.authenticator import Principal
from tests.integration.gateway.conftest import Bench, BenchMaker
from tests.integration.gateway.requests import failure_of, generation_id_of, rest_of, streamed
from tests.support.conditions import until

pytestmark = pytest.mark.integration

ALICE = (("authorization", "Bearer alice-key"),)
BOB = (("authorization", "Bearer bob-key"),)
NAMED_IN_METADATA = (("tenant", "bob"), ("x-tenant", "bob"), ("facet-tenant", "bob"))


@pytest.fixture
async def keyed(benches: BenchMaker) -> Bench:
    keys = [
        ApiKey(Principal(name), hashlib.sha256(f"{name}-key".encode()).digest())
        for name in ("alice", "bob")
    ]
    return await benches.start(KeyFileAuthenticator(keys))


async def test_tenant_is_the_keys_when_metadata_name_another(keyed: Bench) -> None:
    call = keyed.inference.StreamGenerateContent(streamed(), metadata=ALICE + NAMED_IN_METADATA)
    generation_id = await generation_id_of(call)
    job = await keyed.worker.claim()
    assert job.envelope.tenant == "alice"
    cancel = CancelGenerationRequest(generation_id=generation_id)
    attach = AttachGenerationRequest(generation_id=generation_id)
    for refused in (
        keyed.inference.CancelGeneration(cancel, metadata=BOB),
        keyed.inference.AttachGeneration(attach, metadata=BOB).read(),
    ):
        code, info = await failure_of(refused)
        assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "GENERATION_NOT_FOUND")
    assert not await job.is_lost()
    await job.finish()
    assert len(await rest_of(call)) == 1


async def test_tenant_is_anonymous_when_metadata_name_one_on_loopback(bench: Bench) -> None:
    call = bench.inference.StreamGenerateContent(streamed(), metadata=ALICE + NAMED_IN_METADATA)
    await generation_id_of(call)
    job = await bench.worker.claim()
    assert job.envelope.tenant == "anonymous"


async def test_stream_goes_on_and_attaching_is_refused_when_its_key_is_withdrawn(
    benches: BenchMaker, tmp_path: Path
) -> None:
    keys = ("alice-key", "bob-key")
    lines = [f"{key}:{hashlib.sha256(key.encode()).hexdigest()}\n" for key in keys]
    file = tmp_path / "keys"
    file.write_text("".join(lines))
    bench = await benches.start(KeyFileAuthenticator.from_file(file))
    call = bench.inference.StreamGenerateContent(streamed(), metadata=ALICE)
    attach = AttachGenerationRequest(generation_id=await generation_id_of(call))
    job = await bench.worker.claim()
    file.write_text(lines[1])

    async def is_refused() -> bool:
        try:
            await bench.inference.AttachGeneration(attach, metadata=ALICE, timeout=0.2).read()
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    await until(is_refused)
    await job.finish()
    assert len(await rest_of(call)) == 1


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer wrong"),), (("authorization", "Basic alice-key"),)],
)
async def test_call_is_refused_when_the_key_is_not_known(
    keyed: Bench, metadata: tuple[tuple[str, str], ...]
) -> None:
    models = ModelServiceStub(keyed.channel)
    for call in (
        keyed.inference.StreamGenerateContent(streamed(), metadata=metadata).read(),
        models.ListModels(ListModelsRequest(), metadata=metadata),
    ):
        code, info = await failure_of(call)
        assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    assert (await keyed.queue.depth()).waiting == 0
