"""A finished plan: the memory table and the engine's arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from facet.profiles.kv import KvBytes
from facet.profiles.media_tokens import VIDEO_FRAMES
from facet.profiles.profile import DepthByBatch, Device, KvDtype, Profile

_IN_ENGINE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
"""vLLM 0.32.0 gives a CPU's model a process of its own, 570 MiB, to bind its threads; none are
bound here (`VLLM_CPU_OMP_THREADS_BIND`). The platform replaces the name `uni`, not the class."""


@dataclass(frozen=True)
class MemoryTable:
    """Bytes of the device; `fixed` and `kv_bytes` together stay within `usable`.

    `head_room` is what lies outside `usable`; `spare` what of it is neither fixed nor KV.
    `load_peak` is the most that loading holds, before there is a KV cache. `kv_at_admission` and
    `kv_steady` are one sequence of the planned length.
    """

    total: int
    usable: int
    head_room: int
    weights: int
    drafter: int
    runtime: int
    node: int
    activations: int
    load_peak: int
    kv_bytes: int
    kv_at_admission: KvBytes
    kv_steady: KvBytes

    @property
    def fixed(self) -> int:
        """All that is not KV cache."""
        return self.weights + self.drafter + self.runtime + self.node + self.activations

    @property
    def spare(self) -> int:
        """What is left over."""
        return self.usable - self.fixed - self.kv_bytes


@dataclass(frozen=True)
class Plan:
    """How to start a profile on a machine. Lengths in tokens.

    `steps_in_flight` is how many engine steps `kv_at_admission` counts (`KvLayout`).
    """

    profile: Profile
    memory: MemoryTable
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    steps_in_flight: int
    kv_dtype: KvDtype
    depth_by_batch: DepthByBatch
    notes: tuple[str, ...] = ()

    @property
    def speculative_tokens(self) -> int:
        """The deepest draft of a step."""
        return max(depth for _, _, depth in self.depth_by_batch)

    def engine_arguments(self) -> dict[str, Any]:
        """Arguments of vLLM's `AsyncEngineArgs`, by their names."""
        engine = self.profile.engine
        arguments: dict[str, Any] = {
            "model": self.profile.target.source,
            "dtype": "bfloat16",
            "load_format": engine.load_format,
            "enforce_eager": engine.enforce_eager,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "kv_cache_memory_bytes": self.memory.kv_bytes,
            "kv_cache_dtype": "auto" if self.kv_dtype is KvDtype.BF16 else self.kv_dtype.value,
            "disable_chunked_mm_input": True,
            "limit_mm_per_prompt": {"video": {"num_frames": VIDEO_FRAMES}},
        }
        if self.profile.device is Device.GPU:
            arguments["gpu_memory_utilization"] = self.profile.memory.utilization
        else:
            arguments["distributed_executor_backend"] = _IN_ENGINE_PROCESS
        if engine.load_format == "runai_streamer":
            # By itself it buffers up to 40 GB in RAM; 0 is the size of the largest tensor.
            arguments["model_loader_extra_config"] = {"memory_limit": 0}
        if engine.quantization is not None:
            arguments["quantization"] = engine.quantization
        if self.speculative_tokens:
            arguments["speculative_config"] = self._speculative()
        return arguments

    def _speculative(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "method": "mtp",
            "model": self.profile.drafter.source,
            "num_speculative_tokens": self.speculative_tokens,
        }
        if len(self.depth_by_batch) > 1:
            config["num_speculative_tokens_per_batch_size"] = [
                list(entry) for entry in self.depth_by_batch
            ]
        return config
