"""What workers tell of their runs and of their engine."""

from __future__ import annotations

from facet.core.telemetry.metrics import TOKEN_BUCKETS, WAIT_BUCKETS, WHOLE_BUCKETS, Catalogue

WORKER = Catalogue(
    "Worker",
    "Told by every worker. `model` is what it serves, `pool` the pool that it belongs to, empty "
    "outside of pools.",
)
_OWN = ("model", "pool")

QUEUE_WAIT = WORKER.histogram(
    "facet_worker_queue_wait_seconds",
    "From acceptance to the first claim.",
    WAIT_BUCKETS,
    (*_OWN, "class"),
)
RENDER = WORKER.histogram(
    "facet_worker_render_seconds",
    "Fetching and decoding media and rendering the prompt, of each attempt.",
    WAIT_BUCKETS,
    _OWN,
)
FIRST_TOKEN = WORKER.histogram(
    "facet_worker_time_to_first_token_seconds",
    "From the claim to the first id of the engine, of each attempt.",
    WAIT_BUCKETS,
    _OWN,
)
OUTPUT_TOKEN = WORKER.histogram(
    "facet_worker_time_per_output_token_seconds",
    "Mean of an attempt: from the first to the last id, by the ids behind the first.",
    TOKEN_BUCKETS,
    _OWN,
)
ATTEMPT_SECONDS = WORKER.histogram(
    "facet_worker_attempt_seconds",
    "From the claim to the end of the attempt, however it ended.",
    WHOLE_BUCKETS,
    _OWN,
)
ATTEMPTS = WORKER.counter(
    "facet_worker_attempts_total",
    "Attempts by how they ended: OK, a reason of errors.md, LEASE_LOST (cancelled, expired, "
    "or taken over), HANDED_BACK, ENGINE_DIED (all that its worker had).",
    (*_OWN, "class", "reason"),
)
TOKENS = WORKER.counter(
    "facet_worker_tokens_total",
    "Tokens of generations that ended here, all attempts together: direction `input` by modality "
    "(text, image, audio, video), `output` as text or thought.",
    (*_OWN, "tenant", "adapter", "modality", "direction"),
)
TIMINGS_DROPPED = WORKER.counter(
    "facet_worker_timings_dropped_total",
    "Timing spans that were not sent to the autoscaler, for being above the rate.",
)
RESUMES = WORKER.counter(
    "facet_worker_resumes_total",
    "Attempts that went on with what an earlier one had logged: exact, repeat (ran again and left "
    "out what was logged) or restart.",
    (*_OWN, "way"),
)
CAPACITY = WORKER.gauge(
    "facet_worker_capacity_sequences", "Candidates that the engine runs at once.", _OWN
)
KV_TOKENS = WORKER.gauge("facet_worker_kv_cache_tokens", "Tokens of KV cache.", _OWN)
HELD = WORKER.gauge(
    "facet_worker_held_requests", "Requests that it has a lease of, claimed ahead included.", _OWN
)
RUNNING = WORKER.gauge("facet_worker_running_sequences", "Candidates inside the engine.", _OWN)
KV_USE = WORKER.gauge(
    "facet_worker_kv_cache_use_ratio", "Share of the KV cache in use.", _OWN, mode="livemax"
)
PREFIX_ASKED = WORKER.counter(
    "facet_worker_prefix_cache_asked_tokens_total",
    "Prompt tokens that were looked for in the prefix cache.",
    _OWN,
)
PREFIX_HITS = WORKER.counter(
    "facet_worker_prefix_cache_hit_tokens_total", "Those that were found there.", _OWN
)
DRAFTS = WORKER.counter("facet_worker_drafts_total", "Drafts that the target model judged.", _OWN)
DRAFTED = WORKER.counter("facet_worker_drafted_tokens_total", "Tokens of these drafts.", _OWN)
ACCEPTED = WORKER.counter("facet_worker_accepted_tokens_total", "Those that were accepted.", _OWN)
DRAFTED_AT = WORKER.counter(
    "facet_worker_position_drafted_tokens_total",
    "Drafted tokens by their place in the draft, from 0.",
    (*_OWN, "position"),
)
ACCEPTED_AT = WORKER.counter(
    "facet_worker_position_accepted_tokens_total",
    "Accepted tokens by their place in the draft, from 0.",
    (*_OWN, "position"),
)
ACCEPTED_LENGTH = WORKER.gauge(
    "facet_worker_mean_accepted_length_tokens",
    "Tokens that a step brings a sequence: 1 and what is accepted of a draft; mean of the last "
    "1,000 drafts or so, 0 before the first.",
    _OWN,
    mode="livemax",
)
SPECULATION_ACCEPTANCE = WORKER.gauge(
    "facet_worker_speculation_acceptance",
    "Share of drafted tokens that were accepted, by the last judgement: of the last 10,000 drafted "
    "ones or so, until there are 1,000 of the self-test. NaN before the first, absent without a "
    "drafter.",
    _OWN,
    mode="livemin",
)
SPECULATION_HEALTHY = WORKER.gauge(
    "facet_worker_speculation_healthy",
    "0 while that share is below the floor of the profile, 1 from 1.2 times the floor on; absent "
    "without a drafter. The worker serves on: an unaccepted draft costs time alone.",
    _OWN,
    mode="livemin",
)
START_SECONDS = WORKER.gauge(
    "facet_worker_start_seconds",
    "What the start took by phase: fetch (weights), import (code and plan), load (weights into "
    "memory), warm_up (memory profile, caches, compiling), engine (its processes, and all else of "
    "it), self_test (of speculation); 0 until the phase is over, of load to engine all three.",
    (*_OWN, "phase"),
    mode="livemax",
)
READY = WORKER.gauge("facet_worker_ready", "1 while it claims, 0 while it starts or drains.", _OWN)
DRAINED = WORKER.counter(
    "facet_worker_drained_requests_total",
    "Requests that a drain let finish, or handed back.",
    (*_OWN, "result"),
)
