"""The Hub on loopback with nano's files, as a node or a worker is told to fetch them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facet import nano
from tests.support.fake_hub import FakeHub, fake_hub

TARGET, DRAFTER = "google/nano-target", "google/nano-drafter"


@contextmanager
def nano_hub() -> Iterator[FakeHub]:
    """Serve until the context ends."""
    with fake_hub({TARGET: _files(nano.TARGET_DIR), DRAFTER: _files(nano.DRAFTER_DIR)}) as hub:
        yield hub


def fetching(hub: FakeHub, cache: Path) -> dict[str, str]:
    """Settings of a node whose workers take their weights from `hub`."""
    return hub.environment | {
        "FACET_WORKER_WEIGHTS": TARGET,
        "FACET_WORKER_DRAFTER_WEIGHTS": DRAFTER,
        "FACET_WORKER_WEIGHTS_CACHE": str(cache),
    }


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
