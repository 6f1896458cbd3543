"""Real gateways over TLS: who gets in, and certificates that change while streams run."""

from __future__ import annotations

import asyncio
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facet.api.v1 import admin_service_pb2, admin_service_pb2_grpc
from facet.api.v1.inference_service_pb2_grpc import InferenceServiceStub
from facet.queue.redis_queue import RedisQueue
from tests.integration.gateway.requests import generation_id_of, next_of, rest_of, streamed
from tests.integration.gateway.scripted_worker import ScriptedWorker
from tests.support.authority import Authority, SecretVolume
from tests.support.redis_server import RedisServer
from tests.support.tls_redis import TlsRedis

pytestmark = pytest.mark.integration

START_SECONDS = 30.0
CALL_SECONDS = 10.0


class Gateway:
    """A gateway's process, its addresses, and what it logged."""

    def __init__(self, process: asyncio.subprocess.Process, ready: str, log: Path) -> None:
        self.process = process
        self.addresses = dict(word.split("=", 1) for word in ready.split()[1:])
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def channel(self, ca: bytes, *pair: bytes, to: str = "grpc") -> grpc.aio.Channel:
        """A foreign client's; `pair` is key and certificate."""
        credentials = grpc.ssl_channel_credentials(ca, *pair)
        options = [("grpc.use_local_subchannel_pool", 1)]
        return grpc.aio.secure_channel(self.addresses[to], credentials, options=options)

    async def admits(self, ca: bytes, *pair: bytes, to: str = "grpc") -> bool:
        """Whether a new connection gets an answer."""
        async with self.channel(ca, *pair, to=to) as channel:
            return await answers(channel)


async def answers(channel: grpc.aio.Channel) -> bool:
    call = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS
    )
    code = await call.code()
    assert code in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
    return bool(code is grpc.StatusCode.OK)


def environment(redis_url: str, **settings: object) -> dict[str, str]:
    named = {f"FACET_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    return {**os.environ, "FACET_GATEWAY_REDIS_URL": redis_url, **named}


@asynccontextmanager
async def gateway(log: Path, redis_url: str, **settings: object) -> AsyncIterator[Gateway]:
    with log.open("wb") as sink:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "facet.gateway"),
            stdout=asyncio.subprocess.PIPE,
            stderr=sink,
            env=environment(redis_url, **settings),
        )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
        assert line.startswith(b"READY")
        yield Gateway(process, line.decode(), log)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture(scope="module")
def ca() -> Authority:
    return Authority("first")


@pytest.fixture(scope="module")
def other_ca() -> Authority:
    return Authority("second")


def pair(certificate: bytes, key: bytes) -> dict[str, bytes]:
    return {"crt": certificate, "key": key}


def tls(volume: SecretVolume) -> dict[str, Path]:
    return {"tls_certificate_file": volume["crt"], "tls_key_file": volume["key"]}


async def test_only_clients_that_speak_tls_and_trust_the_ca_get_in_when_it_is_on(
    redis_server: RedisServer, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    settings = {**tls(volume), "admin_listen": "127.0.0.1:0"}
    async with gateway(tmp_path / "log", redis_server.url, **settings) as served:
        assert await served.admits(ca.certificate)
        assert not await served.admits(other_ca.certificate)
        async with grpc.aio.insecure_channel(served.addresses["grpc"]) as plain:
            assert not await answers(plain)
        async with served.channel(ca.certificate, to="admin") as channel:
            stub = admin_service_pb2_grpc.AdminServiceStub(channel)
            queues = await stub.ListQueues(admin_service_pb2.ListQueuesRequest(), timeout=5)
            assert [queue.model for queue in queues.queues] == ["nano"]
        assert not await served.admits(other_ca.certificate, to="admin")


async def test_clients_must_show_a_certificate_when_a_client_ca_is_set(
    redis_server: RedisServer, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()), ca=ca.certificate)
    settings = {**tls(volume), "tls_client_ca_file": volume["ca"]}
    certificate, key = ca.issue()
    foreign_certificate, foreign_key = other_ca.issue()
    async with gateway(tmp_path / "log", redis_server.url, **settings) as served:
        assert await served.admits(ca.certificate, key, certificate)
        assert not await served.admits(ca.certificate)
        assert not await served.admits(ca.certificate, foreign_key, foreign_certificate)
        # The CAs overlap, then the first one goes.
        both = ca.certificate + other_ca.certificate
        volume.swap(**pair(*ca.issue()), ca=both)
        assert await served.admits(ca.certificate, key, certificate)
        assert await served.admits(ca.certificate, foreign_key, foreign_certificate)
        volume.swap(**pair(*ca.issue()), ca=other_ca.certificate)
        assert not await served.admits(ca.certificate, key, certificate)
        assert await served.admits(ca.certificate, foreign_key, foreign_certificate)


async def test_new_connections_see_the_new_certificate_and_streams_go_on_when_it_is_swapped(
    redis_server: RedisServer, tmp_path: Path, ca: Authority, other_ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    release = f"t{secrets.token_hex(6)}"
    settings = {**tls(volume), "release": release}
    queue = RedisQueue.connect(redis_server.url, release=release, model="nano")
    async with (
        gateway(tmp_path / "log", redis_server.url, **settings) as served,
        served.channel(ca.certificate) as channel,
    ):
        call = InferenceServiceStub(channel).StreamGenerateContent(streamed())
        await generation_id_of(call)
        job = await ScriptedWorker(queue).claim()
        await job.start()
        await next_of(call)
        volume.swap(**pair(*other_ca.issue()))
        assert await served.admits(other_ca.certificate)
        assert not await served.admits(ca.certificate)
        await job.say("after")
        await job.finish()
        events = await rest_of(call)
        assert [event.text_delta.text for event in events[:-1]][-1] == "after"
        assert events[-1].HasField("finished")
    await queue.close()


async def test_an_expired_certificate_is_refused_by_clients_until_it_is_replaced(
    redis_server: RedisServer, tmp_path: Path, ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue(life=timedelta(minutes=-1))))
    async with gateway(tmp_path / "log", redis_server.url, **tls(volume)) as served:
        assert not await served.admits(ca.certificate)
        volume.swap(**pair(*ca.issue()))
        assert await served.admits(ca.certificate)


