"""Settings and what follows from them."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from facet.core.models import NANO
from facet.gateway.catalogue import cards_of
from facet.gateway.queues import queue_limits
from facet.gateway.server import server_options
from facet.gateway.settings import GatewaySettings

pytestmark = pytest.mark.unit


def test_values_come_from_the_environment_when_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_GATEWAY_LISTEN", "127.0.0.1:50051")
    monkeypatch.setenv("FACET_GATEWAY_MODELS", '["nano"]')
    monkeypatch.setenv("FACET_GATEWAY_DRAIN_SECONDS", "2.5")
    settings = GatewaySettings()
    assert (settings.listen, settings.models, settings.drain_seconds) == (
        "127.0.0.1:50051",
        ("nano",),
        2.5,
    )


def test_bounds_of_the_queue_are_the_settings_when_composed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [
        f"{prefix}max_waiting{unit}"
        for prefix in ("", "tenant_")
        for unit in ("", "_tokens", "_bytes")
    ]
    for number, name in enumerate(names, start=1):
        monkeypatch.setenv(f"FACET_GATEWAY_{name.upper()}", str(number))
    limits = queue_limits(GatewaySettings())
    assert [getattr(limits, name) for name in names] == [1, 2, 3, 4, 5, 6]


def test_password_is_hidden_when_settings_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_GATEWAY_REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    assert "hunter2" not in str(GatewaySettings().effective())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN", "nowhere"),
        ("MODELS", "[]"),
        ("LOG_LEVEL", "LOUD"),
        ("MAX_INLINE_BYTES", "0"),
        ("MAX_INFLIGHT_INLINE_BYTES", "0"),
        ("MAX_OPEN_CALLS", "0"),
        ("QUEUE_SHARDS", "0"),
        ("QUEUE_SHARDS", "65"),
        ("MAX_WAITING", "0"),
        ("TENANT_MAX_WAITING_TOKENS", "-1"),
        ("DRAIN_SECONDS", "inf"),
        ("READER_GRACE_SECONDS", "-1"),
    ],
)
def test_value_is_refused_when_out_of_bounds(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"FACET_GATEWAY_{name}", value)
    with pytest.raises(ValidationError) as caught:
        GatewaySettings()
    assert [fault["loc"][0] for fault in caught.value.errors()] == [name.lower()]


def test_unknown_model_is_named_when_configured() -> None:
    assert cards_of(["nano", "nano"]) == [NANO]
    with pytest.raises(ValueError, match=r"no such model: other; known are nano"):
        cards_of(["nano", "other"])


def test_connection_age_spares_calls_when_deadlines_are_long() -> None:
    options = dict(
        server_options(
            max_message_bytes=1 << 20, max_metadata_bytes=1 << 14, max_deadline_seconds=3600
        )
    )
    assert options["grpc.max_connection_age_grace_ms"] >= 3600 * 1000
    assert options["grpc.max_receive_message_length"] == 1 << 20
