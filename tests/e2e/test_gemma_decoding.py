"""The detokenizer on nano's tokenizer, which is built as Gemma's."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from facet import nano
from facet.worker.engine.vllm_process import prepare_environment

pytestmark = [
    pytest.mark.e2e,
    # vLLM and what it imports warn about themselves.
    pytest.mark.filterwarnings("ignore"),
]

PROMPT = "<|turn>user\nnaïve 😀👍🏽 text, café<turn|>\n<|turn>model\n"
ANSWER = " naïve 😀👍🏽 and 👩‍🚀 text, é"


@pytest.fixture
def tokenizer() -> Iterator[Any]:
    before = dict(os.environ)
    prepare_environment(cpu_threads=1)
    import tokenizers  # noqa: PLC0415 - beside vLLM alone

    yield tokenizers.Tokenizer.from_file(str(nano.TARGET_DIR / "tokenizer.json"))
    os.environ.clear()
    os.environ.update(before)


def text_of(tokenizer: Any, prompt: list[int], answer: list[int]) -> list[str]:
    from facet.worker.engine.gemma_decoding import StreamDetokenizer  # noqa: PLC0415

    detokenizer = StreamDetokenizer(tokenizer, prompt)
    return [detokenizer.push(token_id) for token_id in answer]


def test_text_is_the_same_when_it_follows_a_prompt_of_any_length(tokenizer: Any) -> None:
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False).ids
    answer = tokenizer.encode(ANSWER, add_special_tokens=False).ids
    texts = text_of(tokenizer, prompt, answer)
    assert "".join(texts) == ANSWER
    assert len(prompt) > 20
    assert text_of(tokenizer, prompt * 50, answer) == texts
    assert text_of(tokenizer, prompt[-4:], answer) == texts


def test_the_first_id_is_decoded_at_once_when_the_prompt_is_long(tokenizer: Any) -> None:
    prompt = tokenizer.encode(PROMPT, add_special_tokens=False).ids
    long = prompt * (100_000 // len(prompt))
    text_of(tokenizer, prompt, prompt[:1])
    began = time.thread_time()
    text_of(tokenizer, long, prompt[:1])
    assert time.thread_time() - began < 0.02
