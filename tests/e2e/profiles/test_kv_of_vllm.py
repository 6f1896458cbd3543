"""The planner's KV arithmetic against vLLM's own, for 12B without its weights.

vLLM builds the model from its configuration on torch's meta device, and its attention layers say
what they keep. On a machine without a GPU the CUDA cases take the same layers with what vLLM does
on CUDA: blocks of 16 tokens, Triton's attention (the one for these head sizes below Hopper), and
scheduling as it was decided before the CPU platform turned it off.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from facet.client.cli.app import main
from facet.profiles.catalogue import BF16, PROFILES, W4A16_CPU
from facet.profiles.footprint import Footprint
from facet.profiles.profile import KIB, Device, KvDtype, Weights
from facet.worker.engine.vllm_process import prepare_environment
from tests.support import gemma_12b

pytestmark = [
    pytest.mark.e2e,
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(300),
]

STEP = 2560
CONTEXTS = [8 * KIB, 32 * KIB, 128 * KIB, 256 * KIB]
PROFILE_OF = {Device.CPU: W4A16_CPU, Device.GPU: BF16}


@dataclass(frozen=True)
class Counted:
    """vLLM's configuration for one KV dtype, its layers, and how it would schedule on CUDA."""

    config: Any
    layers: dict[str, Any]
    parameter_bytes: int
    is_asynchronous: bool

    def on(self, device: Device, context: int, step: int = STEP) -> tuple[Any, dict[str, Any]]:
        """The configuration under these lengths, and what its layers keep."""
        from vllm.v1.attention.backends import triton_attn, utils  # noqa: PLC0415

        config = self.config
        config.model_config.max_model_len = context
        config.scheduler_config.max_num_batched_tokens = step
        on_gpu = device is Device.GPU
        config.scheduler_config.async_scheduling = self.is_asynchronous if on_gpu else False
        config.cache_config.block_size = 16 if on_gpu else 128
        specs = {}
        backends = set()
        for name, layer in self.layers.items():
            own = layer.attn_backend
            if on_gpu:
                layer.attn_backend = triton_attn.TritonAttentionBackend
            backends.add(layer.attn_backend)
            specs[name] = layer.get_kv_cache_spec(config)
            layer.attn_backend = own
        config.cache_config.kv_cache_layout = None
        layouts = [layout.name for layout in utils.get_supported_kv_cache_layouts(list(backends))]
        utils.resolve_kv_cache_layout(config, [layouts], specs.values())
        return config, specs


@contextmanager
def group_of_one(folder: Path) -> Iterator[None]:
    """What a model's construction asks for: a process group of one."""
    from vllm import distributed  # noqa: PLC0415

    distributed.init_distributed_environment(1, 0, f"file://{folder / 'group'}", 0, "gloo")
    distributed.initialize_model_parallel(1, 1)
    yield
    distributed.destroy_model_parallel()
    distributed.destroy_distributed_environment()


def count(folder: Path, dtype: KvDtype) -> Counted:
    """Build target and configuration as the engine does."""
    import torch  # noqa: PLC0415
    from vllm.config import set_current_vllm_config  # noqa: PLC0415
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415
    from vllm.model_executor.model_loader.utils import initialize_model  # noqa: PLC0415
    from vllm.platforms import current_platform  # noqa: PLC0415

    decided: list[bool] = []
    platform = type(current_platform)
    check = platform.check_and_update_config

    def spy(config: Any) -> None:
        decided.append(config.scheduler_config.async_scheduling)
        check(config)

    arguments = json_plan("--profile", "bf16", "--memory", "80GiB")["engine_arguments"]
    del arguments["gpu_memory_utilization"]
    drafter = gemma_12b.write_drafter(folder / "drafter")
    arguments |= {"model": str(gemma_12b.write_target(folder / "target"))}
    arguments["speculative_config"] |= {"model": str(drafter)}
    arguments |= {"enforce_eager": True, "kv_cache_dtype": vllm_name(dtype)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platform, "check_and_update_config", staticmethod(spy))
        config = AsyncEngineArgs(**arguments).create_engine_config()
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with (
            set_current_vllm_config(config),
            group_of_one(folder),
            torch.device("meta"),
        ):
            model = initialize_model(vllm_config=config)
    finally:
        torch.set_default_dtype(before)
    layers = {
        name: layer
        for name, layer in config.compilation_config.static_forward_context.items()
        if hasattr(layer, "get_kv_cache_spec")
    }
    parameters = sum(each.numel() * each.element_size() for each in model.parameters())
    return Counted(config, layers, parameters, decided[0])


def vllm_name(dtype: KvDtype) -> str:
    return "auto" if dtype is KvDtype.BF16 else dtype.value


