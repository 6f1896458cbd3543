"""What a profile fixes: checkpoint, drafter, engine arguments, resources and node selectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

DepthByBatch = tuple[tuple[int, int, int], ...]
"""Inclusive batch sizes and their draft tokens: (first, last, tokens), the first from 1, no gap."""


class Device(StrEnum):
    """What holds weights and KV cache."""

    GPU = "gpu"
    CPU = "cpu"


class Weights(StrEnum):
    """How the matrices of the decoder's layers are stored; all else stays bf16."""

    BF16 = "bf16"
    FP8 = "fp8"
    W4A16 = "w4a16"


class KvDtype(StrEnum):
    """Element of the KV cache; the value is vLLM's `kv_cache_dtype`."""

    BF16 = "bfloat16"
    FP8 = "fp8"


@dataclass(frozen=True)
class Checkpoint:
    """A model's files.

    `source` is an id of the Hugging Face Hub, or `package:` and a folder of this distribution.
    `download_bytes` is what has to be fetched and to lie on disk; 0 where the package carries it.
    """

    source: str
    download_bytes: int
    weights: Weights


@dataclass(frozen=True)
class EngineArguments:
    """What the planner starts from, and does not go beyond.

    Lengths in tokens, prompt and output together. `context_tokens` is planned where nobody asks for
    a length, shortened down to `min_context_tokens` where memory is short. `typical_tokens` is the
    length at which `max_sequences` running sequences are counted. `batched_tokens` are the sizes of
    an engine step that are tried, largest first. `kv_dtypes` are tried in order.
    `depth_by_batch` covers batches up to `max_sequences`. `acceptance_floor` is the share of
    drafted tokens, from 0 to 1, below which a worker says that speculation is amiss. `quantization`
    is vLLM's, where it quantizes weights while it loads them.
    """

    context_tokens: int
    min_context_tokens: int
    max_context_tokens: int
    typical_tokens: int
    max_sequences: int
    batched_tokens: tuple[int, ...]
    kv_dtypes: tuple[KvDtype, ...]
    depth_by_batch: DepthByBatch
    acceptance_floor: float
    enforce_eager: bool = False
    load_format: str = "auto"
    quantization: str | None = None

    @property
    def speculative_tokens(self) -> int:
        """The deepest draft of a step."""
        return max(depth for _, _, depth in self.depth_by_batch)


@dataclass(frozen=True)
class MemoryModel:
    """What a plan sets aside, in bytes and shares.

    `utilization` is the share of the device's memory that is used at all. `weights_spread` is by
    how much resident weights were seen above their computed size. `runtime_bytes` is what the
    process takes beside weights, KV and activations: CUDA context and graphs on a GPU, interpreter,
    vLLM and torch on a CPU. `node_bytes` is what gateway and Redis take where they share it.
    """

    utilization: float
    weights_spread: float
    runtime_bytes: int
    node_bytes: int


@dataclass(frozen=True)
class Needs:
    """What the processor must offer: a GPU's compute capability, a CPU's flags."""

    compute_capability: tuple[int, int] | None = None
    cpu_flags: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Resources:
    """What a worker's pod asks for. `memory_mib` are requested, `memory_limit_mib` the most.

    `start_seconds` is how long fetching, loading and warming may take.
    """

    cpu: int
    memory_mib: int
    memory_limit_mib: int
    start_seconds: int
    gpus: int = 0
    shared_memory_mib: int = 1024

    @property
    def memory_bytes(self) -> int:
        """What is requested, in bytes."""
        return self.memory_mib * MIB


@dataclass(frozen=True)
class Placement:
    """Nodes of GKE that fit: `accelerators` in order of preference, none for a CPU."""

    accelerators: tuple[str, ...] = ()
    node_labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    tolerates_gpu: bool = False

    def selectors(self) -> tuple[dict[str, str], ...]:
        """One node selector for each accelerator, or the one of a CPU profile."""
        if not self.accelerators:
            return (dict(self.node_labels),)
        label = "cloud.google.com/gke-accelerator"
        return tuple({**self.node_labels, label: name} for name in self.accelerators)


@dataclass(frozen=True)
class Estimates:
    """What a pod is taken for until one was measured; the names are those of the pools' file.

    `max_sequences` run at once by the plan of the profile's first kind of machine.
    `startup_seconds` pass from creating the pod to its readiness, its node included. A prompt takes
    `prefill_token_seconds` a token. A step of a batch of b sequences takes
    `step_base_seconds + b * step_sequence_seconds` and yields `tokens_per_step` for each of them,
    both as they are at a full batch.
    """

    max_sequences: int
    startup_seconds: int
    prefill_token_seconds: float
    step_base_seconds: float
    step_sequence_seconds: float
    tokens_per_step: float


@dataclass(frozen=True)
class Profile:
    """One way to serve a model.

    `model` is the name that requests use.
    `speed` is what one request may expect, in words.
    `lock` is the file of `requirements/`, without its ending, that a worker's image installs.
    `config` is the target's HF configuration (`model_type` gemma4_unified), `drafter_config` the
    drafter's.
    """

    name: str
    model: str
    device: Device
    target: Checkpoint
    drafter: Checkpoint
    config: Mapping[str, object]
    drafter_config: Mapping[str, object]
    engine: EngineArguments
    memory: MemoryModel
    needs: Needs
    resources: Resources
    placement: Placement
    speed: str
    estimates: Estimates
    lock: str

    @property
    def node_lock(self) -> str:
        """The file of `requirements/` that a machine installs to run a whole node."""
        return self.lock.replace("worker", "node", 1)

    @property
    def download_bytes(self) -> int:
        """What has to be fetched of target and drafter."""
        return self.target.download_bytes + self.drafter.download_bytes
