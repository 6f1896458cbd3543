"""The chat template: the format that Gemma 4 reads."""

from __future__ import annotations

from typing import Any

import pytest
from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerFast

from tools.nano.tokenizer import build_tokenizer

pytestmark = pytest.mark.unit

USER: dict[str, Any] = {"role": "user", "content": "Hi"}
CALL: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "reasoning": "hm",
    "tool_calls": [
        {"id": "1", "function": {"name": "look", "arguments": {"q": "x", "n": 3, "all": True}}}
    ],
}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "1", "content": "ok"}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Looks",
        "parameters": {
            "type": "object",
            "properties": {
                "q": {"type": "string", "description": "what", "enum": ["x", "y"]},
                "n": {"type": "integer"},
            },
            "required": ["q"],
        },
    },
}
CALLED = (
    '<|channel>thought\nhm\n<channel|><|tool_call>call:look{all:true,n:3,q:<|"|>x<|"|>}<tool_call|>'
)
ANSWERED = '<|tool_response>response:look{value:<|"|>ok<|"|>}<tool_response|>'
EMPTY_THOUGHT = "<|channel>thought\n<channel|>"


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


def _render(
    tokenizer: PreTrainedTokenizerFast, messages: list[dict[str, Any]], **options: Any
) -> str:
    return str(
        tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, **options
        )
    )


def test_empty_thought_ends_the_prompt_when_thinking_is_off(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    expected = f"<bos><|turn>user\nHi<turn|>\n<|turn>model\n{EMPTY_THOUGHT}"
    assert _render(tokenizer, [USER]) == expected


def test_think_token_opens_the_system_turn_when_thinking_is_on(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    messages = [{"role": "system", "content": " Be brief. "}, USER]
    expected = (
        "<bos><|turn>system\n<|think|>\nBe brief.<turn|>\n<|turn>user\nHi<turn|>\n<|turn>model\n"
    )
    assert _render(tokenizer, messages, enable_thinking=True) == expected


def test_parts_keep_their_order_when_media_come_with_text(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    parts = [{"type": "image"}, {"type": "text", "text": " and "}, {"type": "audio"}]
    rendered = _render(tokenizer, [{"role": "user", "content": [*parts, {"type": "video"}]}])
    assert "<|turn>user\n<|image|>and<|audio|><|video|><turn|>\n" in rendered


def test_declaration_is_sorted_and_quoted_when_tools_are_given(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rendered = _render(tokenizer, [USER], tools=[TOOL])
    assert (
        '<|turn>system\n<|tool>declaration:look{description:<|"|>Looks<|"|>,parameters:{properties:'
        '{n:{type:<|"|>INTEGER<|"|>},q:{description:<|"|>what<|"|>,enum:[<|"|>x<|"|>,<|"|>y<|"|>],'
        'type:<|"|>STRING<|"|>}},required:[<|"|>q<|"|>],type:<|"|>OBJECT<|"|>}}<tool|><turn|>\n'
    ) in rendered


def test_prompt_waits_for_the_result_when_a_call_is_pending(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert _render(tokenizer, [USER, CALL]).endswith(f"{CALLED}<|tool_response>")


@pytest.mark.parametrize(("thinking", "suffix"), [(False, ""), (True, "<|channel>thought\n")])
def test_model_goes_on_in_its_turn_when_a_tool_has_answered(
    tokenizer: PreTrainedTokenizerFast, thinking: bool, suffix: str
) -> None:
    rendered = _render(tokenizer, [USER, CALL, RESULT], enable_thinking=thinking)
    assert rendered.endswith(f"{CALLED}{ANSWERED}{suffix}")


def test_old_thoughts_are_dropped_when_the_user_speaks_again(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    said = {
        "role": "assistant",
        "content": "<|channel>thought\nhm<channel|> yes ",
        "reasoning": "x",
    }
    rendered = _render(tokenizer, [USER, said, USER, CALL, RESULT, said, USER])
    assert "<|turn>model\nyes<turn|>\n" in rendered
    assert "hm" not in rendered


def test_rendering_fails_when_call_arguments_are_text(tokenizer: PreTrainedTokenizerFast) -> None:
    call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    with pytest.raises(TemplateError, match="mapping"):
        _render(tokenizer, [USER, call])
