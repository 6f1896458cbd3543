"""Settings of the gateway, read once from the environment at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from facet.core.listener import ListenerSettings
from facet.core.settings import settings_config
from facet.core.telemetry.settings import TelemetrySettings
from facet.queue.limits import MAX_MEDIA_BYTES, MAX_USAGE_RECORDS, QueueLimits
from facet.queue.placement import MAX_SHARDS
from facet.queue.store_settings import StoreSettings

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=1 << 50)]


class GatewaySettings(StoreSettings, ListenerSettings, TelemetrySettings):
    """Environment variables `FACET_GATEWAY_<FIELD>`."""

    model_config = settings_config("GATEWAY")

    listen: Annotated[str, Field(pattern=r"^.+:\d{1,5}$")] = "127.0.0.1:0"
    """Address of the gRPC listener, `host:port`; port 0 takes a free one."""

    admin_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address of the operators' listener, `host:port`; empty serves none. One that other machines
    can reach needs an operator's key in `api_keys_file`."""

    health_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address of a listener that serves health alone, `host:port`, without TLS whatever the others
    do: probes of Kubernetes speak none. Empty serves none."""

    http_health_listen: Annotated[str, Field(pattern=r"^(.+:\d{1,5})?$")] = ""
    """Address of a listener that tells health over plain HTTP, `host:port`: checks of Google's load
    balancers speak no gRPC. Empty serves none."""

    release: str = "default"
    """Part of every Redis key, so that several releases may share one Redis."""

    models: Annotated[tuple[str, ...], Field(min_length=1)] = ("nano",)
    """Models served, as a JSON list; the first is the default of requests that name none."""

    api_keys_file: Path | None = None
    """Lines `tenant:sha256-of-the-key[:weight=2][:expires=2030-12-31T00:00:00Z][:admin]`, digests
    in hexadecimal, in a file or in the files of a directory; changes are in force within 2 s.
    Without keys and tokens only loopback is served."""

    oidc_issuer: str = ""
    """Tokens (JWT) are accepted when their claim `iss` is exactly this; empty accepts none."""

    oidc_audience: str = ""
    """What a token's `aud` must be or hold."""

    oidc_jwks: str = ""
    """Where the issuer's public keys are: an https URL, or a file. http on this machine only."""

    oidc_tenant_claim: Annotated[str, Field(min_length=1)] = "tenant"
    """The claim that names the tenant, or its path with dots between."""

    oidc_roles_claim: Annotated[str, Field(min_length=1)] = "roles"
    """The claim that lists roles, or its path with dots between."""

    oidc_admin_role: str = ""
    """The role that makes an operator; empty makes none of tokens."""

    oidc_leeway_seconds: Annotated[float, Field(ge=0, le=300)] = 30.0
    """What clocks of issuer and gateway may differ by."""

    tenants_file: Path | None = None
    """JSON with the limits and the retention of tenants, see `facet.gateway.tenants`; read anew
    when it changes. Without it nobody is limited. All gateways of a deployment have the same."""

    usage_retention_seconds: Annotated[int, Field(ge=0, le=400 * 86_400)] = 35 * 86_400
    """How long the usage record of an ended generation is kept, about."""

    max_usage_records: Count = MAX_USAGE_RECORDS
    """Usage records that each shard of a model keeps at most, the latest ones; 130 bytes each."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged."""

    max_message_bytes: Annotated[int, Field(ge=1 << 16, le=1 << 30)] = 24 << 20
    """Largest gRPC message accepted."""

    max_metadata_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 20)] = 16 << 10
    """Most bytes of a call's metadata, as HTTP/2 counts them (names, values, 32 for each)."""

    max_inline_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 30)] = 20 << 20
    """Most inline media bytes in one request, all parts together."""

    max_inflight_inline_bytes: Annotated[int, Field(ge=1 << 10, le=1 << 40)] = 512 << 20
    """Most inline media bytes of all requests that are being taken in at once; more are refused."""

    max_media_bytes: Count = MAX_MEDIA_BYTES
    """Most media bytes in the store, of all models of a release; more are refused with
    STORE_FULL. All gateways of a deployment set it alike."""

    max_open_calls: Annotated[int, Field(ge=1, le=100_000)] = 4096
    """Most calls that generate or attach at once; more are refused."""

    max_waiting: Count = QueueLimits.max_waiting
    """Most requests that wait in a model's queue; more are refused with QUEUE_FULL. All gateways of
    a deployment set these bounds alike."""

    max_waiting_tokens: Count = QueueLimits.max_waiting_tokens
    """The same in estimated tokens, prompt and expected answer together."""

    max_waiting_bytes: Count = QueueLimits.max_waiting_bytes
    """The same in bytes, media not counted."""

    tenant_max_waiting: Count = QueueLimits.tenant_max_waiting
    """Most requests of one tenant that wait; more are refused with QUOTA_EXCEEDED."""

    tenant_max_waiting_tokens: Count = QueueLimits.tenant_max_waiting_tokens
    """The same in estimated tokens."""

    tenant_max_waiting_bytes: Count = QueueLimits.tenant_max_waiting_bytes
    """The same in bytes."""

    queue_shards: Annotated[int, Field(ge=1, le=MAX_SHARDS)] = 1
    """Shards of each model's queue over which new requests are placed. Order, fairness and the
    bounds above hold in each."""

    default_deadline_seconds: Seconds = 600.0
    """Deadline of calls that bring none."""

    max_deadline_seconds: Seconds = 3600.0
    """Longest deadline; longer ones are shortened to it."""

    submit_replicas: Annotated[int, Field(ge=0, le=16)] = 0
    """So many replicas of the store must have a request before its acceptance is told; else
    STORE_UNAVAILABLE, and a repeat under the request id finds it. 0 waits for none."""

    reader_grace_seconds: Seconds = 10.0
    """How long a generation outlives its last reader under CANCEL_AFTER_GRACE."""

    drain_seconds: Seconds = 30.0
    """How long open calls are served after SIGTERM."""

    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that share the listeners; the kernel gives each new connection to one of them, and
    `metrics_listen` tells all of them together. Bounds on open calls and inline bytes hold in
    each."""

    address_file: Path | None = None
    """The bound `host:port` is written here once the gateway serves; that of the operators'
    listener, if there is one, in a second line."""
