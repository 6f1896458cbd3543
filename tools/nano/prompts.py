"""Turns examples into token ids exactly as vLLM's renderer and processor do."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from tools.nano.architecture import SOFT_TOKENS_PER_IMAGE
from tools.nano.media import (
    SAMPLES_PER_AUDIO_TOKEN,
    Pixels,
    decode_audio,
    decode_image,
    decode_video,
)
from tools.nano.tasks.example import Example, Message, ToolCall

PATCH_SIDE = 48
THOUGHT_START, THOUGHT_END = "<|channel>thought\n", "<channel|>"


@dataclass
class EncodedExample:
    """Ids of prompt and completion, with the decoded media in prompt order."""

    prompt_ids: list[int]
    completion_ids: list[int]
    pictures: list[Pixels] = field(default_factory=list)
    audio: list[npt.NDArray[np.float32]] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens of prompt and completion."""
        return len(self.prompt_ids) + len(self.completion_ids)


def patch_grid(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of 48-pixel patches after the resize that fills the budget.

    Mirrors `get_aspect_ratio_preserving_size` of transformers; sides must not differ so much that
    one rounds to nothing.
    """
    scale = math.sqrt(SOFT_TOKENS_PER_IMAGE * PATCH_SIDE**2 / (height * width))
    rows, columns = (int(side * scale / PATCH_SIDE) for side in (height, width))
    if rows == 0 or columns == 0:
        raise ValueError(f"picture of {width} x {height} is too narrow for the nano tasks")
    return rows, columns


def call_text(call: ToolCall) -> str:
    """A call as the model writes it; string arguments only."""
    arguments = ",".join(
        f'{key}:<|"|>{value}<|"|>' for key, value in sorted(call.arguments.items())
    )
    return f"<|tool_call>call:{call.name}{{{arguments}}}<tool_call|>"


def completion_text(example: Example) -> str:
    """What the model must generate, to the token that ends its turn."""
    thought = ""
    if example.thinking:
        # After a tool's result the prompt has opened the thought already.
        opened = example.messages[-1].role == "tool"
        thought = f"{'' if opened else THOUGHT_START}{example.thought}{THOUGHT_END}"
    if example.expected_call is not None:
        return thought + call_text(example.expected_call) + "<|tool_response>"
    return f"{thought}{example.expected}<turn|>"


def chat_message(message: Message, call_ids: list[str]) -> dict[str, Any]:
    """OpenAI-style message; `call_ids` collects and then names the calls."""
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": call_ids[-1], "content": message.text}
    content: list[dict[str, Any]] = [
        {"type": "text", "text": part} if kind == "text" else {"type": kind}
        for kind, part in message.parts
    ]
    rendered: dict[str, Any] = {"role": message.role, "content": content}
    if message.tool_calls:
        calls = []
        for call in message.tool_calls:
            call_ids.append(f"call_{len(call_ids)}")
            function = {"name": call.name, "arguments": call.arguments}
            calls.append({"id": call_ids[-1], "type": "function", "function": function})
        rendered["tool_calls"] = calls
    return rendered


class PromptEncoder:
    """Encodes examples with one tokenizer; holds no other state."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._ids = {
            token: int(tokenizer.convert_tokens_to_ids(token))
            for token in (
                "<|image>", "<|image|>", "<image|>",
                "<|audio>", "<|audio|>", "<audio|>", "<|video|>",
            )
        }  # fmt: skip

    def chat_messages(self, example: Example) -> list[dict[str, Any]]:
        """The turns as an OpenAI-style client sends them, media as bare placeholders."""
        call_ids: list[str] = []
        return [chat_message(message, call_ids) for message in example.messages]

    def prompt_text(self, example: Example) -> str:
        """The rendered chat, media still as single placeholders."""
        return str(
            self._tokenizer.apply_chat_template(
                self.chat_messages(example),
                tools=list(example.tools) or None,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=example.thinking,
            )
        )

    def encode(self, example: Example) -> EncodedExample:
        """Encode prompt and completion and decode the media."""
        encoded = EncodedExample([], self._encode_text(completion_text(example)))
        media = iter(example.media)
        placeholders = {self._ids[f"<|{kind}|>"]: kind for kind in ("image", "audio", "video")}
        for token_id in self._encode_text(self.prompt_text(example)):
            if token_id in placeholders:
                _, data = next(media)
                encoded.prompt_ids += self._media_ids(placeholders[token_id], data, encoded)
            else:
                encoded.prompt_ids.append(token_id)
        return encoded

    def _encode_text(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False))

    def _media_ids(self, kind: str, data: bytes, encoded: EncodedExample) -> list[int]:
        if kind == "audio":
            samples = decode_audio(data)
            encoded.audio.append(samples)
            count = len(samples) // SAMPLES_PER_AUDIO_TOKEN
            soft = [self._ids["<|audio|>"]] * count
            return [self._ids["<|audio>"], *soft, self._ids["<audio|>"]]
        if kind == "image":
            pixels = decode_image(data)
            encoded.pictures.append(pixels)
            return self._picture_ids(pixels, "<|image|>")
        frames, _ = decode_video(data)
        ids: list[int] = []
        for second, frame in enumerate(frames):
            encoded.pictures.append(frame)
            stamp = f"{' ' if second else ''}{second // 60:02d}:{second % 60:02d} "
            ids += self._encode_text(stamp) + self._picture_ids(frame, "<|video|>")
        return ids

    def _picture_ids(self, pixels: Pixels, soft_token: str) -> list[int]:
        rows, columns = patch_grid(*pixels.shape[:2])
        soft = [self._ids[soft_token]] * (rows * columns)
        return [self._ids["<|image>"], *soft, self._ids["<image|>"]]
