"""A node that fetches the workers' weights first."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import facet
from tests.integration.node.processes import until
from tests.support.fake_hub import FakeHub
from tests.support.nano_hub import fetching, nano_hub
from tests.support.running_node import RunningNode

pytestmark = pytest.mark.integration

PAUSE_AFTER = 1 << 17


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with nano_hub() as serving:
        yield serving


def largest_partial(cache: Path) -> int:
    return max((path.stat().st_size for path in cache.rglob("*.partial")), default=0)


async def test_it_serves_when_the_weights_have_arrived(
    hub: FakeHub, start_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    node = start_node(**fetching(hub, tmp_path / "cache"))

    async with facet.AsyncClient(node.address()) as client:
        generation = await client.generate("hello", max_output_tokens=4)

    assert generation.usage.output_tokens == 4
    for model in ("google/nano-target", "google/nano-drafter"):
        assert f"{model}: " in node.errors
    # The worker found what the node had fetched.
    assert "weights.downloading" not in (node.state_dir / "logs" / "worker-0.log").read_text()


async def test_nothing_is_started_and_nothing_lost_when_it_is_killed_while_it_downloads(
    hub: FakeHub, start_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    hub.pause_after = PAUSE_AFTER
    env = fetching(hub, tmp_path / "cache")
    node = start_node(**env)
    await until(lambda: largest_partial(tmp_path) >= PAUSE_AFTER)
    assert not (node.state_dir / "state.json").exists()

    node.process.kill()
    node.wait()
    before = hub.sent_bytes
    hub.pause_after = None
    hub.go_on.set()
    again = start_node(**env)

    again.address()
    whole = sum(len(content) for files in hub.models.values() for content in files.values())
    assert hub.sent_bytes - before <= whole - PAUSE_AFTER


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_it_ends_at_once_when_it_is_stopped_while_it_downloads(
    number: signal.Signals,
    hub: FakeHub,
    start_node: Callable[..., RunningNode],
    tmp_path: Path,
) -> None:
    hub.pause_after = PAUSE_AFTER
    node = start_node(**fetching(hub, tmp_path / "cache"))
    await until(lambda: largest_partial(tmp_path) >= PAUSE_AFTER)

    node.process.send_signal(number)

    assert node.wait() == (0, "")
    assert node.errors.splitlines()[-1].endswith("the next start goes on from there")
    assert largest_partial(tmp_path) >= PAUSE_AFTER


async def test_one_line_says_why_when_the_hub_refuses(
    hub: FakeHub, start_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    hub.token = "hf_right"
    node = start_node(**fetching(hub, tmp_path / "cache"))

    status, shown = node.wait()

    assert (status, shown) == (1, "")
    (line,) = node.errors.splitlines()
    assert line.startswith("facet node: google/nano-target: ")
    assert "HF_TOKEN" in line


async def test_nothing_is_fetched_when_the_engine_of_a_large_model_is_simulated(
    start_node: Callable[..., RunningNode], tmp_path: Path
) -> None:
    node = start_node(
        FACET_NODE_PROFILE="bf16",
        FACET_WORKER_OFFLINE="1",
        FACET_WORKER_WEIGHTS_CACHE=str(tmp_path / "cache"),
    )

    async with facet.AsyncClient(node.address()) as client:
        generation = await client.generate("hello", max_output_tokens=4)

    assert generation.usage.output_tokens == 4
