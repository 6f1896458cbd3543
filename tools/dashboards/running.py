"""Dashboards of what serves: engine, speculation, autoscaling, cost."""

from __future__ import annotations

from tools.dashboards.panels import Dashboard, Line, Panel
from tools.dashboards.queries import highest, increase, lowest, mean, rate, slope, total
from tools.dashboards.serving import quantiles

_OUTPUT = 'direction="output"'

ENGINE = Dashboard(
    "engine",
    "Facet: engine",
    "How full workers are, how fast they start, how their attempts end.",
    (
        (
            "Capacity",
            (
                Panel(
                    "Sequences",
                    "Inside the engines, and what these can run at once.",
                    "short",
                    (
                        Line(total("facet_worker_running_sequences", "pool"), "{{pool}} running"),
                        Line(total("facet_worker_capacity_sequences", "pool"), "{{pool}} capacity"),
                    ),
                ),
                Panel(
                    "KV cache in use",
                    "Mean and fullest worker; near 1 the engine preempts.",
                    "percentunit",
                    (
                        Line(mean("facet_worker_kv_cache_use_ratio", "pool"), "{{pool}} mean"),
                        Line(
                            highest("facet_worker_kv_cache_use_ratio", "pool"), "{{pool}} fullest"
                        ),
                    ),
                ),
                Panel(
                    "Prefix cache hits",
                    "Share of the prompt tokens that were found in the cache.",
                    "percentunit",
                    (
                        Line(
                            f"{rate('facet_worker_prefix_cache_hit_tokens_total', 'pool')} / "
                            f"{rate('facet_worker_prefix_cache_asked_tokens_total', 'pool')}",
                            "{{pool}}",
                        ),
                    ),
                ),
                Panel(
                    "Output tokens by worker",
                    "Of generations that ended; each line is the mean of a pool's workers.",
                    "short",
                    (
                        Line(
                            f"{rate('facet_worker_tokens_total', 'pool', where=_OUTPUT)} / "
                            f"{total('facet_worker_ready', 'pool')}",
                            "{{pool}}",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Attempts",
            (
                Panel(
                    "Attempts by end",
                    "LEASE_LOST and ENGINE_DIED are rare in health.",
                    "ops",
                    (Line(rate("facet_worker_attempts_total", "reason"), "{{reason}}"),),
                ),
                Panel(
                    "Length of attempts",
                    "From the claim to the end.",
                    "s",
                    quantiles("facet_worker_attempt_seconds", "pool"),
                ),
                Panel(
                    "Resumed",
                    "In the hour before: exact goes on, repeat runs again and leaves out what is "
                    "known, restart begins anew.",
                    "short",
                    (Line(increase("facet_worker_resumes_total", "way"), "{{way}}"),),
                ),
                Panel(
                    "Drained",
                    "Requests that draining workers finished or handed back in the hour before.",
                    "short",
                    (
                        Line(
                            increase("facet_worker_drained_requests_total", "result"), "{{result}}"
                        ),
                    ),
                ),
            ),
        ),
        (
            "Starts",
            (
                Panel(
                    "Start by phase",
                    "Slowest worker of a pool; fetching to the self-test, one after the other.",
                    "s",
                    (
                        Line(
                            highest("facet_worker_start_seconds", "pool", "phase"),
                            "{{pool}} {{phase}}",
                        ),
                    ),
                ),
                Panel(
                    "Ready",
                    "Workers that claim.",
                    "short",
                    (Line(total("facet_worker_ready", "pool"), "{{pool}}"),),
                ),
            ),
        ),
    ),
)

SPECULATION = Dashboard(
    "speculation",
    "Facet: speculation",
    "What the drafter of MTP brings.",
    (
        (
            "Acceptance",
            (
                Panel(
                    "Tokens a step",
                    "1 and what is accepted of a draft; the more, the faster.",
                    "short",
                    (
                        Line(
                            f"1 + {rate('facet_worker_accepted_tokens_total', 'pool')} / "
                            f"{rate('facet_worker_drafts_total', 'pool')}",
                            "{{pool}}",
                        ),
                        Line(
                            mean("facet_worker_mean_accepted_length_tokens", "pool"),
                            "{{pool}}, last 1,000 drafts of each worker",
                        ),
                    ),
                ),
                Panel(
                    "Accepted share",
                    "Of the drafted tokens.",
                    "percentunit",
                    (
                        Line(
                            f"{rate('facet_worker_accepted_tokens_total', 'pool')} / "
                            f"{rate('facet_worker_drafted_tokens_total', 'pool')}",
                            "{{pool}}",
                        ),
                    ),
                ),
                Panel(
                    "Share at the last judgement",
                    "Lowest worker of a pool; below the floor of its profile it is not healthy, "
                    "which 0 tells.",
                    "short",
                    (
                        Line(lowest("facet_worker_speculation_acceptance", "pool"), "{{pool}}"),
                        Line(
                            lowest("facet_worker_speculation_healthy", "pool"), "{{pool}} healthy"
                        ),
                    ),
                ),
                Panel(
                    "Accepted share by place",
                    "Of the tokens at each place of the draft. Late places that are hardly "
                    "accepted cost for nothing: lower speculativeTokens.",
                    "percentunit",
                    (
                        Line(
                            f"{rate('facet_worker_position_accepted_tokens_total', 'position')} / "
                            f"{rate('facet_worker_position_drafted_tokens_total', 'position')}",
                            "place {{position}}",
                        ),
                    ),
                ),
                Panel(
                    "Drafts",
                    "That the target model judged.",
                    "ops",
                    (Line(rate("facet_worker_drafts_total", "pool"), "{{pool}}"),),
                ),
            ),
        ),
    ),
)

AUTOSCALING = Dashboard(
    "autoscaling",
    "Facet: autoscaling",
    "What the autoscaler sees and decides.",
    (
        (
            "Decisions",
            (
                Panel(
                    "Desired",
                    "Workers that each pool should have.",
                    "short",
                    (Line(highest("facet_autoscaler_desired_replicas", "pool"), "{{pool}}"),),
                ),
                Panel(
                    "Pods by phase",
                    "Up to ready, and terminating.",
                    "short",
                    (
                        Line(
                            highest("facet_autoscaler_pods", "pool", "phase"), "{{pool}} {{phase}}"
                        ),
                    ),
                ),
                Panel(
                    "Reasons",
                    "Of its decisions; docs/autoscaling.md lists them.",
                    "ops",
                    (
                        Line(
                            rate("facet_autoscaler_reasons_total", "pool", "reason"),
                            "{{pool}} {{reason}}",
                        ),
                    ),
                ),
                Panel(
                    "Start-up",
                    "From creating a pod to its readiness, as it is counted with.",
                    "s",
                    (Line(highest("facet_autoscaler_startup_seconds", "pool"), "{{pool}}"),),
                ),
            ),
        ),
        (
            "Signals",
            (
                Panel(
                    "Blind",
                    "1 while a signal is missing without which sizes are held.",
                    "short",
                    (Line(highest("facet_autoscaler_blind"), "blind"),),
                ),
                Panel(
                    "Age of the decision",
                    "Oldest that a replica answers with.",
                    "s",
                    (Line(highest("facet_autoscaler_decision_age_seconds"), "age"),),
                ),
                Panel(
                    "Age of signals",
                    "What is older than its bound counts as missing.",
                    "s",
                    (Line(highest("facet_autoscaler_signal_age_seconds", "what"), "{{what}}"),),
                ),
                Panel(
                    "Load",
                    "Tokens that wait.",
                    "short",
                    (Line(total("facet_queue_waiting_tokens", "class"), "{{class}}"),),
                ),
                Panel(
                    "Oldest that waits",
                    "What more workers are to bring down.",
                    "s",
                    (Line(highest("facet_queue_oldest_age_seconds", "class"), "{{class}}"),),
                ),
            ),
        ),
    ),
)

COST = Dashboard(
    "cost",
    "Facet: cost",
    "What the workers cost, and for whom they work.",
    (
        (
            "Money",
            (
                Panel(
                    "Cost an hour",
                    "Of all workers, in the unit of pricePerHour.",
                    "short",
                    (Line(highest("facet_autoscaler_cost_per_hour"), "cost"),),
                ),
                Panel(
                    "Cost of a million output tokens",
                    "At the rate of the moment; high while workers idle.",
                    "short",
                    (
                        Line(
                            f"{highest('facet_autoscaler_cost_per_hour')} / (3600 * "
                            f"{rate('facet_worker_tokens_total', where=_OUTPUT)}) * 1000000",
                            "cost",
                        ),
                    ),
                ),
            ),
        ),
        (
            "Work",
            (
                Panel(
                    "GPU seconds by model and tenant",
                    "Used in a second; the line without a tenant served nobody.",
                    "short",
                    (
                        Line(
                            slope("facet_autoscaler_gpu_seconds", "model", "tenant"),
                            "{{model}} {{tenant}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Output tokens by tenant",
                    "Usage records (`facet admin usage`) are the bill; this is the trend.",
                    "short",
                    (
                        Line(
                            rate("facet_worker_tokens_total", "tenant", where=_OUTPUT), "{{tenant}}"
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Input tokens by tenant",
                    "Of all modalities.",
                    "short",
                    (
                        Line(
                            rate("facet_worker_tokens_total", "tenant", where='direction="input"'),
                            "{{tenant}}",
                        ),
                    ),
                    is_stacked=True,
                ),
                Panel(
                    "Use of workers",
                    "Sequences inside the engines by their capacity; low means paid for nothing.",
                    "percentunit",
                    (
                        Line(
                            f"{total('facet_worker_running_sequences', 'pool')} / "
                            f"{total('facet_worker_capacity_sequences', 'pool')}",
                            "{{pool}}",
                        ),
                    ),
                ),
            ),
        ),
    ),
)
