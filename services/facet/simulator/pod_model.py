"""How fast a pod is, what it holds, how it starts: the pod model, read from a JSON file."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent / "pod_models" / "l4-fp8.json"
"""The model that is used where none is named."""

_SHARES_TOLERANCE = 1e-6


class PodModelError(ValueError):
    """A file that is no pod model: what is wrong, where, and what is wanted."""


@dataclass(frozen=True)
class Speculation:
    """Batches up to `batch` yield `tokens_per_step` a sequence, at `step_factor` the time."""

    batch: int
    tokens_per_step: float
    step_factor: float


@dataclass(frozen=True)
class StartShares:
    """Parts of a cold start by phase; together 1."""

    scheduling: float
    pulling: float
    loading: float
    warming: float


@dataclass(frozen=True)
class PodModel:
    """A pod's speed and room.

    An engine step over a batch of b decoding sequences and p prompt tokens takes
    `(step_base_seconds + b * step_sequence_seconds) * step_factor + p * prefill_token_seconds`;
    p is at most `batched_tokens`. Beyond the last row of `speculation` a step yields one token.
    `max_sequences` and `kv_tokens` bound what is inside; `claim_ahead` requests more are claimed.
    `drain_seconds` is how long a pod that is told to go may finish what it has.
    `sources` says where each figure comes from.
    """

    name: str
    prefill_token_seconds: float
    step_base_seconds: float
    step_sequence_seconds: float
    batched_tokens: int
    max_sequences: int
    kv_tokens: int
    claim_ahead: int
    drain_seconds: float
    speculation: tuple[Speculation, ...]
    start_shares: StartShares
    sources: dict[str, str]

    @cached_property
    def step_seconds(self) -> tuple[float, ...]:
        """Length of a step without prompts, by the number of decoding sequences."""
        batches = range(self.max_sequences + 1)
        return tuple(
            (self.step_base_seconds + n * self.step_sequence_seconds) * self._row(n).step_factor
            for n in batches
        )

    @cached_property
    def tokens_per_step(self) -> tuple[float, ...]:
        """Tokens of each sequence in a step, by the number of decoding sequences."""
        return tuple(self._row(n).tokens_per_step for n in range(self.max_sequences + 1))

    def _row(self, batch: int) -> Speculation:
        fitting = (row for row in self.speculation if batch <= row.batch)
        return next(fitting, Speculation(batch, 1.0, 1.0))


def load(path: Path) -> PodModel:
    """Read and check a file. Errors: PodModelError."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PodModelError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise PodModelError(f"{path}: no JSON ({error})") from error
    try:
        return _built(values)
    except PodModelError as error:
        raise PodModelError(
            f"{path}: {error}; {SHIPPED.name} in the package is an example"
        ) from None


def _built(values: Any) -> PodModel:
    given = _object(values, "the file", [each.name for each in fields(PodModel)])
    rows = given.pop("speculation")
    if not isinstance(rows, list):
        raise PodModelError("speculation: a list of objects is wanted")
    speculation = []
    for number, given_row in enumerate(rows):
        where = f"speculation[{number}]"
        row = _object(given_row, where, [each.name for each in fields(Speculation)])
        _check_count(row["batch"], f"{where}.batch")
        _check_number(row["tokens_per_step"], f"{where}.tokens_per_step", least=1.0)
        _check_number(row["step_factor"], f"{where}.step_factor", least=1.0)
        speculation.append(Speculation(**row))
    if [row.batch for row in speculation] != sorted({row.batch for row in speculation}):
        raise PodModelError("speculation: rows with growing batch are wanted")
    shares = _object(given.pop("start_shares"), "start_shares", list(StartShares.__annotations__))
    for name, share in shares.items():
        _check_number(share, f"start_shares.{name}", least=0.0)
    if not math.isclose(sum(shares.values()), 1.0, abs_tol=_SHARES_TOLERANCE):
        raise PodModelError(f"start_shares: they add up to {sum(shares.values()):g}, not to 1")
    for name in ("prefill_token_seconds", "step_base_seconds"):
        _check_number(given[name], name, above=0.0)
    for name in ("step_sequence_seconds", "drain_seconds"):
        _check_number(given[name], name, least=0.0)
    for name in ("batched_tokens", "max_sequences", "kv_tokens"):
        _check_count(given[name], name)
    _check_count(given["claim_ahead"], "claim_ahead", least=0)
    if not isinstance(given["name"], str) or not isinstance(given["sources"], dict):
        raise PodModelError("name: text is wanted, and under sources an object of texts")
    return PodModel(**given, speculation=tuple(speculation), start_shares=StartShares(**shares))


def _object(value: Any, where: str, names: list[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PodModelError(f"{where}: an object is wanted")
    if missing := sorted(set(names) - set(value)):
        raise PodModelError(f"{where}: {', '.join(missing)} missing")
    if unknown := sorted(set(value) - set(names)):
        raise PodModelError(f"{where}: {', '.join(unknown)} unknown")
    return dict(value)


def _check_number(
    value: Any, where: str, *, least: float = -math.inf, above: float = -math.inf
) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least or value <= above:
        wanted = f"above {above:g}" if above > -math.inf else f"of at least {least:g}"
        raise PodModelError(f"{where}: a number {wanted} is wanted, not {value!r}")


def _check_count(value: Any, where: str, *, least: int = 1) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PodModelError(f"{where}: a whole number of at least {least} is wanted, not {value!r}")
