"""The embedded Redis as it is rendered, run: clients and probes over TLS."""

from __future__ import annotations

import asyncio
import datetime
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facet.gateway.settings import GatewaySettings
from facet.queue.connection import RedisConnection
from tests.deploy.conftest import Render, Renderer
from tests.deploy.test_chart_tls import GATEWAY, GIVEN, REDIS
from tests.support.authority import Authority
from tests.support.conditions import until
from tests.support.redis_server import free_port

pytestmark = pytest.mark.integration

PASSWORD = "password-of-the-test"


class Pod:
    """The container of Redis as a process of its own; its paths lie under `folder`."""

    def __init__(self, chart: Render, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("no redis-server is on PATH")
        self.port = free_port()
        self._container = chart.container(REDIS)
        self._places = {
            "/etc/facet/tls": str(folder),
            "/data": str(folder),
            "6379": str(self.port),
            "$(REDIS_PASSWORD)": PASSWORD,
        }
        arguments = [*self._container["command"], *self._container["args"], "--bind", "127.0.0.1"]
        self._process = subprocess.Popen(
            [self._placed(word) for word in arguments], stdout=subprocess.DEVNULL
        )

    def _placed(self, word: str) -> str:
        for old, new in self._places.items():
            word = word.replace(old, new)
        return word

    async def probe(self, name: str) -> bool:
        """Whether an exec probe passes."""
        return await asyncio.to_thread(self._probe, name)

    def _probe(self, name: str) -> bool:
        command, *words = self._container[name]["exec"]["command"]
        done = subprocess.run(
            [command, "-p", str(self.port), *[self._placed(word) for word in words]],
            env={"PATH": "/usr/bin:/bin", "REDISCLI_AUTH": PASSWORD},
            capture_output=True,
            timeout=10,
            check=False,
        )
        return done.returncode == 0

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(10)


def certified(folder: Path, life: datetime.timedelta) -> Path:
    """A folder with the files of the Secret."""
    folder.mkdir()
    ca = Authority("redis")
    certificate, key = ca.issue(life=life)
    for name, content in (("tls.crt", certificate), ("tls.key", key), ("ca.crt", ca.certificate)):
        (folder / name).write_bytes(content)
    (folder / "password").write_text(PASSWORD)
    return folder


@pytest.fixture
def pods(render: Renderer, tmp_path: Path) -> Iterator[Any]:
    started = []

    def start(life: datetime.timedelta) -> Pod:
        pod = Pod(render(GIVEN), certified(tmp_path / "files", life))
        started.append(pod)
        return pod

    yield start
    for pod in started:
        pod.stop()


async def test_clients_and_probes_reach_redis_over_tls(
    pods: Any, render: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = pods(datetime.timedelta(hours=1))
    await until(lambda: pod.probe("readinessProbe"))
    assert await pod.probe("livenessProbe")

    for name, value in render(GIVEN).env(GATEWAY).items():
        if "_REDIS_" in name:
            here = value.replace("facet-redis:6379", f"127.0.0.1:{pod.port}")
            monkeypatch.setenv(name, here.replace("/etc/facet/redis", str(tmp_path / "files")))
    connection = RedisConnection(GatewaySettings().store(), "{base}")
    try:
        assert await connection.command("PING") in (b"PONG", True)
    finally:
        await connection.close()


async def test_redis_is_restarted_when_its_certificate_has_ended(pods: Any) -> None:
    pod = pods(datetime.timedelta(seconds=3))
    await until(lambda: pod.probe("livenessProbe"))

    async def fails() -> bool:
        return not await pod.probe("livenessProbe")

    await until(fails, seconds=10)
