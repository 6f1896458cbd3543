"""One input, as it is kept to be played again."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Case:
    """Bytes for a target, and the metadata of the call that brings them."""

    target: str
    body: bytes
    metadata: tuple[tuple[str, str | bytes], ...] = ()


@dataclass(frozen=True)
class Target:
    """`run` raises only what is a defect; what the code under test may answer ends in it."""

    name: str
    make: Callable[[Random], Case]
    run: Callable[[Case], Awaitable[None]]


def save(case: Case, path: Path) -> None:
    """Write a case as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pairs = [
        [name, {"bytes": _text(value)} if isinstance(value, bytes) else value]
        for name, value in case.metadata
    ]
    path.write_text(
        json.dumps({"target": case.target, "body": _text(case.body), "metadata": pairs})
    )


def load(path: Path) -> Case:
    """Read what `save` wrote."""
    kept = json.loads(path.read_text())
    return Case(
        kept["target"],
        base64.b64decode(kept["body"]),
        tuple(
            (name, base64.b64decode(value["bytes"]) if isinstance(value, dict) else value)
            for name, value in kept["metadata"]
        ),
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
