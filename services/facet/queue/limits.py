"""Bounds and times of a queue, equal for every process that shares it."""

from __future__ import annotations

from dataclasses import dataclass

from facet.queue.port import Priority

MAX_BATCH = 100
"""Items that one script call handles at most."""

MAX_CLAIM = 32
"""Candidates that one claim looks at, and requests that it leases, at most."""

SUSPECT_DEATHS = 2
"""Consecutive deaths without a new token after which a request runs alone."""

SWEEP_INTERVAL_MS = 250
"""Sweeps of all callers together are at least this far apart, unless one left a backlog."""

MAX_WAIT_MS = 1000
"""Longest wait for a hint: hints can be lost with the worker that took them."""

RESERVED_CHECK_MS = 200
"""How soon a worker asks again that empties itself for a suspect."""

MAX_HINTS = 64
"""Hints kept; more workers than that find work by their own bounded wait."""

GAP_LEASE_SHARE = 0.7
"""Sweeps further apart than this share of a lease tell of an outage; after a shorter one enough of
each lease is left for a heartbeat."""

MIN_RETENTION_MS = 60_000
"""Shortest life of an ended request, whatever retention was asked for: its readers must be able to
fetch the end, also those that are behind or come back within their grace."""

MAX_DEAD_LETTERS = 1000
"""Dead letters kept; the oldest go first."""

FULL_RETRY_SECONDS = 2.0
"""When a refused caller is asked to try again."""

HANDICAP_MS = {Priority.INTERACTIVE: 0, Priority.STANDARD: 2_000, Priority.BATCH: 60_000}
"""Head start of a better class: a request is served before younger ones once it waited longer."""


@dataclass(frozen=True)
class QueueLimits:
    """What a deployment may set.

    `lease_ms`: a lease lapses this long after its last renewal. `max_waiting`: submissions are
    refused beyond it. `report_ms`: life of a worker's report. `dead_letter_ms`: life of a dead
    letter.
    """

    lease_ms: int = 5_000
    max_waiting: int = 10_000
    report_ms: int = 10_000
    dead_letter_ms: int = 7 * 24 * 3_600_000
