"""What the policy remembers between decisions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PolicyState:
    """Opaque to callers: kept, stored and handed back."""

    at_seconds: float | None = None
