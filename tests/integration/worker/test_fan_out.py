"""Several candidates of a request in worker processes that are killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from facet.api.v1 import event_pb2, generation_pb2
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Claim, Offers
from tests.integration.worker.worker_process import (
    WorkerProcess,
    eventually,
    finished_log,
    log_of,
    ready,
    submit,
)
from tests.unit.worker.scripted import kinds_of, request, text_of

pytestmark = pytest.mark.integration

Start = Callable[..., WorkerProcess]
SLOW = {"simulated_step_ms": 40}


def asked(**config: Any) -> generation_pb2.GenerationRequest:
    return request("a tale", generationConfig={"candidateCount": 3, **config})


def of(events: Sequence[event_pb2.Event], index: int) -> list[event_pb2.Event]:
    """A candidate's own events, checked: its tokens adjoin."""
    common = ("started", "resumed", "restarted", "finished")
    own = [
        event
        for event in events
        if event.candidate_index == index and event.WhichOneof("kind") not in common
    ]
    ends = [0, *(event.token_end for event in own)]
    assert [event.token_start for event in own] == ends[:-1]
    return own


def answers(events: Sequence[event_pb2.Event]) -> list[tuple[str, int, int]]:
    """Text, tokens and reason of each candidate."""
    logs = [of(events, index) for index in range(3)]
    reasons = [log[-1].candidate_finished.finish_reason for log in logs]
    return [
        (text_of(log), log[-1].token_end, reason) for log, reason in zip(logs, reasons, strict=True)
    ]


async def test_each_answer_is_that_of_an_undisturbed_run_when_the_worker_is_killed(
    queue: RedisQueue, start_worker: Start
) -> None:
    first = start_worker(**SLOW)
    await ready(first)
    undisturbed = answers(await finished_log(queue, await submit(queue, asked()), 30))
    assert len({text for text, _, _ in undisturbed}) == 3

    generation_id = await submit(queue, asked())

    async def all_have_tokens() -> bool:
        events = await log_of(queue, generation_id)
        ends = [max((e.token_end for e in of(events, i)), default=0) for i in range(3)]
        return min(ends) >= 4

    await eventually(all_have_tokens, 15)
    first.send(signal.SIGKILL)
    before = await log_of(queue, generation_id)
    await ready(start_worker(**SLOW))
    events = await finished_log(queue, generation_id, 30)

    assert not before[-1].HasField("finished")
    assert events[: len(before)] == before
    assert [event.offset for event in events] == list(range(len(events)))
    assert kinds_of(events).count("resumed") == 1
    assert kinds_of(events).count("candidate_finished") == 3
    assert answers(events) == undisturbed
    usage = events[-1].finished.usage
    assert usage.candidates_token_count == sum(tokens for _, tokens, _ in undisturbed)
    assert events[-1].finished.timings.attempts == 2


async def test_what_had_ended_is_not_run_again_when_the_worker_is_killed(
    queue: RedisQueue, start_worker: Start
) -> None:
    first = start_worker(max_sequences=2, claim_ahead=1, **SLOW)
    await ready(first)
    undisturbed = answers(await finished_log(queue, await submit(queue, asked()), 40))

    generation_id = await submit(queue, asked())

    async def one_has_ended() -> bool:
        return "candidate_finished" in kinds_of(await log_of(queue, generation_id))

    await eventually(one_has_ended, 30)
    first.send(signal.SIGKILL)
    before = await log_of(queue, generation_id)
    assert kinds_of(before).count("candidate_finished") < 3
    await ready(start_worker(**SLOW))
    events = await finished_log(queue, generation_id, 30)

    assert events[: len(before)] == before
    ended = [e.candidate_index for e in before if e.HasField("candidate_finished")]
    assert not [e for e in events[len(before) :] for i in ended if e in of(events, i)]
    assert answers(events) == undisturbed


async def test_a_worker_that_reads_one_version_leaves_several_candidates_to_others(
    queue: RedisQueue, start_worker: Start
) -> None:
    generation_id = await submit(queue, asked())
    old = Claim("old", "nonce", 1, 0, "simulated-1", Offers(envelope_versions=(1,)))
    assert (await queue.claim(old)).claimed == ()
    await ready(start_worker())
    events = await finished_log(queue, generation_id, 20)
    assert kinds_of(events).count("candidate_finished") == 3
