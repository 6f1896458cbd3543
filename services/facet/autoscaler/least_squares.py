"""Recursive least squares that forgets, and that single bad samples do not move far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FORGET = 0.999
"""Weight of a sample after each later one: about the last 1,000 samples count."""
_DAMPING = 1e-6
"""Least information in each direction: what samples say nothing about stays as it is."""
_TOLERATED = 3.0
"""Usual deviations up to which a sample counts fully (Huber); beyond, its pull is constant."""
_LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class LeastSquares:
    """A linear law y = weights . x and the information that it rests on.

    `information` is the decayed sum of x x^T, a row after the other; `deviation` the usual relative
    deviation of a sample. Deviations count relative to what was expected, so that short and long
    times weigh alike.
    """

    weights: tuple[float, ...]
    information: tuple[float, ...]
    deviation: float = 1.0

    @classmethod
    def starting(cls, weights: Sequence[float], confidence: float = 1e-3) -> LeastSquares:
        """Begin with `weights`, which a few samples override."""
        size = len(weights)
        rows = (confidence if i % (size + 1) == 0 else 0.0 for i in range(size * size))
        return cls(tuple(weights), tuple(rows))

    def expected(self, x: Sequence[float]) -> float:
        """The law's y for x."""
        return sum(weight * value for weight, value in zip(self.weights, x, strict=True))

    def observed(self, x: Sequence[float], y: float) -> LeastSquares:
        """After one sample. A term that it does not have (x = 0) forgets nothing."""
        size = len(x)
        error = y - self.expected(x)
        unit = max(abs(self.expected(x)), abs(y), 1e-9)
        relative = abs(error) / unit
        trusted = min(1.0, _TOLERATED * self.deviation / max(relative, 1e-12))
        pull = trusted / unit**2
        kept = [math.sqrt(_FORGET) if value else 1.0 for value in x]
        information = [
            self.information[i * size + j] * kept[i] * kept[j] + pull * x[i] * x[j]
            for i in range(size)
            for j in range(size)
        ]
        steps = _solved(information, [pull * value * error for value in x])
        deviation = self.deviation + (1 - _FORGET) * 10 * (
            min(relative, 2 * _TOLERATED * self.deviation) - self.deviation
        )
        return LeastSquares(
            tuple(weight + step for weight, step in zip(self.weights, steps, strict=True)),
            tuple(information),
            max(deviation, _LEAST_DEVIATION),
        )


def _solved(matrix: Sequence[float], right: Sequence[float]) -> list[float]:
    """Solve the damped symmetric system by Cholesky's decomposition, scaled to a unit diagonal."""
    size = len(right)
    scale = [math.sqrt(max(matrix[i * size + i], 1e-30)) for i in range(size)]
    lower = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            value = matrix[i * size + j] / (scale[i] * scale[j]) + (_DAMPING if i == j else 0.0)
            value -= sum(lower[i][k] * lower[j][k] for k in range(j))
            lower[i][j] = math.sqrt(max(value, _DAMPING)) if i == j else value / lower[j][j]
    forward: list[float] = []
    for i in range(size):
        value = right[i] / scale[i] - sum(lower[i][k] * forward[k] for k in range(i))
        forward.append(value / lower[i][i])
    solution = [0.0] * size
    for i in reversed(range(size)):
        value = forward[i] - sum(lower[k][i] * solution[k] for k in range(i + 1, size))
        solution[i] = value / lower[i][i]
    return [value / each for value, each in zip(solution, scale, strict=True)]
