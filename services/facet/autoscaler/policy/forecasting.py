"""Arriving work, forecast over one start-up time, with the error that such forecasts had.

A bank of exponential means of different memory, each taken as a level and as a level with trend
(Brown's double smoothing). They are averaged, weighted by the inverse of the squared error that
each had at the horizon lately (Bates and Granger, "The combination of forecasts", 1969).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_MEMORIES = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Memory of the means in horizons: shorter ones are noise, longer ones miss a day's slope."""
_TRENDED = 3
"""Means from this one on are also taken with their trend: that of shorter ones is noise."""
_ERROR_MEMORY = 16.0
"""Memory of errors in horizons: as many independent errors."""
_UNPROVEN = 64
"""Comparisons, two horizons of them, that count as right at first: one surprise is no habit."""
_YOUNG = 1 / 4
"""Forecasts from less than so many horizons of observation tell nothing of later ones."""
_CLEAR_SIGNS = 4.0
"""Standard deviations by which a short mean must leave the forecast to be a change of level."""
_DOWN_MEMORY = 1 / 2
"""Memory of the mean that tells of a lower level, in horizons."""
_MOST_ERROR = 0.5
"""Larger errors are few and great surprises: room for them is head-room, bought on its own."""
_APART = 1 / 32
"""Horizons between forecasts that are kept for comparison: it bounds how many there are."""
_TINY = 1e-6
_OUTLIER = 9.0
"""A squared difference counts at most so many times the usual one (3 standard deviations)."""


@dataclass(frozen=True)
class Pending:
    """Forecasts made at one time, until their hour comes."""

    due_seconds: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Forecaster:
    """What is remembered of arrivals, in pods' worth of work.

    `means` and `second_means` by memory; `errors` are mean relative squared errors by candidate,
    the average of all last, against the shortest mean. `rise` is the same of the average, only
    where more came than it said: what a size has to cover. It counts twice, as a variance of even
    errors would. `noise` is the variance of one interval's rate over its mean, `count_noise` that
    of the number of requests (1 for Poisson).
    """

    age_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    means: tuple[float, ...] = ()
    second_means: tuple[float, ...] = ()
    errors: tuple[float, ...] = ()
    rise: float = 0.0
    error_weight: float = 0.0
    pending: tuple[Pending, ...] = ()
    noise: float = 0.0
    count_noise: float = 1.0
    noise_weight: float = 0.0
    interval_seconds: float = 0.0
    last_rate: float = 0.0
    last_count_rate: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """Expected load soon and at the horizon; `error` is a standard deviation as a share."""

    near: float
    far: float
    error: float
    is_changed: bool = False

    @property
    def most(self) -> float:
        """What will be needed before a pod that is given up could be had back."""
        return max(self.near, self.far, 0.0)


def observe(
    past: Forecaster, rate: float, count_rate: float, seconds: float, horizon_seconds: float
) -> tuple[Forecaster, Forecast]:
    """Take in what arrived in the last `seconds`: `rate` in pods, `count_rate` in requests/s."""
    now = _with_noise(past, rate, count_rate, seconds, horizon_seconds)
    memories = [share * horizon_seconds for share in _MEMORIES]
    changed = _changed_level(now, rate, seconds, horizon_seconds)
    if changed is not None:
        level, known_seconds = changed
        levels = (level,) * len(memories)
        # In the first horizon the load, and what a request costs, is only got to know.
        pending = now.pending if now.age_seconds > horizon_seconds else ()
        now = replace(
            now, pending=pending, elapsed_seconds=known_seconds, means=levels, second_means=levels
        )
    elapsed = now.elapsed_seconds + seconds
    means, second_means = [], []
    for index, memory in enumerate(memories):
        gain = max(1 - math.exp(-seconds / memory), seconds / elapsed)
        first = now.means[index] if now.means else rate
        second = now.second_means[index] if now.second_means else rate
        first += gain * (rate - first)
        second += gain * (first - second)
        means.append(first)
        second_means.append(second)
    now = replace(
        now,
        elapsed_seconds=elapsed,
        means=tuple(means),
        second_means=tuple(second_means),
        interval_seconds=seconds,
        last_rate=rate,
        last_count_rate=count_rate,
    )
    now = _with_errors(now, horizon_seconds)
    due = now.age_seconds + horizon_seconds
    is_apart = not now.pending or due - now.pending[-1].due_seconds >= _APART * horizon_seconds
    if now.age_seconds >= _YOUNG * horizon_seconds and is_apart:
        far = _candidates(now, horizon_seconds, horizon_seconds)
        values = tuple(float(f"{value:.6g}") for value in (*far, _average(now, far)))
        made = Pending(due, values)
        now = replace(now, pending=(*now.pending, made))
    return now, forecast(now, horizon_seconds, is_changed=changed is not None)


def forecast(now: Forecaster, horizon_seconds: float, *, is_changed: bool = False) -> Forecast:
    """The weighted average of all candidates; 0 before anything was observed."""
    if not now.means:
        return Forecast(0.0, 0.0, 0.0)
    near = _average(now, _candidates(now, 0.0, horizon_seconds))
    far = _average(now, _candidates(now, horizon_seconds, horizon_seconds))
    variance = 0.0
    if now.errors and far > 0:
        variance = max(0.0, now.rise - now.noise / far * _share(now, horizon_seconds))
    if now.elapsed_seconds < horizon_seconds and near > 0:
        variance += now.noise / near * now.interval_seconds / now.elapsed_seconds
    return Forecast(near, far, min(_MOST_ERROR, math.sqrt(variance)), is_changed)


