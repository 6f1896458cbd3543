"""Runs of one claim, cut, continued, cancelled and failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from facet.api.v1 import error_pb2, generation_pb2
from facet.core.errors import EngineFailedError
from facet.queue.values import State
from facet.worker.engine.port import CallPiece, EngineDeadError
from facet.worker.engine.simulated import SimulatedEngine
from facet.worker.engine.simulated_vocabulary import MarkerParser
from facet.worker.run import Stop
from tests.unit.worker.cutting import RICH, begun_run, finished_run, paced
from tests.unit.worker.scripted import (
    TENANT,
    Bench,
    assert_no_gap,
    claim,
    envelope,
    events_of,
    kinds_of,
    request,
    submit,
)

pytestmark = pytest.mark.unit


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.close()


async def test_the_log_runs_from_started_to_finished_without_a_gap(bench: Bench) -> None:
    events = await finished_run(bench, "g", RICH)
    assert_no_gap(events)
    assert kinds_of(events) == ["started", "function_call", "finished"]
    finished = events[-1].finished
    assert finished.finish_reason == generation_pb2.FINISH_REASON_TOOL_CALLS
    usage = finished.usage
    assert usage.thoughts_token_count > 0
    assert usage.candidates_token_count + usage.thoughts_token_count == events[-1].token_end
    assert usage.total_token_count == usage.prompt_token_count + events[-1].token_end
    assert finished.timings.attempts == 1


async def test_thoughts_are_not_logged_when_they_were_not_asked_for(bench: Bench) -> None:
    made = request(generationConfig={"thinking": {"enabled": True}})
    events = await finished_run(bench, "g", made)
    assert_no_gap(events)
    assert not any(event.HasField("thought_delta") for event in events)
    assert events[-1].finished.usage.thoughts_token_count > 0


async def test_the_engine_is_aborted_when_the_request_is_cancelled(bench: Bench) -> None:
    begun = await begun_run(bench, "g", request(), 1)
    await bench.queue.cancel("g", TENANT)
    paced(bench).allow(1)
    await asyncio.wait_for(begun.task, 10)
    assert paced(bench).aborted == 1
    assert kinds_of(await events_of(bench.queue, "g")) == ["started", "finished"]


async def test_the_request_ends_as_stalled_when_the_watchdog_stops_it(bench: Bench) -> None:
    begun = await begun_run(bench, "g", request(), 0)
    assert begun.run.is_in_engine
    begun.run.stop(Stop.STALLED)
    await asyncio.wait_for(begun.task, 10)
    failure = (await events_of(bench.queue, "g"))[-1].finished.failure
    assert failure.reason == error_pb2.ERROR_REASON_ENGINE_STALLED
    assert paced(bench).aborted == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (EngineFailedError("this one"), error_pb2.ERROR_REASON_ENGINE_FAILED),
        (ZeroDivisionError("secret"), error_pb2.ERROR_REASON_INTERNAL),
    ],
)
async def test_only_this_request_fails_when_the_engine_fails_on_it(
    bench: Bench, error: Exception, reason: int
) -> None:
    await submit(bench.queue, "g", envelope("g", request()).SerializeToString())
    run = bench.run(await claim(bench.queue, "n"))
    paced(bench).error = error
    paced(bench).allow(1)
    await asyncio.wait_for(run.execute(), 10)
    events = await events_of(bench.queue, "g")
    assert events[-1].finished.failure.reason == reason
    assert events[-1].finished.finish_reason == generation_pb2.FINISH_REASON_ERROR
    status = await bench.queue.status("g", TENANT)
    assert status.failure == events[-1].finished.failure.SerializeToString()


async def test_the_log_has_the_fault_without_its_message_under_the_incident_of_the_failure(
    bench: Bench,
) -> None:
    await submit(bench.queue, "g", envelope("g", request()).SerializeToString())
    run = bench.run(await claim(bench.queue, "n"))
    paced(bench).error = ZeroDivisionError("what the model said")
    paced(bench).allow(1)
    with capture_logs() as logs:
        await asyncio.wait_for(run.execute(), 10)
    (entry,) = [log for log in logs if log["event"] == "run.fault"]
    failure = (await events_of(bench.queue, "g"))[-1].finished.failure
    assert failure.metadata["incident_id"] == entry["incident_id"]
    assert entry["incident_id"] in failure.message
    assert entry["error"] == "ZeroDivisionError"
    assert any(frame.endswith(" generate") for frame in entry["frames"])
    assert "what the model said" not in str(logs) + failure.message


async def test_the_engine_failed_when_the_arguments_of_a_call_are_no_json(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        MarkerParser, "_end_call", lambda _: (CallPiece("call-0", "look_up", "{not json"),)
    )
    events = await finished_run(bench, "g", RICH)
    failure = events[-1].finished.failure
    assert failure.reason == error_pb2.ERROR_REASON_ENGINE_FAILED
    assert "arguments" in failure.message
    assert "not json" not in failure.message
    assert_no_gap(events)


async def test_nothing_is_logged_when_the_whole_engine_dies(bench: Bench) -> None:
    await submit(bench.queue, "g", envelope("g", request()).SerializeToString())
    run = bench.run(await claim(bench.queue, "n"))
    paced(bench).error = EngineDeadError()
    paced(bench).allow(1)
    with pytest.raises(EngineDeadError):
        await asyncio.wait_for(run.execute(), 10)
    assert (await bench.queue.status("g", TENANT)).state is State.LEASED


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b""])
async def test_a_request_is_dead_lettered_when_its_envelope_cannot_be_read(
    bench: Bench, data: bytes
) -> None:
    await submit(bench.queue, "g", data)
    await asyncio.wait_for(bench.run(await claim(bench.queue, "n")).execute(), 10)
    (event,) = await events_of(bench.queue, "g")
    assert event.finished.failure.reason == error_pb2.ERROR_REASON_DEAD_LETTERED


async def test_the_request_fails_when_its_media_are_gone(bench: Bench) -> None:
    made = envelope("g", request())
    made.media.add(key="gone", mime_type="image/png")
    await submit(bench.queue, "g", made.SerializeToString())
    await asyncio.wait_for(bench.run(await claim(bench.queue, "n")).execute(), 10)
    (event,) = await events_of(bench.queue, "g")
    assert event.finished.failure.reason == error_pb2.ERROR_REASON_MEDIA_NOT_FOUND


async def test_the_field_is_named_when_the_prompt_is_too_long(bench: Bench) -> None:
    assert isinstance(bench.engine, SimulatedEngine)
    made = request("x" * bench.engine.context_tokens)
    events = await finished_run(bench, "g", made)
    failure = events[-1].finished.failure
    assert failure.reason == error_pb2.ERROR_REASON_CONTEXT_EXCEEDED
    assert failure.violations[0].field == "request.contents"
