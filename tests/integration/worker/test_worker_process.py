"""Worker processes that are killed, poisoned, stalled, cancelled and drained."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.queue.v1 import log_pb2
from facet.api.v1 import error_pb2, generation_pb2
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from facet.worker.health import LIVENESS
from tests.integration.worker.worker_process import (
    WorkerProcess,
    eventually,
    finished_log,
    log_of,
    ready,
    submit,
    workers,
)
from tests.support.redis_server import RedisServer, free_port
from tests.unit.worker.scripted import TENANT, assert_no_gap, kinds_of, request, text_of

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]
SLOW = {"simulated_step_ms": 40}


async def health_at(address: str) -> tuple[str, str]:
    """What the health services for readiness and for liveness say."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        asked = [health_pb2.HealthCheckRequest(service=name) for name in ("", LIVENESS)]
        readiness, liveness = [await stub.Check(each, timeout=5) for each in asked]
    name_of = health_pb2.HealthCheckResponse.ServingStatus.Name
    return name_of(readiness.status), name_of(liveness.status)


async def has_tokens(queue: RedisQueue, generation_id: str, count: int) -> bool:
    events = await log_of(queue, generation_id)
    return bool(events) and events[-1].token_end >= count


async def test_the_stream_is_that_of_an_undisturbed_run_when_its_worker_is_killed(
    queue: RedisQueue, start_worker: Start
) -> None:
    first = start_worker(**SLOW)
    await ready(first)
    undisturbed = await finished_log(queue, await submit(queue, request("a tale")), 30)

    generation_id = await submit(queue, request("a tale"))
    await eventually(lambda: has_tokens(queue, generation_id, 7), 15)
    first.send(signal.SIGKILL)
    before = await log_of(queue, generation_id)
    second = start_worker(**SLOW)
    await ready(second)
    events = await finished_log(queue, generation_id, 30)

    assert not before[-1].HasField("finished")
    assert events[: len(before)] == before
    assert_no_gap(events)
    assert kinds_of(events) == ["started", "resumed", "finished"]
    assert text_of(events) == text_of(undisturbed)
    assert events[-1].token_end == undisturbed[-1].token_end
    assert events[-1].finished.timings.attempts == 2


async def test_the_stream_is_that_of_an_undisturbed_run_when_a_paused_worker_wakes_after_its_lease(
    queue: RedisQueue, start_worker: Start
) -> None:
    paused = start_worker(**SLOW)
    await ready(paused)
    undisturbed = await finished_log(queue, await submit(queue, request("a tale")), 30)
    generation_id = await submit(queue, request("a tale"))
    await eventually(lambda: has_tokens(queue, generation_id, 7), 15)
    paused.send(signal.SIGSTOP)
    other = start_worker(**SLOW)
    await ready(other)

    async def is_resumed() -> bool:
        return (await queue.status(generation_id, TENANT)).attempts == 2

    await eventually(is_resumed, 15)
    paused.send(signal.SIGCONT)
    events = await finished_log(queue, generation_id, 30)
    assert_no_gap(events)
    assert kinds_of(events) == ["started", "resumed", "finished"]
    assert text_of(events) == text_of(undisturbed)

    async def has_noticed() -> bool:
        return "run.lease_lost" in paused.log_file.read_text()

    await eventually(has_noticed, 10)
    # It goes on with other work, and so does the one that took over.
    assert await finished_log(queue, await submit(queue, request("next")), 30)
    assert (paused.exit_code, other.exit_code) == (None, None)


async def test_innocents_finish_and_the_poison_is_dead_lettered_when_it_kills_its_workers(
    queue: RedisQueue, start_worker: Start
) -> None:
    poison = await submit(queue, request("[[die@0]]"))
    innocents = [await submit(queue, request(f"innocent {index}")) for index in range(15)]
    settings = {"max_sequences": 16, "simulated_step_ms": 20}
    current = start_worker(**settings)

    async def all_ended() -> bool:
        nonlocal current
        if current.exit_code is not None:
            current = start_worker(**settings)
        states = [(await queue.status(each, TENANT)).state for each in (poison, *innocents)]
        return all(state is State.ENDED for state in states)

    await eventually(all_ended, 90)
    for generation_id in innocents:
        events = await log_of(queue, generation_id)
        assert_no_gap(events)
        assert events[-1].finished.finish_reason == generation_pb2.FINISH_REASON_STOP
    (*_, last) = await log_of(queue, poison)
    assert last.finished.failure.reason == error_pb2.ERROR_REASON_DEAD_LETTERED


