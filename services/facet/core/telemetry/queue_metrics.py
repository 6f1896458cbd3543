"""What one gateway tells of a model's queue for all."""

from __future__ import annotations

from facet.core.telemetry.metrics import Catalogue

QUEUE = Catalogue(
    "Queue",
    "Read from the store every 2 s. One gateway of all tells a model's queue, so that sums count "
    "it once; when it ends, another takes over within 6 s.",
)

WAITING = QUEUE.told(
    "facet_queue_waiting_requests",
    "Requests that wait, by class (interactive, standard, batch).",
    ("model", "class"),
)
COST = QUEUE.told(
    "facet_queue_waiting_tokens",
    "Their estimated cost: tokens of prompt and expected answer.",
    ("model", "class"),
)
OLDEST = QUEUE.told(
    "facet_queue_oldest_age_seconds",
    "Age of the oldest that waits, 0 when nothing does.",
    ("model", "class"),
)
BYTES = QUEUE.told(
    "facet_queue_waiting_bytes", "Bytes of what waits, media not counted.", ("model",)
)
LEASES = QUEUE.told("facet_queue_leases", "Requests that workers hold by a lease.", ("model",))
DEAD_LETTERS = QUEUE.told(
    "facet_queue_dead_letters", "Requests that were given up and are kept.", ("model",)
)
