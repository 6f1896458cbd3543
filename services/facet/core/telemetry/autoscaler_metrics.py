"""What the autoscaler tells of its signals, decisions and writes."""

from __future__ import annotations

from facet.core.telemetry.metrics import Catalogue

AUTOSCALER = Catalogue("Autoscaler", "Told by every replica of the autoscaler.")

TIMING_SPANS = AUTOSCALER.counter(
    "facet_autoscaler_timing_spans_total",
    "Timing spans that came here: taken, ignored (another model's), bad (dropped for what they "
    "say).",
    ("result",),
)
TIMINGS_DROPPED = AUTOSCALER.counter(
    "facet_autoscaler_dropped_timings_total",
    "Timing samples that were dropped because the store did not take them in time.",
)
LEADING = AUTOSCALER.gauge(
    "facet_autoscaler_leading", "1 while this replica is the one that decides."
)
BLIND = AUTOSCALER.gauge(
    "facet_autoscaler_blind",
    "1 while sizes are held: a signal is missing, the store is away, or the last decision is too "
    "old.",
    mode="livemax",
)
DECISION_AGE = AUTOSCALER.gauge(
    "facet_autoscaler_decision_age_seconds",
    "Age of the last decision that this replica knows, when it looked; NaN before the first.",
    mode="livemax",
)
DECISIONS = AUTOSCALER.counter(
    "facet_autoscaler_decisions_total",
    "Decisions that this replica took: decided, or blind.",
    ("result",),
)
REASONS = AUTOSCALER.counter(
    "facet_autoscaler_reasons_total",
    "Reasons of its decisions, as docs/autoscaling.md lists them; pool is empty for all "
    "pools together.",
    ("pool", "reason"),
)
DESIRED = AUTOSCALER.gauge(
    "facet_autoscaler_desired_replicas", "Pods that the last decision wants.", ("pool",)
)
PODS = AUTOSCALER.gauge(
    "facet_autoscaler_pods",
    "Pods that it saw, by phase: unschedulable, pulling, loading, warming, ready, terminating.",
    ("pool", "phase"),
)
SIGNAL_AGE = AUTOSCALER.gauge(
    "facet_autoscaler_signal_age_seconds",
    "Age of each signal at the last decision, of what is learned since the last time that it was; "
    "NaN for one that was never read.",
    ("what",),
)
STARTUP = AUTOSCALER.gauge(
    "facet_autoscaler_startup_seconds",
    "From creating a pod to its readiness, as it is counted with.",
    ("pool",),
)
COEFFICIENT = AUTOSCALER.gauge(
    "facet_autoscaler_service_seconds",
    "Service times that are counted with: prefill_base, prefill_token_text, prefill_token_image, "
    "prefill_token_audio, prefill_token_video (of a token), step_base, step_sequence.",
    ("pool", "what"),
)
TOKENS_PER_STEP = AUTOSCALER.gauge(
    "facet_autoscaler_tokens_per_step", "Tokens that a step brings a sequence.", ("pool",)
)
SAMPLES = AUTOSCALER.gauge(
    "facet_autoscaler_samples",
    "Attempts that the service times were learned from; 0: they are the pool's settings.",
    ("pool",),
)
COST = AUTOSCALER.gauge(
    "facet_autoscaler_cost_per_hour",
    "Cost per hour of what is wanted, in the unit of the pools' prices.",
)
GPU_SECONDS = AUTOSCALER.gauge(
    "facet_autoscaler_gpu_seconds",
    "GPU seconds of the model's pools by tenant since the state began; tenant is empty for what "
    "served nobody.",
    ("model", "tenant"),
)
WRITER_LEADING = AUTOSCALER.gauge(
    "facet_autoscaler_writer_leading",
    "1 while this replica, standalone, holds the Lease and writes replicas.",
)
SCALE_WRITES = AUTOSCALER.counter(
    "facet_autoscaler_scale_writes_total",
    "Writes of a pool's replicas, standalone: written, dry, conflict (repeated), failed.",
    ("pool", "result"),
)
POD_WATCH_FAILURES = AUTOSCALER.counter(
    "facet_autoscaler_pod_watch_failures_total",
    "Lists and watches of pods that failed and were repeated.",
)
