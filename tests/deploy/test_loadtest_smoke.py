"""The load test runs: real Locust, a real node, the simulated engine."""

from __future__ import annotations

import pytest

from loadtest import smoke

pytestmark = pytest.mark.integration


@pytest.mark.timeout(180)
def test_users_stream_without_a_failure_when_a_node_serves() -> None:
    summary = smoke.run()

    assert summary.errors == {}
    assert summary.failures == 0
    assert summary.streams > 0
    assert summary.time_to_first_token_ms_p50 is not None
    assert summary.inter_token_latency_ms_p50 is not None
