"""The autoscaler as a process of its own."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

from facet.api.externalscaler import external_scaler_service_pb2 as pb
from facet.api.externalscaler.external_scaler_service_pb2_grpc import ExternalScalerStub
from facet.core.health_probe import is_serving
from facet.queue.scaling import RedisScalingMemory
from tests.support.authority import Authority, SecretVolume
from tests.support.autoscaler_process import autoscaler, pools_file
from tests.support.conditions import until
from tests.support.kubernetes_cluster import KubernetesServer
from tests.support.redis_server import RedisServer, free_port

pytestmark = pytest.mark.integration

POOLS = [{"name": "one", "deployment": "facet-worker-one", "max": 4}]


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """Settings of one whose store is away."""
    return {
        "pools_file": pools_file(tmp_path, POOLS),
        "redis_url": f"redis://127.0.0.1:{free_port()}",
        "listen": "127.0.0.1:0",
    }


def held(channel: grpc.Channel) -> str:
    """Why KEDA is not answered."""
    stub: Any = ExternalScalerStub(channel)
    of = pb.ScaledObjectRef(name="workers", namespace="serving", scalerMetadata={"pool": "one"})
    with pytest.raises(grpc.RpcError) as refusal:
        stub.IsActive(of, timeout=10)
    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    return str(refusal.value.details())


def test_replicas_are_held_when_the_store_is_away(alone: dict[str, str]) -> None:
    with (
        autoscaler(**alone) as (_, addresses),
        grpc.insecure_channel(addresses["scaler"]) as channel,
    ):
        assert "replicas are held" in held(channel)


def test_keda_is_answered_over_tls_alone_when_there_is_a_certificate(
    tmp_path: Path, alone: dict[str, str]
) -> None:
    first, second = Authority("first"), Authority("second")
    certificate, key = first.issue()
    volume = SecretVolume(tmp_path / "tls", crt=certificate, key=key, ca=first.certificate)
    files = {
        "tls_certificate_file": str(volume["crt"]),
        "tls_key_file": str(volume["key"]),
        "tls_client_ca_file": str(volume["ca"]),
    }
    shown_certificate, shown_key = first.issue()

    def details(channel: grpc.Channel) -> str:
        with channel:
            return held(channel)

    def trusting(ca: bytes, *shown: bytes) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        credentials = grpc.ssl_channel_credentials(ca, *shown)
        return grpc.secure_channel(addresses["scaler"], credentials, options=options)

    health = {"health_listen": "127.0.0.1:0"}
    with autoscaler(**alone, **health, **files) as (_, addresses):
        assert "replicas are held" in details(
            trusting(first.certificate, shown_key, shown_certificate)
        )
        assert "replicas are held" not in details(trusting(first.certificate))
        assert "replicas are held" not in details(grpc.insecure_channel(addresses["scaler"]))
        assert is_serving(addresses["health"])
        certificate, key = second.issue()
        volume.swap(crt=certificate, key=key, ca=first.certificate)
        assert "replicas are held" in details(
            trusting(second.certificate, shown_key, shown_certificate)
        )


def test_other_services_are_unknown_when_asked(alone: dict[str, str]) -> None:
    with (
        autoscaler(**alone) as (_, addresses),
        grpc.insecure_channel(addresses["scaler"]) as channel,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/facet.v1.InferenceService/GenerateContent"
        )
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=10)

    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("mode", ["external-scaler", "standalone"])
def test_health_is_served_until_sigterm_when_it_is_asked_for(
    mode: str, alone: dict[str, str], server: KubernetesServer
) -> None:
    with autoscaler(mode=mode, health_listen="127.0.0.1:0", **alone) as (process, addresses):
        assert is_serving(addresses["health"])
        assert ("scaler" in addresses) == (mode == "external-scaler")

        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
        assert not is_serving(addresses["health"])
    assert server.requests


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MODE", "guess", "FACET_AUTOSCALER_MODE: Input should be 'external-scaler'"),
        ("LISTEN", "nowhere", "FACET_AUTOSCALER_LISTEN: "),
        ("LISTEN", "192.0.2.1:{port}", "cannot listen on 192.0.2.1:{port}"),
        (
            "TLS_KEY_FILE",
            "/none",
            "FACET_AUTOSCALER_TLS_CERTIFICATE_FILE, FACET_AUTOSCALER_TLS_KEY_FILE: ",
        ),
        ("MODE", "standalone", "no Kubernetes API to write to: "),
        ("POOLS_FILE", "/none", "[Errno 2] No such file"),
        ("TLS_CLIENT_CA_FILE", "/none", "FACET_AUTOSCALER_TLS_CLIENT_CA_FILE needs FACET_"),
    ],
)
def test_start_is_refused_in_one_line_when_a_setting_is_wrong(
    name: str, value: str, told: str, alone: dict[str, str]
) -> None:
    port = free_port()
    settings = {f"FACET_AUTOSCALER_{key.upper()}": each for key, each in alone.items()}
    done = subprocess.run(
        [sys.executable, "-m", "facet.autoscaler"],
        env=os.environ
        | settings
        | {f"FACET_AUTOSCALER_{name}": value.format(port=port)}
        | {"FACET_AUTOSCALER_LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"facet autoscaler: {told.format(port=port)}"), (
        done.stderr
    )


async def test_it_decides_and_tells_until_sigterm_when_it_has_pools(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    release = secrets.token_hex(8)
    settings = {
        "redis_url": redis_server.url,
        "release": release,
        "pools_file": pools_file(tmp_path, [{"name": "l4", "min": 1, "max": 4}]),
        "listen": "127.0.0.1:0",
        "metrics_listen": "127.0.0.1:0",
        "decision_seconds": "0.2",
    }
    memory = RedisScalingMemory.connect(redis_server.url, release=release, model="nano")
    with autoscaler(**settings) as (process, addresses):

        async def is_told() -> bool:
            url = f"http://{addresses['metrics']}/metrics"
            page = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
            lines = page.decode().splitlines()
            wanted = {
                'facet_autoscaler_desired_replicas{pool="l4"} 1.0',
                "facet_autoscaler_leading 1.0",
                "facet_autoscaler_blind 0.0",
            }
            return wanted <= set(lines)

        await until(is_told, seconds=10)
        assert await memory.lead("another", 1000) == 0
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 10) == 0
        # It left the lead at once.
        assert await memory.lead("another", 1000) == 2
    await memory.close()


@pytest.mark.parametrize(
    ("pool", "told"),
    [
        ({"name": "a", "min": 3, "max": 2}, "pool a: min_pods must be"),
        ({"name": "a", "min": 3}, "pools.0.max: "),
    ],
)
def test_start_is_refused_in_one_line_when_the_pools_are_wrong(
    pool: dict[str, Any], told: str, tmp_path: Path
) -> None:
    file = pools_file(tmp_path, [pool])
    done = subprocess.run(
        [sys.executable, "-m", "facet.autoscaler"],
        env=os.environ
        | {
            "FACET_AUTOSCALER_POOLS_FILE": file,
            "FACET_AUTOSCALER_LISTEN": "127.0.0.1:0",
            "FACET_AUTOSCALER_LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert told in done.stderr.splitlines()[-1]
