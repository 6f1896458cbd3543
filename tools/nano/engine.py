"""Runs examples through vLLM's AsyncLLM on the CPU, as a worker does."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import vllm
from PIL import Image
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.renderers.params import ChatParams
from vllm.v1.engine.async_llm import AsyncLLM

from tools.nano.media import SAMPLE_RATE_HZ, decode_audio, decode_image, decode_video
from tools.nano.prompts import PromptEncoder
from tools.nano.tasks.example import Example

SPECULATIVE_TOKENS = 3
CONCURRENCY = 8
MAX_NEW_TOKENS = 420


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the engine was given and what it said, special tokens included."""

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    text: str


def multi_modal_data(example: Example) -> dict[str, list[Any]]:
    """The example's media in the form that vLLM takes."""
    data: dict[str, list[Any]] = {}
    for kind, content in example.media:
        if kind == "image":
            data.setdefault("image", []).append(Image.fromarray(decode_image(content)))
        elif kind == "audio":
            data.setdefault("audio", []).append((decode_audio(content), SAMPLE_RATE_HZ))
        else:
            data.setdefault("video", []).append(decode_video(content))
    return data


class Engine:
    """A started engine; make one with `started_engine`."""

    def __init__(self, llm: Any, encoder: PromptEncoder) -> None:
        self._llm = llm
        self._encoder = encoder
        self._slots = asyncio.Semaphore(CONCURRENCY)

    async def answers(self, examples: Sequence[Example], label: str) -> list[Answer]:
        """Greedy answers in order; `label` keeps request ids apart."""
        return list(
            await asyncio.gather(
                *(self._answer(item, f"{label}-{i}") for i, item in enumerate(examples))
            )
        )

    async def _prompt(self, example: Example) -> Any:
        renderer = self._llm.renderer
        if example.media:
            text = self._encoder.prompt_text(example)
            prompt = {"prompt": text, "multi_modal_data": multi_modal_data(example)}
            return (await renderer.render_cmpl_async([prompt], _without_bos(renderer)))[0]
        options = {
            "enable_thinking": example.thinking,
            "tools": list(example.tools) or None,
            "add_generation_prompt": True,
        }
        messages = self._encoder.chat_messages(example)
        _, prompts = await renderer.render_chat_async(
            [messages], ChatParams(chat_template_kwargs=options)
        )
        return prompts[0]

    async def _answer(self, example: Example, request_id: str) -> Answer:
        params = vllm.SamplingParams(
            temperature=0.0, max_tokens=MAX_NEW_TOKENS, skip_special_tokens=False
        )
        async with self._slots:
            prompt = await self._prompt(example)
            async for output in self._llm.generate(prompt, params, request_id):
                final = output
        completion = final.outputs[0]
        return Answer(
            tuple(final.prompt_token_ids), tuple(completion.token_ids), str(completion.text)
        )


def _without_bos(renderer: Any) -> Any:
    # The chat template has written <bos> already.
    return dataclasses.replace(renderer.default_cmpl_tok_params, add_special_tokens=False)


@asynccontextmanager
async def started_engine(
    checkpoint: Path, encoder: PromptEncoder, speculative: bool
) -> AsyncIterator[Engine]:
    """Start an engine on `checkpoint/target`, with `checkpoint/drafter` if `speculative`.

    Sets environment variables that vLLM's processes read, unless they are set.
    """
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    drafter = {
        "method": "mtp",
        "model": str(checkpoint / "drafter"),
        "num_speculative_tokens": SPECULATIVE_TOKENS,
    }
    llm = AsyncLLM.from_engine_args(
        AsyncEngineArgs(
            model=str(checkpoint / "target"),
            dtype="bfloat16",
            max_model_len=4096,
            max_num_seqs=CONCURRENCY,
            max_num_batched_tokens=2560,
            enforce_eager=True,
            disable_chunked_mm_input=True,
            limit_mm_per_prompt={
                "image": 4,
                "audio": 4,
                "video": {"count": 4, "num_frames": 16},
            },
            speculative_config=drafter if speculative else None,
        )
    )
    try:
        yield Engine(llm, encoder)
    finally:
        llm.shutdown()
