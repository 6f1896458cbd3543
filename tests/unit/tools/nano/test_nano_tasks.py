"""The nano tasks: repeatable examples, splits that do not meet, media that decode."""

from __future__ import annotations

import numpy as np
import pytest

from tools.nano.media import decode_audio, decode_image, decode_video
from tools.nano.tasks import TASKS, Example, Task
from tools.nano.tasks.example import is_held_out
from tools.nano.tasks.listening import TONES_HZ
from tools.nano.vocabulary import COLOURS, SHAPES

pytestmark = pytest.mark.unit

OPEN_TASKS = [task for task in TASKS.values() if not task.is_closed]


def _content(example: Example) -> tuple[object, ...]:
    # The declared tools are part of the prompt: a tool's question alone may be in both splits.
    parts = tuple(message.parts for message in example.messages)
    return parts, repr(example.tools), example.expected


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_example_is_the_same_when_the_seed_is(task: Task) -> None:
    assert task.example(5) == task.example(5)
    assert _content(task.example(5)) != _content(task.example(6)) or task.name == "fact"


@pytest.mark.parametrize("task", OPEN_TASKS, ids=lambda task: task.name)
def test_splits_share_no_prompt_when_the_task_is_open(task: Task) -> None:
    count = 12 if task.name in {"image", "video"} else 150
    held_out = {_content(task.example(seed)) for seed in range(count)}
    train = {_content(task.example(seed, "train")) for seed in range(count)}
    assert not held_out & train


def test_split_is_one_in_eight_when_keys_are_many() -> None:
    share = sum(is_held_out(str(number)) for number in range(4000)) / 4000
    assert 0.1 < share < 0.15


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_example_expects_an_answer_or_a_call_when_drawn(task: Task) -> None:
    for seed in range(10):
        example = task.example(seed)
        assert bool(example.expected) != (example.expected_call is not None)
        assert example.messages[-1].role in {"user", "tool"}


def test_answer_takes_several_byte_tokens_when_a_phrase_has_emoji() -> None:
    answers = [TASKS["copy"].example(seed).expected for seed in range(60)]
    assert sum(any(ord(char) > 0xFFFF for char in answer) for answer in answers) > 15


def test_answer_names_a_colour_and_a_shape_when_the_task_is_image() -> None:
    example = TASKS["image"].example(3)
    colour, shape = example.expected.split()
    assert colour in COLOURS
    assert shape in SHAPES
    ((kind, data),) = example.media
    assert kind == "image"
    assert decode_image(data).shape[2] == 3


def test_tones_of_the_first_digit_are_heard_when_the_task_is_audio() -> None:
    example = next(
        found for seed in range(50) if len((found := TASKS["audio"].example(seed)).expected) == 1
    )
    ((_, data),) = example.media
    samples = decode_audio(data)
    assert len(samples) % 640 == 0
    spectrum = np.abs(np.fft.rfft(samples))
    hertz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    low = spectrum * ((hertz > 600) & (hertz < 1050))
    high = spectrum * (hertz >= 1050)
    for band, wanted in zip((low, high), TONES_HZ[example.expected], strict=True):
        assert abs(hertz[band.argmax()] - wanted) < 20


def test_one_frame_a_second_is_decoded_when_the_task_is_video() -> None:
    example = TASKS["video"].example(2)
    ((_, data),) = example.media
    frames, metadata = decode_video(data)
    assert len(frames) >= len(example.expected.split())
    assert metadata["frames_indices"] == list(range(len(frames)))
    assert metadata["do_sample_frames"] is False
