"""What a worker with vLLM on nano tells, ours and vLLM's own."""

from __future__ import annotations

import pytest

import facet
from tests.support.promtool import Scraped, check_metrics, scrape
from tests.support.running_node import RunningNode, logged

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

QUESTIONS = 4
WORKERS = ("worker-0", "worker-1")


async def test_workers_tell_speculation_cache_and_tokens_beside_vllm(
    node: RunningNode, client: facet.AsyncClient
) -> None:
    for number in range(QUESTIONS):
        await client.generate(f"Reverse the words: one two three {number}", max_output_tokens=64)
    told = []
    for worker in WORKERS:
        address = logged(node, worker, "metrics.listening")["address"]
        text = scrape(address)
        check_metrics(text)
        told.append(Scraped(text))
        assert "vllm:num_requests_running" in scrape(address, "/metrics/vllm")

    def total(name: str, **labels: str) -> float:
        return sum(each.total(name, **labels) for each in told)

    assert len(told) == len(WORKERS)
    assert total("facet_worker_attempts_total", reason="OK") >= QUESTIONS
    assert total("facet_worker_drafts_total") > 0
    accepted = total("facet_worker_accepted_tokens_total")
    assert 0 < accepted <= total("facet_worker_drafted_tokens_total")
    assert total("facet_worker_position_accepted_tokens_total") == accepted
    first, second = (
        total("facet_worker_position_accepted_tokens_total", position=each) for each in "01"
    )
    assert first >= second > 0
    assert accepted == total("vllm_spec_decode_num_accepted_tokens_total")
    assert total("facet_worker_prefix_cache_asked_tokens_total") == total(
        "vllm_prefix_cache_queries_total"
    )
    assert total("facet_worker_tokens_total", direction="output", modality="text") > 0
    for each in told:
        assert each.total("facet_worker_ready") == 1
        assert each.total("facet_worker_kv_cache_tokens") > 0
        phases = [
            each.total("facet_worker_start_seconds", phase=phase)
            for phase in ("load", "warm_up", "engine")
        ]
        assert min(phases) > 0.01
        assert sum(phases) > 1
    assert max(each.total("facet_worker_mean_accepted_length_tokens") for each in told) > 1
