"""What is wrong with a request, collected over all of its fields."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from facet.core.errors import (
    ContextExceededError,
    FieldViolation,
    InvalidRequestError,
    MediaUndecodableError,
    NotServedError,
)

_NAMED_IN_MESSAGE = 3


@dataclass
class Findings:
    """Collects violations with the paths of their fields, so that a client learns all at once."""

    violations: list[FieldViolation] = field(default_factory=list)
    undecodable: list[FieldViolation] = field(default_factory=list)
    overlong: list[FieldViolation] = field(default_factory=list)
    not_served: list[str] = field(default_factory=list)

    def wrong(self, path: str, description: str) -> None:
        """A field has a value that is not allowed."""
        self.violations.append(FieldViolation(path, description))

    def broken_media(self, path: str, description: str) -> None:
        """A part's media cannot be decoded."""
        self.undecodable.append(FieldViolation(path, description))

    def too_long(self, path: str, description: str) -> None:
        """A prompt cannot fit the context."""
        self.overlong.append(FieldViolation(path, description))

    def unserved(self, path: str) -> None:
        """A field is part of the API and not served."""
        self.not_served.append(path)

    def within(
        self,
        path: str,
        value: float,
        low: float,
        high: float,
        *,
        is_low_excluded: bool = False,
    ) -> None:
        """A number has to be finite and in [low, high], or in (low, high]."""
        is_above = value > low if is_low_excluded else value >= low
        if not math.isfinite(value) or not is_above or value > high:
            bracket = "(" if is_low_excluded else "["
            self.wrong(path, f"must be in {bracket}{low:g}, {high:g}], is {value:g}")

    def raise_if_any(self) -> None:
        """Raise the error that the findings amount to.

        Errors: InvalidRequestError, or its more precise kind when all findings are of that kind:
        MediaUndecodableError, ContextExceededError; NotServedError when no field is wrong.
        """
        violations = self.violations + self.undecodable + self.overlong
        if violations:
            error: type[InvalidRequestError] = InvalidRequestError
            if len(self.undecodable) == len(violations):
                error = MediaUndecodableError
            elif len(self.overlong) == len(violations):
                error = ContextExceededError
            raise error(_summary(violations), violations=violations)
        if self.not_served:
            raise NotServedError.of(self.not_served[0])


def _summary(violations: list[FieldViolation]) -> str:
    named = "; ".join(f"{v.field}: {v.description}" for v in violations[:_NAMED_IN_MESSAGE])
    more = len(violations) - _NAMED_IN_MESSAGE
    return f"{named}; and {more} more" if more > 0 else named
