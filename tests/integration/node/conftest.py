"""Nodes for tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from tests.support.running_node import SIMULATED, RunningNode


@pytest.fixture(scope="module")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, str]]:
    """One ready node for the module, with its address: kill its children, not itself."""
    with closing(RunningNode(tmp_path_factory.mktemp("node"), SIMULATED)) as node:
        yield node, node.address()


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[Callable[..., RunningNode]]:
    """Starts nodes of this test alone; settings are given as environment variables."""
    with ExitStack() as stack:
        yield lambda **env: stack.enter_context(closing(RunningNode(tmp_path, SIMULATED | env)))
