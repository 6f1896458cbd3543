"""The profiles, best first among those of one device. Nothing else says what a profile is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from facet.profiles import gemma4
from facet.profiles.profile import (
    GIB,
    MIB,
    Checkpoint,
    Device,
    EngineArguments,
    Estimates,
    KvDtype,
    MemoryModel,
    Needs,
    Placement,
    Profile,
    Resources,
    Weights,
)

GEMMA = "gemma-4-12b"

_DRAFTER = Checkpoint("google/gemma-4-12B-it-assistant", 850_000_000, Weights.BF16)
_QAT = Checkpoint("google/gemma-4-12B-it-qat-w4a16-ct", 10_300_000_000, Weights.W4A16)
# On an L4 with 64 users speculation halves the rate; large GPUs keep a shallow draft longer.
_SMALL_GPU_DEPTHS = ((1, 4, 4), (5, 16, 2), (17, 32, 0))

# A floor of acceptance lies halfway between what pays for the drafter (its bytes over those of the
# target, where reading them takes the time) and what it is known to give: 2.0x at four draft tokens
# was published for w4a16 on one stream, so 0.44 of them were accepted, and 0.34 of six. Below it
# more than half of the gain is gone. Nano's answers range from 0.2 to 0.97; its floor is what pays.

# Estimates count until pods were measured. A step reads the weights, and KV cache of 1,400 tokens a
# sequence, at 85 % of the memory's rate; prompts are computed at half of the data sheet's: 300 GB/s
# and 242e12 operations in fp8, 121e12 in bf16, on an L4, 3.35 TB/s and 989e12 on an H100, some
# 60 GB/s and 2e12 on eight CPUs. Drafting takes 10 to 20 % on top; 2.4 tokens come of four drafted,
# 1.7 of two, 1.5 of one. A start is 96 s for a node, 36 s for the image, downloads at 300 MB/s and
# 24 s of warming; a CPU repacks for a minute.

_CPU_RUNTIME = 1664 * MIB
"""A worker's two processes with nano, less weights and KV cache: 1,644 MiB were seen, 1,692 under
eight streams; 390 of them are mapped libraries, which the kernel can drop. Gateway, Redis and
supervisor took 98 (tests/e2e/test_node_memory.py)."""

_GPU_NEEDS = Needs(compute_capability=(8, 0))
"""bf16 is there from Ampere on; a T4 has none."""


@cache
def nano_config(part: str) -> Mapping[str, object]:
    """The HF configuration of nano's `target` or `drafter`, as it lies in the package."""
    path = Path(__file__).parent.parent / "nano" / part / "config.json"
    config: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return MappingProxyType(config)


BF16 = Profile(
    name="bf16",
    model=GEMMA,
    device=Device.GPU,
    target=Checkpoint("google/gemma-4-12B-it", 23_900_000_000, Weights.BF16),
    drafter=_DRAFTER,
    config=gemma4.TARGET_CONFIG,
    drafter_config=gemma4.DRAFTER_CONFIG,
    engine=EngineArguments(
        context_tokens=131_072,
        min_context_tokens=8192,
        max_context_tokens=gemma4.MAX_CONTEXT_TOKENS,
        typical_tokens=8192,
        max_sequences=64,
        batched_tokens=(8192, 4096, 2560),
        kv_dtypes=(KvDtype.BF16, KvDtype.FP8),
        depth_by_batch=((1, 8, 6), (9, 32, 3), (33, 64, 1)),
        acceptance_floor=0.19,
    ),
    memory=MemoryModel(0.90, 1.02, 1 * GIB, 0),
    needs=_GPU_NEEDS,
    resources=Resources(8, 24 * 1024, 40 * 1024, start_seconds=1800, gpus=1),
    placement=Placement(("nvidia-h100-80gb", "nvidia-a100-80gb"), tolerates_gpu=True),
    speed="at most 83 tokens a second on an A100 and 140 on an H100 before MTP: 24 GB read a token",
    estimates=Estimates(64, 240, 5e-05, 0.0093, 0.0002, 1.5),
    lock="worker-cuda",
)

