"""A worker that has to fetch its weights first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facet import nano
from tests.integration.worker.worker_process import WorkerProcess, eventually, ready
from tests.support.fake_hub import FakeHub, fake_hub

pytestmark = pytest.mark.integration

TARGET, DRAFTER = "google/nano-target", "google/nano-drafter"
END_SECONDS = 10.0


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def whole_models(cache: Path) -> set[str]:
    return {path.parents[2].name for path in cache.glob("hub/*/snapshots/*/config.json")}


def largest_partial(cache: Path) -> int:
    return max((path.stat().st_size for path in cache.rglob("*.partial")), default=0)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    models = {TARGET: files_of(nano.TARGET_DIR), DRAFTER: files_of(nano.DRAFTER_DIR)}
    with fake_hub(models) as serving:
        for name, value in serving.environment.items():
            monkeypatch.setenv(name, value)
        yield serving


async def test_the_worker_claims_when_its_weights_have_arrived(
    hub: FakeHub, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker(weights=TARGET, drafter_weights=DRAFTER, weights_cache=tmp_path)

    await ready(worker)

    assert whole_models(tmp_path) == {"models--google--nano-target", "models--google--nano-drafter"}
    assert "weights.downloading" in worker.log_file.read_text()


async def test_the_worker_ends_at_once_when_it_is_stopped_while_it_downloads(
    hub: FakeHub, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    hub.pause_after = 1 << 17
    worker = start_worker(weights=TARGET, drafter_weights=DRAFTER, weights_cache=tmp_path)

    async def downloads() -> bool:
        return largest_partial(tmp_path) >= 1 << 17

    await eventually(downloads, 20.0)
    assert not worker.is_ready

    worker.send(signal.SIGTERM)

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await asyncio.wait_for(eventually(has_ended, END_SECONDS), END_SECONDS + 1)
    assert worker.exit_code == 0


async def test_the_worker_says_why_when_the_hub_refuses(
    hub: FakeHub, start_worker: Callable[..., WorkerProcess], tmp_path: Path
) -> None:
    worker = start_worker(weights="google/none", drafter_weights=DRAFTER, weights_cache=tmp_path)

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 20.0)

    assert worker.exit_code == 1
    assert "HF_TOKEN" in worker.log_file.read_text().splitlines()[-1]
