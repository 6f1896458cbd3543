"""What gateways and workers tell of their calls to the store, and of sweeps."""

from __future__ import annotations

from facet.core.telemetry.metrics import CALL_BUCKETS, Catalogue

STORE = Catalogue(
    "Store", "Told by every gateway and worker, of the calls that it makes to Redis itself."
)

CALL_SECONDS = STORE.histogram(
    "facet_store_call_seconds",
    "Time of a call to the store by script or command, connecting included; waits for news are not "
    "counted.",
    CALL_BUCKETS,
    ("call",),
)
CALL_FAILURES = STORE.counter(
    "facet_store_call_failures_total",
    "Calls to the store that failed or took too long, by script or command.",
    ("call",),
)
SWEPT = STORE.counter(
    "facet_store_swept_requests_total",
    "Requests that sweeps of this process ended or put back, by what had happened: expired, reaped "
    "(their worker was lost), abandoned (their readers were gone), dead_lettered.",
    ("what",),
)
