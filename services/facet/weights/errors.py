"""Why weights cannot be had. Each message says what, where and what to do."""

from __future__ import annotations


class WeightsError(Exception):
    """Root of them all; the message is for an operator."""


class LocationError(WeightsError):
    """The location is not one, or nothing that can be loaded lies there."""


class NotCachedError(WeightsError):
    """The files are not here, and the network may not be asked."""


class AccessError(WeightsError):
    """The remote side refuses: no such model, no permission, or a limit that stays."""


class UnreachableError(WeightsError):
    """The remote side did not deliver, after all attempts."""


class DigestError(WeightsError):
    """What arrived is not what was promised."""


class DiskFullError(WeightsError):
    """The disk cannot take the files."""


class StoppedError(WeightsError):
    """The caller asked for the end; what arrived stays for the next time."""


class PassingError(Exception):
    """A failure that may pass: `transfer` tries again, `after_seconds` later if asked so."""

    def __init__(self, message: str, after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds
