"""The autoscaler as a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facet.profiles.catalogue import FP8


@contextmanager
def autoscaler(**settings: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """A process that has said READY, and its addresses by name."""
    environment = {f"FACET_AUTOSCALER_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "facet.autoscaler"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("READY"), line
        yield process, dict(re.findall(r"(\w+)=(\S+)", line))
    finally:
        process.kill()
        process.communicate(timeout=10)


def pools_file(folder: Path, pools: Sequence[Mapping[str, Any]]) -> str:
    """A file of pools, as the chart writes it; what a pool does not say is that of fp8 pods."""
    rest = {"min": 0, "gpus": 1, **asdict(FP8.estimates)}
    file = folder / "pools.json"
    file.write_text(json.dumps({"pools": [{**rest, **pool} for pool in pools]}))
    return str(file)
