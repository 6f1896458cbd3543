"""Synthetic loads: how the rate goes, and what is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from facet.simulator.request import Request
from facet.simulator.workloads.workload import Workload

_STEP_SECONDS = 10.0
"""The rate is constant for so long, and arrivals in it are Poisson."""
_HOUR = 3600.0
_DAY = 24 * _HOUR

_FLASH = (1200.0, 1800.0)
_AWAKE = (600.0, 2400.0)
_RISE_SECONDS = 600.0

_PROMPT = (700.0, 0.9, 16, 8192)
_OUTPUT = (350.0, 0.8, 4, 2048)
"""Median, deviation of the logarithm, least and most tokens: means are 1,050 and 480, a chat whose
answers are twice as long as those of the public conversation trace of 2023."""

_MEDIA = (("", 0, 0, 0.6), ("i", 280, 4, 0.25), ("a", 250, 3, 0.1), ("v", 70, 32, 0.05))
"""Kind, tokens of one (image, ten seconds of sound, frame), how many at most, share."""

Shape = Callable[[float, np.random.Generator], float]
"""The rate at a time as a share of the peak."""


@dataclass(frozen=True)
class Synthetic:
    """A synthetic load. At `scaled(1.0)` its highest rate is one request a second."""

    name: str
    duration_seconds: float
    shape: Shape
    has_media: bool = False
    stretch: float = 1.0

    def stretched(self, factor: float) -> Synthetic:
        """The same profile over a longer or shorter time."""
        return Synthetic(
            self.name, self.duration_seconds, self.shape, self.has_media, self.stretch * factor
        )

    def scaled(self, load: float, seed: int) -> Workload:
        """At a highest rate of `load` requests a second."""
        duration = self.duration_seconds * self.stretch
        return Workload(self.name, duration, lambda: self._requests(load, seed, duration))

    def _requests(self, load: float, seed: int, duration: float) -> Iterator[Request]:
        rates, draws = np.random.default_rng([seed, 1]), np.random.default_rng([seed, 2])
        for step in range(math.ceil(duration / _STEP_SECONDS)):
            begin = step * _STEP_SECONDS
            length = min(_STEP_SECONDS, duration - begin)
            rate = load * self.shape(begin / self.stretch, rates)
            count = int(draws.poisson(rate * length))
            times = np.sort(begin + draws.random(count) * length).tolist()
            prompts, outputs = _lengths(draws, _PROMPT, count), _lengths(draws, _OUTPUT, count)
            media = _media(draws, count) if self.has_media else [("", 0)] * count
            for at, prompt, output, (kind, tokens) in zip(
                times, prompts, outputs, media, strict=True
            ):
                yield Request(at, prompt + tokens, output, media=kind, media_tokens=tokens)


def _lengths(
    draws: np.random.Generator, spread: tuple[float, float, int, int], count: int
) -> list[int]:
    median, deviation, least, most = spread
    drawn = draws.lognormal(math.log(median), deviation, count)
    lengths: list[int] = np.clip(drawn, least, most).astype(int).tolist()
    return lengths


def _media(draws: np.random.Generator, count: int) -> list[tuple[str, int]]:
    shares = [share for _, _, _, share in _MEDIA]
    media = []
    for number in draws.choice(len(_MEDIA), count, p=shares).tolist():
        kind, tokens, most, _ = _MEDIA[number]
        media.append((kind, tokens * int(draws.integers(1, most + 1)) if kind else 0))
    return media


def _steady(at: float, draws: np.random.Generator) -> float:
    del at, draws
    return 1.0


class _Bursts:
    """Each minute has a rate of its own, gamma distributed, with half the mean as deviation."""

    def __init__(self) -> None:
        self._rate = 0.0

    def __call__(self, at: float, draws: np.random.Generator) -> float:
        if at % 60.0 < _STEP_SECONDS:
            self._rate = float(draws.gamma(4.0, 0.25))
        return self._rate


def _diurnal(at: float, draws: np.random.Generator) -> float:
    """A day from midnight: lowest at four, ten times as much at sixteen o'clock."""
    del draws
    swing = (1.0 - math.cos(2 * math.pi * (at / _DAY - 4 / 24))) / 2
    return 0.1 + 0.9 * swing


def _flash(at: float, draws: np.random.Generator) -> float:
    """Ten times as much from one moment to the next, for ten minutes."""
    del draws
    begin, end = _FLASH
    return 1.0 if begin <= at < end else 0.1


def _zero(at: float, draws: np.random.Generator) -> float:
    """Silence for ten minutes, a rise of ten, steady for twenty, silence."""
    del draws
    begin, end = _AWAKE
    if not begin <= at < end:
        return 0.0
    return min(1.0, 0.02 + (at - begin) / _RISE_SECONDS)


SYNTHETIC: Mapping[str, Callable[[], Synthetic]] = MappingProxyType(
    {
        "poisson": lambda: Synthetic("poisson", _HOUR, _steady),
        "gamma": lambda: Synthetic("gamma", _HOUR, _Bursts()),
        "diurnal": lambda: Synthetic("diurnal", _DAY, _diurnal),
        "flash": lambda: Synthetic("flash", _HOUR, _flash),
        "zero": lambda: Synthetic("zero", _HOUR, _zero),
        "multimodal": lambda: Synthetic("multimodal", _HOUR, _steady, has_media=True),
    }
)
"""Loads by name. A new one each time: the rate of some depends on what was drawn before."""
