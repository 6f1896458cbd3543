"""What a check found: how much it looked at, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """`count` things were checked; `problems` has one line each for what is wrong with them.

    `kinds` counts objects by their Kubernetes kind where the check goes by it; `unchecked` those
    that could not be judged on this machine, which is no failure.
    """

    count: int = 0
    problems: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    unchecked: Counter[str] = field(default_factory=Counter)

    def look(self, problems: Iterable[str]) -> None:
        """One more thing was checked, and this is wrong with it."""
        self.count += 1
        self.problems += problems


def guarded(check: Callable[[], Outcome]) -> Outcome:
    """What the check found; one that cannot run, for want of a tool say, has failed."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - whatever stops a check must fail it, not the others
        return Outcome(problems=[f"cannot run: {type(error).__name__}: {error}"])


def unmet(outcomes: Mapping[str, Outcome], kinds: Iterable[str]) -> list[str]:
    """Checks that looked at nothing, and kinds of which nothing was rendered."""
    seen = sum((outcome.kinds for outcome in outcomes.values()), Counter[str]())
    empty = [name for name, outcome in outcomes.items() if not outcome.count]
    return [f"{name}: nothing was checked" for name in empty] + [
        f"no {kind} is rendered with any of the CI values"
        for kind in sorted(kinds)
        if not seen[kind]
    ]
