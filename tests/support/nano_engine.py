"""The vLLM adapter on the nano checkpoint, in the process of a test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from facet import nano
from facet.api.v1 import generation_pb2
from facet.core.models import NANO
from facet.profiles.catalogue import NANO_CPU
from facet.profiles.choice import with_overrides
from facet.profiles.machine import Machine, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import GIB, DepthByBatch
from facet.worker.engine.measures import EngineMeasures
from facet.worker.engine.port import Medium, Step
from facet.worker.engine.vllm_process import prepare_environment


@asynccontextmanager
async def nano_engine(
    depth_by_batch: DepthByBatch = NANO_CPU.engine.depth_by_batch,
    measures: EngineMeasures | None = None,
) -> AsyncIterator[Any]:
    """A started engine with MTP (K = 3) and four seats; the environment is put back at the end."""
    before = dict(os.environ)
    prepare_environment(cpu_threads=1)
    from facet.worker.engine.vllm_engine import VllmEngine, VllmOptions  # noqa: PLC0415

    profile = with_overrides(NANO_CPU, sequences=4)
    depths = replace(profile.engine, depth_by_batch=depth_by_batch)
    options = VllmOptions(
        target_dir=nano.TARGET_DIR,
        drafter_dir=nano.DRAFTER_DIR,
        plan=plan(replace(profile, engine=depths), Machine(ram=exactly(6 * GIB))),
    )
    engine = VllmEngine(options, NANO, measures)
    try:
        await engine.start()
        context = engine._live.llm.engine_core.resources.ctx
        yield engine
    finally:
        await engine.stop()
        os.environ.clear()
        os.environ.update(before)
    # The collector would close it, with a warning in a later test.
    assert context.closed


async def generate(
    engine: Any,
    made: generation_pb2.GenerationRequest,
    media: Sequence[Medium] = (),
    emitted: tuple[int, ...] = (),
) -> list[Step]:
    """All steps of what follows `emitted`."""
    prompt = await engine.render(made, list(media), "tenant")
    name = os.urandom(8).hex()
    async with aclosing(engine.generate(name, made, prompt, emitted)) as steps:
        return [step async for step in steps]


def ids_of(steps: Sequence[Step]) -> tuple[int, ...]:
    """The ids that the steps brought."""
    return tuple(token_id for step in steps for token_id in step.token_ids)
