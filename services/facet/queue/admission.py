"""Sheds what would fill the store, so that appends, terminal events and cancels always fit."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

_SHED_AT_SHARE = 0.75
_FRESH_SECONDS = 0.2


class Admission:
    """Watches the store's memory. `execute` runs one command."""

    def __init__(self, execute: Callable[..., Awaitable[Any]]) -> None:
        self._execute = execute
        self._read_at = -_FRESH_SECONDS
        self._share = 0.0

    async def is_shedding(self) -> bool:
        """Whether three quarters of `maxmemory` are in use, known to within 200 ms.

        Always False for a store without a limit. Errors: those of `execute`.
        """
        now = time.monotonic()
        if now - self._read_at >= _FRESH_SECONDS:
            self._read_at = now
            memory = await self._execute("INFO", "memory")
            limit = memory["maxmemory"]
            self._share = memory["used_memory"] / limit if limit else 0.0
        return self._share >= _SHED_AT_SHARE
