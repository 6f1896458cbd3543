"""The whole node: real Redis, real gateway, a worker with the simulated engine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

import facet
from facet.client import GenerateOptions, Queued, Resumed, StreamEvent, TextDelta
from facet.node.state_dir import MAX_LOG_BYTES
from tests.integration.node.processes import is_alive, until
from tests.support.running_node import RunningNode

pytestmark = pytest.mark.integration

GREEDY: GenerateOptions = {"temperature": 0.0, "max_output_tokens": 60, "timeout_seconds": 60.0}

Shared = tuple[RunningNode, str]


async def kill_mid_stream(node: RunningNode, stream: facet.client.AsyncStream) -> list[StreamEvent]:
    """Read a stream to its end; kill the worker after the fifth piece of text."""
    events: list[StreamEvent] = []
    async for event in stream:
        events.append(event)
        if sum(isinstance(seen, TextDelta) for seen in events) == 5 and isinstance(
            event, TextDelta
        ):
            os.kill(node.state("worker-0")["pid"], signal.SIGKILL)
    return events


async def test_an_answer_streams_when_the_node_is_ready(shared_node: Shared) -> None:
    _, address = shared_node
    async with facet.AsyncClient(address) as client:
        (model,) = await client.models()
        pieces = [
            event.text
            async for event in client.stream("hello", max_output_tokens=10)
            if isinstance(event, TextDelta)
        ]

    assert model.name == "nano"
    assert "".join(pieces)


async def test_the_stream_completes_when_the_worker_is_killed(shared_node: Shared) -> None:
    node, address = shared_node
    before = node.state("worker-0")
    async with facet.AsyncClient(address) as client:
        undisturbed = await client.generate("hello", **GREEDY)
        stream = client.stream("hello", **GREEDY)

        events = await kill_mid_stream(node, stream)

        generation = await stream.result()

    assert generation.text == undisturbed.text
    assert generation.usage.output_tokens == undisturbed.usage.output_tokens
    assert [event for event in events if isinstance(event, Resumed)]
    after = node.state("worker-0")
    assert after["restarts"] == before["restarts"] + 1
    assert after["pid"] != before["pid"]


async def test_the_answer_goes_on_when_a_client_attaches_after_leaving(shared_node: Shared) -> None:
    _, address = shared_node
    async with facet.AsyncClient(address) as client:
        undisturbed = await client.generate("hello", **GREEDY)
        async with client.stream("hello", **GREEDY) as left:
            seen = ""
            async for event in left:
                seen += event.text if isinstance(event, TextDelta) else ""
                if seen:
                    break
    async with facet.AsyncClient(address) as other:
        rest = await other.attach(left.generation_id, left.next_offset).result()

        with pytest.raises(facet.FacetApiError) as caught:
            await other.attach(left.generation_id, 1_000_000).result()

    assert rest.id == left.generation_id
    assert seen + rest.text == undisturbed.text
    assert caught.value.reason == "OFFSET_OUT_OF_RANGE"


async def test_the_address_stays_when_the_gateway_is_killed(shared_node: Shared) -> None:
    node, address = shared_node
    pid = node.state("gateway")["pid"]

    os.kill(pid, signal.SIGKILL)

    await until(lambda: node.state("gateway")["pid"] not in {None, pid})
    await until(lambda: node.state("gateway")["state"] == "READY")
    async with facet.AsyncClient(address) as client:
        assert (await client.generate("hello", max_output_tokens=5)).text


async def test_the_stream_goes_on_when_the_gateway_is_killed(shared_node: Shared) -> None:
    node, address = shared_node
    await until(lambda: node.state("gateway")["state"] == "READY")
    offsets = []
    async with facet.AsyncClient(address) as client:
        undisturbed = await client.generate("hello", **GREEDY)
        stream = client.stream("hello", **GREEDY)
        async for event in stream:
            if not isinstance(event, Queued):
                offsets.append(event.offset)
            if len(offsets) == 5 and isinstance(event, TextDelta):
                os.kill(node.state("gateway")["pid"], signal.SIGKILL)

    assert (await stream.result()).text == undisturbed.text
    assert offsets == sorted(set(offsets))


async def test_the_answer_is_kept_when_it_was_submitted(shared_node: Shared) -> None:
    node, address = shared_node
    await until(lambda: node.state("gateway")["state"] == "READY")
    async with facet.AsyncClient(address) as client:
        undisturbed = await client.generate("hello", **GREEDY)
        submitted = await client.submit("hello", **GREEDY)

        stored = await client.get(submitted.id, wait=60)

        assert stored.result is not None
        assert stored.result.text == undisturbed.text
        assert submitted.id in {each.id for each in await client.list()}
        await client.delete(submitted.id)
        with pytest.raises(facet.FacetApiError) as caught:
            await client.get(submitted.id)
    assert caught.value.reason == "GENERATION_NOT_FOUND"


async def test_operators_find_the_node_when_they_stand_in_its_folder(shared_node: Shared) -> None:
    node, _ = shared_node
    await until(lambda: node.state("gateway")["state"] == "READY")
    env = {name: value for name, value in os.environ.items() if name != "FACET_ADMIN_SERVER"}

    finished = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "facet.client", "admin", "workers", "--json"],
        env=env | {"FACET_NODE_STATE_DIR": str(node.state_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert finished.returncode == 0, finished.stderr
    assert [worker["name"] for worker in json.loads(finished.stdout)] == ["worker-0"]


async def test_answers_come_again_when_redis_is_killed(shared_node: Shared) -> None:
    node, address = shared_node
    pid = node.state("redis")["pid"]

    os.kill(pid, signal.SIGKILL)

    await until(lambda: node.state("redis")["pid"] not in {None, pid})
    await until(lambda: node.state("redis")["state"] == "READY")
    async with facet.AsyncClient(address) as client:
        assert (await client.generate("hello", max_output_tokens=5)).text


def test_a_second_node_is_refused_when_the_folder_is_in_use(shared_node: Shared) -> None:
    node, _ = shared_node

    second = subprocess.run(
        [sys.executable, "-m", "facet.node"],
        env=os.environ | {"FACET_NODE_STATE_DIR": str(node.state_dir)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert second.returncode == 1
    assert second.stdout == ""
    assert second.stderr.count("\n") == 1
    assert f"(pid {node.process.pid})" in second.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_nothing_is_left_when_the_node_is_told_to_stop(
    start_node: Callable[..., RunningNode], number: signal.Signals
) -> None:
    node = start_node()
    address = node.address()
    pids = node.pids()
    assert len(pids) == 3

    # To its whole group, as a terminal does: the children must not hear it.
    os.killpg(node.process.pid, number)

    code, more_output = node.wait()
    assert (code, more_output) == (0, "")
    assert "ended by force" not in node.errors
    assert not [pid for pid in pids if is_alive(pid)]
    assert node.pids() == []
    assert node.errors.index("gateway: stopped") < node.errors.index("worker-0: stopping")
    assert node.errors.index("worker-0: stopped") < node.errors.index("redis: stopping")
    with facet.Client(address) as client, pytest.raises(facet.FacetApiError):
        client.models()


async def test_the_node_ends_quietly_when_it_is_stopped_before_it_is_ready(
    start_node: Callable[..., RunningNode],
) -> None:
    node = start_node(FACET_WORKER_SIMULATED_STARTUP_SECONDS="300")
    await until(lambda: "worker-0: starting" in node.errors and "gateway: ready" in node.errors)
    pids = node.pids()

    node.process.send_signal(signal.SIGINT)

    assert node.wait() == (0, "")
    assert "Traceback" not in node.errors
    assert not [pid for pid in pids if is_alive(pid)]


async def test_nothing_is_left_when_the_node_itself_is_killed(
    start_node: Callable[..., RunningNode],
) -> None:
    node = start_node()
    node.address()
    pids = node.pids()

    node.process.kill()

    await until(lambda: not [pid for pid in pids if is_alive(pid)])


async def test_the_node_ends_with_the_reason_when_a_worker_cannot_start(
    start_node: Callable[..., RunningNode],
) -> None:
    node = start_node(FACET_WORKER_MAX_SEQUENCES="0")

    code, output = node.wait()

    assert (code, output) == (1, "")
    last = node.errors.splitlines()[-1]
    assert last.startswith("facet node: worker-0 ended with code")
    assert "worker-0.log" in last
    assert node.pids() == []


async def test_the_log_of_a_live_process_is_cut_when_it_grows_too_long(shared_node: Shared) -> None:
    node, address = shared_node
    log = node.state_dir / "logs" / "gateway.log"
    pid = node.state("gateway")["pid"]

    with log.open("ab") as more:
        more.write(b"x" * (MAX_LOG_BYTES + 1))

    await until(lambda: log.stat().st_size < MAX_LOG_BYTES)
    assert log.with_suffix(".log.1").stat().st_size > MAX_LOG_BYTES
    assert node.state("gateway")["pid"] == pid
    async with facet.AsyncClient(address) as client:
        assert await client.models()


async def test_the_state_file_is_private_when_the_node_runs(shared_node: Shared) -> None:
    node, address = shared_node
    state_file = node.state_dir / "state.json"

    assert state_file.stat().st_mode & 0o777 == 0o600
    state = json.loads(state_file.read_text())
    assert state["grpc"] == address
    assert state["pid"] == node.process.pid
