"""Exact delivery from real vLLM workers that are cancelled, killed, and cut off from Redis."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from tokenizers import Tokenizer

import facet
from facet import nano
from facet.api.queue.v1 import log_pb2
from facet.api.v1 import event_pb2, inference_service_pb2
from facet.client import GenerateOptions, Resumed, TextDelta
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import Append, Claim, Lease, LogEntry, State, Verdict
from tests.support.conditions import until
from tests.support.running_node import RunningNode

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

# The emoji takes several ids, so many cuts lie inside of a character.
LONG = "Repeat 🙂 10 times."

TENANT = "anonymous"


class Logged(NamedTuple):
    """The beginning of a log, and all ids of the whole of it."""

    events: list[event_pb2.Event]
    ids: tuple[int, ...]


def _greedy(tokens: int) -> GenerateOptions:
    return {"temperature": 0.0, "min_output_tokens": tokens, "max_output_tokens": tokens}


async def _reports(queue: RedisQueue) -> list[log_pb2.WorkerReport]:
    return [log_pb2.WorkerReport.FromString(report) for report in await queue.reports()]


async def _whole_log(queue: RedisQueue, generation_id: str) -> list[LogEntry]:
    found = await queue.read({generation_id: 0}, limit=10_000)
    return found[generation_id]


def _events(entries: list[LogEntry]) -> list[event_pb2.Event]:
    return [
        event
        for entry in entries
        for event in inference_service_pb2.StreamGenerateContentResponse.FromString(
            entry.response
        ).events
    ]


def _text(events: list[event_pb2.Event]) -> str:
    return "".join(event.text_delta.text for event in events)


def _assert_contiguous(events: list[event_pb2.Event]) -> None:
    assert [event.offset for event in events] == list(range(len(events)))
    ranges = [(e.token_start, e.token_end) for e in events]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges)), ranges
    assert [event.HasField("finished") for event in events].count(True) == 1
    assert events[-1].HasField("finished")


async def test_worker_lets_go_when_cancelled(client: facet.AsyncClient, queue: RedisQueue) -> None:
    async def is_held() -> bool:
        return not await _is_idle(queue)

    async with client.stream(LONG, **_greedy(2000)) as stream:
        await stream.accepted()
        await until(is_held)
        assert await client.cancel(stream.generation_id)
        with pytest.raises(facet.FacetApiError) as caught:
            await stream.result()

    assert caught.value.code is grpc.StatusCode.CANCELLED
    assert stream.next_offset < 2000 / 5, "it had nearly ended by itself"
    await until(lambda: _is_idle(queue))


async def _is_idle(queue: RedisQueue) -> bool:
    return all(report.running == 0 for report in await _reports(queue))


async def test_stream_ends_in_time_when_the_deadline_passes(
    client: facet.AsyncClient, queue: RedisQueue
) -> None:
    async with client.stream(
        LONG, temperature=0.0, min_output_tokens=2000, timeout_seconds=1.0
    ) as stream:
        with pytest.raises(facet.FacetApiError) as caught:
            await stream.result()

    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED

    async def has_ended() -> bool:
        return (await queue.status(stream.generation_id, TENANT)).state is State.ENDED

    await until(has_ended, seconds=3)
    _assert_contiguous(_events(await _whole_log(queue, stream.generation_id)))


@pytest.mark.parametrize("victim", ["worker", "engine"])
async def test_another_worker_continues_when_one_is_killed(
    victim: str, node: RunningNode, client: facet.AsyncClient, queue: RedisQueue
) -> None:
    options = _greedy(600)
    undisturbed = await client.generate(LONG, **options)
    text, resumed, killed = "", [], False
    async with client.stream(LONG, **options) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                text += event.text
            if isinstance(event, Resumed):
                resumed.append(event)
            if len(text) > 20 and not killed:
                killed = True
                holder = (await queue.status(stream.generation_id, TENANT)).worker
                pid = int(node.state(holder)["pid"])
                os.kill(pid if victim == "worker" else _engine_core(pid), signal.SIGKILL)

    assert text == undisturbed.text
    assert [event.attempt for event in resumed] == [2]
    _assert_contiguous(_events(await _whole_log(queue, stream.generation_id)))

    async def has_both() -> bool:
        return len(await queue.reports()) == 2

    await until(has_both, seconds=180)


def _engine_core(worker_pid: int) -> int:
    """The process in which a vLLM worker's engine runs."""
    children = [
        int(pid)
        for task in Path(f"/proc/{worker_pid}/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
    (found,) = (pid for pid in children if "EngineCore" in Path(f"/proc/{pid}/cmdline").read_text())
    return found


async def test_text_is_the_same_when_cut_anywhere(
    node: RunningNode, client: facet.AsyncClient, queue: RedisQueue
) -> None:
    """The beginning of an undisturbed log, cut at any event, is continued to the same end."""
    undisturbed = await client.generate(LONG, **_greedy(160))
    events = _events(await _whole_log(queue, undisturbed.id))
    ids = await _token_ids(queue, undisturbed.id)
    inside = _cuts_inside_characters(events, ids)
    assert inside, "no event ends inside of a character: the test would not cut there"

    for cut in sorted({*inside[:4], 2, len(events) // 2, len(events) - 2}):
        continued = await _continue(node, client, queue, Logged(events[:cut], ids))
        assert _text(continued) == undisturbed.text, f"cut after {cut} events"
        _assert_contiguous(continued)


def _cuts_inside_characters(events: list[event_pb2.Event], ids: tuple[int, ...]) -> list[int]:
    """How many events to keep so that the next id is a byte within a UTF-8 sequence."""
    tokenizer = Tokenizer.from_file(str(nano.TARGET_DIR / "tokenizer.json"))
    continuing = {tokenizer.token_to_id(f"<0x{byte:02X}>") for byte in range(0x80, 0xC0)}
    return [
        kept
        for kept, event in enumerate(events[:-1], start=1)
        if event.token_end < len(ids) and ids[event.token_end] in continuing
    ]


async def _token_ids(queue: RedisQueue, generation_id: str) -> tuple[int, ...]:
    """The ids behind a log, from the store's own record of them: no port tells them."""
    packed = await queue._redis.command("GET", queue._keys.of("ids", generation_id))
    return tuple(int.from_bytes(packed[i : i + 4], "little") for i in range(0, len(packed), 4))


async def _continue(
    node: RunningNode,
    client: facet.AsyncClient,
    queue: RedisQueue,
    logged: Logged,
) -> list[event_pb2.Event]:
    """Log the events as a worker would that is then lost; a real one continues. The whole log."""
    with _workers_held(node):
        stream = client.stream(LONG, **_greedy(160))
        await stream.accepted()
        lease = await _claim(queue)
        results = [
            await queue.write([_append(lease, event, logged.ids)]) for event in logged.events
        ]
        assert {result.verdict for (result,) in results} == {Verdict.OK}
        await queue.hand_back([lease])
    await stream.result()
    return _events(await _whole_log(queue, stream.generation_id))


async def _claim(queue: RedisQueue) -> Lease:
    fingerprint = (await _reports(queue))[0].fingerprint
    nonce = secrets.token_hex(8)
    claim = Claim(worker="test", nonce=nonce, limit=1, held=0, fingerprint=fingerprint)
    (claimed,) = (await queue.claim(claim)).claimed
    return claimed.lease


def _append(lease: Lease, event: event_pb2.Event, ids: tuple[int, ...]) -> Append:
    response = inference_service_pb2.StreamGenerateContentResponse(events=[event])
    return Append(
        lease=lease,
        expected_offset=event.offset,
        event_count=1,
        token_ids=ids[event.token_start : event.token_end],
        response=response.SerializeToString(),
    )


@contextmanager
def _workers_held(node: RunningNode) -> Iterator[None]:
    """Stops the workers for a while, so that the test alone can claim."""
    pids = node.workers()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_live_stream_ends_whole_when_redis_restarts(
    node: RunningNode, client: facet.AsyncClient
) -> None:
    options = _greedy(400)
    undisturbed = await client.generate(LONG, **options)
    text, killed = "", False
    async for event in _stream(client, options):
        text += event
        if len(text) > 10 and not killed:
            killed = True
            os.kill(int(node.state("redis")["pid"]), signal.SIGKILL)

    assert text == undisturbed.text
    assert (await client.generate("Count to 5.", temperature=0.0)).text == "1 2 3 4 5"


async def _stream(client: facet.AsyncClient, options: GenerateOptions) -> AsyncIterator[str]:
    async with client.stream(LONG, **options) as stream:
        async for event in stream:
            if isinstance(event, TextDelta):
                yield event.text
            await asyncio.sleep(0)
