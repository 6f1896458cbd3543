"""The in-memory twin keeps the contract of a registry."""

from __future__ import annotations

import pytest

from facet.queue.memory_registry import MemoryRegistry, MemoryRegistryBooks
from facet.queue.registry import Registry
from tests.support.queue_contract import registering

pytestmark = pytest.mark.unit


class MemoryRegistryWorld:
    def __init__(self) -> None:
        self._now_ms = 10**12
        self._books = MemoryRegistryBooks(clock_ms=lambda: self._now_ms)

    def registry(self, count: int) -> Registry:
        return MemoryRegistry(self._books, count=count)

    async def advance(self, milliseconds: int) -> None:
        self._now_ms += milliseconds

    async def lose_all(self) -> None:
        self._books.lose_all()


@pytest.fixture
def registry_world() -> MemoryRegistryWorld:
    return MemoryRegistryWorld()


class TestRegistry(registering.RegistryContract):
    pass