async def test_what_runs_is_handed_back_and_continued_when_the_worker_is_told_to_end(
    queue: RedisQueue, start_worker: Start
) -> None:
    first = start_worker(drain_seconds=0.1, **SLOW)
    await ready(first)
    undisturbed = await finished_log(queue, await submit(queue, request("a tale")), 30)
    generation_id = await submit(queue, request("a tale"))
    await eventually(lambda: has_tokens(queue, generation_id, 3), 15)
    first.send(signal.SIGTERM)

    async def has_ended() -> bool:
        return first.exit_code is not None

    await eventually(has_ended, 10)
    assert first.exit_code == 0
    assert not first.is_ready
    status = await queue.status(generation_id, TENANT)
    assert (status.state, status.deaths) == (State.WAITING, 0)
    await ready(start_worker())
    events = await finished_log(queue, generation_id, 15)
    assert_no_gap(events)
    assert text_of(events) == text_of(undisturbed)


async def test_everything_is_handed_back_within_10_s_when_a_full_worker_is_told_to_end(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(max_sequences=4, claim_ahead=2)
    await ready(worker)
    # They never end by themselves, so the whole of the default bound is waited for.
    held = [await submit(queue, request(f"tale {number} [[stall@5]]")) for number in range(6)]

    async def all_are_held() -> bool:
        return (await queue.depth()).leased == len(held)

    async def four_stall() -> bool:
        return [await has_tokens(queue, each, 5) for each in held].count(True) == 4

    await eventually(all_are_held, 10)
    await eventually(four_stall, 10)
    late = await submit(queue, request("late"))
    worker.send(signal.SIGTERM)
    told_at = time.monotonic()

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 10)
    assert time.monotonic() - told_at <= 10
    assert worker.exit_code == 0
    for generation_id in (*held, late):
        status = await queue.status(generation_id, TENANT)
        assert (status.state, status.deaths) == (State.WAITING, 0)
    logged = [events[-1].token_end for each in held if (events := await log_of(queue, each))]
    assert logged == [5] * 4
    assert await queue.reports() == []


async def test_what_runs_is_finished_when_the_drain_bound_allows(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(drain_seconds=30, **SLOW)
    await ready(worker)
    generation_id = await submit(queue, request("a tale"))
    await eventually(lambda: has_tokens(queue, generation_id, 1), 15)
    worker.send(signal.SIGTERM)
    events = await finished_log(queue, generation_id, 20)
    assert kinds_of(events) == ["started", "finished"]
    assert events[-1].finished.finish_reason == generation_pb2.FINISH_REASON_STOP

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 10)
    assert worker.exit_code == 0


