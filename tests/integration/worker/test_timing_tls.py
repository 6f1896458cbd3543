"""Timing spans over TLS: a real worker's exporter, and the autoscaler that hears it or does not."""

from __future__ import annotations

import asyncio
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from facet.api.v1 import generation_pb2
from facet.queue.redis_queue import RedisQueue
from facet.queue.values import State
from tests.integration.worker.worker_process import WorkerProcess, eventually, ready, submit
from tests.support.authority import Authority
from tests.support.autoscaler_process import autoscaler, pools_file
from tests.support.redis_server import RedisServer
from tests.unit.worker.scripted import TENANT

pytestmark = pytest.mark.integration

Addresses = dict[str, str]


def put(folder: Path, **files: bytes) -> dict[str, str]:
    """Write the files; their paths by name."""
    paths = {name: folder / f"{name}.pem" for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    return {name: str(path) for name, path in paths.items()}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """A pair for the autoscaler, the CA that signed it, and one that did not."""
    authority = Authority("release")
    certificate, key = authority.issue()
    other = Authority("another").certificate
    return put(tmp_path, certificate=certificate, key=key, ca=authority.certificate, other=other)


@pytest.fixture
def hearing(
    redis_server: RedisServer, release: str, tmp_path: Path, files: dict[str, str]
) -> Iterator[Addresses]:
    """Addresses of an autoscaler with TLS."""
    settings = {
        "redis_url": redis_server.url,
        "release": release,
        "pools_file": pools_file(tmp_path, [{"name": "l4", "max": 4}]),
        "listen": "127.0.0.1:0",
        "otlp_listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "tls_certificate_file": files["certificate"],
        "tls_key_file": files["key"],
    }
    with autoscaler(**settings) as (_, addresses):
        yield addresses


def heard(addresses: Addresses) -> int:
    """Timing spans that the autoscaler took."""
    with urllib.request.urlopen(f"http://{addresses['metrics']}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    taken = re.search(r'^facet_autoscaler_timing_spans_total{result="taken"} (\S+)$', text, re.M)
    return int(float(taken[1])) if taken else 0


async def served(queue: RedisQueue) -> None:
    """Have one request answered."""
    asked = generation_pb2.GenerationRequest()
    asked.contents.add().parts.add(text="hello")
    asked.generation_config.max_output_tokens = 4
    name = await submit(queue, asked)

    async def has_ended() -> bool:
        return (await queue.status(name, TENANT)).state is State.ENDED

    await eventually(has_ended, 20)


async def test_the_autoscaler_hears_a_worker_that_trusts_its_ca(
    queue: RedisQueue,
    start_worker: Callable[..., WorkerProcess],
    hearing: Addresses,
    files: dict[str, str],
) -> None:
    worker = start_worker(
        pool="l4", timing_endpoint=f"https://{hearing['otlp']}", timing_ca_file=files["ca"]
    )
    await ready(worker)
    await served(queue)

    async def is_heard() -> bool:
        return await asyncio.to_thread(heard, hearing) == 1

    await eventually(is_heard, 20)


@pytest.mark.parametrize("is_tls", [True, False])
async def test_nothing_is_heard_of_a_worker_that_does_not(
    queue: RedisQueue,
    *,
    start_worker: Callable[..., WorkerProcess],
    hearing: Addresses,
    files: dict[str, str],
    is_tls: bool,
) -> None:
    endpoint = f"{'https' if is_tls else 'http'}://{hearing['otlp']}"
    trusted = {"timing_ca_file": files["other"]} if is_tls else {}
    worker = start_worker(pool="l4", timing_endpoint=endpoint, **trusted)
    await ready(worker)
    await served(queue)
    # At its end a worker has sent what it could.
    worker.send(signal.SIGTERM)

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 20)
    assert worker.exit_code == 0
    assert heard(hearing) == 0


async def test_a_worker_refuses_to_start_when_its_ca_file_holds_none(
    start_worker: Callable[..., WorkerProcess], files: dict[str, str]
) -> None:
    worker = start_worker(timing_endpoint="https://127.0.0.1:1", timing_ca_file=files["key"])

    async def has_ended() -> bool:
        return worker.exit_code is not None

    await eventually(has_ended, 20)
    assert worker.exit_code == 1
    assert "holds no CA certificates" in worker.log_file.read_text()