def json_plan(*arguments: str) -> dict[str, Any]:
    """What `facet plan --json` prints."""
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as ended:
        main(["plan", "--json", *arguments])
    assert ended.value.code == 0
    plan: dict[str, Any] = json.loads(out.getvalue())
    return plan


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[KvDtype, Counted]]:
    before = dict(os.environ)
    prepare_environment(cpu_threads=1)
    yield {dtype: count(tmp_path_factory.mktemp(dtype.name), dtype) for dtype in KvDtype}
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("dtype", list(KvDtype))
@pytest.mark.parametrize("device", list(Device))
def test_one_sequence_needs_what_is_planned_when_vllm_counts_the_layers(
    device: Device, dtype: KvDtype, context: int, counted: dict[KvDtype, Counted]
) -> None:
    from vllm.v1.core import kv_cache_utils as vllm_kv  # noqa: PLC0415

    config, specs = counted[dtype].on(device, context)
    layout = Footprint.of(PROFILE_OF[device]).kv(dtype)
    planned = layout.admission(context, STEP).total
    enough = planned + layout.null_block_bytes

    groups = vllm_kv.get_kv_cache_groups(config, specs)
    assert vllm_kv.max_memory_usage_bytes(config, specs.values()) == pytest.approx(
        planned, rel=0.02
    )
    assert vllm_kv._max_memory_usage_bytes_from_groups(config, groups) == planned
    assert vllm_kv._pool_bytes_per_block(config, groups) == layout.null_block_bytes
    (made,) = vllm_kv.get_kv_cache_configs(config, [specs], [enough])
    assert made.num_blocks * layout.null_block_bytes == enough
    assert vllm_kv.get_max_concurrency_for_kv_cache_config(config, made) >= 1
    with pytest.raises(ValueError, match="KV cache"):
        vllm_kv.get_kv_cache_configs(config, [specs], [enough - 1])


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("dtype", list(KvDtype))
@pytest.mark.parametrize("device", list(Device))
def test_a_decoding_sequence_holds_what_is_planned_when_one_token_is_in_flight(
    device: Device, dtype: KvDtype, context: int, counted: dict[KvDtype, Counted]
) -> None:
    from vllm.v1.core import kv_cache_utils as vllm_kv  # noqa: PLC0415

    config, specs = counted[dtype].on(device, context, step=1)
    config.scheduler_config.async_scheduling = False
    groups = vllm_kv.get_kv_cache_groups(config, specs)
    planned = Footprint.of(PROFILE_OF[device]).kv(dtype).steady(context).total

    assert vllm_kv._max_memory_usage_bytes_from_groups(config, groups) == planned


@pytest.mark.parametrize(
    ("profile", "memory", "context"),
    [
        ("bf16", "80GiB", 8 * KIB),
        ("bf16", "80GiB", 32 * KIB),
        ("bf16", "80GiB", 128 * KIB),
        ("bf16", "80GiB", 256 * KIB),
        ("fp8", "24GiB", 128 * KIB),
        ("w4a16", "16GiB", 32 * KIB),
        ("w4a16", "16GiB", 256 * KIB),
        ("w4a16-cpu", "16GiB", 8 * KIB),
        ("w4a16-cpu", "32GiB", 32 * KIB),
    ],
)
def test_vllm_agrees_when_the_command_line_prints_a_plan(
    profile: str, memory: str, context: int, counted: dict[KvDtype, Counted]
) -> None:
    from vllm.v1.core import kv_cache_utils as vllm_kv  # noqa: PLC0415

    plan = json_plan("--profile", profile, "--memory", memory, "--context", str(context))
    arguments = plan["engine_arguments"]
    device = PROFILES[profile].device
    config, specs = counted[KvDtype(plan["kv_dtype"])].on(
        device, arguments["max_model_len"], arguments["max_num_batched_tokens"]
    )
    groups = vllm_kv.get_kv_cache_groups(config, specs)

    needed = vllm_kv._max_memory_usage_bytes_from_groups(config, groups)
    assert plan["memory_bytes"]["kv_at_admission"]["total"] == pytest.approx(needed, rel=0.02)
    assert plan["steps_in_flight"] == config.max_concurrent_batches
    (made,) = vllm_kv.get_kv_cache_configs(config, [specs], [arguments["kv_cache_memory_bytes"]])
    assert vllm_kv.get_max_concurrency_for_kv_cache_config(config, made) >= 1


def test_two_steps_are_in_flight_when_vllm_drafts_with_mtp_on_cuda(
    counted: dict[KvDtype, Counted],
) -> None:
    both = counted[KvDtype.BF16]

    assert both.is_asynchronous
    assert both.on(Device.GPU, 8 * KIB)[0].max_concurrent_batches == 2
    assert both.on(Device.CPU, 8 * KIB)[0].max_concurrent_batches == 1


def test_weights_are_those_of_the_built_model_when_they_are_bf16(
    counted: dict[KvDtype, Counted],
) -> None:
    computed = Footprint.of(BF16).shape.weight_bytes(Weights.BF16)

    assert computed == pytest.approx(counted[KvDtype.BF16].parameter_bytes, rel=0.002)
