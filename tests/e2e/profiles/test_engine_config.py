"""vLLM makes its configuration of a CPU profile's plan, and keeps what the plan says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facet import nano
from facet.profiles.catalogue import NANO_CPU, W4A16_CPU
from facet.profiles.choice import with_overrides
from facet.profiles.machine import Machine, exactly
from facet.profiles.plan import Plan
from facet.profiles.planner import plan
from facet.profiles.profile import GIB, Profile
from facet.worker.engine.vllm_process import prepare_environment
from tests.support import gemma_12b

pytestmark = [
    pytest.mark.e2e,
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

# What the published checkpoint's configuration says of its weights.
W4A16 = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "quantization_status": "compressed",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 4,
                "type": "int",
                "strategy": "group",
                "group_size": 32,
                "symmetric": True,
                "dynamic": False,
            },
        }
    },
}


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    before = dict(os.environ)
    prepare_environment(cpu_threads=1)
    yield
    os.environ.clear()
    os.environ.update(before)


def checkpoint(profile: Profile, folder: Path) -> tuple[Path, Path]:
    """Folders of target and drafter; of 12B the configuration alone."""
    if profile.model == NANO_CPU.model:
        return nano.TARGET_DIR, nano.DRAFTER_DIR
    target = gemma_12b.write_target(folder / "target")
    config = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**config, "quantization_config": W4A16}))
    return target, gemma_12b.write_drafter(folder / "drafter")


def engine_config(made: Plan, folder: Path) -> Any:
    """vLLM's configuration, made as the engine makes it."""
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415

    target, drafter = checkpoint(made.profile, folder)
    arguments = made.engine_arguments()
    arguments |= {"model": str(target)}
    if "speculative_config" in arguments:
        arguments["speculative_config"] |= {"model": str(drafter)}
    return AsyncEngineArgs(**arguments).create_engine_config()


@pytest.mark.parametrize(
    ("profile", "memory_gib", "context"),
    [(NANO_CPU, 6, None), (W4A16_CPU, 16, None), (W4A16_CPU, 12.6, 2048)],
)
def test_vllm_keeps_the_plan_when_the_profile_is_one_of_the_cpu(
    profile: Profile, memory_gib: float, context: int | None, tmp_path: Path
) -> None:
    machine = Machine(ram=exactly(int(memory_gib * GIB)), is_shared=False)
    made = plan(profile, machine, context_tokens=context)

    config = engine_config(made, tmp_path)

    assert config.model_config.max_model_len == made.max_model_len
    assert config.model_config.enforce_eager is True
    assert config.scheduler_config.max_num_seqs == made.max_num_seqs
    assert config.scheduler_config.max_num_batched_tokens == made.max_num_batched_tokens
    assert config.scheduler_config.disable_chunked_mm_input is True
    assert config.cache_config.kv_cache_memory_bytes == made.memory.kv_bytes
    assert config.max_concurrent_batches == made.steps_in_flight
    speculative = config.speculative_config
    assert speculative.method == "mtp"
    assert speculative.num_speculative_tokens == made.speculative_tokens
    is_quantized = config.quant_config is not None
    assert is_quantized is (profile is W4A16_CPU)
    if len(made.depth_by_batch) > 1:
        by_batch = speculative.num_speculative_tokens_per_batch_size
        assert [tuple(entry) for entry in by_batch] == list(made.depth_by_batch)


def test_nothing_is_drafted_when_an_operator_turns_speculation_off(tmp_path: Path) -> None:
    made = plan(with_overrides(NANO_CPU, speculative_tokens=0), Machine(ram=exactly(6 * GIB)))

    assert engine_config(made, tmp_path).speculative_config is None
