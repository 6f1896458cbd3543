"""The KV cache of a started engine is the planned one."""

from __future__ import annotations

from typing import Any

import pytest

from facet.profiles.catalogue import NANO_CPU
from facet.profiles.footprint import Footprint
from facet.profiles.profile import KvDtype
from tests.support.nano_engine import nano_engine

pytestmark = [
    pytest.mark.e2e,
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]


async def test_blocks_and_concurrency_are_those_planned_when_the_engine_has_started() -> None:
    async with nano_engine() as engine:
        plan = engine._options.plan
        config: Any = engine._live.llm.vllm_config
        cache = config.cache_config
    layout = Footprint.of(NANO_CPU).kv(KvDtype.BF16)
    block = layout.null_block_bytes
    admission = plan.memory.kv_at_admission

    assert cache.block_size == layout.block_tokens
    assert config.max_concurrent_batches == plan.steps_in_flight
    assert config.max_in_flight_tokens == plan.steps_in_flight * plan.max_num_batched_tokens
    assert cache.num_gpu_blocks * block == pytest.approx(plan.memory.kv_bytes, rel=0.02)
    assert admission == layout.admission(plan.max_model_len, plan.max_num_batched_tokens)
    # vLLM divides all blocks by those of one sequence of the planned length.
    assert cache.kv_cache_max_concurrency == pytest.approx(
        plan.memory.kv_bytes / admission.total, rel=0.02
    )