@pytest.mark.parametrize("fault", ["half written", "another's key", "gone"])
async def test_the_old_pair_stays_and_the_log_says_why_once_when_the_new_one_is_bad(
    redis_server: RedisServer, tmp_path: Path, ca: Authority, other_ca: Authority, fault: str
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    certificate, key = other_ca.issue()
    bad = {
        "half written": pair(certificate[: len(certificate) // 2], key),
        "another's key": pair(certificate, ca.issue()[1]),
        "gone": {"crt": certificate},
    }[fault]
    async with gateway(tmp_path / "log", redis_server.url, **tls(volume)) as served:
        volume.swap(**bad)
        for _ in range(3):
            assert await served.admits(ca.certificate)
        assert served.log.count("not reloaded") == 1
        volume.swap(**pair(certificate, key))
        assert await served.admits(other_ca.certificate)


def lacks_key(volume: SecretVolume) -> dict[str, Path]:
    return {"tls_certificate_file": volume["crt"]}


def has_wrong_key(volume: SecretVolume) -> dict[str, Path]:
    return {"tls_certificate_file": volume["crt"], "tls_key_file": volume["other"]}


def has_no_file(volume: SecretVolume) -> dict[str, Path]:
    return {"tls_certificate_file": volume["crt"], "tls_key_file": volume["crt"].parent / "none"}


def has_no_client_ca(volume: SecretVolume) -> dict[str, Path]:
    return {**tls(volume), "tls_client_ca_file": volume["key"]}


@pytest.mark.parametrize("fault", [lacks_key, has_wrong_key, has_no_file, has_no_client_ca])
async def test_the_start_is_refused_in_one_line_when_the_files_are_bad(
    redis_server: RedisServer,
    tmp_path: Path,
    ca: Authority,
    fault: Callable[[SecretVolume], dict[str, Path]],
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()), other=ca.issue()[1])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "facet.gateway"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(redis_server.url, **fault(volume)),
    )
    _, errors = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 2
    lines = [line for line in errors.decode().splitlines() if line.startswith("facet gateway: ")]
    assert len(lines) == 1
    assert "tls" in lines[0].lower()
    assert "Traceback" not in errors.decode()


async def test_health_alone_is_served_in_plain_text_when_it_has_a_listener(
    redis_server: RedisServer, tmp_path: Path, ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    settings = {**tls(volume), "health_listen": "127.0.0.1:0"}
    async with (
        gateway(tmp_path / "log", redis_server.url, **settings) as served,
        grpc.aio.insecure_channel(served.addresses["health"]) as plain,
    ):
        health = health_pb2_grpc.HealthStub(plain)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_SECONDS)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        for path in (
            "/facet.v1.InferenceService/GenerateContent",
            "/facet.v1.ModelService/ListModels",
            "/facet.v1.AdminService/ListQueues",
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        ):
            method: Any = plain.unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(b"", timeout=CALL_SECONDS)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert await served.admits(ca.certificate)


async def test_health_is_told_over_plain_http_when_it_has_a_listener(
    redis_server: RedisServer, tmp_path: Path, ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    settings = {**tls(volume), "http_health_listen": "127.0.0.1:0"}
    async with gateway(tmp_path / "log", redis_server.url, **settings) as served:
        host, _, port = served.addresses["http-health"].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: gateway\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), CALL_SECONDS)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert await served.admits(ca.certificate)


async def test_the_gateway_stays_and_serves_later_when_the_store_refuses_its_password(
    tmp_path: Path, ca: Authority
) -> None:
    redis = TlsRedis(tmp_path / "redis", ca)
    redis.protect("right-secret")
    volume = SecretVolume(tmp_path / "secret", ca=ca.certificate, password=b"wrong-secret")
    settings = {
        "redis_ca_file": volume["ca"],
        "redis_credentials": "file",
        "redis_password_file": volume["password"],
    }
    try:
        async with (
            gateway(tmp_path / "log", redis.url, **settings) as served,
            grpc.aio.insecure_channel(served.addresses["grpc"]) as channel,
        ):
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
            assert "redis_password_file" in served.log
            volume.swap(ca=ca.certificate, password=b"right-secret")
            assert (await next_of(watch)).status == health_pb2.HealthCheckResponse.SERVING
            assert "-secret" not in served.log
    finally:
        redis.stop()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1")
async def test_no_connection_is_made_when_the_client_speaks_an_old_tls(
    redis_server: RedisServer, tmp_path: Path, ca: Authority
) -> None:
    volume = SecretVolume(tmp_path / "tls", **pair(*ca.issue()))
    async with gateway(tmp_path / "log", redis_server.url, **tls(volume)) as served:
        host, _, port = served.addresses["grpc"].rpartition(":")
        for oldest, newest, is_taken in (
            (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, False),
            (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, True),
        ):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=ca.certificate.decode())
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            context.set_alpn_protocols(["h2"])
            context.minimum_version, context.maximum_version = oldest, newest
            assert await handshakes(host, int(port), context) is is_taken


async def handshakes(host: str, port: int, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True
