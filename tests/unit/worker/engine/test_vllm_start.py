"""Which engines tell the phases of their start."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from facet.worker.engine import vllm_start
from facet.worker.engine.port import StartTimes

pytestmark = pytest.mark.unit


class Llm:
    """As much of AsyncLLM as is asked; its two workers took these times."""

    def __init__(self, worker_cls: str) -> None:
        self.vllm_config = SimpleNamespace(parallel_config=SimpleNamespace(worker_cls=worker_cls))

    async def collective_rpc(self, method: str) -> list[Any]:
        assert method == "facet_start_seconds"
        return [[2.0, 5.0], [3.0, 4.0]]


@pytest.mark.parametrize("worker", ["cpu_worker.CPUWorker", "gpu_worker.Worker"])
async def test_the_slowest_worker_counts_when_the_platforms_class_is_known(worker: str) -> None:
    llm = Llm(f"vllm.v1.worker.{worker}")
    vllm_start.prepare(llm.vllm_config)
    assert await vllm_start.start_times(llm) == StartTimes(load_seconds=3.0, warm_up_seconds=5.0)


async def test_nothing_is_told_or_changed_when_the_class_is_another() -> None:
    llm = Llm("vllm.v1.worker.xpu_worker.XPUWorker")
    vllm_start.prepare(llm.vllm_config)
    assert llm.vllm_config.parallel_config.worker_cls == "vllm.v1.worker.xpu_worker.XPUWorker"
    assert await vllm_start.start_times(llm) == StartTimes()