FP8 = Profile(
    name="fp8",
    model=GEMMA,
    device=Device.GPU,
    # vLLM quantizes the bf16 files layer by layer while it loads them.
    target=Checkpoint("google/gemma-4-12B-it", 23_900_000_000, Weights.FP8),
    drafter=_DRAFTER,
    config=gemma4.TARGET_CONFIG,
    drafter_config=gemma4.DRAFTER_CONFIG,
    engine=EngineArguments(
        context_tokens=32_768,
        min_context_tokens=8192,
        max_context_tokens=gemma4.MAX_CONTEXT_TOKENS,
        typical_tokens=4096,
        max_sequences=32,
        batched_tokens=(4096, 2560),
        kv_dtypes=(KvDtype.BF16, KvDtype.FP8),
        depth_by_batch=_SMALL_GPU_DEPTHS,
        acceptance_floor=0.25,
        quantization="fp8_per_tensor",
    ),
    memory=MemoryModel(0.90, 1.04, 768 * MIB, 0),
    # fp8 matrices and an fp8 KV cache are computed from Ada on.
    needs=Needs(compute_capability=(8, 9)),
    resources=Resources(3, 8 * 1024, 12 * 1024, start_seconds=1800, gpus=1),
    placement=Placement(("nvidia-l4",), tolerates_gpu=True),
    speed="at most 24 tokens a second on an L4 before MTP: 12.5 GB read a token",
    estimates=Estimates(9, 240, 0.0002, 0.056, 0.0009, 1.7),
    lock="worker-cuda",
)

W4A16 = Profile(
    name="w4a16",
    model=GEMMA,
    device=Device.GPU,
    target=_QAT,
    drafter=_DRAFTER,
    config=gemma4.TARGET_CONFIG,
    drafter_config=gemma4.DRAFTER_CONFIG,
    engine=EngineArguments(
        context_tokens=32_768,
        min_context_tokens=4096,
        max_context_tokens=gemma4.MAX_CONTEXT_TOKENS,
        typical_tokens=4096,
        max_sequences=32,
        batched_tokens=(4096, 2560),
        kv_dtypes=(KvDtype.BF16, KvDtype.FP8),
        depth_by_batch=_SMALL_GPU_DEPTHS,
        acceptance_floor=0.27,
    ),
    # 7.7 to 8.3 GiB were seen resident, 7.6 are computed.
    memory=MemoryModel(0.90, 1.08, 768 * MIB, 0),
    needs=_GPU_NEEDS,
    resources=Resources(3, 8 * 1024, 12 * 1024, start_seconds=1800, gpus=1),
    placement=Placement(("nvidia-l4",), tolerates_gpu=True),
    speed="about 50 tokens a second with MTP on a GPU of 16 GB; at most 36 on an L4 before MTP",
    estimates=Estimates(20, 200, 0.0004, 0.032, 0.0015, 1.0),
    lock="worker-cuda",
)

W4A16_CPU = Profile(
    name="w4a16-cpu",
    model=GEMMA,
    device=Device.CPU,
    target=_QAT,
    drafter=_DRAFTER,
    config=gemma4.TARGET_CONFIG,
    drafter_config=gemma4.DRAFTER_CONFIG,
    engine=EngineArguments(
        context_tokens=8192,
        min_context_tokens=2048,
        max_context_tokens=32_768,
        typical_tokens=2048,
        max_sequences=4,
        batched_tokens=(2560,),
        kv_dtypes=(KvDtype.BF16,),
        depth_by_batch=((1, 2, 4), (3, 4, 2)),
        acceptance_floor=0.27,
        enforce_eager=True,
    ),
    memory=MemoryModel(0.95, 1.005, _CPU_RUNTIME, 640 * MIB),
    needs=Needs(cpu_flags=frozenset({"avx512f"})),
    resources=Resources(7, 12_800, 12_800, start_seconds=1800),
    placement=Placement(),
    speed="at most 5 to 10 tokens a second before MTP: memory has to deliver 8.2 GB a token",
    estimates=Estimates(1, 260, 0.024, 0.165, 0.03, 2.4),
    lock="worker-cpu",
)

NANO_CPU = Profile(
    name="nano-cpu",
    model="nano",
    device=Device.CPU,
    target=Checkpoint("package:nano/target", 0, Weights.BF16),
    drafter=Checkpoint("package:nano/drafter", 0, Weights.BF16),
    config=nano_config("target"),
    drafter_config=nano_config("drafter"),
    engine=EngineArguments(
        context_tokens=4096,
        min_context_tokens=4096,
        max_context_tokens=4096,
        typical_tokens=1024,
        max_sequences=8,
        batched_tokens=(2560,),
        kv_dtypes=(KvDtype.BF16,),
        depth_by_batch=((1, 8, 3),),
        acceptance_floor=0.25,
        enforce_eager=True,
    ),
    memory=MemoryModel(0.95, 1.02, _CPU_RUNTIME, 640 * MIB),
    needs=Needs(cpu_flags=frozenset({"avx2"})),
    resources=Resources(2, 6 * 1024, 8 * 1024, start_seconds=900),
    placement=Placement(),
    speed="a test model: whole answers within a second",
    # 132 tokens a second were seen on two CPUs.
    estimates=Estimates(8, 160, 0.0005, 0.04, 0.01, 2.0),
    lock="worker-cpu",
)

PROFILES: Mapping[str, Profile] = MappingProxyType(
    {profile.name: profile for profile in (BF16, FP8, W4A16, W4A16_CPU, NANO_CPU)}
)
