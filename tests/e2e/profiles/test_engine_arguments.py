"""vLLM takes every argument of a plan."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator

import pytest

from facet.profiles.catalogue import PROFILES
from facet.profiles.machine import Machine, exactly
from facet.profiles.planner import plan
from facet.profiles.profile import GIB
from facet.worker.engine.vllm_process import prepare_environment

# vLLM and what it imports warn about themselves.
pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    before = dict(os.environ)
    prepare_environment(cpu_threads=1)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.parametrize("name", list(PROFILES))
def test_names_are_those_of_vllm_when_a_profile_is_planned(name: str) -> None:
    from vllm.config import SpeculativeConfig  # noqa: PLC0415
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415

    machine = Machine(gpu=exactly(80 * GIB), ram=exactly(80 * GIB))
    arguments = plan(PROFILES[name], machine).engine_arguments()

    assert set(arguments) <= {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    speculative = {field.name for field in dataclasses.fields(SpeculativeConfig)}
    assert set(arguments["speculative_config"]) <= speculative
