"""The autoscaler as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from facet.autoscaler.holding_scaler import SERVICE

from facet.core.health_probe import is_serving
from tests.support.authority import Authority, SecretVolume
from tests.support.redis_server import free_port

pytestmark = pytest.mark.integration

METHODS = ("IsActive", "StreamIsActive", "GetMetricSpec", "GetMetrics", "StreamMetricSpec")


@contextmanager
def autoscaler(**settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that has said READY, and its addresses by name."""
    environment = {f"FACET_AUTOSCALER_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "facet.autoscaler"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("READY"), line
        yield process, dict(re.findall(r"(\w+)=(\S+)", line))
    finally:
        process.kill()
        process.communicate(timeout=10)


@pytest.mark.parametrize("method", METHODS)
def test_replicas_are_held_when_keda_asks(method: str) -> None:
    with (
        autoscaler(listen="127.0.0.1:0") as (_, addresses),
        grpc.insecure_channel(addresses["scaler"]) as channel,
    ):
        call: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream(
            f"/externalscaler.ExternalScaler/{method}"
        )
        with pytest.raises(grpc.RpcError) as refusal:
            list(call(b"", timeout=10))

    assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "replicas are held" in (refusal.value.details() or "")


def test_keda_is_answered_over_tls_alone_when_there_is_a_certificate(tmp_path: Path) -> None:
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
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            f"/{SERVICE}/IsActive"
        )
        with channel, pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=10)
        return str(refusal.value.details())

    def trusting(ca: bytes, *shown: bytes) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        credentials = grpc.ssl_channel_credentials(ca, *shown)
        return grpc.secure_channel(addresses["scaler"], credentials, options=options)

    health = {"health_listen": "127.0.0.1:0"}
    with autoscaler(listen="127.0.0.1:0", **health, **files) as (_, addresses):
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


def test_other_services_are_unknown_when_asked() -> None:
    with (
        autoscaler(listen="127.0.0.1:0") as (_, addresses),
        grpc.insecure_channel(addresses["scaler"]) as channel,
    ):
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/facet.v1.InferenceService/GenerateContent"
        )
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=10)

    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("mode", ["external-scaler", "standalone"])
def test_health_is_served_until_sigterm_when_it_is_asked_for(mode: str) -> None:
    listeners = {"listen": "127.0.0.1:0", "health_listen": "127.0.0.1:0"}
    with autoscaler(mode=mode, **listeners) as (process, addresses):
        assert is_serving(addresses["health"])
        assert ("scaler" in addresses) == (mode == "external-scaler")

        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
        assert not is_serving(addresses["health"])


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
        ("TLS_CLIENT_CA_FILE", "/none", "FACET_AUTOSCALER_TLS_CLIENT_CA_FILE needs FACET_"),
    ],
)
def test_start_is_refused_in_one_line_when_a_setting_is_wrong(
    name: str, value: str, told: str
) -> None:
    port = free_port()
    done = subprocess.run(
        [sys.executable, "-m", "facet.autoscaler"],
        env=os.environ
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
