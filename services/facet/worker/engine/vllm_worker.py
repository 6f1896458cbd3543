"""vLLM's worker class of this platform, which also times its start. vLLM imports it by name."""

from __future__ import annotations

import time
from typing import Any

from vllm.platforms import current_platform

if current_platform.is_cpu():
    from vllm.v1.worker.cpu_worker import CPUWorker as PlatformWorker
else:
    from vllm.v1.worker.gpu_worker import Worker as PlatformWorker


class TimedWorker(PlatformWorker):  # type: ignore[misc]
    """One worker process of an engine, or the part of the engine's own that is one."""

    _load_seconds = _loaded_at = _warm_up_seconds = 0.0

    def load_model(self, *args: Any, **kwargs: Any) -> None:
        """Read the weights of target and drafter."""
        began = time.monotonic()
        super().load_model(*args, **kwargs)
        self._loaded_at = time.monotonic()
        self._load_seconds = self._loaded_at - began

    def compile_or_warm_up_model(self, *args: Any, **kwargs: Any) -> Any:
        """The last step: memory is profiled, the KV cache made, what is compiled is compiled."""
        compiled = super().compile_or_warm_up_model(*args, **kwargs)
        self._warm_up_seconds = time.monotonic() - self._loaded_at
        return compiled

    def facet_start_seconds(self) -> tuple[float, float]:
        """For `collective_rpc`: what loading took, and all from there to the end of the warm-up."""
        return self._load_seconds, self._warm_up_seconds
