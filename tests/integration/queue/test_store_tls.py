"""The queue on a real Redis over TLS: whom it trusts, what it shows, and rotations under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from facet.core.errors import StoreUnavailableError
from facet.core.settings import settings_config
from facet.queue.redis_queue import RedisQueue
from facet.queue.store import Store
from facet.queue.store_settings import StoreSettings
from tests.support.authority import Authority, SecretVolume
from tests.support.metadata_server import MetadataServer
from tests.support.queue_contract.world import TENANT, submission
from tests.support.redis_server import free_port
from tests.support.tls_redis import TlsRedis
from tests.support.whole_life import (
    answer_of,
    assert_unavailable_soon,
    in_time,
    keep_media,
    live_whole_life,
)

pytestmark = pytest.mark.integration

REFUSED = "the store lets nobody in"
OLD, NEW = "old-secret", "new-secret"


class Settings(StoreSettings):
    model_config = settings_config("TEST")


def settings(url: str, **fields: object) -> Settings:
    return Settings.model_validate({"redis_url": SecretStr(url), **fields})


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority("first")


@pytest.fixture(scope="module")
def other_ca() -> Authority:
    return Authority("second")


@pytest.fixture
def redis(tmp_path: Path, ca: Authority) -> Iterator[TlsRedis]:
    server = TlsRedis(tmp_path / "redis", ca)
    yield server
    server.stop()


@pytest.fixture
def strict_redis(tmp_path: Path, ca: Authority) -> Iterator[TlsRedis]:
    server = TlsRedis(tmp_path / "redis", ca, wants_certificates=True)
    yield server
    server.stop()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetadataServer]:
    server = MetadataServer()
    monkeypatch.setenv("GCE_METADATA_HOST", server.host)
    yield server
    server.close()


Connect = Callable[[Store], RedisQueue]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    queues: list[RedisQueue] = []

    def connected(store: Store) -> RedisQueue:
        queues.append(RedisQueue.connect(store, release="tls", model="nano"))
        return queues[-1]

    yield connected
    for queue in queues:
        await queue.close()


async def test_queue_and_media_work_when_the_ca_is_trusted_among_others(
    redis: TlsRedis, connect: Connect, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_bytes(other_ca.certificate + ca.certificate)
    store = settings(redis.url, redis_ca_file=bundle).store()
    await live_whole_life(connect(store))
    await keep_media(store)


@pytest.mark.parametrize("reason", ["another CA", "another name"])
async def test_nothing_is_sent_and_the_log_says_what_to_check_when_the_server_is_not_trusted(
    redis: TlsRedis, connect: Connect, tmp_path: Path, other_ca: Authority, reason: str
) -> None:
    bundle = tmp_path / "bundle"
    trusted = other_ca.certificate if reason == "another CA" else redis.ca.certificate
    bundle.write_bytes(trusted)
    url = {
        "another CA": redis.url,
        "another name": f"rediss://localhost:{redis.tls_port}",
    }[reason]
    queue = connect(settings(url, redis_ca_file=bundle).store())
    with capture_logs() as logs:
        for _ in range(3):
            await assert_unavailable_soon(queue.ping)
    (entry,) = [entry for entry in logs if entry["event"] == REFUSED]
    assert "redis_ca_file" in entry["check"]


async def test_a_certificate_is_shown_when_the_server_wants_one(
    strict_redis: TlsRedis, connect: Connect, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    certificate, key = other_ca.issue()
    volume = SecretVolume(tmp_path / "client", crt=certificate, key=key, ca=ca.certificate)
    files = {"redis_certificate_file": volume["crt"], "redis_key_file": volume["key"]}
    await assert_unavailable_soon(
        connect(settings(strict_redis.url, redis_ca_file=volume["ca"]).store()).ping
    )
    queue = connect(settings(strict_redis.url, redis_ca_file=volume["ca"], **files).store())
    await assert_unavailable_soon(queue.ping)
    certificate, key = ca.issue()
    volume.swap(crt=certificate, key=key, ca=ca.certificate)
    await live_whole_life(queue)


async def test_calls_go_on_when_the_servers_ca_is_exchanged_with_an_overlap(
    redis: TlsRedis, connect: Connect, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "ca", bundle=ca.certificate)
    queue = connect(settings(redis.url, redis_ca_file=volume["bundle"]).store())
    await live_whole_life(queue)
    # Half of the new bundle was written: what there was stays.
    volume.swap(bundle=(ca.certificate + other_ca.certificate)[:-100])
    redis.hang_up()
    await come_back(queue)
    volume.swap(bundle=ca.certificate + other_ca.certificate)
    redis.show(other_ca)
    redis.hang_up()
    await come_back(queue)
    volume.swap(bundle=other_ca.certificate)
    redis.hang_up()
    await come_back(queue)
    redis.show(ca)
    redis.hang_up()
    await assert_unavailable_soon(queue.ping)


async def test_nothing_is_lost_when_the_password_changes_under_load(
    redis: TlsRedis, connect: Connect, tmp_path: Path, ca: Authority
) -> None:
    redis.protect(OLD)
    volume = SecretVolume(tmp_path / "secret", ca=ca.certificate, password=OLD.encode() + b"\n")
    store = settings(
        redis.url,
        redis_ca_file=volume["ca"],
        redis_credentials="file",
        redis_password_file=volume["password"],
    ).store()
    queue = connect(store)
    accepted: list[str] = []
    refused = 0
    is_over = asyncio.Event()

    async def submit(producer: int) -> None:
        nonlocal refused
        number = 0
        while not is_over.is_set():
            name = f"g-0-{producer}x{number}"
            try:
                await queue.submit(submission(name))
            except StoreUnavailableError:
                refused += 1
            else:
                accepted.append(name)
                number += 1

    async with asyncio.TaskGroup() as group:
        for producer in range(4):
            group.create_task(submit(producer))
        await _until_more(accepted)
        redis.protect(NEW)
        # Open connections go on with the old password.
        await _until_more(accepted)
        assert refused == 0
        with capture_logs() as logs:
            redis.hang_up()
            await _until(lambda: any(entry["event"] == REFUSED for entry in logs))
        assert "redis_password_file" in next(
            entry["check"] for entry in logs if entry["event"] == REFUSED
        )
        volume.swap(ca=ca.certificate, password=NEW.encode())
        await _until_more(accepted)
        is_over.set()
    assert OLD not in str(logs)
    for name in accepted:
        assert (await in_time(queue.status(name, TENANT))).generation_id == name


async def come_back(queue: RedisQueue) -> None:
    """Once a connection that was closed is noticed as such, everything works."""
    await answer_of(queue.ping, seconds=5)
    await live_whole_life(queue)


async def _until_more(accepted: list[str]) -> None:
    wanted = len(accepted) + 20
    await _until(lambda: len(accepted) >= wanted)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - other tasks and a process make it true
            await asyncio.sleep(0.01)


async def test_tokens_are_renewed_when_they_expire_and_when_the_store_refuses_one(
    redis: TlsRedis, connect: Connect, tmp_path: Path, ca: Authority, metadata: MetadataServer
) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_bytes(ca.certificate)
    redis.protect(metadata.token)
    store = settings(redis.url, redis_ca_file=bundle, redis_credentials="gcp-iam").store()
    queue = connect(store)
    await live_whole_life(queue)
    await keep_media(store)
    # One token serves all connections.
    assert metadata.asked == 1
    metadata.token, metadata.life_seconds = "second", 2
    redis.protect("second")
    redis.hang_up()
    await come_back(queue)
    assert metadata.asked >= 2
    # Those that are about to expire are not shown any more.
    metadata.token = "third"
    redis.protect("third")
    redis.hang_up()
    await come_back(queue)
    metadata.status = 503
    redis.hang_up()
    with capture_logs() as logs:
        for _ in range(2):
            await assert_unavailable_soon(queue.ping)
    assert "redis_credentials" in next(e["check"] for e in logs if e["event"] == REFUSED)
    metadata.status = 200
    await live_whole_life(queue)


async def test_calls_fail_in_time_when_no_metadata_server_answers(
    redis: TlsRedis,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    ca: Authority,
) -> None:
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{free_port()}")
    bundle = tmp_path / "bundle"
    bundle.write_bytes(ca.certificate)
    store = settings(redis.url, redis_ca_file=bundle, redis_credentials="gcp-iam").store()
    await assert_unavailable_soon(connect(store).ping)


@pytest.mark.parametrize(
    ("url", "fields", "wanted"),
    [
        ("redis://h", {"redis_ca_file": "{ca}"}, "rediss://"),
        ("rediss://h", {"redis_certificate_file": "{ca}"}, "belong together"),
        ("rediss://h", {"redis_ca_file": "{none}"}, "No such file"),
        ("rediss://h", {"redis_ca_file": "{empty}"}, "no CA certificates"),
        ("redis://h", {"redis_credentials": "file"}, "belong together"),
        ("redis://h", {"redis_password_file": "{ca}"}, "belong together"),
        ("redis://:hunter2@h", {"redis_credentials": "gcp-iam"}, "holds a password"),
        ("redis://h", {"redis_credentials": "file", "redis_password_file": "{empty}"}, "is empty"),
        ("rediss://h?ssl_cert_reqs=none", {}, "unknown option"),
    ],
)
def test_settings_are_refused_when_they_do_not_fit_together(
    url: str, fields: dict[str, str], wanted: str, tmp_path: Path, ca: Authority
) -> None:
    (tmp_path / "ca").write_bytes(ca.certificate)
    (tmp_path / "empty").touch()
    paths = {name: tmp_path / name for name in ("ca", "none", "empty")}
    given = {name: value.format(**paths) for name, value in fields.items()}
    with pytest.raises((ValueError, OSError), match=wanted) as caught:
        settings(url, **given).store()
    assert "hunter2" not in str(caught.value)
