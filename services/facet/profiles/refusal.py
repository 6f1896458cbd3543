"""Why a profile is not planned, as data."""

from __future__ import annotations

from enum import StrEnum


class RefusalReason(StrEnum):
    """What a caller may branch on."""

    NO_DEVICE = "NO_DEVICE"
    COMPUTE_CAPABILITY = "COMPUTE_CAPABILITY"
    CPU_FEATURES = "CPU_FEATURES"
    MEMORY = "MEMORY"
    LOAD_PEAK = "LOAD_PEAK"
    HOST_MEMORY = "HOST_MEMORY"
    CONTEXT = "CONTEXT"
    CONTEXT_LIMIT = "CONTEXT_LIMIT"
    BATCHED_TOKENS = "BATCHED_TOKENS"


class PlanRefusedError(Exception):
    """The profile cannot start, or what was asked for does not fit; the text names the numbers.

    `needed` and `available` are in bytes, tokens for CONTEXT_LIMIT and BATCHED_TOKENS, and 0 where
    no number decides. `nearest` is the profile that fits instead, None where none was found.
    """

    def __init__(
        self,
        reason: RefusalReason,
        message: str,
        *,
        needed: int = 0,
        available: int = 0,
        nearest: str | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.needed = needed
        self.available = available
        self.nearest = nearest
