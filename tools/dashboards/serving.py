"""Dashboards of what callers see: traffic, latency, queue."""

from __future__ import annotations

from tools.dashboards.panels import Dashboard, Line, Panel
from tools.dashboards.queries import highest, increase, observations, quantile, rate, total

_TTFT = "facet_gateway_time_to_first_token_seconds"
_WAIT = "facet_worker_queue_wait_seconds"


def quantiles(name: str, *by: str) -> tuple[Line, ...]:
    """Median, 95th and 99th percentile of a histogram."""
    labels = "".join(f" {{{{{label}}}}}" for label in by)
    return tuple(
        Line(quantile(share, name, *by), f"p{share * 100:g}{labels}") for share in (0.5, 0.95, 0.99)
    )


TRAFFIC = Dashboard(
    "traffic",
    "Facet: traffic",
    "What is asked for, by whom, and how it ends.",
    (
        (
            "Requests",
            (
                Panel(
                    "Requests by class",
                    "Calls that generate, when they end.",
                    "reqps",
                    (Line(rate("facet_gateway_requests_total", "class"), "{{class}}"),),
                ),
                Panel(
                    "Failures by reason",
                    "All but OK; docs/errors.md says what each reason means and whose fault it is.",
                    "reqps",
                    (
                        Line(
                            rate("facet_gateway_requests_total", "reason", where='reason!="OK"'),
                            "{{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Requests by tenant",
                    "Tenants beyond the first 100 of a gateway are other.",
                    "reqps",
                    (Line(rate("facet_gateway_requests_total", "tenant"), "{{tenant}}"),),
                ),
                Panel(
                    "Refused by quota",
                    "By the limit of the tenant that was reached.",
                    "reqps",
                    (
                        Line(
                            rate("facet_gateway_quota_refusals_total", "tenant", "limit"),
                            "{{tenant}} {{limit}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Tokens and bytes",
            (
                Panel(
                    "Tokens",
                    "Of generations that ended, by direction and modality.",
                    "short",
                    (
                        Line(
                            rate("facet_worker_tokens_total", "direction", "modality"),
                            "{{direction}} {{modality}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Tokens by adapter",
                    "Output alone; adapters beyond the first 20 of a worker are other.",
                    "short",
                    (
                        Line(
                            rate(
                                "facet_worker_tokens_total",
                                "adapter",
                                where='direction="output"',
                            ),
                            "{{adapter}}",
                        ),
                    ),
                ),
                Panel(
                    "Media",
                    "Bytes of inline media that are stored.",
                    "Bps",
                    (Line(rate("facet_gateway_media_bytes_total", "modality"), "{{modality}}"),),
                ),
                Panel(
                    "Open calls",
                    "Calls under way; each gateway takes gateway.maxOpenCalls of them.",
                    "short",
                    (
                        Line(total("facet_gateway_open_calls"), "open"),
                        Line(total("facet_gateway_serving"), "processes that serve"),
                    ),
                ),
            ),
        ),
    ),
)

LATENCY = Dashboard(
    "latency",
    "Facet: latency",
    "How long callers wait, and where the time goes.",
    (
        (
            "What callers see",
            (
                Panel(
                    "Time to first token",
                    "From the call to its first event; queue, media and prefill included.",
                    "s",
                    quantiles(_TTFT, "class"),
                ),
                Panel(
                    "Between deliveries",
                    "Grows with the batch, and where a caller reads slowly.",
                    "s",
                    quantiles("facet_gateway_inter_token_seconds"),
                ),
                Panel(
                    "Whole request",
                    "Of calls that ended well.",
                    "s",
                    quantiles("facet_gateway_request_seconds", "class"),
                ),
                Panel(
                    "Events by delivery",
                    "Above 1 the caller, or the gateway, is behind the engine and events are "
                    "folded.",
                    "short",
                    (
                        Line(
                            f"{rate('facet_gateway_delivered_events_total', 'model')} / "
                            f"{rate('facet_gateway_deliveries_total', 'model')}",
                            "{{model}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Where it goes",
            (
                Panel("Queue wait", "To the first claim.", "s", quantiles(_WAIT, "class")),
                Panel(
                    "Media and prompt",
                    "Fetching and decoding media, rendering the prompt.",
                    "s",
                    quantiles("facet_worker_render_seconds"),
                ),
                Panel(
                    "Claim to first token",
                    "Media, prompt, the engine's own queue, prefill.",
                    "s",
                    quantiles("facet_worker_time_to_first_token_seconds", "pool"),
                ),
                Panel(
                    "Time per output token",
                    "Mean of each attempt.",
                    "s",
                    quantiles("facet_worker_time_per_output_token_seconds", "pool"),
                ),
            ),
        ),
        (
            "Redis",
            (
                Panel(
                    "Calls to the store",
                    "99th percentile by script or command; 1.8 s is the bound.",
                    "s",
                    (Line(quantile(0.99, "facet_store_call_seconds", "call"), "{{call}}"),),
                ),
                Panel(
                    "Calls that fail",
                    "Zero in health.",
                    "ops",
                    (Line(rate("facet_store_call_failures_total", "call"), "{{call}}"),),
                ),
                Panel(
                    "Calls",
                    "By script or command.",
                    "ops",
                    (Line(observations("facet_store_call_seconds", "call"), "{{call}}"),),
                    width=24,
                ),
            ),
        ),
    ),
)

QUEUE = Dashboard(
    "queue",
    "Facet: queue",
    "What waits, what runs, what was lost on the way.",
    (
        (
            "Waiting",
            (
                Panel(
                    "Requests",
                    "Bounded by gateway.maxWaiting.requests.",
                    "short",
                    (Line(total("facet_queue_waiting_requests", "class"), "{{class}}"),),
                    is_stacked=True,
                ),
                Panel(
                    "Tokens",
                    "Their estimated cost: prompt and expected answer.",
                    "short",
                    (Line(total("facet_queue_waiting_tokens", "class"), "{{class}}"),),
                    is_stacked=True,
                ),
                Panel(
                    "Oldest",
                    "Age of the oldest that waits.",
                    "s",
                    (Line(highest("facet_queue_oldest_age_seconds", "class"), "{{class}}"),),
                ),
                Panel(
                    "Bytes",
                    "Bounded by gateway.maxWaiting.bytes.",
                    "bytes",
                    (Line(total("facet_queue_waiting_bytes", "model"), "{{model}}"),),
                ),
            ),
        ),
        (
            "Running and lost",
            (
                Panel(
                    "Leases",
                    "Requests that workers hold.",
                    "short",
                    (Line(total("facet_queue_leases", "model"), "{{model}}"),),
                ),
                Panel(
                    "Dead letters",
                    "Given up and kept: `facet admin dlq list`.",
                    "short",
                    (Line(total("facet_queue_dead_letters", "model"), "{{model}}"),),
                ),
                Panel(
                    "Swept",
                    "In the hour before: ended or put back for want of time, worker or readers.",
                    "short",
                    (Line(increase("facet_store_swept_requests_total", "what"), "{{what}}"),),
                ),
                Panel(
                    "Further attempts",
                    "What it took beyond the first, told by the ends that are delivered.",
                    "ops",
                    (Line(rate("facet_gateway_resumes_total", "model"), "{{model}}"),),
                ),
            ),
        ),
    ),
)
