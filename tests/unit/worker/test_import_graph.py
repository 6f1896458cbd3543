"""What a worker imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

_PROGRAM = """
import sys, time
began = time.monotonic()
import facet.worker.app
from pathlib import Path
from facet.core.models import NANO
from facet.worker.checkpoints import Checkpoints
from facet.worker.engine.measures import EngineMeasures
from facet.worker.engines import make_engine
from facet.worker.settings import WorkerSettings
nowhere = Checkpoints(Path(), Path())
make_engine(WorkerSettings(engine="simulated"), NANO, nowhere, EngineMeasures())
unwanted = {"torch", "vllm", "transformers", "numpy", "av", "PIL", "obstore", "huggingface_hub"}
print(sorted(unwanted & set(sys.modules)), time.process_time())
"""


def test_neither_torch_nor_vllm_is_imported_when_the_engine_is_simulated() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    heavy, cpu_seconds = done.stdout.rsplit(" ", 1)
    assert heavy == "[]"
    assert float(cpu_seconds) < 2.0
