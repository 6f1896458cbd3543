"""The operators' port over a real Redis, and as a gateway process tells of it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import pytest

from facet.api.v1 import admin_service_pb2 as pb
from facet.api.v1.admin_service_pb2_grpc import AdminServiceStub
from facet.api.v1.event_pb2 import Event, Finished
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import DeadLetteredError
from facet.gateway.admin_server import serving_admin
from facet.gateway.authenticator import AnonymousAuthenticator
from facet.gateway.generation_id import new_generation_id
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Claim, Finish
from tests.integration.gateway.requests import failure_of
from tests.support.queue_contract.world import submission
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

START_SECONDS = 20.0
STOP_SECONDS = 10.0
CALL_SECONDS = 10.0


@pytest.fixture
async def queue(redis_server: RedisServer) -> AsyncIterator[RedisQueue]:
    queue = RedisQueue.connect(redis_server.url, release=f"t{secrets.token_hex(6)}", model="nano")
    yield queue
    await queue.close()


@asynccontextmanager
async def admin_of(queue: RedisQueue) -> AsyncIterator[grpc.aio.Channel]:
    authenticator = AnonymousAuthenticator()
    async with (
        serving_admin("127.0.0.1:0", {"nano": queue}, authenticator) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield channel


async def bury(queue: RedisQueue) -> str:
    """Submit a request and give it up."""
    generation_id = new_generation_id(0)
    await queue.submit(submission(generation_id))
    claim = Claim("worker-1", secrets.token_hex(8), limit=1, held=0, fingerprint="print-1")
    [claimed] = (await queue.claim(claim)).claimed
    failure = DeadLetteredError("given up").to_failure()
    response = StreamGenerateContentResponse(events=[Event(finished=Finished(failure=failure))])
    finish = Finish(
        *(claimed.lease, 0, 1, (), response.SerializeToString()),
        failure=failure.SerializeToString(),
        is_dead_letter=True,
    )
    await queue.write([finish])
    return generation_id


async def test_a_dead_letter_is_seen_redriven_and_recorded_when_the_store_is_real(
    queue: RedisQueue,
) -> None:
    dead, gone = await bury(queue), await bury(queue)
    async with admin_of(queue) as channel:
        admin = AdminServiceStub(channel)
        listed = await admin.ListDeadLetters(pb.ListDeadLettersRequest(), timeout=CALL_SECONDS)
        assert {letter.generation_id for letter in listed.dead_letters} == {dead, gone}

        redriven = await admin.RedriveDeadLetters(
            pb.RedriveDeadLettersRequest(generation_ids=[dead]), timeout=CALL_SECONDS
        )
        discarded = await admin.DiscardDeadLetters(
            pb.DiscardDeadLettersRequest(generation_ids=[gone]), timeout=CALL_SECONDS
        )
        seen = await admin.InspectGeneration(
            pb.InspectGenerationRequest(generation_id=dead), timeout=CALL_SECONDS
        )
        queues = await admin.ListQueues(pb.ListQueuesRequest(), timeout=CALL_SECONDS)
        audit = await admin.ListAudit(pb.ListAuditRequest(), timeout=CALL_SECONDS)

    assert (redriven.redriven, discarded.discarded) == (1, 1)
    steps = [step.what for step in seen.life]
    assert steps == ["claimed", "ended", "redriven"]
    [nano] = queues.queues
    assert (nano.waiting, nano.dead_letters) == (1, 0)
    actions = [(entry.action, entry.subject) for entry in audit.entries]
    assert actions == [("discard", gone), ("redrive", dead)]


async def test_the_status_says_so_when_a_worker_is_unknown(queue: RedisQueue) -> None:
    async with admin_of(queue) as channel:
        call = AdminServiceStub(channel).DrainWorker(
            pb.DrainWorkerRequest(name="other"), timeout=CALL_SECONDS
        )
        code, info = await failure_of(call)

    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "WORKER_NOT_FOUND")


async def test_the_process_tells_both_addresses_when_it_serves_operators(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    address_file = tmp_path / "address"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.gateway"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ
        | {
            "FACET_GATEWAY_REDIS_URL": redis_server.url,
            "FACET_GATEWAY_RELEASE": f"t{secrets.token_hex(6)}",
            "FACET_GATEWAY_ADMIN_LISTEN": "127.0.0.1:0",
            "FACET_GATEWAY_ADDRESS_FILE": str(address_file),
        },
    )
    assert process.stdout is not None
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_end, process)
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        ready, client_field, admin_field = line.decode().split()
        client, admin = client_field.removeprefix("grpc="), admin_field.removeprefix("admin=")
        assert ready == "READY"
        assert address_file.read_text().split() == [client, admin]
        for address, is_served in ((admin, True), (client, False)):
            async with grpc.aio.insecure_channel(address) as channel:
                call = AdminServiceStub(channel).ListQueues(
                    pb.ListQueuesRequest(), timeout=CALL_SECONDS
                )
                code = await call.code()
                expected = grpc.StatusCode.OK if is_served else grpc.StatusCode.UNIMPLEMENTED
                assert code is expected
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), STOP_SECONDS) == 0


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()
