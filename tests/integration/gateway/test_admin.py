"""The operators' port over a real Redis, and as a gateway process tells of it."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from facet.api.queue.v1.envelope_pb2 import Envelope
from facet.api.v1 import admin_service_pb2 as pb
from facet.api.v1.admin_service_pb2_grpc import AdminServiceStub
from facet.api.v1.event_pb2 import Event, Finished, Resumed
from facet.api.v1.generation_pb2 import FINISH_REASON_STOP, Timings
from facet.api.v1.inference_service_pb2 import StreamGenerateContentResponse
from facet.core.errors import DeadLetteredError
from facet.core.media_store import MemoryMediaStore
from facet.gateway.admin_server import serving_admin
from facet.gateway.authenticator import AnonymousAuthenticator
from facet.queue.generation_id import new_generation_id
from facet.queue.limits import QueueLimits
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Claim, Finish, Priority, State, Submission
from tests.integration.gateway.requests import failure_of
from tests.integration.gateway.scripted_worker import ScriptedJob
from tests.support.conditions import until
from tests.support.queue_contract.world import TENANT, submission
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
        serving_admin("127.0.0.1:0", {"nano": queue}, authenticator, MemoryMediaStore()) as address,
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


async def printed_life(address: str, generation_id: str) -> str:
    """What `facet admin request` prints, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.client", "admin", "request", generation_id),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"FACET_ADMIN_SERVER": address},
    )
    out, _ = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 0
    return out.decode()


async def test_the_whole_life_is_printed_when_a_request_was_held_lost_and_resumed(
    redis_server: RedisServer,
) -> None:
    limits = QueueLimits(lease_ms=3_000)
    queue = RedisQueue.connect(
        redis_server.url, release=f"t{secrets.token_hex(6)}", model="nano", limits=limits
    )
    warm, wanted = new_generation_id(0), new_generation_id(0)

    async def claim(worker: str) -> list[ScriptedJob]:
        nonce = secrets.token_hex(8)
        result = await queue.claim(Claim(worker, nonce, limit=1, held=0, fingerprint="print-1"))
        return [ScriptedJob(queue, claimed) for claimed in result.claimed]

    await queue.submit(replace(with_envelope(warm), affinity=("s:1",)))
    [job] = await claim("worker-1")
    await job.finish()
    assert await claim("worker-1") == []
    await queue.submit(
        replace(with_envelope(wanted), affinity=("s:1",), priority=Priority.BATCH, follower="r")
    )
    assert await claim("worker-2") == [], "it is held for the worker that is warm"
    async with serving_admin(
        "127.0.0.1:0", {"nano": queue}, AnonymousAuthenticator(), MemoryMediaStore()
    ) as address:
        waiting = await printed_life(address, wanted)
        [job] = await claim("worker-1")
        await job.start()
        await job.say("some", "text")
        await queue.follow("reader", {wanted: 2})

        async def is_lost() -> bool:
            await queue.sweep()
            return (await queue.status(wanted, TENANT)).state is State.WAITING

        await until(is_lost, seconds=15)
        [job] = await claim("worker-2")
        await job.append(Event(resumed=Resumed(worker="worker-2", attempt=2)))
        running = await printed_life(address, wanted)
        finished = Finished(finish_reason=FINISH_REASON_STOP, timings=Timings(attempts=2))
        finished.timings.prefill.FromMilliseconds(250)
        await job.finish(finished)
        ended = await printed_life(address, wanted)
    await queue.close()

    assert waiting.startswith(f"{wanted}: queued, batch class, tenant {TENANT}, model nano\n")
    assert "queue     0 ahead (0 tokens), about " in waiting
    assert "held 1 times, skipped 0 times\n" in waiting
    assert "attempts  2, of these 0 in a row ended with their worker; epoch 2\n" in running
    assert "worker    worker-2, engine print-1\n" in running
    assert "log       next offset 4; readers at 2, 2 behind\n" in running
    life = re.findall(r"^  \S+ +\d+\.\d{3} s  (\S+) *(.*)$", ended, re.MULTILINE)
    assert life == [
        ("accepted", ""),
        ("claimed", "worker-1"),
        ("lost-worker", "worker-1"),
        ("claimed", "worker-2"),
        ("ended", "finished"),
    ]
    events = re.findall(r"^ +(\d+)  (\S+) *(\S*)$", ended, re.MULTILINE)
    assert events == [
        ("0", "started", "scripted"),
        ("3", "resumed", "worker-2"),
        ("4", "finished", "stop"),
    ]
    assert "prefill 0.250 s" in ended
    assert "text" not in ended.replace("context", "")


def with_envelope(generation_id: str) -> Submission:
    envelope = Envelope(version=1, generation_id=generation_id, tenant=TENANT)
    return replace(submission(generation_id), envelope=envelope.SerializeToString())


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
