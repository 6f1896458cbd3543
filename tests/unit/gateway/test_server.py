"""What gateway and SDK tell gRPC: together it keeps what the design promises."""

from __future__ import annotations

import pytest

from facet.client.connection import channel_options
from facet.gateway.log_reader import MAX_FOLLOW_SECONDS
from facet.gateway.server import server_options
from facet.gateway.settings import GatewaySettings

pytestmark = pytest.mark.unit

SERVER = dict(
    server_options(max_message_bytes=1 << 20, max_metadata_bytes=1 << 14, max_deadline_seconds=600)
)
CLIENT = dict(channel_options("far.away:8470"))
TIME, TIMEOUT, PING_TIMEOUT = (
    "grpc.keepalive_time_ms",
    "grpc.keepalive_timeout_ms",
    "grpc.http2.ping_timeout_ms",
)
SLACK_MS = 5_000
SWEEP_MS = HEARTBEAT_MS = 500


def test_the_engine_is_free_within_the_slack_when_a_client_falls_silent() -> None:
    noticed_ms = SERVER[TIME] + SERVER[TIMEOUT]
    assert noticed_ms + SWEEP_MS + HEARTBEAT_MS <= SLACK_MS


def test_a_reader_is_back_within_the_grace_when_its_gateway_falls_silent() -> None:
    noticed_ms = CLIENT[TIME] + CLIENT[TIMEOUT]
    left_ms = (GatewaySettings().reader_grace_seconds - MAX_FOLLOW_SECONDS) * 1000
    assert noticed_ms < left_ms


def test_pings_of_the_sdk_are_welcome_when_a_stream_is_silent() -> None:
    assert CLIENT[TIME] > SERVER["grpc.http2.min_ping_interval_without_data_ms"]
    assert CLIENT["grpc.http2.max_pings_without_data"] == 0


@pytest.mark.parametrize("options", [SERVER, CLIENT], ids=["gateway", "SDK"])
def test_the_answer_to_a_ping_is_waited_for_as_long_as_told(options: dict[str, int]) -> None:
    assert options[PING_TIMEOUT] == options[TIMEOUT]
