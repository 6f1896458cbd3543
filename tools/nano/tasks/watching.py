"""Video: the order of the colours that fill the picture one after the other."""

from __future__ import annotations

import random

import numpy as np

from tools.nano.media import VIDEO_FPS, Pixels, mp4_bytes
from tools.nano.tasks.example import Example, Task, asked_about
from tools.nano.tasks.seeing import jittered, noisy
from tools.nano.vocabulary import COLOURS

WORDINGS = (
    "Which colours appear, in order?",
    "Name the colours in order.",
    "List the colours in the video.",
)
SIDE = 96
LONGEST_SECONDS = 5


def _seconds(rng: random.Random, segments: int) -> list[int]:
    lengths = [1] * segments
    for _ in range(rng.randint(0, min(1, LONGEST_SECONDS - segments))):
        lengths[rng.randrange(segments)] += 1
    return lengths


def film(colours: list[str], seconds: list[int], rng: random.Random) -> Pixels:
    """Frames at `VIDEO_FPS` of each colour for its whole seconds."""
    frames = []
    for colour, length in zip(colours, seconds, strict=True):
        plain = np.full((SIDE, SIDE, 3), jittered(colour, rng), dtype=np.uint8)
        frames += [noisy(plain, rng, 4.0) for _ in range(length * VIDEO_FPS)]
    return np.stack(frames)


def _draw(rng: random.Random) -> tuple[str, Example]:
    colours = [rng.choice(COLOURS)]
    for _ in range(rng.randint(1, 3)):
        colours.append(rng.choice([colour for colour in COLOURS if colour != colours[-1]]))
    seconds = _seconds(rng, len(colours))
    video = mp4_bytes(film(colours, seconds, rng))
    prompt = asked_about(("video", video), rng.choice(WORDINGS), rng)
    thought = "The user asks for the colours in the video."
    key = " ".join((*colours, *map(str, seconds)))
    return key, Example((prompt,), expected=" ".join(colours), thought=thought)


TASK = Task("video", _draw)
