"""What both clients agree on when they connect."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from facet.client.tls import Tls

DEFAULT_ADDRESS = "127.0.0.1:8470"

GENERATION_ID_KEY = "facet-generation-id"
"""Initial metadata of every generating call."""

_OPTIONS = (
    # A long answer with logprobs passes gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # A restarted gateway is found again quickly: gRPC would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Bounds one try to connect to a host that does not answer; gRPC takes 20 s.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A host that vanished without a word is noticed while a stream waits for its next event, and
    # early enough to attach elsewhere within the readers' grace.
    ("grpc.keepalive_time_ms", 3_000),
    ("grpc.keepalive_timeout_ms", 2_500),
    # What gRPC waits for a keepalive ping too; by itself a minute, whatever stands above.
    ("grpc.http2.ping_timeout_ms", 2_500),
    # A reader sends nothing but pings.
    ("grpc.http2.max_pings_without_data", 0),
)
# gRPC sends even loopback connections through a proxy that the environment names.
_NO_PROXY = (("grpc.enable_http_proxy", 0),)
_LOOPBACK_HOSTS = frozenset({"localhost", "::1", "[::1]"})


def addresses_of(target: str) -> list[str]:
    """The addresses of `host:port[,host:port...]`. Errors: ValueError where there is none."""
    addresses = [address.strip() for address in target.split(",") if address.strip()]
    if not addresses:
        raise ValueError("no address is given, want host:port[,host:port...]")
    return addresses


def channel_options(address: str, tls: Tls | None = None) -> tuple[tuple[str, Any], ...]:
    """Options of a channel to `address`, a host:port."""
    options = _OPTIONS + _NO_PROXY if _is_loopback(address) else _OPTIONS
    return (*options, *(tls.options() if tls else ()))


def warn_of_plaintext(addresses: Iterable[str], api_key: str | None, tls: Tls | None) -> None:
    """Warn when a key is to leave this machine unencrypted."""
    far = [address for address in addresses if not _is_loopback(address)]
    if far and api_key and tls is None:
        warnings.warn(
            f"the API key goes to {far[0]} unencrypted: use TLS (tls=facet.Tls(...), facet --tls)",
            stacklevel=4,
        )


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0]
    # A socket in the file system stays on this machine as well.
    is_here = host in _LOOPBACK_HOSTS or host.startswith("127.")
    return is_here or address.startswith("unix:")


def call_metadata(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """Metadata of a call."""
    return (("authorization", f"Bearer {api_key}"),) if api_key else ()


def generation_id(initial_metadata: Iterable[tuple[str, str | bytes]] | None) -> str:
    """The id of the generation that a call created; empty where none was accepted."""
    for key, value in initial_metadata or ():
        if key == GENERATION_ID_KEY and isinstance(value, str):
            return value
    return ""
