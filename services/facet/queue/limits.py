"""Bounds and times of a queue, equal for every process that shares it."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BATCH = 100
"""Items that one script call handles at most."""

MAX_SWEEP = 32
"""Requests that one sweep ends or moves at most: each costs several writes."""

MAX_CLAIM = 32
"""Candidates that one claim looks at, and requests that it leases, at most."""

MAX_PREFERENCE = 8
"""How many of them it looks at for one that this worker is warm for."""

ORPHAN_MS = 30_000
"""When no worker of a fingerprint has claimed for so long, others may take what it began."""

SUSPECT_DEATHS = 2
"""Consecutive deaths without a new token after which a request runs alone."""

SWEEP_INTERVAL_MS = 250
"""Sweeps of all callers together are at least this far apart, unless one left a backlog."""

MAX_WAIT_MS = 1000
"""Longest wait for a hint: hints can be lost with the worker that took them."""

RESERVED_CHECK_MS = 200
"""How soon a worker asks again that empties itself for a request."""

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

MAX_DEAD_BYTES = 256 * 1024 * 1024
"""Bytes of envelopes among them; the oldest go first."""

MAX_USAGE_RECORDS = 1_000_000
"""Usage records of a shard that are kept at most, unless a deployment sets another bound."""

MAX_MEDIA_BYTES = 1 << 30
"""Bytes of all media in the store, unless a deployment sets another bound."""

MAX_TIMINGS = 2000
"""Timing samples kept for the autoscaler, which remembers about 1,000 of each pool."""

TIMINGS_MS = 600_000
"""How long they are kept where no autoscaler takes them."""

AUDIT_ENTRIES = 10_000
"""Operators' actions kept."""

AGE_STANDARD_MS = 2_000
AGE_BATCH_MS = 30_000
"""After so long a wait a class is served once in a while although better ones wait."""

AGED_TURN = 3
"""Better claims that pass over an aged class before it has its turn: it gets every fourth."""

HOLD_MS = 100
"""How long a request is kept for a worker with a warm cache that is about to ask."""

HOLD_SLACK = 2
"""It is not kept when that worker has so many requests more than the one that asks."""

WARM_MS = 600_000
"""How long an affinity is remembered."""

MAX_FOLLOWERS = 4
"""Inboxes that one log is written to; a further follower takes the place of the oldest."""

INBOX_ENTRIES = 16_384
"""Entries kept in an inbox; a reader that misses some reads the logs."""

INBOX_MS = 15_000
"""An inbox vanishes so long after its follower was heard of last."""

MAX_TENANTS_REMEMBERED = 4096
"""Virtual times kept for each class; forgotten tenants start at the current one."""

PACE_MS = 5_000
"""Window over which the drain rate is measured; one before it counts too."""

FIRST_OUTPUT_TOKENS = 256
"""Expected length of an answer before any ended."""

OUTPUT_MEMORY = 32
"""The mean output follows the last so many answers."""

FULL_RETRY_MS = 2_000
"""When a refused caller is asked to try again while the drain rate is unknown."""

MAX_RETRY_MS = 60_000
"""Latest time that a refused caller is asked for."""

MINUTE_MS = 60_000
"""What a tenant's buckets hold is this long a time's worth."""

GONE_MS = 60_000
"""How long a deleted request is told from one that the store lost: longer than a worker keeps what
it could not write."""

QUOTA_MS = 2 * 3_600_000
"""A tenant's buckets are kept for so long after they are full: longer than a deadline may be, so
that what a generation took beyond its estimate is charged."""

FULL_RETRY_SECONDS = FULL_RETRY_MS / 1000
"""The same for callers that no queue refused."""


@dataclass(frozen=True)
class QueueLimits:
    """What a deployment may set.

    `lease_ms`: a lease lapses this long after its last renewal. `max_waiting...`: submissions are
    refused beyond it; `tenant_...` are the bounds of one tenant. `report_ms`: life of a worker's
    report. `dead_letter_ms`: life of a dead letter. `max_log_bytes`: a request whose events and ids
    would take more is ended with LOG_FULL; its terminal event always fits.
    """

    lease_ms: int = 5_000
    max_waiting: int = 10_000
    max_waiting_tokens: int = 1 << 40
    max_waiting_bytes: int = 1 << 30
    tenant_max_waiting: int = 10_000
    tenant_max_waiting_tokens: int = 1 << 40
    tenant_max_waiting_bytes: int = 1 << 30
    report_ms: int = 10_000
    dead_letter_ms: int = 7 * 24 * 3_600_000
    max_log_bytes: int = 64 << 20
