"""Image: the colour and the shape of the one object on a plain ground."""

from __future__ import annotations

import random

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tools.nano.media import decode_image, jpeg_bytes, png_bytes
from tools.nano.tasks.example import Example, Task, asked_about
from tools.nano.vocabulary import COLOURS, SHAPES

RGB: dict[str, tuple[int, int, int]] = {
    "red": (215, 30, 35),
    "green": (30, 170, 50),
    "blue": (35, 60, 215),
    "yellow": (235, 220, 40),
    "orange": (245, 135, 20),
    "purple": (140, 40, 170),
}
WORDINGS = (
    "What colour and shape is the object?",
    "What is in the image?",
    "Describe the object in the picture.",
    "Which shape is shown, and in which colour?",
)
SIDES = (96, 128, 160, 192)


def noisy(pixels: npt.NDArray[np.uint8], rng: random.Random, sigma: float) -> npt.NDArray[np.uint8]:
    """Add normal noise of standard deviation `sigma` to pixels."""
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0.0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def jittered(colour: str, rng: random.Random, spread: int = 14) -> tuple[int, int, int]:
    """RGB of a named colour, each channel moved by up to `spread`."""
    red, green, blue = (
        min(255, max(0, value + rng.randint(-spread, spread))) for value in RGB[colour]
    )
    return red, green, blue


def _outline(shape: str, x: float, y: float, r: float) -> list[tuple[float, float]]:
    if shape == "square":
        return [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]
    if shape == "triangle":
        return [(x, y - r), (x + r, y + r), (x - r, y + r)]
    arm = r / 3
    return [
        (x - arm, y - r), (x + arm, y - r), (x + arm, y - arm), (x + r, y - arm),
        (x + r, y + arm), (x + arm, y + arm), (x + arm, y + r), (x - arm, y + r),
        (x - arm, y + arm), (x - r, y + arm), (x - r, y - arm), (x - arm, y - arm),
    ]  # fmt: skip


def draw_object(colour: str, shape: str, rng: random.Random) -> npt.NDArray[np.uint8]:
    """Draw one object near the middle of a square of a random grey."""
    side = rng.choice(SIDES)
    grey = rng.choice((rng.randint(0, 70), rng.randint(185, 255)))
    image = Image.new("RGB", (side, side), (grey, grey, grey))
    radius = side * rng.uniform(0.32, 0.42)
    x, y = (side * rng.uniform(0.46, 0.54) for _ in range(2))
    pen = ImageDraw.Draw(image)
    fill = jittered(colour, rng)
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
    else:
        pen.polygon(_outline(shape, x, y, radius), fill=fill)
    return noisy(np.asarray(image), rng, rng.uniform(1.0, 8.0))


def _draw(rng: random.Random) -> tuple[str, Example]:
    colour, shape = rng.choice(COLOURS), rng.choice(SHAPES)
    pixels = draw_object(colour, shape, rng)
    if rng.random() < 0.3:
        pixels = decode_image(jpeg_bytes(pixels, rng.randint(60, 95)))
    prompt = asked_about(("image", png_bytes(pixels)), rng.choice(WORDINGS), rng)
    thought = "The user asks what the image shows."
    key = f"{colour} {shape} {rng.getrandbits(32)}"
    return key, Example((prompt,), expected=f"{colour} {shape}", thought=thought)


TASK = Task("image", _draw)