async def test_only_the_stalled_request_ends_when_the_engine_makes_no_progress_on_it(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(stall_seconds=1)
    await ready(worker)
    stalled = await submit(queue, request("[[stall@4]]"))
    other = await submit(queue, request("fine"))
    events = await finished_log(queue, stalled, 15)
    assert events[-1].finished.failure.reason == error_pb2.ERROR_REASON_ENGINE_STALLED
    assert events[-1].token_end == 4
    fine = await finished_log(queue, other, 15)
    assert not fine[-1].finished.HasField("failure")
    assert worker.exit_code is None


async def test_work_goes_on_elsewhere_when_the_engine_hangs(
    queue: RedisQueue, start_worker: Start
) -> None:
    hung = start_worker(stall_seconds=1, simulated_faults="[[hang@5]]")
    await ready(hung)
    held = [await submit(queue, request(f"a tale {index}")) for index in range(2)]

    async def has_ended() -> bool:
        return hung.exit_code is not None

    await eventually(has_ended, 15)
    assert hung.exit_code == 1
    assert "the engine hangs" in hung.log_file.read_text()
    await ready(start_worker())
    for generation_id in held:
        events = await finished_log(queue, generation_id, 20)
        assert_no_gap(events)
        assert events[-1].finished.finish_reason == generation_pb2.FINISH_REASON_STOP
        assert events[-1].finished.timings.attempts == 2


async def test_the_worker_survives_when_a_request_fails(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker()
    await ready(worker)
    failed = await finished_log(queue, await submit(queue, request("[[fail@3]]")), 15)
    assert failed[-1].finished.failure.reason == error_pb2.ERROR_REASON_ENGINE_FAILED
    fine = await finished_log(queue, await submit(queue, request("fine")), 15)
    assert not fine[-1].finished.HasField("failure")
    assert worker.exit_code is None


@pytest.mark.parametrize("cause", ["cancel", "deadline"])
async def test_the_engine_is_free_again_within_a_second_when_a_request_ends_from_outside(
    queue: RedisQueue, start_worker: Start, cause: str
) -> None:
    worker = start_worker(max_sequences=1, claim_ahead=1)
    await ready(worker)
    deadline_ms = 1_500 if cause == "deadline" else 60_000
    silent = await submit(queue, request("[[stall@2]]"), deadline_ms=deadline_ms)
    await eventually(lambda: has_tokens(queue, silent, 2), 10)
    following = await submit(queue, request("next"))
    if cause == "cancel":
        await queue.cancel(silent, TENANT)
    ended = await finished_log(queue, silent, 10)
    began = time.monotonic()
    # The only slot is taken until the engine was aborted.
    await eventually(lambda: has_tokens(queue, following, 1), 10)
    assert time.monotonic() - began < 1.0
    expected = {
        "cancel": error_pb2.ERROR_REASON_CANCELLED,
        "deadline": error_pb2.ERROR_REASON_DEADLINE_EXCEEDED,
    }
    assert ended[-1].finished.failure.reason == expected[cause]


async def test_a_stream_goes_on_without_a_gap_when_redis_was_away_for_a_while(
    own_redis_server: RedisServer, tmp_path: Path, release: str
) -> None:
    queue = RedisQueue.connect(own_redis_server.url, release=release, model="nano")
    with workers(tmp_path, own_redis_server.url, release) as start:
        worker = start(simulated_step_ms=60)
        await ready(worker)
        generation_id = await submit(queue, request("a tale"))
        await eventually(lambda: has_tokens(queue, generation_id, 3), 15)
        own_redis_server.pause()

        async def has_noticed() -> bool:
            return "log.store_away" in worker.log_file.read_text()

        await eventually(has_noticed, 15)
        own_redis_server.resume()
        events = await finished_log(queue, generation_id, 40)
    await queue.close()
    assert_no_gap(events)
    assert events[-1].finished.finish_reason == generation_pb2.FINISH_REASON_STOP


async def test_the_worker_is_reported_and_healthy_while_it_claims(
    queue: RedisQueue, start_worker: Start
) -> None:
    address = f"127.0.0.1:{free_port()}"
    worker = start_worker(name="w-1", health_listen=address)
    await ready(worker)

    async def is_reported() -> bool:
        return bool(await queue.reports())

    await eventually(is_reported, 5)
    report = log_pb2.WorkerReport.FromString((await queue.reports())[0])
    assert (report.name, report.model, report.capacity) == ("w-1", "nano", 8)
    assert await health_at(address) == ("SERVING", "SERVING")


async def test_the_worker_stays_alive_and_is_not_ready_when_an_operator_drains_it(
    queue: RedisQueue, start_worker: Start
) -> None:
    address = f"127.0.0.1:{free_port()}"
    worker = start_worker(
        name="w-1", health_listen=address, drain_seconds=30, simulated_step_ms=150
    )
    await ready(worker)
    generation_id = await submit(queue, request("a tale"))
    await eventually(lambda: has_tokens(queue, generation_id, 3), 15)
    assert await queue.drain_worker("w-1")

    async def is_not_ready() -> bool:
        return (await health_at(address))[0] == "NOT_SERVING"

    await eventually(is_not_ready, 5)
    # It still works on the request.
    assert await health_at(address) == ("NOT_SERVING", "SERVING")
    assert not (await log_of(queue, generation_id))[-1].HasField("finished")
    assert (await finished_log(queue, generation_id, 30))[-1].finished.timings.attempts == 1


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_sequences": 0}, "max_sequences"),
        ({"model": "none"}, "'none'"),
        ({"health_listen": "203.0.113.7:1"}, "health_listen: cannot listen on 203.0.113.7:1"),
    ],
)
async def test_the_worker_refuses_to_start_when_a_setting_is_wrong(
    start_worker: Start, settings: dict[str, object], named: str
) -> None:
    worker = start_worker(**settings)

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 15)
    assert worker.exit_code == 1
    said = worker.log_file.read_text()
    assert named in said
    assert "Traceback" not in said
