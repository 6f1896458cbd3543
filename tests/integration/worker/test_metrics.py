"""What worker processes tell of attempts, resumes, speculation and drains."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest

from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from tests.integration.worker.worker_process import (
    WorkerProcess,
    eventually,
    finished_log,
    ready,
    submit,
)
from tests.support.promtool import Scraped, check_metrics, scrape
from tests.unit.worker.scripted import TENANT, request

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]
TELLS = {"metrics_listen": "127.0.0.1:0", "pool": "spot"}
OWN = {"model": "nano", "pool": "spot"}
SLOW = {"simulated_step_ms": 40}


def address_of(worker: WorkerProcess) -> str:
    """Where it serves its metrics, by its log; empty while it does not."""
    for line in worker.log_file.read_text().splitlines():
        if '"metrics.listening"' in line:
            return str(json.loads(line)["address"])
    return ""


def told_by(worker: WorkerProcess) -> Scraped:
    """A scrape, which promtool approves of."""
    text = scrape(address_of(worker))
    check_metrics(text)
    return Scraped(text)


async def told_of_one_end(worker: WorkerProcess) -> Scraped:
    """What it tells when it has counted one, which it does after readers may have its log."""

    async def is_counted() -> bool:
        return told_by(worker).total("facet_worker_attempts_total", reason="OK") == 1

    await eventually(is_counted, 15)
    return told_by(worker)


def health_of(worker: WorkerProcess) -> int:
    try:
        with urllib.request.urlopen(f"http://{address_of(worker)}/health", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_an_attempt_is_told_from_claim_to_tokens(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(**TELLS)
    await ready(worker)
    events = await finished_log(queue, await submit(queue, request("a tale")), 30)
    usage = events[-1].finished.usage
    told = await told_of_one_end(worker)

    attempts = {**OWN, "class": "standard", "reason": "OK"}
    assert told.value("facet_worker_attempts_total", **attempts) == 1
    assert told.value("facet_worker_queue_wait_seconds_count", **OWN, class_="standard") == 1
    for name in ("render", "time_to_first_token", "time_per_output_token", "attempt"):
        assert told.value(f"facet_worker_{name}_seconds_count", **OWN) == 1
    tokens = {**OWN, "tenant": TENANT, "adapter": ""}
    asked = told.value("facet_worker_tokens_total", **tokens, modality="text", direction="input")
    made = told.total("facet_worker_tokens_total", **tokens, direction="output")
    assert asked == usage.prompt_token_count
    assert made == usage.candidates_token_count + usage.thoughts_token_count
    assert told.value("facet_worker_drafted_tokens_total", **OWN) == usage.drafted_token_count
    accepted = told.value("facet_worker_accepted_tokens_total", **OWN)
    assert accepted == usage.accepted_draft_token_count > 0
    assert told.total("facet_worker_position_accepted_tokens_total", **OWN) == accepted
    drafts = told.value("facet_worker_drafts_total", **OWN)
    length = told.value("facet_worker_mean_accepted_length_tokens", **OWN)
    assert length == pytest.approx(1 + accepted / drafts)
    assert told.value("facet_worker_kv_cache_use_ratio", **OWN) == 0
    assert told.value("facet_worker_capacity_sequences", **OWN) >= 1
    assert told.value("facet_worker_kv_cache_tokens", **OWN) == 1 << 20
    assert told.value("facet_worker_held_requests", **OWN) == 0
    assert told.value("facet_store_call_seconds_count", call="claim") >= 1


async def test_health_and_phases_are_told_while_the_worker_starts(start_worker: Start) -> None:
    worker = start_worker(**TELLS, simulated_startup_seconds=3)

    async def is_told() -> bool:
        return bool(address_of(worker))

    await eventually(is_told, 20)
    starting, told = health_of(worker), told_by(worker)
    await ready(worker)
    after = told_by(worker)

    assert (starting, health_of(worker)) == (503, 200)
    assert told.value("facet_worker_ready", **OWN) == 0
    assert told.value("facet_worker_start_seconds", **OWN, phase="load") == 0
    assert after.value("facet_worker_ready", **OWN) == 1
    assert 3 <= after.value("facet_worker_start_seconds", **OWN, phase="load") < 10
    assert after.value("facet_worker_start_seconds", **OWN, phase="warm_up") == 0
    assert 0 < after.value("facet_worker_start_seconds", **OWN, phase="engine") < 3


async def test_a_resume_and_what_it_found_are_told_when_a_worker_is_killed(
    queue: RedisQueue, start_worker: Start
) -> None:
    first = start_worker(**SLOW)
    await ready(first)
    generation_id = await submit(queue, request("a tale"))

    async def has_begun() -> bool:
        return (await queue.status(generation_id, TENANT)).next_offset >= 4

    await eventually(has_begun, 15)
    first.send(signal.SIGKILL)
    second = start_worker(**SLOW, **TELLS)
    await ready(second)
    await finished_log(queue, generation_id, 30)
    told = await told_of_one_end(second)

    assert told.value("facet_worker_resumes_total", **OWN, way="exact") == 1
    assert told.value("facet_worker_attempts_total", **OWN, class_="standard", reason="OK") == 1
    # It waited for its first attempt only.
    assert told.total("facet_worker_queue_wait_seconds_count") == 0


async def test_failures_and_lost_leases_are_told_by_reason(
    queue: RedisQueue, start_worker: Start
) -> None:
    worker = start_worker(**TELLS, **SLOW)
    await ready(worker)
    await finished_log(queue, await submit(queue, request("[[fail@3]]")), 30)
    cancelled = await submit(queue, request("a tale"))

    async def is_running() -> bool:
        return (await queue.status(cancelled, TENANT)).state is State.LEASED

    await eventually(is_running, 15)
    await queue.cancel(cancelled, TENANT)

    async def is_told() -> bool:
        return told_by(worker).total("facet_worker_attempts_total", reason="LEASE_LOST") == 1

    await eventually(is_told, 15)
    failed = told_by(worker).total("facet_worker_attempts_total", reason="ENGINE_FAILED")
    assert failed == 1


async def test_start_is_refused_when_the_address_is_taken(start_worker: Start) -> None:
    worker = start_worker(**TELLS)
    await ready(worker)
    other = start_worker(metrics_listen=address_of(worker))

    async def has_ended() -> bool:
        return other.exit_code is not None

    await eventually(has_ended, 20)
    assert other.exit_code == 1
    assert "metrics_listen: cannot listen on" in other.log_file.read_text()
