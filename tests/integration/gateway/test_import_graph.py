"""What a gateway's process loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

HEAVY = ("torch", "transformers", "numpy", "vllm", "tokenizers", "PIL", "av", "scipy")


def test_nothing_heavy_is_imported_when_the_gateway_starts() -> None:
    code = (
        "import sys, facet.gateway.app\n"
        f"print(sorted(set({HEAVY!r}) & {{name.partition('.')[0] for name in sys.modules}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
