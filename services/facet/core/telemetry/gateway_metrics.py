"""What gateways tell of the calls that they serve."""

from __future__ import annotations

from facet.core.telemetry.metrics import TOKEN_BUCKETS, WAIT_BUCKETS, WHOLE_BUCKETS, Catalogue

GATEWAY = Catalogue(
    "Gateway",
    "Told by every gateway, all its processes together. `reason` is `OK` or one of `errors.md`; "
    "`CANCELLED` also counts callers that went away, `REFUSED` health of unknown services.",
)

CALLS = GATEWAY.counter(
    "facet_gateway_calls_total",
    "Calls of methods that are served, by how they ended.",
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
SERVING = GATEWAY.gauge(
    "facet_gateway_serving", "Processes of this gateway whose health says SERVING."
)
FIRST_TOKEN = GATEWAY.histogram(
    "facet_gateway_time_to_first_token_seconds",
    "From the arrival of a call that generates to the first event that it gets behind "
    "`started`; queue, media and prefill included.",
    WAIT_BUCKETS,
    ("model", "class"),
)
INTER_TOKEN = GATEWAY.histogram(
    "facet_gateway_inter_token_seconds",
    "Between two deliveries of a call. Each brings what one engine step made, or several where the "
    "caller is behind.",
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
    "facet_gateway_deliveries_total",
    "Batches of events that calls got, to write them or to fold them into a unary answer.",
    ("model",),
)
DELIVERED_EVENTS = GATEWAY.counter(
    "facet_gateway_delivered_events_total",
    "Events in them; divided by the deliveries, how many are merged.",
    ("model",),
)
RESUMES = GATEWAY.counter(
    "facet_gateway_resumes_total",
    "Further attempts that it took, told by the ends that are delivered.",
    ("model",),
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
PROCESSES = GATEWAY.told(
    "facet_gateway_processes", "Processes that run; told by gateways of several."
)
