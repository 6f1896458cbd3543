"""What vLLM's start takes, by phase: only its worker processes see where one ends."""

from __future__ import annotations

from typing import Any

from facet.worker.engine.port import StartTimes

_KNOWN = ("vllm.v1.worker.cpu_worker.CPUWorker", "vllm.v1.worker.gpu_worker.Worker")
_TIMED = "facet.worker.engine.vllm_worker.TimedWorker"


def prepare(config: Any) -> None:
    """Have the engine of this VllmConfig made so that `start_times` knows its phases."""
    if config.parallel_config.worker_cls in _KNOWN:
        config.parallel_config.worker_cls = _TIMED


async def start_times(llm: Any) -> StartTimes:
    """The times of a started AsyncLLM, of its slowest worker; zeros where it was not prepared."""
    if llm.vllm_config.parallel_config.worker_cls != _TIMED:
        return StartTimes()
    told = await llm.collective_rpc("facet_start_seconds")
    return StartTimes(*(max(seconds) for seconds in zip(*told, strict=True)))