def _candidates(now: Forecaster, ahead_seconds: float, horizon_seconds: float) -> tuple[float, ...]:
    """Levels by memory, then levels with trend by memory."""
    trended = []
    pairs = zip(_MEMORIES, now.means, now.second_means, strict=True)
    for memory, first, second in list(pairs)[_TRENDED:]:
        slope = (first - second) / (memory * horizon_seconds)
        trended.append(max(0.0, 2 * first - second + slope * ahead_seconds))
    return (*now.means, *trended)


def _average(now: Forecaster, candidates: tuple[float, ...]) -> float:
    if not now.errors:
        return now.means[_MEMORIES.index(1.0)]
    least = min(now.errors) + _TINY
    weights = [(least / (error + _TINY)) ** 2 for error in now.errors[:-1]]
    return sum(w * value for w, value in zip(weights, candidates, strict=True)) / sum(weights)


def _share(now: Forecaster, horizon_seconds: float) -> float:
    """The share of an interval's variance that is left in the shortest mean."""
    gain = 1 - math.exp(-now.interval_seconds / (_MEMORIES[0] * horizon_seconds))
    return gain / (2 - gain)


def _gain(seconds: float, horizon_seconds: float, weight: float) -> float:
    """Gain of a mean over the memory of errors that is a plain mean at first."""
    return max(1 - math.exp(-seconds / (_ERROR_MEMORY * horizon_seconds)), 1 / (weight + 1))


def _with_noise(
    past: Forecaster,
    rate: float,
    count_rate: float,
    seconds: float,
    horizon_seconds: float,
) -> Forecaster:
    """Learn the noise of an interval from successive differences, which hold no level or trend."""
    size_noise = rate / count_rate / seconds if count_rate > 0 else 0.0
    age = past.age_seconds + seconds
    level = (rate + past.last_rate) / 2
    counted = (count_rate + past.last_count_rate) / 2 * seconds
    if not past.means or level <= 0 or counted <= 0:
        noise = past.noise or 2 * size_noise
        return replace(past, age_seconds=age, noise=noise)
    sample = (rate - past.last_rate) ** 2 / 2 / level
    count = ((count_rate - past.last_count_rate) * seconds) ** 2 / 2 / counted
    gain = _gain(seconds, horizon_seconds, past.noise_weight + 1)
    noise = past.noise + gain * (min(sample, _OUTLIER * past.noise) - past.noise)
    count_noise = past.count_noise
    count_noise += gain * (min(count, _OUTLIER * count_noise) - count_noise)
    return replace(
        past,
        age_seconds=age,
        noise=max(noise, size_noise),
        count_noise=count_noise,
        noise_weight=past.noise_weight + 1,
    )


def _with_errors(now: Forecaster, horizon_seconds: float) -> Forecaster:
    """Compare what was forecast for now with what the shortest mean says."""
    due = [each for each in now.pending if each.due_seconds <= now.age_seconds]
    if not due:
        return now
    errors, weight = list(now.errors or (0.0,) * len(due[0].values)), now.error_weight
    rise = now.rise
    for each in due:
        gain = min(1.0, 2 * _gain(now.interval_seconds, horizon_seconds, weight))
        weight += 1
        for index, value in enumerate(each.values):
            if value > 0:
                error = min(1.0, (now.means[0] / value - 1) ** 2)
                errors[index] += gain * (error - errors[index])
        risen = max(0.0, now.means[0] / max(each.values[-1], _TINY) - 1)
        gain = 2 * _gain(now.interval_seconds, horizon_seconds, weight + _UNPROVEN)
        rise += gain * (min(1.0, 2 * risen**2) - rise)
    pending = tuple(each for each in now.pending if each.due_seconds > now.age_seconds)
    return replace(now, errors=tuple(errors), rise=rise, error_weight=weight, pending=pending)


def _changed_level(
    now: Forecaster, rate: float, seconds: float, horizon_seconds: float
) -> tuple[float, float] | None:
    """The new level where what came is beyond all noise, and for how many seconds it is known.

    Up it is told by the last interval or the shortest mean, for more pods take a horizon. Down it
    follows the mean of half a horizon: pods are kept for longer, and a pause is no level.
    """
    if not now.means:
        return None
    expected = forecast(now, horizon_seconds)
    near = max(expected.near, now.noise, _TINY)

    def deviation(share: float) -> float:
        """Of a mean that holds a share of an interval's noise, as a share of the forecast."""
        return math.sqrt(now.noise / near * share + expected.error**2)

    def mean(memory: float) -> tuple[float, float]:
        gain = 1 - math.exp(-seconds / (memory * horizon_seconds))
        before = now.means[_MEMORIES.index(memory)]
        return before + gain * (rate - before), gain / (2 - gain)

    short, share = mean(_MEMORIES[0])
    for value, part in ((rate, 1.0), (short, share)):
        if value > expected.near + _CLEAR_SIGNS * deviation(part) * near:
            return value, seconds
    half, share = mean(_DOWN_MEMORY)
    is_down = half < expected.near * math.exp(-_CLEAR_SIGNS * deviation(share))
    return (half, _DOWN_MEMORY * horizon_seconds) if is_down else None
