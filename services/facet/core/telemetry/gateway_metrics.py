"""What gateways tell of the calls that they serve."""

from __future__ import annotations

from facet.core.telemetry.metrics import TOKEN_BUCKETS, WAIT_BUCKETS, WHOLE_BUCKETS, Catalogue

GATEWAY = Catalogue(
    "Gateway",
    "Told by every gateway, all its processes together. `reason` is `OK` or a reason of "
    "`docs/errors.md`; `CANCELLED` also counts callers that went away.",
)

CALLS = GATEWAY.counter(
    "facet_gateway_calls_total",
    "Calls that ended, by method and reason, refused ones included.",
    ("method", "reason"),
)
REQUESTS = GATEWAY.counter(
    "facet_gateway_requests_total",
    "Calls that generate (unary, streamed, submitted) by how they ended; of a submission, whether "
    "it was accepted.",
    ("model", "class", "tenant", "reason"),
)
OPEN_CALLS = GATEWAY.gauge(
    "facet_gateway_open_calls", "Calls under way that generate, wait or attach."
)
FIRST_TOKEN = GATEWAY.histogram(
    "facet_gateway_time_to_first_token_seconds",
    "From the arrival of a call that generates to the delivery of the first event behind "
    "`started`; queue, media and prefill included.",
    WAIT_BUCKETS,
    ("model", "class"),
)
INTER_TOKEN = GATEWAY.histogram(
    "facet_gateway_inter_token_seconds",
    "Between two deliveries to one reader. Each brings what one engine step made, or several where "
    "the reader was behind.",
    TOKEN_BUCKETS,
    ("model",),
)
REQUEST_SECONDS = GATEWAY.histogram(
    "facet_gateway_request_seconds",
    "From the arrival of a call that generates to the delivery of its successful end.",
    WHOLE_BUCKETS,
    ("model", "class"),
)
DELIVERIES = GATEWAY.counter(
    "facet_gateway_deliveries_total", "Messages with events given to readers.", ("model",)
)
DELIVERED_EVENTS = GATEWAY.counter(
    "facet_gateway_delivered_events_total",
    "Events in them: divided by the deliveries, how many were merged.",
    ("model",),
)
RESUMES = GATEWAY.counter(
    "facet_gateway_resumes_total",
    "Further attempts that answers took, as the ends tell that were delivered.",
    ("model",),
)
ATTACHED = GATEWAY.counter(
    "facet_gateway_attached_readers_total",
    "Readers that took a generation up, at its beginning or further on.",
    ("model", "place"),
)
MEDIA_BYTES = GATEWAY.counter(
    "facet_gateway_media_bytes_total",
    "Bytes of inline media stored, by modality (image, audio, video).",
    ("model", "modality"),
)
QUOTA_REFUSALS = GATEWAY.counter(
    "facet_gateway_quota_refusals_total",
    "Requests refused with QUOTA_EXCEEDED, by the limit that was reached.",
    ("tenant", "limit"),
)
STREAMS_HELD = GATEWAY.counter(
    "facet_gateway_store_outages_total",
    "Times that streams were held because the store was away.",
    ("model",),
)
PROCESSES = GATEWAY.told(
    "facet_gateway_processes", "Processes of this gateway that serve, out of those configured."
)
