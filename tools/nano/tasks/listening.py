"""Audio: the digits that a telephone dialled, heard as pairs of tones (DTMF, ITU-T Q.23)."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt

from tools.nano.media import SAMPLE_RATE_HZ, wav_bytes
from tools.nano.tasks.example import Example, Task, asked_about

TONES_HZ: dict[str, tuple[int, int]] = {
    "1": (697, 1209), "2": (697, 1336), "3": (697, 1477),
    "4": (770, 1209), "5": (770, 1336), "6": (770, 1477),
    "7": (852, 1209), "8": (852, 1336), "9": (852, 1477),
    "0": (941, 1336),
}  # fmt: skip
WORDINGS = (
    "Which digits are dialled?",
    "Which digits do you hear?",
    "What number was dialled?",
    "List the digits in the audio.",
)
LONGEST = 4


def _tone(digit: str, rng: random.Random) -> npt.NDArray[np.float64]:
    time = np.arange(int(SAMPLE_RATE_HZ * rng.uniform(0.10, 0.18))) / SAMPLE_RATE_HZ
    low, high = TONES_HZ[digit]
    level = rng.uniform(0.12, 0.38)
    twist = rng.uniform(0.85, 1.15)
    phases = rng.uniform(0.0, 2 * np.pi), rng.uniform(0.0, 2 * np.pi)
    wave: npt.NDArray[np.float64] = level * np.sin(2 * np.pi * low * time + phases[0])
    return wave + level * twist * np.sin(2 * np.pi * high * time + phases[1])


def dial(digits: str, rng: random.Random) -> npt.NDArray[np.float32]:
    """Tones and pauses of random length for `digits`, over faint noise, at 16 kHz."""
    pieces = [np.zeros(int(SAMPLE_RATE_HZ * rng.uniform(0.0, 0.12)))]
    for digit in digits:
        pieces += [_tone(digit, rng), np.zeros(int(SAMPLE_RATE_HZ * rng.uniform(0.06, 0.12)))]
    wave = np.concatenate(pieces)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0.0, 1.0, len(wave))
    return (wave + rng.uniform(0.0005, 0.012) * noise).astype(np.float32)


def _draw(rng: random.Random) -> tuple[str, Example]:
    digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, LONGEST)))
    prompt = asked_about(("audio", wav_bytes(dial(digits, rng))), rng.choice(WORDINGS), rng)
    thought = "The user asks for the digits in the audio."
    key = digits if len(digits) > 2 else f"{digits} {rng.getrandbits(32)}"
    return key, Example((prompt,), expected=" ".join(digits), thought=thought)


TASK = Task("audio", _draw)
