"""What the autoscaler tells of its signals, decisions and writes."""

from __future__ import annotations

from facet.core.telemetry.metrics import Catalogue

AUTOSCALER = Catalogue("Autoscaler", "Told by every replica of the autoscaler.")

DESIRED = AUTOSCALER.gauge(
    "facet_autoscaler_desired_replicas", "Workers that a pool should have.", ("pool",)
)
REPLICAS = AUTOSCALER.gauge("facet_autoscaler_replicas", "Workers that a pool has.", ("pool",))
BLIND = AUTOSCALER.gauge(
    "facet_autoscaler_blind", "1 while a signal is missing without which sizes are held."
)
SIGNAL_AGE = AUTOSCALER.gauge(
    "facet_autoscaler_signal_age_seconds", "Age of what each signal tells.", ("signal",)
)
COST = AUTOSCALER.gauge(
    "facet_autoscaler_cost_per_hour", "What the workers of all pools cost, by their pricePerHour."
)
